"""The hemispheric difference measured on a folder of scans with drawn infarcts.

Scan, brain mask and priors are computed as for a cohort. A case whose files, options and version
are what they were is not computed again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from lvo_kedro import __version__
from lvo_kedro.artifacts import digest_of, write_json, write_rows
from lvo_kedro.cohort import IDENTIFIER
from lvo_kedro.errors import CaseError, TableError
from lvo_kedro.evaluation import InfarctOptions, measure_infarct, summarize_infarcts
from lvo_kedro.imaging import (
    BrainOptions,
    ScanLimits,
    extract_brain,
    hash_scan,
    read_labels,
    read_ncct,
)
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.options import Options
from lvo_kedro.priors import Atlas, PriorOptions, compute_priors, find_faults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE: Final = "infarcts.csv"
REQUIRED: Final = ("case_id", "ncct", "infarct_mask")
CASES: Final = "cases.csv"
SUMMARY: Final = "summary.csv"


class InfarctEvaluationOptions(Options):
    """How scans are read, how priors are computed, and how the difference is looked at."""

    scan_limits: ScanLimits = ScanLimits()
    brain_mask: BrainOptions = BrainOptions()
    priors: PriorOptions = PriorOptions()
    infarcts: InfarctOptions = InfarctOptions()


@dataclass
class InfarctEvaluation:
    """What was measured."""

    cases: pd.DataFrame
    """A row per case: :func:`~lvo_kedro.evaluation.measure_infarct`, and what the priors find."""
    summary: pd.DataFrame
    """Of :func:`~lvo_kedro.evaluation.summarize_infarcts`."""
    failed: dict[str, str] = field(default_factory=dict)
    """By case, why it was not measured."""


def evaluate_infarcts(
    raw: Path,
    out: Path,
    atlas: Atlas,
    options: InfarctEvaluationOptions = InfarctEvaluationOptions(),
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> InfarctEvaluation:
    """Measure the hemispheric difference in the infarcts that a folder lists.

    Args:
        raw: Holds ``infarcts.csv`` with ``case_id``, ``ncct`` and ``infarct_mask`` (1 inside), a
            row per case; paths are relative to it and may not leave it. ``patient_id`` and
            ``source`` may be there.
        out: Folder for ``cases.csv``, ``summary.csv`` and a record of each case.
        atlas: Of the priors.
        options: How.
        told: Is called with how many cases are done, and of how many.

    Returns:
        Both tables, as they were written.

    Raises:
        TableError: The table is none, or no case could be measured.
    """
    table = read_infarct_table(raw)
    (out / "records").mkdir(parents=True, exist_ok=True)
    rows, failed = [], {}
    about = [
        options.model_dump(mode="json"),
        hash_scan(atlas.template),
        hash_scan(atlas.territory_probability),
    ]
    for done, row in enumerate(table.to_dict("records"), start=1):
        paths = {name: raw / row[name] for name in ("ncct", "infarct_mask")}
        stats = [(name, p.stat().st_size, p.stat().st_mtime_ns) for name, p in paths.items()]
        mark = digest_of([__version__, stats, about])
        record = out / "records" / f"{row['case_id']}.json"
        try:
            numbers = _kept(record, mark)
            if numbers is None:
                numbers = _measure(paths, atlas, options)
                write_json(record, {"mark": mark, "numbers": numbers})
        except CaseError as error:
            failed[row["case_id"]] = str(error)
        else:
            named = {name: row[name] for name in ("case_id", "patient_id", "source") if name in row}
            rows.append({**named, **numbers})
        told(done, len(table))
    if not rows:
        raise TableError(
            f"{len(failed)} cases, none of which can be measured ({next(iter(failed.values()))})",
            "at least one",
            "see the reason",
        )
    cases = pd.DataFrame(rows)
    if "patient_id" not in cases:
        cases.insert(1, "patient_id", cases["case_id"])
    summary = summarize_infarcts(cases, options.infarcts)
    write_rows(out / CASES, cases.to_dict("records"))
    write_rows(out / SUMMARY, summary.to_dict("records"))
    return InfarctEvaluation(cases, summary, failed)


def read_infarct_table(raw: Path) -> pd.DataFrame:
    """Read and check ``infarcts.csv``.

    Args:
        raw: Its folder.

    Returns:
        The table, every cell text.

    Raises:
        TableError: It is not there, lacks a column, or a row has an odd id or path.
    """
    path = raw / TABLE
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise TableError(
            f"no {TABLE} that can be read in {raw.name}",
            f"a table with {', '.join(REQUIRED)}",
            "kedro adopt cpaisd writes it",
        ) from error
    missing = [name for name in REQUIRED if name not in table]
    if missing or table.empty:
        raise TableError(
            f"{TABLE} with {len(table)} rows, without {', '.join(missing) or 'any case'}",
            f"rows with {', '.join(REQUIRED)}",
            "complete it",
        )
    twice = table["case_id"].duplicated()
    for line, row in enumerate(table.to_dict("records"), start=2):
        problem = _problem(row, raw)
        if problem or twice.iloc[line - 2]:
            raise TableError(
                f"row {line} of {TABLE}: {problem or 'a case that stands there twice'}",
                "an id of letters, digits, '.', '_' or '-', and files in the folder",
                "correct the row",
            )
    return table


def _problem(row: dict[Any, str], raw: Path) -> str:
    if not IDENTIFIER.fullmatch(row["case_id"]):
        return "case_id is no id"
    for name in ("ncct", "infarct_mask"):
        path = (raw / row[name]).resolve()
        if not path.is_relative_to(raw.resolve()) or not path.is_file():
            return f"{name} is no file below the folder"
    return ""


def _kept(record: Path, mark: str) -> dict[str, Any] | None:
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        return dict(kept["numbers"]) if kept["mark"] == mark else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measure(
    paths: dict[str, Path], atlas: Atlas, options: InfarctEvaluationOptions
) -> dict[str, Any]:
    ncct = read_ncct(paths["ncct"], options.scan_limits)
    core = read_labels(paths["infarct_mask"], ncct, allowed=(1,), role="infarct_mask")
    priors = compute_priors(ncct, extract_brain(ncct, options.brain_mask), atlas, options.priors)
    maps = (priors.signed_difference, priors.hemispheres, priors.territory_probability, core)
    spacing: Any = tuple(float(edge) for edge in grid_of(ncct).spacing)
    difference, hemispheres, territory, drawn = (np.asarray(image.dataobj) for image in maps)
    numbers = measure_infarct(
        difference, hemispheres, territory, drawn, spacing, options=options.infarcts
    )
    findings = find_faults(priors.quality, options.priors.limits)
    return {**numbers, "findings": "; ".join(findings)}
