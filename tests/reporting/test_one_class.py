"""The report of occlusions alone, and of labels that equal the source."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd
import pytest

from lvo_kedro.evaluation import (
    LABEL_EQUALS_SOURCE,
    EvaluationOptions,
    check_controls,
    findings_table,
)
from lvo_kedro.reporting import (
    ReportContent,
    plot_decision_curve,
    plot_detectors,
    plot_precision_recall,
    plot_predictive_values,
    plot_roc,
    plot_subgroups,
    render_checklist,
    render_model_card,
    render_report,
)
from lvo_kedro.reporting import wording as w
from tests.reporting.conftest import split_tables
from tests.synthetic_study import Study, make_study

CURVES = (plot_roc, plot_precision_recall, plot_predictive_values, plot_decision_curve)
HEADING = '<h3 id="hemispheres">'


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>|data:[^\"]+", " ", html).split())


def with_external(content: ReportContent, study: Study, **options: object) -> ReportContent:
    external = split_tables(
        study,
        "External test",
        "external",
        study.cohort,
        pd.DataFrame(columns=["case_id", "stage", "error"]),
        options=EvaluationOptions(resamples=100, **options),  # type: ignore[arg-type]
    )
    return dataclasses.replace(content, splits=[content.splits[0], external])


def occlusions() -> Study:
    study = make_study(40, split="external", seed=3)
    kept = study.cohort.loc[study.cohort["lvo"] == 1, "case_id"]
    return Study(*(table[table["case_id"].isin(kept)] for table in vars(study).values()))


def two_archives() -> Study:
    study = make_study(40, split="external", seed=3)
    source = study.cohort["lvo"].map({1: "isles24", 0: "cq500"})
    return dataclasses.replace(study, cohort=study.cohort.assign(source=source))


def test_the_section_has_the_numbers_of_its_table(html: str, content: ReportContent) -> None:
    section = plain(html[html.index(HEADING) : html.index('<h3 id="detectors">')])
    assert "whether the side is found, not whether an occlusion is detected" in section
    for split in content.splits:
        table = split.detection["hemispheres"]
        assert len(table) == 4
        for row in table.to_dict("records"):
            assert f"{w.words(row['metric'])} {w.with_interval(row)} {int(row['n'])}" in section
        assert f"{split.source}/detection/hemispheres.csv" in section
    summary = plain(html[html.index('id="summary"') : html.index('id="detection"')])
    assert summary.count("Occluded side higher, within the patient") == 2


@pytest.mark.usefixtures("no_drawing")
def test_occlusions_alone_make_a_report(content: ReportContent) -> None:
    changed = with_external(content, occlusions())
    text = plain(render_report(changed))
    assert "AUC – only one class: no case without LVO n = 20" in text
    assert "warning : only one class: no case without LVO among 20" in text
    assert "AUC | not estimable: only one class: no case without LVO" in render_model_card(changed)
    detection = changed.splits[1].detection
    for plot in CURVES:
        figure = plot(detection)
        assert [t.get_text() for t in figure.axes[0].texts] == [
            "only one class: no case without LVO"
        ]
    assert plot_detectors(detection).axes
    assert plot_subgroups(detection).axes


@pytest.mark.usefixtures("no_drawing")
def test_models_of_occlusions_alone_make_a_report_without_probabilities(
    content: ReportContent,
) -> None:
    splits = [
        split_tables(study, s.name, s.split, study.cohort, content.exclusions, controls=False)
        for s, study in zip(content.splits, (occlusions(), make_study(40, seed=3)), strict=True)
    ]
    findings = findings_table([*check_controls(controls=False)])
    changed = dataclasses.replace(content, splits=splits, findings=findings)
    text = plain(render_report(changed))
    assert text.count("trained on occlusions alone") > 3
    card = render_model_card(changed)
    assert "AUC | not estimable: trained on occlusions alone" in card
    assert "no probability" in card + render_checklist(changed)
    assert "probability of LVO, side, segment" not in card + render_checklist(changed)
    assert "left, right and no occlusion" not in card + render_checklist(changed)
    for plot in CURVES:
        assert plot(splits[1].detection).axes


@pytest.mark.long
@pytest.mark.usefixtures("no_drawing")
def test_labels_that_equal_the_source_come_first_and_have_no_headline(
    content: ReportContent,
) -> None:
    study = two_archives()
    html = render_report(with_external(content, study))
    alert = plain(html[html.index('role="alert"') :])
    assert "label equals source" in alert[: alert.index("</ul>") if "</ul>" in alert else 300]
    assert "AUC – withheld: label equals source n = 40" in plain(html)
    known = with_external(content, study, acknowledged=(LABEL_EQUALS_SOURCE,))
    text = plain(render_report(known))
    assert "withheld" not in text
    assert "warning : label equals source" in text


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("table", ["hemispheres"])
def test_a_report_of_earlier_tables_has_no_such_section(content: ReportContent, table: str) -> None:
    splits = [
        dataclasses.replace(s, detection={n: t for n, t in s.detection.items() if n != table})
        for s in content.splits
    ]
    assert HEADING not in render_report(dataclasses.replace(content, splits=splits))
