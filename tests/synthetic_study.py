"""A made-up study: the tables that the pipelines would hand to the evaluation and the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from lvo_kedro.vocabulary import SEGMENT_CLASSES

SIDES = ("left", "right")
OPERATING_POINTS = {"youden": 0.5, "high_sensitivity": 0.25}

UNLIKE = "noise is 12.0 HU, expected 3.1 to 7.9; arteries is 2.0 of 6, expected 3.0 to 6.0"
METHOD_COLUMNS = [
    "likely_side", "out_of_scope", "utility_left", "utility_right", "logit_sides", "logit_network",
    "logit_ensemble",
]  # fmt: skip
"""What score tables of earlier runs lack."""


@dataclass(frozen=True)
class Study:
    """The tables of one split."""

    cohort: pd.DataFrame
    scores: pd.DataFrame
    calls: pd.DataFrame
    quality: pd.DataFrame
    vessels: pd.DataFrame


def make_study(
    n: int = 80,
    *,
    split: str = "development",
    separation: float = 2.0,
    prevalence: float = 0.5,
    seed: int = 0,
    folds: int = 4,
) -> Study:
    """Tables with a binormal score whose classes lie ``separation`` standard deviations apart."""
    generator = np.random.default_rng(seed)
    cohort = _make_cohort(n, split, prevalence, generator)
    lvo = cohort["lvo"].to_numpy()
    raw = separation * 1.6 * (lvo - 0.5) + 1.6 * generator.normal(size=n)
    scores = cohort[["case_id", "patient_id", "split", "lvo"]].assign(
        fold=np.arange(n) % folds if split == "development" else np.nan,
        logit=raw,
        probability_raw=expit(raw),
        probability=expit(raw * separation / 1.6),
        **_make_methods(cohort, raw, np.random.default_rng([seed, 1])),
    )
    return Study(
        cohort,
        scores,
        _make_calls(cohort, generator),
        _make_quality(cohort, generator),
        _make_vessels(cohort, generator),
    )


def _make_cohort(
    n: int, split: str, prevalence: float, generator: np.random.Generator
) -> pd.DataFrame:
    lvo = (np.arange(n) < round(prevalence * n)).astype(int)
    generator.shuffle(lvo)
    prefix = split[:3]
    where = {"development": ["north", "south"], "external": ["harbour"]}[split]
    return pd.DataFrame(
        {
            "case_id": [f"{prefix}{i:03d}" for i in range(n)],
            "patient_id": [f"{prefix}-p{i:03d}" for i in range(n)],
            "split": split,
            "lvo": lvo,
            "side": np.where(lvo == 1, generator.choice(SIDES, n), None),
            "segment": np.where(lvo == 1, generator.choice(SEGMENT_CLASSES, n), None),
            "site": generator.choice(where, n),
            "model": f"scanner of {split}",
            "slice_thickness_mm": generator.choice([1.0, 2.5, 5.0], n),
            "age": generator.integers(40, 95, n),
            "sex": generator.choice(["female", "male"], n),
            "nihss": generator.integers(0, 25, n),
        }
    )


def _make_methods(
    cohort: pd.DataFrame, raw: np.ndarray, generator: np.random.Generator
) -> dict[str, object]:
    """The side model's score counts; the network's is noisier, and every twentieth case is odd."""
    n = len(cohort)
    network = raw + generator.normal(scale=2, size=n)
    told = np.where(generator.random(n) < 0.8, cohort["side"], generator.choice(SIDES, n))
    likely = np.where(cohort["lvo"] == 1, told, generator.choice(SIDES, n))
    # two utilities whose logsumexp is the logit, the likelier side's 1 above the other's
    higher, lower = raw - np.log1p(np.exp(-1.0)), raw - np.log1p(np.exp(1.0))
    return {
        "likely_side": likely,
        "utility_left": np.where(likely == "left", higher, lower),
        "utility_right": np.where(likely == "right", higher, lower),
        "out_of_scope": np.where(np.arange(n) % 20 == 7, UNLIKE, ""),
        "logit_sides": raw,
        "logit_network": network,
        "logit_ensemble": raw + 0.25 * network,
    }


def _make_calls(cohort: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    n = len(cohort)
    calls = cohort[["case_id", "patient_id", "split", "lvo", "side", "segment"]].copy()
    right = generator.random(n) < 0.75
    other = generator.choice([*SEGMENT_CLASSES, None], n)
    calls["called_segment"] = np.where(right & (calls["lvo"] == 1), calls["segment"], other)
    flipped = generator.random(n) < 0.1
    called = [
        side if isinstance(side, str) and not flip else "left"
        for side, flip in zip(calls["side"], flipped, strict=True)
    ]
    calls["called_side"] = np.where(calls["called_segment"].isna(), None, called)
    for part in ("side", "segment"):
        calls[f"network_{part}"] = calls[f"called_{part}"]
        calls[f"densities_{part}"] = np.where(
            generator.random(n) < 0.6, calls[part], calls[f"called_{part}"]
        )
    calls["confidence"] = generator.random(n).round(2)
    calls["finding"] = ""
    error = generator.gamma(3, 2.5, n)
    calls["point_error_mm"] = np.where(calls["called_segment"].isna(), np.nan, error)
    return calls


def _make_quality(cohort: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    findings = ("registration correlation below 0.6", "slices of uneven thickness", "high noise")
    stages = ("priors", "preprocessing", "preprocessing")
    rows = [
        {"case_id": case, "stage": stage, "finding": finding}
        for case in cohort["case_id"]
        for stage, finding in zip(stages, findings, strict=True)
        if generator.random() < 0.1
    ]
    return pd.DataFrame(rows, columns=["case_id", "stage", "finding"])


def _make_vessels(cohort: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    rows = [
        {
            "case_id": case,
            "split": split,
            "label": label,
            "dice": generator.beta(12, 6),
            "cldice": generator.beta(14, 5),
            "hd95_mm": generator.gamma(4, 1.2),
            "msd_mm": generator.gamma(3, 0.4),
            "volume_error": generator.normal(0, 0.15),
            "missing": int(generator.random() < 0.03),
        }
        for case, split in zip(cohort["case_id"], cohort["split"], strict=True)
        for label in ("C7", "M1", "M2", "other")
    ]
    return pd.DataFrame(rows)


def by_hand() -> pd.DataFrame:
    """Ten cases: at 0.5 three true and one false positive, one missed, five rightly negative."""
    return pd.DataFrame(
        {
            "case_id": [f"c{i}" for i in range(10)],
            "patient_id": [f"p{i}" for i in range(10)],
            "lvo": [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
            "probability": [0.9, 0.8, 0.5, 0.2, 0.7, 0.4, 0.3, 0.3, 0.1, 0.05],
            "fold": [0, 1] * 5,
        }
    )


def value(table: pd.DataFrame, metric: str, **where: object) -> float:
    mask = table["metric"] == metric
    for column, wanted in where.items():
        mask &= table[column] == wanted
    (found,) = table.loc[mask, "value"]
    return float(found)
