"""Nodes of the detection_training pipeline that use trained detectors: scores and their reasons."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from lvo_kedro import stages
from lvo_kedro.cohort import has_controls
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.detection import (
    SIDE_MODEL,
    CalibrationOptions,
    DetectionOptions,
    Detector,
    ExplanationOptions,
    SideModel,
    add_probabilities,
    average_contributions,
    chosen_of,
    combine,
    cross_fit_calibration,
    draw_contributions,
    explain,
    judge_case,
    load_detector,
    mass_by_side,
    open_sample,
    score_sides,
    tabulate_contributions,
    tabulate_logits,
)
from lvo_kedro.detection.clinical import CLINICAL
from lvo_kedro.features import SideFeatures, unpack_features
from lvo_kedro.imaging import QualityLimits, forbid_call
from lvo_kedro.imaging.midplane import split_mask
from lvo_kedro.priors import PriorOptions, lacks_coverage
from lvo_kedro.reporting import CasePictures, plot_case, plot_contributions


def score_scans(
    channels: Cases,
    side_features: Cases,
    detectors: Cases,
    cohort: pd.DataFrame,
    options: DetectionOptions,
) -> dict[str, Task]:
    """Score every case with networks and side models that have not seen its patient.

    Out: for each case the logit of the chosen method (above 0: rather occluded, before
    calibration), the side that it finds likelier, the logit of every method, and why the case is
    unlike the training cases, if it is; and the densities of its arteries, which tell the segment.
    A development case is judged by the models of the fold that held its patient out, any other case
    by all.
    """
    models = stages.out_of_fold_models(list(channels), detectors, cohort)
    # as floats, also where no cell is empty: another patient's empty cell changes nothing here
    known = cohort.set_index("case_id").reindex(columns=list(CLINICAL)).astype(float)
    patients = known.to_dict("index")
    return stages.each_case(score_scan, channels, side_features, models, patients, options=options)


def score_scan(
    channels: Case,
    features: Case,
    detectors: list[Case],
    patient: dict[str, Any],
    options: DetectionOptions,
) -> dict[str, Any]:
    """Score one case by each method."""
    networks = _score_by_networks(channels, [m for m in detectors if not is_side_model(m)])
    side_models = [case for case in detectors if is_side_model(case)]
    judged = judge_case(
        [read_side_model(m) for m in side_models], unpack_features(features), patient
    )
    scores = combine(_mean(networks), judged["sides"], judged["clinical"], options)
    each = {
        name: chosen_of(combine(one, judged["sides"], judged["clinical"], options), options)[
            "logit"
        ]
        for name, one in networks.items()
    }
    if options.method == "sides":
        each = {m.name: logit for m, logit in zip(side_models, judged["each"], strict=True)}
    return {
        "score": chosen_of(scores, options)
        | {
            "logits": each,
            "methods": {name: score["logit"] for name, score in scores.items()},
            "out_of_scope": "; ".join(judged["against"]) if options.scope.enabled else "",
        },
        "arteries": features["arteries"],
    }


def _score_by_networks(channels: Case, detectors: list[Case]) -> dict[str, dict[str, Any]]:
    """Return the score of each network, with the utility of each side where it tells them."""
    sample = {"case": channels.path("channels")}
    networks = {case.name: _detector(case.folder, case.fingerprint) for case in detectors}
    return {name: score_sides(n, sample)["case"]._asdict() for name, n in networks.items()}


def _mean(networks: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    if not networks:
        return None
    scores = list(networks.values())
    told = [score["sides"] for score in scores if score["sides"]]
    sides = {s: float(np.mean([own[s] for own in told])) for s in told[0]} if told else None
    return {"logit": float(np.mean([score["logit"] for score in scores])), "sides": sides}


def explain_scans(
    scans: Cases,
    vessels: Cases,
    channels: Cases,
    side_features: Cases,
    detectors: Cases,
    cohort: pd.DataFrame,
    options: ExplanationOptions,
) -> dict[str, Task]:
    """Show where every score comes from, by the models that gave it; off unless asked for.

    Out: for each case what arteries and blocks of tissue add to the side models' log odds, on the
    scan's grid, as sums by source on either side (the patient's) and as a picture; and where there
    are networks, their Grad-CAM (0 to 1), its sum on each side, and a picture.
    """
    if not options.enabled:
        return {}
    models = stages.out_of_fold_models(list(channels), detectors, cohort)
    return stages.each_case(
        explain_scan, channels, side_features, models, scans, vessels, options=options
    )


def explain_scan(
    channels: Case,
    features: Case,
    detectors: list[Case],
    scan: Case,
    vessels: Case,
    options: ExplanationOptions,
) -> dict[str, Any]:
    """Explain one case."""
    measured = unpack_features(features)
    halves = split_mask(scan["brain_mask"], measured.tissue.midplane)
    side_models = [case for case in detectors if is_side_model(case)]
    found = explain_by_sides(measured, side_models, scan, vessels["vessel_labels"], halves)
    explained = [case for case in detectors if options.networks and not is_side_model(case)]
    networks = [_detector(case.folder, case.fingerprint) for case in explained]
    if networks:
        found |= explain_by_networks(networks, channels, scan, halves, options)
    return found


def explain_by_networks(
    networks: list[Detector],
    channels: Case,
    scan: Case,
    halves: nib.Nifti1Image,
    options: ExplanationOptions,
) -> dict[str, Any]:
    """Show where one case's score by the networks comes from."""
    ncct, sample = scan["ncct"], open_sample(channels.path("channels"))
    heat = explain(networks, sample, ncct, options.layer)
    sides = mass_by_side(heat, halves)
    picture = plot_case(CasePictures(channels.name, ncct, explanation=heat))
    heat.set_data_dtype(np.uint8)  # 0 to 1 in 255 steps, scaled in the file's header
    return {"explanation": heat, "sides": sides, "picture": picture}


def explain_by_sides(
    measured: SideFeatures,
    side_models: list[Case],
    scan: Case,
    vessel_labels: nib.Nifti1Image,
    halves: nib.Nifti1Image,
) -> dict[str, Any]:
    """Take one case's score by the side models apart."""
    models = [SideModel.from_json(read_side_model(case)["side_model"]) for case in side_models]
    parts = average_contributions(models, measured)
    drawn = draw_contributions(parts, measured, vessel_labels, halves)
    sources = tabulate_contributions(parts)
    picture = plot_contributions(scan.name, scan["ncct"], drawn, sources, vessel_labels)
    return {"contributions": drawn, "sources": sources, "contributions_picture": picture}


def is_side_model(model: Case) -> bool:
    """Tell a side model's folder from a network's."""
    return (model.folder / SIDE_MODEL).is_file()


def read_side_model(model: Case) -> dict[str, Any]:
    """Return all of a fold's side model."""
    content: dict[str, Any] = json.loads((model.folder / SIDE_MODEL).read_text(encoding="utf-8"))
    return content


@functools.lru_cache(maxsize=16)
def _detector(folder: Path, _digest: str) -> Detector:
    """Keep the networks in memory from case to case."""
    return load_detector(folder)


def fit_calibration(
    scan_scores: Cases, cohort: pd.DataFrame, options: CalibrationOptions
) -> dict[str, Any]:
    """Fix calibration and operating points on out-of-fold scores of the development cases.

    In: a logit for each case. Out: for external and new scans one calibration and its thresholds,
    fitted on all development cases; for each fold another, fitted on the cases of the others.
    Without development cases without an occlusion, it says so: probabilities mean nothing.
    """
    scores = tabulate_logits(cohort, scan_scores.records("score"))
    return cross_fit_calibration(scores, options, controls=has_controls(cohort))


def tabulate_scores(
    scan_scores: Cases,
    calibration: dict[str, Any],
    cohort: pd.DataFrame,
    scans: Cases,
    priors: Cases,
    quality: QualityLimits,
    prior_options: PriorOptions,
) -> pd.DataFrame:
    """Put the scores of all cases into one table: logit, probability before and after calibration.

    Out: a row per case; probabilities from 0 to 1 of an occluded large vessel; ``out_of_scope`` has
    all reasons against a call, those that hold for any cohort first.
    """
    table = add_probabilities(tabulate_logits(cohort, scan_scores.records("score")), calibration)
    made_with = stages.options_of(scan_scores).get("options", {})
    if not made_with.get("scope", {}).get("enabled", False):
        return table
    reasons: dict[str, list[str]] = {}
    for case, record in scans.records("quality").items():
        reasons.setdefault(case, []).extend(forbid_call(record, quality))
    for case, record in priors.records("quality").items():
        reasons.setdefault(case, []).extend(lacks_coverage(record, prior_options.limits))
    joined = [
        "; ".join([*reasons.get(case, []), *([learned] if learned else [])])
        for case, learned in zip(table["case_id"], table["out_of_scope"], strict=True)
    ]
    return table.assign(out_of_scope=joined)
