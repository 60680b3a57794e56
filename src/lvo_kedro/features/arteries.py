"""Densities of C7, M1 and M2 on both sides: against each other, and against the patient's blood.

One reader for all that names or weighs arteries. Two views of the same voxels: the *searched*
region (where the vessel lies, where the other side's would lie if mirrored, and a little around),
so that a vessel that was found on one side only, or not quite, is still compared; and the *core* of
each label, where the lumen is, which tells a denser clot from a wider or calcified artery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.features.options import FeatureOptions
from lvo_kedro.imaging.boxes import bounding_box, covering_box
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image
from lvo_kedro.imaging.midplane import Midplane, midplane_of
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SEGMENTS, SIDES, Side

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Mask = NDArray[np.bool_]

SEARCHED: Final = ("peak_difference", "ridge_difference", "dense_ml_difference")
"""Of a segment's searched region: its own value minus the other side's."""
CORE: Final = "core_over_blood"
"""Of a segment's core: HU above the patient's own blood."""
BLOOD: Final = "blood_hu"
"""Of a patient: the density of open arteries."""
PLACE: Final = ("x_mm", "y_mm", "z_mm")
"""World point of the densest run of a segment's artery."""

_CALCIUM_HU: Final = 100.0
_BLOOD_LIMIT_HU: Final = 90.0
_MARGIN_MM: Final = 10.0
_LEAST_VOXELS: Final = 5
_MIDDLE: Final = 0.6
"""Weight from which a voxel counts as an artery's middle."""


def describe_arteries(
    ncct: nib.Nifti1Image,
    vessel_labels: nib.Nifti1Image,
    hemispheres: nib.Nifti1Image,
    options: FeatureOptions = FeatureOptions(),
) -> pd.DataFrame:
    """Read the densities of C7, M1 and M2 on both sides, calcium left out.

    Args:
        ncct: HU, any orientation; axes at right angles.
        vessel_labels: Vessel labels on the scan's grid, predicted or annotated.
        hemispheres: 1 in the patient's left, 2 in the right half.
        options: Lengths and densities.

    Returns:
        A row per side and segment: ``volume_ml`` of its label. Minus the other side's value in the
        mirrored region: ``peak_difference`` (HU), the densest part when averaged along the artery;
        ``ridge_difference`` (HU), the same of the densest points of each cross section;
        ``dense_ml_difference``, the dense volume. ``core_over_blood`` (HU): the 95th percentile of
        the density along the core, minus the patient's own blood; NaN where the segment was not
        found. ``blood_hu``, alike in all rows: the median along the cores of all arteries, NaN
        without any. ``x_mm``, ``y_mm``, ``z_mm``: the world point at which the ridge is densest,
        NaN where nothing is searched.

    Raises:
        ScanError: No two hemispheres.
    """
    crop = _around_vessels(ncct, vessel_labels, midplane_of(hemispheres))
    lumen = _Lumen(crop, options)
    core = ArteryCores(crop.hu, crop.labels, crop.spacing, options)
    rows: list[dict[str, Any]] = []
    for segment in SEGMENTS:
        own, other = (
            labels == OCCLUSION_LABELS[segment] for labels in (crop.labels, crop.mirrored)
        )
        region = ndimage.binary_dilation(own | other, ball(options.around_mm, crop.spacing))
        read = {side: lumen.read(region & crop.half(side)) for side in SIDES}
        for side, opposite in (SIDES, SIDES[::-1]):
            here = own & crop.half(side)
            (own_values, place), (other_values, _) = read[side], read[opposite]
            row: dict[str, Any] = {"side": side, "segment": segment}
            row |= {"volume_ml": float(here.sum()) * crop.voxel_ml}
            row |= dict(zip(SEARCHED, own_values - other_values, strict=True))
            row |= {CORE: core.read(here), BLOOD: core.blood}
            rows.append(row | dict(zip(PLACE, place, strict=True)))
    return pd.DataFrame(
        rows, columns=["side", "segment", "volume_ml", *SEARCHED, CORE, BLOOD, *PLACE]
    )


class _Crop(NamedTuple):
    """The box around the vessels, on the scan's own voxels."""

    hu: NDArray[np.float32]
    labels: NDArray[Any]
    mirrored: NDArray[Any]  # the other side's labels, mirrored at the midline
    right: Mask
    grid: Grid

    @property
    def spacing(self) -> Floats:
        return np.asarray(self.grid.spacing)

    @property
    def voxel_ml(self) -> float:
        return float(self.spacing.prod()) / 1000

    def half(self, side: Side) -> Mask:
        return self.right if side == "right" else ~self.right


def _around_vessels(
    ncct: nib.Nifti1Image, vessel_labels: nib.Nifti1Image, midplane: Midplane
) -> _Crop:
    labels = np.asarray(vessel_labels.dataobj)
    grid, mirror = grid_of(ncct), midplane.mirror()
    index = np.argwhere(np.isin(labels, list(OCCLUSION_LABELS.values())))
    points = apply_affine(grid.affine, index if len(index) else np.zeros((1, 3)))
    both = np.concatenate([points, apply_affine(mirror, points)])
    box = covering_box(both, grid, np.ceil(_MARGIN_MM / np.asarray(grid.spacing)))
    hu, part = np.asarray(ncct.dataobj[box], dtype=np.float32), grid.part(box)
    mirrored = resample(make_image(labels, mirror @ grid.affine), part, order=0)
    voxels = np.moveaxis(np.indices(hu.shape), 0, -1)
    right = midplane.distance(apply_affine(part.affine, voxels)) > 0
    return _Crop(hu, labels[box], np.asarray(mirrored.dataobj), right, part)


class _Lumen:
    """Reads densities of arteries in the searched region."""

    def __init__(self, crop: _Crop, options: FeatureOptions) -> None:
        self.crop, self.options = crop, options
        self.usable = ~ndimage.binary_dilation(crop.hu > _CALCIUM_HU)
        smooth = ndimage.gaussian_filter(
            np.clip(crop.hu, 0, _CALCIUM_HU), options.smooth_mm / crop.spacing
        )
        self.density = np.where(self.usable, smooth, 0)
        self.ridge = ndimage.maximum_filter(
            self.density, footprint=ball(options.calibre_mm, crop.spacing)
        )

    def read(self, region: Mask) -> tuple[Floats, Floats]:
        """Return peak and ridge (HU), dense volume (ml) and where the ridge is densest (world mm).

        Where nothing is, the values are 0 and the place is NaN.
        """
        usable = region & self.usable
        if not usable.any():
            return np.zeros(len(SEARCHED)), np.full(len(PLACE), np.nan)
        sigma = self.options.along_mm / self.crop.spacing
        box = bounding_box(usable, margin=np.ceil(4 * sigma))  # as far as the Gaussian reaches
        near = usable[box]
        weight = near.astype(np.float32)
        total = np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-6)
        peak, ridge = (
            (ndimage.gaussian_filter(weight * values[box], sigma) / total)[near]
            for values in (self.density, self.ridge)
        )
        dense = (self.density[usable] > self.options.dense_hu).sum() * self.crop.voxel_ml
        place = apply_affine(self.crop.grid.affine, np.argwhere(usable)[ridge.argmax()])
        return np.array([peak.max(), ridge.max(), dense], dtype=float), place


class ArteryCores:
    """Densities along the middle of the vessels' labels, and that of the patient's blood.

    Args:
        hu: Scan in HU, (X, Y, Z).
        labels: Vessel labels on its voxels.
        spacing: Of these, in mm.
        options: Where the lumen is expected, and how far it is averaged along the artery.

    Attributes:
        inside: The large arteries, calcium left out.
        density: HU averaged along the core, (X, Y, Z); has a meaning inside alone.
        blood: Median of the cores of all arteries (HU), NaN without any.
    """

    def __init__(
        self,
        hu: NDArray[np.float32],
        labels: NDArray[Any],
        spacing: Floats,
        options: FeatureOptions = FeatureOptions(),
    ) -> None:
        usable = ~ndimage.binary_dilation(hu > _CALCIUM_HU)
        sigma = options.along_mm / spacing
        limited = np.clip(hu, 0, _BLOOD_LIMIT_HU)
        large = np.isin(labels, list(OCCLUSION_LABELS.values()))
        self.inside = large & usable
        self.density = _along(limited, _core_weight(large, usable, spacing, options), sigma)
        weight = _core_weight(labels > 0, usable, spacing, options)
        middle = _along(limited, weight, sigma)[weight > _MIDDLE]
        self.blood = float(np.median(middle)) if middle.size else np.nan

    def read(self, region: Mask) -> float:
        """Return how much denser (HU) a segment's densest run is than blood, NaN if unknown.

        Args:
            region: Where the segment lies.
        """
        at = region & self.inside
        if at.sum() < _LEAST_VOXELS:
            return np.nan
        return float(np.percentile(self.density[at], 95)) - self.blood


def _core_weight(mask: Mask, usable: Mask, spacing: Floats, options: FeatureOptions) -> Floats:
    depth = ndimage.distance_transform_edt(mask, sampling=spacing)
    short = options.core_depth_mm - np.minimum(depth, options.core_depth_mm)
    weight = np.exp(-0.5 * (short / options.core_width_mm) ** 2)
    return np.asarray(weight * (mask & usable), dtype=np.float32)


def _along(hu: Floats, weight: Floats, sigma: Floats) -> Floats:
    """Return the weighted mean along the artery."""
    total = np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-4)
    return np.asarray(ndimage.gaussian_filter(hu * weight, sigma) / total)


def ball(radius: float, spacing: Floats) -> Mask:
    """Return the voxels within ``radius`` mm of one."""
    reach = np.floor(radius / spacing + 1e-6).astype(int)
    steps = [np.arange(-n, n + 1) * mm for n, mm in zip(reach, spacing, strict=True)]
    x, y, z = np.meshgrid(*steps, indexing="ij")
    return np.asarray(x**2 + y**2 + z**2 <= radius**2 + 1e-6)
