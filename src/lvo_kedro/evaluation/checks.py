"""Protection against self-deception, in the study's tables as a whole.

Each check looks for one way in which figures come out better than they are: leaks between folds
and splits, copies of scans, an external split that is none. What one table of scores tells is in
:mod:`~lvo_kedro.evaluation.score_checks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.findings import Finding, Severity, ids_of
from lvo_kedro.evaluation.tables import listing, require_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SOURCE_COLUMNS = ("site", "scanner", "manufacturer", "scanner_model")
"""Columns by which an external split should differ from the development split."""


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
            findings.append(Finding(f"patient_in_two_{column}s", "error", message, ids_of(cases)))
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
            Finding("not_out_of_fold", "error", f"{message}: {listing(seen)}", ids_of(seen))
        )
    if unknown:
        message = f"{len(unknown)} predictions of {stage} come from a fold without a training list"
        findings.append(
            Finding("unknown_fold", "error", f"{message}: {listing(unknown)}", ids_of(unknown))
        )
    return findings


def check_epoch_choice(
    reported: pd.DataFrame, chosen_on: Mapping[int, Collection[str]]
) -> list[Finding]:
    """Cases by which the epoch was chosen whose network then scored them.

    Args:
        reported: case_id and fold of the development cases.
        chosen_on: Fold to the cases that its networks' epoch was chosen on; none for the last.

    Returns:
        A warning where they overlap: cross-validated figures are optimistic, external ones are not.
    """
    require_columns(reported, ("case_id", "fold"), "score")
    own = {int(fold): set(map(str, cases)) for fold, cases in chosen_on.items()}
    pairs = reported[["case_id", "fold"]].dropna().itertuples(index=False)
    overlap = [str(case) for case, fold in pairs if str(case) in own.get(int(fold), set())]
    if not overlap:
        return []
    message = (
        f"the detectors' epoch was chosen on {len(overlap)} of the {len(reported)} cases that "
        "cross-validation reports: its figures are optimistic, those of external cases are not"
    )
    return [Finding("epoch_chosen_on_reported_cases", "warning", message, ids_of(overlap))]


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
        findings.append(Finding("duplicated_scan", severity, message, ids_of(part["case_id"])))
    return findings


def check_external(cohort: pd.DataFrame) -> list[Finding]:
    """An external split that is not external: it shares a site or a scanner.

    Args:
        cohort: case_id, split (development, external), and any of :data:`SOURCE_COLUMNS`.

    Returns:
        A warning for each column with a value in both splits, and one where no column is recorded
        for both, so that nothing could tell.
    """
    require_columns(cohort, ("case_id", "split"), "cohort")
    external = cohort.loc[cohort["split"] == "external"]
    development = cohort.loc[cohort["split"] == "development"]
    if external.empty:
        return [Finding("no_external_split", "note", "there are no external cases")]
    external, development = (part.replace("", np.nan) for part in (external, development))
    known = [
        c
        for c in SOURCE_COLUMNS
        if c in cohort and external[c].notna().any() and development[c].notna().any()
    ]
    if not known:
        message = (
            f"none of {', '.join(SOURCE_COLUMNS)} is recorded for external and development cases: "
            "external cannot be verified"
        )
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
            findings.append(Finding(f"external_shares_{column}", "warning", message, ids_of(cases)))
    return findings


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
