"""Nodes of the robustness pipeline."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field

from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.datasets.fingerprint import fingerprint
from lvo_kedro.detection import ChannelOptions, blank_channel
from lvo_kedro.evaluation import EvaluationOptions, evaluate_robustness, fixed_points
from lvo_kedro.features import leave_out, pack_features, unpack_features
from lvo_kedro.imaging import (
    BrainOptions,
    ScanChange,
    change_mask,
    change_scan,
    extract_brain,
    hash_scan,
    measure_scan,
)
from lvo_kedro.options import Options
from lvo_kedro.reporting import plot_robustness, render_robustness
from lvo_kedro.tracking import package_versions, provenance

CHANGES = (
    ScanChange(kind="noise", amount=10),
    ScanChange(kind="slices", amount=5),
    ScanChange(kind="tilt", amount=15),
    ScanChange(kind="roll", amount=10),
    ScanChange(kind="offset", amount=5),
    ScanChange(kind="offset", amount=-5),
)


class RobustnessOptions(Options):
    """Which cases are changed, and how."""

    split: str = "external"
    """Split of the cohort whose cases are changed."""
    cases: int = Field(default=0, ge=0)
    """How many of them, half with LVO where there are as many; 0 takes all."""
    changes: tuple[ScanChange, ...] = Field(default=CHANGES, min_length=1)
    """Each is computed from the brain mask on, which takes as long as scoring a new scan."""
    missing_channels: bool = True
    """Score with each channel of the detector left empty in turn as well; this is quick."""
    seed: int = 1
    """Of the noise."""


def list_changes(
    cohort: pd.DataFrame,
    scans: Cases,
    options: RobustnessOptions,
    channels: ChannelOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose cases and list each once for every change of its scan, and for every channel.

    Out: two cohort tables, of changed scans and of channels left empty; ``original`` names the case
    that each is made of.
    """
    known = cohort[cohort["case_id"].isin(list(scans))]
    chosen = _choose(known[known["split"] == options.split], options.cases)
    names = channels.channels if options.missing_channels else ()
    return (
        _repeat(chosen, [change.name for change in options.changes]),
        _repeat(chosen, [f"without_{name}" for name in names]),
    )


def _choose(cohort: pd.DataFrame, count: int) -> pd.DataFrame:
    if not count or count >= len(cohort):
        return cohort
    turn = cohort.groupby("lvo").cumcount()  # alternately with and without LVO
    first = cohort.assign(turn=turn).sort_values(["turn", "case_id"]).head(count)
    return cohort.loc[first.sort_values("case_id").index]


def _repeat(cohort: pd.DataFrame, changes: list[str]) -> pd.DataFrame:
    listed = [
        cohort.assign(
            original=cohort["case_id"], change=name, case_id=cohort["case_id"] + "." + name
        )
        for name in changes
    ]
    columns = [*cohort.columns, "original", "change"]
    return pd.concat([pd.DataFrame(columns=columns), *listed], ignore_index=True)


def change_scans(
    original_scans: Cases,
    cohort: pd.DataFrame,
    brain: BrainOptions,
    options: RobustnessOptions,
) -> dict[str, Task]:
    """Change every listed scan, and find its brain anew where the user gave no mask."""
    changes = {change.name: change for change in options.changes}
    return {
        row.case_id: partial(
            change_one_scan,
            original_scans[row.original],
            changes[row.change],
            options.seed + zlib.crc32(row.original.encode()),
            bool(row.brain_mask),
            brain,
        )
        for row in cohort.itertuples()
    }


def change_one_scan(
    scan: Case,
    change: ScanChange,
    seed: int,
    keep_mask: bool,
    brain: BrainOptions,
) -> dict[str, Any]:
    """Change one scan."""
    ncct = change_scan(scan["ncct"], change, seed)
    mask = change_mask(scan["brain_mask"], change) if keep_mask else extract_brain(ncct, brain)
    numbers = measure_scan(ncct, mask) | {"content_hash": hash_scan(ncct)}
    return {"ncct": ncct, "brain_mask": mask, "quality": numbers}


def drop_channels(original_channels: Cases, cohort: pd.DataFrame) -> dict[str, Task]:
    """Leave the listed channel of every case empty."""
    return _dropped(drop_channel, original_channels, cohort)


def drop_features(original_side_features: Cases, cohort: pd.DataFrame) -> dict[str, Task]:
    """Leave out of every case's features what the listed channel is made of."""
    return _dropped(drop_feature, original_side_features, cohort)


def _dropped(
    function: Callable[[Case, Any], dict[str, Any]], originals: Cases, cohort: pd.DataFrame
) -> dict[str, Task]:
    return {
        row.case_id: partial(function, originals[row.original], row.change.removeprefix("without_"))
        for row in cohort.itertuples()
        if row.original in originals
    }


def drop_feature(features: Case, name: Any) -> dict[str, Any]:
    """Leave one case's features without what one channel is made of."""
    return pack_features(leave_out(unpack_features(features), name))


def drop_channel(channels: Case, name: Any) -> dict[str, Any]:
    """Leave one channel of one case empty."""
    return {"channels": blank_channel(channels["channels"], name)}


def gather_rescored(
    cohort: pd.DataFrame, detection_scores: pd.DataFrame, localization_calls: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Keep together which cases were changed, and their scores and calls."""
    return {"cohort": cohort, "scores": detection_scores, "calls": localization_calls}


def gather_blanked(cohort: pd.DataFrame, detection_scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Keep together of which cases a channel was left empty, and their scores."""
    return {"cohort": cohort, "scores": detection_scores}


def measure_robustness(
    detection: Case,
    localization: Case,
    changed: Case,
    blanked: Case,
    evaluation: EvaluationOptions,
    options: RobustnessOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate what each change does to AUC, calls and named occlusions of the same cases.

    Out: a row per change and metric, changed minus unchanged with interval; both probabilities of
    each case.
    """
    points, _ = fixed_points(detection["calibration"], options.split)
    scores = [table for table in (changed["scores"], blanked["scores"]) if len(table)]
    return evaluate_robustness(
        pd.concat([changed["cohort"], blanked["cohort"]], ignore_index=True),
        (pd.concat(scores, ignore_index=True), changed["calls"]),
        (detection["scores"], localization["calls"]),
        points,
        evaluation,
    )


def draw_robustness(
    robustness: pd.DataFrame, detection: Case, evaluation: EvaluationOptions
) -> Figure:
    """Draw the differences at the main operating point."""
    return plot_robustness(robustness, _main_point(detection, evaluation))


def write_robustness(
    robustness: pd.DataFrame, cohort: pd.DataFrame, detection: Case, evaluation: EvaluationOptions
) -> str:
    """Write what the changes do as one HTML file that needs nothing else."""
    digest = {"Scores (SHA-256)": fingerprint(detection["scores"])}
    return render_robustness(
        robustness,
        _main_point(detection, evaluation),
        provenance(with_cohort=True) | digest | package_versions(),
        simulated="simulated" in cohort,
        confidence=evaluation.confidence,
        source="08_reporting/robustness/robustness.csv",
    )


def _main_point(detection: Case, evaluation: EvaluationOptions) -> str:
    return evaluation.operating_point or next(
        iter(detection["calibration"]["all"]["operating_points"])
    )
