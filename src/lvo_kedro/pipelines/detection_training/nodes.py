"""Nodes of the detection_training pipeline (stage 2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lvo_kedro import stages
from lvo_kedro.artifacts import write_json
from lvo_kedro.cohort import has_controls, splits_of_cases
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.detection import (
    SIDE_MODEL,
    ChannelOptions,
    DetectionOptions,
    ScopeOptions,
    SideModelOptions,
    TrainingOptions,
    encode_channels,
    fit_side_models,
    plan_grid,
    require_midline,
    stack_channels,
    train_fold,
)
from lvo_kedro.detection.clinical import CLINICAL, Clinical
from lvo_kedro.errors import TableError
from lvo_kedro.features import FeatureOptions, measure_sides, pack_features, unpack_features
from lvo_kedro.model_records import record_models
from lvo_kedro.priors import Priors
from lvo_kedro.reporting import long_history
from lvo_kedro.tracking import FoldLog
from lvo_kedro.vocabulary import SIDES
from lvo_kedro.weights.given import Start

COMPARED = ("hemispheres", "territory_probability", "signed_difference")
"""The priors by which both sides are compared."""
TAUGHT = ("case_id", "lvo", "side", "nihss", "age")
"""What a side model may learn of a case, where the cohort has it."""
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


def measure_both_sides(
    scans: Cases, vessels: Cases, priors: Cases, options: FeatureOptions
) -> dict[str, Task]:
    """Measure the arteries and the tissue of both sides of every head.

    Out: for each case a row per side and segment (HU, ml, world mm), the territory's numbers and
    blocks of tissue on either side (HU), density and noise of the scan.
    """
    return stages.each_case(measure_head, scans, vessels, priors, options=options)


def measure_head(
    scan: Case, vessels: Case, priors: Case, options: FeatureOptions
) -> dict[str, Any]:
    """Measure one head."""
    features = measure_sides(
        scan["ncct"],
        vessels["vessel_labels"],
        scan["brain_mask"],
        {name: priors[name] for name in COMPARED},
        quality=scan["quality"],
        options=options,
    )
    return pack_features(features)


def train_detectors(
    channels: Cases,
    side_features: Cases,
    scans: Cases,
    cohort: pd.DataFrame,
    options: DetectionOptions,
    network: TrainingOptions,
) -> dict[str, Task]:
    """Train a network and a side model per fold on the cases of the other folds.

    In: the channels, the features, and the cohort's labels and sides; the scans' content hashes, so
    that given starting weights that have seen one of them are refused. Out: a folder per training:
    a network's with weights and curves (one for each seed, if there are several), a side model's
    with plain numbers. Of occlusions alone only side models can be learned, and of these only the
    side; they do not tell whether there is an occlusion.
    """
    if not has_controls(cohort) and (options.network or options.clinical):
        raise TableError(
            "no development case without an occlusion",
            "some, to train McResNet and to weigh a patient's values: of occlusions alone only the "
            "side can be learned",
            "add such cases, or set detection.network: false, detection.method: sides and no "
            "detection.clinical",
        )
    side_models = side_model_tasks(side_features, cohort, options)
    if not options.network:
        return side_models
    return network_tasks(channels, scans, cohort, network) | side_models


def side_model_tasks(
    side_features: Cases, cohort: pd.DataFrame, options: DetectionOptions
) -> dict[str, Task]:
    """Return a task per fold that fits its side model."""
    known = cohort.reindex(columns=list(TAUGHT)).set_index("case_id")
    known = known.astype(dict.fromkeys(CLINICAL, float))  # whether or not a cell is empty
    return {
        f"fold_{fold}_sides": partial(
            train_side_model,
            {case: side_features[case] for case in split["train"]},
            known.loc[split["train"]].reset_index(),
            options.side_model,
            options.scope,
            options.clinical,
            controls=has_controls(cohort),
        )
        for fold, split in enumerate(splits_of_cases(cohort, list(side_features)))
    }


def train_side_model(
    features: Mapping[str, Case],
    labels: pd.DataFrame,
    options: SideModelOptions,
    scope: ScopeOptions,
    clinical: tuple[Clinical, ...],
    *,
    controls: bool,
    folder: Path,
) -> dict[str, Any]:
    """Fit the side model of one fold, which takes a moment."""
    measured = {case: unpack_features(features[case]) for case in labels["case_id"]}
    fitted = fit_side_models(measured, labels, options, scope, clinical, controls=controls)
    write_json(folder / SIDE_MODEL, fitted)
    return {}


def network_tasks(
    channels: Cases, scans: Cases, cohort: pd.DataFrame, options: TrainingOptions
) -> dict[str, Task]:
    """Return a task per fold (and seed) that trains its network."""
    hashes = stages.ScanHashes(scans)
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
    """Return the side of each case that has one: left or right, not both; there may be no column.

    Any other occlusion may be on either, and teaches by the marginal likelihood.
    """
    if "side" not in cohort:
        return {}
    known = cohort[cohort["side"].isin(SIDES)]
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


def gather_detection_results(
    detection_scores: pd.DataFrame,
    calibration: dict[str, Any],
    detectors: Cases,
    explanations: Cases,
    channels: Cases,
    side_features: Cases,
    scan_scores: Cases,
) -> dict[str, Any]:
    """Gather what the evaluation needs of stage 2.

    Out: scores, calibration and operating points, the sum of each case's map on either side, the
    curves of the trainings, the record of each model, the cases that failed and why, and which
    options channels, features, scores and maps were made with.
    """
    made = {
        "channels": channels,
        "features": side_features,
        "detection": scan_scores,
        "explanation": explanations,
    }
    return {
        "scores": detection_scores,
        "calibration": calibration,
        "sides": explanations.records("sides"),
        "history": tabulate_histories(detectors),
        "models": record_models(detectors),
        "failures": stages.failures(
            channels=channels,
            features=side_features,
            detection=scan_scores,
            explanation=explanations,
        ),
        "options": {name: stages.options_of(cases) for name, cases in made.items()},
    }


def tabulate_histories(detectors: Cases) -> pd.DataFrame:
    """One row per fold, epoch and curve of the networks' training."""
    files = [detectors[name].folder / "history.csv" for name in sorted(detectors)]
    tables = [pd.read_csv(file) for file in files if file.is_file()]
    return long_history(dict(enumerate(tables)), CURVES)
