"""Counts, predictive values and net benefit by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import fixed_points, patient_weights
from lvo_kedro.evaluation.statistics.curves import decision_curve
from lvo_kedro.evaluation.statistics.operating_points import operating_table, predictive_values
from tests.synthetic_study import by_hand, value


def test_counts_at_an_operating_point_by_hand() -> None:
    table = operating_table(by_hand(), {"half": 0.5})
    cells = {name: value(table, name) for name in ("tp", "fp", "fn", "tn")}
    assert cells == {"tp": 3, "fp": 1, "fn": 1, "tn": 5}
    assert value(table, "sensitivity") == 3 / 4  # a case at the threshold is called
    assert value(table, "specificity") == 5 / 6
    assert value(table, "ppv") == 3 / 4
    assert value(table, "npv") == 5 / 6
    assert value(table, "likelihood_ratio_positive") == pytest.approx(4.5)
    assert value(table, "likelihood_ratio_negative") == pytest.approx(0.3)


def test_thresholds_by_fold_apply_to_their_own_fold() -> None:
    # Fold 0 has 0.9, 0.5 | 0.7, 0.3, 0.1; fold 1 has 0.8, 0.2 | 0.4, 0.3, 0.05.
    table = operating_table(by_hand(), {"crossed": {"0": 0.6, "1": 0.15}})
    cells = [value(table, name) for name in ("tp", "fp", "fn", "tn")]
    assert cells == [3, 3, 1, 3]
    threshold = table.loc[table["metric"] == "threshold"].iloc[0]
    assert (threshold["low"], threshold["high"]) == (0.15, 0.6)
    with pytest.raises(TableError, match="without a finite threshold for every case"):
        operating_table(by_hand(), {"crossed": {0: 0.6}})


def test_predictive_values_follow_bayes() -> None:
    scores = by_hand()
    weights = patient_weights(scores["patient_id"], scores["lvo"], 100)
    table = predictive_values(scores, {"half": 0.5}, (0.4, 0.05), weights)
    assert value(table, "ppv", prevalence=0.4) == pytest.approx(3 / 4)  # that of the table itself
    expected = 0.75 * 0.05 / (0.75 * 0.05 + (1 / 6) * 0.95)
    assert value(table, "ppv", prevalence=0.05) == pytest.approx(expected)


def test_perfect_calls_claim_no_certainty_at_any_prevalence() -> None:
    scores = by_hand().assign(probability=lambda t: 0.2 + 0.6 * t["lvo"])
    weights = patient_weights(scores["patient_id"], scores["lvo"], 100)
    table = predictive_values(scores, {"half": 0.5}, (0.1, 0.4), weights)
    table = table.set_index(["metric", "prevalence"])
    assert (table["value"] == 1).all()
    # likelihood ratios with half a case added to each cell: 4.5 / 5 and 0.5 / 7, and the reverse
    positive, negative = (4.5 / 5) / (0.5 / 7), (0.5 / 5) / (6.5 / 7)
    errors = [1 / a - 1 / 5 + 1 / b - 1 / 7 for a, b in ((4.5, 0.5), (0.5, 6.5))]
    lowest = positive / np.exp(1.959964 * np.sqrt(errors[0]))
    highest = negative * np.exp(1.959964 * np.sqrt(errors[1]))
    ppv, npv = table.loc[("ppv", 0.1)], table.loc[("npv", 0.1)]
    assert (ppv["low"], ppv["high"]) == pytest.approx((1 / (1 + 9 / lowest), 1), rel=1e-6)
    assert (npv["low"], npv["high"]) == pytest.approx((1 / (1 + highest / 9), 1), rel=1e-6)
    assert table.loc[("ppv", 0.4), "low"] > ppv["low"]
    assert "all resamples give the same value" in ppv["method"]
    curve = decision_curve(scores, (0.5,), weights).set_index("strategy")
    assert curve.loc["model", "value"] == pytest.approx(0.4)
    assert math.isnan(curve.loc["model", "low"])
    assert "no interval" in curve.loc["model", "method"]


def test_net_benefit_by_hand() -> None:
    scores = by_hand()
    weights = patient_weights(scores["patient_id"], scores["lvo"], 100)
    table = decision_curve(scores, (0.25, 0.5), weights)
    assert value(table, "net_benefit", strategy="model", threshold=0.5) == pytest.approx(0.2)
    assert value(table, "net_benefit", strategy="all", threshold=0.25) == pytest.approx(0.2)
    assert value(table, "net_benefit", strategy="none", threshold=0.25) == 0


def test_operating_points_of_a_split() -> None:
    part = {"operating_points": {"p": 0.3}, "fitted_on": ["a", "b"]}
    calibration = {"all": part, "folds": {"0": part, "1": part | {"operating_points": {"p": 0.4}}}}
    assert fixed_points(calibration, "external") == ({"p": 0.3}, ["a", "b"])
    points, fitted = fixed_points(calibration, "development")
    assert points == {"p": {0: 0.3, 1: 0.4}}
    assert fitted == {0: ["a", "b"], 1: ["a", "b"]}
