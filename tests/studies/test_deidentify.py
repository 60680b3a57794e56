"""Pictures that may show a name are refused; a face comes off and the brain is still found."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import extract_brain
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.simulation import SimulatedCase, SimulationOptions, simulate_case
from lvo_kedro.studies.deidentify import AIR_HU, deface, reasons_to_refuse


def ct(**changes: object) -> Dataset:
    dataset = Dataset()
    fields = {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"],
        "PatientName": "Muster^Erika",
        "SamplesPerPixel": 1,
        "BurnedInAnnotation": "NO",
    }
    for name, value in (fields | changes).items():
        setattr(dataset, name, value)
    return dataset


def test_a_plain_or_reformatted_ct_is_not_refused() -> None:
    assert reasons_to_refuse(ct()) == []
    assert reasons_to_refuse(Dataset()) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"BurnedInAnnotation": "YES"}, "burnt"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "secondary capture"),
        ({"SOPClassUID": SecondaryCaptureImageStorage + ".4"}, "secondary capture"),
        ({"Modality": "OT"}, "secondary capture"),
        ({"ConversionType": "WSD"}, "secondary capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"EncapsulatedDocument": b"%PDF"}, "document"),
    ],
)
def test_a_picture_that_may_show_a_name_is_refused_in_words(changes, word) -> None:
    (reason,) = reasons_to_refuse(ct(**changes))
    assert word in reason
    assert "Muster" not in reason


@pytest.mark.parametrize("group", [0x6000, 0x6002, 0x601E])
def test_overlays_are_refused(group: int) -> None:
    dataset = ct()
    dataset.add_new((group, 0x3000), "OW", b"\0\0")
    (reason,) = reasons_to_refuse(dataset)
    assert "overlay" in reason


@pytest.fixture(scope="module")
def case() -> SimulatedCase:
    options = SimulationOptions(spacing_mm=2.0, slice_thickness_mm=(3.0,), gantry_tilt_deg=15.0)
    return simulate_case(11, options)


def test_the_brain_is_found_on_a_scan_without_a_face(case: SimulatedCase) -> None:
    brain = extract_brain(case.ncct)
    faceless = deface(case.ncct, brain)
    before = np.asarray(brain.dataobj) > 0
    after = np.asarray(extract_brain(faceless).dataobj) > 0
    assert 2 * (before & after).sum() / (before.sum() + after.sum()) > 0.99
    old, new = np.asarray(case.ncct.dataobj), np.asarray(faceless.dataobj)
    assert new.dtype == old.dtype and np.allclose(faceless.affine, case.ncct.affine, atol=1e-4)
    assert np.array_equal(new[before], old[before])
    assert set(np.unique(new[new != old])) == {AIR_HU}
    index = np.argwhere(old > -300)
    points = apply_affine(case.head.pose @ case.ncct.affine, index)
    face = index[(points[:, 1] > 50) & (points[:, 2] < -40)].T  # below and before the orbits
    assert face.shape[1] > 100
    assert (new[tuple(face)] == AIR_HU).mean() > 0.95
    assert (new > -300).sum() < 0.9 * (old > -300).sum()


def test_a_smaller_margin_takes_more_off_and_nothing_of_the_brain(case: SimulatedCase) -> None:
    left = [(np.asarray(deface(case.ncct, case.brain_mask, m).dataobj) > -300) for m in (0, 12, 60)]
    assert left[0].sum() < left[1].sum() < left[2].sum()
    brain = np.asarray(case.brain_mask.dataobj) > 0
    inner = brain & (np.asarray(case.ncct.dataobj) > -300)
    assert (left[0] & inner).sum() / inner.sum() > 0.99


@pytest.mark.parametrize("thick", [0, 1])
def test_a_mask_without_a_hull_is_refused(case: SimulatedCase, thick: int) -> None:
    mask = np.zeros(case.ncct.shape, np.uint8)
    mask[10:30, 10:30, 5 : 5 + thick] = 1
    with pytest.raises(ScanError, match="brain mask"):
        deface(case.ncct, make_image(mask, case.ncct.affine))
