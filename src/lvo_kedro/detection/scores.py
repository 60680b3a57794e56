"""The score table, and probabilities that no case has helped to fix for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from lvo_kedro.detection.calibration import (
    Calibration,
    calibrate,
    choose_operating_points,
)
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KNOWN = ("case_id", "patient_id", "split", "lvo", "simulated", "fold")
"""What the score table takes over from the cohort, so that metrics need nothing else."""

KNOWN_OCCLUSION: Final = "known_occlusion"
"""The operating point of detectors that have seen no control: every case is taken for occluded."""


class CalibrationOptions(Options):
    """How scores become probabilities and calls."""

    method: Literal["temperature", "isotonic", "none"] = "temperature"
    """``isotonic`` wants some hundred cases."""
    sensitivity: float = Field(default=0.90, gt=0, lt=1)
    """What the second operating point must reach on the scores that it is chosen on."""


def tabulate_logits(cohort: pd.DataFrame, scores: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the score table: a row for each scored case, in the order of the cohort.

    Args:
        cohort: Cohort table; ``fold`` is missing for cases that no fold holds out.
        scores: By case: ``logit`` of the chosen method, ``likely_side``, ``sides`` (the utility
            of each, None where the method tells none), ``out_of_scope`` (why no call should be
            given, in words), ``methods`` (the logit of each) and ``logits``, each training's own
            by its name (``fold_0``, ``fold_0_seed_7``).

    Returns:
        :data:`KNOWN` columns, ``logit``, ``likely_side``, ``utility_left`` and ``utility_right``
        of the chosen method (NaN where it tells no sides), ``out_of_scope``, ``logit_<method>``,
        and ``logit_seed_<seed>`` where there are several seeds.
    """
    known = [name for name in KNOWN if name in cohort]
    table = cohort.loc[cohort["case_id"].isin(list(scores)), known].reset_index(drop=True)
    fold = table["fold"].astype(float) if "fold" in table else np.nan
    own = [scores[case] for case in table["case_id"]]
    return table.assign(
        fold=fold,
        logit=[score["logit"] for score in own],
        likely_side=[score["likely_side"] for score in own],
        out_of_scope=[score["out_of_scope"] for score in own],
        **{
            f"utility_{side}": [(score["sides"] or {}).get(side, np.nan) for score in own]
            for side in SIDES
        },
        **{
            f"logit_{method}": [score["methods"][method] for score in own]
            for method in (own[0]["methods"] if own else ())
        },
        **_logits_by_seed([score["logits"] for score in own]),
    )


def _logits_by_seed(logits: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return a column for each seed, averaged over folds; none where there is one seed."""
    seed_of = {name: name.partition("_seed_")[2] for case in logits for name in case}
    return {
        f"logit_seed_{seed}": [
            float(np.mean([value for name, value in case.items() if seed_of[name] == seed]))
            for case in logits
        ]
        for seed in sorted(set(seed_of.values()) - {""}, key=int)
    }


def cross_fit_calibration(
    scores: pd.DataFrame, options: CalibrationOptions, *, controls: bool = True
) -> dict[str, Any]:
    """Fix calibration and operating points on out-of-fold scores of the development cases.

    ``all`` is fitted on all of them and serves external and new scans. Each of ``folds`` is fitted
    on the cases of the other folds, so that cross-validation reports no case on a threshold that
    the case itself helped to choose.

    Args:
        scores: Score table: case_id, split, fold, lvo, logit.
        options: Method, and the sensitivity of the second operating point.
        controls: Whether there are development cases without an occlusion. Without them nothing is
            calibrated, and the only operating point takes every case for occluded, so that sides
            and segments are those of known occlusions.

    Returns:
        ``all`` and ``folds`` (fold to the same), each with ``calibration``, ``operating_points``
        (name to threshold) and ``fitted_on`` (case ids); plain numbers, for JSON. Without controls
        also ``controls``: false.
    """
    development = scores[scores["split"] == "development"]
    fit = _fit if controls else _fit_without_controls
    return {
        "all": fit(development, options),
        "folds": {
            str(int(fold)): fit(development[development["fold"] != fold], options)
            for fold in sorted(development["fold"].unique())
        },
        **({} if controls else {"controls": False}),
    }


def knows_controls(calibration: Mapping[str, Any]) -> bool:
    """Tell whether probabilities mean anything.

    Args:
        calibration: Of :func:`cross_fit_calibration`.

    Returns:
        Whether the detectors have learned from cases without an occlusion, too.
    """
    return bool(calibration.get("controls", True))


def _fit(scores: pd.DataFrame, options: CalibrationOptions) -> dict[str, Any]:
    calibration = calibrate(scores["lvo"], scores["logit"], options.method)
    points = choose_operating_points(
        scores["lvo"], calibration.apply(scores["logit"]), options.sensitivity
    )
    return _fitted(calibration, points, scores)


def _fit_without_controls(scores: pd.DataFrame, _: CalibrationOptions) -> dict[str, Any]:
    return _fitted(Calibration(), {KNOWN_OCCLUSION: 0.0}, scores)


def _fitted(
    calibration: Calibration, points: dict[str, float], scores: pd.DataFrame
) -> dict[str, Any]:
    return {
        "calibration": calibration.model_dump(mode="json"),
        "operating_points": points,
        "fitted_on": sorted(scores["case_id"]),
    }


def add_probabilities(scores: pd.DataFrame, calibration: Mapping[str, Any]) -> pd.DataFrame:
    """Add ``probability`` and ``probability_raw`` (the sigmoid, before calibration).

    Args:
        scores: Score table: fold, logit.
        calibration: Of :func:`cross_fit_calibration`: a case that a fold holds out gets that
            fold's, any other case that of all.

    Returns:
        The table with both columns.
    """
    probabilities = [
        float(_fit_for(calibration, fold).apply(logit))
        for fold, logit in zip(scores["fold"], scores["logit"], strict=True)
    ]
    raw = 1 / (1 + np.exp(-scores["logit"]))
    return scores.assign(probability=probabilities, probability_raw=raw)


def _fit_for(calibration: Mapping[str, Any], fold: float) -> Calibration:
    part = calibration["all"] if pd.isna(fold) else calibration["folds"][str(int(fold))]
    return Calibration(**part["calibration"])
