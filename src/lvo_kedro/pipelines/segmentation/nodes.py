"""Nodes of the segmentation pipeline (stage 1)."""

from __future__ import annotations

import logging
from typing import Any

import nibabel as nib
import pandas as pd

from lvo_kedro import stages
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.evaluation import measure_vessels
from lvo_kedro.model_records import record_models
from lvo_kedro.nnunet import NnUNetOptions, load_predictor
from lvo_kedro.vocabulary import VESSEL_LABELS

logger = logging.getLogger(__name__)


def align_vessel_labels(cohort: pd.DataFrame, scans: Cases) -> dict[str, Task]:
    """Bring the hand-drawn vessel labels onto the grids of their scans.

    In: the cohort table (column vessel_labels) and the preprocessed scans. Out: for each annotated
    case a label image: 1 C7, 2 M1, 3 M2, 4 other arteries, nearest neighbour.
    """
    return stages.align_annotations(cohort, scans, "vessel_labels")


def prepare_vessel_dataset(
    scans: Cases, vessel_annotations: Cases, cohort: pd.DataFrame, options: NnUNetOptions
) -> dict[str, Task]:
    """Write the annotated development cases as an nnU-Net dataset, once for all folds.

    In: scans in HU with brain masks, vessel labels, the folds of the cohort table. Out: nnU-Net's
    raw and preprocessed dataset and its plans, on the network's grid (mm).
    """
    return stages.dataset_task(
        scans, vessel_annotations, _labelled_scan, VESSEL_LABELS, cohort=cohort, options=options
    )


def _labelled_scan(
    scan: Case, annotation: Case
) -> tuple[nib.Nifti1Image, nib.Nifti1Image, nib.Nifti1Image]:
    return scan["ncct"], annotation["vessel_labels"], scan["brain_mask"]


def train_vessel_folds(
    vessel_dataset: Cases, scans: Cases, cohort: pd.DataFrame, options: NnUNetOptions
) -> dict[str, Task]:
    """Train one nnU-Net per fold that finds large vessels on plain CT.

    In: the nnU-Net dataset; the scans' content hashes, so that given starting weights that have
    seen one of them are refused. Out: a model folder per fold, with curves and a manifest.
    """
    return stages.fold_tasks(vessel_dataset, scans, cohort, options, "vessel_models")


def predict_vessels(
    scans: Cases, vessel_models: Cases, cohort: pd.DataFrame, options: NnUNetOptions
) -> dict[str, Task]:
    """Segment the vessels of every scan with networks that have not seen its patient.

    In: scans in HU. Out: a label image for each case (1 C7, 2 M1, 3 M2, 4 other) on the scan's
    grid, and the names of the networks that drew it: for a development case those of the fold that
    held its patient out, for any other case all folds together.
    """
    models = stages.out_of_fold_models(list(scans), vessel_models, cohort)
    return stages.each_case(predict_vessels_of_case, scans, models, options=options.prediction())


def predict_vessels_of_case(
    scan: Case, models: list[Case], options: NnUNetOptions
) -> dict[str, Any]:
    """Segment one scan; the networks stay in memory for the next one."""
    predictor = load_predictor(tuple(model.folder for model in models), options)
    return {
        "vessel_labels": predictor.predict(scan["ncct"], scan["brain_mask"]),
        "provenance": {"networks": [model.name for model in models]},
    }


def measure_vessel_overlap(vessels: Cases, vessel_annotations: Cases) -> dict[str, Task]:
    """Measure predicted against hand-drawn vessels in every case that has both.

    Out: for each case a row per label: Dice, centre-line Dice, 95 % Hausdorff and mean surface
    distance (mm), relative volume error.
    """
    return stages.each_case(measure_vessels_of_case, vessels, vessel_annotations)


def measure_vessels_of_case(vessels: Case, annotation: Case) -> dict[str, Any]:
    """Measure one case: a row per label."""
    return {"metrics": measure_vessels(vessels["vessel_labels"], annotation["vessel_labels"])}


def tabulate_vessel_metrics(vessel_measures: Cases, cohort: pd.DataFrame) -> pd.DataFrame:
    """Put the vessel metrics of all cases into one table, a row per case and label."""
    tables = [
        table.assign(case_id=case) for case, table in vessel_measures.records("metrics").items()
    ]
    columns = cohort[["case_id", "patient_id", "split"]]
    table = columns.merge(pd.concat(tables, ignore_index=True), on="case_id")
    for split, rows in table.groupby("split"):
        means = rows.groupby("label")["dice"].mean()
        shown = ", ".join(f"{label} {dice:.2f}" for label, dice in means.items())
        count = rows["case_id"].nunique()
        logger.info("mean Dice of %d %s cases: %s", count, split, shown)
    return table


def gather_segmentation_results(
    vessel_metrics: pd.DataFrame, vessel_models: Cases, vessels: Cases, vessel_annotations: Cases
) -> dict[str, Any]:
    """Gather what the evaluation needs of stage 1 beside the images.

    Out: the table of metrics, the cases that failed and why, the record of each network (options,
    digest, training cases), and which networks drew which case.
    """
    return {
        "metrics": vessel_metrics,
        "failures": stages.failures(annotations=vessel_annotations, vessels=vessels),
        "models": record_models(vessel_models),
        "networks": {c: r["networks"] for c, r in vessels.records("provenance").items()},
    }
