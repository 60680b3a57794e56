"""The page of one scan: whether to trust it, what was found, and what that was worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lvo_kedro import __version__
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.page import environment
from lvo_kedro.reporting.views import Cell, Picture, TableView, mapping_view
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COHORTS: Final = {"development": "development (cross-validated)", "external": "external test"}


def render_scan(record: Mapping[str, Any], pictures: Sequence[Mapping[str, str]]) -> str:
    """Render one scan's result as one self-contained HTML page.

    Args:
        record: As in ``result.json``.
        pictures: ``source`` (a data address), ``alternative`` and ``caption`` of each.

    Returns:
        HTML with inline style sheet and images; it fetches nothing and needs no script. What
        forbids trust comes first.
    """
    models = record["models"]
    seconds = record["seconds"]["steps"] | {"total": record["seconds"]["total"]}
    return (
        environment()
        .get_template("scan.html.j2")
        .render(
            title=f"One scan: {record['case_id']}",
            simulated=False,  # the scan may be a patient's; what the models are is said apart
            record=record,
            cohort=describe_cohort(models["cohort"]),
            called=_called(record),
            probability=w.number(record["probability"], 2),
            worth=_worth_table(record),
            pictures=[Picture(**picture, wide=True) for picture in pictures],
            scan=mapping_view(_known(record["scan"]), "The scan", folded=True),
            seconds=mapping_view({n: f"{s:.2f}" for n, s in seconds.items()}, "Seconds", True),
            versions=mapping_view(
                {"models (SHA-256)": models["sha256"], "models from": models["source"]}
                | models["origin"]
                | record["versions"],
                "Models and versions",
                folded=True,
            ),
            parts=mapping_view(
                {name: digest for name, digest in models["parts"].items()},
                "Files of the models (SHA-256)",
                folded=True,
            ),
            research_only=RESEARCH_ONLY,
            version=__version__,
        )
    )


def describe_cohort(cohort: Mapping[str, Any]) -> str:
    """Say in one sentence on whom the models were trained and tested.

    Args:
        cohort: As in ``result.json``.
    """
    parts = [
        f"{cohort[split]['cases']} {words} cases ({cohort[split]['with_lvo']} with an occlusion)"
        for split, words in (("development", "development"), ("external", "external test"))
        if cohort.get(split)
    ]
    kind = "simulated scans" if cohort["simulated"] else "patients' scans"
    text = f"Trained and tested on {kind}"
    text += f": {' and '.join(parts)}" if parts else "; the cohort is not known"
    for name, unit, words in (
        ("slice_thickness_mm", "mm", "slices of"),
        ("age_years", "years", "patients of"),
    ):
        if cohort.get(name):
            low, high = cohort[name]
            text += f", {words} {low:g} to {high:g} {unit}"
    return f"{text}."


def _called(record: Mapping[str, Any]) -> str:
    """Name the call of stage 3 in words."""
    return f"{record['side'] or ''} {record['segment'] or ''}".strip() or "–"


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _worth_table(record: Mapping[str, Any]) -> TableView:
    """Operating points: the call, and sensitivity and specificity on each cohort."""
    rows = []
    for point in record["operating_points"]:
        call = point["call"] or "no call"
        first = [Cell(w.words(point["name"])), Cell(f"{point['threshold']:.3f}", kind="metric")]
        for worth in point["worth"] or [None]:
            cells = [*first, Cell(call, kind="metric")]
            if worth is None:
                rows.append([*cells, *(Cell("not evaluated", kind="quiet") for _ in range(3))])
                continue
            cells.append(
                Cell(
                    COHORTS.get(worth["cohort"], worth["cohort"]),
                    f"{worth['cases']} cases, {worth['with_lvo']} with LVO",
                    "metric",
                )
            )
            cells += [_estimate(worth[name], worth) for name in ("sensitivity", "specificity")]
            rows.append(cells)
    columns = ["Operating point", "Threshold", "Call", "Worth on", "Sensitivity", "Specificity"]
    return TableView("Calls, and what they were worth", columns, rows)


def _estimate(value: Mapping[str, Any], worth: Mapping[str, Any]) -> Cell:
    if value["value"] is None:
        return Cell("–", f"n = {value['n']}", "metric")
    low, high = w.number(value["low"], 2), w.number(value["high"], 2)
    interval = f"{low} to {high} ({100 * worth['confidence']:g} %), n = {value['n']}"
    return Cell(w.number(value["value"], 2), interval, "metric")
