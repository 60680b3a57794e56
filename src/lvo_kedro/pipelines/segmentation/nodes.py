"""Nodes of the segmentation pipeline (stage 1)."""

from __future__ import annotations

from functools import partial
from typing import Any

import nibabel as nib
import pandas as pd

from lvo_kedro import stages
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.evaluation import measure_vessels
from lvo_kedro.nnunet import NnUNetOptions, load_predictor
from lvo_kedro.vocabulary import VESSEL_LABELS


def prepare_vessel_dataset(
    scans: Cases,
    annotations: Cases,
    cohort: pd.DataFrame,
    folds: pd.DataFrame,
    options: NnUNetOptions,
) -> dict[str, Task]:
    """Export, plan and preprocess the annotated development cases, once for all folds."""
    labelled = {case: images for case, images in annotations.items() if "vessel_labels" in images}
    return stages.dataset_task(
        scans,
        labelled,
        _labelled_scan,
        VESSEL_LABELS,
        cohort=cohort,
        folds=folds,
        options=options,
    )


def _labelled_scan(
    scan: Case, annotation: Case
) -> tuple[nib.Nifti1Image, nib.Nifti1Image, nib.Nifti1Image]:
    return scan["ncct"], annotation["vessel_labels"], scan["brain_mask"]


def train_vessel_folds(
    vessel_dataset: Cases, scans: Cases, folds: pd.DataFrame, options: NnUNetOptions
) -> dict[str, Task]:
    """Train one network a fold."""
    return stages.fold_tasks(vessel_dataset, scans, folds, options, "vessel_models")


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
    blind = stages.blind_networks(list(scans), vessel_models, cohort, folds)
    return {
        name: partial(predict_vessels_of_case, scan, blind[name], options.prediction())
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
