"""Areas and their intervals against scikit-learn, an O(n²) DeLong and printed results."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import auc_interval, bootstrap_interval, paired_delong, patient_weights
from lvo_kedro.evaluation.roc import (
    precision_recall_table,
    roc_table,
    weighted_auc,
    weighted_average_precision,
)

# Ovarian cancer patients of DeLong, DeLong and Clarke-Pearson (Biometrics 1988): albumin, total
# protein, Krebs-Goplerud score, outcome.
OVARIAN = np.array(
    """3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0
    1.6 5.6 5 1 3.8 5.7 5 1 3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1
    4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0 4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1
    3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1 4.3 6.5 4 1
    3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1
    3.5 6.2 5 1 2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1
    3.6 6.6 5 1""".split(),
    dtype=float,
).reshape(-1, 4)
OUTCOME, ALBUMIN, PROTEIN, SCORE = OVARIAN[:, 3], OVARIAN[:, 0], OVARIAN[:, 1], 10 - OVARIAN[:, 2]


def draw(n: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) < n // 3).astype(int)
    a = labels + generator.normal(size=n)
    b = 0.6 * labels + 0.5 * a + generator.normal(size=n)
    return (labels, a.round(0), b.round(0)) if ties else (labels, a, b)


def pairwise_delong(labels: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas and covariance straight from the definition, pair by pair."""
    v10, v01 = [], []
    for score in scores:
        positive, negative = score[labels == 1], score[labels == 0]
        kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        v10.append(kernel.mean(axis=1))
        v01.append(kernel.mean(axis=0))
    areas = np.array([v.mean() for v in v10])
    return areas, np.cov(v10) / len(v10[0]) + np.cov(v01) / len(v01[0])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_area_equals_scikit_learn(seed: int, ties: bool) -> None:
    labels, a, _ = draw(60, seed, ties)
    assert auc_interval(labels, a).value == pytest.approx(roc_auc_score(labels, a), abs=1e-12)
    ones = np.ones((1, 60))
    assert weighted_auc(labels == 1, a, ones)[0] == pytest.approx(roc_auc_score(labels, a))
    precision = weighted_average_precision(labels == 1, a, ones)[0]
    assert precision == pytest.approx(average_precision_score(labels, a))


@pytest.mark.parametrize("ties", [False, True])
def test_delong_equals_the_pairwise_definition(ties: bool) -> None:
    labels, a, b = draw(80, 5, ties)
    areas, covariance = pairwise_delong(labels, a, b)
    interval = auc_interval(labels, a)
    half = 1.959963984540054 * math.sqrt(covariance[0, 0])
    assert (interval.low, interval.high) == pytest.approx((areas[0] - half, areas[0] + half))
    test = paired_delong(labels, a, b)
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert test.z == pytest.approx((areas[0] - areas[1]) / error)


def test_delong_reproduces_the_worked_example_of_its_authors_as_printed_by_sas() -> None:
    score, protein = auc_interval(OUTCOME, SCORE), auc_interval(OUTCOME, PROTEIN)
    assert (score.value, score.low, score.high) == pytest.approx((0.7258, 0.5243, 0.9273), abs=6e-5)
    assert (protein.value, protein.low, protein.high) == pytest.approx(
        (0.6478, 0.4518, 0.8439), abs=6e-5
    )
    test = paired_delong(OUTCOME, PROTEIN, SCORE)
    assert test.difference.value == pytest.approx(-0.0780, abs=6e-5)
    assert test.z**2 == pytest.approx(0.5554, abs=6e-5)
    assert test.p_value == pytest.approx(0.4561, abs=6e-5)


def test_delong_reproduces_stata_on_the_ratings_of_hanley_and_mcneil() -> None:
    ratings = np.repeat([1, 2, 3, 4, 5], 1)
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    scores = np.concatenate([np.repeat(ratings, normal), np.repeat(ratings, abnormal)])
    labels = np.repeat([0, 1], [sum(normal), sum(abnormal)])
    interval = auc_interval(labels, scores)
    assert interval.value == pytest.approx(0.8932, abs=6e-5)
    assert (interval.low, interval.high) == pytest.approx((0.83295, 0.95339), abs=6e-6)


def test_perfect_separation_does_not_claim_certainty() -> None:
    labels = [0] * 10 + [1] * 10
    best, worst = auc_interval(labels, range(20)), auc_interval(labels[::-1], range(20))
    assert best.value == best.high == 1
    assert 0.7 < best.low < 0.95
    assert (worst.low, worst.high) == pytest.approx((0, 1 - best.low), abs=1e-9)
    assert "Newcombe" in best.method
    larger = auc_interval([0] * 100 + [1] * 100, range(200))
    assert larger.low > best.low


def test_a_constant_score_has_a_wide_interval_around_one_half() -> None:
    interval = auc_interval([0] * 10 + [1] * 10, [0.3] * 20)
    assert interval.value == 0.5
    assert interval.low < 0.35
    assert interval.high > 0.65


def test_logit_interval_stays_inside() -> None:
    labels, scores = [0] * 10 + [1] * 10, [*range(10), 8.5, *range(11, 20)]
    plain = auc_interval(labels, scores)
    logit = auc_interval(labels, scores, method="logit")
    assert plain.high == 1
    assert logit.high < 1
    assert logit.low < plain.low


@pytest.mark.parametrize("method", ["delong", "score"])
def test_coverage_of_the_area(method: str) -> None:
    generator = np.random.default_rng(11)
    true_area = 0.5 * math.erfc(-1.0 / 2)  # binormal, one standard deviation apart
    labels = np.repeat([0, 1], [60, 40])
    covered = []
    for _ in range(400):
        interval = auc_interval(labels, labels + generator.normal(size=100), method=method)
        covered.append(interval.low <= true_area <= interval.high)
    assert 0.92 <= np.mean(covered) <= 0.985


def test_identical_scores_do_not_differ() -> None:
    labels, a, _ = draw(40, 2)
    test = paired_delong(labels, a, 3 * a + 1)
    assert test.p_value == 1
    assert test.difference.value == 0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "3 cases with LVO among 3"),
        ([0, 2, 1], [1, 2, 3], "the label 2"),
        ([0, 1, 1], [1, np.nan, 3], "not finite"),
        ([0, 1], [1, 2, 3], "shape"),
    ],
)
def test_unusable_input_is_named(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(TableError, match=message):
        auc_interval(labels, scores)


def test_roc_table_follows_scikit_learn_and_its_band_holds_the_curve() -> None:
    labels, a, _ = draw(60, 1, ties=True)
    weights = patient_weights(np.arange(60), labels, 300, seed=1)
    table = roc_table(labels, a, weights)
    fpr, tpr, _ = roc_curve(labels, a, drop_intermediate=False)
    np.testing.assert_allclose(table["fpr"], fpr)
    np.testing.assert_allclose(table["tpr"], tpr)
    assert (table["low"] <= table["high"]).all()
    assert table["high"].iloc[-1] == 1
    assert precision_recall_table(labels, a)["recall"].iloc[-1] == 1


def test_bootstrap_keeps_patients_together_and_is_seeded() -> None:
    patients = np.repeat(np.arange(15), 4)
    labels = np.repeat(np.arange(15) % 3 == 0, 4).astype(int)
    weights = patient_weights(patients, labels, 200, seed=4)
    by_patient = weights.reshape(200, 15, 4)
    assert (by_patient == by_patient[:, :, :1]).all()
    assert (weights.sum(axis=1) == 60).all()
    assert (weights @ labels == labels.sum()).all()
    np.testing.assert_array_equal(weights, patient_weights(patients, labels, 200, seed=4))


def test_copies_of_a_patients_case_do_not_narrow_the_bootstrap() -> None:
    labels, a, _ = draw(45, 8)
    once = patient_weights(np.arange(45), labels, 2000, seed=0)
    five = patient_weights(np.repeat(np.arange(45), 5), np.repeat(labels, 5), 2000, seed=0)
    wide = np.repeat(labels, 5) == 1, np.repeat(a, 5)
    single = bootstrap_interval(lambda w: weighted_auc(labels == 1, a, w), once)
    copied = bootstrap_interval(lambda w: weighted_auc(*wide, w), five)
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.02)
    naive = auc_interval(*map(pd.Series, (wide[0].astype(int), wide[1])))
    assert naive.high - naive.low < 0.6 * (copied.high - copied.low)
