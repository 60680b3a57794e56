"""TopCoW 2024 and TopBrain 2025: angiographies with artery labels, to train a labeller on.

They become a dataset as plain nnU-Net reads it, with both sides of an artery as one label: sides
come from world coordinates, and a network of few cases learns from both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from nibabel.affines import apply_affine
from pydantic import Field, field_validator

from lvo_kedro.adoption.material import Material, Piece
from lvo_kedro.adoption.source import AdoptionError, Source
from lvo_kedro.imaging.boxes import box_corners, whole_box
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.nifti import open_nifti, whole_file
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import nibabel as nib

ArteryName = Literal["C7", "M1", "M2", "other", "background"]

_TOPCOW_OTHER: Final = (1, 2, 3, 8, 9, 10, 11, 12, 15)
_TOPBRAIN_OTHER: Final = (1, 2, 3, *range(8, 17), 18, 20, *range(21, 35))
TOPCOW_LABELS: Final[dict[int, ArteryName]] = {
    4: "C7", 6: "C7", 5: "other", 7: "other", **dict.fromkeys(_TOPCOW_OTHER, "other"),
}  # fmt: skip
"""TopCoW: 1 BA, 2/3 PCA, 4/6 ICA, 5/7 MCA, 8/9 Pcom, 10 Acom, 11/12 ACA, 15 third A2 (right/left).
Its MCA holds M1 and the begin of M2, so it teaches neither."""
TOPBRAIN_LABELS: Final[dict[int, ArteryName]] = {
    4: "C7", 6: "C7", 5: "M1", 7: "M1", 17: "M2", 19: "M2",
    **dict.fromkeys(_TOPBRAIN_OTHER, "other"), **dict.fromkeys(range(35, 41), "background"),
}  # fmt: skip
"""TopBrain (CTA): 4/6 ICA, 5/7 M1, 17/19 M2, 18/20 M3 (right/left); 35 to 40 are veins."""
_MCA: Final = (5, 7)
_CAROTIDS: Final = (4, 6)
"""Right and left, in both."""
_IMAGE: Final = re.compile(r"(top(?:cow|brain))_(ct|mr)_(\d{3})_0000\.nii\.gz", re.IGNORECASE)
DATASET: Final = re.compile(r"Dataset\d{3}_[A-Za-z0-9_-]+")
_TOLERANCE_MM: Final = 0.1
_LICENCE: Final = "that of opendata.swiss with attribution, as users report (read the record's own)"
_CHECKED: Final = "Folders of the layout that users describe; never the archive itself."


class TopcowOptions(Options):
    """What TopCoW's labels become."""

    labels: dict[int, ArteryName] = Field(default_factory=lambda: dict(TOPCOW_LABELS))
    """By value; one that is not named stops the case that has it."""

    @field_validator("labels")
    @classmethod
    def _refuse_parts(cls, labels: dict[int, ArteryName]) -> dict[int, ArteryName]:
        """TopCoW's middle cerebral artery is not told apart."""
        wrong = [value for value in _MCA if labels.get(value) in ("M1", "M2")]
        if wrong and cls is TopcowOptions:
            raise ValueError(
                f"TopCoW's labels {wrong} hold M1 and the begin of M2; TopBrain tells them apart"
            )
        return labels


class TopbrainOptions(TopcowOptions):
    """What TopBrain's labels become."""

    labels: dict[int, ArteryName] = Field(default_factory=lambda: dict(TOPBRAIN_LABELS))
    """By value; one that is not named stops the case that has it."""


@dataclass
class LabelledAngiographies:
    """A folder with angiographies and labels; see :class:`~lvo_kedro.adoption.Collection`."""

    title: str
    pairs: dict[str, tuple[Path, Path]]
    options: TopcowOptions
    passed_over: int
    """Images of magnetic resonance."""

    @property
    def version(self) -> str:
        """What it is."""
        return f"{self.title}, CT angiographies"

    @property
    def notes(self) -> Sequence[str]:
        """What is not used."""
        return (f"{self.passed_over} MR images are not used",) if self.passed_over else ()

    @property
    def subjects(self) -> Sequence[str]:
        """Names of the images."""
        return tuple(sorted(self.pairs))

    @property
    def values(self) -> dict[str, int]:
        """Label values of the dataset, consecutive as nnU-Net wants them."""
        used = [n for n in ("C7", "M1", "M2", "other") if n in self.options.labels.values()]
        return {"background": 0} | {name: value for value, name in enumerate(used, start=1)}

    def files(self, subject: str) -> Sequence[Path]:
        """Return image and labels, as far as they are there."""
        return [path for path in self.pairs[subject] if path.is_file()]

    def piece(self, subject: str) -> Piece:
        """Return image and merged labels of a case.

        Raises:
            CaseError: Both do not fit, or labels are unknown or lie on the wrong side.
        """
        path, drawn = self.pairs[subject]
        if not drawn.is_file():
            raise AdoptionError(
                f"no labels {drawn.parent.name}/{drawn.name}", "labels of each image",
                "unpack the archive again",
            )  # fmt: skip
        image, labels = open_nifti(path, "image"), open_nifti(drawn, "labels")
        _check_grid(image, labels)
        with whole_file("labels"):
            data = np.asanyarray(labels.dataobj)
        _check_sides(data, labels)
        merged = self._merged(data)
        files: dict[str, Path | nib.Nifti1Image] = {
            f"imagesTr/{subject}_0000.nii.gz": path,
            f"labelsTr/{subject}.nii.gz": make_image(merged, image.affine),
        }
        counts = {name: int((merged == value).sum()) for name, value in self.values.items()}
        row = {f"{name}_voxels": str(n) for name, n in counts.items() if name != "background"}
        return Piece(files, {"case_id": subject, **row})

    def _merged(self, data: Any) -> Any:
        merged = np.zeros(data.shape, np.uint8)
        present = {float(value) for value in np.unique(data[data != 0])}
        unknown = sorted(present - self.options.labels.keys())
        if unknown:
            raise AdoptionError(
                f"label values {', '.join(f'{v:g}' for v in unknown[:6])}",
                f"those of {self.title}: {sorted(self.options.labels)}",
                "look at the label map of this version, and name them with --set labels={...}",
            )
        for value, name in self.options.labels.items():
            merged[data == value] = self.values[name]
        return merged

    def check_place(self, out: Path) -> None:
        """Look whether the folder is called as nnU-Net calls datasets.

        Raises:
            AdoptionError: It is not.
        """
        if not DATASET.fullmatch(out.name):
            raise AdoptionError(
                f"the folder {out.name}",
                "a name such as Dataset510_TopBrain, below nnU-Net's nnUNet_raw",
                "name it with --out",
            )

    def summary(self, rows: Sequence[Mapping[str, str]]) -> Mapping[str, object]:
        """Return nnU-Net's ``dataset.json`` and the mapping for ``annotation``."""
        values = self.values
        dataset = {
            "channel_names": {"0": "CT"},
            "labels": values,
            "numTraining": len(rows),
            "file_ending": ".nii.gz",
        }
        names = {str(value): name for name, value in values.items() if value}
        return {"dataset.json": dataset, "labels.json": names}


def _check_grid(image: nib.Nifti1Image, labels: nib.Nifti1Image) -> None:
    corners = [box_corners(one.affine, whole_box(one.shape)) for one in (image, labels)]
    off = float(np.linalg.norm(corners[0] - corners[1], axis=-1).max())
    if image.shape != labels.shape or off > _TOLERANCE_MM:
        raise AdoptionError(
            f"labels of {' x '.join(map(str, labels.shape))} voxels on an image of "
            f"{' x '.join(map(str, image.shape))}, up to {off:.1f} mm apart",
            "the same grid",
            "download both again",
        )


def _check_sides(data: Any, labels: nib.Nifti1Image) -> None:
    """Refuse labels whose right carotid lies to the left of the left one."""
    places = [np.argwhere(data == value) for value in _CAROTIDS]
    if all(len(place) for place in places):
        right, left = (float(apply_affine(labels.affine, p.mean(axis=0))[0]) for p in places)
        if right < left:
            raise AdoptionError(
                f"the right carotid {left - right:.0f} mm to the left of the left one",
                "the patient's right at greater world x",
                "the affine is that of a mirrored image, or labels mean other sides",
            )


def _finder(title: str, images: str, labels: str) -> Any:
    def find(folder: Path, options: Any) -> LabelledAngiographies:
        """Find angiographies and their labels."""
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing"
        roots = [r for r in (folder, *inner) if (r / images).is_dir() and (r / labels).is_dir()]
        expected = f"{images}/topcow_ct_NNN_0000.nii.gz and {labels}/topcow_ct_NNN.nii.gz"
        if not roots:
            raise AdoptionError(f"a folder that holds {names}", expected, "unpack the archive")
        matches = [
            (path, match)
            for path in sorted((roots[0] / images).iterdir())
            if (match := _IMAGE.fullmatch(path.name))
        ]
        pairs = {
            f"{match[1]}_ct_{match[3]}".lower(): (
                path, roots[0] / labels / path.name.replace("_0000", "")
            )
            for path, match in matches
            if match[2].lower() == "ct"
        }  # fmt: skip
        if not pairs:
            raise AdoptionError(
                f"{images} without any topcow_ct_NNN_0000.nii.gz ({len(matches)} MR images)",
                expected,
                "the part of the archive with CT angiographies",
            )
        return LabelledAngiographies(title, pairs, options, len(matches) - len(pairs))

    return find


TOPCOW: Final = Material(
    Source(
        name="topcow24",
        title="TopCoW 2024, training set",
        records=("https://zenodo.org/records/15692630", "https://topcow24.grand-challenge.org/"),
        licence=_LICENCE,
        attribution="Contains data of the TopCoW challenge (Yang et al., University of Zurich).",
        citation=(
            "Yang K, Musio F, Ma Y, et al. Benchmarking the CoW with the TopCoW challenge. "
            "arXiv:2312.17670."
        ),
        checked=_CHECKED,
        limits=("Its MCA holds M1 and the begin of M2: a labeller trained on it names neither.",),
    ),
    TopcowOptions,
    _finder("TopCoW 2024", "imagesTr", "cow_seg_labelsTr"),
    "angiographies.csv",
)
TOPBRAIN: Final = Material(
    Source(
        name="topbrain",
        title="TopBrain 2025, training set",
        records=("https://zenodo.org/records/16878417", "https://topbrain2025.grand-challenge.org"),
        licence=_LICENCE,
        attribution="Contains data of the TopBrain challenge (University of Zurich).",
        citation="The TopBrain challenge 2025, Zenodo 16878417.",
        checked=_CHECKED,
        limits=(
            "Few patients, and the same as some of TopCoW's: never test on one what learned from "
            "the other.",
            "Its ICA reaches farther down than C7.",
        ),
    ),
    TopbrainOptions,
    _finder("TopBrain 2025", "imagesTr_topbrain_ct", "labelsTr_topbrain_ct"),
    "angiographies.csv",
)
