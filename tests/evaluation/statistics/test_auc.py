"""Areas and their intervals against scikit-learn, an O(n²) DeLong, the jackknife and R's pROC."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import auc_interval, bootstrap_interval, paired_delong, patient_weights
from lvo_kedro.evaluation.statistics import bootstrap
from lvo_kedro.evaluation.statistics.auc import patient_auc_interval
from lvo_kedro.evaluation.statistics.bootstrap import weighted_quantile
from lvo_kedro.evaluation.statistics.curves import (
    precision_recall_table,
    roc_table,
    weighted_auc,
    weighted_average_precision,
)

# 113 patients with aneurysmal subarachnoid haemorrhage (Turck et al., Intensive Care Med
# 2010;36:107-115; the example data of R's pROC): outcome (P poor, G good), WFNS grade, S100B, NDKA.
HAEMORRHAGE = [
    row.split(",")
    for row in """
    G,1,0.13,3.01 G,1,0.14,8.54 G,1,0.1,8.09 G,1,0.04,10.42 P,3,0.13,17.4 P,2,0.1,12.75
    G,5,0.47,6.0 P,4,0.16,13.2 G,1,0.18,15.54 G,2,0.1,6.01 P,5,0.12,15.96 G,2,0.1,17.86
    P,5,0.44,5.18 P,5,0.71,8.9 G,1,0.04,13.41 G,2,0.08,20.75 P,5,0.49,11.6 G,2,0.04,16.11
    P,2,0.07,32.37 P,5,0.33,54.82 P,2,0.09,32.41 G,1,0.09,49.94 P,1,0.07,40.34 G,1,0.11,9.47
    G,1,0.07,6.29 G,2,0.17,12.53 G,1,0.07,6.54 G,2,0.11,6.3 G,1,0.13,80.3 G,1,0.19,12.8
    G,3,0.05,9.8 G,4,0.16,9.81 P,2,0.41,9.85 G,1,0.14,18.21 G,4,0.34,5.03 P,5,0.35,14.04
    P,4,0.48,21.93 G,1,0.09,8.02 P,4,0.96,7.42 P,2,0.25,8.38 G,5,0.5,6.59 G,5,0.46,9.63
    G,1,0.16,13.12 G,1,0.07,7.96 G,2,0.43,14.34 G,4,0.45,41.43 G,1,0.11,7.63 G,1,0.08,7.06
    G,2,0.09,12.59 P,5,0.86,13.56 P,5,0.52,3.87 G,2,0.08,9.44 G,1,0.06,7.66 G,2,0.13,12.98
    P,5,2.07,419.19 G,1,0.1,27.19 G,2,0.14,22.27 G,2,0.15,9.95 P,2,0.07,21.22 G,1,0.06,11.73
    P,5,0.77,10.4 G,1,0.05,58.83 G,1,0.09,6.39 P,2,0.3,11.09 P,5,0.03,12.22 P,2,0.09,13.67
    G,1,0.04,17.21 P,4,0.23,22.63 P,5,0.7,12.9 G,2,0.09,9.7 P,4,0.27,21.57 P,4,0.71,8.23
    P,1,0.08,72.57 P,4,0.26,15.54 G,1,0.08,10.51 G,2,0.16,10.6 G,1,0.09,14.57 P,4,0.13,5.19
    P,2,0.1,9.63 G,1,0.08,4.61 P,2,0.11,21.48 G,3,0.33,17.3 G,2,0.11,12.71 G,4,0.28,9.44
    G,2,0.07,11.07 G,1,0.1,19.46 G,4,0.32,10.83 P,5,0.22,5.37 G,1,0.07,11.97 G,1,0.05,7.75
    G,5,0.24,9.83 G,4,0.38,10.55 G,2,0.1,28.49 G,2,0.15,8.53 G,1,0.08,12.57 G,1,0.14,12.9
    G,1,0.1,46.83 G,3,0.07,11.68 G,1,0.04,12.67 G,2,0.19,9.01 P,5,0.56,9.57 P,2,0.14,34.06
    P,2,0.58,11.72 P,5,0.32,14.26 P,5,0.82,47.61 P,5,0.74,11.67 G,2,0.15,24.58 G,4,0.47,10.33
    G,4,0.17,13.87 P,5,0.44,15.89 G,1,0.15,22.43 G,1,0.5,6.79 G,1,0.48,13.45
    """.split()
]
POOR = np.array([int(row[0] == "P") for row in HAEMORRHAGE])
MARKERS = {
    name: np.array([float(row[place]) for row in HAEMORRHAGE])
    for place, name in enumerate(("wfns", "s100b", "ndka"), start=1)
}


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


@pytest.mark.parametrize(
    ("marker", "area", "variance"),
    [
        ("wfns", 0.823678861788618, 0.00146991470882363),
        ("ndka", 0.611957994579946, 0.0031908105493913),
        ("s100b", 0.731368563685637, 0.00266868245717244),
    ],
)
def test_delong_gives_the_variances_of_r_proc(marker: str, area: float, variance: float) -> None:
    # tests/testthat/test-var.R, test-auc.R and test-ci.auc.R of github.com/xrobin/pROC
    interval = auc_interval(POOR, MARKERS[marker])
    half = 1.959963984540054 * math.sqrt(variance)
    assert interval.value == pytest.approx(area, abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx((area - half, area + half), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "z", "p_value", "limits"),
    [
        ("wfns", "s100b", 2.20898359144091, 0.0271757822291882, (0.0104061769565, 0.1742144192495)),
        ("wfns", "ndka", 2.79777591868904, 0.00514557970691098, (0.0634011709340, 0.3600405634834)),
        ("ndka", "s100b", -1.39077002573558, 0.164295175223054, (-0.287691744634, 0.0488706064228)),
    ],
)
def test_paired_delong_gives_the_test_of_r_proc(
    a: str, b: str, z: float, p_value: float, limits: tuple[float, float]
) -> None:
    # tests/testthat/test-roc.test.R of github.com/xrobin/pROC
    test = paired_delong(POOR, MARKERS[a], MARKERS[b])
    assert test.z == pytest.approx(z, rel=1e-10)
    assert test.p_value == pytest.approx(p_value, rel=1e-10)
    assert (test.difference.low, test.difference.high) == pytest.approx(limits, abs=1e-11)


def jackknife_error(statistic: Callable[[np.ndarray], float], labels: np.ndarray) -> float:
    """Standard error by leaving out one case at a time, the two classes apart."""
    everyone, variance = np.arange(labels.size), 0.0
    for group in (np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)):
        without = [statistic(np.delete(everyone, case)) for case in group]
        variance += (group.size - 1) ** 2 / group.size * np.var(without, ddof=1)
    return math.sqrt(variance)


def test_delong_equals_the_two_sample_jackknife_and_is_near_the_bootstrap() -> None:
    # DeLong's placement variance *is* the jackknife's (Hanley, Hajian-Tilaki, Acad Radiol 1997)
    score = MARKERS["s100b"]
    error = jackknife_error(lambda kept: roc_auc_score(POOR[kept], score[kept]), POOR)
    interval = auc_interval(POOR, score)
    assert (interval.high - interval.low) / 2 / 1.959963984540054 == pytest.approx(error, rel=1e-9)
    weights = patient_weights(np.arange(POOR.size), POOR, 2000, seed=0)
    resampled = bootstrap_interval(lambda w: weighted_auc(POOR == 1, score, w), weights)
    assert (resampled.low, resampled.high) == pytest.approx((interval.low, interval.high), abs=0.02)


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


def test_two_perfect_scores_and_a_constant_one_claim_no_certainty() -> None:
    labels = np.repeat([0, 1], [16, 8])
    perfect, also, constant = labels + 0.0, labels * 3.0, np.zeros(24)
    same = paired_delong(labels, perfect, also)
    assert (same.difference.value, same.p_value) == (0, 1)
    assert same.difference.low < -0.1 < 0.1 < same.difference.high
    lost = paired_delong(labels, constant, perfect)
    assert lost.difference.value == -0.5
    assert lost.difference.high - lost.difference.low > 0.2
    assert 0 < lost.p_value < 0.01
    few = paired_delong([0, 1], [0.5, 0.5], [0.1, 0.9])
    assert few.p_value > 0.05  # two cases show nothing


def test_one_perfect_score_claims_no_certainty_beside_another() -> None:
    labels = np.repeat([0, 1], [14, 10])
    perfect, one_wrong = np.arange(24.0), np.arange(24.0)
    one_wrong[13] = 14.5  # above one case with LVO: 139 of 140 pairs in order
    _, covariance = pairwise_delong(labels, perfect, one_wrong)
    trap = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert trap == math.sqrt(covariance[1, 1])  # the trap: the perfect one counts as certain
    test = paired_delong(labels, perfect, one_wrong)
    alone = auc_interval(labels, perfect)
    assert test.difference.value == pytest.approx(1 / 140)
    assert test.difference.high - test.difference.low > alone.high - alone.low > 4 * 1.96 * trap
    assert "Newcombe" in test.difference.method
    assert test.p_value > 0.5
    inverted = paired_delong(labels, one_wrong.max() - one_wrong, perfect)
    assert -1 <= inverted.difference.low < inverted.difference.high < -0.6
    assert 0 < inverted.p_value < 0.001


def test_the_patient_interval_of_a_perfect_score_has_a_width_and_counts_patients() -> None:
    labels = np.repeat([0, 1], [12, 8])
    scores = pd.DataFrame({"lvo": labels, "probability": np.linspace(0, 1, 20)})
    scores["patient_id"] = np.arange(20)
    weights = patient_weights(scores["patient_id"], labels, 200)
    resampled = weighted_auc(labels == 1, scores["probability"].to_numpy(), weights)
    assert (resampled == 1).all()  # the trap: the bootstrap alone says 1 to 1
    single = patient_auc_interval(scores, weights)
    assert single.low == pytest.approx(auc_interval(labels, scores["probability"]).low)
    scores["patient_id"] = np.arange(20) // 2
    pairs = patient_auc_interval(scores, patient_weights(scores["patient_id"], labels, 200))
    assert pairs.low < single.low - 0.05  # half as many patients
    assert "all resamples give the same value" in pairs.method
    blurred = scores.assign(probability=np.roll(scores["probability"], 3))
    assert "bootstrap" in patient_auc_interval(blurred, weights).method


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


def test_resamples_taken_a_few_at_a_time_give_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, score, _ = draw(60, 3, ties=True)
    largest = []

    def area(weights: np.ndarray) -> np.ndarray:
        largest.append(weights.size)
        return weighted_auc(labels == 1, score, weights)

    def compute() -> tuple[np.ndarray, object, pd.DataFrame]:
        weights = patient_weights(np.arange(60) // 2, labels, 150, seed=2)
        return weights, bootstrap_interval(area, weights), roc_table(labels, score, weights)

    at_once = compute()
    assert max(largest) == 150 * 60
    largest.clear()
    monkeypatch.setattr(bootstrap, "CELLS", 1000)
    few = compute()
    assert max(largest) <= 1000
    np.testing.assert_array_equal(few[0], at_once[0])
    assert few[1] == at_once[1]
    pd.testing.assert_frame_equal(few[2], at_once[2], check_exact=True)


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


def test_weighted_quantile_is_numpys_median_and_respects_weights() -> None:
    values = np.array([5.0, 1.0, 3.0, 9.0])
    ones = np.ones((1, 4))
    assert weighted_quantile(values, ones, level=0.5)[0] == np.median(values)
    assert weighted_quantile(values, np.array([[0, 5, 0, 1.0]]), level=0.5)[0] == 1
    assert np.isnan(weighted_quantile(values, 0 * ones, level=0.5)[0])
