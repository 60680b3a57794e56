"""Nodes of the localization_training pipeline (stage 3)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from lvo_kedro import stages
from lvo_kedro.cohort import fold_of_cases
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.localization import (
    BaselineOptions,
    CallOptions,
    Projection,
    ProjectionOptions,
    SegmentBaseline,
    back_project,
    check_vessels,
    describe_segments,
    midplane_of,
    name_occlusion,
    project_labels,
    project_vessels,
)
from lvo_kedro.nnunet import NnUNetOptions, load_predictor
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SegmentClass, Side


class LocalizationOptions(Options):
    """Which of the two methods names the occlusion; both are computed and kept side by side."""

    method: Literal["network", "densities"] = "network"
    """``network``: the published way. ``densities``: the transparent baseline."""
    guess: bool = True
    """Name the likeliest segment and side even where none reaches its threshold.

    Whether there is an occlusion at all is the second stage's to say. The finding tells when.
    """


def project_scans(scans: Cases, vessels: Cases, options: ProjectionOptions) -> dict[str, Task]:
    """Project the scan inside its large vessels along the patient's z axis."""
    return {
        name: partial(project_scan, scan, vessels[name], options)
        for name, scan in scans.items()
        if name in vessels
    }


def project_scan(scan: Case, vessels: Case, options: ProjectionOptions) -> dict[str, Any]:
    """Project one scan."""
    projection = project_vessels(scan["ncct"], vessels["vessel_labels"], options)
    return projection._asdict() | {"image": projection.image(options)}


def draw_occlusions(
    projections: Cases, annotations: Cases, vessels: Cases, cohort: pd.DataFrame
) -> dict[str, Task]:
    """Project the annotated clots; scans without an occlusion teach what an open vessel is."""
    tasks: dict[str, Task] = {}
    for row in cohort.itertuples():
        annotation = annotations.get(row.case_id)
        annotated = annotation is not None and "occlusion_mask" in annotation
        if row.case_id in projections and (annotated or row.lvo == 0):
            tasks[row.case_id] = partial(
                draw_occlusion,
                projections[row.case_id],
                annotation if annotated else None,
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
    folds: pd.DataFrame,
    options: NnUNetOptions,
) -> dict[str, Task]:
    """Export, plan and preprocess the labelled projections for nnU-Net, once for all folds."""
    return stages.dataset_task(
        projections,
        occlusion_labels,
        _labelled_projection,
        OCCLUSION_LABELS,
        cohort=cohort,
        folds=folds,
        options=options,
    )


def _labelled_projection(projection: Case, labels: Case) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    return projection["image"], labels["labels"]


def train_occlusion_folds(
    occlusion_dataset: Cases, scans: Cases, folds: pd.DataFrame, options: NnUNetOptions
) -> dict[str, Task]:
    """Train one network a fold."""
    return stages.fold_tasks(occlusion_dataset, scans, folds, options, "occlusion_models")


def locate_occlusions(
    vessels: Cases,
    priors: Cases,
    projections: Cases,
    occlusion_models: Cases,
    cohort: pd.DataFrame,
    folds: pd.DataFrame,
    network: NnUNetOptions,
    call: CallOptions,
) -> dict[str, Task]:
    """Find the occluded segment of every scan with networks that have not seen its patient."""
    blind = stages.blind_networks(list(projections), occlusion_models, cohort, folds)
    return {
        name: partial(
            locate_occlusion,
            vessels[name],
            priors[name],
            projection,
            blind[name],
            network.prediction(),
            call,
        )
        for name, projection in projections.items()
        if name in priors
    }


def locate_occlusion(
    vessels: Case,
    priors: Case,
    projected: Case,
    models: list[Case],
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
    call = name_occlusion(mask, projection, midplane, probabilities, options)
    clot, _ = back_project(mask, projection, labels)
    return {
        "occlusion_2d": mask,
        "occlusion_mask": clot,
        "call": {
            "called_side": call.side or "",
            "called_segment": call.segment or "",
            "confidence": round(call.confidence, 4),
            "finding": call.finding,
            "best_side": call.best_side,
            "best_segment": call.best_segment,
            "point_mm": call.best_point,
            "vessel_findings": check_vessels(labels, midplane),
            "trained_on": sorted(predictor.training_cases),
        },
    }


def describe_densities(
    scans: Cases, vessels: Cases, priors: Cases, options: BaselineOptions
) -> dict[str, Task]:
    """Compare the densities of each segment on both sides, for the baseline."""
    return {
        name: partial(describe_densities_of_case, scan, vessels[name], priors[name], options)
        for name, scan in scans.items()
        if name in vessels and name in priors
    }


def describe_densities_of_case(
    scan: Case, vessels: Case, priors: Case, options: BaselineOptions
) -> dict[str, Any]:
    """Describe one case: a row a side and segment."""
    maps = {
        name: priors[name] for name in ("hemispheres", "territory_probability", "signed_difference")
    }
    return {"densities": describe_segments(scan["ncct"], vessels["vessel_labels"], maps, options)}


def fit_density_baselines(
    segment_densities: Cases, cohort: pd.DataFrame, folds: pd.DataFrame, options: BaselineOptions
) -> dict[str, Any]:
    """Fit the baseline on all development cases, and for each fold on those of the others."""
    held_out = {
        case: fold
        for case, fold in fold_of_cases(cohort, folds).items()
        if case in segment_densities
    }
    described = {case: segment_densities[case]["densities"] for case in held_out}
    known = cohort.set_index("case_id")

    def fit(without: int | None) -> dict[str, Any]:
        chosen = [case for case, fold in held_out.items() if fold != without]
        truths = [_truth(known.loc[case]) for case in chosen]
        cases = [described[case] for case in chosen]
        return SegmentBaseline(options).fit(cases, truths).to_json()

    folds_fitted = {str(fold): fit(fold) for fold in sorted(set(held_out.values()))}
    return {"all": fit(None), "folds": folds_fitted}


def _truth(case: Any) -> tuple[Side, SegmentClass] | None:
    return (case["side"], case["segment"]) if case["lvo"] else None


def tabulate_calls(
    occlusions: Cases,
    segment_densities: Cases,
    density_baselines: dict[str, Any],
    cohort: pd.DataFrame,
    folds: pd.DataFrame,
    options: LocalizationOptions,
) -> pd.DataFrame:
    """One row a case: what is known, what was called, and what each method says by itself."""
    known = [
        name
        for name in ("case_id", "patient_id", "split", "lvo", "side", "segment")
        if name in cohort
    ]
    held_out = fold_of_cases(cohort, folds)
    calls = occlusions.records("call")
    rows = []
    for case in cohort[cohort["case_id"].isin(list(calls))].to_dict("records"):
        name = case["case_id"]
        fitted = density_baselines["all"]
        if name in held_out:
            fitted = density_baselines["folds"][str(held_out[name])]
        by = {
            "network": calls[name],
            "densities": _density_call(fitted, segment_densities[name]["densities"]),
        }
        rows.append({key: case[key] for key in known} | _merged(by, options))
    return pd.DataFrame(rows)


def _density_call(fitted: Mapping[str, Any], densities: pd.DataFrame) -> dict[str, Any]:
    call = SegmentBaseline.from_json(fitted).call(densities)
    # a segment that was found on neither side has no density to go by: that names nothing
    volumes = densities.groupby("segment")["volume_ml"].sum()
    absent = [segment for segment in call.best_segment.split("+") if volumes[segment] == 0]
    if absent:
        finding = f"not named: {', '.join(absent)} not found in the scan"
        parts = ("called_side", "called_segment", "best_side", "best_segment")
        return dict.fromkeys(parts, "") | {"confidence": 0.0, "finding": finding, "point_mm": None}
    return {
        "called_side": call.side or "",
        "called_segment": call.segment or "",
        "best_side": call.best_side,
        "best_segment": call.best_segment,
        "confidence": round(call.confidence, 4),
        "finding": call.finding,
        "point_mm": call.best_point,
    }


def _merged(by: Mapping[str, Mapping[str, Any]], options: LocalizationOptions) -> dict[str, Any]:
    """Put the chosen method's call first and every method's own words behind it."""
    chosen = by[options.method]
    way = "best" if options.guess else "called"
    row = {f"called_{part}": chosen[f"{way}_{part}"] for part in ("side", "segment")}
    row |= {"confidence": chosen["confidence"], "finding": chosen["finding"]}
    point = (chosen["point_mm"] if row["called_side"] else None) or (np.nan,) * 3
    row |= dict(zip(("point_x", "point_y", "point_z"), np.round(point, 1), strict=True))
    for method, call in by.items():
        row |= {f"{method}_{part}": call[f"{way}_{part}"] for part in ("side", "segment")}
    return row
