"""Which cases went wrong, how badly, and whether the quality findings foretold it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import fisher_exact

from lvo_kedro.evaluation.statistics.intervals import COLUMNS, Interval, wilson_interval
from lvo_kedro.evaluation.statistics.operating_points import Threshold, thresholds_of
from lvo_kedro.evaluation.tables import require_columns

ABOUT = (
    "side", "segment", "site", "manufacturer", "model", "kernel", "slice_thickness_mm", "age",
    "sex", "nihss",
)  # fmt: skip
"""Columns of the cohort that go along with a failure, where the cohort has them."""
NO_FINDING = "no finding"
ANY_FINDING = "any finding"
MEASURED = re.compile(r"(?<![\w.])[-+]?\d+(\.\d+)?")
"""A number in a finding's words; not the digit of a segment, as in M1."""


def rank_failures(
    scores: pd.DataFrame,
    threshold: Threshold,
    quality: pd.DataFrame | None = None,
    limit: int = 20,
) -> pd.DataFrame:
    """False negatives and false positives, the most confidently wrong first.

    Args:
        scores: Score table, with cohort columns where there are any.
        threshold: The main operating point.
        quality: Quality table (case_id, stage, finding), or None.
        limit: Most rows of each kind.

    Returns:
        Columns kind (false negative, false positive), rank, case_id, patient_id, probability,
        threshold, distance (of probability from threshold, in logits), the cohort's columns, and
        findings (joined with '; ').
    """
    table = scores.copy()
    table["threshold"] = thresholds_of(scores, threshold)
    drawn_in = table[["probability", "threshold"]].clip(1e-6, 1 - 1e-6)
    table["distance"] = logit(drawn_in["probability"]) - logit(drawn_in["threshold"])
    called = table["probability"] >= table["threshold"]
    table["kind"] = np.select(
        [(table["lvo"] == 1) & ~called, (table["lvo"] == 0) & called],
        ["false negative", "false positive"],
        default="",
    )
    wrong = table.loc[table["kind"] != ""].copy()
    wrong["findings"] = wrong["case_id"].map(_findings_by_case(quality)).fillna("")
    wrong["badness"] = wrong["distance"].abs()
    wrong = wrong.sort_values(["kind", "badness", "case_id"], ascending=[True, False, True])
    wrong["rank"] = wrong.groupby("kind").cumcount() + 1
    columns = ["kind", "rank", "case_id", "patient_id", "probability", "threshold", "distance"]
    columns += [name for name in ABOUT if name in wrong] + ["findings"]
    return wrong.loc[wrong["rank"] <= limit, columns].reset_index(drop=True)


def _findings_by_case(quality: pd.DataFrame | None) -> dict[str, str]:
    """Case to its findings in one text; empty without a quality table."""
    if quality is None or quality.empty:
        return {}
    require_columns(quality, ("case_id", "finding"), "quality")
    named = _named(quality)
    return {
        str(case): "; ".join(dict.fromkeys(part["finding"].astype(str)))
        for case, part in named.groupby("case_id")
    }


def _named(quality: pd.DataFrame) -> pd.DataFrame:
    """The rows that name a finding."""
    return quality.loc[quality["finding"].fillna("").astype(str).str.strip() != ""]


def quality_against_errors(
    scores: pd.DataFrame,
    threshold: Threshold,
    quality: pd.DataFrame | None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Error rate of the cases with each quality finding, beside that of all others.

    Args:
        scores: Columns case_id, lvo, probability.
        threshold: The main operating point.
        quality: Quality table (case_id, stage, finding), or None.
        confidence: Coverage.

    Returns:
        Tidy table with stage, finding and p_value: the value is the share of wrong calls among the
        cases with the finding (Wilson), ``others`` that among those without; p_value is Fisher's
        exact test, two-sided and not corrected for the number of findings. Findings that differ in
        a measured number alone are one kind. Each stage has a row for any of its findings, and the
        last row is that of cases without any finding.
    """
    columns = ["stage", "finding", *COLUMNS, "others", "p_value"]
    if quality is None or quality.empty:
        return pd.DataFrame(columns=columns)
    require_columns(quality, ("case_id", "stage", "finding"), "quality")
    called = scores["probability"].to_numpy() >= thresholds_of(scores, threshold)
    wrong = called != (scores["lvo"].to_numpy() == 1)
    named = _named(quality)
    flagged = {
        key: scores["case_id"].isin(cases).to_numpy() for key, cases in _by_kind(named).items()
    }
    clean = ~scores["case_id"].isin(set(named["case_id"])).to_numpy()
    rows = []
    for (stage, finding), has in [*flagged.items(), (("any", NO_FINDING), clean)]:
        if not has.any():
            continue
        figure: Interval = wilson_interval(int(wrong[has].sum()), int(has.sum()), confidence)
        others = float(wrong[~has].mean()) if (~has).any() else np.nan
        table = [
            [int((wrong & has).sum()), int((~wrong & has).sum())],
            [int((wrong & ~has).sum()), int((~wrong & ~has).sum())],
        ]
        p_value = float(fisher_exact(table)[1])
        row = figure.row("error_rate", stage=stage, finding=finding)
        rows.append({**row, "others": others, "p_value": p_value})
    return pd.DataFrame(rows, columns=columns)


def _by_kind(named: pd.DataFrame) -> dict[tuple[str, str], set[str]]:
    """Stage and kind of finding to its cases; any finding of a stage comes before its kinds."""
    kinds = named["finding"].astype(str).str.replace(MEASURED, "…", regex=True)
    groups: dict[tuple[str, str], set[str]] = {}
    for stage, part in named.assign(finding=kinds).groupby("stage"):
        groups[(str(stage), ANY_FINDING)] = set(part["case_id"])
        for kind, cases in part.groupby("finding")["case_id"]:
            groups[(str(stage), str(kind))] = set(cases)
    return groups


def choose_cases(
    failures: pd.DataFrame, scores: pd.DataFrame, count: int, share_wrong: float = 0.5
) -> pd.DataFrame:
    """Choose cases to look at: the worst errors of both kinds, and rightly called occlusions.

    Args:
        failures: Rows of :func:`rank_failures`, of one set or of several.
        scores: Score table of all sets: case_id, lvo, probability.
        count: How many cases.
        share_wrong: Share of them given to errors, as far as there are as many.

    Returns:
        Columns case_id and kind (false negative, false positive, detected): errors by rank, then
        detected occlusions from the highest to the lowest probability, evenly spread.
    """
    wrong = failures.sort_values(["rank", "kind", "case_id"])[["case_id", "kind"]]
    others = scores[(scores["lvo"] == 1) & ~scores["case_id"].isin(failures["case_id"])]
    others = others.sort_values("probability", ascending=False)
    errors = min(len(wrong), max(int(count * share_wrong), count - len(others)))
    wrong = wrong.head(errors).sort_values("kind", kind="stable")
    rest = min(len(others), count - errors)
    places = np.unique(np.linspace(0, max(len(others) - 1, 0), rest).astype(int))
    detected = others.iloc[places][["case_id"]].assign(kind="detected")
    return pd.concat([wrong, detected], ignore_index=True)
