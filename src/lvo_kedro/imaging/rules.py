"""What an image must satisfy to be read as a head CT, as a table of rules.

Each rule looks at one property and returns what it found in words, with the value, or ``None``.
The first rule that finds something ends the case with a :class:`~lvo_kedro.errors.ScanError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from lvo_kedro.errors import CaseError, ScanError
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class ScanLimits(Options):
    """Between which bounds a scan is accepted."""

    min_spacing_mm: float = 0.1
    """Finest distance between neighbouring voxels."""
    max_spacing_mm: float = 10.0
    """Coarsest distance between neighbouring voxels or slices."""
    min_extent_mm: float = 100.0
    """A field of view that is smaller cannot hold a head's cross-section."""
    max_extent_mm: float = 700.0
    """No scanner's field of view is larger."""
    min_coverage_mm: float = 40.0
    """Least extent along the slices' axis; the arteries of interest span about 50 mm."""
    air_hu: float = -300.0
    """Head scans hold air: some values lie below this."""
    bone_hu: float = 250.0
    """Head scans hold bone: some values lie above this."""
    min_part: float = 0.001
    """Part of the voxels that must be air, and part that must be bone."""
    max_hu: float = 10000.0
    """Metal stays below this; a wrapped unsigned offset does not."""


class Rule(NamedTuple):
    """One check: what it looks for, and what to say when it finds it.

    Both texts may name a limit in braces, as in ``"at least {min_coverage_mm} mm"``.
    """

    finds: Callable[[Any, ScanLimits], str | None]
    expected: str
    remedy: str


def check(
    subject: object,
    rules: Sequence[Rule],
    limits: ScanLimits,
    error: type[CaseError] = ScanError,
) -> None:
    """Apply ``rules`` in order.

    Raises:
        CaseError: (of type ``error``) for the first rule that finds something.
    """
    values = limits.model_dump()
    for rule in rules:
        found = rule.finds(subject, limits)
        if found:
            raise error(found, rule.expected.format(**values), rule.remedy.format(**values))


def _shape_is_not_3d(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    if len(image.shape) == 3 and min(image.shape) > 1:
        return None
    return f"an image of shape {tuple(image.shape)}"


def _colour_or_complex(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    dtype = image.get_data_dtype()
    return None if dtype.kind in "iuf" else f"voxels of type {dtype}"


def _no_orientation(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    codes = int(image.header["qform_code"]), int(image.header["sform_code"])
    if codes == (0, 0):
        return "qform_code and sform_code 0: no patient orientation"
    # what a script writes that passes on voxels without their place; no scanner lies like this
    return "an identity affine: no patient orientation" if _is_identity(image.affine) else None


def _is_identity(affine: np.ndarray) -> bool:
    return bool(np.array_equal(affine, np.eye(4)))


def _two_orientations(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    qform, sform = image.get_qform(coded=True), image.get_sform(coded=True)
    if not (qform[1] and sform[1]):
        return None
    axes = ["".join(nib.aff2axcodes(affine)) for affine in (qform[0], sform[0])]
    return None if axes[0] == axes[1] else f"qform axes {axes[0]} but sform axes {axes[1]}"


def _foreign_unit(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    unit = image.header.get_xyzt_units()[0]
    return f"lengths in {unit}s" if unit in ("micron", "meter") else None


def _absurd_spacing(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    spacing = voxel_sizes(image.affine)
    fine = np.all((spacing >= limits.min_spacing_mm) & (spacing <= limits.max_spacing_mm))
    flat = abs(np.linalg.det(image.affine[:3, :3])) < 0.1 * spacing.prod()
    if fine and not flat:
        return None
    words = "degenerate axes, spacing" if flat and fine else "a voxel spacing of"
    return f"{words} {_listed(spacing)} mm"


def _absurd_extent(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    extent = np.sort(voxel_sizes(image.affine) * image.shape)
    if extent[1] >= limits.min_extent_mm and extent[2] <= limits.max_extent_mm:
        return None
    return f"a field of view of {_listed(extent[::-1], 0)} mm"


def _little_coverage(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    extent = voxel_sizes(image.affine) * image.shape
    if extent.min() >= limits.min_coverage_mm:
        return None
    axis = int(extent.argmin())
    return f"a coverage of {extent[axis]:.0f} mm ({image.shape[axis]} slices)"


def _not_finite(data: np.ndarray, _: ScanLimits) -> str | None:
    # one sum notices NaN and infinities without a mask of the volume's size
    if np.isfinite(data.sum(dtype=np.float64)):
        return None
    return f"{int((~np.isfinite(data)).sum())} voxels that are NaN or infinite"


def _constant(data: np.ndarray, _: ScanLimits) -> str | None:
    low, high = float(data.min()), float(data.max())
    return f"the same value {low:g} in every voxel" if low == high else None


def _not_hounsfield(data: np.ndarray, limits: ScanLimits) -> str | None:
    low, high = float(data.min()), float(data.max())
    if low < limits.air_hu and high > limits.bone_hu:
        return None
    guess = ""
    if 0 <= low and high <= 1:
        guess = " (scaled to 0-1)"
    elif 0 <= low and high <= 255:
        guess = " (8 bits)"
    elif 0 <= low and high > 1000:
        guess = " (raw values without the rescale intercept?)"
    return f"values from {low:g} to {high:g}{guess}"


def _wrapped(data: np.ndarray, limits: ScanLimits) -> str | None:
    part = float((data[::2, ::2, ::2] > limits.max_hu).mean())
    return f"{part:.0%} of the voxels above {limits.max_hu:g} HU" if part > 0.01 else None


def _no_air_or_bone(data: np.ndarray, limits: ScanLimits) -> str | None:
    thinned = data[::2, ::2, ::2]
    air, bone = float((thinned < limits.air_hu).mean()), float((thinned > limits.bone_hu).mean())
    if min(air, bone) >= limits.min_part:
        return None
    return f"{air:.2%} of the voxels with air and {bone:.2%} with bone"


def _listed(values: np.ndarray, digits: int = 4) -> str:
    return " x ".join(f"{round(float(v), digits):g}" for v in values)


HEADER_RULES: tuple[Rule, ...] = (
    Rule(
        _shape_is_not_3d,
        "one 3D volume",
        "export the head series as a single volume, not a picture or a time series",
    ),
    Rule(_colour_or_complex, "one number (HU) per voxel", "export the original CT series"),
    Rule(
        _foreign_unit,
        "millimetres",
        "write the file with xyzt_units 'mm' and its spacing in mm",
    ),
    Rule(
        _no_orientation,
        "a qform or sform that tells left from right",
        "convert the scan again from DICOM",
    ),
    Rule(
        _two_orientations,
        "qform and sform that agree",
        "convert the scan again from DICOM, or set both to the right affine",
    ),
    Rule(
        _absurd_spacing,
        "{min_spacing_mm:g} to {max_spacing_mm:g} mm between neighbours on three axes",
        "check the header; convert the scan again from DICOM",
    ),
    Rule(
        _absurd_extent,
        "a head: {min_extent_mm:g} to {max_extent_mm:g} mm across",
        "check the spacing in the header and that the series is the head",
    ),
    Rule(
        _little_coverage,
        "at least {min_coverage_mm:g} mm of the head along each axis",
        "use the full head series, not a scout or a part of it",
    ),
)
"""What is looked at before the voxels are read (a NIfTI image)."""

VALUE_RULES: tuple[Rule, ...] = (
    Rule(_not_finite, "finite HU everywhere", "convert the scan again from DICOM"),
    Rule(_constant, "a scan", "the file holds no picture; export it again"),
    Rule(
        _not_hounsfield,
        "Hounsfield units: air near -1000, bone above {bone_hu:g}",
        "export with full depth and rescale slope and intercept applied, without a window",
    ),
    Rule(
        _wrapped,
        "HU below {max_hu:g}",
        "the offset was stored unsigned; convert the scan again from DICOM",
    ),
    Rule(
        _no_air_or_bone,
        "at least {min_part:.1%} of each in a head scan with its skull",
        "use the original scan: not skull-stripped, not cropped, not a phantom",
    ),
)
"""What is looked at in the voxels (an array in HU)."""
