"""Proposals as files for 3D Slicer and ITK-SNAP: scan, angiography and labels in one world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.artifacts import write_text
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.vocabulary import VESSEL_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import nibabel as nib
    from numpy.typing import NDArray

COLOURS: Final = {
    "C7": (0, 158, 115), "M1": (86, 180, 233), "M2": (230, 159, 0), "other": (204, 121, 167),
}  # fmt: skip
"""Red, green and blue, 0 to 255, of each label."""


def write_colours(folder: Path) -> None:
    """Write the labels' names and colours: ``labels.ctbl`` (3D Slicer), ``labels.txt`` (ITK-SNAP).

    Args:
        folder: Where.
    """
    rows = [(value, name, *COLOURS[name]) for name, value in VESSEL_LABELS.items()]
    table = ["# lvo_kedro vessel labels", "0 background 0 0 0 0"]
    table += [f"{value} {name} {r} {g} {b} 255" for value, name, r, g, b in rows]
    write_text(folder / "labels.ctbl", "\n".join(table) + "\n")
    lines = ["# lvo_kedro vessel labels", "# IDX R G B A VIS MSH LABEL"]
    lines += ['0 0 0 0 0 0 0 "background"']
    lines += [f'{value} {r} {g} {b} 1 1 1 "{name}"' for value, name, r, g, b in rows]
    write_text(folder / "labels.txt", "\n".join(lines) + "\n")


def export_proposal(
    folder: Path,
    images: Mapping[str, nib.Nifti1Image],
    cta: nib.Nifti1Image,
    matrix: NDArray[np.float64],
) -> None:
    """Write one case's scan, angiography, labels and clot; they lie on one another when opened.

    The angiography keeps its voxels: its affine alone is moved.

    Args:
        folder: Of the case.
        images: The plain scan and what was drawn on it, by the names of the files.
        cta: The angiography, HU.
        matrix: 4 x 4, world of the plain scan to world of the angiography.
    """
    moved = make_image(
        np.rint(np.asarray(cta.dataobj)).astype(np.int16), np.linalg.inv(matrix) @ cta.affine
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in {**images, "cta": moved}.items():
        image.to_filename(folder / f"{name}.nii.gz")
