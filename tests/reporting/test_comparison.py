"""The page about two runs holds its tables, escapes, marks simulated data and needs nothing."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.evaluation import EvaluationOptions, compare_locations, compare_runs
from lvo_kedro.reporting import (
    ComparisonContent,
    plot_robustness,
    plot_two_curves,
    plot_two_scores,
    render_comparison,
)
from lvo_kedro.vocabulary import RESEARCH_ONLY
from tests.reporting.conftest import HOSTILE, make_robustness
from tests.reporting.test_report import Page
from tests.synthetic_study import OPERATING_POINTS, make_study

FAST = EvaluationOptions(resamples=100)


def tables(seed: int) -> dict[str, pd.DataFrame]:
    a, b = make_study(50, seed=seed), make_study(50, seed=seed, separation=1.0)
    compared = compare_runs(a.scores, b.scores, OPERATING_POINTS, {"youden": 0.4}, FAST)
    calls = a.calls.copy()
    calls["called_side"] = np.where(calls["called_side"] == "left", "right", calls["called_side"])
    points = (OPERATING_POINTS, OPERATING_POINTS)
    locations, relocated = compare_locations((a.calls, calls), (a.scores, b.scores), points, FAST)
    return compared.tables() | {"locations": locations, "relocated": relocated}


@pytest.fixture(scope="module")
def content() -> ComparisonContent:
    run = {"MLflow run": "r-1", "Name": f"first {HOSTILE}", "Date": "today"}
    return ComparisonContent(
        runs={"A": run, "B": run | {"MLflow run": "r-2", "Name": "second"}},
        splits={"cross_validation": tables(0), "external_test": tables(1)},
        simulated=True,
        versions={"torch": "2.13.0"},
        provenance={"MLflow run": "r-3"},
    )


@pytest.fixture(scope="module")
def html(content: ComparisonContent) -> str:
    return render_comparison(content)


def test_both_runs_their_difference_and_every_changed_case_are_shown(
    content: ComparisonContent, html: str
) -> None:
    page = Page(html)
    text = " ".join(page.text.split())
    for word in ("r-1", "r-2", "r-3", "A - B", "Cross validation", "External test", ", p = "):
        assert word in text, word
    for split in content.splits.values():
        assert all(case in text for case in split["changed"]["case_id"])
        assert all(case in text for case in split["relocated"]["case_id"])
    assert len(page.all("img")) == 4
    assert RESEARCH_ONLY in text
    assert "<script" not in html
    visible = re.sub(r"data:[^\"]+", "", html)
    assert not re.search(r"(https?:)?//[a-z]", visible)


def test_every_table_and_figure_names_its_file(html: str) -> None:
    named = re.findall(r"(?:Numbers|Drawn) from <code>([^<]+)</code>", html)
    parts = ("summary", "calls", "changed", "locations", "relocated", "curves", "cases")
    for split in ("cross_validation", "external_test"):
        for part in parts:
            assert f"08_reporting/comparison/{split}/{part}.csv" in named


def test_simulated_data_are_marked_and_real_ones_are_not(
    content: ComparisonContent, html: str
) -> None:
    assert "SIMULATED DATA" in html
    assert (
        "simulated"
        not in render_comparison(dataclasses.replace(content, simulated=False))
        .split("</style>")[1]
        .lower()
    )


def test_ids_are_unique_and_links_lead_somewhere(html: str) -> None:
    page = Page(html)
    named = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(named) == len(set(named))
    assert all(str(link["href"])[1:] in named for link in page.all("a"))


def test_figures_show_what_changed(content: ComparisonContent) -> None:
    split = content.splits["cross_validation"]
    labels = [t.get_text() for t in plot_two_curves(split).axes[0].get_legend().get_texts()]
    assert labels[0].startswith("A: AUC")
    assert labels[1].startswith("B: AUC")
    axes = plot_two_scores(split).axes[0]
    assert len(axes.collections[0].get_offsets()) == len(split["changed"])
    assert sum(len(line.get_xdata()) for line in axes.lines[1:]) == 50


def test_robustness_is_drawn_at_one_operating_point() -> None:
    table = make_robustness(make_study(24, split="external", seed=3))
    figure = plot_robustness(table, "youden")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "AUC difference",
        "Sensitivity difference",
        "Specificity difference",
    ]
    dots = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    row = table[(table["metric"] == "sensitivity_difference")].set_index("operating_point")
    assert [dot.get_xdata()[0] for dot in dots] == [row.loc["youden", "value"]]
