"""Two ways of naming the occlusions of the same cases: which is right more often, and where?

The two ways may be two runs, or two methods within one run.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.localization import EVERY, evaluate_localization
from lvo_kedro.evaluation.occlusions import NO_CALL, TRUTH, occlusion_cases
from lvo_kedro.evaluation.options import EvaluationOptions
from lvo_kedro.evaluation.statistics.intervals import COLUMNS
from lvo_kedro.evaluation.statistics.operating_points import OperatingPoints, calls_of
from lvo_kedro.evaluation.statistics.paired import paired_row

if TYPE_CHECKING:
    from lvo_kedro.evaluation.statistics.arrays import BoolArray

UNKNOWN: Final = "not recorded"
RIGHT: Final = {
    "side_accuracy": "side_correct",
    "segment_accuracy": "segment_correct",
    "side_and_segment_accuracy": "both_correct",
}


def compare_locations(
    calls: tuple[pd.DataFrame, pd.DataFrame],
    scores: tuple[pd.DataFrame, pd.DataFrame],
    operating_points: tuple[OperatingPoints, OperatingPoints],
    options: EvaluationOptions | None = None,
    *,
    cohort: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare how A and B name the occlusions that both have.

    Args:
        calls: Call tables of A and B, as :func:`evaluate_localization` takes them.
        scores: Score tables of A and B.
        operating_points: Each one's own; names that both have are compared.
        options: Intervals; the defaults where None.
        cohort: As :func:`evaluate_localization`; without it the truth is that of the call tables,
            and an occlusion without a row in either is wrong in both.

    Returns:
        Differences A - B (tidy, with scope, operating_point, the discordant counts and p_value):
        localization alone, and end to end at each operating point. And the LVO cases whose named
        side or segment differs: truth, both names, ``right`` (A, B, both, neither).

    Raises:
        TableError: As :func:`evaluate_localization`, or no LVO case in common.
    """
    options = options or EvaluationOptions()
    cohort = _truth_of(calls, scores) if cohort is None else cohort
    a, b = (occlusion_cases(*pair, cohort) for pair in zip(calls, scores, strict=True))
    common = sorted(set(a["case_id"]) & set(b["case_id"]))
    if not common and (len(a) or len(b)):  # of neither where stage 3 has a name for none
        raise TableError("no LVO case in common", "the same cases", "compare others")
    a, b = (t.set_index("case_id", drop=False).loc[common].reset_index(drop=True) for t in (a, b))
    for table in (a, b):
        table["both_correct"] = table["side_correct"] & table["segment_correct"]
    everyone = np.ones(len(common), dtype=bool)
    rows = _rows(a, b, (everyone, everyone), options.confidence, scope="all_lvo")
    for name in [n for n in operating_points[0] if n in operating_points[1]]:
        found = calls_of(a, operating_points[0][name]), calls_of(b, operating_points[1][name])
        place = {"scope": "end_to_end", "operating_point": name}
        rows += _rows(a, b, found, options.confidence, **place)
    columns = ["scope", "operating_point", *COLUMNS, "only_a_correct", "only_b_correct", "p_value"]
    return pd.DataFrame(rows, columns=columns).fillna({"operating_point": ""}), _moved(a, b)


def _truth_of(
    calls: tuple[pd.DataFrame, pd.DataFrame], scores: tuple[pd.DataFrame, pd.DataFrame]
) -> pd.DataFrame:
    """Side and segment of every scored case; nobody knows them where neither table has the case."""
    known = pd.concat([table[["case_id", *TRUTH]] for table in calls])
    every = pd.concat([table[["case_id"]] for table in scores])
    return (
        pd.concat([known, every])
        .drop_duplicates("case_id")
        .fillna(dict.fromkeys(TRUTH, UNKNOWN))
        .reset_index(drop=True)
    )


def _rows(
    a: pd.DataFrame,
    b: pd.DataFrame,
    found: tuple[BoolArray, BoolArray],
    confidence: float,
    **place: object,
) -> list[dict[str, object]]:
    return [
        paired_row(
            metric,
            a[column].to_numpy(dtype=bool) & found[0],
            b[column].to_numpy(dtype=bool) & found[1],
            confidence,
            **place,
        )
        for metric, column in RIGHT.items()
    ]


def _moved(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    table = a[["case_id", "patient_id", "side", "segment"]].copy()
    for name, run in (("a", a), ("b", b)):
        named = run["called_side"] + " " + run["called_class"]
        table[f"called_{name}"] = named.where(run["called_class"] != NO_CALL, NO_CALL)
    right = a["both_correct"].to_numpy(), b["both_correct"].to_numpy()
    table["right"] = np.select(
        [right[0] & right[1], right[0], right[1]], ["both", "A", "B"], default="neither"
    )
    return table.loc[table["called_a"] != table["called_b"]].reset_index(drop=True)


def compare_methods(
    calls: pd.DataFrame,
    scores: pd.DataFrame,
    operating_points: OperatingPoints,
    options: EvaluationOptions | None = None,
    *,
    cohort: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Every method that the call table knows, side by side on the same occlusions.

    Args:
        calls: Call table with columns ``<method>_side`` and ``<method>_segment`` for each method.
        scores: As :func:`evaluate_localization`.
        operating_points: As :func:`evaluate_localization`.
        options: Intervals; the defaults where None.
        cohort: As :func:`evaluate_localization`.

    Returns:
        Tidy, with by (the method, or ``<first> - <second>`` for the paired difference), scope,
        operating_point and p_value; empty where the table knows no method.

    Raises:
        TableError: As :func:`evaluate_localization`.
    """
    parts = []
    methods = _calls_by_method(calls)
    for name, table in methods.items():
        summary = evaluate_localization(
            table, scores, operating_points, options, cohort=cohort
        ).summary
        chosen = (summary["segment"] == EVERY) & summary["metric"].isin(RIGHT)
        parts.append(summary[chosen].drop(columns="segment").assign(by=name))
    for first, second in combinations(methods, 2):
        pair, own = (methods[first], methods[second]), (scores, scores)
        both = (operating_points, operating_points)
        difference, _ = compare_locations(pair, own, both, options, cohort=cohort)
        parts.append(difference.assign(by=f"{first} - {second}"))
    columns = ["by", "scope", "operating_point", *COLUMNS, "p_value"]
    return pd.concat([pd.DataFrame(columns=columns), *parts], ignore_index=True)[columns]


def _calls_by_method(calls: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The call table once for each method, its words in place of those of the chosen one."""
    ending = "_segment"
    names = [
        column.removesuffix(ending)
        for column in calls
        if column.endswith(ending) and not column.startswith("called_")
    ]
    return {
        name: calls.assign(
            called_side=calls[f"{name}_side"], called_segment=calls[f"{name}{ending}"]
        )
        for name in names
    }
