"""Whether the call of each occlusion is right: one row per scored case with LVO that has a name."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.tables import listing, prepare_scores, require_columns
from lvo_kedro.truth import in_detection_alone
from lvo_kedro.vocabulary import SEGMENT_CLASSES

NO_CALL: Final = "none"
"""Called class where nothing, or nothing possible, was named, or the case was not detected."""
TRUTH: Final = ("side", "segment")
CALLED: Final = ("called_side", "called_segment")
OPTIONAL: Final = ("confidence", "finding", "point_error_mm", "clot_annotated")


def occlusion_cases(
    calls: pd.DataFrame, scores: pd.DataFrame, cohort: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row for each scored LVO case that has a name: truth, call, whether the call is right.

    Occlusions outside the five classes, of both sides or of an unknown side or segment have none:
    they are left out here (:func:`~lvo_kedro.truth.in_detection_alone`).

    Args:
        calls: As :func:`~lvo_kedro.evaluation.evaluate_localization`.
        scores: As :func:`~lvo_kedro.evaluation.evaluate_localization`.
        cohort: As :func:`~lvo_kedro.evaluation.evaluate_localization`.

    Returns:
        Sorted by case_id, with called_class, side_correct, segment_correct, segment_touched and
        clot_annotated (whether there is a true point to compare with).

    Raises:
        TableError: As :func:`~lvo_kedro.evaluation.evaluate_localization`.
    """
    table = _with_truth(_scored_occlusions(calls, scores), cohort)
    if "point_error_mm" not in table:
        table["point_error_mm"] = np.nan
    annotated = table.get("clot_annotated", pd.Series(1, index=table.index))
    table["clot_annotated"] = pd.to_numeric(annotated).fillna(1).astype(bool)
    named = table["called_segment"].isin(SEGMENT_CLASSES)
    table["called_class"] = table["called_segment"].where(named, NO_CALL)
    table["side_correct"] = table["side"] == table["called_side"]
    table["segment_correct"] = (table["segment"] == table["called_class"]) & named
    pairs = zip(table["segment"], table["called_class"], strict=True)
    touched = [bool(set(a.split("+")) & set(b.split("+"))) for a, b in pairs]
    table["segment_touched"] = np.array(touched, dtype=bool)  # also where there is no case
    return table[~in_detection_alone(table)].reset_index(drop=True)


def _scored_occlusions(calls: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Join calls to the scored cases with LVO; what is not named, or has no row, is empty."""
    require_columns(calls, ("case_id", *TRUTH, *CALLED), "call")
    scores = prepare_scores(scores)
    twice = calls.loc[calls["case_id"].duplicated(), "case_id"]
    if not twice.empty:
        raise TableError(
            f"case {twice.iloc[0]!r} twice in the call table", "one row per case", "drop one"
        )
    kept = [c for c in ("case_id", "patient_id", "split", "fold", "probability") if c in scores]
    wanted = [c for c in ("case_id", *TRUTH, *CALLED, *OPTIONAL) if c in calls]
    positives = scores.loc[scores["lvo"] == 1, kept]
    table = positives.merge(calls[wanted], on="case_id", how="left", validate="1:1")
    for column in (*TRUTH, *CALLED):
        table[column] = table[column].astype(object).where(table[column].notna(), "").astype(str)
    return table.sort_values("case_id", ignore_index=True)


def _with_truth(table: pd.DataFrame, cohort: pd.DataFrame | None) -> pd.DataFrame:
    """Fill in the cohort's side and segment where the calls have none."""
    if cohort is not None:
        truth = cohort.set_index("case_id")
        for column in TRUTH:
            given = table["case_id"].map(truth[column]).fillna("").astype(str)
            table[column] = table[column].where(table[column] != "", given)
    unknown = set(table.loc[table["side"] == "", "case_id"])
    if unknown:
        raise TableError(
            f"{len(unknown)} LVO cases without a true side: {listing(unknown)}",
            "left or right",
            "give a row in the call table for every scored LVO case, or pass the cohort table",
        )
    return table
