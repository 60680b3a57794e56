"""Protection against self-deception.

Each check looks for one way in which figures come out better than they are. It returns findings;
whoever calls decides: :func:`raise_on_errors` turns those of severity ``error`` into a
:class:`~lvo_kedro.errors.TableError`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.roc import auc_interval
from lvo_kedro.evaluation.tables import listing, require_columns

Severity = Literal["error", "warning", "note"]
SOURCE_COLUMNS = ("site", "scanner", "manufacturer", "scanner_model")
"""Columns by which an external split should differ from the development split."""


@dataclass(frozen=True)
class Finding:
    """Something that a self-check noticed.

    Attributes:
        check: Name of the check.
        severity: ``error``: the figures are invalid; ``warning``: they need a caveat; ``note``.
        message: What was found and what it means.
        cases: Cases concerned, where there are particular ones.
    """

    check: str
    severity: Severity
    message: str
    cases: tuple[str, ...] = ()


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table: check, severity, message, cases (joined with a blank)."""
    rows = [(*astuple(finding)[:3], " ".join(finding.cases)) for finding in findings]
    return pd.DataFrame(rows, columns=["check", "severity", "message", "cases"])


def raise_on_errors(findings: Sequence[Finding]) -> None:
    """Stop where a finding makes the figures invalid.

    Args:
        findings: Of any checks.

    Raises:
        TableError: At least one finding has severity ``error``; all of them are in the message.
    """
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise TableError(
            " | ".join(errors),
            "a clean separation of what is fitted and what is reported",
            "repair the tables named; figures made from them would mislead",
        )


def check_patient_separation(cohort: pd.DataFrame) -> list[Finding]:
    """A patient in two folds or in two splits.

    Args:
        cohort: Cohort or fold table: case_id, patient_id, and split or fold or both. Cases
            without a fold (external ones) are not looked at for folds.

    Returns:
        An error for each kind of leak.
    """
    require_columns(cohort, ("case_id", "patient_id"), "cohort")
    findings = []
    for column in ("split", "fold"):
        if column not in cohort:
            continue
        spread = cohort.dropna(subset=[column]).groupby("patient_id")[column].nunique()
        leaking = set(spread.index[spread > 1].astype(str))
        if leaking:
            cases = cohort.loc[cohort["patient_id"].astype(str).isin(leaking), "case_id"]
            message = f"{len(leaking)} patients are in more than one {column}: {listing(leaking)}"
            findings.append(Finding(f"patient_in_two_{column}s", "error", message, _ids(cases)))
    return findings


def training_patients(folds: pd.DataFrame) -> dict[int, set[str]]:
    """The patients that each fold's model may train on: those of all other folds.

    Args:
        folds: Fold table: patient_id, fold (the fold in which the patient is held out).

    Returns:
        Fold to patients.
    """
    require_columns(folds, ("patient_id", "fold"), "fold")
    known = folds.dropna(subset=["fold"])
    return {
        int(fold): set(known.loc[known["fold"] != fold, "patient_id"].astype(str))
        for fold in known["fold"].unique()
    }


def check_out_of_fold(
    predictions: pd.DataFrame, trained_on: Mapping[int, Collection[str]], stage: str
) -> list[Finding]:
    """A prediction made by a model that trained on the same patient.

    Args:
        predictions: case_id, patient_id, fold (of the model that made the prediction). Give the
            development cases; those without a fold were predicted by an ensemble of all folds.
        trained_on: Fold to the patients its model was trained on, best from the model's manifest,
            otherwise from :func:`training_patients`.
        stage: Name of the stage, such as ``segmentation``.

    Returns:
        An error where a model saw its patient, or where a fold is unknown.
    """
    require_columns(predictions, ("case_id", "patient_id", "fold"), "prediction")
    every = {patient for patients in trained_on.values() for patient in map(str, patients)}
    seen, unknown = [], []
    for case, patient, fold in predictions[["case_id", "patient_id", "fold"]].itertuples(
        index=False
    ):
        if pd.isna(fold):
            patients: set[str] = every
        elif int(fold) in trained_on:
            patients = set(map(str, trained_on[int(fold)]))
        else:
            unknown.append(str(case))
            continue
        if str(patient) in patients:
            seen.append(str(case))
    findings = []
    if seen:
        message = (
            f"{len(seen)} predictions of {stage} come from a model that trained on the patient"
        )
        findings.append(
            Finding("not_out_of_fold", "error", f"{message}: {listing(seen)}", _ids(seen))
        )
    if unknown:
        message = f"{len(unknown)} predictions of {stage} come from a fold without a training list"
        findings.append(
            Finding("unknown_fold", "error", f"{message}: {listing(unknown)}", _ids(unknown))
        )
    return findings


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
        An error where cases overlap, a note where nothing is known.
    """
    if fitted_on is None:
        message = f"it is not recorded on which cases the {what} was fitted"
        return [Finding("fit_not_recorded", "note", message)]
    if isinstance(fitted_on, Mapping):
        require_columns(reported, ("fold",), "score")
        by_fold = {int(fold): set(map(str, cases)) for fold, cases in fitted_on.items()}
        pairs = zip(reported["case_id"].astype(str), reported["fold"], strict=True)
        overlap = [case for case, fold in pairs if case in by_fold.get(int(fold), set())]
    else:
        used = set(map(str, fitted_on))
        overlap = [case for case in reported["case_id"].astype(str) if case in used]
    if not overlap:
        return []
    message = (
        f"the {what} was fitted on {len(overlap)} of the {len(reported)} cases it is reported on: "
        "figures at that point and calibration figures are apparent, not validated"
    )
    return [Finding("fitted_on_reported_cases", "error", message, _ids(overlap))]


def check_duplicate_scans(hashes: pd.DataFrame) -> list[Finding]:
    """One scan under two case ids.

    Args:
        hashes: case_id, content_hash (see :func:`lvo_kedro.imaging.hash_scan`), and patient_id,
            split, fold where they are known.

    Returns:
        An error where copies lie in different splits or folds or under different patients; a
        warning otherwise, as the same scan still counts twice.
    """
    require_columns(hashes, ("case_id", "content_hash"), "hash")
    findings = []
    for _, part in hashes.dropna(subset=["content_hash"]).groupby("content_hash"):
        if len(part) < 2:
            continue
        apart = [
            column
            for column in ("patient_id", "split", "fold")
            if column in part and part[column].nunique(dropna=True) > 1
        ]
        severity: Severity = "error" if apart else "warning"
        message = f"the same scan stands under {listing(part['case_id'])}"
        if apart:
            message += f", with a different {' and '.join(apart)}"
        findings.append(Finding("duplicated_scan", severity, message, _ids(part["case_id"])))
    return findings


def check_informative(scores: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """A model that is constant, no better than chance, or worse than chance.

    Args:
        scores: case_id, lvo, probability; fold where there are any.
        confidence: Coverage of the interval of the AUC.

    Returns:
        An error for a constant score (also within one fold) and for an AUC below 0.5; a warning
        where the interval contains 0.5, as for shuffled labels or scores.
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
    area = auc_interval(scores["lvo"], values, confidence)
    if area.high < 0.5:
        message = f"AUC {area}: worse than chance; labels or the sign of the score are swapped"
        findings.append(Finding("worse_than_chance", "error", message))
    elif area.low <= 0.5:
        message = f"AUC {area}: not distinguishable from chance, as a shuffled model would be"
        findings.append(Finding("no_better_than_chance", "warning", message))
    return findings


def check_external(cohort: pd.DataFrame) -> list[Finding]:
    """An external split that is not external: it shares a site or a scanner.

    Args:
        cohort: case_id, split (development, external), and any of :data:`SOURCE_COLUMNS`.

    Returns:
        A warning for each column with a value in both splits, and one where nothing is recorded
        that could tell.
    """
    require_columns(cohort, ("case_id", "split"), "cohort")
    external = cohort.loc[cohort["split"] == "external"]
    development = cohort.loc[cohort["split"] == "development"]
    if external.empty:
        return [Finding("no_external_split", "note", "there are no external cases")]
    known = [c for c in SOURCE_COLUMNS if c in cohort and external[c].notna().any()]
    if not known:
        message = f"none of {', '.join(SOURCE_COLUMNS)} is recorded: external cannot be verified"
        return [Finding("external_not_verifiable", "warning", message)]
    findings = []
    for column in known:
        shared = set(external[column].dropna()) & set(development[column].dropna())
        if shared:
            cases = external.loc[external[column].isin(shared), "case_id"]
            message = (
                f"{len(cases)} external cases share a {column} with the development cases "
                f"({listing({str(value) for value in shared})}): not an external test for them"
            )
            findings.append(Finding(f"external_shares_{column}", "warning", message, _ids(cases)))
    return findings


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
    return [Finding("cases_without_score", "note", message, _ids(missing))]


def check_study(
    cohort: pd.DataFrame,
    folds: pd.DataFrame | None = None,
    predictions: Mapping[str, pd.DataFrame] | None = None,
    hashes: pd.DataFrame | None = None,
    trained_on: Mapping[str, Mapping[int, Collection[str]]] | None = None,
) -> list[Finding]:
    """All checks that concern the study's tables as a whole.

    Args:
        cohort: Cohort table.
        folds: Fold table: case_id, patient_id, fold.
        predictions: Stage name to its development predictions: case_id, patient_id, fold.
        hashes: case_id and content_hash; the cohort's columns are joined to it.
        trained_on: Stage name to fold to training patients, from the models' manifests; what the
            fold table says for stages that are not in it.

    Returns:
        All findings.
    """
    findings = check_patient_separation(cohort) + check_external(cohort)
    if folds is not None:
        findings += check_patient_separation(folds)
        declared = training_patients(folds)
        for stage, table in (predictions or {}).items():
            findings += check_out_of_fold(table, (trained_on or {}).get(stage, declared), stage)
    if hashes is not None:
        about = [c for c in ("case_id", "patient_id", "split") if c in cohort]
        known = hashes[["case_id", "content_hash"]].merge(cohort[about], on="case_id", how="left")
        if folds is not None:
            known = known.merge(folds[["case_id", "fold"]], on="case_id", how="left")
        findings += check_duplicate_scans(known)
    return findings


def _ids(cases: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted(str(case) for case in cases))
