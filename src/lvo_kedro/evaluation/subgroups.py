"""The same metrics in parts of the cohort, none of them left out."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.statistics.auc import auc_or_reason
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    not_estimable,
    wilson_interval,
)
from lvo_kedro.evaluation.statistics.operating_points import (
    Threshold,
    calls_of,
    fixed_point_metrics,
)

if TYPE_CHECKING:
    from lvo_kedro.evaluation.options import EvaluationOptions, Subgroup
    from lvo_kedro.evaluation.statistics.arrays import BoolArray, FloatArray

UNKNOWN = "not recorded"
"""Level of the cases without an entry."""
TOO_FEW = "too few cases"
"""Start of the remark of a level that is shown but should not be read."""
PLACE = ("subgroup", "title", "level")


def subgroup_table(
    scores: pd.DataFrame, threshold: Threshold, options: EvaluationOptions
) -> pd.DataFrame:
    """Prevalence, AUC, sensitivity and specificity in each declared subgroup.

    A column that only cases with LVO have (segment, side) is read as in the literature: the cases
    with LVO of that level against all cases without.

    Args:
        scores: Score table joined with the cohort's columns.
        threshold: The main operating point.
        options: Declared subgroups, confidence, fewest cases.

    Returns:
        Tidy table with subgroup, title, level, remark. The first level is ``all``. A level with
        fewer than ``minimum_cases`` in a class has its numbers and a remark that begins with
        :data:`TOO_FEW`; a column that the cohort lacks, or that is empty, has one row that says so.
    """
    called = calls_of(scores, threshold)
    everyone = np.ones(len(scores), dtype=bool)
    rows = _level_rows(scores, called, everyone, ("all", "All cases", "all"), options)
    for subgroup in options.subgroups:
        title = subgroup.title or subgroup.column
        reason = why_missing(scores, subgroup.column)
        if reason:
            missing = not_estimable(reason)
            place = dict(zip(PLACE, (subgroup.column, title, UNKNOWN), strict=True))
            rows.append(missing.row("n", **place, remark=reason))
            continue
        for level, members in levels_of(scores, subgroup).items():
            rows += _level_rows(scores, called, members, (subgroup.column, title, level), options)
    return pd.DataFrame(rows, columns=[*PLACE, *COLUMNS, "remark"])


def why_missing(scores: pd.DataFrame, column: str) -> str:
    """Say why cases cannot be divided by a column; empty where they can.

    Args:
        scores: Score table joined with the cohort's columns.
        column: Its name.
    """
    if column not in scores:
        return "column not in the cohort table"
    return "not recorded for any case" if scores[column].isna().all() else ""


def levels_of(scores: pd.DataFrame, subgroup: Subgroup) -> dict[str, BoolArray]:
    """Divide the cases by a column that is there.

    Args:
        scores: Score table joined with the cohort's columns.
        subgroup: Column and bands.

    Returns:
        Level to its members, shape (n,), in the order of the values; cases without an entry come
        last. Of a column that only cases with LVO have, each level has all cases without as well.

    Raises:
        TableError: Bands are asked for and a value is no number.
    """
    column, positives = scores[subgroup.column], scores["lvo"].to_numpy() == 1
    if subgroup.bands:
        names, edges = _band_names(subgroup.bands), [-np.inf, *sorted(subgroup.bands), np.inf]
        column = pd.cut(_numbers(column), edges, right=False, labels=names)
    else:
        names = sorted(column.dropna().unique(), key=lambda value: (str(type(value)), value))
    recorded = column.notna().to_numpy()
    of_lvo_only = not recorded[~positives].any() and recorded[positives].any()
    levels = {}
    for name in names:
        members = (column == name).to_numpy()
        levels[str(name)] = members | ~positives if of_lvo_only else members
    rest = ~recorded & positives if of_lvo_only else ~recorded
    if rest.any():
        levels[UNKNOWN] = rest | ~positives if of_lvo_only else rest
    return levels


def _numbers(column: pd.Series) -> pd.Series:
    """A column as numbers; those that only a user's table has are text until bands ask for them."""
    try:
        return column.astype(float)
    except ValueError as error:
        raise TableError(
            f"the column {column.name} with something else than numbers ({error})",
            "numbers, or nothing, in a column that is divided into bands",
            "correct the cohort table, or take the bands out of the evaluation's subgroups",
        ) from error


def _band_names(edges: tuple[float, ...]) -> list[str]:
    """Names of the bands between inner edges, such as ``< 65``, ``65 to < 80``, ``≥ 80``."""
    text = [f"{edge:g}" for edge in sorted(edges)]
    between = [f"{low} to < {high}" for low, high in pairwise(text)]
    return [f"< {text[0]}", *between, f"≥ {text[-1]}"]


def area_among(
    positives: BoolArray, values: FloatArray, members: BoolArray, options: EvaluationOptions
) -> tuple[Interval, str]:
    """AUC of some of the cases, and whether they are too few to read it.

    Args:
        positives: Which cases have LVO, shape (n,).
        values: Score, shape (n,).
        members: Which cases count, shape (n,).
        options: Confidence, method of the interval, fewest cases.

    Returns:
        The area, and a remark that begins with :data:`TOO_FEW`, or an empty one.
    """
    own = positives[members]
    with_lvo, without = int(own.sum()), int((~own).sum())
    remark = ""
    if min(with_lvo, without) < options.minimum_cases:
        remark = f"{TOO_FEW}: {with_lvo} with and {without} without LVO"
    area = auc_or_reason(own, values[members], options.confidence, options.auc_method)
    return area, remark


def _level_rows(
    scores: pd.DataFrame,
    called: BoolArray,
    members: BoolArray,
    place: tuple[str, str, str],
    options: EvaluationOptions,
) -> list[dict[str, object]]:
    every = scores["lvo"].to_numpy() == 1
    positives = every[members]
    n, with_lvo = int(members.sum()), int(positives.sum())
    area, remark = area_among(every, scores["probability"].to_numpy(), members, options)
    figures = {
        "n": Interval(n, np.nan, np.nan, n, "count"),
        "cases_with_lvo": Interval(with_lvo, np.nan, np.nan, n, "count"),
        "prevalence": wilson_interval(with_lvo, n, options.confidence),
        "auc": area,
    }
    fixed = fixed_point_metrics(positives, called[members], options.confidence)
    figures |= {name: fixed[name] for name in ("sensitivity", "specificity")}
    where = dict(zip(PLACE, place, strict=True))
    return [figure.row(metric, **where, remark=remark) for metric, figure in figures.items()]
