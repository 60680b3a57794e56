"""``kedro receive``: studies come by network, are scored, and their results go back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lvo_kedro.errors import ScanError
from lvo_kedro.scoring.sources import find_sources

if TYPE_CHECKING:
    from pathlib import Path

    from lvo_kedro.scoring.scorer import Scorer

logger = logging.getLogger(__name__)


class StudyHandler:
    """Makes the DICOM results of a study that was received.

    Args:
        scorer: With its models; the other results of each scan stay in its output folder.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def __call__(self, study: Path) -> list[Path]:
        """Score the plain head CT of a study.

        Args:
            study: Folder with its images.

        Returns:
            The DICOM objects.

        Raises:
            ScanError: It holds no such scan, or one that cannot be scored or referred to.
        """
        made: list[Path] = []
        for source in find_sources(study):
            if source.problem:  # the series says itself what it lacks
                logger.warning("%s", source.problem)
                continue
            with source.scan() as scan:
                result = self._scorer.score(scan)
            record = result.record
            logger.info("%s: %s", record["case_id"], record["status"])
            objects = sorted((result.folder / "dicom").glob("*.dcm"))
            if not objects:
                reason = record["failed"] or "; ".join(record["findings"])
                raise ScanError(
                    f"a study without DICOM results ({reason})",
                    "a plain head CT in one DICOM series",
                    "look at the study; it is kept",
                )
            made += objects
        return made
