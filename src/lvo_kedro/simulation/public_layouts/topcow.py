"""Simulated angiographies in the layouts of TopCoW and TopBrain, with arteries labelled by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.simulation.arteries import label_arteries
from lvo_kedro.simulation.case import simulate_case
from lvo_kedro.simulation.cta import CtaOptions, simulate_cta
from lvo_kedro.simulation.options import Orientation, SimulationOptions
from lvo_kedro.simulation.public_layouts.mark import mark_simulated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Quirk = Literal["no labels", "mirrored", "unknown value", "another grid", "MR"]
"""What is odd about a patient's files."""
_LABELS: Final = {
    "topcow": {
        "basilar": (1, 1), "P1": (2, 3), "C7": (4, 6), "M1": (5, 7), "A1": (11, 12), "A2": (11, 12)
    },
    "topbrain": {
        "basilar": (1, 1), "P1": (2, 3), "C7": (4, 6), "M1": (5, 7), "M2": (17, 19),
        "A1": (11, 12), "A2": (11, 12),
    },
}  # fmt: skip
"""Values of the simulator's arteries, right and left."""
_FOLDERS: Final = {
    "topcow": ("imagesTr", "cow_seg_labelsTr"),
    "topbrain": ("imagesTr_topbrain_ct", "labelsTr_topbrain_ct"),
}
_M2_OF_TOPCOW_MM: Final = 8.0
"""How much of M2 the label of TopCoW's middle cerebral artery holds."""
_WIDTH_MM: Final = 4.0


@dataclass(frozen=True)
class TopcowPatient:
    """One simulated patient, and what is odd about the files."""

    number: int
    quirks: frozenset[Quirk] = frozenset()
    orientation: Orientation = "LPS"


def write_topcow(
    folder: Path,
    patients: Sequence[TopcowPatient],
    scheme: Literal["topcow", "topbrain"] = "topcow",
    *,
    seed: int = 0,
    spacing_mm: float = 2.0,
) -> None:
    """Write simulated angiographies as TopCoW or TopBrain lays them out.

    Args:
        folder: A new or empty one.
        patients: Whom to write; all without occlusion.
        scheme: Whose layout and labels.
        seed: Decides everything else.
        spacing_mm: Edge of the voxels.
    """
    images, labels = (folder / name for name in _FOLDERS[scheme])
    for place in (images, labels):
        place.mkdir(parents=True)
    for patient in patients:
        options = SimulationOptions(
            lvo=False, spacing_mm=spacing_mm, orientations=(patient.orientation,)
        )
        cta = CtaOptions(spacing_mm=spacing_mm, slice_thickness_mm=spacing_mm)
        scan = simulate_cta(seed + patient.number, options, cta)
        kind = "mr" if "MR" in patient.quirks else "ct"
        name = f"topcow_{kind}_{patient.number:03d}"
        nib.save(scan.cta, images / f"{name}_0000.nii.gz")
        if "no labels" not in patient.quirks:
            drawn = _draw(scan.cta, scan.movement, seed + patient.number, options, scheme)
            nib.save(_odd(drawn, patient.quirks), labels / f"{name}.nii.gz")
    mark_simulated(folder)


def _draw(
    cta: nib.Nifti1Image, movement: np.ndarray, seed: int, options: SimulationOptions, scheme: str
) -> nib.Nifti1Image:
    values = _LABELS[scheme]
    shown = []
    for artery in simulate_case(seed, options).arteries:
        trunk = "M2" if artery.name.startswith("M2") else artery.name
        kept = np.ones(len(artery.points), bool)
        if trunk == "M2" and scheme == "topcow":
            trunk, kept = "M1", artery.arc <= _M2_OF_TOPCOW_MM
        if trunk not in values:
            continue
        points = apply_affine(movement, artery.points[kept])
        label = values[trunk][artery.side == "left"]
        shown.append(replace(artery, points=points, label=label))
    grid = grid_of(cta)
    return make_image(label_arteries(grid, shown, _WIDTH_MM), cta.affine)


def _odd(labels: nib.Nifti1Image, quirks: frozenset[Quirk]) -> nib.Nifti1Image:
    data, affine = np.asarray(labels.dataobj).copy(), labels.affine.copy()
    if "mirrored" in quirks:
        swapped = data.copy()
        for right, left in ((4, 6), (5, 7), (17, 19)):
            swapped[data == right], swapped[data == left] = left, right
        data = swapped
    if "unknown value" in quirks:
        data[data == 1] = 99
    if "another grid" in quirks:
        affine[:3, 3] += 5.0
    return make_image(data, affine)
