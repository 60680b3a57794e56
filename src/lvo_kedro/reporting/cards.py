"""The model card and the reporting checklist, as Markdown, filled from the run.

What the software knows is filled in; what only the authors of a study know is left as a blank that
is marked ``[TO BE COMPLETED: ...]``, so that a search finds every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lvo_kedro import __version__
from lvo_kedro.reporting import words as w
from lvo_kedro.reporting.views import flatten, flow_of, threshold_of
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
    Item("Data", "De-identification"),
    Item("Data", "Missing data and failed cases", "missing"),
    Item("Data", "Image acquisition protocol", "acquisition"),
    Item("Reference standard", "Definition of the reference standard"),
    Item("Reference standard", "Why this reference standard was chosen"),
    Item("Reference standard", "Source of annotations, qualification of annotators"),
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
    Item("Evaluation", "Robustness or sensitivity analysis", "subgroups"),
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
        Markdown with one table a section.
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
        answer = known.get(item.text) or known.get(item.key) or BLANK.format(item.text.lower())
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
    lines += [description or run_facts(content)["model"], "", "## Intended use", ""]
    lines += [BLANK.format("intended users, setting and decision"), ""]
    lines += ["Not for:", "", *(f"- {cell(limit)}" for limit in content.all_limits)]
    lines += ["", "## Data and performance"]
    for split in content.splits:
        lines += ["", f"### {cell(split.name)}", "", _flow_text(split), ""]
        lines += _performance_table(split, content.main_point)
    lines += ["", "## Subgroups", "", run_facts(content)["subgroups"], "", "## Caveats", ""]
    lines += [f"- {cell(text)}" for text in _caveats(content)] or [
        "- no finding of the self-checks"
    ]
    lines += ["- " + BLANK.format("ethical considerations, known biases, recommended monitoring")]
    lines += ["", "## Provenance", "", "| Name | Value |", "| --- | --- |"]
    facts = {**content.provenance, **content.versions, "lvo_kedro": __version__}
    lines += [f"| {cell(name)} | {cell(str(value))} |" for name, value in facts.items()]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text that neither ends a Markdown table cell nor starts HTML."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(plain.split())


def run_facts(content: ReportContent) -> dict[str, str]:
    """What the software knows, by the key of the checklist's items."""
    flows = "; ".join(f"{split.name}: {_flow_text(split)}" for split in content.splits)
    excluded = 0 if content.exclusions is None else content.exclusions["case_id"].nunique()
    facts = {
        "goal": "Detection of large-vessel occlusion on non-contrast head CT; side and segment.",
        "preprocessing": "RAS+ orientation, HU, brain mask; parameters are listed in the report.",
        "flow": flows,
        "missing": f"{excluded} cases could not be processed; each is listed with its reason.",
        "partitions": "One fold table by patient, stratified, used by all stages; external cases "
        "by the column split of the cohort table.",
        "disjoint": "Patient; checked for folds, splits and copies of a scan.",
        "external": "; ".join(s.name for s in content.splits if s.split == "external"),
        "model": "Vessel segmentation (nnU-Net), territory and asymmetry priors, a 3D residual "
        "network with attention (McResNet) on four channels, localization on a projection "
        "(2D nnU-Net). Output: probability of LVO, side, segment.",
        "versions": ", ".join(f"{name} {value}" for name, value in content.versions.items()),
        "initialization": "Random (Kaiming normal), seeded.",
        "training": _parameters(content, ("training", "detection", "segmentation", "localization")),
        "ensemble": "External cases: mean over the models of all folds.",
        "metrics": "AUC, precision-recall AUC, sensitivity, specificity, PPV, NPV, likelihood "
        "ratios, net benefit, calibration, accuracy of side and segment, distance of the point.",
        "uncertainty": f"{100 * content.confidence:g} % intervals: DeLong, Wilson, log-normal, "
        "patient-level bootstrap; spread between folds.",
        "subgroups": "Declared in the configuration: " + ", ".join(_subgroup_titles(content)) + ".",
        "explainability": _explainability(content),
        "operating": content.operating_points_from,
        "performance": "; ".join(_headline(s, content.main_point) for s in content.splits),
        "calibration": "; ".join(_calibration_text(split) for split in content.splits),
        "failures": "Ranked false negatives and false positives, and quality findings against "
        "errors, are in the report.",
        "code": f"lvo_kedro {__version__}, Apache-2.0."
        + "".join(f" {name}: {value}." for name, value in content.provenance.items()),
    }
    if content.simulated:
        facts |= {
            "simulated": "Neither: simulated cohort.",
            "sources": "Simulated by lvo_kedro.",
            "acquisition": "Simulated scanners; parameters are listed in the report.",
        }
    if "age" in content.cohort or "sex" in content.cohort:
        facts["characteristics"] = "Bar charts of the cohort are in the report."
    return facts


def _explainability(content: ReportContent) -> str:
    if not any(case.explanation is not None for case in content.gallery):
        return ""
    return "3D Grad-CAM on the scan's grid, in the case gallery."


def _simulated_line(content: ReportContent) -> str:
    return "**SIMULATED DATA.** " if content.simulated else ""


def _flow_text(split: SplitTables) -> str:
    flow = flow_of(split)
    lost = flow.excluded + flow.not_scored
    return (
        f"{flow.cases} cases in the cohort, {lost} excluded, {flow.evaluated} evaluated, "
        f"{flow.with_lvo} with LVO."
    )


def _headline(split: SplitTables, point: str) -> str:
    auc = w.pick(split.detection["summary"], "auc")
    return f"{split.name}: AUC {w.figure(auc)}" if auc else split.name


def _calibration_text(split: SplitTables) -> str:
    slope = w.pick(split.detection["calibration"], "slope", stage="after")
    return f"{split.name}: slope {w.figure(slope)}" if slope else ""


def _performance_table(split: SplitTables, point: str) -> list[str]:
    operating = split.detection["operating"]
    rows: list[tuple[str, dict[str, Any] | None]] = [
        ("AUC", w.pick(split.detection["summary"], "auc")),
        *(
            (w.words(metric), w.pick(operating, metric, operating_point=point))
            for metric in ("sensitivity", "specificity", "ppv", "npv")
        ),
    ]
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
        "| Figure | Estimate (interval) | n | Method |",
        "| --- | --- | --- | --- |",
    ]
    return lines + [
        f"| {name} | {cell(w.figure(row))} | {int(row['n'])} | {cell(str(row['method']))} |"
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


def _subgroup_titles(content: ReportContent) -> list[str]:
    table = content.splits[0].detection["subgroups"]
    return [str(t) for t in dict.fromkeys(table["title"]) if str(t) != "All cases"]


def _parameters(content: ReportContent, stages: tuple[str, ...]) -> str:
    chosen = [
        f"{name} = {value}"
        for name, value in flatten(content.parameters)
        if any(name.lower().startswith(stage) for stage in stages)
    ]
    return "; ".join(chosen[:40]) if chosen else ""
