"""Two runs on the same cases: is one better, and which cases changed?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.areas import CURVES
from lvo_kedro.evaluation.leakage.findings import Finding, findings_table
from lvo_kedro.evaluation.options import EvaluationOptions
from lvo_kedro.evaluation.statistics.arrays import why_one_class
from lvo_kedro.evaluation.statistics.auc import auc_interval, paired_delong
from lvo_kedro.evaluation.statistics.bootstrap import bootstrap_interval, patient_weights
from lvo_kedro.evaluation.statistics.curves import roc_table, weighted_auc
from lvo_kedro.evaluation.statistics.intervals import COLUMNS, not_estimable
from lvo_kedro.evaluation.statistics.operating_points import OperatingPoints, calls_of
from lvo_kedro.evaluation.statistics.paired import mcnemar_rows
from lvo_kedro.evaluation.tables import listing, prepare_scores

if TYPE_CHECKING:
    from lvo_kedro.evaluation.statistics.arrays import BoolArray, CountArray, FloatArray


@dataclass(frozen=True)
class Comparison:
    """What differs between run A and run B.

    Attributes:
        summary: Tidy, with run (A, B, A - B) and p_value: AUC, and its difference by paired DeLong
            and by patient bootstrap.
        calls: Tidy, with operating_point, run and p_value: sensitivity, specificity and accuracy
            differences (A - B) with McNemar's exact test and the discordant counts.
        changed: Cases whose call differs, one row per operating point: both probabilities, both
            calls, who is right.
        curves: The ROC curves: run, threshold, fpr, tpr, low, high.
        cases: All common cases with both probabilities and their ranks.
        findings: Cases that only one run has, and other caveats.
        metrics: Flat name to finite number.
    """

    summary: pd.DataFrame
    calls: pd.DataFrame
    changed: pd.DataFrame
    curves: pd.DataFrame
    cases: pd.DataFrame
    findings: pd.DataFrame
    metrics: dict[str, float]

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables under their names, to be saved."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: table for name, table in named.items() if isinstance(table, pd.DataFrame)}


def compare_runs(
    scores_a: pd.DataFrame,
    scores_b: pd.DataFrame,
    operating_points_a: OperatingPoints | None = None,
    operating_points_b: OperatingPoints | None = None,
    options: EvaluationOptions | None = None,
) -> Comparison:
    """Compare the scores of two runs on the cases that both have.

    Args:
        scores_a: Score table of run A: case_id, patient_id, lvo, probability, fold.
        scores_b: Score table of run B.
        operating_points_a: Run A's operating points; without them calls are not compared.
        operating_points_b: Run B's; those of A where None. Only names that both have are compared.
        options: Intervals; the defaults where None.

    Returns:
        Tests, changed cases, findings, flat metrics. Cases of one class alone have no areas and no
        curves: calls are compared all the same.

    Raises:
        TableError: No case in common, or a label or a patient that differs.
    """
    options = options or EvaluationOptions()
    first, second = prepare_scores(scores_a), prepare_scores(scores_b)
    both = _align(first, second).sort_values("case_id", ignore_index=True)
    differ = both.loc[both["patient_id_a"].astype(str) != both["patient_id_b"].astype(str)]
    if not differ.empty:
        raise TableError(
            f"case {differ['case_id'].iloc[0]!r} with two patients",
            "the same cases in both runs",
            "run both on the same cohort table",
        )
    positives = both["lvo_a"].to_numpy() == 1
    weights = patient_weights(both["patient_id_a"], positives, options.resamples, options.seed)
    summary = _areas(both, positives, weights, options)
    points_b = operating_points_b if operating_points_b is not None else operating_points_a
    calls, changed = [], []
    for name in [n for n in (operating_points_a or {}) if n in (points_b or {})]:
        call_a = calls_of(_side(both, "a"), (operating_points_a or {})[name], name)
        call_b = calls_of(_side(both, "b"), (points_b or {})[name], name)
        calls += mcnemar_rows(positives, call_a, call_b, name, options.confidence)
        changed.append(_changed(both, call_a, call_b, name))
    columns = ["operating_point", *COLUMNS, "only_a_correct", "only_b_correct", "p_value"]
    table = pd.DataFrame(calls, columns=columns)
    return Comparison(
        summary=summary,
        calls=table,
        curves=_curves(both, positives, weights, options.confidence),
        changed=pd.concat(changed, ignore_index=True) if changed else pd.DataFrame(),
        cases=_with_ranks(both),
        findings=findings_table(_coverage(first, second, both)),
        metrics=_flat(summary, table),
    )


def _align(table_a: pd.DataFrame, table_b: pd.DataFrame) -> pd.DataFrame:
    """Two score tables of the same cases, side by side.

    Args:
        table_a: Columns case_id, lvo and more.
        table_b: The same.

    Returns:
        Inner join on case_id with suffixes ``_a`` and ``_b``.

    Raises:
        TableError: No case in common, or a case whose label differs.
    """
    both = table_a.merge(table_b, on="case_id", suffixes=("_a", "_b"), validate="one_to_one")
    if both.empty:
        raise TableError("two runs without a case in common", "the same cases", "compare others")
    differ = both.loc[both["lvo_a"] != both["lvo_b"], "case_id"]
    if not differ.empty:
        raise TableError(
            f"case {differ.iloc[0]!r} with two different labels ({len(differ)} such)",
            "the same reference standard in both runs",
            "run both on the same cohort table",
        )
    return both


def _side(both: pd.DataFrame, run: str) -> pd.DataFrame:
    columns = {f"{c}_{run}": c for c in ("probability", "fold") if f"{c}_{run}" in both}
    return both[list(columns)].rename(columns=columns)


def _curves(
    both: pd.DataFrame, positives: BoolArray, weights: CountArray, confidence: float
) -> pd.DataFrame:
    if why_one_class(positives):
        return pd.DataFrame(columns=[*CURVES["roc"], "run"])
    parts = [
        roc_table(positives, both[f"probability_{run.lower()}"], weights, confidence).assign(
            run=run
        )
        for run in ("A", "B")
    ]
    return pd.concat(parts, ignore_index=True)


def _areas(
    both: pd.DataFrame, positives: BoolArray, weights: CountArray, options: EvaluationOptions
) -> pd.DataFrame:
    a = both["probability_a"].to_numpy(dtype=float)
    b = both["probability_b"].to_numpy(dtype=float)
    columns = ["run", *COLUMNS, "p_value"]
    reason = why_one_class(positives)
    if reason:
        missing = not_estimable(reason, len(both))
        rows = [missing.row("auc", run=run) for run in ("A", "B", "A - B")]
        return pd.DataFrame([*rows, missing.row("auc_bootstrap", run="A - B")], columns=columns)
    test = paired_delong(positives, a, b, options.confidence)

    def gain(drawn: FloatArray) -> FloatArray:
        return weighted_auc(positives, a, drawn) - weighted_auc(positives, b, drawn)

    asked = options.confidence, options.auc_method
    rows = [
        *(
            {**auc_interval(positives, score, *asked).row("auc", run=run), "p_value": np.nan}
            for run, score in (("A", a), ("B", b))
        ),
        {**test.difference.row("auc", run="A - B"), "p_value": test.p_value},
        {
            **bootstrap_interval(gain, weights, options.confidence).row(
                "auc_bootstrap", run="A - B"
            ),
            "p_value": np.nan,
        },
    ]
    return pd.DataFrame(rows, columns=columns)


def _changed(both: pd.DataFrame, call_a: BoolArray, call_b: BoolArray, name: str) -> pd.DataFrame:
    columns = ["case_id", "patient_id_a", "lvo_a", "probability_a", "probability_b"]
    table = both[columns].rename(columns={"patient_id_a": "patient_id", "lvo_a": "lvo"})
    table = table.assign(operating_point=name, call_a=call_a.astype(int), call_b=call_b.astype(int))
    table["right"] = np.where(table["call_a"] == table["lvo"], "A", "B")
    table = table.loc[call_a != call_b]
    size = (table["probability_a"] - table["probability_b"]).abs()
    return table.loc[size.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _with_ranks(both: pd.DataFrame) -> pd.DataFrame:
    table = both[["case_id", "patient_id_a", "lvo_a", "probability_a", "probability_b"]]
    table = table.rename(columns={"patient_id_a": "patient_id", "lvo_a": "lvo"})
    for run in ("a", "b"):
        table[f"rank_{run}"] = table[f"probability_{run}"].rank(ascending=False)
    return table


def _coverage(first: pd.DataFrame, second: pd.DataFrame, both: pd.DataFrame) -> list[Finding]:
    findings = []
    for name, table in (("A", first), ("B", second)):
        alone = set(table["case_id"]) - set(both["case_id"])
        if alone:
            message = f"{len(alone)} cases only in run {name} are left out: {listing(alone)}"
            cases = tuple(sorted(map(str, alone)))
            findings.append(Finding(f"only_in_run_{name.lower()}", "warning", message, cases))
    return findings


def _flat(summary: pd.DataFrame, calls: pd.DataFrame) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for row in summary.to_dict("records"):
        stem = {"A": "auc_a", "B": "auc_b"}.get(str(row["run"]), f"{row['metric']}_difference")
        metrics[stem] = float(row["value"])
        if np.isfinite(row["p_value"]):
            metrics[f"{stem}_p_value"] = float(row["p_value"])
    for row in calls.to_dict("records"):
        stem = f"{row['metric']}_difference_{row['operating_point']}"
        metrics[stem], metrics[f"{stem}_p_value"] = float(row["value"]), float(row["p_value"])
    return {name: number for name, number in metrics.items() if np.isfinite(number)}
