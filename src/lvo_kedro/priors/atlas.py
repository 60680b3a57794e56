"""Atlases: a brain template, the MCA territory and the hemispheres, in one template space.

Sides are read from world coordinates: the hemisphere with the smaller mean x is the patient's
left, whatever number its voxels carry and however the array is stored.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from skimage.filters import threshold_multiotsu

from lvo_kedro.errors import AtlasError
from lvo_kedro.imaging.geometry import grid_of, make_image, to_ras, world_axis
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.priors.embedded import CSF_HU, GREY_HU, WHITE_HU, embedded_images
from lvo_kedro.vocabulary import HEMISPHERES

ATLAS_FILES: Final[dict[str, tuple[str, ...]]] = {
    "template": ("template.nii.gz", "template.nii", "MNI152_brain.nii.gz"),
    "territory_probability": (
        "territory_probability.nii.gz",
        "territory_probability.nii",
        "ProbArterialAtlas_BMM_1_double_prep.nii.gz",
    ),
    "hemispheres": ("hemispheres.nii.gz", "hemispheres.nii", "half_brain_mask.nii.gz"),
}
"""The names under which an atlas folder's three files are looked for, first match first."""

_UNREADABLE = (ImageFileError, HeaderDataError, WrapStructError)
_BRAIN_ML = (900.0, 2600.0)
_HU_CEILING = 160.0  # a brain-extracted CT stays below; MR intensities have no such limit


@dataclass(frozen=True, eq=False)
class Atlas:
    """Template, territory and hemispheres on one RAS+ grid of template space.

    Attributes:
        template: The brain, 0 elsewhere; (X, Y, Z) float32 in the file's own units.
        template_hu: The same anatomy in the contrast of a CT, HU; (X, Y, Z) float32.
        territory_probability: Probability of the MCA territory, both sides; (X, Y, Z) float32.
        hemispheres: 1 the left, 2 the right side, 0 outside; (X, Y, Z) uint8.
        midline_x: Where the hemispheres meet, world x in mm.
        name: ``embedded`` or the folder's name, for records.
    """

    template: nib.Nifti1Image
    template_hu: nib.Nifti1Image
    territory_probability: nib.Nifti1Image
    hemispheres: nib.Nifti1Image
    midline_x: float
    name: str


def load_atlas(folder: Path | str | None = None) -> Atlas:
    """Return the embedded atlas, or the one in ``folder``.

    The result is kept in memory: ask for it where it is needed instead of handing it to workers.

    Args:
        folder: A folder with a brain-extracted template (T1 or CT), the territory probability and
            the hemispheres under one of the names in :data:`ATLAS_FILES`, each on a grid of its
            own if need be: they are brought together by world coordinates.

    Raises:
        AtlasError: A file is missing, unreadable or in another space, a probability is outside
            [0, 1], a side is empty, or the hemispheres are not two labels on opposite sides.

    Returns:
        Template, territory and hemispheres on one grid in template space.

    Examples:
        >>> atlas = load_atlas()  # needs no file: its template comes with nilearn
        >>> atlas is load_atlas()
        True
    """
    return _load(None if folder is None else Path(folder).resolve())


@functools.lru_cache(maxsize=4)
def _load(folder: Path | None) -> Atlas:
    if folder is None:
        return Atlas(**embedded_images(), midline_x=0.0, name="embedded")
    template = _check_template(_read(folder, "template"))
    grid = grid_of(template)
    brain = np.asarray(template.dataobj) > 0
    territory = _bring_over(_check_territory(_read(folder, "territory_probability")), template, 1)
    labels = _bring_over(_read(folder, "hemispheres"), template, 0)
    hemispheres, midline_x = _name_sides(labels)
    _check_both_sides(territory, midline_x)
    return Atlas(
        template=template,
        template_hu=make_image(_in_hounsfield(np.asarray(template.dataobj), brain), grid.affine),
        territory_probability=territory,
        hemispheres=hemispheres,
        midline_x=midline_x,
        name=folder.name,
    )


def _read(folder: Path, part: str) -> nib.Nifti1Image:
    names = ATLAS_FILES[part]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise AtlasError(
            f"no {part} in the atlas folder {folder}",
            f"one of {', '.join(names)}",
            "add the file (see atlases/README.md), or name no folder to use the embedded atlas",
        )
    try:
        image = nib.Nifti1Image.from_filename(path)
        data = np.squeeze(np.asarray(image.dataobj, dtype=np.float32))
    except (*_UNREADABLE, OSError, EOFError, ValueError) as error:
        raise AtlasError(
            f"{path.name} that cannot be read ({error})", "a NIfTI image", "replace the file"
        ) from error
    if data.ndim != 3 or min(data.shape) < 8:
        raise AtlasError(
            f"{path.name} with shape {image.shape}", "a 3D volume", "choose one volume of it"
        )
    if not np.isfinite(data).all():
        raise AtlasError(f"NaN or infinity in {path.name}", "finite values", "repair the file")
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-6:
        raise AtlasError(
            f"a degenerate affine in {path.name}", "an invertible one", "repair the header"
        )
    return to_ras(make_image(data, image.affine))


def _check_template(template: nib.Nifti1Image) -> nib.Nifti1Image:
    data = np.maximum(np.asarray(template.dataobj), 0.0)
    volume = float((data > 0).sum()) * grid_of(template).voxel_volume_ml
    low, high = _BRAIN_ML
    if not low <= volume <= high or (data > 0).mean() > 0.9:
        raise AtlasError(
            f"a template with {volume:.0f} ml above 0",
            f"a brain-extracted head, {low:.0f} to {high:.0f} ml, with 0 around it",
            "strip the skull, or check the voxel size in the header",
        )
    return make_image(data, template.affine)


def _check_territory(territory: nib.Nifti1Image) -> nib.Nifti1Image:
    data = np.asarray(territory.dataobj)
    low, high = float(data.min()), float(data.max())
    if low < -1e-3 or high > 1.0 + 1e-3 or high <= 0.1:
        raise AtlasError(
            f"territory values from {low:.3g} to {high:.3g}",
            "probabilities in [0, 1] that exceed 0.1 somewhere",
            "divide a map in per cent by 100; a label map is no probability",
        )
    return make_image(np.clip(data, 0.0, 1.0), territory.affine)


def _bring_over(image: nib.Nifti1Image, template: nib.Nifti1Image, order: int) -> nib.Nifti1Image:
    """Sample ``image`` on the template's grid; most of it must fall into the template's brain."""
    moved = resample(image, grid_of(template), order=order)
    data = np.asarray(moved.dataobj)
    brain = np.asarray(template.dataobj) > 0
    covered = float((data[brain] > 0).mean())
    before = float((np.asarray(image.dataobj) > 0).sum()) * grid_of(image).voxel_volume_ml
    inside = float(((data > 0) & brain).sum()) * grid_of(template).voxel_volume_ml
    if covered < 0.1 or inside < 0.4 * before:
        raise AtlasError(
            f"an atlas image of which {inside:.0f} of {before:.0f} ml lie in the template's brain",
            "images of one template space",
            "check which template each file belongs to, and the affines in their headers",
        )
    return moved


def _name_sides(labels: nib.Nifti1Image) -> tuple[nib.Nifti1Image, float]:
    """Give label 1 to the side with the smaller world x, 2 to the other; find where they meet."""
    data = np.asarray(labels.dataobj)
    present = [float(value) for value in np.unique(data) if value != 0]
    if len(present) != 2:
        raise AtlasError(
            f"hemisphere labels {present[:6]}", "two labels and background 0", "merge or add labels"
        )
    x = np.broadcast_to(world_axis(grid_of(labels), 0), data.shape)
    left, right = sorted(present, key=lambda value: float(x[data == value].mean()))
    on_left, on_right = data == left, data == right
    midline = 0.5 * (_percentile(x[on_left], 99.5) + _percentile(x[on_right], 0.5))
    wrong = float((on_left & (x > midline + 5)).sum() + (on_right & (x < midline - 5)).sum())
    ratio = on_left.sum() / on_right.sum()
    if wrong > 0.02 * (on_left.sum() + on_right.sum()) or not 0.8 <= ratio <= 1.25:
        raise AtlasError(
            f"hemisphere labels that overlap along x, left to right volume {ratio:.2f}",
            "one label on each side of the midline, about equally large",
            "check that the labels are the two hemispheres and that the affine is right",
        )
    named = np.where(on_left, HEMISPHERES["left"], np.where(on_right, HEMISPHERES["right"], 0))
    return make_image(named.astype(np.uint8), labels.affine), midline


def _percentile(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(values, percent))


def _check_both_sides(territory: nib.Nifti1Image, midline_x: float) -> None:
    data = np.asarray(territory.dataobj)
    x = world_axis(grid_of(territory), 0)
    left, right = float(data.sum(where=x < midline_x)), float(data.sum(where=x > midline_x))
    if min(left, right) < 0.5 * max(left, right):
        raise AtlasError(
            f"a territory map with sums {left:.0f} left and {right:.0f} right of the midline",
            "the territory of both sides",
            "mirror the map onto the other side",
        )


def _in_hounsfield(data: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Give a template the contrast of a CT, so that it and a scan are of one modality.

    A template that is a CT already stays as it is. In a T1 the three tissues are told apart by
    their intensities (Otsu's thresholds), and intensities between two tissues get HU between.
    """
    inside = data[brain]
    if inside.max() <= _HU_CEILING and 20 <= np.median(inside) <= 45:
        return np.clip(data, 0.0, 80.0).astype(np.float32)
    low, high = threshold_multiotsu(inside, classes=3)
    centres = [inside[inside <= low].mean(), 0.0, inside[inside > high].mean()]
    centres[1] = inside[(inside > low) & (inside <= high)].mean()
    contrast = np.interp(data, centres, [CSF_HU, GREY_HU, WHITE_HU])
    return np.where(brain, contrast, 0.0).astype(np.float32)
