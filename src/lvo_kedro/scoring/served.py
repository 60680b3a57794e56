"""A bundle behind MLflow's ``predict``: scans in, the records of ``result.json`` out."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedro.framework.project import configure_project

from lvo_kedro.errors import ScanError
from lvo_kedro.scoring.bundle import open_bundle
from lvo_kedro.scoring.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

logger = logging.getLogger(__name__)

ROOT: Final = "LVO_SCANS"
"""Environment variable: the folder outside of which no path is read."""
LARGEST: Final = 1_000_000_000
"""Most bytes of a scan that is sent."""
GZIP: Final = b"\x1f\x8b"


class ServedScorer:
    """All three stages behind ``predict``; the models stay in memory.

    Args:
        scorer: Its results go to a folder that is removed with it.
        folder: That folder.
    """

    def __init__(self, scorer: Scorer, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._scorer, self._folder = scorer, folder
        self._one_at_a_time = threading.Lock()

    def predict(
        self, scans: pd.DataFrame | Sequence[Any], params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Score scans.

        Args:
            scans: A table with a column ``path`` or ``nifti`` (the bytes of a NIfTI file in
                base64), or a list of such rows or of paths.
            params: None is known.

        Returns:
            A record for each scan, as in ``result.json``; one that could not even be read has
            only ``status`` (failed) and ``failed`` (the reason).
        """
        rows: Sequence[Any] = scans.to_dict("records") if hasattr(scans, "to_dict") else scans
        return [self._score(row if isinstance(row, dict) else {"path": row}) for row in rows]

    def _score(self, row: Mapping[str, Any]) -> dict[str, Any]:
        given = {
            n: str(row[n]) for n in ("path", "nifti") if isinstance(row.get(n), str) and row[n]
        }
        try:
            if len(given) != 1:
                raise ScanError(
                    f"{len(given)} of path and nifti", "one of the two in each row", "give one"
                )
            with self._one_at_a_time, tempfile.TemporaryDirectory() as place:
                if "path" in given:
                    scan = allowed_path(given["path"])
                else:
                    scan = write_sent(given["nifti"], Path(place))
                result = self._scorer.score(scan)
                shutil.rmtree(result.folder)  # of somebody's patient, and nobody can fetch it
                return result.record
        except ScanError as error:
            return {"status": "failed", "failed": str(error)}
        except Exception as error:  # the other rows are not lost with it
            # where, and not what: a message may quote a path or a header
            place = "".join(traceback.format_tb(error.__traceback__))
            logger.error("a scan could not be scored: %s\n%s", type(error).__name__, place)
            return {"status": "failed", "failed": f"{type(error).__name__}; see the server's log"}


def _load_pyfunc(path: str) -> ServedScorer:
    """Load a bundle; MLflow calls this by its name. Every part is checked first."""
    configure_project("lvo_kedro")
    folder = tempfile.TemporaryDirectory(prefix="lvo-scored-")
    return ServedScorer(Scorer(open_bundle(Path(path)), Path(folder.name)), folder)


def allowed_path(given: str) -> Path:
    """Return a path that may be read.

    Raises:
        ScanError: It is not there, or lies outside of the folder that ``LVO_SCANS`` names.
    """
    root = os.environ.get(ROOT)
    try:
        path = Path(given).resolve()
        there = path.exists()
    except (OSError, ValueError):  # too long, or with a NUL
        path, there = Path(), False
    if not there or (root and not path.is_relative_to(Path(root).resolve())):
        raise ScanError(
            "a path at which no scan may be read",
            f"a scan below the folder that {ROOT} names, or any where it is not set",
            "correct it, or send the scan as nifti",
        )
    return path


def write_sent(text: str, folder: Path) -> Path:
    """Write a NIfTI file that was sent in base64.

    Raises:
        ScanError: It is no base64, or too large.
    """
    if len(text) > LARGEST * 4 // 3:
        raise ScanError(f"a scan of more than {LARGEST} bytes", "a smaller one", "send a part")
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii's among them
        raise ScanError(
            "a field nifti that is not base64", "the bytes of a NIfTI file in base64", "encode it"
        ) from error
    path = folder / ("scan.nii.gz" if content.startswith(GZIP) else "scan.nii")
    path.write_bytes(content)
    return path
