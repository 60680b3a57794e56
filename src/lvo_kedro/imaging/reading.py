"""Reading what a user hands over: the head scan, and labels or masks drawn on it.

Whatever comes in leaves as an image in RAS+ with right-angled axes and a header that carries
geometry alone. Errors say what a file was to be (``ncct``, ``brain_mask``, ...), never its name,
which may be a patient's.
"""

from __future__ import annotations

import logging
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.cutting import find_head, read_part
from lvo_kedro.imaging.dicom import read_series
from lvo_kedro.imaging.geometry import box_overlap, grid_of, make_image, to_ras
from lvo_kedro.imaging.header_rules import HEADER_RULES, IMAGE_RULES, describe_qform
from lvo_kedro.imaging.nifti import open_nifti, whole_file
from lvo_kedro.imaging.pixels import AIR_HU
from lvo_kedro.imaging.resampling import resample, straighten
from lvo_kedro.imaging.rules import ScanLimits, check
from lvo_kedro.imaging.value_rules import VALUE_RULES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import nibabel as nib

logger = logging.getLogger(__name__)


class Scan(NamedTuple):
    """A head scan as it was read."""

    ncct: nib.Nifti1Image
    """float32 HU of at least -1024 in RAS+ with right-angled axes; geometry is all its header."""
    findings: tuple[str, ...] = ()
    """What is remarkable about the files that it came from, in sentences."""
    contrast_named: bool = False
    """Whether the headers name a contrast agent."""
    child: bool | None = None
    """Whether the headers say that the patient is under 18; None where they say no age."""


def read_ncct(path: str | Path, limits: ScanLimits = ScanLimits()) -> nib.Nifti1Image:
    """Read a non-contrast head CT: :func:`read_scan` without what it found beside the scan.

    Args:
        path: NIfTI file, or folder with one DICOM series.
        limits: Between which bounds a scan is accepted.

    Returns:
        float32 HU, (X, Y, Z) in RAS+, axes at right angles; the header carries geometry alone.

    Raises:
        ScanError: The file or series cannot be used.

    Examples:
        >>> from tempfile import mkdtemp
        >>> import nibabel as nib
        >>> from lvo_kedro.simulation import SimulationOptions, simulate_case
        >>> case = simulate_case(7, SimulationOptions(spacing_mm=2.0, slice_thickness_mm=(5.0,)))
        >>> nib.aff2axcodes(case.ncct.affine)  # as the scanner left it
        ('L', 'A', 'S')
        >>> path = f"{mkdtemp()}/ncct.nii.gz"
        >>> case.ncct.to_filename(path)
        >>> nib.aff2axcodes(read_ncct(path).affine)
        ('R', 'A', 'S')
    """
    scan = read_scan(path, limits)
    for finding in scan.findings:
        logger.warning("%s", finding)
    return scan.ncct


def read_scan(path: str | Path | Sequence[Path], limits: ScanLimits = ScanLimits()) -> Scan:
    """Read a head CT and say what is remarkable about its files.

    Args:
        path: A NIfTI file (``.nii``, ``.nii.gz``), a folder with one DICOM series (files of any
            name, at most one folder deeper), or a list of DICOM files that are taken as one
            series, whatever series they say that they belong to.
        limits: Bounds between which a scan is accepted.

    Returns:
        The scan, cut to the head where it goes on to the chest; a gantry tilt is straightened and
        uneven slice steps are made even.

    Raises:
        ScanError: The file or folder does not hold a usable head CT.
    """
    path = Path(path) if isinstance(path, str) else path
    if not isinstance(path, Path) or path.is_dir():
        image, findings, contrast_named, child = read_series(path, limits)
    else:
        image, contrast_named, child = open_nifti(path, "ncct"), False, None
        with whole_file("ncct"):
            check(image, HEADER_RULES, limits)
            findings = describe_qform(image)
    with whole_file("ncct"):
        head = find_head(image, limits)
        part = read_part(image, head.box)
        data = np.asarray(part.dataobj)
        _without_padding(image, data, limits)
    check(part, VALUE_RULES, limits)
    np.maximum(data, AIR_HU, out=data)
    straight = straighten(to_ras(part), fill=AIR_HU)
    check(straight, HEADER_RULES, limits)
    ncct = make_image(np.ascontiguousarray(straight.dataobj), straight.affine)
    return Scan(ncct, (*findings, *head.findings), contrast_named, child)


def read_labels(
    path: str | Path,
    ncct: nib.Nifti1Image,
    allowed: Collection[int],
    role: str = "labels",
) -> nib.Nifti1Image:
    """Read a label image that was drawn on ``ncct`` or on a copy of it with another grid.

    Args:
        path: NIfTI file with whole numbers; any orientation, spacing or shear.
        ncct: The scan, as :func:`read_ncct` returned it.
        allowed: Label values that may occur beside 0.
        role: What errors call the file, such as its column in the cohort table.

    Returns:
        uint8 labels on ``ncct``'s grid, brought there by world coordinates (nearest neighbour).

    Raises:
        ScanError: Unreadable, unknown values, no label at all, or labels that lie outside the scan.
    """
    path = Path(path)
    image = open_nifti(path, role)
    with whole_file(role):
        check(image, IMAGE_RULES, ScanLimits(), role=role)
        data = np.asanyarray(image.dataobj)
    _check_label_values(data, allowed, role)
    labels = make_image(data.astype(np.uint8), image.affine)
    on_scan = resample(labels, grid_of(ncct), order=0)
    _check_labels_arrived(labels, on_scan, ncct, role)
    return on_scan


def read_mask(path: str | Path, ncct: nib.Nifti1Image) -> nib.Nifti1Image:
    """Read a brain mask made by another tool onto ``ncct``'s grid.

    Args:
        path: NIfTI file, on any grid that overlaps the scan.
        ncct: The scan, whose grid counts.

    Returns:
        Mask, (X, Y, Z) uint8: 1 inside, 0 outside.

    Raises:
        ScanError: As :func:`read_labels`; a mask holds 0 and 1 alone.
    """
    return read_labels(path, ncct, allowed=(1,), role="brain_mask")


def _without_padding(image: nib.Nifti1Image, data: np.ndarray, limits: ScanLimits) -> None:
    """Turn padding that was stored unsigned into air, in place.

    Such padding is one value, in the corners of the image and nowhere denser than anything else.
    """
    corners = {float(image.dataobj[corner]) for corner in product((0, -1), repeat=3)}
    if len(corners) == 1 and min(corners) > limits.max_hu:
        high = data > limits.max_hu
        if np.all(data[high] == np.float32(min(corners))):
            data[high] = AIR_HU


def _check_label_values(data: np.ndarray, allowed: Collection[int], role: str) -> None:
    present = np.unique(data[data != 0])
    unknown = [float(v) for v in present if v not in {0, *allowed}]
    expected = f"0 and labels out of {sorted(allowed)}"
    if unknown:
        words = ", ".join(f"{v:g}" for v in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise ScanError(
            f"values {words} in {role}", expected, "relabel the image or remove these values"
        )
    if not present.size:
        raise ScanError(
            f"no label in {role}", expected, "leave the path empty when nothing is annotated"
        )


def _check_labels_arrived(
    labels: nib.Nifti1Image, on_scan: nib.Nifti1Image, ncct: nib.Nifti1Image, role: str
) -> None:
    drawn = float((np.asarray(labels.dataobj) > 0).sum()) * grid_of(labels).voxel_volume_ml
    arrived = float((np.asarray(on_scan.dataobj) > 0).sum()) * grid_of(on_scan).voxel_volume_ml
    if arrived >= 0.5 * drawn:
        return
    raise ScanError(
        f"{arrived:.2f} of {drawn:.2f} ml labels of {role} inside the scan "
        f"({box_overlap(ncct, labels):.0%} of its box)",
        "labels in the scan's own world coordinates",
        "save the labels with the affine of the scan on which they were drawn",
    )
