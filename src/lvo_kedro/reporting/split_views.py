"""What the report shows about one evaluated split: pictures and tables, each with its file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro.reporting import breakdowns, curves
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.detectors import detector_tables, methods_of, plot_detectors
from lvo_kedro.reporting.views import (
    Picture,
    SplitView,
    TableView,
    cards_of,
    draw,
    flow_of,
    metric_rows,
    plain_view,
    source_of,
    threshold_of,
    tidy_view,
    wide_view,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from lvo_kedro.reporting.content import ReportContent, SplitTables


def split_view(content: ReportContent, split: SplitTables) -> SplitView:
    """Everything shown about one set."""
    return SplitView(
        name=split.name,
        note=split.note,
        cards=cards_of(split, content.main_point),
        flow=flow_of(split),
        threshold=threshold_of(split, content.main_point),
        source=source_of(split.source, "summary"),
        tables=_split_tables(split, content.main_point),
        pictures=_split_pictures(split, content.main_point),
    )


def _split_pictures(split: SplitTables, point: str) -> dict[str, Picture]:
    """The figures of a set; each names the file that it is drawn from."""
    tables, name = split.detection, split.name

    def drawn(
        plot: Callable[..., Figure], title: str, file: str, caption: str = "", *more: str
    ) -> Picture:
        heading = f"{title}, {name}"
        return draw(
            partial(plot, tables, *more, heading),
            f"{heading}; the numbers are in the tables",
            caption,
            wide=bool(more),
            source=source_of(f"{split.source}/detection" if split.source else "", file),
        )

    subgroups, few = breakdowns.plot_subgroups, "Hollow: too few cases to read. Dashed: all cases."
    pictures = {
        "roc": drawn(
            curves.plot_roc,
            "ROC curve",
            "roc",
            "Band: pointwise interval from the patient bootstrap; it has no width where all "
            "resamples agree, as with perfect separation. Crosses: operating points.",
        ),
        "precision_recall": drawn(
            curves.plot_precision_recall, "Precision and recall", "precision_recall"
        ),
        "scores": drawn(
            curves.plot_scores, "Probabilities", "scores", "One mark a case; bars: quartiles."
        ),
        "predictive_values": drawn(
            curves.plot_predictive_values,
            "Predictive values",
            "predictive_values",
            "What the same sensitivity and specificity would mean at another prevalence.",
        ),
        "calibration": drawn(curves.plot_calibration, "Calibration", "reliability"),
        "decision_curve": drawn(curves.plot_decision_curve, "Decision curve", "decision_curve"),
        "subgroups": drawn(subgroups, "AUC by subgroup", "subgroups", few, "auc"),
        "subgroups_sensitivity": drawn(
            subgroups, "Sensitivity by subgroup", "subgroups", few, "sensitivity"
        ),
    }
    if not methods_of(tables).empty:
        caption = "Diamond: its score counts. Areas of log odds before calibration."
        pictures["detectors"] = drawn(plot_detectors, "AUC by detector", "methods", caption)
    return pictures | _confusion_pictures(split, point)


def _confusion_pictures(split: SplitTables, point: str) -> dict[str, Picture]:
    pictures = {}
    for scope in ("end_to_end", "given_detection") if split.localization else ():
        title = f"{w.words(scope)}, {split.name}"
        pictures[f"confusion_{scope}"] = draw(
            partial(breakdowns.plot_confusion, split.localization, scope, point, title),
            f"Confusion matrix of the five segment classes, {title}",
            "Rows: truth. Shade: share of the row.",
            source=source_of(f"{split.source}/localization" if split.source else "", "confusion"),
        )
    return pictures


def _split_tables(split: SplitTables, point: str) -> dict[str, TableView]:
    """The tables of a set; each names the file that it is."""
    here = partial(source_of, f"{split.source}/detection" if split.source else "")
    return {
        **_detection_tables(split, here),
        **detector_tables(split, here),
        **_probability_tables(split, here),
        **_breakdown_tables(split, here),
        **_localization_tables(split, point),
    }


def _detection_tables(split: SplitTables, here: Callable[[str], str]) -> dict[str, TableView]:
    """Metrics at the operating points, without a threshold, and at other prevalences."""
    tables, name = split.detection, split.name
    return {
        "operating": metric_rows(
            tables["operating"],
            f"At the fixed operating points, {name}",
            ["operating_point"],
            here("operating"),
        ),
        "summary": tidy_view(tables["summary"], f"Threshold-free metrics, {name}", here("summary")),
        "hemispheres": tidy_view(
            tables.get("hemispheres", pd.DataFrame()),
            f"Occluded against opposite side, {name}",
            here("hemispheres"),
        ),
        "predictive_values": wide_view(
            tables["predictive_values"],
            f"Predictive values by prevalence, {name}",
            ["operating_point", "prevalence"],
            ["ppv", "npv"],
            here("predictive_values"),
            folded=True,
        ),
    }


def _probability_tables(split: SplitTables, here: Callable[[str], str]) -> dict[str, TableView]:
    """How far the probabilities can be taken at their word."""
    tables, name = split.detection, split.name
    return {
        "calibration": metric_rows(
            tables["calibration"], f"Calibration, {name}", ["stage"], here("calibration")
        ),
        "reliability": tidy_view(
            tables["reliability"],
            f"Reliability bins, {name}",
            here("reliability"),
            ["stage", "bin"],
            folded=True,
        ),
    }


def _breakdown_tables(split: SplitTables, here: Callable[[str], str]) -> dict[str, TableView]:
    """The same metrics by fold, seed and subgroup, and the cases behind the errors."""
    tables, name = split.detection, split.name
    return {
        "folds": wide_view(
            tables["folds"],
            "Spread between folds",
            ["fold"],
            ["n", "auc", "sensitivity", "specificity"],
            here("folds"),
        ),
        "seeds": wide_view(
            tables.get("seeds", pd.DataFrame(columns=["seed", "metric"])),
            f"Spread between seeds, {name}",
            ["seed"],
            ["auc"],
            here("seeds"),
        ),
        "subgroups": wide_view(
            tables["subgroups"],
            f"Subgroups, {name}",
            ["title", "level"],
            ["n", "cases_with_lvo", "prevalence", "auc", "sensitivity", "specificity"],
            here("subgroups"),
            extra="remark",
            folded=True,
        ),
        "failures": plain_view(
            tables["failures"],
            f"Wrong calls, most confidently wrong first, {name}",
            here("failures"),
            folded=True,
        ),
        "quality": plain_view(
            tables["quality"].drop(columns=["metric"], errors="ignore"),
            f"Share of wrong calls by quality finding, {name}",
            here("quality"),
            folded=True,
        ),
    }


def _localization_tables(split: SplitTables, point: str) -> dict[str, TableView]:
    if "summary" not in split.localization:
        return {}
    summary = split.localization["summary"]
    here = partial(source_of, f"{split.source}/localization" if split.source else "")
    overall = summary.loc[summary["segment"] == "all"]
    by_segment = summary.loc[summary["segment"] != "all"]
    points = split.localization["points"]
    keys = ["scope", "operating_point"]
    views = {
        "localization": metric_rows(
            overall, f"Side and segment, {split.name}", keys, here("summary")
        ),
        "segments": wide_view(
            by_segment,
            f"By true segment, {split.name}",
            [*keys, "segment"],
            ["segment_accuracy", "side_accuracy"],
            here("summary"),
            folded=True,
        ),
        "points": metric_rows(
            points, f"Distance of the called point, {split.name}", keys, here("points")
        ),
    }
    methods = split.localization.get("methods", pd.DataFrame())
    if not methods.empty:
        shown = methods[methods["operating_point"].fillna("").isin(["", point])]
        named = shown["metric"].map(w.words) + ", " + shown["scope"].map(w.words).str.lower()
        title = f"Each method by itself, at {w.words(point)}, {split.name}"
        views["methods"] = metric_rows(shown.assign(metric=named), title, ["by"], here("methods"))
    folds = split.localization.get("folds", pd.DataFrame())
    if not folds.empty:
        views["localization_folds"] = wide_view(
            folds,
            f"Spread between folds, {split.name}",
            ["fold"],
            list(dict.fromkeys(folds["metric"])),
            here("folds"),
        )
    return views
