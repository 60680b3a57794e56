"""CQ500: head CTs without bleed, fracture or mass effect, as controls; their vessels were not read.

No scan of it was read for an occluded artery or for ischaemia, so it holds no true negatives of the
question, only scans in which radiologists found nothing of what they looked for.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field

from lvo_kedro.adoption.cases import AdoptedCase, Derivation, LeftOut
from lvo_kedro.adoption.cq500_reads import Reads, read_reads, subject_of
from lvo_kedro.adoption.source import Adapter, AdoptionError, Source
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.options import Options
from lvo_kedro.studies import ImportOptions, harvest, read_study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import nibabel as nib

SOURCE: Final = Source(
    name="cq500",
    title="CQ500, scans without bleed, fracture or mass effect as controls",
    records=("http://headctstudy.qure.ai/dataset", "https://arxiv.org/abs/1803.05854"),
    licence="CC BY-NC-SA 4.0",
    attribution=(
        "Contains data of CQ500 (Chilamkurthy et al., qure.ai), licensed under CC BY-NC-SA 4.0; "
        "controls were derived by majority of its reads."
    ),
    citation=(
        "Chilamkurthy S, Ghosh R, Tanamala S, et al. Deep learning algorithms for detection of "
        "critical findings in head CT scans: a retrospective study. Lancet 2018; 392: 2388-96."
    ),
    checked="Folders of the published layout that the simulator writes; never the archive itself.",
    limits=(
        "No scan was read for vessel occlusion or ischaemia: a control is 'no bleed, no fracture, "
        "no mass effect by majority of reads', and some may hold an occlusion.",
        "It holds no occlusions. With occlusions of another source, such as ISLES'24, the label "
        "equals the source: an area under the ROC curve then measures the scanner.",
    ),
)
RULE: Final = "control by majority of reads"
REASON: Final = (
    "no bleed, no fracture, no mass effect by majority of reads; "
    "not read for vessel occlusion or ischaemia"
)
_EXPECTED: Final = (
    "reads.csv beside folders such as 'CQ500CT12 CQ500CT12/Unknown Study/CT Plain' with DICOM files"
)
_DEPTH: Final = 2
"""How far below the named folder the folders of scans may lie: downloads come in parts."""
_INTEGERS: Final = np.iinfo(np.int16)


class Cq500Options(Options):
    """How CQ500 becomes controls."""

    external: tuple[str, ...] = ("B2",)
    """Batches of the collection (``Category``) whose scans are only tested on."""
    with_cta: bool = True
    """Whether angiographies are taken along, in the column ``cta``."""
    series: dict[str, str] = Field(default_factory=dict)
    """Number of the series that is the plain scan, by scan, where the rules leave it to a
    person."""


@dataclass
class Cq500Archive:
    """A folder of CQ500; see :class:`~lvo_kedro.adoption.Archive`."""

    folders: dict[str, Path]
    reads: dict[str, Reads]
    table: Path
    options: Cq500Options

    @property
    def version(self) -> str:
        """How many scans were read."""
        return f"CQ500 with reads of {len(self.reads)} scans"

    @property
    def subjects(self) -> Sequence[str]:
        """In order of their number."""
        return tuple(sorted(self.folders, key=lambda name: int(name.removeprefix("CQ500CT"))))

    @property
    def notes(self) -> Sequence[str]:
        """Scans that were read but are not there, and findings that keep scans out."""
        missing = len(self.reads.keys() - self.folders.keys())
        found = Counter(word for reads in self.reads.values() for word in _words(reads))
        said = [f"{count} scans with {word} by majority" for word, count in sorted(found.items())]
        return (*said, *((f"{missing} scans of reads.csv have no folder here",) if missing else ()))

    def files(self, subject: str) -> Sequence[Path]:
        """Return its images and the reads."""
        return (*_files_below(self.folders[subject]), self.table)

    def case(self, subject: str) -> AdoptedCase:
        """Return the control that a scan is.

        Raises:
            LeftOut: A majority saw a bleed or another finding.
            CaseError: It was not read, or none of its series can be used.
        """
        reads = self.reads.get(subject)
        if reads is None:
            raise AdoptionError(f"no reads of {subject}", "a row in reads.csv", "download it again")
        if untold := reads.untold():
            raise AdoptionError(
                f"no majority on {', '.join(untold)}", "0 or 1 of at least two readers",
                "download reads.csv again",
            )  # fmt: skip
        if found := reads.found():
            raise LeftOut(", ".join(found), "a scan without", "it is no control")
        options = ImportOptions(with_cta=self.options.with_cta)
        study = read_study(self.folders[subject], options, self.options.series.get(subject, ""))
        case = f"cq500-{int(subject.removeprefix('CQ500CT')):03d}"
        images: Mapping[str, Path | nib.Nifti1Image] = {"ncct": _stored(study.ncct)}
        if study.cta is not None:
            images = {**images, "cta": _stored(study.cta)}
        facts = harvest(study.header, study_time=None, onset=None, with_age_and_sex=False)
        facts = {name: value for name, value in facts.items() if value}
        if reads.category:
            facts["batch"] = reads.category
        split = "external" if reads.category in self.options.external else "development"
        why = f"{REASON}; series chosen by: {', '.join(study.reasons)}"
        return AdoptedCase(
            case, case, split, False, "", "", images, Derivation(subject, RULE, why), facts
        )


def _words(reads: Reads) -> list[str]:
    return [found.split(" (")[0] for found in reads.found()]


def _stored(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Round to whole HU, as an import stores scans."""
    hu = np.clip(np.rint(np.asarray(image.dataobj)), _INTEGERS.min, _INTEGERS.max)
    return make_image(hu.astype(np.int16), image.affine)


def _files_below(folder: Path) -> list[Path]:
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    )


def find(folder: Path, options: Any) -> Cq500Archive:
    """Find CQ500 in a folder.

    Args:
        folder: Holds ``reads.csv`` and the folders of scans, at most two folders deep.
        options: :class:`Cq500Options`.

    Raises:
        AdoptionError: It is something else, or a version without DICOM or reads.
    """
    names = ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing"
    tables = sorted(path for path in folder.iterdir() if path.name.lower() == "reads.csv")
    found = _folders(folder)
    packed = [path for path in folder.iterdir() if path.suffix.lower() == ".zip"]
    if not found:
        remedy = "unpack the archives" if packed else "name the folder that holds all scans"
        if any(folder.rglob("*.nii*")):
            remedy = "this is a conversion to NIfTI; download the DICOM files"
        raise AdoptionError(f"a folder that holds {names}", _EXPECTED, remedy)
    if not tables:
        raise AdoptionError(
            f"{len(found)} scans without reads.csv", _EXPECTED, "download reads.csv into the folder"
        )
    if unknown := options.series.keys() - found.keys():
        raise AdoptionError(
            f"a series chosen for {', '.join(sorted(unknown))}",
            "names such as CQ500CT12 of scans that are there",
            "correct the option series",
        )
    return Cq500Archive(found, read_reads(tables[0]), tables[0], options)


def _folders(root: Path, depth: int = 0) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(path for path in root.iterdir() if path.is_dir()):
        subject = subject_of(path.name)
        below = {subject: path} if subject else {}
        if subject is None and depth < _DEPTH:
            below = _folders(path, depth + 1)
        if twice := found.keys() & below.keys():
            raise AdoptionError(
                f"{', '.join(sorted(twice))} twice", "one folder for each scan", "remove the copies"
            )
        found |= below
    return found


ADAPTER: Final = Adapter(SOURCE, Cq500Options, find)
