"""What one table of scores tells: fitted on the cases reported, no better than chance, others."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.leakage.findings import Finding, ids_of
from lvo_kedro.evaluation.statistics.auc import auc_or_reason
from lvo_kedro.evaluation.tables import listing, require_columns


def check_same_cases(scores: pd.DataFrame, cohort: pd.DataFrame) -> list[Finding]:
    """Cases of the cohort without a score, and labels that differ between the two tables.

    Args:
        scores: case_id, lvo; split where there is one.
        cohort: case_id, lvo; split where there is one.

    Returns:
        A note that counts cases of the same split without a score.

    Raises:
        TableError: A scored case is not in the cohort, or its label or patient differs.
    """
    require_columns(cohort, ("case_id",), "cohort")
    known = cohort.set_index("case_id")
    stranger = set(scores["case_id"]) - set(known.index)
    if stranger:
        raise TableError(
            f"scores of {len(stranger)} cases unknown to the cohort table: {listing(stranger)}",
            "scores of the cohort's cases",
            "score the cohort that is reported",
        )
    for column in ("lvo", "patient_id"):
        if column not in known or column not in scores:
            continue
        kind = float if column == "lvo" else str
        there = known.loc[scores["case_id"], column].astype(kind).to_numpy()
        differ = scores["case_id"][there != scores[column].astype(kind).to_numpy()]
        if not differ.empty:
            raise TableError(
                f"{column} of {len(differ)} cases not as in the cohort table: {listing(differ)}",
                "the same in both",
                "score again with the present cohort table",
            )
    expected = cohort
    if "split" in cohort and "split" in scores:
        expected = cohort.loc[cohort["split"].isin(scores["split"].dropna().unique())]
    missing = set(expected["case_id"]) - set(scores["case_id"])
    if not missing:
        return []
    message = f"{len(missing)} of {len(expected)} cases have no score: {listing(missing)}"
    return [Finding("cases_without_score", "note", message, ids_of(missing))]


def check_fitted_elsewhere(
    reported: pd.DataFrame,
    fitted_on: Collection[str] | Mapping[int, Collection[str]] | None,
    what: str = "operating point",
) -> list[Finding]:
    """An operating point or a calibration fitted on the cases it is reported on.

    Args:
        reported: Score table that is reported: case_id, and fold for cross-fitted thresholds.
        fitted_on: Case ids used for the fit, or fold to case ids; None where it is not known.
        what: What was fitted, for the message.

    Returns:
        An error where cases overlap; a note where nothing is known, or nothing about the fold of
        a case.
    """
    if fitted_on is None:
        message = f"it is not recorded on which cases the {what} was fitted"
        return [Finding("fit_not_recorded", "note", message)]
    if isinstance(fitted_on, Mapping):
        require_columns(reported, ("fold",), "score")
        by_fold = {float(fold): set(map(str, cases)) for fold, cases in fitted_on.items()}
        folds = pd.to_numeric(reported["fold"])
        lost = reported.loc[~folds.isin(list(by_fold)), "case_id"]
        if not lost.empty:
            message = f"it is not recorded on which cases the {what} of {len(lost)} was fitted"
            return [Finding("fit_not_recorded", "note", message, ids_of(lost))]
        pairs = zip(reported["case_id"].astype(str), folds, strict=True)
        overlap = [case for case, fold in pairs if case in by_fold[fold]]
    else:
        used = set(map(str, fitted_on))
        overlap = [case for case in reported["case_id"].astype(str) if case in used]
    if not overlap:
        return []
    message = (
        f"the {what} was fitted on {len(overlap)} of the {len(reported)} cases it is reported on: "
        "metrics at that point and of calibration are apparent, not validated"
    )
    return [
        Finding(
            "fitted_on_reported_cases",
            "error",
            message,
            ids_of(overlap),
            expected=f"a {what} fitted on other cases",
            remedy="fit it for each fold on the cases of the others",
        )
    ]


def check_informative(scores: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """A model that is constant, no better than chance, or worse than chance.

    Args:
        scores: case_id, lvo, probability; fold where there are any.
        confidence: Coverage of the interval of the AUC.

    Returns:
        An error for a constant score (also within one fold) and for an AUC below 0.5; a warning
        where the interval contains 0.5, as for shuffled labels or scores. Of cases of one class
        nothing can tell chance.
    """
    require_columns(scores, ("case_id", "lvo", "probability"), "score")
    values = scores["probability"].to_numpy(dtype=float)
    if np.ptp(values) < 1e-9:
        message = f"every case has the same probability, {values[0]:.4f}: the model says nothing"
        return [Finding("constant_model", "error", message)]
    findings = []
    if "fold" in scores:
        spread = scores.dropna(subset=["fold"]).groupby("fold")["probability"].agg(np.ptp)
        sizes = scores.groupby("fold").size()
        flat = [str(int(fold)) for fold in spread.index[spread < 1e-9] if sizes[fold] > 1]
        if flat:
            message = (
                f"all probabilities within fold {listing(flat)} are equal: its model says nothing"
            )
            findings.append(Finding("constant_model", "error", message))
    area = auc_or_reason(scores["lvo"], values, confidence)
    if area.high < 0.5:
        message = f"AUC {area}: worse than chance; labels or the sign of the score are swapped"
        findings.append(Finding("worse_than_chance", "error", message))
    elif area.low <= 0.5:
        message = f"AUC {area}: not distinguishable from chance, as a shuffled model would be"
        findings.append(Finding("no_better_than_chance", "warning", message))
    return findings


def check_epoch_choice(
    reported: pd.DataFrame, chosen_on: Mapping[int, Collection[str]]
) -> list[Finding]:
    """Cases by which the epoch was chosen whose network then scored them.

    Args:
        reported: case_id and fold of the development cases.
        chosen_on: Fold to the cases that its networks' epoch was chosen on; none for the last.

    Returns:
        A warning where they overlap: cross-validated metrics are optimistic, external ones are not.
    """
    require_columns(reported, ("case_id", "fold"), "score")
    own = {int(fold): set(map(str, cases)) for fold, cases in chosen_on.items()}
    pairs = reported[["case_id", "fold"]].dropna().itertuples(index=False)
    overlap = [str(case) for case, fold in pairs if str(case) in own.get(int(fold), set())]
    if not overlap:
        return []
    message = (
        f"the detectors' epoch was chosen on {len(overlap)} of the {len(reported)} cases that "
        "cross-validation reports: its metrics are optimistic, those of external cases are not"
    )
    return [Finding("epoch_chosen_on_reported_cases", "warning", message, ids_of(overlap))]
