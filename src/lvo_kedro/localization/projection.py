"""The scan inside its large vessels, projected along the patient's z axis, and the way back.

Vocabulary
    *column*: all points with the same world x and y; a pixel of the projection.
    *depth*: world z (mm) of the brightest point of a column, NaN where it holds no vessel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from pydantic import Field
from scipy import ndimage

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import OCCLUSION_LABELS, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    import nibabel as nib
    from numpy.typing import NDArray

LARGE_VESSELS = tuple(OCCLUSION_LABELS.values())


class ProjectionOptions(Options):
    """How vessels are projected."""

    renamed: ClassVar[dict[str, str]] = {
        "ceiling": "max_hu",
        "spacing": "spacing_mm",
        "margin": "margin_mm",
        "size": "size_mm",
        "dilation": "dilation_mm",
    }

    spacing_mm: float = Field(default=1.0, gt=0)
    """Pixel edge and step along z, in mm."""
    margin_mm: float = Field(default=10.0, ge=0)
    """Free border around the vessels, in mm."""
    size_mm: tuple[float, float] = (150.0, 100.0)
    """Least extent in mm, to the side (x) and to the front (y)."""
    dilation_mm: float = Field(default=0.0, ge=0)
    """Widening of the vessels before projection, in mm."""
    max_hu: float | None = None
    """Where set, denser points (HU) are calcium or bone, and the next brightest one counts."""
    add_labels: bool = False
    """Add a channel with the vessel label of the brightest point."""


class Projection(NamedTuple):
    """A maximum-intensity projection; all images are (X, Y, 1) on one grid along the world's axes.

    Attributes:
        mip: Brightest HU inside the vessels, 0 outside.
        depth: World z of that point in mm, NaN outside.
        labels: Vessel label of that point, 0 outside.
    """

    mip: nib.Nifti1Image
    depth: nib.Nifti1Image
    labels: nib.Nifti1Image

    def points(self) -> NDArray[np.float64]:
        """Return the world point (mm) behind every pixel, (X, Y, 3), NaN outside vessels."""
        shape = self.mip.shape[:2]
        index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), [0], indexing="ij"), -1)
        points = apply_affine(self.mip.affine, index[:, :, 0])
        points[..., 2] = np.asarray(self.depth.dataobj)[..., 0]
        return points

    def image(self, options: ProjectionOptions) -> nib.Nifti1Image:
        """Return what a network sees: the projection, with the labels as a channel if asked for."""
        if not options.add_labels:
            return self.mip
        channels = [np.asarray(self.mip.dataobj), np.asarray(self.labels.dataobj)]
        return make_image(np.stack(channels, axis=-1).astype(np.float32), self.mip.affine)


def project_vessels(
    ncct: nib.Nifti1Image,
    vessel_labels: nib.Nifti1Image,
    options: ProjectionOptions = ProjectionOptions(),
) -> Projection:
    """Project the scan inside C7, M1 and M2 along the patient's z axis (not the array's).

    Args:
        ncct: HU, any orientation, oblique or sheared.
        vessel_labels: Vessel labels on the scan's grid.
        options: Pixel size, least extent, channels.

    Returns:
        Images with the same affine; scans without vessels give an empty projection.

    Raises:
        ScanError: Where scan and labels are not on one grid.

    Examples:
        >>> from lvo_kedro.simulation import SimulationOptions, simulate_case
        >>> case = simulate_case(7, SimulationOptions(spacing_mm=2.0, slice_thickness_mm=(5.0,)))
        >>> projection = project_vessels(case.ncct, case.vessel_labels)
        >>> projection.mip.shape[2], np.unique(projection.labels.dataobj).tolist()
        (1, [0, 1, 2, 3])
    """
    _check_one_grid(ncct, vessel_labels)
    large = _large(vessel_labels, options.dilation_mm)
    grid = _world_grid(large, options)
    hu = np.asarray(resample(ncct, grid, fill=-1024.0).dataobj)
    labels = np.asarray(resample(large, grid, order=0).dataobj)
    max_hu = np.inf if options.max_hu is None else options.max_hu
    # what is denser than that stays behind everything else that the vessel holds
    inside = np.where(labels > 0, np.where(hu > max_hu, -2048.0, hu), -np.inf)
    top = inside.argmax(axis=2)[..., None]
    filled = (labels > 0).any(axis=2, keepdims=True)
    depth = grid.affine[2, 3] + grid.affine[2, 2] * top
    flat = _flat_affine(grid, options)
    brightest = np.clip(np.take_along_axis(hu, top, axis=2), 1, max_hu)
    return Projection(
        make_image(np.where(filled, brightest, 0).astype(np.float32), flat),
        make_image(np.where(filled, depth, np.nan).astype(np.float32), flat),
        make_image(np.take_along_axis(labels, top, axis=2).astype(np.uint8), flat),
    )


def project_labels(
    occlusion: nib.Nifti1Image,
    projection: Projection,
    vessel_labels: nib.Nifti1Image | None = None,
    segments: Sequence[Segment] = (),
) -> nib.Nifti1Image:
    """Project a clot mask onto a projection's grid, for training.

    Args:
        occlusion: Labels 1 C7, 2 M1, 3 M2, or a binary mask.
        projection: Gives the grid.
        vessel_labels: Needed for a binary mask: each of its voxels takes the label of the nearest
            vessel among ``segments``.
        segments: The case's occluded segments.

    Returns:
        (X, Y, 1) uint8; where several labels share a column, the one that fills most of it.
    """
    labelled = occlusion
    if vessel_labels is not None and segments:
        labelled = label_clot(occlusion, vessel_labels, segments)
    x, y, _ = projection.mip.shape
    step = float(projection.mip.affine[0, 0])
    low, high = _extent_z(labelled)
    affine = projection.mip.affine.copy()
    affine[2] = [0, 0, step, low - step]
    grid = Grid((x, y, int((high - low) / step) + 3), affine)
    there = np.asarray(resample(labelled, grid, order=0).dataobj)
    counts = np.stack([(there == label).sum(axis=2) for label in LARGE_VESSELS])
    flat = np.where(counts.any(axis=0), counts.argmax(axis=0) + 1, 0)[..., None]
    return make_image(flat.astype(np.uint8), projection.mip.affine)


def label_clot(
    occlusion: nib.Nifti1Image, vessel_labels: nib.Nifti1Image, segments: Sequence[Segment]
) -> nib.Nifti1Image:
    """Give every voxel of a clot the label of the nearest vessel among ``segments``.

    Args:
        occlusion: Clot, > 0 inside, (X, Y, Z).
        vessel_labels: 1 C7, 2 M1, 3 M2, 4 other, on the same grid.
        segments: The segments that it lies in, as the cohort table names them.

    Returns:
        The clot with labels instead of ones, on its grid.
    """
    _check_one_grid(occlusion, vessel_labels)
    vessels = np.asarray(vessel_labels.dataobj)
    wanted = [OCCLUSION_LABELS[segment] for segment in segments]
    candidates = np.isin(vessels, wanted)
    clot = np.asarray(occlusion.dataobj) > 0
    if not candidates.any():
        return make_image((clot * wanted[0]).astype(np.uint8), occlusion.affine)
    nearest = ndimage.distance_transform_edt(
        ~candidates,
        sampling=voxel_sizes(occlusion.affine),
        return_distances=False,
        return_indices=True,
    )
    return make_image(np.where(clot, vessels[tuple(nearest)], 0).astype(np.uint8), occlusion.affine)


def back_project(
    mask: nib.Nifti1Image,
    projection: Projection,
    vessel_labels: nib.Nifti1Image,
    tolerance: float = 4.0,
) -> tuple[nib.Nifti1Image, NDArray[np.float64] | None]:
    """Bring a mask on the projection back into the scan.

    Args:
        mask: Labels (X, Y, 1) on the projection's grid.
        projection: With its depth map.
        vessel_labels: Vessel labels on the scan's grid.
        tolerance: A vessel voxel belongs to its column's bright point within this many mm.

    Returns:
        Labels (uint8) on the scan's grid, and the centre of the marked points in world mm (None
        where nothing with a depth is marked).
    """
    marked = np.asarray(mask.dataobj)[..., 0]
    depth = np.asarray(projection.depth.dataobj)[..., 0]
    vessels = np.asarray(vessel_labels.dataobj)
    index = np.argwhere(np.isin(vessels, LARGE_VESSELS))
    clot = np.zeros(vessels.shape, dtype=np.uint8)
    if len(index):
        world = apply_affine(vessel_labels.affine, index)
        pixel = np.rint(apply_affine(np.linalg.inv(projection.mip.affine), world))[:, :2]
        pixel = np.clip(pixel.astype(int), 0, np.array(marked.shape) - 1)
        x, y = pixel.T
        near = np.abs(world[:, 2] - depth[x, y]) <= tolerance
        clot[tuple(index.T)] = np.where(near, marked[x, y], 0)
    points = projection.points()[(marked > 0) & np.isfinite(depth)]
    return make_image(clot, vessel_labels.affine), points.mean(axis=0) if len(points) else None


def _check_one_grid(image: nib.Nifti1Image, labels: nib.Nifti1Image) -> None:
    if image.shape != labels.shape or not np.allclose(image.affine, labels.affine, atol=1e-3):
        raise ScanError(
            f"labels of shape {labels.shape} on an image of shape {image.shape}, or another affine",
            "labels on the image's own grid",
            "bring the labels onto the image's grid",
        )


def _large(vessel_labels: nib.Nifti1Image, dilation: float) -> nib.Nifti1Image:
    data = np.asarray(vessel_labels.dataobj)
    large = np.where(np.isin(data, LARGE_VESSELS), data, 0).astype(np.uint8)
    if dilation > 0 and large.any():
        away, nearest = ndimage.distance_transform_edt(
            large == 0, sampling=voxel_sizes(vessel_labels.affine), return_indices=True
        )
        large = np.where(away <= dilation, large[tuple(nearest)], 0).astype(np.uint8)
    return make_image(large, vessel_labels.affine)


def _world_grid(large: nib.Nifti1Image, options: ProjectionOptions) -> Grid:
    """Return a grid along the world's axes around the vessels, ``size_mm`` wide or wider."""
    index = np.argwhere(np.asarray(large.dataobj) > 0)
    if len(index) == 0:
        index = np.array([np.asarray(large.shape[:3]) / 2])
    world = apply_affine(large.affine, index)
    pad = float(voxel_sizes(large.affine).max())
    low, high = world.min(axis=0) - pad, world.max(axis=0) + pad
    least = np.array([*options.size_mm, 0.0])
    half = np.maximum((high - low) / 2 + options.margin_mm * np.array([1, 1, 0]), least / 2)
    centre = (low + high) / 2
    count = np.ceil(2 * half / options.spacing_mm).astype(int) + 1
    count[:2] = -(-count[:2] // 8) * 8  # sizes that a network can halve
    affine = np.diag([*[options.spacing_mm] * 3, 1.0])
    affine[:3, 3] = centre - (count - 1) * options.spacing_mm / 2
    x, y, z = (int(n) for n in count)
    return Grid((x, y, z), affine)


def _flat_affine(grid: Grid, options: ProjectionOptions) -> NDArray[np.float64]:
    affine = grid.affine.copy()
    affine[2, 3] += (grid.shape[2] - 1) * options.spacing_mm / 2
    return affine


def _extent_z(image: nib.Nifti1Image) -> tuple[float, float]:
    index = np.argwhere(np.asarray(image.dataobj) > 0)
    if len(index) == 0:
        return 0.0, 0.0
    z = apply_affine(grid_of(image).affine, index)[:, 2]
    pad = float(voxel_sizes(image.affine).max())
    return float(z.min()) - pad, float(z.max()) + pad
