"""What a controlled change of the scans does to scores, calls and named occlusions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.comparison import Comparison, compare_runs
from lvo_kedro.evaluation.localization_comparison import compare_locations
from lvo_kedro.evaluation.options import EvaluationOptions
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    not_estimable,
    wilson_interval,
)
from lvo_kedro.evaluation.tables import require_columns

if TYPE_CHECKING:
    from lvo_kedro.evaluation.statistics.operating_points import OperatingPoints

CASES = ["change", "case_id", "lvo", "probability_unchanged", "probability_changed"]
CALLED = ("sensitivity", "specificity")
NAMED = ("side_accuracy", "segment_accuracy")


def evaluate_robustness(
    origin: pd.DataFrame,
    changed: tuple[pd.DataFrame, pd.DataFrame],
    unchanged: tuple[pd.DataFrame, pd.DataFrame],
    operating_points: OperatingPoints,
    options: EvaluationOptions | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the scores and calls of changed scans with those of the same scans unchanged.

    Args:
        origin: case_id (of the changed scan), original (case id of the unchanged one), change.
        changed: Score table and call table of the changed scans. A change that has no row in the
            call table is compared by its scores alone.
        unchanged: Score table and call table of the unchanged scans.
        operating_points: As they were fixed before; the same for both.
        options: Intervals; the defaults where None.

    Returns:
        A tidy table with change, operating_point and p_value: ``auc_changed``, differences changed
        minus unchanged on the same cases, the share of calls that changed, and how many cases
        could not be computed. And each case's two probabilities, one row per case and change.

    Raises:
        TableError: As :func:`compare_runs`; a changed scan of an unknown case.
    """
    options = options or EvaluationOptions()
    require_columns(origin, ("case_id", "original", "change"), "origin")
    original = dict(zip(origin["case_id"], origin["original"], strict=True))
    rows, cases = [], []
    for change, group in origin.groupby("change", sort=False):
        scores, calls = (_renamed(table, group, original) for table in changed)
        if scores["lvo"].nunique() == 2:
            found, pairs = _compare((scores, calls), unchanged, operating_points, options)
            cases.append(pairs.assign(change=change))
        else:
            nothing = not_estimable("fewer than one case with and one without LVO")
            found = [nothing.row("auc_difference")]
        lost = Interval(len(group) - len(scores), np.nan, np.nan, len(group), "count")
        rows += [{**row, "change": change} for row in [*found, lost.row("not_computed")]]
    columns = ["change", "operating_point", *COLUMNS, "p_value"]
    table = pd.DataFrame(rows, columns=columns).fillna({"operating_point": ""})
    return table, _case_table(cases)


def _compare(
    changed: tuple[pd.DataFrame, pd.DataFrame],
    unchanged: tuple[pd.DataFrame, pd.DataFrame],
    points: OperatingPoints,
    options: EvaluationOptions,
) -> tuple[list[dict[str, object]], pd.DataFrame]:
    """Rows about one change, and its cases with both probabilities."""
    (scores, calls), (all_before, calls_before) = changed, unchanged
    before = all_before[all_before["case_id"].isin(scores["case_id"])]
    scored = compare_runs(scores, before, points, options=options)
    rows = _detection_rows(scored.summary, scored.calls) + _changed_calls(scored, points, options)
    if len(calls):
        pair = (calls, calls_before), (scores, before), (points, points)
        rows += _location_rows(compare_locations(*pair, options)[0])
    return rows, scored.cases


def _renamed(table: pd.DataFrame, group: pd.DataFrame, original: dict[str, str]) -> pd.DataFrame:
    """The rows of one change, under the ids of the unchanged cases."""
    part = table[table["case_id"].isin(group["case_id"])] if len(table) else table
    return part.assign(case_id=part["case_id"].map(original)) if len(part) else part


def _detection_rows(summary: pd.DataFrame, calls: pd.DataFrame) -> list[dict[str, object]]:
    area = summary[summary["metric"] == "auc"].set_index("run")
    rows = [
        {**area.loc["A"].to_dict(), "metric": "auc_changed"},
        {**area.loc["A - B"].to_dict(), "metric": "auc_difference"},
    ]
    chosen = calls[calls["metric"].isin(CALLED)]
    return rows + chosen.assign(metric=chosen["metric"] + "_difference").to_dict("records")


def _location_rows(moved: pd.DataFrame) -> list[dict[str, object]]:
    chosen = moved[(moved["scope"] == "all_lvo") & moved["metric"].isin(NAMED)]
    return chosen.assign(metric=chosen["metric"] + "_difference").to_dict("records")


def _changed_calls(
    scored: Comparison, points: OperatingPoints, options: EvaluationOptions
) -> list[dict[str, object]]:
    rows = []
    for name in points:
        flipped = 0
        if not scored.changed.empty:
            flipped = int((scored.changed["operating_point"] == name).sum())
        share = wilson_interval(flipped, len(scored.cases), options.confidence)
        rows.append(share.row("calls_changed", operating_point=name))
    return rows


def _case_table(cases: list[pd.DataFrame]) -> pd.DataFrame:
    renamed = {"probability_a": "probability_changed", "probability_b": "probability_unchanged"}
    parts = [pd.DataFrame(columns=CASES), *(part.rename(columns=renamed)[CASES] for part in cases)]
    return pd.concat(parts, ignore_index=True)
