"""The detectors side by side in the report, and whose score counts in the documents with it."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd
import pytest

from lvo_kedro.reporting import (
    ReportContent,
    plot_detectors,
    render_checklist,
    render_model_card,
    render_report,
    split_views,
    views,
)
from lvo_kedro.reporting import report as report_module
from lvo_kedro.reporting import wording as w


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out of a further rendering: they take nearly all of its time."""
    for module in (report_module, split_views):
        monkeypatch.setattr(module, "draw", lambda _, *words, **__: views.Picture("data:,", *words))


def section(html: str) -> str:
    part = html[html.index('<h3 id="detectors">') : html.index("<h3>Precision, recall and")]
    return " ".join(re.sub(r"<[^>]+>|data:[^\"]+", " ", part).split())


def changed(content: ReportContent, **columns: object) -> ReportContent:
    """The same content with other columns in each split's table of methods."""
    splits = [
        dataclasses.replace(
            split,
            detection={
                **split.detection,
                "methods": split.detection["methods"].assign(**columns),
            },
        )
        for split in content.splits
    ]
    return dataclasses.replace(content, splits=splits)


def test_the_section_has_every_number_of_its_table(html: str, content: ReportContent) -> None:
    text = section(html)
    assert "are of one detector’s score: Side model." in text
    for split in content.splits:
        table = split.detection["methods"]
        assert len(table) > 10
        for row in table.to_dict("records"):
            value, note = w.estimate(row)
            assert value in text, row
            assert note in text, row
            assert row["remark"] in text
            if row["metric"] == "auc_difference":
                assert f"{note}, {w.p_value(row['p_value'])}" in text
    for head in ("McResNet", "Side model (its score counts)", "Ensemble", "AUC by segment"):
        assert head in text


def test_the_figure_has_a_line_for_each_and_a_diamond_for_the_one_that_counts(
    content: ReportContent,
) -> None:
    tables = content.splits[0].detection
    axes = plot_detectors(tables).axes[0]
    marks = {
        line.get_ydata()[0]: (line.get_marker(), line.get_xdata()[0])
        for line in axes.lines
        if line.get_marker() != "None"
    }
    rows = tables["methods"].query("metric == 'auc' and segment == 'all'")
    assert [marks[place][1] for place in range(3)] == rows["value"].tolist()
    assert [marks[place][0] for place in range(3)] == ["o", "D", "o"]
    assert rows["by"].tolist()[1] == "sides"
    shown = [text.get_text() for text in axes.texts]
    assert shown[::2] == ["McResNet (n = 48)", "Side model (n = 48)", "Ensemble (n = 48)"]
    empty = plot_detectors({"methods": tables["methods"].iloc[:0]})
    assert [text.get_text() for text in empty.axes[0].texts] == ["no detectors"]


@pytest.mark.usefixtures("no_drawing")
def test_one_detector_alone_is_named_too(content: ReportContent) -> None:
    splits = [
        dataclasses.replace(
            split,
            detection={
                **split.detection,
                "methods": split.detection["methods"].query("by == 'network'").assign(chosen="yes"),
            },
        )
        for split in content.splits
    ]
    text = section(render_report(dataclasses.replace(content, splits=splits)))
    assert "are of one detector’s score: McResNet." in text
    assert "Side model" not in text


@pytest.mark.usefixtures("no_drawing")
def test_reports_of_earlier_tables_have_no_such_section(content: ReportContent) -> None:
    splits = [
        dataclasses.replace(
            split, detection={n: t for n, t in split.detection.items() if n != "methods"}
        )
        for split in content.splits
    ]
    old = dataclasses.replace(content, splits=splits)
    assert "Detectors side by side" not in render_report(old)
    assert "Whose score counts" not in render_model_card(old)
    assert "network with attention (McResNet)" in render_model_card(old)


@pytest.mark.parametrize(
    ("chosen", "name", "described", "not_described"),
    [
        ("network", "McResNet", "(McResNet)", "(side model)"),
        ("sides", "Side model", "(side model)", "(McResNet)"),
        ("ensemble", "Ensemble", "weighted sum of the log odds of two", "NIHSS"),
        ("ensemble_clinical", "Ensemble with clinical values", "NIHSS or age", "nothing else"),
    ],
)
def test_card_and_checklist_say_whose_score_counts(
    content: ReportContent, chosen: str, name: str, described: str, not_described: str
) -> None:
    counted = changed(content, by=chosen, chosen="yes")
    card = render_model_card(counted)
    model = card[card.index("## Model") : card.index("## Intended use")]
    assert f"Whose score counts in detection: {name}." in model
    assert described in model
    assert not_described not in model
    (row,) = re.findall(r"Description of the model.*", render_checklist(counted))
    assert described in row


def test_cases_out_of_scope_are_counted_and_named(html: str, content: ReportContent) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "48 evaluated, 24 with LVO, 3 out of scope" in text
    assert "24 evaluated, 10 with LVO, 1 out of scope" in text
    assert "3 of 48 cases are out of scope" in text
    assert "Scope of the training cases" in text
    assert "24 with LVO, 3 out of scope" in render_checklist(content)
    assert "Scope of the training cases" not in render_checklist(content)  # nobody declared it


@pytest.mark.usefixtures("no_drawing")
def test_where_nobody_looked_nothing_is_said_of_scope(content: ReportContent) -> None:
    def unasked(flow: pd.DataFrame) -> pd.DataFrame:
        return flow[flow["step"] != "out of scope"]

    splits = [
        dataclasses.replace(s, detection={**s.detection, "flow": unasked(s.detection["flow"])})
        for s in content.splits
    ]
    text = render_report(dataclasses.replace(content, splits=splits))
    assert "24 with LVO</li>" in text
