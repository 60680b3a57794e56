"""Nodes of the detection_training pipeline (stage 2)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from lvo_kedro import stages
from lvo_kedro.cohort import fold_of_cases, splits_of_cases
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.detection import (
    Calibration,
    ChannelOptions,
    Detector,
    ExplanationOptions,
    TrainingOptions,
    calibrate,
    choose_operating_points,
    encode_channels,
    explain,
    load_detector,
    mass_by_side,
    open_sample,
    plan_grid,
    score_cases,
    stack_channels,
    train_fold,
)
from lvo_kedro.options import Options
from lvo_kedro.priors import Priors
from lvo_kedro.reporting import CasePictures, plot_case
from lvo_kedro.tracking import FoldLog
from lvo_kedro.weights.given import Start


class CalibrationOptions(Options):
    """How scores become probabilities and calls."""

    method: Literal["temperature", "isotonic", "none"] = "temperature"
    """``isotonic`` wants some hundred cases."""
    sensitivity: float = Field(default=0.90, gt=0, lt=1)
    """What the second operating point must reach on the scores that it is chosen on."""


def stack_case_channels(
    scans: Cases, vessels: Cases, priors: Cases, options: ChannelOptions
) -> dict[str, Task]:
    """Make the network's input of every case for which all of it was computed."""
    complete = [name for name in scans if name in vessels and name in priors]
    return {
        name: partial(stack_channels_of_case, scans[name], vessels[name], priors[name], options)
        for name in complete
    }


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
    folds: pd.DataFrame,
    options: TrainingOptions,
) -> dict[str, Task]:
    """Train one McResNet a fold (and seed, if there are several), on the cases of other folds."""
    hashes = stages.hashes_of(scans)
    start = stages.blind_start(options, hashes)
    labels = dict(zip(cohort["case_id"], cohort["lvo"].astype(int), strict=True))
    splits = splits_of_cases(cohort, folds, list(channels))
    development = {case: channels[case] for case in [*splits[0]["train"], *splits[0]["val"]]}
    patients = dict(zip(cohort["case_id"], cohort["patient_id"], strict=True))
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
            start=start,
            hashes=hashes,
        )
        for number, (name, split, chosen) in enumerate(trainings)
    }


def train_detector(
    channels: Mapping[str, Case],
    labels: Mapping[str, int],
    patients: Mapping[str, str],
    split: Mapping[str, list[str]],
    options: TrainingOptions,
    log: FoldLog,
    *,
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
        start=start,
        scan_hashes=hashes,
    )
    return {}


def score_scans(
    channels: Cases, detectors: Cases, cohort: pd.DataFrame, folds: pd.DataFrame
) -> dict[str, Task]:
    """Score every case with networks that have not seen its patient.

    A development case gets the fold that held its patient out, any other case the mean of all.
    """
    blind = stages.blind_networks(list(channels), detectors, cohort, folds)
    return {name: partial(score_scan, case, blind[name]) for name, case in channels.items()}


def score_scan(channels: Case, detectors: list[Case]) -> dict[str, Any]:
    """Score one case: the mean logit of the given networks, and each one's own."""
    logits = {
        case.name: score_cases(_detector(case.folder, case.fingerprint), _sample(channels))["case"]
        for case in detectors
    }
    return {"score": {"logit": float(np.mean(list(logits.values()))), "logits": logits}}


def explain_scans(
    scans: Cases,
    priors: Cases,
    channels: Cases,
    detectors: Cases,
    cohort: pd.DataFrame,
    folds: pd.DataFrame,
    options: ExplanationOptions,
) -> dict[str, Task]:
    """Show where every score comes from, by the networks that gave it; off unless asked for."""
    if not options.enabled:
        return {}
    blind = stages.blind_networks(list(channels), detectors, cohort, folds)
    return {
        name: partial(explain_scan, scans[name], priors[name], case, blind[name], options)
        for name, case in channels.items()
    }


def explain_scan(
    scan: Case, priors: Case, channels: Case, detectors: list[Case], options: ExplanationOptions
) -> dict[str, Any]:
    """Explain one case: a Grad-CAM on the scan's grid, its sum on each side, a picture."""
    networks = [_detector(case.folder, case.fingerprint) for case in detectors]
    ncct = scan["ncct"]
    heat = explain(networks, open_sample(channels.path("channels")), ncct, options.layer)
    sides = mass_by_side(heat, priors["hemispheres"])
    picture = plot_case(CasePictures(channels.name, ncct, explanation=heat))
    heat.set_data_dtype(np.uint8)  # 0 to 1 in 255 steps, scaled in the file's header
    return {"explanation": heat, "sides": sides, "picture": picture}


def _sample(channels: Case) -> dict[str, Path]:
    return {"case": channels.path("channels")}


@functools.lru_cache(maxsize=16)
def _detector(folder: Path, _digest: str) -> Detector:
    """Keep the networks in memory from case to case."""
    return load_detector(folder)


def fit_calibration(
    scan_scores: Cases, cohort: pd.DataFrame, folds: pd.DataFrame, options: CalibrationOptions
) -> dict[str, Any]:
    """Fix calibration and operating points on out-of-fold scores of the development cases.

    ``all`` is fitted on all of them and serves external and new scans. Each of ``folds`` is fitted
    on the cases of the other folds, so that cross-validation reports no case on a threshold that
    the case itself helped to choose.
    """
    table = _score_table(scan_scores, cohort, folds)
    development = table[table["split"] == "development"]
    held_out = sorted(development["fold"].unique())
    return {
        "all": _fit(development, options),
        "folds": {
            str(int(fold)): _fit(development[development["fold"] != fold], options)
            for fold in held_out
        },
    }


def _fit(scores: pd.DataFrame, options: CalibrationOptions) -> dict[str, Any]:
    calibration = calibrate(scores["lvo"], scores["logit"], options.method)
    points = choose_operating_points(
        scores["lvo"], calibration.apply(scores["logit"]), options.sensitivity
    )
    return {
        "calibration": calibration.model_dump(mode="json"),
        "operating_points": points,
        "fitted_on": sorted(scores["case_id"]),
    }


def tabulate_scores(
    scan_scores: Cases, calibration: dict[str, Any], cohort: pd.DataFrame, folds: pd.DataFrame
) -> pd.DataFrame:
    """One row a case: logit, probability before and after calibration."""
    table = _score_table(scan_scores, cohort, folds)
    probabilities = [
        float(_fit_for(calibration, fold).apply(logit))
        for fold, logit in zip(table["fold"], table["logit"], strict=True)
    ]
    raw = 1 / (1 + np.exp(-table["logit"]))
    return table.assign(probability=probabilities, probability_raw=raw)


def _fit_for(calibration: dict[str, Any], fold: float) -> Calibration:
    part = calibration["all"] if pd.isna(fold) else calibration["folds"][str(int(fold))]
    return Calibration(**part["calibration"])


def _score_table(scan_scores: Cases, cohort: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    held_out = fold_of_cases(cohort, folds)
    scores = scan_scores.records("score")
    # "simulated" goes along, so that figures made from the table alone can say so
    wanted = ("case_id", "patient_id", "split", "lvo", "simulated")
    known = [name for name in wanted if name in cohort]
    table = cohort.loc[cohort["case_id"].isin(list(scores)), known].reset_index(drop=True)
    return table.assign(
        fold=table["case_id"].map(held_out).astype(float),
        logit=[scores[case]["logit"] for case in table["case_id"]],
        **_logits_by_seed([scores[case]["logits"] for case in table["case_id"]]),
    )


def _logits_by_seed(logits: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return a column for each seed, averaged over folds; none where there is one seed."""
    seed_of = {name: name.partition("_seed_")[2] for case in logits for name in case}
    return {
        f"logit_seed_{seed}": [
            float(np.mean([value for name, value in case.items() if seed_of[name] == seed]))
            for case in logits
        ]
        for seed in sorted(set(seed_of.values()) - {""}, key=int)
    }
