"""Whether what is fitted and what is reported share a patient, a scan or a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro.evaluation.leakage.findings import Finding, Severity, ids_of
from lvo_kedro.evaluation.tables import listing, require_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REMEDY = {
    "split": "correct the column split of the cohort table",
    "fold": "divide the patients into folds again (pipeline preprocessing)",
}
"""What to do about a patient in two of them."""


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
            findings.append(
                Finding(
                    f"patient_in_two_{column}s",
                    "error",
                    message,
                    ids_of(cases),
                    expected=f"all scans of a patient in one {column}",
                    remedy=REMEDY[column],
                )
            )
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
    seen_by = {int(fold): set(map(str, patients)) for fold, patients in trained_on.items()}
    everyone = set().union(*seen_by.values())
    seen, unknown = [], []
    rows = predictions[["case_id", "patient_id", "fold"]]
    for case, patient, fold in rows.itertuples(index=False):
        if not pd.isna(fold) and int(fold) not in seen_by:
            unknown.append(case)
        elif str(patient) in (everyone if pd.isna(fold) else seen_by[int(fold)]):
            seen.append(case)
    found = {
        "not_out_of_fold": (seen, "a model that trained on the patient"),
        "unknown_fold": (unknown, "a fold without a training list"),
    }
    return [
        Finding(
            check,
            "error",
            f"{len(cases)} predictions of {stage} come from {source}: {listing(cases)}",
            ids_of(cases),
            expected="predictions of development cases by the model that held the patient out",
            remedy=f"train {stage} again on the present folds and predict with those models",
        )
        for check, (cases, source) in found.items()
        if cases
    ]


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
    known = hashes.dropna(subset=["content_hash"])
    copies = known[known["content_hash"].duplicated(keep=False)]
    for _, part in copies.groupby("content_hash"):
        apart = [
            column
            for column in ("patient_id", "split", "fold")
            if column in part and part[column].nunique(dropna=True) > 1
        ]
        severity: Severity = "error" if apart else "warning"
        message = f"the same scan stands under {listing(part['case_id'])}"
        if apart:
            message += f", with a different {' and '.join(apart)}"
        findings.append(
            Finding(
                "duplicated_scan",
                severity,
                message,
                ids_of(part["case_id"]),
                expected="each scan once, or copies under one patient, split and fold",
                remedy="take the copies out of the cohort table",
            )
        )
    return findings
