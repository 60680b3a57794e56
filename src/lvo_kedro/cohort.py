"""The cohort table, and what its folds mean for the three stages.

A *case* is one scan of one patient; ``cases.csv`` has one row per case (see ``data/README.md``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from lvo_kedro.datasets.digests import content_digest
from lvo_kedro.errors import TableError
from lvo_kedro.truth import NO_CLASS, NO_SIDE, in_detection_alone
from lvo_kedro.vocabulary import HEMISPHERES, SEGMENT_CLASSES

REQUIRED: Final = ("case_id", "patient_id", "ncct", "split", "lvo", "side", "segment")
IMAGES: Final = ("ncct", "brain_mask", "vessel_labels", "occlusion_mask", "cta")
NUMBERS: Final = {"age": (0.0, 120.0), "nihss": (0.0, 42.0)}
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "split": ("development", "external"),
    "lvo": ("0", "1"),
    "side": ("", *HEMISPHERES, *NO_SIDE),
    "segment": ("", *SEGMENT_CLASSES, *NO_CLASS),
    "sex": ("", "female", "male", "other"),
}
MASK_RULE: Final = (
    "empty where side is both or unknown, or segment other or unknown: stage 3 learns from one of "
    "its five classes on one side; name them where the mask shows them"
)
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Problem(NamedTuple):
    """One thing that is wrong with a cohort table; ``row`` is the line in the file."""

    row: int
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column} = '{self.value}': {self.rule}"


class CohortError(TableError):
    """A cohort table with problems; all of them are listed."""

    def __init__(self, problems: list[Problem]) -> None:
        listing = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"{len(problems)} problem(s) in the cohort table:\n{listing}\n",
            "a table as data/README.md describes it",
            "correct the rows above and run again; nothing was computed",
        )
        self.problems = problems

    def __reduce__(self) -> tuple[type[CohortError], tuple[list[Problem]]]:  # type: ignore[override]
        return type(self), (self.problems,)


def validate_cohort(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Check a cohort table and return it with typed columns and resolved paths.

    Args:
        table: The raw table, every cell a string, empty where nothing is known; a row's index is
            its place below the header.
        folder: The data folder. Paths in the table are relative to it and may not leave it.

    Returns:
        One row per case, in the table's order: ``lvo`` as int, ``age`` and ``nihss`` as float (NaN
        where unknown), image columns as absolute paths (empty where there is none), and every
        optional column present.

    Raises:
        CohortError: With every problem found, not only the first.
    """
    missing = [c for c in REQUIRED if c not in table.columns]
    if missing:
        present = ", ".join(map(str, table.columns))
        rule = f"this column is required; separated by commas there are: {present}"
        raise CohortError([Problem(1, c, "", rule) for c in missing])
    twice = table.columns[table.columns.duplicated()].unique()
    if len(twice):
        raise CohortError([Problem(1, str(c), "", "a column has a name of its own") for c in twice])
    table = table.astype(str).apply(lambda column: column.str.strip())
    table = table[(table != "").any(axis=1)]  # a blank line is no case, but counts as a line
    if table.empty:
        raise CohortError([Problem(2, "case_id", "", "the table has no case")])
    problems = [
        *_cell_problems(table, folder),
        *_occlusion_problems(table),
        *_identity_problems(table, folder),
    ]
    if problems:
        raise CohortError(sorted(problems))
    return _typed(table, folder)


def _rows(table: pd.DataFrame, column: str) -> list[tuple[int, str]]:
    """Line in the file and value of every cell of a column; the header is line 1."""
    return [(n, str(value)) for n, value in zip(_lines(table), table[column], strict=True)]


def _lines(table: pd.DataFrame) -> list[int]:
    return [int(row) + 2 for row in table.index]


def _cell_problems(table: pd.DataFrame, folder: Path) -> list[Problem]:
    problems = []
    for column in ("case_id", "patient_id"):
        rule = "an id is 1 to 100 letters, digits, '.', '_' or '-', and starts with neither sign"
        cells = _rows(table, column)
        problems += [Problem(n, column, v, rule) for n, v in cells if not IDENTIFIER.fullmatch(v)]
    for column in table.columns.intersection(list(CHOICES)):
        allowed = CHOICES[column]
        rule = "one of " + ", ".join(choice or "(empty)" for choice in allowed)
        problems += [
            Problem(n, column, v, rule) for n, v in _rows(table, column) if v not in allowed
        ]
    for column in table.columns.intersection(list(NUMBERS)):
        low, high = NUMBERS[column]
        rule = f"a number from {low:g} to {high:g}, or empty"
        numbers = pd.to_numeric(table[column].replace("", str(low)), errors="coerce")
        wrong = ~numbers.between(low, high)
        problems += [
            Problem(n, column, v, rule)
            for (n, v), bad in zip(_rows(table, column), wrong, strict=True)
            if bad
        ]
    for column in table.columns.intersection(list(IMAGES)):
        for n, value in _rows(table, column):
            rule = _path_rule(value, folder, required=column == "ncct", file=column != "ncct")
            problems += [Problem(n, column, value, rule)] if rule else []
    return problems


def _path_rule(value: str, folder: Path, *, required: bool, file: bool) -> str:
    """Return which rule a path breaks, or nothing."""
    if not value:
        return "every case has a scan" if required else ""
    root = folder.resolve()
    path = (root / value).resolve()
    if Path(value).is_absolute() or not path.is_relative_to(root):
        return f"a path relative to {folder} that does not leave it"
    if not path.exists():
        return f"no such file or folder in {folder}"
    if file and not path.is_file():
        return "a NIfTI file"
    return ""


def _occlusion_problems(table: pd.DataFrame) -> list[Problem]:
    problems = []
    masks = table.get("occlusion_mask", pd.Series("", index=table.index))
    alone = in_detection_alone(table)
    columns = (table["lvo"], table["side"], table["segment"], masks, alone)
    for n, lvo, side, segment, mask, unnamed in zip(_lines(table), *columns, strict=True):
        if lvo == "1":
            if not side:
                problems.append(Problem(n, "side", side, "an occlusion (lvo = 1) has a side"))
            if not segment:
                problems.append(Problem(n, "segment", segment, "an occlusion has a segment"))
            if mask and unnamed:
                problems.append(Problem(n, "occlusion_mask", mask, MASK_RULE))
        elif lvo == "0":
            for column, value in (("side", side), ("segment", segment), ("occlusion_mask", mask)):
                if value:
                    problems.append(Problem(n, column, value, "empty where lvo = 0"))
    return problems


def _identity_problems(table: pd.DataFrame, folder: Path) -> list[Problem]:
    problems = []
    seen: dict[str, int] = {}
    scans: dict[Path, int] = {}
    splits: dict[str, tuple[int, str]] = {}
    columns = (table[name] for name in ("case_id", "patient_id", "ncct", "split"))
    for n, case, patient, ncct, split in zip(_lines(table), *columns, strict=True):
        # file systems that ignore case would put two such cases into one folder
        first = seen.setdefault(case.lower(), n)
        if first != n:
            problems.append(Problem(n, "case_id", case, f"unique; row {first} has it already"))
        # the same scan may be spelled in two ways, or be a link
        first = scans.setdefault((folder / ncct).resolve(), n)
        if ncct and first != n:
            problems.append(
                Problem(n, "ncct", ncct, f"one row per scan; row {first} has it already")
            )
        first, other = splits.setdefault(patient, (n, split))
        if other != split:
            rule = f"a patient is in one split only; row {first} puts this one in '{other}'"
            problems.append(Problem(n, "patient_id", patient, rule))
    return problems


def _typed(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    cohort = table.copy()
    for column in ("brain_mask", "vessel_labels", "occlusion_mask", "site", "sex"):
        if column not in cohort:
            cohort[column] = ""
    for column in cohort.columns.intersection(list(IMAGES)):
        root = folder.resolve()
        cohort[column] = [
            str((root / value).resolve()) if value else "" for value in cohort[column]
        ]
    cohort["lvo"] = cohort["lvo"].astype(int)
    for column in NUMBERS:
        values = cohort[column] if column in cohort else pd.Series("", index=cohort.index)
        cohort[column] = pd.to_numeric(values, errors="coerce")
    return cohort.reset_index(drop=True)


def list_new_scans(paths: list[str]) -> pd.DataFrame:
    """Return a cohort of scans of which nothing is known, to run trained models on.

    Ids are digests of the content: a file's name may be a patient's.

    Args:
        paths: NIfTI files or DICOM folders.

    Raises:
        TableError: No scan, or one that is given twice.
    """
    cases = [scan_id(path) for path in paths]
    if not paths or len(set(cases)) < len(cases):
        raise TableError(
            f"{len(cases)} scans, {len(set(cases))} of them different",
            "one or more different scans",
            "name each scan once: kedro score SCAN...",
        )
    return pd.DataFrame(
        {"case_id": cases, "patient_id": cases, "ncct": paths, "brain_mask": "", "split": "new"}
    )


def scan_id(path: str) -> str:
    """Return the id of a new scan: a digest of what its file or folder holds now."""
    return f"scan-{content_digest(Path(path))[:10]}"


def fold_of_cases(cohort: pd.DataFrame) -> dict[str, int]:
    """Return the fold in which each development case is held out, by case id."""
    if "fold" not in cohort:  # new scans
        return {}
    held_out = cohort.loc[cohort["fold"].notna(), ["case_id", "fold"]]
    return dict(zip(held_out["case_id"], held_out["fold"].astype(int), strict=True))


def has_controls(cohort: pd.DataFrame) -> bool:
    """Tell whether the development cases include some without an occlusion.

    Without them there are folds only where ``folds.controls: false`` allows it.
    """
    return bool((cohort.loc[cohort["split"] == "development", "lvo"] == 0).any())


def shuffle_labels(cohort: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the cohort with the patients' occlusions dealt out at random, for a permutation test.

    Patients are shuffled among those of the same fold, or of the external split, so that every
    fold keeps its number of occlusions.

    Raises:
        TableError: Development cases of one class alone, whose labels stay what they were.
    """
    if not has_controls(cohort) or (cohort["lvo"] == 0).all():
        raise TableError(
            "development cases of one class alone",
            "some with and some without an occlusion, so that shuffled labels are other labels",
            "add cases of the other class, or leave the permutation test out",
        )
    columns = ["lvo", "side", "segment"]
    group = cohort["fold"].fillna(-1)
    patients = cohort.assign(group=group).drop_duplicates("patient_id").set_index("patient_id")
    generator = np.random.default_rng(seed)
    for _, members in patients.groupby("group"):
        order = generator.permutation(len(members))
        patients.loc[members.index, columns] = members[columns].to_numpy()[order]
    shuffled = cohort.copy()
    shuffled[columns] = patients.loc[cohort["patient_id"], columns].to_numpy()
    shuffled["lvo"] = shuffled["lvo"].astype(int)
    return shuffled


def splits_of_cases(cohort: pd.DataFrame, cases: list[str]) -> list[dict[str, list[str]]]:
    """Return, for each fold, which of ``cases`` (development) it trains on and which it holds out.

    The keys are nnU-Net's: ``train`` and ``val``.
    """
    held_out = fold_of_cases(cohort)
    known = sorted(case for case in cases if case in held_out)
    return [
        {
            "train": [case for case in known if held_out[case] != fold],
            "val": [case for case in known if held_out[case] == fold],
        }
        for fold in sorted(set(held_out.values()))
    ]
