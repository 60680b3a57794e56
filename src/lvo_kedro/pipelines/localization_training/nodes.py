"""Nodes of the localization_training pipeline (stage 3)."""

from __future__ import annotations

from functools import partial
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from lvo_kedro import stages
from lvo_kedro.cohort import fold_of_cases, has_controls
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import midplane_of
from lvo_kedro.localization import (
    BaselineOptions,
    CallOptions,
    LocalizationOptions,
    Projection,
    ProjectionOptions,
    back_project,
    call_by_densities,
    call_record,
    check_vessels,
    cross_fit_baseline,
    given_side,
    measure_points,
    merge_calls,
    name_occlusion,
    project_labels,
    project_vessels,
    told_sides,
)
from lvo_kedro.model_records import record_models
from lvo_kedro.nnunet import NnUNetOptions, load_predictor
from lvo_kedro.truth import in_detection_alone
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SIDES


def align_clots(cohort: pd.DataFrame, scans: Cases) -> dict[str, Task]:
    """Bring the hand-drawn clots onto the grids of their scans.

    In: the cohort table (column occlusion_mask, and vessel_labels where there are any). Out: for
    each case with a clot its mask, which must lie on the side that the table names.
    """
    return stages.align_annotations(cohort, scans, "occlusion_mask")


def project_scans(scans: Cases, vessels: Cases, options: ProjectionOptions) -> dict[str, Task]:
    """Project the scan inside its large vessels along the patient's z axis.

    Out: for each case the densest value of each column (HU), its depth (mm) and its label, all
    seen from below, on a grid in mm; and the image that the network gets.
    """
    return stages.each_case(project_scan, scans, vessels, options=options)


def project_scan(scan: Case, vessels: Case, options: ProjectionOptions) -> dict[str, Any]:
    """Project one scan."""
    projection = project_vessels(scan["ncct"], vessels["vessel_labels"], options)
    return projection._asdict() | {"image": projection.image(options)}


def draw_occlusions(
    projections: Cases, clot_annotations: Cases, vessels: Cases, cohort: pd.DataFrame
) -> dict[str, Task]:
    """Project the hand-drawn clots; scans without an occlusion teach what an open vessel is.

    Out: for each such case a label image on its projection, and the clot's centre (world mm).
    """
    tasks: dict[str, Task] = {}
    for row in cohort.itertuples():
        annotation = clot_annotations.get(row.case_id)
        if row.case_id in projections and (annotation is not None or row.lvo == 0):
            tasks[row.case_id] = partial(
                draw_occlusion,
                projections[row.case_id],
                annotation,
                vessels[row.case_id],
                tuple(row.segment.split("+")) if row.lvo else (),
            )
    return tasks


def draw_occlusion(
    projected: Case, annotation: Case | None, vessels: Case, segments: tuple[Any, ...]
) -> dict[str, Any]:
    """Draw one case's labels on its projection and note the clot's centre."""
    projection = _projection(projected)
    if annotation is None:
        empty = np.zeros(projection.mip.shape, dtype=np.uint8)
        return {"labels": make_image(empty, projection.mip.affine), "truth": {}}
    clot = annotation["occlusion_mask"]
    drawn = "vessel_labels" in annotation
    vessel_labels = (annotation if drawn else vessels)["vessel_labels"]
    # a mask with the right labels stays as it is; a binary one takes those of the nearest vessel
    present = set(np.unique(np.asarray(clot.dataobj)).tolist()) - {0}
    labelled = present == {OCCLUSION_LABELS[segment] for segment in segments}
    labels = project_labels(
        clot, projection, None if labelled else vessel_labels, () if labelled else segments
    )
    centre = apply_affine(clot.affine, np.argwhere(np.asarray(clot.dataobj) > 0).mean(axis=0))
    return {"labels": labels, "truth": {"centre_mm": centre.tolist()}}


def _projection(case: Case) -> Projection:
    return Projection(case["mip"], case["depth"], case["labels"])


def prepare_occlusion_dataset(
    projections: Cases,
    occlusion_labels: Cases,
    cohort: pd.DataFrame,
    options: NnUNetOptions,
) -> dict[str, Task]:
    """Write the labelled projections as a 2D nnU-Net dataset, once for all folds."""
    return stages.dataset_task(
        projections,
        occlusion_labels,
        _labelled_projection,
        OCCLUSION_LABELS,
        cohort=cohort,
        options=options,
    )


def _labelled_projection(projection: Case, labels: Case) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    return projection["image"], labels["labels"]


def train_occlusion_folds(
    occlusion_dataset: Cases, scans: Cases, cohort: pd.DataFrame, options: NnUNetOptions
) -> dict[str, Task]:
    """Train one 2D nnU-Net per fold that marks the clot on the projection.

    In: the nnU-Net dataset; the scans' content hashes, so that given starting weights that have
    seen one of them are refused. Out: a model folder per fold, with curves and a manifest.
    """
    return stages.fold_tasks(occlusion_dataset, scans, cohort, options, "occlusion_models")


def locate_occlusions(
    vessels: Cases,
    priors: Cases,
    projections: Cases,
    occlusion_models: Cases,
    cohort: pd.DataFrame,
    network: NnUNetOptions,
    call: CallOptions,
) -> dict[str, Task]:
    """Find the occluded segment of every scan with networks that have not seen its patient.

    Out: for each case what was marked on the projection and brought back into the scan, and the
    call: segment, side (the patient's), confidence (0 to 1), the point in world mm, in words.
    """
    models = stages.out_of_fold_models(list(projections), occlusion_models, cohort)
    return stages.each_case(
        locate_occlusion,
        projections,
        models,
        vessels,
        priors,
        network=network.prediction(),
        options=call,
    )


def locate_occlusion(
    projected: Case,
    models: list[Case],
    vessels: Case,
    priors: Case,
    network: NnUNetOptions,
    options: CallOptions,
) -> dict[str, Any]:
    """Mark, name and bring back into the scan the occlusion of one case."""
    predictor = load_predictor(tuple(model.folder for model in models), network)
    probabilities = predictor.predict_probabilities(projected["image"])
    marked = np.asarray(probabilities.dataobj).argmax(axis=-1).astype(np.uint8)
    mask = make_image(marked, probabilities.affine)
    projection, labels = _projection(projected), vessels["vessel_labels"]
    midplane = midplane_of(priors["hemispheres"])
    named = partial(name_occlusion, mask, projection, midplane, probabilities, options)
    clot, _ = back_project(mask, projection, labels)
    return {
        "occlusion_2d": mask,
        "occlusion_mask": clot,
        "call": call_record(named())
        | {f"on_{side}": call_record(named(side=side)) for side in SIDES}
        | {
            "vessel_findings": check_vessels(labels, midplane),
            "networks": [model.name for model in models],
        },
    }


def fit_density_baselines(
    scan_scores: Cases, cohort: pd.DataFrame, options: BaselineOptions
) -> dict[str, Any]:
    """Fit the baseline on the development cases, and for each fold on those of the others.

    Occlusions without one of the five classes on one side teach it nothing. Out: its
    weights, plain numbers per HU or ml.
    """
    nameable = cohort[~in_detection_alone(cohort)]
    held_out = {c: f for c, f in fold_of_cases(nameable).items() if c in scan_scores}
    densities = {case: scan_scores[case]["arteries"] for case in held_out}
    known = cohort.set_index("case_id").loc[list(held_out)]
    truths = {row.Index: (row.side, row.segment) if row.lvo else None for row in known.itertuples()}
    return cross_fit_baseline(densities, truths, held_out, options, controls=has_controls(cohort))


def tabulate_calls(
    occlusions: Cases,
    scan_scores: Cases,
    density_baselines: dict[str, Any],
    cohort: pd.DataFrame,
    options: LocalizationOptions,
) -> pd.DataFrame:
    """Put the calls of all cases into one table: what is known, what was called, by each method.

    In: the likelier side by stage 2, which is kept where the options say so. Out: a row per case:
    side (the patient's), segment, confidence (0 to 1), point in world mm.
    """
    wanted = ("case_id", "patient_id", "split", "lvo", "side", "segment")
    known = [name for name in wanted if name in cohort]
    held_out = fold_of_cases(cohort)
    calls = occlusions.records("call")
    told = told_sides(scan_scores.records("score"), options)
    rows = []
    for case in cohort[cohort["case_id"].isin(list(calls))].to_dict("records"):
        name = case["case_id"]
        fitted = density_baselines["all"]
        if name in held_out:
            fitted = density_baselines["folds"][str(held_out[name])]
        side = told.get(name)
        by = {
            "network": given_side(calls[name], side),
            "densities": call_by_densities(fitted, scan_scores[name]["arteries"], side),
        }
        rows.append({key: case[key] for key in known} | merge_calls(by, options))
    return pd.DataFrame(rows)


def gather_localization_results(
    localization_calls: pd.DataFrame,
    occlusion_labels: Cases,
    occlusion_models: Cases,
    projections: Cases,
    occlusions: Cases,
    clot_annotations: Cases,
) -> dict[str, Any]:
    """Gather what the evaluation needs of stage 3.

    Out: the calls with the distance of each point from the annotated clot (mm), what is odd about
    a case's vessels, the record of each network and which of them judged which case, the cases
    that failed and why, and which options all this was made with.
    """
    calls = occlusions.records("call")
    truth = occlusion_labels.records("truth")
    centres = {case: tuple(t["centre_mm"]) for case, t in truth.items() if t}
    made = {"projection": projections, "occlusion_call": occlusions}
    return {
        "calls": measure_points(localization_calls, centres),
        "findings": {case: call["vessel_findings"] for case, call in calls.items()},
        "models": record_models(occlusion_models),
        "networks": {case: call["networks"] for case, call in calls.items()},
        "failures": stages.failures(
            clots=clot_annotations, projection=projections, localization=occlusions
        ),
        "options": {name: stages.options_of(cases) for name, cases in made.items()},
    }
