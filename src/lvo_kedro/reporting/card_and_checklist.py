"""The model card and the reporting checklist, as Markdown, filled from the run.

What the software knows is filled in; what only the authors of a study know is left as a blank that
is marked ``[TO BE COMPLETED: ...]``, so that a search finds every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lvo_kedro import __version__
from lvo_kedro.evaluation.hemispheres import RATE
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.detectors import chosen_detector
from lvo_kedro.reporting.facts import flow_text, run_facts
from lvo_kedro.reporting.views import threshold_of
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.reporting.content import ReportContent, SplitTables

BLANK: Final = "[TO BE COMPLETED: {}]"


@dataclass(frozen=True)
class Item:
    """One item of the checklist; ``key`` is a fact of the run, without one the authors answer."""

    section: str
    text: str
    key: str = ""


# The topics follow the sections of the CLAIM 2024 update (Tejani et al., Radiol Artif Intell 2024;
# 6:e240300); the wording and the numbering are this project's own.
ITEMS: Final = (
    Item("Title and abstract", "The title names the kind of AI method"),
    Item("Title and abstract", "The abstract states design, methods, results and conclusion"),
    Item("Introduction", "Scientific and clinical background; intended use and role"),
    Item("Introduction", "Aims and hypotheses"),
    Item("Study design", "Prospective or retrospective", "simulated"),
    Item("Study design", "Goal of the study", "goal"),
    Item("Data", "Sources of the data and dates", "sources"),
    Item("Data", "Inclusion and exclusion criteria"),
    Item("Data", "Pre-processing", "preprocessing"),
    Item("Data", "Selection of subsets of the data", "flow"),
    Item("Data", "De-identification", "identity"),
    Item("Data", "Missing data and failed cases", "missing"),
    Item("Data", "Image acquisition protocol", "acquisition"),
    Item("Reference standard", "Definition of the reference standard", "reference"),
    Item("Reference standard", "Why this reference standard was chosen"),
    Item("Reference standard", "Source of annotations, qualification of annotators", "annotators"),
    Item("Reference standard", "Annotation tools; agreement within and between annotators"),
    Item("Partitions", "How data were assigned to partitions", "partitions"),
    Item("Partitions", "At what level partitions are disjoint", "disjoint"),
    Item("Testing data", "Intended sample size and how it was determined"),
    Item("Testing data", "External test set", "external"),
    Item("Model", "Description of the model, inputs and outputs", "model"),
    Item("Model", "Software libraries and versions", "versions"),
    Item("Model", "Initialization of the parameters", "initialization"),
    Item("Training", "Training: augmentation, hyper-parameters, number of models", "training"),
    Item("Training", "How the final model was selected", "selection"),
    Item("Training", "Ensembling", "ensemble"),
    Item("Evaluation", "Metrics of performance", "metrics"),
    Item("Evaluation", "Statistical uncertainty", "uncertainty"),
    Item("Evaluation", "Robustness or sensitivity analysis", "robustness"),
    Item("Evaluation", "Explainability", "explainability"),
    Item("Evaluation", "Operating points fixed beforehand", "operating"),
    Item("Results", "Flow of participants or cases", "flow"),
    Item("Results", "Demographic and clinical characteristics", "characteristics"),
    Item("Results", "Performance with intervals on all partitions", "performance"),
    Item("Results", "Calibration", "calibration"),
    Item("Results", "Failure analysis of wrong cases", "failures"),
    Item("Discussion", "Limitations and generalizability"),
    Item("Discussion", "Implications for practice"),
    Item("Other", "Registration and protocol"),
    Item("Other", "Availability of code, models and data", "code"),
    Item("Other", "Funding and conflicts of interest"),
    Item("Other", "Ethics approval and consent"),
)


def render_checklist(content: ReportContent, facts: Mapping[str, str] | None = None) -> str:
    """A CLAIM-2024-style checklist filled from the run.

    Args:
        content: What the report shows.
        facts: Further answers by key or by the item's text; they win over those of the run.

    Returns:
        Markdown with one table per section.
    """
    known = run_facts(content) | dict(facts or {})
    lines = [
        "# Reporting checklist",
        "",
        _simulated_line(content) + f"Filled by lvo_kedro {__version__}. {RESEARCH_ONLY}",
        "",
        "The topics follow the CLAIM 2024 update (Tejani et al., Radiol Artif Intell 2024;"
        "6:e240300); the wording is this project's. Blanks are for the authors of the study.",
    ]
    section = ""
    for number, item in enumerate(ITEMS, start=1):
        if item.section != section:
            section = item.section
            lines += ["", f"## {section}", "", "| # | Item | Answer |", "| --- | --- | --- |"]
        answer = (
            known.get(item.text)
            or known.get(item.key)
            or BLANK.format(item.text[:1].lower() + item.text[1:])
        )
        lines.append(f"| {number} | {cell(item.text)} | {cell(answer)} |")
    return "\n".join(lines) + "\n"


def render_model_card(content: ReportContent, description: str = "") -> str:
    """The model card.

    Args:
        content: What the report shows.
        description: One paragraph on the model; a blank is left without one.

    Returns:
        Markdown.
    """
    lines = [f"# Model card: {cell(content.title)}", ""]
    if content.simulated:
        lines += [
            "> **SIMULATED DATA.** No patient was examined; nothing here is evidence about "
            "patients.",
            "",
        ]
    lines += [f"**{RESEARCH_ONLY}**", "", "## Model", ""]
    lines += [description or run_facts(content)["model"], ""]
    chosen = chosen_detector(content.splits[0])
    if chosen:
        lines += [f"Whose score counts in detection: {w.DETECTORS[chosen]}.", ""]
    lines += ["## Intended use", ""]
    lines += [BLANK.format("intended users, setting and decision"), ""]
    lines += ["Not for:", "", *(f"- {cell(limit)}" for limit in content.all_limits)]
    lines += ["", "## Data and performance"]
    for split in content.splits:
        lines += ["", f"### {cell(split.name)}", "", f"{flow_text(split)}.", ""]
        lines += _performance_table(split, content.main_point)
    lines += ["", "## Subgroups", "", run_facts(content)["subgroups"], "", "## Caveats", ""]
    lines += [f"- {cell(text)}" for text in _caveats(content)] or [
        "- The self-checks found no error and nothing to warn of."
    ]
    lines += ["- " + BLANK.format("ethical considerations, known biases, recommended monitoring")]
    lines += ["", "## Provenance", "", "| Name | Value |", "| --- | --- |"]
    facts = {"lvo-kedro": __version__, **content.provenance, **content.versions}
    lines += [f"| {cell(name)} | {cell(str(value))} |" for name, value in facts.items()]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text that neither ends a Markdown table cell nor starts HTML."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(plain.split())


def _simulated_line(content: ReportContent) -> str:
    return "**SIMULATED DATA.** " if content.simulated else ""


def _performance_table(split: SplitTables, point: str) -> list[str]:
    operating, calibration = split.detection["operating"], split.detection["calibration"]
    rows: list[tuple[str, dict[str, Any] | None]] = [
        ("AUC", w.pick(split.detection["summary"], "auc")),
        *(
            (w.words(metric), w.pick(operating, metric, operating_point=point))
            for metric in ("sensitivity", "specificity", "ppv", "npv")
        ),
        *(
            (f"{title} after calibration", w.pick(calibration, metric, stage="after"))
            for metric, title in (("slope", "Calibration slope"), ("brier", "Brier score"))
        ),
    ]
    if "hemispheres" in split.detection:
        rows.append((w.words(RATE), w.pick(split.detection["hemispheres"], RATE)))
    if "summary" in split.localization:
        where = {"scope": "end_to_end", "operating_point": point, "segment": "all"}
        table = split.localization["summary"]
        rows += [
            (f"{w.words(metric)}, end to end", w.pick(table, metric, **where))
            for metric in ("side_accuracy", "segment_accuracy")
        ]
    lines = [
        f"Operating point {threshold_of(split, point)}.",
        "",
        "| Metric | Estimate (interval) | n | Method |",
        "| --- | --- | --- | --- |",
    ]
    return lines + [
        f"| {name} | {cell(w.with_interval(row))} | {int(row['n'])} | {cell(str(row['method']))} |"
        for name, row in rows
        if row is not None
    ]


def _caveats(content: ReportContent) -> list[str]:
    tables = [content.findings, *(split.detection.get("findings") for split in content.splits)]
    return [
        f"{row['severity']}: {row['message']}"
        for table in tables
        if table is not None
        for row in table.to_dict("records")
        if row["severity"] in ("error", "warning")
    ]
