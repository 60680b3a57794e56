"""How many cases of a set came in, fell out and why, and were evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro.evaluation.scope import COLUMN, OUT, reasons_out_of_scope
from lvo_kedro.evaluation.tables import require_columns
from lvo_kedro.truth import NO_CLASS, NO_SIDE, in_detection_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_COHORT, EXCLUDED, NOT_SCORED, EVALUATED, WITH_LVO = (
    "in the cohort",
    "excluded",
    "without a score",
    "evaluated",
    "with LVO",
)
"""Steps of the flow; those excluded and those without a score fall out."""
NAMELESS = {
    "occlusions outside the five classes": ("segment", NO_CLASS),
    "side unknown or both": ("side", NO_SIDE),
}
"""Of those with LVO: not named by stage 3. Step to column and words; a case may have both."""
IN_DETECTION_ALONE = "in detection alone"
"""How many cases of :data:`NAMELESS` there are."""
OUT_OF_SCOPE = OUT
"""Of those evaluated: unlike the training cases. They do not fall out."""


def list_exclusions(cohort: pd.DataFrame, failures: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row per case and step that could not be computed.

    Args:
        cohort: case_id, split.
        failures: Of each step, in the order in which they are computed: case_id, stage (the step),
            error (what was wrong).

    Returns:
        Columns case_id, split, stage, error, in the order of the cohort and, of a case, of the
        steps; nothing of cases that are not in the cohort.
    """
    require_columns(cohort, ("case_id", "split"), "cohort")
    return cohort[["case_id", "split"]].merge(pd.concat(failures), on="case_id")


def count_flow(
    cohort: pd.DataFrame, scores: pd.DataFrame, exclusions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Count the cases of one set from the cohort table to the score table.

    Args:
        cohort: Rows of the set: case_id; side and segment where they are known.
        scores: Score table of the set: case_id, lvo; ``out_of_scope`` where scans were looked at
            for that.
        exclusions: case_id, stage, error, of cases that could not be processed; may hold those of
            other sets.

    Returns:
        Columns step, reason, count. ``excluded`` has one row per reason: the stage and what was
        found there; a case excluded by several stages counts at the first. Occlusions that stage 3
        has no name for have a row per word of the cohort table, and one for all of them together,
        where there are any. ``out of scope`` has a row where scans were looked at for that, also
        with none.
    """
    require_columns(cohort, ("case_id",), "cohort")
    ids, evaluated = set(cohort["case_id"].astype(str)), set(scores["case_id"].astype(str))
    rows: list[tuple[str, str, int]] = [(IN_COHORT, "", len(ids))]
    lost: set[str] = set()
    if exclusions is not None and not exclusions.empty:
        known = exclusions["case_id"].astype(str)
        first = exclusions[known.isin(ids - evaluated)].drop_duplicates("case_id")
        lost = set(first["case_id"].astype(str))
        # what was found says enough; the whole message is in the table of exclusions
        found = first["error"].astype(str).str.split(";").str[0].str.removeprefix("found ")
        reasons = (first["stage"].astype(str) + ": " + found).value_counts()
        rows += [(EXCLUDED, str(reason), int(count)) for reason, count in reasons.items()]
    rows.append((NOT_SCORED, "", len(ids - lost - evaluated)))
    rows.append((EVALUATED, "", len(evaluated)))
    occluded = scores.loc[scores["lvo"].astype(float) == 1, "case_id"]
    rows.append((WITH_LVO, "", len(occluded)))
    if {"side", "segment"} <= set(cohort):
        rows += _nameless(cohort[cohort["case_id"].isin(occluded)])
    if COLUMN in scores:
        rows.append((OUT_OF_SCOPE, "", len(reasons_out_of_scope(scores))))
    return pd.DataFrame(rows, columns=["step", "reason", "count"])


def _nameless(occluded: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Count the occlusions that stage 3 has no name for, by the words that the table has."""
    alone = int(in_detection_alone(occluded).sum())
    if not alone:
        return []
    counted = [
        (step, word, int((occluded[column] == word).sum()))
        for step, (column, words) in NAMELESS.items()
        for word in words
    ]
    return [*counted, (IN_DETECTION_ALONE, "", alone)]
