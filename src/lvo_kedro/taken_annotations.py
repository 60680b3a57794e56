"""What a person decided about proposals: labels that go into the cohort, with their provenance.

Every case has a folder in ``01_raw/annotations``. What a person corrected, or drew elsewhere, is
never replaced by a proposal.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lvo_kedro import __version__
from lvo_kedro.artifacts import replacing, write_json
from lvo_kedro.cohort import IDENTIFIER, validate_cohort
from lvo_kedro.errors import CaseError, TableError
from lvo_kedro.imaging import read_labels
from lvo_kedro.truth import NO_CLASS, NO_SIDE
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SIDES, VESSEL_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import nibabel as nib
    import pandas as pd

FOLDER: Final = "annotations"
"""In the cohort's folder."""
DECISIONS: Final = ("accept", "correct", "reject")
PROVENANCE: Final = "provenance.json"
LABELS: Final = "vessel_labels"
CLOT: Final = "occlusion_mask"
UNKNOWN: Final = "unknown"
"""In the table's columns side and segment: what an accepted clot may name."""


@dataclass(frozen=True)
class Proposed:
    """A proposal as it lies in the data folder."""

    ncct: nib.Nifti1Image
    """The preprocessed scan, on whose grid the labels lie."""
    vessel_labels: nib.Nifti1Image
    occlusion_mask: nib.Nifti1Image
    record: Mapping[str, Any]
    """Of :class:`~lvo_kedro.annotation.Annotation`."""


@dataclass
class Taken:
    """What became of the decisions."""

    table: pd.DataFrame
    """The cohort table with its new labels, not yet written."""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DECISIONS, 0))
    """Decisions that were carried out, by kind."""
    problems: dict[str, str] = field(default_factory=dict)
    """By case, why its decision was not."""
    named: dict[str, str] = field(default_factory=dict)
    """By case, side and segment that the table did not know and an accepted clot names."""


def check_decisions(decisions: pd.DataFrame, known: set[str]) -> None:
    """Check a table of decisions.

    Args:
        decisions: ``case_id``, ``decision`` and, if wanted, ``clot`` (yes or empty), all text.
        known: Ids of the cases that have a proposal.

    Raises:
        TableError: A column is missing, or a row holds what it may not, or a case twice.
    """
    missing = {"case_id", "decision"} - set(decisions.columns)
    if missing:
        raise TableError(
            f"decisions without a column {' and '.join(sorted(missing))}",
            "the columns case_id, decision, clot",
            "save the table from annotation.html again",
        )
    wrong = [
        f"row {place + 2}"
        for place, row in enumerate(decisions.to_dict("records"))
        if row["case_id"] not in known
        or not IDENTIFIER.fullmatch(row["case_id"])
        or row["decision"] not in DECISIONS
        or row.get("clot", "") not in ("", "yes")
    ]
    twice = decisions["case_id"].duplicated().any()
    if wrong or twice:
        found = f"wrong cells in {', '.join(wrong[:5])}" if wrong else "a case that stands twice"
        raise TableError(
            f"decisions with {found}",
            f"a case with a proposal, one of {', '.join(DECISIONS)}, and yes or nothing for clot",
            "correct these rows; nothing was taken",
        )


def take_annotations(
    decisions: pd.DataFrame,
    proposals: Mapping[str, Proposed],
    table: pd.DataFrame,
    folder: Path,
    corrected: Path | None = None,
) -> Taken:
    """Write what was accepted or corrected into the cohort's folder and name it in its table.

    Args:
        decisions: As :func:`check_decisions` wants them.
        proposals: By case; read when they are asked for.
        table: The cohort table as text.
        folder: Of the cohort.
        corrected: Where corrected files lie, as ``CASE/vessel_labels.nii.gz``.

    Returns:
        The new table, and what was not done and why. A case that fails leaves the others alone.

    Raises:
        TableError: The decisions are no table of decisions.
    """
    check_decisions(decisions, set(proposals))
    taken = Taken(table.copy())
    for column in (LABELS, CLOT):
        if column not in taken.table:
            taken.table[column] = ""
    for row in decisions.to_dict("records"):
        try:
            _take(row, proposals[row["case_id"]], taken, folder, corrected)
        except CaseError as error:
            taken.problems[row["case_id"]] = str(error)
    validate_cohort(taken.table, folder)
    return taken


def _take(
    row: Mapping[str, str],
    proposal: Proposed,
    taken: Taken,
    folder: Path,
    corrected: Path | None,
) -> None:
    case, decision = row["case_id"], row["decision"]
    own = folder / FOLDER / case
    here = taken.table.index[taken.table["case_id"] == case]
    former = str(taken.table.loc[here[0], LABELS])
    if former and not former.startswith(f"{FOLDER}/{case}/"):
        raise TableError(
            f"labels that somebody drew ({former})",
            "a case without labels, or with labels of an earlier proposal",
            "empty its vessel_labels in cases.csv if the proposal shall take their place",
        )
    if decision != "correct" and source_of(own) == "corrected":
        raise TableError(
            "labels that a person corrected",
            "the decision correct, with a newer file",
            f"remove {FOLDER}/{case} if the correction shall be lost",
        )
    if decision == "reject":
        taken.table.loc[here, [LABELS, CLOT]] = ""
        _forget(own)
        taken.counts[decision] += 1
        return
    named = _name(taken.table.loc[here[0]], proposal.record, decision) if row.get("clot") else {}
    labels, clot = proposal.vessel_labels, proposal.occlusion_mask
    if decision == "correct":
        labels = _corrected(case, LABELS, proposal, corrected)
        if row.get("clot"):
            clot = _corrected(case, CLOT, proposal, corrected, may_be_same=True)
    own.mkdir(parents=True, exist_ok=True)
    _write(labels, own / f"{LABELS}.nii.gz")
    taken.table.loc[here, LABELS] = f"{FOLDER}/{case}/{LABELS}.nii.gz"
    taken.table.loc[here, CLOT] = ""
    if row.get("clot"):
        _write(clot, own / f"{CLOT}.nii.gz")
        taken.table.loc[here, CLOT] = f"{FOLDER}/{case}/{CLOT}.nii.gz"
        taken.table.loc[here, list(named)] = list(named.values())
        if named:
            taken.named[case] = " ".join(named.values())
    source = "corrected" if decision == "correct" else "proposal"
    facts = {"source": source, "method": "contrast traced on the paired CT angiography"}
    record = {"version": __version__, **facts, "named": named, "proposal": dict(proposal.record)}
    write_json(own / PROVENANCE, record)
    taken.counts[decision] += 1


def _name(case: pd.Series, record: Mapping[str, Any], decision: str) -> dict[str, str]:
    """Return side and segment by the accepted clot, where the table says that they are unknown.

    What the table knows stays. A corrected clot names nothing: where it lies now, only the person
    who drew it has seen.
    """
    words = {"side": NO_SIDE, "segment": NO_CLASS}
    told = {name: str(case.get(name, "")) for name in words}
    found = {name: str(record.get(name, "")) for name in words}
    lacking = [name for name, none in words.items() if told[name] in none]
    by_clot = decision == "accept" and all(told[name] == UNKNOWN for name in lacking)
    unnamed = any(found[name] in (*words[name], "") for name in lacking)
    if lacking and (not by_clot or unnamed):
        raise TableError(
            f"a clot for an occlusion of {' and '.join(f'{n} {told[n]}' for n in lacking)}",
            "one side and one of the five classes, so that the clot has a name",
            "write them into cases.csv, or leave the column clot empty",
        )
    if decision == "accept" and told["side"] in SIDES and found["side"] != told["side"]:
        raise TableError(
            f"a clot on the {found['side']}, of an occlusion on the {told['side']} (cases.csv)",
            "a clot on the patient's side that the table names",
            "correct the table or the clot, or leave the column clot empty",
        )
    return {name: found[name] for name in lacking}


def source_of(folder: Path) -> str:
    """Return where a case's labels come from: ``proposal``, ``corrected`` or nothing.

    Args:
        folder: Of the case, in ``annotations``.
    """
    path = folder / PROVENANCE
    if not path.is_file():
        return ""
    return str(json.loads(path.read_text(encoding="utf-8")).get("source", ""))


def _corrected(
    case: str, name: str, proposal: Proposed, folder: Path | None, *, may_be_same: bool = False
) -> nib.Nifti1Image:
    path = None if folder is None else folder / case / f"{name}.nii.gz"
    if path is None or not path.is_file():
        raise TableError(
            f"no corrected file {case}/{name}.nii.gz",
            "one in the folder that --corrected names",
            "kedro export-annotations writes the files to start from",
        )
    allowed = VESSEL_LABELS if name == LABELS else OCCLUSION_LABELS
    labels = read_labels(path, proposal.ncct, list(allowed.values()), name)
    before = proposal.vessel_labels if name == LABELS else proposal.occlusion_mask
    if not may_be_same and np.array_equal(labels.dataobj, before.dataobj):
        raise TableError(
            "a corrected file that is the proposal, unchanged",
            "a corrected one",
            "save the correction under the same name, or accept the proposal",
        )
    return labels


def _write(image: nib.Nifti1Image, path: Path) -> None:
    with replacing(path) as part:
        part.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def _forget(folder: Path) -> None:
    for name in (f"{LABELS}.nii.gz", f"{CLOT}.nii.gz", PROVENANCE):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
