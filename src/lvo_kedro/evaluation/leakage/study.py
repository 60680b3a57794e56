"""The checks that concern the study's tables as a whole, and whether external cases are that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvo_kedro.evaluation.leakage.findings import Finding, ids_of
from lvo_kedro.evaluation.leakage.separation import (
    check_duplicate_scans,
    check_out_of_fold,
    check_patient_separation,
    training_patients,
)
from lvo_kedro.evaluation.tables import listing, require_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd

SOURCE_COLUMNS = ("site", "scanner", "manufacturer", "model")
"""Columns by which an external split should differ from the development split."""


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
