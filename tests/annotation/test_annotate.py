"""Labels and the proposed occlusion of a simulated study against its truth."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from lvo_kedro.annotation import annotate
from lvo_kedro.annotation.contrast import enhancement
from lvo_kedro.annotation.options import TracingOptions
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.simulation.arteries import label_arteries
from tests.annotation.conftest import make_study


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def overlaps(study, found, side):
    """Dice of C7, M1, M2 on one side."""
    grid, drawn = grid_of(study.case.ncct), np.asarray(found.vessel_labels.dataobj)
    index = np.argwhere(drawn > 0)
    right = study.case.head.to_mni(apply_affine(grid.affine, index))[:, 0] > 0
    own = np.zeros(drawn.shape, bool)
    own[tuple(index[right == (side == "right")].T)] = True
    truth = label_arteries(grid, [a for a in study.case.arteries if a.side == side], 5.0)
    return [dice(own & (drawn == value), truth == value) for value in (1, 2, 3)]


def run(study, ncct=None, cta=None):
    return annotate(ncct or study.case.ncct, cta or study.cta.cta, study.alignment, study.mapping)


@pytest.fixture(scope="module")
def found(study):
    return run(study)


def test_the_open_side_is_drawn_where_it_is(study, found):
    assert min(overlaps(study, found, "left")) > 0.75


def test_the_occluded_side_is_completed(study, found):
    c7, m1, m2 = overlaps(study, found, "right")
    assert min(c7, m1, m2) > 0.55
    assert found.record["right_completed_mm"] > 5
    assert found.record["left_completed_mm"] == 0
    assert np.asarray(found.completed.dataobj).any()


def test_the_gap_names_side_segment_and_place(study, found):
    clot = np.concatenate([a.points[a.occluded] for a in study.case.arteries])
    proposal = found.proposal
    assert (proposal.side, proposal.segment) == ("right", "M1")
    assert np.linalg.norm(proposal.centre - clot[len(clot) // 2]) < 3
    mask = np.asarray(found.occlusion_mask.dataobj)
    truth = np.asarray(study.case.occlusion_mask.dataobj)
    assert set(np.unique(mask)) == {0, 2}
    assert dice(mask > 0, truth > 0) > 0.5


@pytest.mark.long
@pytest.mark.parametrize(
    ("of_ncct", "of_cta"),
    [("RAS", "PIR"), ("LPI", "LAS")],
)
def test_the_order_of_the_arrays_makes_no_difference(study, found, of_ncct, of_cta):
    def reorient(image, codes):
        change = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
        return image.as_reoriented(change)

    again = run(study, reorient(study.case.ncct, of_ncct), reorient(study.cta.cta, of_cta))
    assert "".join(nib.aff2axcodes(again.vessel_labels.affine)) == of_ncct
    assert again.record == found.record
    expected = reorient(found.vessel_labels, of_ncct)
    assert dice(*(np.asarray(i.dataobj) > 0 for i in (again.vessel_labels, expected))) > 0.99


@pytest.mark.long
def test_a_mirrored_patient_has_the_occlusion_on_the_other_side():
    study = make_study(side="left", segment="M2", collaterals=None, seed=16)
    proposal = run(study).proposal
    assert proposal.side == "left"
    assert proposal.parts[-1] == "M2"
    assert not proposal.gap.refilled
    assert study.case.head.to_mni(proposal.points)[:, 0].max() < 0


@pytest.mark.long
def test_a_clot_that_thick_slices_blur_is_not_taken_for_contrast():
    study = make_study(seed=21, slice_thickness_mm=(5.0,), clot_hu=(70.0, 70.0))
    found = enhancement(
        study.case.ncct, study.cta.cta, study.alignment, study.mapping, TracingOptions()
    )
    clot = np.concatenate([a.points[a.occluded] for a in study.case.arteries])
    assert np.median(found.at(clot[4:-4])) < 0.08 * found.level


@pytest.mark.long
def test_contrast_everywhere_is_no_occlusion():
    found = run(make_study(lvo=False, seed=4))
    assert found.proposal is None
    assert not np.asarray(found.occlusion_mask.dataobj).any()
    assert not np.asarray(found.completed.dataobj).any()
    assert found.record["proposed"] is False


def test_a_scan_without_contrast_is_refused(study):
    with pytest.raises(ScanError, match="look whether it is an arterial phase"):
        annotate(study.case.ncct, study.case.ncct, study.alignment, study.mapping)
