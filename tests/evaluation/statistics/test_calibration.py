"""Calibration with known answers, and against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from lvo_kedro.evaluation import recalibration
from tests.synthetic_study import make_study


def test_calibration_recovers_known_slope_and_intercept() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 1.5, 40_000)
    positives = generator.random(truth.size) < expit(truth)
    right = recalibration(positives, expit(truth))
    assert right["slope"].low <= 1 <= right["slope"].high
    assert right["intercept"].low <= 0 <= right["intercept"].high
    twisted = recalibration(positives, expit(2 * truth + 1))  # twice too extreme, and too high
    assert twisted["slope"].value == pytest.approx(0.5, abs=0.02)
    assert twisted["intercept"].value == pytest.approx(-0.5, abs=0.03)
    shifted = recalibration(positives, expit(truth + 1))
    assert shifted["calibration_in_the_large"].value == pytest.approx(-1, abs=0.03)


def test_calibration_equals_statsmodels() -> None:
    scores = make_study(60, separation=1.0).scores
    positives, probability = scores["lvo"].to_numpy() == 1, scores["probability_raw"].to_numpy()
    ours = recalibration(positives, probability)
    design = sm.add_constant(logit(probability))
    fit = sm.Logit(positives.astype(float), design).fit(disp=0)
    assert [ours["intercept"].value, ours["slope"].value] == pytest.approx(list(fit.params))
    assert [ours["slope"].low, ours["slope"].high] == pytest.approx(
        list(fit.conf_int()[1]), rel=1e-5
    )


def test_calibration_says_why_it_cannot_be_estimated() -> None:
    positives = np.array([False] * 5 + [True] * 5)
    assert "separated" in recalibration(positives, np.linspace(0.1, 0.9, 10))["slope"].method
    assert "constant" in recalibration(positives, np.full(10, 0.4))["slope"].method
    assert math.isnan(recalibration(positives | True, np.linspace(0.1, 0.9, 10))["slope"].value)
    assert np.isfinite(recalibration(positives, np.r_[0, 1, 0, 0, 0, 1, 1, 1, 0, 1.0])["slope"].low)
