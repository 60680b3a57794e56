"""Nodes of the segmentation pipeline (stage 1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import pandas as pd

from lvo_kedro.cohort import fold_of_cases, splits_of_cases
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.localization import measure_vessels
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold
from lvo_kedro.tracking import FoldLog
from lvo_kedro.vocabulary import VESSEL_LABELS


def prepare_vessel_dataset(
    scans: Cases,
    annotations: Cases,
    cohort: pd.DataFrame,
    folds: pd.DataFrame,
    options: NnUNetOptions,
) -> dict[str, Task]:
    """Export, plan and preprocess the annotated development cases, once for all folds."""
    labelled = [case for case, fields in annotations.items() if "vessel_labels" in fields]
    splits = splits_of_cases(cohort, folds, labelled)
    chosen = sorted({case for split in splits for cases in split.values() for case in cases})
    pairs = {case: (scans[case], annotations[case]) for case in chosen}
    return {"dataset": partial(write_vessel_dataset, pairs, splits, options.preparation())}


def write_vessel_dataset(
    pairs: Mapping[str, tuple[Case, Case]],
    splits: list[dict[str, list[str]]],
    options: NnUNetOptions,
    *,
    folder: Path,
) -> dict[str, Any]:
    """Write nnU-Net's dataset into ``folder``; scans are read one at a time."""
    cases = {name: partial(_labelled_scan, *pair) for name, pair in pairs.items()}
    prepare_dataset(folder, cases, VESSEL_LABELS, splits, options)
    return {}


def _labelled_scan(
    scan: Case, annotation: Case
) -> tuple[nib.Nifti1Image, nib.Nifti1Image, nib.Nifti1Image]:
    return scan["ncct"], annotation["vessel_labels"], scan["brain_mask"]


def train_vessel_folds(
    vessel_dataset: Cases, folds: pd.DataFrame, options: NnUNetOptions
) -> dict[str, Task]:
    """Train one network a fold."""
    return {
        f"fold_{fold}": partial(
            train_nnunet_fold,
            vessel_dataset["dataset"],
            fold,
            options.training().of_training(number),
            FoldLog("vessel_models", f"fold_{fold}"),
        )
        for number, fold in enumerate(sorted(set(folds["fold"])))
    }


def train_nnunet_fold(
    dataset: Case, fold: int, options: NnUNetOptions, log: FoldLog, *, folder: Path
) -> dict[str, Any]:
    """Train one fold in ``folder``, from where an earlier attempt was stopped."""
    train_fold(dataset.folder, fold, folder, options, log)
    return {}


def predict_vessels(
    scans: Cases,
    vessel_models: Cases,
    cohort: pd.DataFrame,
    folds: pd.DataFrame,
    options: NnUNetOptions,
) -> dict[str, Task]:
    """Segment every scan with networks that have not seen its patient.

    A development case gets the fold that held its patient out, any other case all folds together.
    """
    held_out = fold_of_cases(cohort, folds)
    every = [vessel_models[name] for name in sorted(vessel_models)]
    return {
        name: partial(
            predict_vessels_of_case,
            scan,
            [vessel_models[f"fold_{held_out[name]}"]] if name in held_out else every,
            options.prediction(),
        )
        for name, scan in scans.items()
    }


def predict_vessels_of_case(
    scan: Case, models: list[Case], options: NnUNetOptions
) -> dict[str, Any]:
    """Segment one scan; the networks stay in memory for the next one."""
    predictor = load_predictor(tuple(model.folder for model in models), options)
    return {
        "vessel_labels": predictor.predict(scan["ncct"], scan["brain_mask"]),
        "provenance": {"trained_on": sorted(predictor.training_cases)},
    }


def measure_vessel_overlap(vessels: Cases, annotations: Cases) -> dict[str, Task]:
    """Measure predicted against annotated vessels in every case that has both."""
    return {
        name: partial(measure_vessels_of_case, vessels[name], annotation)
        for name, annotation in annotations.items()
        if name in vessels and "vessel_labels" in annotation
    }


def measure_vessels_of_case(vessels: Case, annotation: Case) -> dict[str, Any]:
    """Measure one case: a row a label."""
    return {"metrics": measure_vessels(vessels["vessel_labels"], annotation["vessel_labels"])}


def tabulate_vessel_metrics(vessel_measures: Cases, cohort: pd.DataFrame) -> pd.DataFrame:
    """One row a case and label."""
    tables = [
        table.assign(case_id=case) for case, table in vessel_measures.records("metrics").items()
    ]
    columns = cohort[["case_id", "patient_id", "split"]]
    return columns.merge(pd.concat(tables, ignore_index=True), on="case_id")
