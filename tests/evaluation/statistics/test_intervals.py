"""Proportions and ratios against statsmodels and hand calculation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from lvo_kedro.evaluation import likelihood_ratio_interval, wilson_interval
from lvo_kedro.evaluation.statistics.paired import paired_difference


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (1, 7), (18, 40), (40, 40), (3, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_equals_statsmodels(successes: int, n: int, confidence: float) -> None:
    interval = wilson_interval(successes, n, confidence)
    expected = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)
    assert interval.value == pytest.approx(successes / n)
    assert interval.n == n


def test_no_case_is_not_estimable_rather_than_an_error() -> None:
    assert math.isnan(wilson_interval(0, 0).value)
    assert math.isnan(likelihood_ratio_interval((0, 0), (1, 5)).value)


def test_likelihood_ratio_of_simel_by_hand() -> None:
    # Sensitivity 80/100, 1 - specificity 20/200: ratio 8; standard error from the four counts.
    error = math.sqrt(1 / 80 - 1 / 100 + 1 / 20 - 1 / 200)
    interval = likelihood_ratio_interval((80, 100), (20, 200))
    assert interval.value == pytest.approx(8)
    assert interval.low == pytest.approx(8 * math.exp(-1.959964 * error), rel=1e-6)
    assert interval.high == pytest.approx(8 * math.exp(1.959964 * error), rel=1e-6)


def test_likelihood_ratio_at_zero_counts_stays_usable() -> None:
    perfect = likelihood_ratio_interval((9, 10), (0, 12))
    assert math.isinf(perfect.value)
    assert math.isfinite(perfect.low)
    assert perfect.low > 1
    none = likelihood_ratio_interval((0, 10), (12, 12))
    assert none.value == 0
    assert none.low == 0
    assert 0 < none.high < 1
    assert "half a case" in none.method


def test_paired_difference_without_correlation_is_that_of_independent_proportions() -> None:
    # 20 x 5 pairs agree where 10 x 10 disagree: phi is 0, the paired interval is the unpaired one.
    interval = paired_difference(both=20, only_a=10, only_b=10, neither=5)
    expected = confint_proportions_2indep(30, 45, 30, 45, method="newcomb", compare="diff")
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-9)


def test_paired_difference_of_a_printed_example() -> None:
    # complete response before and after consolidation (Cavo et al., Blood 2012;120:9-19), as the
    # tests of R's contingencytables print it: -0.0621 (-0.1186 to -0.0046)
    interval = paired_difference(both=59, only_a=6, only_b=16, neither=80)
    printed = [round(x, 4) for x in (interval.value, interval.low, interval.high)]
    assert printed == [-0.0621, -0.1186, -0.0046]


def test_paired_difference_changes_sign_with_the_order_and_covers() -> None:
    forth, back = paired_difference(36, 12, 2, 4), paired_difference(36, 2, 12, 4)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    generator = np.random.default_rng(5)
    draws = generator.multinomial(50, [0.6, 0.2, 0.05, 0.15], size=1000)
    covered = [(i := paired_difference(*map(int, d))).low <= 0.15 <= i.high for d in draws]
    assert 0.92 <= np.mean(covered) <= 0.99


def test_wilson_covers_in_a_small_simulation() -> None:
    generator = np.random.default_rng(3)
    covered = [
        (interval := wilson_interval(int(k), 30)).low <= 0.85 <= interval.high
        for k in generator.binomial(30, 0.85, 1000)
    ]
    assert 0.91 <= np.mean(covered) <= 0.99
