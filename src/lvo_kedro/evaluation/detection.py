"""Everything that is reported about detection, from one score table."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.areas import (
    ALONE,
    check_both_classes,
    curve_tables,
    why_no_areas,
    withhold_answers,
    withhold_areas,
)
from lvo_kedro.evaluation.failures import quality_against_errors, rank_failures
from lvo_kedro.evaluation.hemispheres import hemisphere_table
from lvo_kedro.evaluation.leakage.findings import Finding, findings_table
from lvo_kedro.evaluation.leakage.scores import (
    check_fitted_elsewhere,
    check_informative,
    check_same_cases,
)
from lvo_kedro.evaluation.leakage.sources import LABEL_EQUALS_SOURCE, check_label_source
from lvo_kedro.evaluation.methods import method_table
from lvo_kedro.evaluation.options import EvaluationOptions
from lvo_kedro.evaluation.scope import name_scope, scope_findings, with_scope
from lvo_kedro.evaluation.spread import fold_table, seed_table
from lvo_kedro.evaluation.statistics.arrays import why_one_class
from lvo_kedro.evaluation.statistics.auc import auc_or_reason, patient_auc_interval
from lvo_kedro.evaluation.statistics.bootstrap import bootstrap_interval, patient_weights
from lvo_kedro.evaluation.statistics.calibration import calibration_table, reliability_table
from lvo_kedro.evaluation.statistics.curves import weighted_average_precision
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    finite_numbers,
    not_estimable,
    wilson_interval,
)
from lvo_kedro.evaluation.statistics.operating_points import (
    OperatingPoints,
    calls_of,
    operating_table,
)
from lvo_kedro.evaluation.subgroups import subgroup_table
from lvo_kedro.evaluation.tables import prepare_scores

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lvo_kedro.evaluation.statistics.arrays import CountArray


@dataclass(frozen=True)
class DetectionEvaluation:
    """Tables about detection; all tidy unless said otherwise.

    Attributes:
        summary: AUC (DeLong, bootstrap), precision-recall area, prevalence, counts.
        operating: Metrics at each operating point.
        roc: Curve with band: threshold, fpr, tpr, low, high.
        precision_recall: Curve: threshold, recall, precision.
        predictive_values: PPV and NPV by prevalence.
        decision_curve: Net benefit by threshold probability and strategy.
        calibration: Slope, intercept, Brier before and after calibration.
        reliability: Observed against predicted, before and after.
        methods: Each detector's AUC, its difference to the network's, by segment.
        hemispheres: Occluded against opposite sides, within the patient and pooled.
        subgroups: Metrics by subgroup; where there are cases out of scope, also without them.
        folds: AUC, sensitivity, specificity by fold, and their spread.
        seeds: AUC by seed, of the mean of all seeds, and their spread; empty with one seed.
        failures: Ranked wrong calls, one per row.
        quality: Error rate by quality finding.
        findings: What the self-checks found: check, severity, message, cases.
        scores: The validated score table with the call at each operating point.
        metrics: Flat name to finite number, for an experiment tracker.
    """

    summary: pd.DataFrame
    operating: pd.DataFrame
    roc: pd.DataFrame
    precision_recall: pd.DataFrame
    predictive_values: pd.DataFrame
    decision_curve: pd.DataFrame
    calibration: pd.DataFrame
    reliability: pd.DataFrame
    methods: pd.DataFrame
    hemispheres: pd.DataFrame
    subgroups: pd.DataFrame
    folds: pd.DataFrame
    seeds: pd.DataFrame
    failures: pd.DataFrame
    quality: pd.DataFrame
    findings: pd.DataFrame
    scores: pd.DataFrame
    metrics: dict[str, float]

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables under their names, to be saved."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: table for name, table in named.items() if isinstance(table, pd.DataFrame)}


def evaluate_detection(
    scores: pd.DataFrame,
    cohort: pd.DataFrame,
    operating_points: OperatingPoints,
    options: EvaluationOptions | None = None,
    *,
    quality: pd.DataFrame | None = None,
    fitted_on: Collection[str] | Mapping[int, Collection[str]] | None = None,
    controls: bool = True,
) -> DetectionEvaluation:
    """Evaluate the scores of one split.

    Args:
        scores: case_id, patient_id, lvo, probability; probability_raw, fold, split, logit,
            logit_<method>, logit_seed_<seed>, likely_side, utility_left, utility_right,
            out_of_scope where there are any. Only the rows of the split to be reported.
        cohort: Cohort table; its columns make the subgroups.
        operating_points: Name to threshold, or to one threshold per fold (cross-validation).
        options: Intervals, subgroups and so on; the defaults where None.
        quality: Quality table (case_id, stage, finding) for the failure analysis.
        fitted_on: Cases on which the operating points and the calibration were fitted; for
            cross-fitted ones a mapping from fold to the cases used for that fold.
        controls: Whether the models have learned from cases without an occlusion, too.

    Returns:
        All tables, the findings of the self-checks, and flat metrics. Without controls nothing that
        asks whether there is an occlusion is estimable, whatever cases there are: counts stand, and
        the occluded sides against the opposite ones. Where a class has no case,
        or the label can be told from the source of a case and that is not acknowledged, areas are
        not estimable and curves have no points; the findings say so.

    Raises:
        TableError: The tables do not allow an evaluation: a score missing, a case scored twice or
            labelled differently in the two tables, no operating point, a logit that is none of the
            methods'.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> noise = np.random.default_rng(0).normal(size=40)
        >>> scores = pd.DataFrame({"lvo": np.arange(40) % 2})
        >>> scores["case_id"] = scores["patient_id"] = [f"p{number}" for number in range(40)]
        >>> scores["probability"] = 1 / (1 + np.exp(1 - 2 * scores["lvo"] - noise))
        >>> quick = EvaluationOptions(resamples=100)
        >>> evaluation = evaluate_detection(scores, scores, {"youden": 0.5}, quick)
        >>> auc = evaluation.summary.set_index("metric").loc["auc"]
        >>> auc[["value", "low", "high"]].astype(float).round(2).tolist()
        [0.99, 0.97, 1.0]
    """
    options = options or EvaluationOptions()
    main = _main_point(operating_points, options)
    prepared = prepare_scores(scores)
    findings = check_same_cases(prepared, cohort)
    joined = name_scope(_join_cohort(prepared, cohort))
    weights = patient_weights(joined["patient_id"], joined["lvo"], options.resamples, options.seed)
    findings += _check_labels(joined, options)
    findings += check_informative(joined, options.confidence)
    findings += check_fitted_elsewhere(joined, fitted_on, "operating point and calibration")
    findings += _repeated_patients(joined) + scope_findings(prepared)
    threshold, confidence = operating_points[main], options.confidence
    alone = "" if controls else ALONE
    reason = alone or why_no_areas(joined, findings)

    def kept(table: pd.DataFrame) -> pd.DataFrame:
        return withhold_answers(withhold_areas(table, reason), alone)

    summary = kept(_summary(joined, weights, options))
    operating = kept(operating_table(joined, operating_points, confidence))
    calibration = kept(calibration_table(joined, weights, confidence))
    methods = kept(method_table(joined, options))
    hemispheres = hemisphere_table(joined, options)
    confounded = any(finding.check == LABEL_EQUALS_SOURCE for finding in findings)
    metrics = _flat_metrics(summary, operating, calibration, methods, hemispheres)
    return DetectionEvaluation(
        summary=summary,
        operating=operating,
        **curve_tables(joined, weights, operating_points, options, reason),
        calibration=calibration,
        reliability=reliability_table(
            joined, options.calibration_bins, options.minimum_bin, confidence
        ).iloc[: None if controls else 0],
        methods=methods,
        hemispheres=hemispheres,
        subgroups=kept(subgroup_table(joined, threshold, with_scope(joined, options))),
        folds=kept(fold_table(joined, threshold, options)),
        seeds=kept(seed_table(joined, options)),
        failures=rank_failures(joined, threshold, quality, options.failures).iloc[
            : None if controls else 0
        ],
        quality=kept(quality_against_errors(joined, threshold, quality, confidence)),
        findings=findings_table(findings),
        scores=_with_calls(prepared, operating_points),
        metrics=metrics | {LABEL_EQUALS_SOURCE: float(confounded)},
    )


def _check_labels(scores: pd.DataFrame, options: EvaluationOptions) -> list[Finding]:
    """Look whether there are two classes, and whether a case's source tells its class."""
    known = LABEL_EQUALS_SOURCE in options.acknowledged
    columns, accuracy = options.source_columns, options.source_accuracy
    found = check_label_source(scores, columns, accuracy, acknowledged=known)
    return found + check_both_classes(scores)


def _main_point(points: OperatingPoints, options: EvaluationOptions) -> str:
    """Return the name of the operating point that the breakdowns are made at."""
    if not points:
        raise TableError("no operating point", "at least one", "fix one on development scores")
    main = options.operating_point or next(iter(points))
    if main not in points:
        raise TableError(
            f"the main operating point {main!r}",
            f"one of {sorted(points)}",
            "correct operating_point in the evaluation's parameters",
        )
    return main


def _join_cohort(scores: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    """The score table with the cohort's further columns; the scores' own columns stay."""
    extra = [name for name in cohort.columns if name not in scores.columns]
    known = cohort[["case_id", *extra]].replace("", np.nan)  # an empty cell of a CSV file
    return scores.merge(known, on="case_id", how="left", validate="1:1")


def _with_calls(scores: pd.DataFrame, points: OperatingPoints) -> pd.DataFrame:
    calls = {f"call_{name}": calls_of(scores, points[name], name).astype(int) for name in points}
    return scores.assign(**calls)


def _summary(scores: pd.DataFrame, weights: CountArray, options: EvaluationOptions) -> pd.DataFrame:
    labels, probability = scores["lvo"].to_numpy(), scores["probability"].to_numpy(dtype=float)
    positives, confidence = labels == 1, options.confidence
    with_lvo = int(positives.sum())
    reason = why_one_class(positives)
    missing = not_estimable(reason, labels.size)
    figures = {
        "auc": auc_or_reason(labels, probability, confidence, options.auc_method),
        "auc_bootstrap": missing if reason else patient_auc_interval(scores, weights, confidence),
        "average_precision": missing
        if reason
        else bootstrap_interval(
            lambda w: weighted_average_precision(positives, probability, w), weights, confidence
        ),
        "prevalence": wilson_interval(with_lvo, labels.size, confidence),
        "cases": Interval(labels.size, math.nan, math.nan, labels.size, "count"),
        "cases_with_lvo": Interval(with_lvo, math.nan, math.nan, labels.size, "count"),
    }
    rows = [figure.row(metric) for metric, figure in figures.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _repeated_patients(scores: pd.DataFrame) -> list[Finding]:
    per_patient = scores.groupby("patient_id").size()
    repeated = int((per_patient > 1).sum())
    if not repeated:
        return []
    message = (
        f"{repeated} patients have more than one case: DeLong and Wilson intervals take cases as "
        "independent and may be too narrow; read the patient bootstrap"
    )
    return [Finding("repeated_patients", "note", message)]


def _flat_metrics(
    summary: pd.DataFrame,
    operating: pd.DataFrame,
    calibration: pd.DataFrame,
    methods: pd.DataFrame,
    hemispheres: pd.DataFrame,
) -> dict[str, float]:
    """Finite numbers under plain names: ``auc``, ``auc_low``, ``auc_sides``, ...

    Args:
        summary: Tidy table.
        operating: Tidy table with operating_point.
        calibration: Tidy table with stage.
        methods: Tidy table with by; the areas of all cases count.
        hemispheres: Tidy table.

    Returns:
        Name to number.
    """
    metrics: dict[str, float] = {}
    areas = methods[(methods["metric"] == "auc") & (methods["segment"] == "all")]
    keyed = ((operating, "operating_point"), (calibration, "stage"), (areas, "by"))
    for table, key in ((summary, None), (hemispheres, None), *keyed):
        for row in table.to_dict("records"):
            stem = str(row["metric"]) if key is None else f"{row['metric']}_{row[key]}"
            metrics |= finite_numbers(stem, row)
    return metrics
