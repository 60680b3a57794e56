"""What an import made of each study, and the two tables that a person reads and edits."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.studies.choice_rules import NEVER, ROLES
from lvo_kedro.studies.kept_headers import harvest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lvo_kedro.studies.candidates import Candidate
    from lvo_kedro.studies.choice import Choice, Scored

PERSON: Final = "person"
"""The column of the table of choices that a person fills in: ``ncct``, ``cta`` or ``no``."""
ANSWERS: Final = ("", *ROLES, "no")


@dataclass
class SeriesOutcome:
    """What was said of one series; nothing in it is text of a header."""

    series_id: str
    """Keyed hash, by which a person's choice finds it again."""
    name: str
    points: dict[str, float | None]
    """By role; None where it cannot be that."""
    reasons: dict[str, list[str]]
    facts: dict[str, str]
    notes: list[str]
    chosen: str = ""
    """``ncct``, ``cta``, ``undecided`` or nothing."""
    by: str = ""


@dataclass
class StudyOutcome:
    """What was made of one study."""

    case_id: str
    patient_id: str
    state: str = "none"
    """``written``, ``undecided``, ``failed`` or ``none``: no head CT without contrast medium."""
    series: list[SeriesOutcome] = field(default_factory=list)
    ncct: str = ""
    """Path below the folder of the cohort."""
    cta: str = ""
    findings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    """Of the chosen series; it may identify the patient and stays outside the data folder."""

    @property
    def simulated(self) -> bool:
        """Whether the header says that nobody was scanned."""
        return self.header.get("ImageComments", "").startswith("SIMULATED")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> StudyOutcome:
        """Return an outcome as it was kept by :func:`dataclasses.asdict`."""
        series = [SeriesOutcome(**one) for one in stored["series"]]
        return cls(**{**stored, "series": series})

    def fail(self, problem: str) -> None:
        """Say why the study cannot be used."""
        self.state = "failed"
        self.problems.append(problem)

    def kept(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def describe(candidate: Candidate, series_id: str, choices: Iterable[Choice]) -> SeriesOutcome:
    """Say what became of a candidate.

    Args:
        candidate: A series.
        series_id: Its keyed hash.
        choices: Of the study, one a role.
    """
    outcome = SeriesOutcome(series_id, candidate.name, {}, {}, _facts(candidate), [])
    outcome.notes = list(candidate.notes)
    outcome.notes += [f"{n} image(s) left out: {why}" for why, n in candidate.refused.items()]
    for choice in choices:
        scored = next((one for one in choice.ranked if one.candidate is candidate), None)
        if scored is None:
            continue
        outcome.points[choice.role] = scored.score if scored.possible else None
        outcome.reasons[choice.role] = _reasons(scored)
        if choice.chosen is scored:
            outcome.chosen, outcome.by = choice.role, choice.by
        elif scored in choice.undecided:
            outcome.chosen = "undecided"
    return outcome


def _reasons(scored: Scored) -> list[str]:
    if scored.possible:
        return scored.reasons
    return [words for words in scored.reasons if not words.startswith(("+", "-"))]


def _facts(candidate: Candidate) -> dict[str, str]:
    known = harvest(
        {**candidate.header, **candidate.form}, study_time=None, onset=None, with_age_and_sex=False
    )
    return {
        "slices": str(candidate.slices),
        "extent_mm": f"{candidate.extent_mm:.0f}",
        "step_mm": f"{candidate.step_mm:.2f}",
        "plane": candidate.plane,
        "kernel": known["kernel"],
        "contrast_agent": "named" if candidate.names_contrast else "",
        "words": " ".join(sorted(candidate.words)),
    }


def series_id(candidate: Candidate, secret_of: Any) -> str:
    """Return the keyed hash of a series, or of a part or a union of series.

    Args:
        candidate: The series.
        secret_of: Keyed hash of text.
    """
    digest = secret_of(f"series {'+'.join(candidate.uids)} {candidate.name}")
    return "ser-" + hashlib.sha256(str(digest).encode()).hexdigest()[:12]


def read_choices(path: Path) -> dict[tuple[str, str], str]:
    """Return what a person chose: by case and series, a role or ``no``.

    Args:
        path: The table that an earlier import wrote, edited in its column ``person``.

    Raises:
        TableError: Another table, or another word in that column.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=None,
                            engine="python")  # fmt: skip
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise TableError(
            "a table of choices that cannot be read", "CSV", "save it as CSV"
        ) from error
    missing = {"case_id", "series_id", PERSON} - set(table.columns)
    if missing:
        raise TableError(
            f"a table of choices without {', '.join(sorted(missing))}",
            "choices.csv as an import wrote it",
            "edit its column 'person' alone",
        )
    answers = table[PERSON].str.strip().str.lower()
    wrong = [n + 2 for n, answer in enumerate(answers) if answer not in ANSWERS]
    if wrong:
        raise TableError(
            f"another word than {', '.join(ANSWERS[1:])} in column person, row {wrong[0]}",
            "one of these, or nothing",
            "correct the table of choices",
        )
    keys = zip(table["case_id"], table["series_id"], answers, strict=True)
    return {(case, series): answer for case, series, answer in keys if answer}


def choices_table(
    outcomes: Iterable[StudyOutcome], chosen: Mapping[tuple[str, str], str]
) -> pd.DataFrame:
    """Return the table of every candidate with its points and reasons.

    Args:
        outcomes: Of all studies.
        chosen: What a person chose, of :func:`read_choices`; it stays in the table, also of
            studies that are none of this import.
    """
    rows: list[dict[str, str]] = []
    for study in outcomes:
        for one in study.series:
            row = {
                "case_id": study.case_id,
                "series": one.name,
                "series_id": one.series_id,
                PERSON: chosen.get((study.case_id, one.series_id), ""),
                "chosen": one.chosen,
            }
            for role in ROLES:
                points = one.points.get(role, NEVER)
                row[f"{role}_points"] = "" if points is None else f"{points:g}"
            row |= one.facts
            for role in ROLES:
                row[f"why_{role}"] = "; ".join(one.reasons.get(role, []))
            rows.append(row | {"notes": "; ".join(one.notes)})
    columns = ["case_id", "series", "series_id", PERSON, "chosen"]
    here = {(row["case_id"], row["series_id"]) for row in rows}
    rows += [
        {"case_id": case, "series_id": series, PERSON: answer}
        for (case, series), answer in sorted(chosen.items())
        if (case, series) not in here
    ]
    return pd.DataFrame(rows, columns=None if rows else columns).fillna("")
