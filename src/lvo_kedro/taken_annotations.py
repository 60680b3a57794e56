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
from lvo_kedro.annotation import names_by_clot
from lvo_kedro.artifacts import replacing, write_json
from lvo_kedro.cohort import IDENTIFIER, validate_cohort
from lvo_kedro.errors import CaseError, TableError
from lvo_kedro.imaging import read_labels
from lvo_kedro.truth import UNKNOWN
from lvo_kedro.vocabulary import OCCLUSION_LABELS, VESSEL_LABELS

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
    taken = Taken(table.apply(lambda column: column.str.strip()))  # as the cohort is read
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
    case, decision, with_clot = row["case_id"], row["decision"], bool(row.get("clot"))
    own = folder / FOLDER / case
    here = taken.table.index[taken.table["case_id"] == case]
    if here.empty:
        raise TableError(
            "a proposal for a case that cases.csv no longer names",
            "one of its cases",
            "kedro run --pipelines annotation, and decide on its new page",
        )
    cells = dict(taken.table.loc[here[0]])
    drawn = [name for name in (LABELS, CLOT) if _is_drawn(str(cells[name]), case)]
    _keep_what_people_did(case, cells, drawn, own, decision, with_clot=with_clot)
    cells |= _unname(cells, own)
    own_clot = {} if CLOT in drawn else {CLOT: ""}
    if decision == "reject":
        taken.table.loc[here, list(cells)] = list((cells | {LABELS: ""} | own_clot).values())
        _forget(own, LABELS, CLOT)
        (own / PROVENANCE).unlink(missing_ok=True)
        if own.is_dir() and not any(own.iterdir()):
            own.rmdir()
        taken.counts[decision] += 1
        return
    labels, clot, named = proposal.vessel_labels, proposal.occlusion_mask, {}
    if decision == "correct":
        labels = _corrected(case, LABELS, proposal, corrected)
    if with_clot:
        if decision == "correct":
            clot = _corrected(case, CLOT, proposal, corrected, may_be_same=True)
        as_proposed = np.array_equal(clot.dataobj, proposal.occlusion_mask.dataobj)
        named = names_by_clot(cells, proposal.record, as_proposed=as_proposed)
        own_clot = {CLOT: f"{FOLDER}/{case}/{CLOT}.nii.gz"}
    own.mkdir(parents=True, exist_ok=True)
    _write(labels, own / f"{LABELS}.nii.gz")
    if with_clot:
        _write(clot, own / f"{CLOT}.nii.gz")
    else:
        _forget(own, CLOT)
    cells |= {LABELS: f"{FOLDER}/{case}/{LABELS}.nii.gz"} | own_clot | named
    taken.table.loc[here, list(cells)] = list(cells.values())
    if named:
        taken.named[case] = " ".join(named.values())
    source = "corrected" if decision == "correct" else "proposal"
    facts = {"source": source, "method": "contrast traced on the paired CT angiography"}
    record = {"version": __version__, **facts, "named": named, "proposal": dict(proposal.record)}
    write_json(own / PROVENANCE, record)
    taken.counts[decision] += 1


def _is_drawn(cell: str, case: str) -> bool:
    """Tell whether a cell names a file that came from elsewhere than a decision."""
    return cell != "" and not cell.startswith(f"{FOLDER}/{case}/")


def _keep_what_people_did(
    case: str,
    cells: Mapping[str, Any],
    drawn: list[str],
    own: Path,
    decision: str,
    *,
    with_clot: bool,
) -> None:
    """Refuse a decision that would replace what a person drew or corrected."""
    for name in drawn:
        if name == LABELS or with_clot:
            raise TableError(
                f"{'labels' if name == LABELS else 'a clot'} that somebody drew ({cells[name]})",
                f"a case without {name}, or with one of an earlier proposal",
                f"empty its {name} in cases.csv if the proposal shall take its place",
            )
    if decision != "correct" and source_of(own) == "corrected":
        raise TableError(
            "labels that a person corrected",
            "the decision correct, with a newer file",
            f"remove {FOLDER}/{case} if the correction shall be lost",
        )


def _unname(cells: Mapping[str, Any], own: Path) -> dict[str, str]:
    """Return side and segment as they were before an earlier clot of this case named them.

    That clot goes with this decision; what somebody has changed since stays.
    """
    named = _provenance(own).get("named", {})
    return {name: UNKNOWN for name, word in named.items() if cells.get(name) == word}


def source_of(folder: Path) -> str:
    """Return where a case's labels come from: ``proposal``, ``corrected`` or nothing.

    Args:
        folder: Of the case, in ``annotations``.
    """
    return str(_provenance(folder).get("source", ""))


def _provenance(folder: Path) -> dict[str, Any]:
    path = folder / PROVENANCE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


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


def _forget(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.nii.gz").unlink(missing_ok=True)
