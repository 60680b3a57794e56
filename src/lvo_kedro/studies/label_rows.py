"""What one row of a spreadsheet says of a study, as the words of the cohort table."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, get_args

from pydantic import Field, field_validator

from lvo_kedro.options import Options
from lvo_kedro.studies.words import (
    BOTH,
    OTHER,
    UNKNOWN,
    Finding,
    cell_key,
    plain,
    read_finding,
    read_side,
    read_yes_or_no,
)
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal[
    "study_uid", "accession", "patient_id", "lvo", "finding", "side", "segment", "split", "site",
    "age", "sex", "nihss", "onset",
]  # fmt: skip
LABELS: Final = ("lvo", "side", "segment", "split", "site", "age", "sex", "nihss", "onset")
"""What a row says of a study; ``onset`` is a local time in ISO 8601."""
Row = dict[Role, str]
Problems = list[tuple[Role, str]]
"""What could not be understood: the role of its column, and the reason."""

_SPLITS: Final = {
    "development": r"dev\w*|train\w*|intern\w*|entwicklung",
    "external": r"ext\w*|test\w*",
}
_SEXES: Final = {
    "female": r"f|w|weiblich|frau|femme|feminin\w*|mujer|femenino|donna|femmina|femminile",
    "male": r"m|mannlich|mann|homme|masculin\w*|hombre|uomo|maschio|maschile",
    "other": r"d|divers\w*|x",
}
_OF_OCCLUSION: Final[tuple[Role, ...]] = ("lvo", "side", "segment")
_BOUNDS: Final = {"age": (0.0, 120.0), "nihss": (0.0, 42.0)}
"""Those of the cohort table."""
_NOTHING: Final = r"|none|no|keine?r?|na|n a|nil|0"
"""Plain words for an empty cell."""
_SITE: Final = re.compile(r"\w[\w .+/-]{0,39}")
_AGE: Final = re.compile(r"([0-9]+(?:[.,][0-9]+)?) *(?:y|yrs?|years?|j|jahre?|a|ans?|anni|años?)?")
_EXACT: Final[dict[Role, tuple[str, ...]]] = {
    "lvo": ("0", "1", UNKNOWN),
    "side": (*SIDES, BOTH, UNKNOWN),
    "segment": (*SEGMENT_CLASSES, OTHER, UNKNOWN),
    "split": ("development", "external"),
    "sex": ("female", "male", "other"),
}
"""The cohort table's own words."""


class LabelMapping(Options):
    """Which column of a table holds what, and what its words mean."""

    columns: dict[Role, str] = Field(default_factory=dict)
    """Column names by what they hold. What is not named here is looked for under its own name."""
    values: dict[Role, dict[str, str]] = Field(default_factory=dict)
    """Words of the table, whole cells without regard to case and accents, and what they mean."""
    split: Literal["development", "external"] = "development"
    """Of the rows without a split."""
    site: str = ""
    """Of the rows without a site."""
    leading_zeros: bool = True
    """Whether 0012 and 12 are different numbers; spreadsheets drop zeros in front."""
    month_first: bool = False
    """Whether 03/04/2024 is the fourth of March."""

    @classmethod
    def roles(cls) -> tuple[Role, ...]:
        """Everything that a column may hold."""
        return get_args(Role)

    @field_validator("values")
    @classmethod
    def _known_values(cls, values: dict[Role, dict[str, str]]) -> dict[Role, dict[str, str]]:
        if wrong := sorted(set(values) - set(_EXACT)):
            raise ValueError(f"{wrong}: only {', '.join(_EXACT)} are words")
        for role, words in values.items():
            odd = sorted(set(words.values()) - {*_EXACT[role], ""})
            if odd:
                raise ValueError(f"{role}: {odd} are none of {', '.join(_EXACT[role])}")
        return {r: {cell_key(w): v for w, v in words.items()} for r, words in values.items()}

    def meaning(self, role: Role, cell: str) -> str | None:
        """Return what a whole cell means by this mapping or by itself, or None.

        Args:
            role: Of its column.
            cell: As typed.
        """
        known = {cell_key(value): value for value in _EXACT[role]}
        return (known | dict(self.values.get(role, {}))).get(cell_key(cell))


def read_row(values: Mapping[Role, str], mapping: LabelMapping) -> tuple[Row | None, Problems]:
    """Read a row.

    Args:
        values: Its cells, by what their columns hold.
        mapping: Words.

    Returns:
        :data:`LABELS`, or None where it is not told whether there is an occlusion or the row
        contradicts itself; and what was wrong, without any value.
    """
    problems: Problems = []
    about = _read_occlusion(values, mapping, problems)
    split: str = mapping.split
    if values.get("split"):
        split = _word("split", _SPLITS, values, mapping, problems)
    rest: Row = {
        "split": split,
        "site": _site(values, mapping, problems),
        "age": _number("age", values, problems),
        "sex": _word("sex", _SEXES, values, mapping, problems),
        "nihss": _number("nihss", values, problems),
        "onset": _onset(values, mapping, problems),
    }
    return ({**about, **rest} if about and split else None), problems


def _read_occlusion(
    values: Mapping[Role, str], mapping: LabelMapping, problems: Problems
) -> Row | None:
    """Combine what the columns say of an occlusion."""
    roles: tuple[Role, ...] = ("lvo", "finding", "side", "segment")
    said = {role: _statement(role, values[role], mapping, problems)
            for role in roles if values.get(role)}  # fmt: skip
    found: Row = {}
    for field in _OF_OCCLUSION:
        stated = {role: value for role, f in said.items() if (value := getattr(f, field))}
        # a part that is told in one column is no contradiction to one that is not in another
        clear = {role: value for role, value in stated.items() if value != UNKNOWN}
        if len(set(clear.values())) > 1:
            problems.append((list(clear)[-1], "contradicts another column of the row: not taken"))
            return None
        doubted = field == "lvo" and len(clear) < len(stated)
        found[field] = UNKNOWN if doubted else next(iter((clear or stated).values()), "")
    if found["lvo"] not in ("0", "1"):
        where: Role = next((role for role in roles if role in values), "lvo")
        problems.append((where, "does not tell whether there is an occlusion: not taken"))
        return None
    return _complete(found, said, values, problems)


def _statement(role: Role, cell: str, mapping: LabelMapping, problems: Problems) -> Finding:
    """Return what a cell says."""
    exact = mapping.meaning(role, cell) if role in _EXACT else None
    if exact is not None:
        occluded = "1" if role == "segment" and exact not in ("", UNKNOWN) else ""
        return Finding(**{"lvo": occluded, role: exact})
    if role == "side":
        found = Finding(side=read_side(cell))
    elif role == "lvo" and read_yes_or_no(cell):
        found = Finding(lvo=read_yes_or_no(cell))
    else:
        found = read_finding(cell)
    if found == Finding() and (role == "lvo" or not re.fullmatch(_NOTHING, plain(cell))):
        problems.append((role, "not understood: name its words in the mapping file"))
        return Finding(**{"lvo": UNKNOWN} if role == "lvo" else {})
    return found


def _complete(
    found: Row,
    said: Mapping[Role, Finding],
    values: Mapping[Role, str],
    problems: Problems,
) -> Row:
    """Fill in what an occlusion must have; nothing where there is none."""
    for field in _OF_OCCLUSION[1:]:
        among: tuple[Role, ...] = (field, "finding", "lvo")
        where = next((role for role in among if role in said), field)
        if found["lvo"] == "0":
            if found[field]:
                problems.append((where, f"a {field} without an occlusion: left out"))
            found[field] = ""
        elif found[field] in ("", UNKNOWN):
            if plain(values.get(where, "")) != UNKNOWN:
                problems.append((where, f"the {field} is not told: taken as {UNKNOWN}"))
            found[field] = UNKNOWN
    return found


def _word(
    role: Role,
    patterns: Mapping[str, str],
    values: Mapping[Role, str],
    mapping: LabelMapping,
    problems: Problems,
) -> str:
    cell = values.get(role, "")
    exact = mapping.meaning(role, cell)
    if exact is not None or not cell:
        return exact or ""
    for value, pattern in patterns.items():
        if re.fullmatch(pattern, plain(cell)):
            return value
    problems.append((role, "not understood: name its words in the mapping file"))
    return ""


def _site(values: Mapping[Role, str], mapping: LabelMapping, problems: Problems) -> str:
    cell = values.get("site") or mapping.site
    if cell and not _SITE.fullmatch(cell):
        problems.append(("site", "no short plain name: left out"))
        return ""
    return cell


def _number(role: Literal["age", "nihss"], values: Mapping[Role, str], problems: Problems) -> str:
    cell = values.get(role, "")
    low, high = _BOUNDS[role]
    match = _AGE.fullmatch(cell.lower())
    number = float(match[1].replace(",", ".")) if match else None
    if number is not None and low <= number <= high:
        return f"{number:g}"
    if cell:
        problems.append((role, f"no number from {low:g} to {high:g}: left out"))
    return ""


def _onset(values: Mapping[Role, str], mapping: LabelMapping, problems: Problems) -> str:
    cell = " ".join(values.get("onset", "").replace("T", " ").split())
    if not cell:
        return ""
    slashed = "%m/%d/%Y" if mapping.month_first else "%d/%m/%Y"
    for day in ("%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", slashed, "%Y/%m/%d"):
        for time in ("%H:%M", "%H:%M:%S"):
            try:
                return datetime.strptime(cell, f"{day} {time}").isoformat(timespec="minutes")
            except ValueError:
                continue
    problems.append(("onset", "no date with a time of day: left out"))
    return ""
