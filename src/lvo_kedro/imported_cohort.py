"""The cohort table and the page of an import: what was written, joined with its labels."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd

from lvo_kedro.artifacts import replacing
from lvo_kedro.cohort import REQUIRED, CohortError, validate_cohort
from lvo_kedro.errors import TableError
from lvo_kedro.reporting.import_page import SeriesLine, StudyLine
from lvo_kedro.studies.kept_headers import harvest, study_time_of
from lvo_kedro.studies.label_rows import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvo_kedro.studies import Imported, StudyOutcome
    from lvo_kedro.studies.outcomes import SeriesOutcome

TABLE: Final = "cases.csv"
ROWS: Final = "import/rows.csv"
"""What an import made of its rows: what differs in the table now, a person changed."""
NOT_WRITTEN: Final = "no scan was written"
_NOT_COPIED: Final = ("onset",)
"""A date; hours from onset to scan are copied."""


class Cohort(NamedTuple):
    """The rows of an import, and which studies have none."""

    table: pd.DataFrame
    left_out: dict[str, str]
    """By case, why it is not in the table, or why its row is that of an earlier import."""
    made: pd.DataFrame
    """The rows as the import made them, before a person's changes; kept for the next import."""


def cohort_of(
    imported: Imported,
    labels: pd.DataFrame | None,
    folder: Path,
    *,
    with_age_and_sex: bool = False,
) -> Cohort:
    """Join what was written with its labels to a valid cohort table.

    Rows of an earlier table that are no study of this import stay as they are, and so does what a
    person or another command changed in those that are. A study that an earlier import wrote and
    this one did not keeps its row.

    Args:
        imported: Of :func:`~lvo_kedro.studies.import_studies`.
        labels: Of :func:`~lvo_kedro.studies.join_labels`, by study UID; without any, the table
            stays as it is.
        folder: Of the cohort.
        with_age_and_sex: Whether age band and sex are taken from the headers.

    Returns:
        The table and what is not in it.
    """
    former = _former(folder)
    if labels is None:
        without = {o.case_id for o in imported.outcomes} - set(former["case_id"])
        made = _former(folder, ROWS)
        return Cohort(former, dict.fromkeys(sorted(without), "no label"), made)
    rows, left_out = [], {}
    for study, outcome in zip(imported.studies["study_uid"], imported.outcomes, strict=True):
        label = dict(labels.loc[study]) if study in labels.index else {}
        if outcome.state != "written":
            left_out[outcome.case_id] = NOT_WRITTEN
        elif label.get("lvo") not in ("0", "1"):
            left_out[outcome.case_id] = (
                "its label says that it is unknown whether there is an occlusion"
                if label.get("lvo")
                else "no label"
            )
        else:
            rows.append(_row(outcome, label, with_age_and_sex=with_age_and_sex))
    before = _former(folder, ROWS)
    kept = [
        row
        for row in former.to_dict("records")
        if left_out.get(row["case_id"]) == NOT_WRITTEN and (folder / row["ncct"]).is_file()
    ]
    here = {row["case_id"] for row in (*rows, *kept)}
    made = pd.concat(
        [_frame(rows), before[before["case_id"].isin(here - {r["case_id"] for r in rows})]],
        ignore_index=True,
    ).fillna("")
    merged = _with_changes(rows, former, before) + kept
    ours = {outcome.case_id for outcome in imported.outcomes}
    others = former[~former["case_id"].isin(ours)]
    table = pd.concat([others, _frame(merged)], ignore_index=True).fillna("")
    return _valid(table, folder, left_out, ours)._replace(made=made)


def _frame(rows: list[dict[Any, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=None if rows else list(REQUIRED), dtype=str).fillna("")


def _with_changes(
    rows: list[dict[str, str]], former: pd.DataFrame, before: pd.DataFrame
) -> list[dict[Any, Any]]:
    """Return rows with those cells of the former table that are not what an import made of them.

    Somebody has changed them since: a segment after a look, vessel labels that were taken. Where
    it is not known what the import had made, cells that it does not make at all are kept.
    """
    present = {row["case_id"]: row for row in former.to_dict("records")}
    made = {row["case_id"]: row for row in before.to_dict("records")}
    merged = []
    for row in rows:
        was = made.get(row["case_id"])
        own = present.get(row["case_id"], {})
        edits = {
            name: value
            for name, value in own.items()
            if (value != was.get(name, "") if was is not None else name not in row)
        }
        merged.append(row | edits)
    return merged


def _row(outcome: StudyOutcome, label: dict[str, str], *, with_age_and_sex: bool) -> dict[str, str]:
    onset = label.get("onset", "")
    facts = harvest(
        outcome.header,
        study_time=study_time_of(outcome.header),
        onset=datetime.fromisoformat(onset) if onset else None,
        with_age_and_sex=with_age_and_sex,
    )
    told = {name: str(label.get(name, "")) for name in LABELS if name not in _NOT_COPIED}
    told = {name: value for name, value in told.items() if value or name in REQUIRED}
    scans = {"ncct": outcome.ncct} | ({"cta": outcome.cta} if outcome.cta else {})
    simulated = {"simulated": "yes"} if outcome.simulated else {}
    ids = {"case_id": outcome.case_id, "patient_id": outcome.patient_id}
    return {**ids, **scans, **facts, **told, **simulated}


def _former(folder: Path, name: str = TABLE) -> pd.DataFrame:
    """Return the table that is there already."""
    path = folder / name
    if not path.is_file():
        return pd.DataFrame(columns=list(REQUIRED))
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table[[*REQUIRED, *(name for name in table.columns if name not in REQUIRED)]]
    except (ValueError, KeyError) as error:
        raise TableError(
            f"a {name} that cannot be read", "a cohort table", "move it away, or correct it"
        ) from error


def _valid(table: pd.DataFrame, folder: Path, left_out: dict[str, str], ours: set[str]) -> Cohort:
    """Leave out rows of this import that the cohort table does not allow, and say why.

    Rows of others are never dropped: what is wrong with them ends the import, which then says so.
    """
    while not table.empty:
        try:
            validate_cohort(table, folder)
            break
        except CohortError as error:
            rows = {problem.row - 2: problem for problem in error.problems}
            if not set(rows) <= set(table.index[table["case_id"].isin(ours)]):
                raise
            for row, problem in rows.items():
                left_out[str(table.at[row, "case_id"])] = f"{problem.column}: {problem.rule}"
            table = table.drop(index=list(rows)).reset_index(drop=True)
    first = [*REQUIRED, *(name for name in table.columns if name not in REQUIRED)]
    return Cohort(table[first], left_out, table)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole or not at all.

    Args:
        path: CSV.
        table: Any; its index is left out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        table.to_csv(part, index=False, encoding="utf-8")


def page_lines(imported: Imported, cohort: Cohort, folder: Path) -> list[StudyLine]:
    """Return a line of the page for each study.

    Args:
        imported: What the import made of the export.
        cohort: Its table.
        folder: Of the cohort.
    """
    labelled = cohort.table.set_index("case_id")
    return [_line(outcome, labelled, cohort.left_out, folder) for outcome in imported.outcomes]


def _line(
    outcome: StudyOutcome, labelled: pd.DataFrame, left_out: dict[str, str], folder: Path
) -> StudyLine:
    chosen = next((one for one in outcome.series if one.chosen == "ncct"), None)
    undecided = [one.name for one in outcome.series if one.chosen == "undecided"]
    decide = list(outcome.problems)
    if undecided:
        decide.append(f"which series is the scan: {', '.join(undecided)} (see choices.csv)")
    missing = []
    if outcome.state == "none":
        missing.append("no head CT without contrast medium among the series")
    elif outcome.state == "written" and outcome.case_id in left_out:
        missing.append(f"not in cases.csv: {left_out[outcome.case_id]}")
    return StudyLine(
        case_id=outcome.case_id,
        image=folder / outcome.ncct if outcome.ncct else None,
        chosen=None if chosen is None else _series(chosen, "ncct", outcome.findings),
        candidates=tuple(
            _series(one, "cta" if one.chosen == "cta" else "ncct")
            for one in outcome.series
            if one is not chosen
        ),
        label=_label(labelled.loc[outcome.case_id]) if outcome.case_id in labelled.index else "",
        to_decide=tuple(decide),
        missing=tuple(missing),
    )


def _series(one: SeriesOutcome, role: str, findings: Sequence[str] = ()) -> SeriesLine:
    name = f"series {one.name}" + (" (angiography)" if one.chosen == "cta" else "")
    reasons = (*one.reasons.get(role, ()), *one.notes, *findings)
    return SeriesLine(name, one.points.get(role), reasons)


def _label(row: pd.Series[Any]) -> str:
    return f"{row['side']} {row['segment']}" if row["lvo"] == "1" else "no occlusion"
