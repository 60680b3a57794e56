"""Files of adopted cases: one folder each, with a record of what it was made of."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lvo_kedro import __version__
from lvo_kedro.adoption import AdoptionError
from lvo_kedro.artifacts import clear_parts, digest_of, replacing, write_json
from lvo_kedro.cohort import IDENTIFIER
from lvo_kedro.disk import ERRORS as DISK
from lvo_kedro.imaging.nifti import is_compressed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib

    from lvo_kedro.adoption import Adapter, AdoptedCase, Archive, Source

CASES: Final = "cases"
"""Folder of the adopted files, below that of the cohort."""
RECORD: Final = "adopted.json"
"""In the folder of a case: its row, and what it was made of. Written last."""


@dataclass(frozen=True)
class CaseWriter:
    """Writes the cases of a public cohort, one after the other."""

    adapter: Adapter
    archive: Archive
    options: Any
    """With which the archive was found."""
    out: Path
    """Folder of the cohort."""
    link: bool = False
    """Whether files are linked where the file system can, rather than copied."""
    former: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)
    """Records that an earlier call left, by case."""

    def __post_init__(self) -> None:
        for path in sorted((self.out / CASES).glob(f"*/{RECORD}")):
            if record := _read_record(path):
                self.former[path.parent.name] = record

    def case(self, subject: str) -> tuple[dict[str, Any], bool]:
        """Write the case of a subject, unless it is there already.

        Args:
            subject: Of the archive.

        Returns:
            Its record (``row``, ``derivation``, ``mark``), and whether it was there.

        Raises:
            CaseError: The subject cannot be used.
        """
        mark = self._mark(subject)
        for record in self.former.values():
            if record["mark"] == mark and self.is_complete(record["row"]):
                return record, True
        return self._write(self.archive.case(subject), mark), False

    def _mark(self, subject: str) -> str:
        """Digest of all that a case depends on."""
        stats = [(str(path), path.stat()) for path in self.archive.files(subject)]
        files = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
        options = self.options.model_dump(mode="json")
        return digest_of([__version__, self.adapter.source.name, subject, files, options])

    def is_complete(self, row: Mapping[str, str]) -> bool:
        """Tell whether all files of a case are there.

        Args:
            row: Of the cohort table.
        """
        own = f"{CASES}/{row['case_id']}/"
        return all((self.out / value).exists() for value in row.values() if value.startswith(own))

    def _write(self, adopted: AdoptedCase, mark: str) -> dict[str, Any]:
        if not IDENTIFIER.fullmatch(adopted.case_id):
            raise AdoptionError(
                f"the case id {adopted.case_id!r}", "letters, digits, '.', '_' or '-'", "report it"
            )
        there = self.former.get(adopted.case_id, {}).get("row", {}).get("source")
        if there not in (None, self.adapter.source.name):
            raise AdoptionError(
                f"a case {adopted.case_id} of {there} in {self.out.name}",
                f"a folder without cases of that name, or with those of {self.adapter.source.name}",
                "give another folder (--out)",
            )
        folder = self.out / CASES / adopted.case_id
        folder.mkdir(parents=True, exist_ok=True)
        clear_parts(folder)
        (folder / RECORD).unlink(missing_ok=True)
        placed = {
            column: f"{CASES}/{adopted.case_id}/{self._place(image, folder, column)}"
            for column, image in adopted.images.items()
        }
        source = self.adapter.source.name
        record = {
            "mark": mark,
            "row": _row(adopted, placed, self.adapter.source),
            "derivation": _derivation(adopted, source),
        }
        write_json(folder / RECORD, record)
        return record

    def _place(self, image: Path | nib.Nifti1Image, folder: Path, column: str) -> str:
        """Put an image into the folder of its case; return its name there."""
        for former in (folder / f"{column}{ending}" for ending in ("", ".nii", ".nii.gz")):
            if former.is_dir():
                shutil.rmtree(former)
            former.unlink(missing_ok=True)
        if not isinstance(image, Path):
            with replacing(folder / f"{column}.nii.gz") as part:
                part.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
            return f"{column}.nii.gz"
        if image.is_dir():
            shutil.copytree(image, folder / column, copy_function=self._copy)
            return column
        # by what it is: one file of an archive may be compressed, or not, against its name
        name = f"{column}.nii.gz" if is_compressed(image) else f"{column}.nii"
        self._copy(str(image), str(folder / name))
        return name

    def _copy(self, source: str, target: str) -> str:
        """Link or copy a file; the record, written last, tells whether all of it is there."""
        if self.link:
            try:
                os.link(source, target)
            except OSError as error:  # another file system, or one without links
                if error.errno in DISK:
                    raise
            else:
                return target
        with replacing(Path(target)) as part:
            shutil.copyfile(source, part)
        return target


def _read_record(path: Path) -> dict[str, Any]:
    """Return a record, or nothing where it was damaged: the case is then written again."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    whole = isinstance(record, dict) and {"mark", "row", "derivation"} <= record.keys()
    return record if whole else {}


def _row(adopted: AdoptedCase, placed: Mapping[str, str], source: Source) -> dict[str, str]:
    return {
        "case_id": adopted.case_id,
        "patient_id": adopted.patient_id,
        "ncct": placed["ncct"],
        "split": adopted.split,
        "lvo": str(int(adopted.lvo)),
        "side": adopted.side,
        "segment": adopted.segment,
        **{column: path for column, path in placed.items() if column != "ncct"},
        "source": source.name,
        **({"simulated": "yes"} if source.simulated else {}),
        **adopted.facts,
    }


def _derivation(adopted: AdoptedCase, source: str) -> dict[str, str]:
    told = adopted.derivation
    return {
        "case_id": adopted.case_id,
        "source_id": told.source_id,
        "lvo": str(int(adopted.lvo)),
        "side": adopted.side,
        "segment": adopted.segment,
        "split": adopted.split,
        "rule": told.rule,
        "reason": told.reason,
        "distance_mm": "" if told.distance_mm is None else f"{told.distance_mm:.1f}",
        "missing": "; ".join(told.missing),
        "review_by_eye": "; ".join(told.review),
        "source": source,
    }
