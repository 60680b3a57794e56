"""Nodes of the detection_training pipeline (stage 2)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lvo_kedro import stages
from lvo_kedro.cohort import splits_of_cases
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.detection import (
    CalibrationOptions,
    ChannelOptions,
    Detector,
    ExplanationOptions,
    TrainingOptions,
    add_probabilities,
    cross_fit_calibration,
    encode_channels,
    explain,
    load_detector,
    mass_by_side,
    open_sample,
    plan_grid,
    require_midline,
    score_sides,
    stack_channels,
    tabulate_logits,
    train_fold,
)
from lvo_kedro.model_records import record_models
from lvo_kedro.priors import Priors
from lvo_kedro.reporting import CasePictures, long_history, plot_case
from lvo_kedro.tracking import FoldLog
from lvo_kedro.weights.given import Start

CURVES = ("train_loss", "validation_loss", "validation_auc", "pseudo_dice")
"""Columns of a training's history that the report shows."""


def stack_case_channels(
    scans: Cases, vessels: Cases, priors: Cases, options: ChannelOptions
) -> dict[str, Task]:
    """Stack the network's input of every case for which all of it was computed.

    In: scan (HU), vessel labels, priors. Out: one tensor per case, (channel, x, y, z) on the
    network's grid around the brain: NCCT, vessels, territory, difference, as the options say.
    """
    return stages.each_case(stack_channels_of_case, scans, vessels, priors, options=options)


def stack_channels_of_case(
    scan: Case, vessels: Case, priors: Case, options: ChannelOptions
) -> dict[str, Any]:
    """Make one case's channels and pack them."""
    images = Priors(**{field: priors[field] for field in Priors.__dataclass_fields__})
    ncct, mask = scan["ncct"], scan["brain_mask"]
    grid = plan_grid(ncct, images, options, mask)
    channels = stack_channels(
        ncct, vessels["vessel_labels"], images, grid, options=options, brain_mask=mask
    )
    return {"channels": encode_channels(channels, options.channels, grid)}


def train_detectors(
    channels: Cases,
    scans: Cases,
    cohort: pd.DataFrame,
    options: TrainingOptions,
) -> dict[str, Task]:
    """Train one McResNet per fold (and seed, if there are several), on the cases of other folds.

    In: the channels and the cohort's labels (and sides, where the network is to tell them apart);
    the scans' content hashes, so that given starting weights that have seen one of them are
    refused. Out: a model folder per training, with curves.
    """
    hashes = stages.hashes_of(scans)
    start = stages.unseen_start(options, hashes)
    labels = dict(zip(cohort["case_id"], cohort["lvo"].astype(int), strict=True))
    splits = splits_of_cases(cohort, list(channels))
    development = {case: channels[case] for case in [*splits[0]["train"], *splits[0]["val"]]}
    patients = dict(zip(cohort["case_id"], cohort["patient_id"], strict=True))
    sides: dict[str, str] = {}
    if options.target == "sides":
        require_midline(stages.options_of(channels).get("options", {}))
        sides = _known_sides(cohort)
    trainings = [
        (name, split, chosen)
        for fold, split in enumerate(splits)
        for name, chosen in options.trainings(fold).items()
    ]
    return {
        name: partial(
            train_detector,
            development,
            {case: labels[case] for case in development},
            {case: patients[case] for case in development},
            split,
            chosen.of_training(number),
            FoldLog("detectors", name, chosen.epochs),
            sides={case: side for case, side in sides.items() if case in development},
            start=start,
            hashes=hashes,
        )
        for number, (name, split, chosen) in enumerate(trainings)
    }


def _known_sides(cohort: pd.DataFrame) -> dict[str, str]:
    """Return the side of each case that has one; the column may be missing, or empty in places."""
    if "side" not in cohort:
        return {}
    known = cohort[cohort["side"].fillna("") != ""]
    return dict(zip(known["case_id"], known["side"], strict=True))


def train_detector(
    channels: Mapping[str, Case],
    labels: Mapping[str, int],
    patients: Mapping[str, str],
    split: Mapping[str, list[str]],
    options: TrainingOptions,
    log: FoldLog,
    *,
    sides: Mapping[str, str],
    start: Start | None,
    hashes: stages.ScanHashes,
    folder: Path,
) -> dict[str, Any]:
    """Train one fold in ``folder``, from where an earlier attempt was stopped."""
    samples = {name: case.path("channels") for name, case in channels.items()}
    train_fold(
        folder,
        samples,
        labels,
        split["train"],
        split["val"],
        options,
        log,
        patients,
        sides=sides,
        start=start,
        scan_hashes=hashes,
    )
    return {}


def score_scans(channels: Cases, detectors: Cases, cohort: pd.DataFrame) -> dict[str, Task]:
    """Score every case with networks that have not seen its patient.

    Out: a logit for each case (above 0: rather occluded, before calibration). A development case
    gets that of the fold that held its patient out, any other case the mean of all.
    """
    models = stages.out_of_fold_models(list(channels), detectors, cohort)
    return stages.each_case(score_scan, channels, models)


def score_scan(channels: Case, detectors: list[Case]) -> dict[str, Any]:
    """Score one case: the mean logit of the given networks, and each one's own.

    Of networks that tell the sides apart also the mean utility of each side.
    """
    networks = {case.name: _detector(case.folder, case.fingerprint) for case in detectors}
    sample = {"case": channels.path("channels")}
    scores = {name: score_sides(network, sample)["case"] for name, network in networks.items()}
    logits = {name: score.logit for name, score in scores.items()}
    record: dict[str, Any] = {"logit": float(np.mean(list(logits.values()))), "logits": logits}
    told = [score.sides for score in scores.values() if score.sides is not None]
    if told:
        record["sides"] = {s: float(np.mean([sides[s] for sides in told])) for s in told[0]}
    return {"score": record}


def explain_scans(
    scans: Cases,
    priors: Cases,
    channels: Cases,
    detectors: Cases,
    cohort: pd.DataFrame,
    options: ExplanationOptions,
) -> dict[str, Task]:
    """Show where every score comes from, by the networks that gave it; off unless asked for.

    Out: for each case a Grad-CAM map (0 to 1) on the scan's grid, its sum on each side (the
    patient's), and a picture.
    """
    if not options.enabled:
        return {}
    models = stages.out_of_fold_models(list(channels), detectors, cohort)
    return stages.each_case(explain_scan, channels, models, scans, priors, options=options)


def explain_scan(
    channels: Case, detectors: list[Case], scan: Case, priors: Case, options: ExplanationOptions
) -> dict[str, Any]:
    """Explain one case: a Grad-CAM on the scan's grid, its sum on each side, a picture."""
    networks = [_detector(case.folder, case.fingerprint) for case in detectors]
    ncct = scan["ncct"]
    heat = explain(networks, open_sample(channels.path("channels")), ncct, options.layer)
    sides = mass_by_side(heat, priors["hemispheres"])
    picture = plot_case(CasePictures(channels.name, ncct, explanation=heat))
    heat.set_data_dtype(np.uint8)  # 0 to 1 in 255 steps, scaled in the file's header
    return {"explanation": heat, "sides": sides, "picture": picture}


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
    """
    return cross_fit_calibration(tabulate_logits(cohort, scan_scores.records("score")), options)


def tabulate_scores(
    scan_scores: Cases, calibration: dict[str, Any], cohort: pd.DataFrame
) -> pd.DataFrame:
    """Put the scores of all cases into one table: logit, probability before and after calibration.

    Out: a row per case; probabilities from 0 to 1 of an occluded large vessel.
    """
    return add_probabilities(tabulate_logits(cohort, scan_scores.records("score")), calibration)


def gather_detection_results(
    detection_scores: pd.DataFrame,
    calibration: dict[str, Any],
    detectors: Cases,
    explanations: Cases,
    channels: Cases,
    scan_scores: Cases,
) -> dict[str, Any]:
    """Gather what the evaluation needs of stage 2.

    Out: scores, calibration and operating points, the sum of each case's map on either side, the
    curves of the trainings, the record of each network, the cases that failed and why, and which
    options channels and maps were made with.
    """
    made = {"channels": channels, "explanation": explanations}
    return {
        "scores": detection_scores,
        "calibration": calibration,
        "sides": explanations.records("sides"),
        "history": tabulate_histories(detectors),
        "models": record_models(detectors),
        "failures": stages.failures(
            channels=channels, detection=scan_scores, explanation=explanations
        ),
        "options": {name: stages.options_of(cases) for name, cases in made.items()},
    }


def tabulate_histories(detectors: Cases) -> pd.DataFrame:
    """One row per fold, epoch and curve of the detectors' training."""
    histories = {
        number: pd.read_csv(detectors[name].folder / "history.csv")
        for number, name in enumerate(sorted(detectors))
    }
    return long_history(histories, CURVES)
