"""The head in a scan that goes on to the chest, found before the scan is read in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from lvo_kedro.imaging.boxes import bounding_box, whole_box
from lvo_kedro.imaging.geometry import make_image

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.boxes import Box
    from lvo_kedro.imaging.rules import ScanLimits

LONG_MM: Final = 300.0
"""A scan that covers less along its vertical axis is left as it is."""
HEAD_MM: Final = 260.0
"""From the vertex down: chin and skull base lie within this in the largest head, however bent."""
CRANIUM_MM: Final = 130.0
"""From the uppermost core down: above the shoulders, and wide enough for the head's width."""
CORE_MM: Final = 40.0
"""Half of what a head is thick at least, and an arm at most."""
MARGIN_MM: Final = 25.0
"""What is kept around the head."""
_STEP_MM: Final = 5.0


class Head(NamedTuple):
    """Where the head lies in a scan."""

    box: Box
    findings: tuple[str, ...] = ()
    """What is left out, in a sentence."""


def vertical_axis(affine: NDArray[np.float64]) -> int:
    """Return the array axis that runs most nearly from foot to head, or the other way."""
    return int(np.abs(affine[2, :3] / voxel_sizes(affine)).argmax())


def find_head(image: nib.Nifti1Image, limits: ScanLimits) -> Head:
    """Find the head at the upper end of a long scan; a shorter one is kept whole.

    The vertex lies above the highest place around which tissue is as thick as in a head: arms
    that are raised beside or above it are thinner.

    Args:
        image: CT in HU, any axis order; its voxels may still lie in the file.
        limits: Below ``air_hu`` is no tissue, and above ``max_hu`` neither.
    """
    spacing = voxel_sizes(image.affine)
    up = vertical_axis(image.affine)
    whole = Head(whole_box(image.shape))
    if image.shape[up] * spacing[up] < LONG_MM:
        return whole
    steps = [max(1, int(_STEP_MM / edge)) for edge in spacing]
    x, y, z = (slice(None, None, step) for step in steps)
    thin = read_part(image, (x, y, z))
    hu, thin_spacing = np.asarray(thin.dataobj), voxel_sizes(thin.affine)
    tissue = (hu > limits.air_hu) & (hu < limits.max_hu)
    core = ndimage.distance_transform_edt(tissue, sampling=thin_spacing) > CORE_MM
    if not core.any():
        return whole
    low, high = _bounds(core, thin_spacing, up, upwards=bool(image.affine[2, up] > 0))
    box = [
        slice(max(0, int(a / edge)), min(n, int(b / edge) + 1))
        for a, b, edge, n in zip(low, high, spacing, image.shape, strict=True)
    ]
    ends = box[up].start * spacing[up], (image.shape[up] - box[up].stop) * spacing[up]
    below, above = ends if image.affine[2, up] > 0 else ends[::-1]
    beyond = [
        f"{mm:.0f} mm {side}" for mm, side in ((below, "below"), (above, "above")) if mm > MARGIN_MM
    ]
    if not beyond:
        return whole
    words = f"the scan goes on {' and '.join(beyond)} the head: cut off"
    return Head((box[0], box[1], box[2]), (words,))


def read_part(image: nib.Nifti1Image, part: Box) -> nib.Nifti1Image:
    """Read a part of an image, or every n-th of its voxels, as float32.

    Plane by plane, for nibabel scales to float64 what it reads at once.
    """
    ranges = [range(*s.indices(n)) for s, n in zip(part, image.shape, strict=True)]
    data = np.empty([len(r) for r in ranges], dtype=np.float32, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite, the rules refuse
        for k, plane in enumerate(ranges[2]):
            data[..., k] = image.dataobj[part[0], part[1], plane]
    affine = np.array(image.affine, dtype=float)
    affine[:3, 3] = apply_affine(affine, [r.start for r in ranges])
    affine[:3, :3] *= [r.step for r in ranges]
    return make_image(data, affine)


def _bounds(
    core: NDArray[np.bool_], spacing: NDArray[np.float64], up: int, upwards: bool
) -> tuple[list[float], list[float]]:
    """Return the head's box in mm from the first voxel along each array axis."""
    axes = [axis for axis in range(3) if axis != up]
    sign = 1.0 if upwards else -1.0
    heights = sign * np.arange(core.shape[up]) * spacing[up]
    top = heights[core.any(axis=(axes[0], axes[1]))].max()
    cranium = bounding_box(core.compress(heights >= top - CRANIUM_MM, axis=up))
    low, high = [0.0] * 3, [0.0] * 3
    for axis in axes:
        low[axis] = float(cranium[axis].start * spacing[axis]) - CORE_MM - MARGIN_MM
        high[axis] = float((cranium[axis].stop - 1) * spacing[axis]) + CORE_MM + MARGIN_MM
    ends = sign * (top + CORE_MM + MARGIN_MM), sign * (top + CORE_MM - HEAD_MM)
    low[up], high[up] = min(ends), max(ends)
    return low, high
