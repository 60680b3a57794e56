"""From tidy tables to what the template shows: cards, flow, tables, pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import BaseModel

from lvo_kedro.evaluation.flow import (
    EVALUATED,
    EXCLUDED,
    IN_COHORT,
    IN_DETECTION_ALONE,
    NAMELESS,
    NOT_SCORED,
    OUT_OF_SCOPE,
    WITH_LVO,
)
from lvo_kedro.evaluation.hemispheres import RATE
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.style import empty_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lvo_kedro.reporting.content import SplitTables


@dataclass(frozen=True)
class Cell:
    """A cell: text, an optional small note under it, and a CSS class."""

    text: str
    note: str = ""
    kind: str = ""


@dataclass(frozen=True)
class TableView:
    """A table as shown; ``source`` names the file that holds its numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    source: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """An image as data address, its text for those who cannot see it, and a caption.

    ``origin`` names the file that holds its numbers.
    """

    source: str
    alternative: str
    caption: str = ""
    wide: bool = False
    origin: str = ""


@dataclass(frozen=True)
class Card:
    """One main metric with its interval as text and as a bar from 0 to 1."""

    name: str
    value: str
    interval: str
    n: str
    bar: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Flow:
    """How many cases of a set came in, fell out and why, and were evaluated.

    Those out of scope are among those evaluated; None where nobody looked. ``nameless`` says in
    words how many occlusions stage 3 has no name for, and why; empty where it has one for all.
    """

    name: str
    cases: int
    excluded: int
    reasons: Sequence[tuple[str, int]]
    evaluated: int
    with_lvo: int
    not_scored: int = 0
    out_of_scope: int | None = None
    nameless: str = ""


@dataclass(frozen=True)
class SplitView:
    """Everything shown about one set."""

    name: str
    note: str
    cards: Sequence[Card]
    flow: Flow
    threshold: str
    source: str = ""
    tables: Mapping[str, TableView] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)


def draw(
    make: Callable[[], Figure],
    alternative: str,
    caption: str = "",
    wide: bool = False,
    source: str = "",
) -> Picture:
    """Draw a figure; one that cannot be drawn says so in its place, and the report goes on."""
    try:
        figure = make()
    except (KeyError, ValueError, IndexError) as error:
        figure = empty_figure(f"not drawn: {error}")
    return Picture(to_svg(figure), alternative, caption, wide, source)


def cards_of(split: SplitTables, point: str) -> list[Card]:
    """The main metrics of a set: detection, within the patient, segment and side end to end."""
    summary, operating = split.detection["summary"], split.detection["operating"]
    chosen: list[tuple[str, dict[str, Any] | None]] = [
        ("AUC", w.pick(summary, "auc")),
        ("Sensitivity", w.pick(operating, "sensitivity", operating_point=point)),
        ("Specificity", w.pick(operating, "specificity", operating_point=point)),
    ]
    if "summary" in split.localization:
        where = {"scope": "end_to_end", "operating_point": point, "segment": "all"}
        table = split.localization["summary"]
        chosen += [
            ("Side correct, end to end", w.pick(table, "side_accuracy", **where)),
            ("Segment correct, end to end", w.pick(table, "segment_accuracy", **where)),
        ]
    if "hemispheres" in split.detection:  # runs of before had no such table
        within = w.pick(split.detection["hemispheres"], RATE)
        if within is not None and not pd.isna(within["value"]):
            chosen.append(("Occluded side higher, within the patient", within))
    return [_card(name, row) for name, row in chosen if row is not None]


def _card(name: str, row: Mapping[str, Any]) -> Card:
    value, low, high = float(row["value"]), float(row["low"]), float(row["high"])
    n = f"n = {int(row['n'])}"
    if pd.isna(value) or pd.isna(low):
        return Card(name, w.number(value, 2), str(row["method"]), n)
    interval = f"{w.number(low, 2)} to {w.number(high, 2)}"
    return Card(name, w.number(value, 2), interval, n, (value, low, high))


def threshold_of(split: SplitTables, point: str) -> str:
    """The main operating point of a set in words."""
    row = w.pick(split.detection["operating"], "threshold", operating_point=point)
    if row is None:
        return ""
    same = row["low"] == row["high"]
    span = "" if same else f" ({w.number(row['low'], 2)} to {w.number(row['high'], 2)} over folds)"
    return f"{w.words(point)}: probability ≥ {w.number(row['value'], 2)}{span}"


def flow_of(split: SplitTables) -> Flow:
    """The cases of a set from the cohort table to the score table, out of its table ``flow``."""
    table = split.detection["flow"]
    count = table.groupby("step")["count"].sum()
    out = table[table["step"] == EXCLUDED]
    return Flow(
        name=split.name,
        cases=int(count[IN_COHORT]),
        excluded=int(out["count"].sum()),
        reasons=[(str(row["reason"]), int(row["count"])) for row in out.to_dict("records")],
        evaluated=int(count[EVALUATED]),
        with_lvo=int(count[WITH_LVO]),
        not_scored=int(count[NOT_SCORED]),
        out_of_scope=int(count[OUT_OF_SCOPE]) if OUT_OF_SCOPE in count else None,
        nameless=_nameless_of(table) if IN_DETECTION_ALONE in count else "",
    )


def _nameless_of(flow: pd.DataFrame) -> str:
    """Say of the occlusions without a name of stage 3 how many there are, by the table's words."""
    parts = []
    for step in NAMELESS:
        words = flow[flow["step"] == step]
        by_word = ", ".join(f"{r['reason']} {r['count']}" for r in words.to_dict("records"))
        parts.append(f"{step}: {words['count'].sum()} ({by_word})")
    alone = flow.loc[flow["step"] == IN_DETECTION_ALONE, "count"].sum()
    return f"{'; '.join(parts)}; {IN_DETECTION_ALONE}: {alone}"


def source_of(folder: str, name: str) -> str:
    """Where a table is kept; nothing where it is not said."""
    return f"{folder}/{name}.csv" if folder else ""


def _metric_cell(entry: Mapping[str, Any] | None) -> Cell:
    if entry is None:
        return Cell("–")
    if entry["metric"] == "threshold":
        same = entry["low"] == entry["high"]
        span = f"{w.number(entry['low'])} to {w.number(entry['high'])} over folds"
        return Cell(w.number(entry["value"]), "" if same else span)
    text, note = w.estimate(entry)
    p_value = entry.get("p_value")
    if p_value is not None and not pd.isna(p_value):
        note += f", {w.p_value(float(p_value))}"
    return Cell(text, note, kind="metric")


def _by_metric(part: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """Metric to its row; the first one where there are several."""
    return {str(row["metric"]): row for row in reversed(part.to_dict("records"))}


def metric_rows(
    table: pd.DataFrame, title: str, keys: Sequence[str], source: str = ""
) -> TableView:
    """A tidy table with one row per metric and one column a combination of ``keys``."""
    index = table[list(keys)].fillna("").astype(str)
    combinations = list(dict.fromkeys(map(tuple, index.to_numpy())))
    columns = [_by_metric(table.loc[(index == list(key)).all(axis=1)]) for key in combinations]
    rows = [
        [Cell(w.words(metric)), *(_metric_cell(column.get(metric)) for column in columns)]
        for metric in dict.fromkeys(table["metric"])
    ]
    heads = [", ".join(w.words(part) for part in key if part) for key in combinations]
    return TableView(title, ["", *heads], rows, source)


def tidy_view(
    table: pd.DataFrame,
    title: str,
    source: str = "",
    keys: Sequence[str] = (),
    folded: bool = False,
) -> TableView:
    """A tidy table as it is: keys, metric, estimate with interval, n, method."""
    rows = []
    for entry in table.to_dict("records"):
        record = {str(key): value for key, value in entry.items()}
        left = [Cell(w.words(record[key])) for key in keys]
        n = "" if pd.isna(record["n"]) else str(int(record["n"]))
        rows.append(
            [
                *left,
                Cell(w.words(record["metric"])),
                Cell(w.with_interval(record)),
                Cell(n),
                Cell("" if pd.isna(record["method"]) else str(record["method"]), kind="quiet"),
            ]
        )
    columns = [*map(w.words, keys), "Metric", "Estimate (interval)", "n", "Method"]
    return TableView(title, columns, rows, source, folded)


def wide_view(
    table: pd.DataFrame,
    title: str,
    index: Sequence[str],
    metrics: Sequence[str],
    source: str = "",
    *,
    extra: str = "",
    folded: bool = False,
) -> TableView:
    """A tidy table with one column per metric and one row per combination of ``index``."""
    rows = []
    keys = table[list(index)].fillna("").astype(str)
    for key in dict.fromkeys(map(tuple, keys.to_numpy())):
        part = table.loc[(keys == list(key)).all(axis=1)]
        row = [
            Cell(text if name == "level" else w.words(text))
            for name, text in zip(index, key, strict=True)
        ]
        found = _by_metric(part)
        row += [_metric_cell(found.get(metric)) for metric in metrics]
        if extra:
            remarks = [str(text) for text in part[extra].fillna("").unique() if str(text)]
            row.append(Cell("; ".join(remarks), kind="quiet"))
        rows.append(row)
    columns = [*map(w.words, index), *map(w.words, metrics), *([w.words(extra)] if extra else [])]
    return TableView(title, columns, rows, source, folded)


def plain_view(
    table: pd.DataFrame, title: str, source: str = "", folded: bool = False, limit: int = 500
) -> TableView:
    """Any table as it is."""
    rows = [
        [
            Cell(w.number(value), kind=_kind(str(column), value))
            for column, value in zip(table.columns, line, strict=True)
        ]
        for line in table.head(limit).itertuples(index=False)
    ]
    if len(table) > limit:
        rows.append([Cell(f"… and {len(table) - limit} more rows in the file")])
    return TableView(title, [w.words(column) for column in table.columns], rows, source, folded)


def _kind(column: str, value: object) -> str:
    return f"severity-{value}" if column == "severity" else ""


def mapping_view(items: Mapping[str, Any], title: str, folded: bool = False) -> TableView:
    """Names and values."""
    rows = [[Cell(name), Cell(str(value), kind="code")] for name, value in flatten(items)]
    return TableView(title, ["Name", "Value"], rows, folded=folded)


def flatten(items: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested names joined with points, in order; options are read like mappings."""
    for name, given in items.items():
        path = f"{prefix}{name}"
        value = given.model_dump(mode="json") if isinstance(given, BaseModel) else given
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{path}.")
        else:
            yield path, value
