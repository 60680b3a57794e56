"""Everything that is reported about side and segment, from the calls and the scores.

Three *scopes* answer three questions. ``end_to_end``: of all occlusions, how many are detected and
named rightly (one that is not detected counts as wrong). ``given_detection``: of the detected ones,
how many are named rightly. ``all_lvo``: how well the third stage does alone, detection aside.
Occlusions that it has no name for (:mod:`lvo_kedro.truth`) count in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.occlusions import NO_CALL, occlusion_cases
from lvo_kedro.evaluation.options import EvaluationOptions
from lvo_kedro.evaluation.statistics.bootstrap import (
    bootstrap_interval,
    patient_weights,
    weighted_quantile,
)
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    finite_numbers,
    not_estimable,
    spread_interval,
    wilson_interval,
)
from lvo_kedro.evaluation.statistics.operating_points import OperatingPoints, calls_of
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from lvo_kedro.evaluation.statistics.arrays import BoolArray, CountArray, FloatArray

SCOPES: Final = ("end_to_end", "given_detection", "all_lvo")
EVERY: Final = "all"
"""Level of ``segment`` in rows about all segments together."""


@dataclass(frozen=True)
class LocalizationEvaluation:
    """Tables about localization.

    Attributes:
        summary: Tidy, with operating_point, scope and segment: accuracies of segment and side.
        confusion: operating_point, scope, truth, called, count; every combination is there.
        points: Tidy, with operating_point and scope: distance of the called point.
        folds: Tidy, with fold: end-to-end accuracies by fold and their spread.
        calls: One row an LVO case of the five classes on one side: truth, call, whether detected,
            side_correct, segment_correct.
        metrics: Flat name to finite number.
    """

    summary: pd.DataFrame
    confusion: pd.DataFrame
    points: pd.DataFrame
    folds: pd.DataFrame
    calls: pd.DataFrame
    metrics: dict[str, float]

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables under their names, to be saved."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: table for name, table in named.items() if isinstance(table, pd.DataFrame)}


def evaluate_localization(
    calls: pd.DataFrame,
    scores: pd.DataFrame,
    operating_points: OperatingPoints,
    options: EvaluationOptions | None = None,
    *,
    cohort: pd.DataFrame | None = None,
) -> LocalizationEvaluation:
    """Evaluate the named sides and segments of one split.

    Args:
        calls: case_id, side, segment (truth), called_side, called_segment (empty where nothing is
            named), point_error_mm where there is one; clot_annotated (0 or 1) where some clots have
            no annotation to measure a distance from.
        scores: case_id, patient_id, lvo, probability; fold where there is one. These cases are
            evaluated: an LVO case without a row in ``calls`` counts as wrong. Occlusions that the
            third stage has no name for (:mod:`lvo_kedro.truth`) are left out; where there are no
            others, or no case has LVO, nothing is estimable.
        operating_points: Name to threshold, or to one threshold per fold.
        options: Intervals; the defaults where None.
        cohort: Cohort table, for the truth of cases without a row in ``calls``.

    Returns:
        Tables and flat metrics.

    Raises:
        TableError: Columns are missing, a case stands twice, or the truth of an LVO
            case is nowhere given.
    """
    options = options or EvaluationOptions()
    cases = occlusion_cases(calls, scores, cohort)
    # A patient counts once in each resample whatever its segment, so segments are the strata.
    strata = pd.factorize(cases["segment"])[0]
    weights = patient_weights(cases["patient_id"], strata, options.resamples, options.seed)
    summary, confusion, points = [], [], []
    everyone = np.ones(len(cases), dtype=bool)
    for name, threshold in operating_points.items():
        detected = calls_of(cases, threshold, name)
        for scope in SCOPES:
            if scope == "all_lvo" and name != next(iter(operating_points)):
                continue  # does not depend on the operating point
            place = {"operating_point": "" if scope == "all_lvo" else name, "scope": scope}
            found = everyone if scope == "all_lvo" else detected
            members = detected if scope == "given_detection" else everyone
            view = _Scope(cases, members, found, weights, options.confidence)
            summary += [{**place, **row} for row in view.accuracies()]
            confusion += [{**place, **row} for row in view.confusion()]
            points += [{**place, **row} for row in view.distances(options.distances_mm)]
    keys = ["operating_point", "scope"]
    main = options.operating_point or next(iter(operating_points))
    table = pd.DataFrame(summary, columns=[*keys, "segment", *COLUMNS])
    distances = pd.DataFrame(points, columns=[*keys, *COLUMNS])
    detected = calls_of(cases, operating_points[main], main)
    return LocalizationEvaluation(
        summary=table,
        confusion=pd.DataFrame(confusion, columns=[*keys, "truth", "called", "count"]),
        points=distances,
        folds=_fold_spread(cases, detected, options.confidence),
        calls=cases.assign(detected=detected.astype(int)),
        metrics=_flat_metrics(table, distances),
    )


@dataclass(frozen=True)
class _Scope:
    """The LVO cases of one question; ``found`` are those whose call counts."""

    cases: pd.DataFrame
    members: BoolArray
    found: BoolArray
    weights: CountArray
    confidence: float

    def _share(self, right: BoolArray, among: BoolArray) -> Interval:
        return wilson_interval(int((right & among).sum()), int(among.sum()), self.confidence)

    def accuracies(self) -> list[dict[str, object]]:
        """Rows of the summary: all segments together, then each."""
        side = self.cases["side_correct"].to_numpy() & self.found
        segment = self.cases["segment_correct"].to_numpy() & self.found
        touched = self.cases["segment_touched"].to_numpy() & self.found
        known = self.members & self.cases["segment"].isin(SEGMENT_CLASSES).to_numpy()
        figures = {
            "segment_accuracy": self._share(segment, known),
            "side_accuracy": self._share(side, self.members),
            "side_and_segment_accuracy": self._share(side & segment, known),
            "adjoining_segment_accuracy": self._share(touched, known),
            "balanced_accuracy": self._balanced(segment, known),
        }
        rows = [figure.row(metric, segment=EVERY) for metric, figure in figures.items()]
        for name in SEGMENT_CLASSES:
            among = self.members & (self.cases["segment"] == name).to_numpy()
            rows.append(self._share(segment, among).row("segment_accuracy", segment=name))
            rows.append(self._share(side, among).row("side_accuracy", segment=name))
        return rows

    def _balanced(self, right: BoolArray, among: BoolArray) -> Interval:
        """Mean over the classes that occur of the share named rightly."""
        truth = self.cases["segment"].to_numpy()
        groups = [among & (truth == name) for name in SEGMENT_CLASSES]
        groups = [group for group in groups if group.any()]
        if not groups:
            return not_estimable("no case with a known segment")

        def mean_share(weights: FloatArray) -> FloatArray:
            with np.errstate(invalid="ignore"):
                shares = [(weights @ (g & right)) / (weights @ g) for g in groups]
            there = np.isfinite(shares)
            total = np.where(there, shares, 0).sum(axis=0)
            return total / np.where(there.any(axis=0), there.sum(axis=0), np.nan)

        figure = bootstrap_interval(mean_share, self.weights, self.confidence)
        method = f"{figure.method}; mean of {len(groups)} classes"
        return Interval(figure.value, figure.low, figure.high, int(among.sum()), method)

    def confusion(self) -> list[dict[str, object]]:
        """Rows of the confusion matrix: the five classes by the five and none."""
        called = np.where(self.found, self.cases["called_class"], NO_CALL)
        truth = self.cases["segment"].to_numpy()
        return [
            {
                "truth": row,
                "called": column,
                "count": int((self.members & (truth == row) & (called == column)).sum()),
            }
            for row in SEGMENT_CLASSES
            for column in (*SEGMENT_CLASSES, NO_CALL)
        ]

    def distances(self, limits_mm: tuple[float, ...]) -> list[dict[str, object]]:
        """Rows about the distance between the clot's centre and the called point, in mm.

        Only of clots that are annotated: without a true point a called one is neither near nor
        far. ``median_if_correct_mm`` counts only cases with side and segment correct.
        """
        error = self.cases["point_error_mm"].to_numpy(dtype=float)
        known = self.members & self.cases["clot_annotated"].to_numpy()
        placed = known & self.found & np.isfinite(error)
        right = placed & (self.cases["side_correct"] & self.cases["segment_correct"]).to_numpy()
        rows = [self._share(placed, known).row("point_given")]
        for metric, level, among in (
            ("median_mm", 0.5, placed),
            ("lower_quartile_mm", 0.25, placed),
            ("upper_quartile_mm", 0.75, placed),
            ("median_if_correct_mm", 0.5, right),
        ):
            rows.append(self._quantile(error, level, among).row(metric))
        for limit in limits_mm:
            near = placed & (np.where(placed, error, np.inf) <= limit)
            rows.append(self._share(near, known).row(f"within_{limit:g}_mm"))
        return rows

    def _quantile(self, values: FloatArray, level: float, among: BoolArray) -> Interval:
        """Quantile over the cases ``among``."""
        if not among.any():
            return not_estimable("no point")
        figure = bootstrap_interval(
            partial(weighted_quantile, values[among], level=level),
            self.weights[:, among],
            self.confidence,
        )
        return Interval(figure.value, figure.low, figure.high, int(among.sum()), figure.method)


def _fold_spread(cases: pd.DataFrame, detected: BoolArray, confidence: float) -> pd.DataFrame:
    columns = ["fold", *COLUMNS]
    if "fold" not in cases or cases["fold"].nunique() < 2:
        return pd.DataFrame(columns=columns)
    rows = []
    for column, metric in (
        ("segment_correct", "segment_accuracy"),
        ("side_correct", "side_accuracy"),
    ):
        right = cases[column].to_numpy() & detected
        shares = []
        for fold in sorted(cases["fold"].dropna().unique()):
            among = (cases["fold"] == fold).to_numpy()
            figure = wilson_interval(int((right & among).sum()), int(among.sum()), confidence)
            shares.append(figure.value)
            rows.append(figure.row(metric, fold=str(int(fold))))
        spread = spread_interval(shares, len(cases))
        rows.append(spread.row(metric, fold="spread"))
    return pd.DataFrame(rows, columns=columns)


def _flat_metrics(summary: pd.DataFrame, points: pd.DataFrame) -> dict[str, float]:
    metrics: dict[str, float] = {}
    overall = summary.loc[summary["segment"] == EVERY]
    for row in [*overall.to_dict("records"), *points.to_dict("records")]:
        parts = [str(row["metric"]), str(row["scope"]), str(row["operating_point"])]
        stem = "_".join(part for part in parts if part)
        metrics |= finite_numbers(stem, row)
    return metrics
