"""The brain mask and the description of a scan, on a phantom head whose skull is known."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import BrainOptions, QualityLimits, describe_scan, extract_brain
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image, world_axis
from lvo_kedro.imaging.resampling import resample
from tests.imaging.phantoms import ellipsoid, head_grid, phantom_head
from tests.lengths import one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import nibabel as nib


def dice(mask: nib.Nifti1Image, truth: np.ndarray) -> float:
    found = np.asarray(mask.dataobj) > 0
    return 2.0 * float((found & truth).sum()) / float(found.sum() + truth.sum())


def turn(degrees: float, axis: int) -> np.ndarray:
    angle = np.radians(degrees)
    a, b = [i for i in range(3) if i != axis]
    matrix = np.eye(4)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


SCANS: dict[str, tuple[Grid, dict[str, Any]]] = {
    "1 mm, bone kernel": (head_grid((1.0, 1.0, 1.0)), {"noise": 40.0}),
    "1 x 1 x 5 mm": (head_grid((1.0, 1.0, 5.0)), {}),
    "3 mm": (head_grid((3.0, 3.0, 3.0)), {}),
    "craniectomy": (head_grid(), {"craniectomy": True}),
    "vertex cut": (head_grid(z=(-75, 30)), {}),
    "base cut": (head_grid(z=(-10, 90)), {}),
    "middle only": (head_grid(z=(-20, 30)), {}),
    "oblique": (Grid((124, 147, 60), turn(12, 0) @ turn(15, 2) @ head_grid().affine), {}),
}


@pytest.mark.parametrize("name", one_of(2, SCANS))
def test_the_mask_is_the_inside_of_the_skull(name: str) -> None:
    grid, options = SCANS[name]
    hu, inside = phantom_head(grid, **options)
    mask = extract_brain(make_image(hu, grid.affine))
    found = np.asarray(mask.dataobj)
    assert mask.get_data_dtype() == np.uint8
    assert np.allclose(mask.affine, grid.affine)
    assert dice(mask, inside) > 0.975
    assert ndimage.label(found)[1] == 1
    assert ndimage.binary_fill_holes(found).sum() == found.sum()
    points = [world_axis(grid, axis) for axis in range(3)]
    for side in (-1, 1):  # globes, and the fat around them
        assert not found[ellipsoid(points, (32 * side, 75, -48), (22, 32, 20)) & ~inside].any()
    assert not found[points[2] + 0 * points[0] < -80].any()


@pytest.mark.parametrize(
    ("order", "signs"),
    [(o, s) for o in permutations(range(3)) for s in product((1, -1), repeat=3)][::9],
)
def test_the_axis_order_does_not_matter(order: tuple, signs: tuple) -> None:
    grid = head_grid((3.0, 3.0, 4.0))
    hu, _ = phantom_head(grid)
    reference = extract_brain(make_image(hu, grid.affine))
    turned = np.stack([order, signs], axis=1)
    image = make_image(hu, grid.affine).as_reoriented(turned)
    expected = reference.as_reoriented(turned)
    found = extract_brain(image)
    assert dice(found, np.asarray(expected.dataobj) > 0) > 0.99


def test_sheared_scan(head: nib.Nifti1Image) -> None:
    shear = np.eye(4)
    shear[1, 2] = -0.35
    grid = Grid((124, 200, 55), shear @ head_grid().affine)
    hu, inside = phantom_head(grid)
    assert dice(extract_brain(make_image(hu, grid.affine)), inside) > 0.975


def test_lesions_stay_inside(head: nib.Nifti1Image) -> None:
    grid = grid_of(head)
    points = [world_axis(grid, axis) for axis in range(3)]
    hu = head.get_fdata(dtype=np.float32).copy()
    hu[ellipsoid(points, (35, 0, 20), (24, 28, 24))] = 72  # haematoma
    hu[ellipsoid(points, (-40, -40, 20), (20, 24, 24))] = 8  # old infarct
    hu[ellipsoid(points, (0, 40, 50), (6, 6, 6))] = -900  # air
    inside = phantom_head(grid)[1]
    assert dice(extract_brain(make_image(hu, head.affine)), inside) > 0.985


def water_phantom(grid: Grid) -> np.ndarray:
    x, y, z = (world_axis(grid, axis) for axis in range(3))
    hu = np.full(grid.shape, -1000.0, np.float32)
    hu[np.hypot(x, y) + 0 * z < 80] = 1000.0 / 8
    hu[np.hypot(x, y) + 0 * z < 76] = 0.0
    hu[np.hypot(x, y - 100) + 0 * z < 6] = 900.0  # the table's rail
    return hu


def chest(grid: Grid) -> np.ndarray:
    points = [world_axis(grid, axis) for axis in range(3)]
    x, y, _ = points
    outline = [x, y, 0 * points[2]]
    hu = np.full(grid.shape, -1000.0, np.float32)
    hu[ellipsoid(outline, (0, 0, 0), (90, 100, 1))] = 45.0
    for side in (-1, 1):
        hu[ellipsoid(outline, (45 * side, 20, 0), (30, 60, 1))] = -850.0
    hu[ellipsoid(outline, (0, -70, 0), (14, 16, 1))] = 500.0
    return hu


def bone_only(grid: Grid) -> np.ndarray:
    hu, _ = phantom_head(grid)
    return np.where(hu > 300, hu, -1000.0)


@pytest.mark.parametrize("make", [water_phantom, chest, bone_only])
def test_what_is_not_a_head(make: Any) -> None:
    grid = head_grid((2.0, 2.0, 3.0))
    with pytest.raises(ScanError, match="no brain inside a skull") as caught:
        extract_brain(make_image(make(grid), grid.affine))
    assert "brain mask" in caught.value.remedy


def test_options_decide_what_is_large_enough(head: nib.Nifti1Image) -> None:
    with pytest.raises(ScanError, match=r"15\d\d ml with bone around"):
        extract_brain(head, BrainOptions(max_volume_ml=1000.0))


@pytest.fixture(scope="module")
def described(head: nib.Nifti1Image) -> dict[str, Any]:
    return describe_scan(head, extract_brain(head), QualityLimits(max_in_plane_mm=1.5))


def test_description_of_a_good_scan(described: dict[str, Any]) -> None:
    (finding,) = described["findings"]  # the phantom's dense ball of 20 mm, 4.2 ml
    assert finding.startswith("haemorrhage-like hyperdensity: 4.2 ml")
    assert "on the left at (-35, 45, 10) mm" in finding
    assert described["shape"] == (124, 147, 55)
    assert described["spacing_mm"] == (1.5, 1.5, 3.0)
    assert described["slice_thickness_mm"] == 3.0
    assert described["coverage_mm"] == 165.0
    assert described["brain_volume_ml"] == pytest.approx(1570, rel=0.02)
    assert described["brain_height_mm"] == pytest.approx(135, abs=12)
    assert described["brain_median_hu"] == pytest.approx(34, abs=1)
    assert described["noise_hu"] == pytest.approx(4.0, abs=0.6)
    assert abs(described["rotation_deg"]) <= 1.5
    assert described["bright_ml"] == described["bright_vessels_mm"] == 0


def test_description_does_not_depend_on_the_axis_order(
    head: nib.Nifti1Image, described: dict[str, Any]
) -> None:
    turned = [[1, -1], [2, 1], [0, -1]]
    mask = extract_brain(head)
    again = describe_scan(
        head.as_reoriented(turned), mask.as_reoriented(turned), QualityLimits(max_in_plane_mm=1.5)
    )
    assert again == described


def scan_of(grid: Grid, **options: Any) -> nib.Nifti1Image:
    return make_image(phantom_head(grid, **options)[0], grid.affine)


def with_contrast() -> nib.Nifti1Image:
    image = scan_of(head_grid())
    x, y, z = (world_axis(grid_of(image), axis) for axis in range(3))
    data = image.get_fdata(dtype=np.float32)
    for side in (-1, 1):
        data[(np.hypot(x - 38 * side, z + 10) < 2.5) & (abs(y) < 35)] = 250.0
    return make_image(data, image.affine)


FINDINGS: dict[str, tuple[Callable[[], nib.Nifti1Image], str]] = {
    "thick": (lambda: scan_of(head_grid((1.0, 1.0, 5.0))), "thick slices: 5.0 mm"),
    "noise": (lambda: scan_of(head_grid((1.0, 1.0, 3.0)), noise=30.0), "high noise: "),
    "vertex": (lambda: scan_of(head_grid(z=(-75, 30))), "vertex cut off, 1"),
    "base": (lambda: scan_of(head_grid(z=(-10, 90))), "skull base cut off, 1"),
    "small": (lambda: scan_of(head_grid(z=(-10, 40))), "small brain volume: 8"),
    "contrast": (with_contrast, "contrast medium suspected: "),
    "turned": (
        lambda: make_image(
            phantom_head(Grid((124, 147, 55), turn(-20, 2) @ head_grid().affine))[0],
            head_grid().affine,
        ),
        "head turned by 2",
    ),
    "off centre": (
        lambda: scan_of(Grid((180, 147, 55), head_grid().affine)),
        "head off centre by 4",
    ),
    "side": (lambda: scan_of(Grid((80, 147, 55), head_grid().affine)), "field of view too small: "),
}


@pytest.mark.parametrize("name", one_of(3, FINDINGS))
def test_findings_in_words(name: str) -> None:
    make, words = FINDINGS[name]
    image = make()
    findings = describe_scan(image, extract_brain(image))["findings"]
    assert any(words in finding for finding in findings), findings


def test_a_turn_in_the_world_has_the_sign_of_the_patients_nose() -> None:
    grid = head_grid((3.0, 3.0, 3.0))
    world = Grid(
        (90, 90, 60), np.array([[3, 0, 0, -135], [0, 3, 0, -135], [0, 0, 3, -80], [0, 0, 0, 1.0]])
    )
    hu, inside = phantom_head(grid, noise=0.0)
    turned = turn(20, 2) @ grid.affine  # the nose moves towards -x, the patient's left
    head = resample(make_image(hu, turned), world, fill=-1000.0)
    mask = resample(make_image(inside.astype(np.uint8), turned), world, order=0)
    assert describe_scan(head, mask)["rotation_deg"] == pytest.approx(20, abs=1.6)


def test_an_empty_mask_cannot_be_described(head: nib.Nifti1Image) -> None:
    with pytest.raises(ValueError, match="empty"):
        describe_scan(head, make_image(np.zeros(head.shape, np.uint8), head.affine))
