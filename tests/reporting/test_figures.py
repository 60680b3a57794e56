"""Figures show their tables; pictures of a case say what they show."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lvo_kedro.reporting import (
    CasePictures,
    ReportContent,
    long_history,
    plot_calibration,
    plot_case,
    plot_cohort,
    plot_confusion,
    plot_decision_curve,
    plot_precision_recall,
    plot_predictive_values,
    plot_roc,
    plot_scores,
    plot_subgroups,
    plot_training,
    plot_vessels,
    to_svg,
)
from tests.reporting.conftest import make_pictures


def texts(figure: Figure) -> str:
    found = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return " ".join(found)


def test_roc_shows_the_curve_the_area_and_the_operating_points(content: ReportContent) -> None:
    tables = content.splits[0].detection
    figure = plot_roc(tables)
    curves = [line for line in figure.axes[0].lines if "AUC" in str(line.get_label())]
    np.testing.assert_allclose(curves[0].get_xdata(), tables["roc"]["fpr"])
    np.testing.assert_allclose(curves[0].get_ydata(), tables["roc"]["tpr"])
    assert "Youden" in texts(figure)
    assert "High sensitivity" in texts(figure)


@pytest.mark.parametrize(
    "plot",
    [
        plot_precision_recall,
        plot_calibration,
        plot_decision_curve,
        plot_predictive_values,
        plot_scores,
        plot_subgroups,
    ],
)
def test_detection_figures_are_drawn(content: ReportContent, plot: object) -> None:
    for split in content.splits:
        picture = to_svg(plot(split.detection))  # type: ignore[operator]
        svg = base64.b64decode(picture.split(",")[1]).decode()
        assert svg.count("<path") > 10
        assert picture == to_svg(plot(split.detection))  # type: ignore[operator]


def test_confusion_shows_every_count(content: ReportContent) -> None:
    tables = content.splits[0].localization
    figure = plot_confusion(tables, "end_to_end", "youden")
    part = tables["confusion"].query("scope == 'end_to_end' and operating_point == 'youden'")
    shown = [int(text.get_text()) for text in figure.axes[0].texts]
    assert sorted(shown) == sorted(part["count"])


def test_forest_marks_small_groups(content: ReportContent) -> None:
    assert "(few)" in texts(plot_subgroups(content.splits[1].detection))


def test_figures_of_empty_tables_say_so() -> None:
    history = pd.DataFrame(columns=["fold", "step", "metric", "value"])
    assert "no training history" in texts(plot_training(history))
    assert "no describing columns" in texts(plot_cohort(pd.DataFrame({"lvo": [0, 1]})))
    vessels = pd.DataFrame(columns=["metric", "value", "split", "label"])
    assert "no vessel metrics" in texts(plot_vessels(vessels))


def test_sites_with_numbers_for_names_are_no_measurements() -> None:
    sites = [str(101 + n) for n in range(9)]
    cohort = pd.DataFrame({"lvo": [0, 1, 1] * 3, "site": sites, "age": [*range(40, 85, 5)]})
    by_site, by_age = plot_cohort(cohort).axes
    assert [label.get_text() for label in by_site.get_xticklabels()] == sites
    assert len(by_age.containers[0]) == 8


def test_wide_histories_become_long() -> None:
    wide = pd.DataFrame({"epoch": [0, 1], "train_loss": [1.0, 0.5], "seconds": [3, 3]})
    table = long_history({0: wide, 1: wide}, ("train_loss", "validation_auc"))
    assert set(table.columns) == {"fold", "step", "metric", "value"}
    assert len(table) == 4
    assert "Train loss" in texts(plot_training(table))


def test_a_panel_says_what_is_on_it_and_no_more() -> None:
    whole = make_pictures()
    figure = plot_case(whole)
    key = figure.axes[0].get_legend().get_texts()
    assert [text.get_text() for text in key] == ["marked"]
    assert figure.get_suptitle() == "dev001"  # the caption stands beside the picture
    bare = plot_case(CasePictures("dev001", whole.ncct))
    assert len(bare.axes) == 1
    assert bare.axes[0].get_legend() is None
    assert bare.get_suptitle() == "dev001"
