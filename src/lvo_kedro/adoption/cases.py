"""What becomes of one subject of a public cohort: a case, and why its label is what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvo_kedro.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import nibabel as nib


@dataclass(frozen=True)
class Derivation:
    """How a label came about: a row of ``adoption.csv``."""

    source_id: str
    """Name of the subject in the archive, which is public."""
    rule: str
    """A few words that are the same for all cases to which the same rule applied."""
    reason: str
    """One sentence with the numbers of this case."""
    distance_mm: float | None = None
    """From the marker of the occlusion to the artery that named it; None where none did."""
    missing: tuple[str, ...] = ()
    """What of the case is not there or could not be used, and why."""
    review: tuple[str, ...] = ()
    """Why a person should look at the label; empty where nothing asks for it."""


@dataclass(frozen=True)
class AdoptedCase:
    """One scan with its label, not yet written. Words are those of ``data/README.md``."""

    case_id: str
    patient_id: str
    split: str
    lvo: bool
    side: str
    """The patient's; empty without an occlusion."""
    segment: str
    """Empty without an occlusion."""
    images: Mapping[str, Path | nib.Nifti1Image]
    """By column: a file or a folder of the archive, which is copied as it is, or an image that was
    made of it. ``ncct`` must be there."""
    derivation: Derivation
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further columns, such as site and age; unknown ones are left out."""


class LeftOut(CaseError):
    """A subject that is sound and, by the rules of its adapter, no case of the cohort."""
