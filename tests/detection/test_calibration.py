"""Calibration and operating points on known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_curve

from lvo_kedro.detection import (
    Calibration,
    CalibrationOptions,
    calibrate,
    choose_operating_points,
    cross_fit_calibration,
    knows_controls,
)
from lvo_kedro.errors import TableError


@pytest.fixture(scope="module")
def overconfident():
    """Labels drawn with probability sigmoid(z); the logits given are 3 z."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, 4000)
    return (rng.random(4000) < expit(true)).astype(int), 3 * true


def test_temperature_finds_the_overconfidence(overconfident):
    assert calibrate(*overconfident).temperature == pytest.approx(3, rel=0.08)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibrated_probabilities_are_right_and_in_order(overconfident, method):
    labels, logits = overconfident
    calibration = calibrate(labels, logits, method)
    probability = calibration.apply(logits)
    assert np.all(np.diff(probability[np.argsort(logits)]) >= 0)
    assert np.abs(probability - expit(logits / 3)).mean() < 0.03
    for low in (0.1, 0.4, 0.7):
        inside = (probability > low) & (probability < low + 0.2)
        assert labels[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.05)


@pytest.mark.parametrize("method", ["temperature", "isotonic", "none"])
def test_a_calibration_survives_json(overconfident, method):
    calibration = calibrate(*overconfident, method)
    again = Calibration.model_validate_json(calibration.model_dump_json())
    values = np.linspace(-20, 20, 41)
    np.testing.assert_array_equal(again.apply(values), calibration.apply(values))
    assert np.all((again.apply([-1e6, 1e6]) >= 0) & (again.apply([-1e6, 1e6]) <= 1))


@pytest.mark.parametrize("number", [2, 20, 200])
def test_separable_scores_are_no_surer_than_their_number_allows(number):
    logits = np.repeat([-8.0, 8.0], number)
    calibration = calibrate(np.repeat([0, 1], number), logits)
    low, high = calibration.apply([-8.0, 8.0])
    assert high == pytest.approx((number + 1) / (number + 2), abs=1e-4)
    assert low == pytest.approx(1 - high)


def test_operating_points_by_hand():
    #            0    0    0    1    0    1    1    1    1    1
    labels = [0, 0, 0, 1, 0, 1, 1, 1, 1, 1]
    scores = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    # at 0.5: sensitivity 5/6, specificity 1; at 0.3: sensitivity 1, specificity 3/4
    points = choose_operating_points(labels, scores)
    assert points["sensitivity_90"] == pytest.approx(0.25)
    assert 0.3 < points["youden"] < 0.5
    assert choose_operating_points(labels, scores, 0.8)["sensitivity_80"] == pytest.approx(0.45)


def test_youdens_point_is_near_the_truth_and_lasts():
    """Of two Gaussians of log odds about -1 and 1 the best threshold is 0."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    ours, raw = [], []
    for _ in range(80):
        logits = rng.normal(2 * labels - 1, 1.5)
        point = choose_operating_points(labels, expit(logits))["youden"]
        ours.append(np.log(point / (1 - point)))
        false, true, thresholds = roc_curve(labels, logits)
        raw.append(thresholds[np.argmax(true - false)])
    assert np.mean(ours) == pytest.approx(0, abs=0.15)
    assert np.std(ours) < 0.95 * np.std(raw)


def test_no_occlusion_is_given_away_where_specificity_gains_nothing():
    labels = [0] * 10 + [1] * 20
    points = choose_operating_points(labels, np.linspace(0, 1, 30))
    middle = (9 / 29 + 10 / 29) / 2
    assert points == {"youden": pytest.approx(middle), "sensitivity_90": pytest.approx(middle)}


def test_the_sensitive_point_keeps_its_promise():
    rng = np.random.default_rng(1)
    for _ in range(50):
        labels = rng.permutation([0] * 20 + [1] * 17)
        scores = np.round(rng.random(37) + 0.3 * labels, 1)  # many ties
        threshold = choose_operating_points(labels, scores)["sensitivity_90"]
        assert (scores[labels == 1] >= threshold).mean() >= 0.9


@pytest.mark.parametrize(
    ("labels", "scores"), [([1, 1], [0.1, 0.2]), ([0, 1], [0.1, np.nan]), ([0, 1, 1], [0.1, 0.2])]
)
def test_scores_that_cannot_be_used_are_refused(labels, scores):
    for function in (calibrate, choose_operating_points):
        with pytest.raises(TableError):
            function(labels, scores)


def test_scores_that_are_worse_than_chance_still_give_finite_points():
    points = choose_operating_points([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])
    assert all(np.isfinite(value) for value in points.values())


def test_without_controls_nothing_is_calibrated_and_every_case_is_taken_for_occluded() -> None:
    scores = pd.DataFrame({"case_id": list("abcd"), "split": "development", "lvo": 1})
    scores = scores.assign(fold=[0, 1, 0, 1], logit=[-3.0, 0.5, 1.0, 2.0])
    fitted = cross_fit_calibration(scores, CalibrationOptions(), controls=False)
    assert not knows_controls(fitted)
    assert set(fitted["folds"]) == {"0", "1"}
    for part in (fitted["all"], *fitted["folds"].values()):
        assert part["calibration"]["method"] == "none"
        assert part["operating_points"] == {"known_occlusion": 0.0}
    with pytest.raises(TableError, match="labels"):
        cross_fit_calibration(scores, CalibrationOptions())
    controls = scores.assign(lvo=[0, 0, 1, 1])
    assert knows_controls(cross_fit_calibration(controls, CalibrationOptions()))
