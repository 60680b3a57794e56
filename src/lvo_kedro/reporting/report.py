"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from lvo_kedro import __version__
from lvo_kedro.errors import TableError
from lvo_kedro.reporting import breakdowns, curves
from lvo_kedro.reporting import words as w
from lvo_kedro.reporting.panels import plot_case
from lvo_kedro.reporting.style import to_png
from lvo_kedro.reporting.views import (
    Picture,
    SplitView,
    TableView,
    cards_of,
    draw,
    flow_of,
    mapping_view,
    metric_rows,
    plain_view,
    source_of,
    threshold_of,
    tidy_view,
    wide_view,
)
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from lvo_kedro.reporting.content import ReportContent, SplitTables

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """The template environment: everything that goes into HTML is escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html", "html.j2"], default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_report(content: ReportContent) -> str:
    """Render the report as one self-contained HTML page.

    Args:
        content: Tables, pictures and words.

    Returns:
        HTML with inline style sheet and images; it fetches nothing and needs no script.

    Raises:
        TableError: There is no evaluated set.
    """
    if not content.splits:
        raise TableError("a report without an evaluated set", "at least one", "evaluate first")
    splits = [_split_view(content, split) for split in content.splits]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            content=content,
            splits=splits,
            point=w.words(content.main_point),
            confidence=f"{100 * content.confidence:g} %",
            overview=_overview_pictures(content),
            vessels=_vessel_parts(content),
            gallery=_gallery(content),
            explanations=_explanation_table(content),
            alerts=_alerts(_findings(content)),
            quality=_quality_tables(content),
            methods=_method_tables(content),
            research_only=RESEARCH_ONLY,
            version=__version__,
        )
    )


def _split_view(content: ReportContent, split: SplitTables) -> SplitView:
    return SplitView(
        name=split.name,
        note=split.note,
        cards=cards_of(split, content.main_point),
        flow=flow_of(content, split),
        threshold=threshold_of(split, content.main_point),
        tables=_split_tables(split),
        pictures=_split_pictures(split, content.main_point),
    )


def _split_pictures(split: SplitTables, point: str) -> dict[str, Picture]:
    tables, name = split.detection, split.name
    auc = w.pick(tables["summary"], "auc")
    area = f"AUC {w.figure(auc)}" if auc else ""
    pictures = {
        "roc": draw(
            partial(curves.plot_roc, tables, f"ROC curve, {name}"),
            f"ROC curve of {name}: {area}; the operating points are marked",
            "Band: pointwise interval from the patient bootstrap. Crosses: operating points.",
        ),
        "precision_recall": draw(
            partial(curves.plot_precision_recall, tables, f"Precision and recall, {name}"),
            f"Precision-recall curve of {name}",
        ),
        "scores": draw(
            partial(curves.plot_scores, tables, f"Probabilities, {name}"),
            f"Probability of every case of {name}, by truth, with the thresholds",
            "One mark a case; bars: quartiles.",
        ),
        "predictive_values": draw(
            partial(curves.plot_predictive_values, tables, f"Predictive values, {name}"),
            f"PPV and NPV against prevalence, {name}",
            "What the same sensitivity and specificity would mean at another prevalence.",
        ),
        "calibration": draw(
            partial(curves.plot_calibration, tables, f"Calibration, {name}"),
            f"Observed against predicted frequency of LVO, {name}, before and after calibration",
        ),
        "decision_curve": draw(
            partial(curves.plot_decision_curve, tables, f"Decision curve, {name}"),
            f"Net benefit against threshold probability, {name}",
        ),
        "subgroups": draw(
            partial(breakdowns.plot_subgroups, tables, "auc", f"AUC by subgroup, {name}"),
            f"Forest plot of the AUC by subgroup, {name}; the numbers are in the table",
            "Hollow: too few cases to read. Dashed: all cases.",
            wide=True,
        ),
        "subgroups_sensitivity": draw(
            partial(
                breakdowns.plot_subgroups, tables, "sensitivity", f"Sensitivity by subgroup, {name}"
            ),
            f"Forest plot of the sensitivity by subgroup, {name}",
            wide=True,
        ),
    }
    for scope in ("end_to_end", "given_detection") if split.localization else ():
        title = f"{w.words(scope)}, {name}"
        pictures[f"confusion_{scope}"] = draw(
            partial(breakdowns.plot_confusion, split.localization, scope, point, title),
            f"Confusion matrix of the five segment classes, {title}",
            "Rows: truth. Shade: share of the row.",
        )
    return pictures


def _split_tables(split: SplitTables) -> dict[str, TableView]:
    here, name = partial(source_of, split, "detection"), split.name
    tables = split.detection
    views = {
        "operating": metric_rows(
            tables["operating"],
            f"At the fixed operating points, {name}",
            ["operating_point"],
            here("operating"),
        ),
        "summary": tidy_view(tables["summary"], f"Threshold-free figures, {name}", here("summary")),
        "predictive_values": wide_view(
            tables["predictive_values"],
            f"Predictive values by prevalence, {name}",
            ["operating_point", "prevalence"],
            ["ppv", "npv"],
            here("predictive_values"),
            folded=True,
        ),
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
    return views | _localization_tables(split)


def _localization_tables(split: SplitTables) -> dict[str, TableView]:
    if "summary" not in split.localization:
        return {}
    summary = split.localization["summary"]
    here = partial(source_of, split, "localization")
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
            points, f"Distance of the back-projected point, {split.name}", keys, here("points")
        ),
    }
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


def _overview_pictures(content: ReportContent) -> list[Picture]:
    pictures = [
        draw(
            partial(breakdowns.plot_cohort, content.cohort, "Cases of all sets"),
            "Bar charts of segment, site, age and slice thickness by LVO",
            wide=True,
        )
    ]
    if content.history is not None and not content.history.empty:
        pictures.append(
            draw(
                partial(curves.plot_training, content.history, "Training of the detector"),
                "Training and validation curves of each fold",
                "Thin: one fold. Thick: mean.",
                wide=True,
            )
        )
    return pictures


def _vessel_parts(content: ReportContent) -> tuple[Picture, TableView] | None:
    if content.vessels is None or content.vessels.empty:
        return None
    metrics = list(dict.fromkeys(content.vessels["metric"]))
    source = f"{Path(content.splits[0].source).parent}" if content.splits[0].source else ""
    table = wide_view(
        content.vessels,
        "Vessel segmentation",
        ["label", "split"],
        metrics,
        f"{source}/vessel_overlap.csv" if source else "",
    )
    picture = draw(
        partial(breakdowns.plot_vessels, content.vessels, "dice", "Dice of the vessel labels"),
        "Mean Dice of each vessel label with interval and quartiles",
    )
    return picture, table


def _gallery(content: ReportContent) -> list[Picture]:
    return [
        Picture(to_png(plot_case(case)), f"Case {case.case_id}. {case.caption}", wide=True)
        for case in content.gallery
    ]


def _explanation_table(content: ReportContent) -> TableView | None:
    if content.explanations is None or content.explanations.empty:
        return None
    keys = ["split", "operating_point"]
    return tidy_view(content.explanations, "Side of the Grad-CAM", keys=keys)


def _findings(content: ReportContent) -> pd.DataFrame:
    """The self-checks of the study and of every set, the gravest first."""
    parts = [] if content.findings is None else [content.findings]
    parts += [
        split.detection["findings"].assign(set=split.name)
        for split in content.splits
        if "findings" in split.detection
    ]
    filled = [part for part in parts if not part.empty]
    if not filled:
        return pd.DataFrame(columns=["severity", "check", "message"])
    together = pd.concat(filled, ignore_index=True)
    together["check"] = together["check"].map(w.words)
    order = {"error": 0, "warning": 1, "note": 2}
    return together.sort_values("severity", key=lambda s: s.map(order), kind="stable")


def _alerts(findings: pd.DataFrame) -> list[tuple[str, str]]:
    """Severity and message of what a reader must know before the figures; repeats once."""
    grave = findings.loc[findings["severity"].isin(["error", "warning"])]
    return list(dict.fromkeys(zip(grave["severity"], grave["message"], strict=True)))


def _quality_tables(content: ReportContent) -> list[TableView]:
    tables = []
    findings = _findings(content)
    if not findings.empty:
        columns = [c for c in ("severity", "check", "message", "set", "cases") if c in findings]
        tables.append(plain_view(findings[columns], "Self-checks"))
    if content.exclusions is not None and not content.exclusions.empty:
        tables.append(plain_view(content.exclusions, "Excluded cases"))
    if content.quality is not None and not content.quality.empty:
        tables.append(plain_view(content.quality, "Quality findings by case", folded=True))
    return tables


def _method_tables(content: ReportContent) -> list[TableView]:
    parts: list[tuple[str, Any, bool]] = [
        ("Runs, revisions and digests", content.provenance, False),
        ("Versions", content.versions, True),
        ("Parameters", content.parameters, True),
    ]
    return [mapping_view(items, title, folded) for title, items, folded in parts if items]
