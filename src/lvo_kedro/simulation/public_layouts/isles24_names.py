"""Patients in ISLES'24's layout: what is odd about their files, and what these are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from lvo_kedro.simulation.options import Orientation
    from lvo_kedro.vocabulary import SegmentClass, Side

Quirk = Literal[
    "empty marker", "no marker", "marker of another shape", "far marker", "MCA missing",
    "no vessels", "uncompressed lesion", "lesion named as compressed", "stray lesion",
    "no phenotype", "upper case", "no scan",
]  # fmt: skip
"""What is odd about a patient's files."""


@dataclass(frozen=True)
class Isles24Patient:
    """One simulated patient: what is true, and what is odd about the files."""

    number: int
    """1 to 9999; part of all names."""
    side: Side
    segment: SegmentClass
    center: str = "1"
    quirks: frozenset[Quirk] = frozenset()
    orientation: Orientation = "LPS"
    """Order of the arrays' axes."""


@dataclass(frozen=True)
class PatientFiles:
    """Where the files of a patient lie."""

    folder: Path
    """That of the archive."""
    patient: Isles24Patient
    older: bool
    """Whether names are those of the older generation."""

    def image(self, part: str, session: int, role: str) -> Path:
        """Return the place of an image of a part (``raw`` or ``made``), session and role."""
        parts = {"raw": "rawdata" if self.older else "raw_data", "made": "derivatives"}
        # in the older generation, files of the second session are named otherwise than their folder
        told = f"ses-{session:04d}" if self.older and session == 1 else f"ses-{session:02d}"
        place = f"ses-{session:04d}" if self.older else told
        name = f"{self._subject}_{told}_{role}"
        name = name.upper() if "upper case" in self.patient.quirks else name
        return self.folder / parts[part] / self._subject / place / f"{name}.nii.gz"

    def table(self) -> Path:
        """Return the place of the table of clinical data."""
        session = "ses-0001" if self.older else "ses-01"
        place = self.folder / "phenotype"
        place = place / session if self.older else place / self._subject / session
        return place / f"{self._subject}_{session}_demographic_baseline.csv"

    @property
    def _subject(self) -> str:
        return f"sub-stroke{'case' if self.older else ''}{self.patient.number:04d}"
