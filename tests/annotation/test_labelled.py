"""Labels that a model drew on the angiography, in place of tracing."""

from dataclasses import replace

import numpy as np
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.annotation import annotate, name_labels
from lvo_kedro.annotation.options import LabellerOptions
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.simulation.arteries import label_arteries
from tests.annotation.test_annotate import overlaps

TOPCOW = {1: "other", 4: "C7", 6: "C7", 5: "M1", 7: "M1"}


def drawn_by_a_model(study, sides=("left", "right")):
    """True C7 and M1 on the angiography's grid with the values of right and left apart."""
    values = {("C7", "right"): 4, ("C7", "left"): 6, ("M1", "right"): 5, ("M1", "left"): 7}
    grid, data = grid_of(study.cta.cta), None
    for (name, side), value in values.items():
        if side not in sides:
            continue
        artery = next(a for a in study.case.arteries if (a.name, a.side) == (name, side))
        moved = replace(artery, points=apply_affine(study.cta.movement, artery.points))
        part = label_arteries(grid, [moved], 3.0) > 0
        data = np.zeros(grid.shape, np.int16) if data is None else data
        data[part] = value
    return make_image(data, grid.affine)


@pytest.mark.long
def test_the_models_labels_come_to_the_plain_scan(study):
    labels = name_labels(drawn_by_a_model(study), TOPCOW)
    found = annotate(study.case.ncct, study.cta.cta, study.alignment, study.mapping, labels=labels)
    for side in ("left", "right"):
        c7, m1, _ = overlaps(study, found, side)
        assert min(c7, m1) > 0.75
    assert found.record["left_M2_mm"] == 0  # this model draws none, and nothing is missing there
    assert found.proposal.side == "right"


@pytest.mark.long
def test_what_the_model_did_not_draw_beside_the_clot_is_completed(study):
    labels = name_labels(drawn_by_a_model(study, sides=("left",)), TOPCOW)
    found = annotate(study.case.ncct, study.cta.cta, study.alignment, study.mapping, labels=labels)
    assert found.record["right_completed_mm"] > 5
    assert found.record["left_completed_mm"] == 0


def test_values_that_are_not_named_are_left_out():
    data = np.zeros((4, 4, 4), np.int16)
    data[0], data[1], data[2] = 4, 5, 12
    named = name_labels(make_image(data, np.eye(4)), TOPCOW)
    assert np.unique(named.dataobj).tolist() == [0, 1, 2]


def test_a_mapping_of_another_model_is_said():
    data = np.full((4, 4, 4), 33, np.int16)
    with pytest.raises(ScanError, match=r"the values 33; expected any of \[1, 4, 5, 6, 7\]"):
        name_labels(make_image(data, np.eye(4)), TOPCOW)


def test_records_name_the_models_folder_alone():
    options = LabellerOptions(model_folder="/home/somebody/model_x", labels={4: "C7"})
    assert options.model_dump(mode="json")["model_folder"] == "model_x"
    with pytest.raises(ValueError, match="labels"):
        LabellerOptions(labels={4: "MCA"})
