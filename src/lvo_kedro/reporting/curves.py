"""Plots of detection: ROC, precision-recall, calibration, decision curve, scores.

Each takes the tables of :func:`lvo_kedro.evaluation.evaluate_detection` under their names, as its
``tables()`` gives them or as they were read back from files, and returns a matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.style import (
    BLUE,
    CYCLE,
    INK,
    MARKERS,
    MUTED,
    VERMILION,
    empty_figure,
    new_figure,
    style,
    unit_square,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Tables = Mapping[str, pd.DataFrame]


def plot_roc(detection: Tables, title: str = "ROC curve") -> Figure:
    """The ROC curve with its pointwise band and the operating points with their intervals.

    Args:
        detection: Tables roc, summary, operating.
        title: Above the axes.

    Returns:
        The figure.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from lvo_kedro.evaluation import EvaluationOptions, evaluate_detection
        >>> scores = pd.DataFrame({"lvo": np.arange(40) % 2, "probability": np.arange(40) / 40})
        >>> scores["case_id"] = scores["patient_id"] = [f"p{number}" for number in range(40)]
        >>> quick = EvaluationOptions(resamples=100)
        >>> tables = vars(evaluate_detection(scores, scores, {"youden": 0.5}, quick))
        >>> figure = plot_roc(tables)
        >>> figure.axes[0].get_title(loc="left")
        'ROC curve'
    """
    auc = w.pick(detection["summary"], "auc")
    if detection["roc"].empty:
        return empty_figure(_why_empty(detection))
    with style():
        figure, axes = new_figure()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.9, ls=(0, (4, 4)))
        draw_curve(axes, detection["roc"], f"AUC {w.with_interval(auc)}" if auc else "ROC")
        for index, (name, part) in enumerate(_by_point(detection["operating"])):
            sensitivity, specificity = (w.pick(part, m) for m in ("sensitivity", "specificity"))
            if sensitivity is None or specificity is None:
                continue
            axes.errorbar(
                1 - specificity["value"],
                sensitivity["value"],
                xerr=_arms(specificity, flip=True),
                yerr=_arms(sensitivity),
                fmt=MARKERS[index % len(MARKERS)],
                color=CYCLE[1 + index % (len(CYCLE) - 1)],
                ms=6,
                lw=1.1,
                capsize=2.5,
                label=w.words(name),
            )
        unit_square(axes, "1 − specificity", "Sensitivity")
        axes.set_title(title)
        axes.legend(loc="lower right")
    return figure


def _why_empty(detection: Tables) -> str:
    """Say why a set has no curves over both classes, as its area does."""
    auc = w.pick(detection["summary"], "auc")
    return str(auc["method"]) if auc else "no points"


def draw_curve(axes: Axes, curve: pd.DataFrame, label: str, colour: str = BLUE) -> None:
    """Draw one ROC curve with its pointwise band.

    Args:
        axes: Where to.
        curve: Columns fpr, tpr, low, high.
        label: In the legend.
        colour: Of curve and band.
    """
    rate = curve["fpr"]
    axes.fill_between(
        rate, curve["low"], curve["high"], step="post", color=colour, alpha=0.12, lw=0
    )
    axes.plot(rate, curve["tpr"], color=colour, drawstyle="steps-post", label=label)


def _by_point(operating: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), part) for name, part in operating.groupby("operating_point", sort=False)]


def _arms(row: Mapping[str, float], flip: bool = False) -> list[list[float]]:
    down, up = row["value"] - row["low"], row["high"] - row["value"]
    return [[max(0.0, up)], [max(0.0, down)]] if flip else [[max(0.0, down)], [max(0.0, up)]]


def plot_precision_recall(detection: Tables, title: str = "Precision and recall") -> Figure:
    """The precision-recall curve, with the prevalence as the line of chance.

    Args:
        detection: Tables precision_recall, summary.
        title: Above the axes.

    Returns:
        The figure.
    """
    curve = detection["precision_recall"]
    if curve.empty:
        return empty_figure(_why_empty(detection))
    area = w.pick(detection["summary"], "average_precision")
    prevalence = w.pick(detection["summary"], "prevalence")
    with style():
        figure, axes = new_figure()
        if prevalence:
            level = prevalence["value"]
            axes.axhline(level, color=MUTED, lw=0.9, ls=(0, (4, 4)))
            axes.text(0.01, level + 0.015, f"prevalence {level:.2f}", color=MUTED, size=8)
        label = f"Area {w.with_interval(area)}" if area else ""
        axes.plot(
            np.r_[0, curve["recall"]],
            np.r_[curve["precision"].iloc[:1], curve["precision"]],
            color=BLUE,
            drawstyle="steps-pre",
            label=label,
        )
        unit_square(axes, "Recall (sensitivity)", "Precision (PPV)")
        axes.set_title(title)
        axes.legend(loc="lower left")
    return figure


def plot_calibration(detection: Tables, title: str = "Calibration") -> Figure:
    """Observed against predicted frequency, before and after calibration.

    Args:
        detection: Tables reliability, calibration.
        title: Above the axes.

    Returns:
        The figure.
    """
    table = detection["reliability"]
    looks = {"before": (MUTED, "s", (0, (3, 2))), "after": (BLUE, "o", "-")}
    with style():
        figure, axes = new_figure()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.9, ls=(0, (4, 4)))
        for stage, (colour, marker, line) in looks.items():
            part = table.loc[table["stage"] == stage].sort_values("predicted")
            if part.empty:
                continue
            slope = w.pick(detection["calibration"], "slope", stage=stage)
            text = "" if slope is None else f", slope {w.number(slope['value'], 2)}"
            arms = np.array([part["value"] - part["low"], part["high"] - part["value"]]).clip(0)
            axes.errorbar(
                part["predicted"],
                part["value"],
                yerr=arms if stage == "after" else None,
                fmt=marker,
                ls=line,
                color=colour,
                ms=4.5,
                lw=1.3,
                elinewidth=0.9,
                capsize=2,
                alpha=0.75 if stage == "before" else 1,
                label=f"{stage} calibration{text}",
            )
        unit_square(axes, "Predicted probability of LVO", "Observed share with LVO")
        axes.set_title(title)
        axes.legend(loc="upper left")
    return figure


def plot_decision_curve(detection: Tables, title: str = "Decision curve") -> Figure:
    """Net benefit of acting on the model, on everyone and on no one.

    Args:
        detection: Table decision_curve.
        title: Above the axes.

    Returns:
        The figure.
    """
    table = detection["decision_curve"]
    if table.empty:
        return empty_figure(_why_empty(detection))
    looks = {
        "model": ("acting on the model", BLUE, "-"),
        "all": ("acting on everyone", VERMILION, (0, (5, 2))),
        "none": ("acting on no one", INK, (0, (1, 1.5))),
    }
    with style():
        figure, axes = new_figure()
        for strategy, (label, colour, line) in looks.items():
            part = table.loc[table["strategy"] == strategy].sort_values("threshold")
            axes.plot(part["threshold"], part["value"], color=colour, ls=line, lw=1.6, label=label)
            if strategy == "model":
                axes.fill_between(
                    part["threshold"], part["low"], part["high"], color=colour, alpha=0.14, lw=0
                )
        model = table.loc[table["strategy"] == "model", ["value", "high"]]
        top = max(float(model.max(axis=None)) if len(model) else 1.0, 0.05)
        axes.set(
            xlim=(0, 1),
            ylim=(-0.15 * top, 1.05 * top),
            xlabel="Probability of LVO from which one would act",
            ylabel="Net benefit (true positives per case)",
            title=title,
        )
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=7.5)
    return figure


def plot_predictive_values(detection: Tables, title: str = "Predictive values") -> Figure:
    """PPV and NPV at each operating point against prevalence.

    Args:
        detection: Table predictive_values.
        title: Above the axes.

    Returns:
        The figure.
    """
    table = detection["predictive_values"]
    if table.empty:
        return empty_figure(_why_empty(detection))
    lines = {"ppv": ("PPV", "-"), "npv": ("NPV", (0, (4, 2)))}
    with style():
        figure, axes = new_figure()
        for index, (name, part) in enumerate(_by_point(table)):
            colour = CYCLE[1 + index % (len(CYCLE) - 1)]
            for metric, (label, line) in lines.items():
                values = part.loc[part["metric"] == metric].sort_values("prevalence")
                axes.fill_between(
                    values["prevalence"], values["low"], values["high"], color=colour, alpha=0.1
                )
                axes.plot(
                    values["prevalence"],
                    values["value"],
                    color=colour,
                    ls=line,
                    marker=MARKERS[index % len(MARKERS)],
                    ms=3.5,
                    label=f"{label}, {w.words(name)}",
                )
        unit_square(axes, "Prevalence of LVO", "Predictive value")
        axes.set_title(title)
        axes.legend(loc="lower center", ncols=2, fontsize=7.5)
    return figure


def plot_scores(detection: Tables, title: str = "Scores") -> Figure:
    """Every case's probability, by truth, with the thresholds.

    Args:
        detection: Tables scores, operating.
        title: Above the axes.

    Returns:
        The figure.
    """
    scores = detection["scores"]
    generator = np.random.default_rng(0)
    classes = ((0, "no LVO", BLUE, "o"), (1, "LVO", VERMILION, "^"))
    with style():
        figure, axes = new_figure(height=3.2)
        for level, label, colour, marker in classes:
            values = scores.loc[scores["lvo"] == level, "probability"]
            height = level + generator.uniform(-0.27, 0.27, len(values))
            axes.scatter(values, height, s=15, c=colour, marker=marker, alpha=0.55, lw=0)
            if len(values):
                lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
                axes.plot([lower, upper], [level + 0.38] * 2, color=colour, lw=3)
                axes.plot([middle], [level + 0.38], "o", color="white", mec=colour, ms=5)
        for index, (name, part) in enumerate(_by_point(detection["operating"])):
            threshold = w.pick(part, "threshold")
            if threshold:
                axes.axvline(
                    threshold["value"],
                    color=INK,
                    lw=1,
                    ls=["-", (0, (4, 2)), ":"][index % 3],
                    label=f"{w.words(name)}: {threshold['value']:.2f}",
                )
        axes.set_yticks(
            [0, 1],
            [f"{label}\n(n = {(scores['lvo'] == level).sum()})" for level, label, _, _ in classes],
        )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.5, 1.6), xlabel="Probability of LVO", title=title)
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)
    return figure
