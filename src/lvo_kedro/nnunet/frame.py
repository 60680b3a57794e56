"""The part of a scan that nnU-Net sees, and the way back to the scan's own grid.

nnU-Net knows spacing but not orientation. So a scan is always shown to it in RAS+, where asked
for cut to the box of a mask and brought to cubic voxels; what it answers is put back voxel for
voxel (no resampling) or through world coordinates (resampling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

from lvo_kedro.imaging.boxes import bounding_box, box_corners, covering_box, whole_box
from lvo_kedro.imaging.geometry import Grid, grid_of, isotropic_grid, make_image, to_ras
from lvo_kedro.imaging.resampling import interpolate, matching_sigma, resample, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.boxes import Box
    from lvo_kedro.nnunet.options import NnUNetOptions

_NEGLIGIBLE = 0.02
"""Probability below which a voxel cannot win against background after interpolation."""
_NEVER_ZERO = 1e-3

_FWHM_PER_SIGMA = 2.355
"""Rounded less finely than elsewhere, which is worth up to 0.07 HU at the skull: the networks whose
weights are shipped saw it so."""


class Frame:
    """A scan as nnU-Net sees it.

    Args:
        image: Scan (X, Y, Z) or (X, Y, Z, channels), any orientation.
        mask: Region of interest on any grid; used where ``options.crop_margin_mm`` is set.
        options: ``spacing_mm`` and ``crop_margin_mm`` count here.

    Attributes:
        image: RAS+, cropped, resampled.
    """

    def __init__(
        self,
        image: nib.Nifti1Image,
        mask: nib.Nifti1Image | None,
        options: NnUNetOptions,
    ) -> None:
        self._shape = image.shape[:3]
        self._affine = image.affine
        ras = to_ras(image)
        self._ras_shape = ras.shape[:3]
        self.box = _box_of(ras, mask, options.crop_margin_mm)
        boxed = ras.slicer[self.box]
        self._boxed = grid_of(boxed)
        self._grid: Grid | None = None
        if options.spacing_mm is not None:
            self._grid = isotropic_grid(_first_channel(boxed), options.spacing_mm)
            boxed = _resample_channels(boxed, self._grid)
        self.image = boxed

    @property
    def is_resampled(self) -> bool:
        """Whether the way back interpolates."""
        return self._grid is not None

    def show_labels(self, labels: nib.Nifti1Image) -> nib.Nifti1Image:
        """Bring a label image on the scan's grid into the frame."""
        boxed = to_ras(labels).slicer[self.box]
        return boxed if self._grid is None else resample(boxed, self._grid, order=0)

    def restore_labels(self, labels: NDArray[np.integer]) -> nib.Nifti1Image:
        """Put labels of a frame that was not resampled back on the scan's own grid."""
        full = np.zeros(self._ras_shape, dtype=np.uint8)
        full[self.box] = labels
        return self._to_scan(full)

    def restore_probabilities(self, probabilities: NDArray[np.floating]) -> nib.Nifti1Image:
        """Put probabilities (labels, x, y, z) back as (X, Y, Z, labels); outside is background."""
        full = np.zeros((*self._ras_shape, len(probabilities)), dtype=np.float32)
        full[..., 0] = 1.0
        for label in range(1, len(probabilities)):
            there = self._on_box(probabilities[label])
            full[(*self.box, label)] = there
            full[(*self.box, 0)] -= there
        return self._to_scan(full)

    def labels_from(self, probabilities: NDArray[np.floating]) -> nib.Nifti1Image:
        """Return the likeliest label on the scan's own grid, interpolating probabilities."""
        if self._grid is None:
            return self.restore_labels(np.argmax(probabilities, axis=0))
        foreground = probabilities[1:].max(axis=0) > _NEGLIGIBLE
        full = np.zeros(self._ras_shape, dtype=np.uint8)
        if foreground.any():
            # an interpolated value reaches up to one voxel beyond those it comes from
            corners = box_corners(self._grid.affine, bounding_box(foreground), margin=1)
            part = covering_box(corners, self._boxed)
            target = self._boxed.part(part)
            best = np.zeros(target.shape, dtype=np.float32)
            rest = np.ones(target.shape, dtype=np.float32)
            winner = np.zeros(target.shape, dtype=np.uint8)
            for label in range(1, len(probabilities)):
                there = self._interpolate(probabilities[label], target)
                winner[there > best] = label
                rest -= there
                np.maximum(best, there, out=best)
            winner[rest >= best] = 0
            boxed = full[self.box]
            boxed[part] = winner
        return self._to_scan(full)

    def _on_box(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        return values if self._grid is None else self._interpolate(values, self._boxed)

    def _interpolate(self, values: NDArray[np.floating], target: Grid) -> NDArray[np.float32]:
        if self._grid is None:
            raise RuntimeError("a frame on the scan's own grid needs no interpolation")
        return interpolate(np.asarray(values, dtype=np.float32), self._grid, target)

    def _to_scan(self, ras: NDArray) -> nib.Nifti1Image:
        axes = ornt_transform(nib.orientations.axcodes2ornt("RAS"), io_orientation(self._affine))
        return make_image(np.ascontiguousarray(apply_orientation(ras, axes)), self._affine)


def channels_of(image: nib.Nifti1Image) -> np.ndarray:
    """Return (channels, X, Y, Z) float32; an image of zeros gets one voxel that is not quite 0.

    nnU-Net cuts images to their non-zero box and cannot cut one that has none.
    """
    data = np.asarray(image.dataobj, dtype=np.float32)
    data = data[None] if data.ndim == 3 else np.moveaxis(data, -1, 0)
    if not data.any():
        data = data.copy()
        data[(0, *(n // 2 for n in data.shape[1:]))] = _NEVER_ZERO
    return np.ascontiguousarray(data)


def _box_of(ras: nib.Nifti1Image, mask: nib.Nifti1Image | None, margin: float | None) -> Box:
    if mask is None or margin is None:
        return whole_box(ras.shape)
    there = resample(to_ras(mask), grid_of(_first_channel(ras)), order=0)
    filled = np.asarray(there.dataobj) > 0
    if not filled.any():
        return whole_box(ras.shape)
    return bounding_box(filled, np.ceil(margin / voxel_sizes(ras.affine)))


def _first_channel(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return image if image.ndim == 3 else image.slicer[..., 0]


def _resample_channels(image: nib.Nifti1Image, grid: Grid) -> nib.Nifti1Image:
    if image.ndim == 3:
        return _resample(image, grid)
    channels = [image.slicer[..., c] for c in range(image.shape[3])]
    data = [_resample(channel, grid).dataobj for channel in channels]
    return make_image(np.stack(data, axis=-1), grid.affine)


def _resample(image: nib.Nifti1Image, grid: Grid) -> nib.Nifti1Image:
    """Average over the voxels of a coarser grid, so that noise is not picked from single ones."""
    sigma = matching_sigma(voxel_sizes(image.affine), grid.spacing, _FWHM_PER_SIGMA)
    return resample(make_image(smooth(np.asarray(image.dataobj), sigma), image.affine), grid)
