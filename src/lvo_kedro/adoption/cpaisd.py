"""CPAISD: plain head CTs of early ischaemic strokes with the infarct core drawn on each slice.

It tells no vessel, so it is no cohort: it is there to see what the hemispheric difference shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import Field

from lvo_kedro.adoption.cases import LeftOut
from lvo_kedro.adoption.cpaisd_slices import check_orientation, read_plane
from lvo_kedro.adoption.material import Material, Piece
from lvo_kedro.adoption.source import AdoptionError, Source
from lvo_kedro.imaging import ScanLimits, read_scan
from lvo_kedro.imaging.dicom import stack_masks
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SOURCE: Final = Source(
    name="cpaisd",
    title="CPAISD, core-penumbra acute ischaemic stroke dataset",
    records=("https://zenodo.org/records/10892316", "https://arxiv.org/abs/2404.02518"),
    licence="that of the record (not verified by this project: read it before use)",
    attribution="Contains data of CPAISD (Umerenkov et al.), Zenodo 10892316.",
    citation=(
        "Umerenkov D, Kudin S, Peksheva M, Pavlov D. CPAISD: Core-penumbra acute ischemic stroke "
        "dataset. arXiv:2404.02518."
    ),
    checked="Folders of the published layout that the simulator writes; never the archive itself.",
    limits=(
        "It tells of no vessel whether it is occluded: no detection can be evaluated on it.",
        "Cores were drawn on plain CT by people who knew of the stroke.",
    ),
)
TABLE: Final = "infarcts.csv"
PARTS: Final = ("train", "val", "test")
VALUES: Final = {0: "nothing", 1: "core", 2: "penumbra"}
"""What the values of ``mask.npz`` are, as published."""
_STUDY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_EXPECTED: Final = (
    "folders train, val and test (or one that holds them) with STUDY/SLICE/{raw.dcm,mask.npz}"
)
_INTEGERS: Final = np.iinfo(np.int16)


class CpaisdOptions(Options):
    """What of CPAISD is an infarct."""

    core_values: tuple[int, ...] = Field(default=(1,), min_length=1)
    """Values of the masks that count: 1 the core, 2 the penumbra."""
    scan_limits: ScanLimits = ScanLimits()
    """Between which bounds a scan is accepted."""


@dataclass
class CpaisdFolder:
    """A folder of CPAISD; see :class:`~lvo_kedro.adoption.Collection`."""

    studies: dict[str, Path]
    options: CpaisdOptions

    @property
    def version(self) -> str:
        """Its parts."""
        parts = sorted({subject.split("/")[0] for subject in self.studies})
        return f"CPAISD with {', '.join(parts)}"

    @property
    def notes(self) -> Sequence[str]:
        """Nothing: parts are in the table."""
        return ()

    @property
    def subjects(self) -> Sequence[str]:
        """Part and study."""
        return tuple(self.studies)

    def files(self, subject: str) -> Sequence[Path]:
        """Return all files of a study."""
        return sorted(path for path in self.studies[subject].rglob("*") if path.is_file())

    def piece(self, subject: str) -> Piece:
        """Return scan and core of a study.

        Raises:
            LeftOut: No core was drawn.
            CaseError: A file is missing, or cannot be used.
        """
        part, _, study = subject.partition("/")
        slices = sorted(path.parent for path in self.studies[subject].glob("*/raw.dcm"))
        without = [folder for folder in slices if not (folder / "mask.npz").is_file()]
        if without or not slices:
            raise AdoptionError(
                f"{len(slices)} slices, {len(without)} of them without mask.npz",
                "raw.dcm and mask.npz in the folder of each slice",
                "unpack the archive again",
            )
        masks = {folder / "raw.dcm": self._core(folder / "mask.npz") for folder in slices}
        if not any(mask.any() for mask in masks.values()):
            raise LeftOut(f"no core on {len(slices)} slices", "a core", "nothing to evaluate")
        middle = slices[len(slices) // 2]
        if (middle / "image.npz").is_file():
            check_orientation(middle / "image.npz", middle / "raw.dcm")
        ncct = read_scan([*masks], self.options.scan_limits).ncct
        drawn = stack_masks(masks, self.options.scan_limits)
        core = resample(drawn, grid_of(ncct), order=0)
        volumes = [
            float(np.asarray(image.dataobj).sum()) * grid_of(image).voxel_volume_ml
            for image in (drawn, core)
        ]
        if volumes[1] < 0.5 * volumes[0]:
            raise AdoptionError(
                f"{volumes[1]:.1f} of {volumes[0]:.1f} ml of the core inside the head",
                "a core in the brain",
                "look at the study: its masks may belong to another scan",
            )
        case = f"cpaisd-{study}"
        hu = np.clip(np.rint(np.asarray(ncct.dataobj)), _INTEGERS.min, _INTEGERS.max)
        files = {
            f"scans/{case}.nii.gz": make_image(hu.astype(np.int16), ncct.affine),
            f"infarcts/{case}.nii.gz": make_image(
                (np.asarray(core.dataobj) > 0).astype(np.uint8), core.affine
            ),
        }
        scan, infarct = files
        row = {
            "case_id": case,
            "ncct": scan,
            "infarct_mask": infarct,
            "core_ml": f"{volumes[1]:.2f}",
            "slices": str(len(slices)),
            "part": part,
        }
        return Piece(files, row)

    def _core(self, path: Path) -> Any:
        """Return where a slice's mask has one of the wanted values, (rows, columns) bool."""
        plane = read_plane(path)
        unknown = sorted({*np.unique(plane).tolist()} - VALUES.keys())
        if unknown:
            raise AdoptionError(
                f"the values {', '.join(f'{v:g}' for v in unknown[:5])} in mask.npz",
                ", ".join(f"{value} {word}" for value, word in VALUES.items()),
                "this may be another version of the archive; look what its masks hold",
            )
        return np.isin(plane, self.options.core_values)

    def check_place(self, out: Path) -> None:
        """Any folder will do."""

    def summary(self, rows: Sequence[Mapping[str, str]]) -> Mapping[str, object]:
        """Nothing beside the table."""
        return {}


def find(folder: Path, options: Any) -> CpaisdFolder:
    """Find CPAISD in a folder.

    Args:
        folder: Holds ``train``, ``val`` and ``test``, or one folder that holds them.
        options: :class:`CpaisdOptions`.

    Raises:
        AdoptionError: It is something else, or holds no DICOM slices.
    """
    if unknown := {*options.core_values} - {1, 2}:
        raise AdoptionError(
            f"core_values {sorted(unknown)}", "1 (core) or 2 (penumbra)", "correct the option"
        )
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    roots = [root for root in (folder, *inner) if any((root / part).is_dir() for part in PARTS)]
    names = ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing"
    if not roots:
        raise AdoptionError(f"a folder that holds {names}", _EXPECTED, "unpack the archive")
    studies = {
        f"{part}/{path.name}": path
        for part in PARTS
        if (roots[0] / part).is_dir()
        for path in sorted((roots[0] / part).iterdir())
        if path.is_dir() and _STUDY.fullmatch(path.name)
    }
    seen = [subject.partition("/")[2] for subject in studies]
    if twice := {name for name in seen if seen.count(name) > 1}:
        raise AdoptionError(
            f"{len(twice)} studies in two parts", "each study in one part", "unpack it again"
        )
    if not any(any(path.glob("*/raw.dcm")) for path in studies.values()):
        raise AdoptionError(
            f"{len(studies)} studies without any raw.dcm",
            _EXPECTED,
            "the version with DICOM slices: image.npz has no geometry",
        )
    return CpaisdFolder(studies, options)


MATERIAL: Final = Material(SOURCE, CpaisdOptions, find, TABLE)
