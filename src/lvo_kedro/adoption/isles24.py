"""ISLES'24: acute stroke patients with plain CT, angiography and a marker of their occlusion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from nibabel.affines import apply_affine

from lvo_kedro.adoption.cases import AdoptedCase, Derivation
from lvo_kedro.adoption.isles24_folder import Isles24Folder, index_folder
from lvo_kedro.adoption.isles24_images import UsableImages
from lvo_kedro.adoption.isles24_phenotype import read_baseline, read_workbook
from lvo_kedro.adoption.labelled_arteries import LabelledArteries
from lvo_kedro.adoption.occluded_artery import ArteryRuleOptions, NamedOcclusion, name_occlusion
from lvo_kedro.adoption.source import Adapter, AdoptionError, Source
from lvo_kedro.errors import CaseError
from lvo_kedro.imaging import extract_brain, read_ncct
from lvo_kedro.imaging.midplane import midplane_at
from lvo_kedro.imaging.nifti import open_nifti

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvo_kedro.imaging.midplane import Midplane

SOURCE: Final = Source(
    name="isles24",
    title="ISLES'24, training set",
    records=("https://zenodo.org/records/17652035", "https://zenodo.org/records/16748089"),
    licence="CC BY-NC-SA 4.0",
    attribution=(
        "Contains data of ISLES'24 (Riedel, de la Rosa et al.), licensed under CC BY-NC-SA 4.0; "
        "labels of side and segment were derived from its masks by rule."
    ),
    citation=(
        "Riedel EO, de la Rosa E, et al. ISLES'24: A Real-World Longitudinal Multimodal Stroke "
        "Dataset. arXiv:2408.11142."
    ),
    checked="Folders of the published layout that the simulator writes; never the archive itself.",
    limits=(
        "All patients have an occlusion: it holds no controls, so it supports no area under the "
        "ROC curve. With controls of another source that area measures the scanner.",
        "Side and segment are derived from a marker of a few voxels and an automatic vessel mask.",
    ),
)
REVIEWED_BY_EYE: Final = frozenset({"0003", "0033", "0049", "0079"})
"""Subjects whose side people who used the archive found doubtful."""


class Isles24Options(ArteryRuleOptions):
    """How ISLES'24 becomes a cohort."""

    development: tuple[str, ...] = ("1",)
    """Centres whose patients are cross-validated."""
    external: tuple[str, ...] = ("2",)
    """Centres whose patients are only tested on: another vendor."""
    otherwise: Literal["development", "external"] = "development"
    """Split of patients whose centre is another one or not known."""


@dataclass
class Isles24Archive:
    """A folder of ISLES'24; see :class:`~lvo_kedro.adoption.Archive`."""

    folder: Isles24Folder
    options: Isles24Options
    workbook: dict[str, dict[str, str]] = field(default_factory=dict)
    """What workbooks beside the parts say of each subject."""

    @property
    def version(self) -> str:
        """Which names its files have."""
        return self.folder.version

    @property
    def subjects(self) -> Sequence[str]:
        """In order of their number, in newer names."""
        return tuple(self.folder.found)

    @property
    def notes(self) -> Sequence[str]:
        """Files that are there but not used."""
        return tuple(
            f"not used: {', '.join(names)}" for _, names in sorted(self.folder.passed_over.items())
        )

    def files(self, subject: str) -> Sequence[Path]:
        """Return its images and tables."""
        return (*self.folder.found[subject].values(), *self.folder.workbooks)

    def case(self, subject: str) -> AdoptedCase:
        """Return the case of a subject.

        Raises:
            CaseError: It has no plain scan, or one that cannot be read.
        """
        found = self.folder.found[subject]
        if "ncct" not in found:
            raise AdoptionError(
                f"no {subject}_ses-01_ncct", "the plain scan in raw_data", "unpack it again"
            )
        scan = open_nifti(found["ncct"], "ncct", by_content=True)
        usable = UsableImages(found, scan)
        named = _name(found["ncct"], usable, self.options)
        facts, missing = self._facts(subject)
        images = {"ncct": found["ncct"], **usable.carried()}
        review = named.review
        if subject[-4:] in REVIEWED_BY_EYE:
            review = (*review, "its side was found doubtful by people who used the archive")
        case = f"isles24-{subject[-4:]}"
        derivation = Derivation(
            source_id=subject,
            rule=named.rule,
            reason=named.reason,
            distance_mm=named.distance_mm,
            missing=(*usable.missing, *named.missing, *missing),
            review=review,
        )
        split = self._split(facts.get("site", ""))
        return AdoptedCase(
            case, case, split, True, named.side, named.segment, images, derivation, facts
        )

    def _facts(self, subject: str) -> tuple[dict[str, str], list[str]]:
        told, missing = dict(self.workbook.get(subject, {})), []
        path = self.folder.found[subject].get("baseline")
        if path is not None:
            try:
                told |= read_baseline(path)
            except CaseError as error:
                missing.append(f"phenotype ({error.found})")
        if not told and not missing:
            missing.append("phenotype")
        if told and "center" not in told:
            missing.append("centre")
        renamed = {"center": "site"}
        return {renamed.get(name, name): value for name, value in told.items()}, missing

    def _split(self, site: str) -> str:
        number = site.lower().removeprefix("center").removeprefix("centre").strip(" _-")
        if number in self.options.external:
            return "external"
        return "development" if number in self.options.development else self.options.otherwise


def _name(ncct: Path, usable: UsableImages, options: Isles24Options) -> NamedOcclusion:
    """Name the occlusion, or say why nothing can."""
    look = ("no marker tells the side",)
    if usable.lvo is None:
        why = next(reason for reason in usable.missing if reason.startswith("lvo-msk"))
        return NamedOcclusion("unknown", "unknown", "no marker", f"no {why}", review=look)
    index = np.argwhere(np.asanyarray(usable.lvo.dataobj) > 0)
    if not len(index):
        return NamedOcclusion("unknown", "unknown", "empty marker", "lvo-msk is empty", review=look)
    point = apply_affine(usable.lvo.affine, index.mean(axis=0))
    arteries = None if usable.cow is None else LabelledArteries(usable.cow)
    plane = None if arteries is None else arteries.midplane
    named = name_occlusion(point, arteries, plane or _midplane_of_brain(ncct), options)
    return named._replace(reason=f"marker of {len(index)} voxels; {named.reason}")


def _midplane_of_brain(ncct: Path) -> Midplane:
    """Return the sagittal plane through the middle of the brain, where no arteries tell it."""
    brain = extract_brain(read_ncct(ncct))
    inside = np.argwhere(np.asanyarray(brain.dataobj) > 0)
    return midplane_at(float(apply_affine(brain.affine, inside.mean(axis=0))[0]))


def find(folder: Path, options: Any) -> Isles24Archive:
    """Find ISLES'24 in a folder.

    Args:
        folder: Holds ``raw_data`` and ``derivatives``, or ``train`` with them.
        options: :class:`Isles24Options`.

    Raises:
        AdoptionError: It is something else, or an incomplete one.
        TableError: A workbook is damaged.
    """
    found = index_folder(folder)
    told: dict[str, dict[str, str]] = {}
    for path in found.workbooks:
        told |= read_workbook(path)
    return Isles24Archive(found, options, told)


ADAPTER: Final = Adapter(SOURCE, Isles24Options, find)
