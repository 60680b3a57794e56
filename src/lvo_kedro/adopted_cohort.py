"""The cohort folder of a public cohort: files, ``cases.csv``, ``adoption.csv``, ``source.json``.

The archive is only read. The same command again leaves alone what it has written, as long as the
archive's files, the options and this version are what they were, and keeps what a person changed in
``cases.csv``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from lvo_kedro.adoption import AdoptionError, LeftOut
from lvo_kedro.artifacts import write_json
from lvo_kedro.cohort import REQUIRED, validate_cohort
from lvo_kedro.disk import ERRORS as DISK
from lvo_kedro.errors import CaseError, TableError
from lvo_kedro.imported_cohort import TABLE, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lvo_kedro.adopted_files import CaseWriter
    from lvo_kedro.adoption import Source

DERIVATIONS: Final = "adoption.csv"
"""Why each label is what it is, a row per subject."""
SOURCES: Final = "source.json"
"""Licence and attribution of the public cohorts in the table, by name."""


@dataclass
class Adopted:
    """What became of a public cohort."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The cohort table as it was written, with rows of other sources."""
    derivations: pd.DataFrame = field(default_factory=pd.DataFrame)
    """A row per subject of this cohort, as in ``adoption.csv``."""
    failed: dict[str, str] = field(default_factory=dict)
    """By subject, why it is no case."""
    left_out: dict[str, str] = field(default_factory=dict)
    """By subject, what keeps it out of the cohort by the rules of its adapter."""
    kept: int = 0
    """Cases of an earlier call for which nothing had to be done."""
    changed_by_hand: tuple[str, ...] = ()
    """Cases of which cells differ from what the adapter says, because a person changed them."""

    def counts(self, column: str) -> dict[str, int]:
        """Return how often each word stands in a column of the derivations."""
        words = self.derivations[column]
        return dict(sorted(Counter(word for word in words if word).items()))


def adopt_cohort(
    writer: CaseWriter, told: Callable[[int, int], None] = lambda _done, _of: None
) -> Adopted:
    """Write a public cohort as a cohort folder.

    Args:
        writer: Knows adapter, archive and folder. Rows of other sources in its table stay.
        told: Is called with how many subjects are done, and of how many.

    Returns:
        What was written. A subject that cannot be used is listed with its reason.

    Raises:
        TableError: A table that is there already cannot be read.
        CohortError: The new table is none; the former one stays.
        AdoptionError: No subject could be used.
    """
    result, source, out = Adopted(), writer.adapter.source.name, writer.out
    before = {case: dict(record["row"]) for case, record in writer.former.items()}
    former = _former(out / TABLE)
    rows, derived = [], []
    for done, subject in enumerate(writer.archive.subjects, start=1):
        try:
            record, kept = writer.case(subject)
        except LeftOut as error:
            result.left_out[subject] = error.found
        except CaseError as error:
            result.failed[subject] = str(error)
        except Exception as error:  # one subject of hundreds ends nothing but itself
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in DISK:
                raise
            result.failed[subject] = f"an unforeseen {type(error).__name__}; please report it"
        else:
            rows.append(record["row"])
            derived.append(record["derivation"])
            result.kept += kept
        told(done, len(writer.archive.subjects))
    if not rows:
        why = next(iter(result.failed.values()), "the folder holds none")
        raise AdoptionError(
            f"{len(result.failed)} subjects, none of which can be used (the first: {why})",
            "at least one",
            "see the reason, and unpack the archive again",
        )
    rows += _rows_of_failed(result.failed, writer)
    rows, result.changed_by_hand = _with_changes(rows, former, before)
    derived += [
        {"source_id": subject, "rule": rule, "reason": why, "source": source}
        for rule, subjects in (("left out", result.left_out), ("failed", result.failed))
        for subject, why in subjects.items()
    ]
    result.derivations = pd.DataFrame(derived, dtype=str).fillna("")
    result.table = _with_others(former, rows, source)
    first = [*REQUIRED, *(name for name in result.table.columns if name not in REQUIRED)]
    result.table = result.table[first]
    validate_cohort(result.table, out)
    write_table(out / DERIVATIONS, _with_others(_former(out / DERIVATIONS), derived, source))
    write_source(out / SOURCES, writer.adapter.source)
    write_table(out / TABLE, result.table)
    return result


def _former(path: Path) -> pd.DataFrame:
    """Return a table that is there already, as text."""
    if not path.is_file():
        return pd.DataFrame({"source": pd.Series(dtype=str)})
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise TableError(
            f"a {path.name} that cannot be read", "a table", "move it away, or correct it"
        ) from error
    return table if "source" in table else table.assign(source="")


def _rows_of_failed(failed: Mapping[str, str], writer: CaseWriter) -> list[dict[str, str]]:
    """Return the rows of subjects that failed now and were adopted before.

    Their files are still there, and what a person changed in the table is not lost.
    """
    source = writer.adapter.source.name
    return [
        record["row"]
        for record in writer.former.values()
        if record["row"]["source"] == source
        and record["derivation"]["source_id"] in failed
        and writer.is_complete(record["row"])
    ]


def _with_changes(
    rows: list[dict[str, str]], former: pd.DataFrame, before: Mapping[str, Mapping[str, str]]
) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    """Return rows with those cells of the former table that are not what was adopted before.

    Somebody has changed them since: a side after a look, vessel labels that were taken.
    """
    table = former.to_dict("records") if "case_id" in former else []
    present = {str(row["case_id"]): row for row in table}
    changed, merged = [], []
    for row in rows:
        case = row["case_id"]
        adopted = before.get(case)
        own = present.get(case, {}) if adopted is not None else {}
        edits = {
            str(name): str(value)
            for name, value in own.items()
            if adopted is not None and str(value) != adopted.get(str(name), "")
        }
        merged.append(row | edits)
        if any(value != row.get(name, "") for name, value in edits.items()):
            changed.append(case)
    return merged, tuple(changed)


def _with_others(former: pd.DataFrame, rows: list[dict[str, str]], source: str) -> pd.DataFrame:
    """Return rows behind those of other sources in a former table."""
    others = former[former["source"] != source]
    return pd.concat([others, pd.DataFrame(rows, dtype=str)], ignore_index=True).fillna("")


def write_source(path: Path, source: Source) -> None:
    """Add licence and attribution of a source to those that a folder has.

    Args:
        path: ``source.json``.
        source: The public data.
    """
    known: dict[str, Any] = {}
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TableError(
                f"a {path.name} that cannot be read", "what an adoption wrote", "move it away"
            ) from error
    write_json(path, dict(sorted((known | {source.name: asdict(source)}).items())))
