"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from lvo_kedro import __version__
from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import gravest_first
from lvo_kedro.reporting import breakdowns
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.detectors import chosen_detector
from lvo_kedro.reporting.facts import public_sources
from lvo_kedro.reporting.page import environment
from lvo_kedro.reporting.split_views import split_view
from lvo_kedro.reporting.training import plot_training
from lvo_kedro.reporting.views import (
    Picture,
    TableView,
    draw,
    flatten,
    mapping_view,
    plain_view,
    source_of,
    tidy_view,
    wide_view,
)
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from lvo_kedro.reporting.content import ReportContent


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
    splits = [split_view(content, split) for split in content.splits]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            content=content,
            title=content.title,
            simulated=content.simulated,
            splits=splits,
            point=w.words(content.main_point),
            detector=_detector_sentence(content),
            confidence=f"{100 * content.confidence:g} %",
            overview=_overview_pictures(content),
            vessels=_vessel_parts(content),
            gallery=_gallery(content),
            explanations=_explanation_table(content),
            alerts=_alerts(_findings(content)),
            quality=_quality_tables(content),
            methods=_method_tables(content),
            sources=public_sources(content.cohort),
            research_only=RESEARCH_ONLY,
            version=__version__,
        )
    )


def _detector_sentence(content: ReportContent) -> str:
    """Whose score the report is about; nothing of runs that did not record it."""
    chosen = chosen_detector(content.splits[0])
    if not chosen:
        return ""
    return (
        "Curves, operating points, calibration, subgroups and calls in this report are of one "
        f"detector’s score: {w.DETECTORS[chosen]}. Training curves and Grad-CAM are those of "
        "McResNet. The areas here are of log odds before calibration, which is fitted for the "
        "first alone; in cross-validation each fold has its own, so that the area of its "
        "probabilities above may differ a little."
    )


def _overview_pictures(content: ReportContent) -> list[Picture]:
    pictures = [
        draw(
            partial(breakdowns.plot_cohort, content.cohort, "Cases of all sets"),
            "Bar charts of segment, site, age and slice thickness by LVO",
            wide=True,
            source=source_of(content.source, "cohort"),
        )
    ]
    if content.history is not None and not content.history.empty:
        pictures.append(
            draw(
                partial(plot_training, content.history, "Training of the detector"),
                "Training and validation curves of each fold",
                "Thin: one fold. Thick: mean.",
                wide=True,
                source=source_of(content.source, "history"),
            )
        )
    return pictures


def _vessel_parts(content: ReportContent) -> tuple[Picture, TableView, TableView] | None:
    if content.vessels is None or content.vessels.empty:
        return None
    metrics = list(dict.fromkeys(content.vessels["metric"]))
    source = source_of(content.source, "vessels")
    table = wide_view(content.vessels, "Vessel segmentation", ["label", "split"], metrics, source)
    numbers = content.vessels.drop(columns="method").rename(columns={"value": "mean"})
    numbers["metric"] = numbers["metric"].map(w.words)
    spread = plain_view(numbers, "Vessel segmentation: spread over cases", source, folded=True)
    picture = draw(
        partial(breakdowns.plot_vessels, content.vessels, "dice", "Dice of the vessel labels"),
        "Mean Dice of each vessel label with interval and quartiles",
        source=source,
    )
    return picture, table, spread


def _gallery(content: ReportContent) -> list[Picture]:
    return [
        Picture(
            f"data:image/png;base64,{b64encode(case.png).decode()}",
            f"Case {case.case_id}. {case.caption}",
            case.caption,
            wide=True,
            origin=source_of(content.source, "gallery"),
        )
        for case in content.gallery
    ]


def _explanation_table(content: ReportContent) -> TableView | None:
    if content.explanations is None or content.explanations.empty:
        return None
    keys = ["split", "operating_point"]
    source = ", ".join(
        f"{split.source}/localization/explanation.csv" for split in content.splits if split.source
    )
    return tidy_view(content.explanations, "Side of the Grad-CAM", source, keys)


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
    together = gravest_first(pd.concat(filled, ignore_index=True))
    return together.assign(check=together["check"].map(w.words))


def _alerts(findings: pd.DataFrame) -> list[tuple[str, str]]:
    """Severity and message of what a reader must know before the metrics; repeats once."""
    grave = findings.loc[findings["severity"].isin(["error", "warning"])]
    return list(dict.fromkeys(zip(grave["severity"], grave["message"], strict=True)))


def _quality_tables(content: ReportContent) -> list[TableView]:
    here, tables = partial(source_of, content.source), []
    findings = _findings(content)
    if not findings.empty:
        columns = [c for c in ("severity", "check", "message", "set", "cases") if c in findings]
        files = [here("findings")] if content.source else []
        files += [f"{s.source}/detection/findings.csv" for s in content.splits if s.source]
        tables.append(plain_view(findings[columns], "Self-checks", ", ".join(files)))
    if content.exclusions is not None and not content.exclusions.empty:
        tables.append(plain_view(content.exclusions, "Excluded cases", here("exclusions")))
    if content.quality is not None and not content.quality.empty:
        title = "Quality findings by case"
        tables.append(plain_view(content.quality, title, here("quality"), folded=True))
    return tables


def _method_tables(content: ReportContent) -> list[TableView]:
    # by name, so that reports of two runs can be compared line by line
    parameters = dict(sorted(flatten(content.parameters), key=itemgetter(0)))
    parts: list[tuple[str, Any, bool]] = [
        ("Runs, revisions and digests", content.provenance, False),
        ("Versions", content.versions, True),
        ("Parameters", parameters, True),
    ]
    return [mapping_view(items, title, folded) for title, items, folded in parts if items]
