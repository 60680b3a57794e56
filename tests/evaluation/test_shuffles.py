"""The permutation test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import EvaluationOptions, auc_interval, evaluate_shuffles

FAST = EvaluationOptions(resamples=500)


def shuffles(generator: np.random.Generator, signal: float, number: int = 3, cases: int = 48):
    """Scores of networks, each trained on labels of its own."""
    tables = {}
    for name in range(number):
        lvo = generator.permutation(np.arange(cases) % 2)
        logit = generator.normal(signal * lvo)
        ids = [f"case-{i:02d}" for i in range(cases)]
        probability = 1 / (1 + np.exp(-logit))
        tables[f"permutation_{name}"] = pd.DataFrame(
            {"case_id": ids, "patient_id": ids, "lvo": lvo, "probability": probability}
        )
    return tables


@pytest.mark.long
def test_the_mean_of_shuffles_covers_a_coin_nineteen_times_of_twenty():
    generator = np.random.default_rng(5)
    tables = [evaluate_shuffles(shuffles(generator, 0.0), FAST).iloc[-1] for _ in range(200)]
    assert 0.91 < np.mean([row.low <= 0.5 <= row.high for row in tables]) < 0.985


def test_scores_that_know_more_than_the_labels_are_found_out():
    leaking = shuffles(np.random.default_rng(0), signal=0.5)
    table = evaluate_shuffles(leaking).set_index("shuffle")
    single = table.drop("mean")
    assert single["low"].min() < 0.5  # one shuffle alone would not have told
    assert table.loc["mean", "low"] > 0.5
    assert table.loc["mean", "value"] == pytest.approx(single["value"].mean())
    first = leaking["permutation_0"]
    assert table.loc["permutation_0", "low"] == auc_interval(first["lvo"], first["probability"]).low


def test_shuffles_of_different_cases_are_refused():
    tables = shuffles(np.random.default_rng(0), 0.0)
    tables["permutation_2"] = tables["permutation_2"].iloc[1:]
    with pytest.raises(TableError, match="47 cases in shuffle 'permutation_2', 48 in the first"):
        evaluate_shuffles(tables)
