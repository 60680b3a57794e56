"""Labels from a spreadsheet: which row belongs to which study.

No row is guessed at. One that does not join, joins twice or contradicts is listed, by its number
and column and never by its value, and gives no label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import pandas as pd
import yaml
from pydantic import ValidationError

from lvo_kedro.errors import TableError
from lvo_kedro.studies.label_rows import LABELS, LabelMapping, Role, Row, read_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEYS: Final[tuple[Role, ...]] = ("study_uid", "accession", "patient_id")
"""Columns that say which study a row belongs to, the most exact first."""
_ABOUT: Final[tuple[Role, ...]] = ("lvo", "finding", "segment")


class LabelProblem(NamedTuple):
    """What is wrong with a row, without its value, which may identify a person."""

    row: int
    """In the file, whose column names are row 1."""
    column: str
    """Its name in the file."""
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.reason}"


class Joined(NamedTuple):
    """What a table says of studies."""

    labels: pd.DataFrame
    """Text as ``cases.csv`` wants it, by study UID; see
    :data:`~lvo_kedro.studies.label_rows.LABELS`."""
    problems: list[LabelProblem]
    """In the order of the rows."""


def read_mapping(path: Path) -> LabelMapping:
    """Read a mapping file.

    Args:
        path: YAML or JSON.

    Returns:
        Columns and words.

    Raises:
        TableError: Not one of them, or something unknown in it.
    """
    try:
        return LabelMapping(**(yaml.safe_load(path.read_text("utf-8")) or {}))
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, OSError, ValidationError) as error:
        said = str(error) if isinstance(error, ValidationError) else type(error).__name__
        raise TableError(
            f"a mapping file that cannot be used ({said})",
            "YAML or JSON with columns, values, split, site",
            "see docs/labels.md for an example",
        ) from error


def join_labels(table: pd.DataFrame, mapping: LabelMapping, studies: pd.DataFrame) -> Joined:
    """Give each study the labels of its row.

    A row's keys (study UID, accession number, patient id, as far as it has them) must all lead to
    one and the same study.

    Args:
        table: Of :func:`~lvo_kedro.studies.label_tables.read_label_table`; its index is the row.
        mapping: Columns and words.
        studies: ``study_uid``, ``accession`` and ``patient_id`` as text, a row per study.

    Returns:
        Labels of the studies that have one, and every problem.

    Raises:
        TableError: No column that leads to a study, or none that says what was found.

    Examples:
        >>> table = pd.DataFrame({"accession": ["A1"], "finding": ["linke MCA M1"]}, index=[2])
        >>> studies = pd.DataFrame({"study_uid": ["1.2"], "accession": ["A1"], "patient_id": ["7"]})
        >>> labels, problems = join_labels(table, LabelMapping(), studies)
        >>> labels.loc["1.2", ["lvo", "side", "segment"]].tolist(), problems
        (['1', 'left', 'M1'], [])
    """
    columns = _columns(table, mapping)
    index = {key: _Index(studies, key, mapping) for key in KEYS if key in columns}
    problems: list[LabelProblem] = []
    rows: dict[str, list[tuple[int, Row | None]]] = {}
    cells = table[list(dict.fromkeys(columns.values()))]
    for row, record in zip(cells.index, cells.to_dict("records"), strict=True):
        values = {role: str(record[name]).strip() for role, name in columns.items()}
        study, wrong = _study_of(values, index, columns)
        label, unread = read_row(values, mapping)
        problems += [
            LabelProblem(int(row), columns.get(role, role), reason)
            for role, reason in (unread if study else wrong)
        ]
        if study:
            rows.setdefault(study, []).append((int(row), label))
    key = columns[next(iter(index))]
    problems += _repeated(rows, key)
    kept = {
        study: labels[0][1]
        for study, labels in rows.items()
        if labels[0][1] is not None and all(label == labels[0][1] for _, label in labels)
    }
    for study, row in _in_two_splits(kept, rows, studies):
        problems.append(LabelProblem(row, columns["split"], "a patient is in one split only"))
        del kept[study]
    found = pd.DataFrame.from_dict(kept, orient="index", columns=list(LABELS), dtype=str)
    return Joined(found.rename_axis("study_uid"), sorted(problems))


def _columns(table: pd.DataFrame, mapping: LabelMapping) -> dict[Role, str]:
    """Return the table's column of each role that it has."""
    named = [str(name).strip().casefold() for name in table.columns]
    columns: dict[Role, str] = {}
    for role in LabelMapping.roles():
        name = mapping.columns.get(role, role).strip()
        count = named.count(name.casefold())
        if count > 1 or (count == 0 and role in mapping.columns):
            raise TableError(
                f"{count} columns that are named '{name}' in the table of labels",
                f"one, for {role}",
                "correct the table's first row or the mapping file",
            )
        if count:
            columns[role] = str(table.columns[named.index(name.casefold())])
    for roles, what in ((KEYS, "leads to a study"), (_ABOUT, "says what was found")):
        if not set(roles) & set(columns):
            raise TableError(
                f"no column that {what} in the table of labels",
                f"one of {', '.join(roles)}",
                "name the table's own column in the mapping file, under columns",
            )
    return columns


class _Index:
    """Studies by one of their keys."""

    def __init__(self, studies: pd.DataFrame, key: Role, mapping: LabelMapping) -> None:
        self._zeros = mapping.leading_zeros
        self._studies: dict[str, set[str]] = {}
        self._bare: set[str] = set()
        for value, study in zip(studies[key].astype(str), studies["study_uid"], strict=True):
            if value.strip():
                self._studies.setdefault(self._norm(value), set()).add(str(study))
                self._bare.add(value.strip().lstrip("0"))

    def _norm(self, value: str) -> str:
        return value.strip() if self._zeros else value.strip().lstrip("0")

    def find(self, value: str) -> set[str]:
        return self._studies.get(self._norm(value), set())

    def why_not(self, value: str) -> str:
        if self._zeros and value.lstrip("0") in self._bare:
            return (
                "no such study, but one that differs in zeros in front: "
                "set leading_zeros to false in the mapping file"
            )
        return "no such study in the export"


def _study_of(
    values: Mapping[Role, str], index: Mapping[Role, _Index], columns: Mapping[Role, str]
) -> tuple[str | None, list[tuple[Role, str]]]:
    """Return the study to which all keys of a row lead, or what is wrong with them."""
    left: set[str] | None = None
    used: list[Role] = []
    for key in (key for key in index if values[key]):
        found = index[key].find(values[key])
        if not found:
            return None, [(key, index[key].why_not(values[key]))]
        left = found if left is None else left & found
        if not left:
            return None, [(key, f"leads to another study than {columns[used[-1]]}")]
        used.append(key)
    if left is None:
        return None, [(next(iter(index)), "empty: the row leads to no study")]
    if len(left) > 1:
        return None, [(used[-1], f"leads to {len(left)} studies: give the study's own number")]
    return next(iter(left)), []


def _repeated(
    rows: Mapping[str, list[tuple[int, Row | None]]], column: str
) -> Iterator[LabelProblem]:
    for (first, label), *others in rows.values():
        for row, other in others:
            said = "says the same" if other == label else "differs: neither is taken"
            yield LabelProblem(row, column, f"a second row of one study; row {first} {said}")


def _in_two_splits(
    kept: Mapping[str, Row | None],
    rows: Mapping[str, list[tuple[int, Row | None]]],
    studies: pd.DataFrame,
) -> list[tuple[str, int]]:
    """Return the studies, and their rows, of patients whose rows name different splits."""
    patients = dict(zip(studies["study_uid"], studies["patient_id"], strict=True))
    splits: dict[str, set[str]] = {}
    for study, label in kept.items():
        if label and patients[study]:
            splits.setdefault(patients[study], set()).add(label["split"])
    return [
        (study, rows[study][0][0]) for study in kept if len(splits.get(patients[study], ())) > 1
    ]
