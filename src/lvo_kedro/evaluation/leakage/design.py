"""The checks of a whole study, from what its stages record about models and predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from lvo_kedro.evaluation.leakage.findings import Finding, ids_of
from lvo_kedro.evaluation.leakage.scores import check_epoch_choice
from lvo_kedro.evaluation.leakage.study import check_study
from lvo_kedro.evaluation.tables import listing, require_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def check_study_design(
    cohort: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    models: Mapping[str, Mapping[str, Mapping[str, Any]]],
    networks: Mapping[str, Mapping[str, Collection[str]]],
    detectors: Mapping[str, int],
    hashes: Mapping[str, str],
) -> list[Finding]:
    """Look for what would make the metrics better than they should be.

    Args:
        cohort: Cohort table with ``fold``, in which a development case is held out.
        scores: The detectors' scores: case_id, patient_id, split, fold.
        models: Stage (segmentation, detection, localization) to the name of each of its models to
            what that records: ``trained_on``, of detection also ``chosen_on`` (ids of cases).
        networks: Stage to case id to the names of the models that were applied to it; of detection
            the scores have the fold.
        detectors: Name of each of detection's models to its fold.
        hashes: Case id to the content hash of its scan.

    Returns:
        All findings: those of :func:`check_study` and :func:`check_epoch_choice`, and an error for
        each stage with a model that trained on a case which the cohort does not have.
    """
    require_columns(cohort, ("case_id", "patient_id", "fold"), "cohort")
    patients = dict(zip(cohort["case_id"], cohort["patient_id"], strict=True))
    folds = cohort.dropna(subset=["fold"])[["case_id", "patient_id", "fold"]]
    folds = folds.astype({"fold": int})
    scored = scores[scores["split"] == "development"]
    trained_on: dict[str, dict[int, set[str]]] = {stage: {} for stage in models}
    predictions = {"detection": scored}
    for stage, applied in networks.items():
        predictions[stage] = folds[folds["case_id"].isin(list(applied))]
        used: dict[int, set[str]] = {}
        for case, fold in predictions[stage][["case_id", "fold"]].itertuples(index=False):
            used.setdefault(fold, set()).update(applied[case])
        # a fold's cases share their models: each list of training cases is read once, not per case
        seen = {name: _patients(patients, model) for name, model in models[stage].items()}
        for fold, names in used.items():
            trained_on[stage][fold] = set().union(*(seen[name] for name in names))
    chosen_on: dict[int, set[str]] = {}
    for name, fold in detectors.items():
        model = models["detection"][name]
        trained_on["detection"].setdefault(fold, set()).update(_patients(patients, model))
        chosen_on.setdefault(fold, set()).update(model["chosen_on"])
    table = pd.DataFrame(list(hashes.items()), columns=["case_id", "content_hash"])
    found = check_study(cohort, folds, predictions, table, trained_on)
    return found + check_epoch_choice(scored, chosen_on) + _check_known(models, patients)


def _patients(patients: Mapping[str, str], model: Mapping[str, Any]) -> set[str]:
    """Return the patients that a model was trained on, as far as the cohort has them."""
    return {patients[case] for case in model["trained_on"] if case in patients}


def _check_known(
    models: Mapping[str, Mapping[str, Mapping[str, Any]]], patients: Mapping[str, str]
) -> list[Finding]:
    """Training cases that are not in the cohort: nobody knows whose they are."""
    found = []
    for stage, trained in models.items():
        unknown = {case for model in trained.values() for case in model["trained_on"]}
        unknown -= set(patients)
        if not unknown:
            continue
        message = (
            f"models of {stage} trained on {len(unknown)} cases that are not in the cohort table: "
            f"{listing(unknown)}; whether their patients are evaluated cannot be told"
        )
        found.append(
            Finding(
                "trained_on_unknown_case",
                "error",
                message,
                ids_of(unknown),
                expected="models that trained on cases of the cohort table",
                remedy=f"train {stage} again on the present cohort, or put the cases back into it",
            )
        )
    return found
