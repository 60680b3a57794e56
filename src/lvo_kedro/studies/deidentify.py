"""What keeps a file from being imported, and taking the face off a scan.

What is written are voxels in HU and their place, and the few columns of
:mod:`~lvo_kedro.studies.kept_headers`: names, dates, private attributes and comments are dropped by
not being written. What remains are words within the picture, which no list of attributes can take
away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image
from lvo_kedro.imaging.resampling import resample

if TYPE_CHECKING:
    import nibabel as nib
    import pydicom
    from numpy.typing import NDArray

MARGIN_MM: Final = 12.0
"""Of scalp and skull around the brain's hull that stays: the brain is found by its bone."""
AIR_HU: Final = -1000.0
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
"""Start of the SOP classes of pictures that were taken of a screen or scanned from paper."""
_SCREEN: Final = {"SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "SCREENSHOT", "DOSE", "DOSE_INFO"}
_COARSE_MM: Final = 4.0


def reasons_to_refuse(dataset: pydicom.Dataset) -> list[str]:
    """Say why a DICOM object may carry words that identify a patient in its picture.

    Args:
        dataset: Its attributes; the pixels are not looked at.

    Returns:
        Reasons in words that quote nothing of the object; empty where it may be imported.

    Examples:
        >>> from pydicom import Dataset
        >>> dataset = Dataset()
        >>> dataset.BurnedInAnnotation = "YES"
        >>> reasons_to_refuse(dataset)
        ['words are burnt into the picture (BurnedInAnnotation)']
    """
    kinds = {kind.upper() for kind in _values(dataset, "ImageType")}
    captured = (
        _first(dataset, "SOPClassUID").startswith(_SECONDARY_CAPTURE)
        or _first(dataset, "Modality").upper() in ("SC", "OT", "DOC")
        or "ConversionType" in dataset
    )
    overlay = any(len(dataset.group_dataset(group)) for group in range(0x6000, 0x6020, 2))
    document = "EncapsulatedDocument" in dataset or "ContentSequence" in dataset
    burnt = _first(dataset, "BurnedInAnnotation").upper() in ("YES", "Y")
    found = {
        "words are burnt into the picture (BurnedInAnnotation)": burnt,
        "a secondary capture: a picture of a screen or of paper": captured,
        "a picture of a screen (ImageType)": bool(kinds & _SCREEN),
        "a picture in colour": _first(dataset, "SamplesPerPixel") not in ("", "1"),
        "graphics or words lie over the picture (overlay)": overlay,
        "a document, not a picture": document,
    }
    return [reason for reason, applies in found.items() if applies]


def _values(dataset: pydicom.Dataset, name: str) -> list[str]:
    """Return an attribute's values as text; one that cannot be read says nothing."""
    try:
        value: Any = dataset.get(name, "")
    except MemoryError:
        raise
    except Exception:  # whatever pydicom raises on a damaged value
        return []
    if value is None:
        return []
    return [value.strip()] if isinstance(value, str) else [str(v) for v in np.atleast_1d(value)]


def _first(dataset: pydicom.Dataset, name: str) -> str:
    return next(iter(_values(dataset, name)), "")


def deface(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, margin_mm: float = MARGIN_MM
) -> nib.Nifti1Image:
    """Set to air what lies outside the brain's convex hull and a margin: nose, mouth, ears, chin.

    The skull around the brain stays, since the brain is found by it. A face may still be guessed
    from what remains of forehead and orbits.

    Args:
        ncct: Head CT in HU, any axis order.
        brain_mask: Non-zero inside the brain, on any grid in the same world.
        margin_mm: How far beyond the hull voxels stay.

    Returns:
        The scan on its own grid and of its own type; a voxel that stays has its value.

    Raises:
        ScanError: The mask is empty or flat.
    """
    facets = _hull(brain_mask)
    distance = resample(_distance(facets, ncct), grid_of(ncct), order=1, fill=np.inf)
    data = np.asanyarray(ncct.dataobj)
    outside = ~(np.asarray(distance.dataobj) <= margin_mm)
    return make_image(np.where(outside, np.asarray(AIR_HU, data.dtype), data), ncct.affine)


def _hull(brain_mask: nib.Nifti1Image) -> NDArray[np.float64]:
    """Return outward normals and offsets (world mm) of the facets around a mask, shape (n, 4)."""
    inside = np.asarray(brain_mask.dataobj) > 0
    surface = inside & ~ndimage.binary_erosion(inside)
    points = np.argwhere(surface)
    points = points[:: max(1, len(points) // 20_000)]  # the hull changes by less than a voxel
    try:
        return ConvexHull(apply_affine(brain_mask.affine, points)).equations
    except (QhullError, ValueError, IndexError) as error:
        raise ScanError(
            f"a brain mask of {int(inside.sum())} voxels, which has no hull",
            "a brain",
            "give a brain mask, or import without taking the face off",
        ) from error


def _distance(facets: NDArray[np.float64], ncct: nib.Nifti1Image) -> nib.Nifti1Image:
    """Return the distance (mm) from the hull on a coarse grid around the scan.

    It is the distance from the nearest facet's plane: right at facets, too small at edges, where
    a little more stays. It is linear nearly everywhere, so that a coarse grid will do.
    """
    step = np.maximum(np.round(_COARSE_MM / voxel_sizes(ncct.affine)), 1)
    count = np.ceil((np.asarray(ncct.shape[:3]) - 1) / step).astype(int) + 1
    grid = Grid((int(count[0]), int(count[1]), int(count[2])), ncct.affine @ np.diag([*step, 1.0]))
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    points = apply_affine(grid.affine, index).astype(np.float32)
    normals, offsets = facets[:, :3].astype(np.float32), facets[:, 3].astype(np.float32)
    farthest = [(plane @ normals.T + offsets).max(axis=-1) for plane in points]
    return make_image(np.stack(farthest), grid.affine)
