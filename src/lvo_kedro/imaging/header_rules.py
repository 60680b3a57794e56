"""What the header of an image must say, as tables of :mod:`~lvo_kedro.imaging.rules`."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from lvo_kedro.imaging.cutting import vertical_axis
from lvo_kedro.imaging.nifti import MAX_QUATERNION, quaternion_length
from lvo_kedro.imaging.rules import Rule, ScanLimits

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIZE_TOLERANCE = 0.01
_ANGLE_TOLERANCE = 1.0
_FAR_MM = 1e5


def _shape_is_not_3d(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    if len(image.shape) == 3 and min(image.shape) > 1:
        return None
    return f"an image of shape {tuple(image.shape)}"


def _colour_or_complex(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    dtype = image.get_data_dtype()
    return None if dtype.kind in "iuf" else f"voxels of type {dtype}"


def _foreign_unit(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    code = int(image.header["xyzt_units"]) % 8
    unit = {1: "meters", 3: "microns"}.get(code, f"a unit that NIfTI does not know (code {code})")
    return None if code in (0, 2) else f"lengths in {unit}"


def _geometry_is_absurd(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    header = image.header
    fields = {"pixdim": header["pixdim"][1:4]}
    if header["sform_code"] > 0:
        fields |= {name: header[name] for name in ("srow_x", "srow_y", "srow_z")}
    if header["qform_code"] > 0:
        names = [f"quatern_{n}" for n in "bcd"] + [f"qoffset_{n}" for n in "xyz"]
        fields |= {name: header[name] for name in names}
    # not a number is not within the bound either
    wrong = [name for name, value in fields.items() if not (np.abs(value) < _FAR_MM).all()]
    return f"NaN, infinite or absurd numbers in {', '.join(wrong)}" if wrong else None


def _no_orientation(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    codes = int(image.header["qform_code"]), int(image.header["sform_code"])
    if codes == (0, 0):
        return "qform_code and sform_code 0: no patient orientation"
    if np.array_equal(image.affine, np.eye(4)):
        return "an identity affine: no patient orientation"
    if _made_up(image):
        return (
            "an affine of plain ones with a corner at 0 (axes "
            f"{''.join(nib.aff2axcodes(image.affine))}): no patient orientation or spacing"
        )
    return None


def _made_up(image: nib.Nifti1Image) -> bool:
    """Tell an affine that tools write for voxels that came without one: no scanner lies so.

    Ones and signs alone, and a corner of the volume (another one once axes were flipped) at 0.
    """
    columns = image.affine[:3, :3]
    if not (np.isin(np.abs(columns), (0, 1)).all() and (np.abs(columns).sum(axis=0) == 1).all()):
        return False
    corners = apply_affine(image.affine, list(product(*((0, n - 1) for n in image.shape))))
    return bool((corners == 0).all(axis=1).any())


def _flat(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    spacing = voxel_sizes(image.affine)
    if abs(np.linalg.det(image.affine[:3, :3])) >= 0.1 * spacing.prod() > 0:
        return None
    return f"degenerate axes, spacing {_listed(spacing)} mm"


def _two_geometries(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    """Compare sform and qform; ``pixdim``, the qform's spacing, counts where its code is 0, too.

    A tilted gantry shears an sform, which a qform cannot be: it holds right angles nearby, and as
    spacing the distances of neighbours or those of the planes.
    """
    sform, coded = image.get_sform(coded=True)
    if not coded:
        return None
    spacing = np.abs(image.header["pixdim"][1:4].astype(float))
    distances = voxel_sizes(sform)
    planes = 1 / np.linalg.norm(np.linalg.inv(sform[:3, :3]), axis=1)
    close = [np.isclose(spacing, size, rtol=_SIZE_TOLERANCE) for size in (distances, planes)]
    qform = None if _quaternion_is_bad(image) else image.get_qform(coded=True)[0]
    if np.all(close[0] | close[1]) and _agree(qform, sform):
        return None
    return (
        f"a qform with {_axes(qform)}a spacing of {_listed(spacing)} mm but an sform with "
        f"{_axes(sform)}a spacing of {_listed(distances)} mm" + _turned(qform, sform)
    )


def describe_qform(image: nib.Nifti1Image) -> tuple[str, ...]:
    """Say in a finding that a qform is left aside which is no rotation and not the sform's."""
    if not image.header["sform_code"] > 0 or not _quaternion_is_bad(image):
        return ()
    length = quaternion_length(image.header)
    if length <= MAX_QUATERNION and _agree(image.get_qform(), image.get_sform()):
        return ()
    return (f"the qform is no rotation (a quaternion of length {length:.8g}): the sform is taken",)


def _quaternion_is_bad(image: nib.Nifti1Image) -> bool:
    """Tell a quaternion that is too long for a rotation: beside an sform it says nothing."""
    header = image.header
    excess = quaternion_length(header) ** 2 - 1
    return bool(header["qform_code"] > 0 and excess >= header.quaternion_threshold)


def _agree(qform: NDArray[np.float64] | None, sform: NDArray[np.float64]) -> bool:
    return qform is None or _degrees(qform, sform) <= _ANGLE_TOLERANCE + _shear(sform)


def _axes(affine: NDArray[np.float64] | None) -> str:
    return "" if affine is None else f"axes {''.join(nib.aff2axcodes(affine))} and "


def _turned(qform: NDArray[np.float64] | None, sform: NDArray[np.float64]) -> str:
    return "" if qform is None else f" ({_degrees(qform, sform):.1f} degrees between them)"


def _degrees(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the largest angle between the same array axis of two affines."""
    axes = [affine[:3, :3] / voxel_sizes(affine) for affine in (one, other)]
    return float(np.degrees(np.arccos(np.clip((axes[0] * axes[1]).sum(axis=0), -1, 1))).max())


def _shear(affine: NDArray[np.float64]) -> float:
    """Return by how many degrees the axes are off their right angles."""
    axes = affine[:3, :3] / voxel_sizes(affine)
    skew = np.abs(axes.T @ axes - np.eye(3)).max()
    return float(np.degrees(np.arcsin(min(skew, 1.0))))


def _absurd_spacing(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    spacing = voxel_sizes(image.affine)
    if np.all((spacing >= limits.min_spacing_mm) & (spacing <= limits.max_spacing_mm)):
        return None
    return f"a voxel spacing of {_listed(spacing)} mm"


def _absurd_extent(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    extent = voxel_sizes(image.affine) * image.shape
    largest = np.full(3, limits.max_extent_mm)
    largest[vertical_axis(image.affine)] = limits.max_length_mm
    if np.sort(extent)[1] >= limits.min_extent_mm and np.all(extent <= largest):
        return None
    return f"a field of view of {_listed(np.sort(extent)[::-1], 0)} mm"


def _little_coverage(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    extent = voxel_sizes(image.affine) * image.shape
    if extent.min() >= limits.min_coverage_mm:
        return None
    axis = int(extent.argmin())
    return f"a coverage of {extent[axis]:.0f} mm ({image.shape[axis]} slices)"


def _listed(values: np.ndarray, digits: int = 4) -> str:
    return " x ".join(f"{round(float(v), digits):g}" for v in values)


IMAGE_RULES: tuple[Rule, ...] = (
    Rule(
        _shape_is_not_3d,
        "one 3D volume",
        "export the head series as a single volume, not a picture or a time series",
    ),
    Rule(_colour_or_complex, "one number per voxel", "export the original CT series"),
    Rule(
        _foreign_unit,
        "millimetres",
        "write the file with xyzt_units 'mm' and its spacing in mm",
    ),
    Rule(
        _geometry_is_absurd,
        "finite numbers, no place in space further away than a room is large",
        "write the file again with the affine of the original series",
    ),
    Rule(
        _no_orientation,
        "a qform or sform that tells left from right",
        "write the file again with the affine of the original series",
    ),
    Rule(
        _flat,
        "three axes in space",
        "write the file again with the affine of the original series",
    ),
    Rule(
        _two_geometries,
        "one geometry: spacing within 1 %, axes within 1 degree beside a shear",
        "find out which of them is right, and set qform, sform and pixdim to it",
    ),
)
"""What is looked at in the header of every image."""

HEADER_RULES: tuple[Rule, ...] = (
    *IMAGE_RULES,
    Rule(
        _absurd_spacing,
        "{min_spacing_mm:g} to {max_spacing_mm:g} mm between neighbours on three axes",
        "check the spacing in the header against the original series",
    ),
    Rule(
        _absurd_extent,
        "a head: {min_extent_mm:g} to {max_extent_mm:g} mm across, from head to foot at most "
        "{max_length_mm:g} mm",
        "check the spacing in the header and that the series is the head",
    ),
    Rule(
        _little_coverage,
        "at least {min_coverage_mm:g} mm of the head along each axis",
        "use the full head series, not a scout or a part of it",
    ),
)
"""What is looked at in a scan's header before its voxels are read."""
