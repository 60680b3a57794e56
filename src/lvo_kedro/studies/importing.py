"""From an export to scans without names: indexes it, chooses series, writes what was chosen.

A study that was written is not read again unless its files, the options or a person's choice for
it have changed. One that cannot be used ends nothing but itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import pandas as pd

from lvo_kedro import __version__
from lvo_kedro.disk import ERRORS as DISK
from lvo_kedro.errors import CaseError, TableError
from lvo_kedro.imaging import QualityLimits, ScanLimits, find_remarkable
from lvo_kedro.options import Options
from lvo_kedro.studies.candidates import Candidate, candidates_of
from lvo_kedro.studies.choice import choose
from lvo_kedro.studies.choice_rules import ChoiceOptions
from lvo_kedro.studies.halves import with_joined
from lvo_kedro.studies.index import Index, Study, opened
from lvo_kedro.studies.outcomes import StudyOutcome, describe, series_id
from lvo_kedro.studies.scans import ScanReader, Seen, write_scan
from lvo_kedro.studies.sources import SourceLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lvo_kedro.studies.pseudonyms import Pseudonyms

SCANS: Final = {"ncct": "scans", "cta": "cta"}
"""Folders of the written scans, below the folder of the cohort."""
PASSED_OVER: Final = "passed_over.csv"
"""List of the files that were not read, in the work folder: it names them."""


class ImportOptions(Options):
    """What is imported, and how."""

    choice: ChoiceOptions = ChoiceOptions()
    """When a series is chosen without a person."""
    sources: SourceLimits = SourceLimits()
    """Beyond which sizes a file is passed over."""
    scan_limits: ScanLimits = ScanLimits()
    """Between which bounds a scan is accepted."""
    deface: bool = False
    """Whether what lies outside the brain's hull and a margin becomes air."""
    with_cta: bool = True
    """Whether angiographies are imported as well."""


@dataclass(frozen=True)
class Wanted:
    """What a person asked for."""

    choices: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By case and series id a role, or ``no``."""
    series: frozenset[str] = frozenset()
    """SeriesInstanceUIDs that are the plain scan of their study."""


class Imported(NamedTuple):
    """What an import made of an export."""

    outcomes: list[StudyOutcome]
    studies: pd.DataFrame
    """``study_uid``, ``accession``, ``patient_id``, ``patient_key`` and ``case_id``, a row a study;
    it names patients."""
    passed_over: dict[str, int]
    """Why files were not read, and how many."""


def import_studies(
    exports: Sequence[Path],
    out: Path,
    work: Path,
    names: Pseudonyms,
    *,
    options: ImportOptions = ImportOptions(),
    wanted: Wanted = Wanted(),
    told: Callable[[str, int, int], None] = lambda _step, _done, _of: None,
) -> Imported:
    """Write the plain head CT of every study of an export, and its angiography if it has one.

    Args:
        exports: Folders, archives, DICOMDIR or NIfTI files; nothing of them is changed.
        out: Folder of the cohort; scans go to ``scans`` and ``cta`` in it.
        work: Folder for the index and for what is unpacked for a moment, outside the data folder:
            both name patients.
        names: Gives ids.
        options: What is imported.
        wanted: What a person chose.
        told: Is called with the step (``index``, ``choose``), how much of it is done, and of how
            much; of how much is 0 where that is not known.

    Returns:
        What became of each study, in the order of the export.

    Raises:
        TableError: A series that a person named is not in the export.
    """
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    outcomes, rows = [], []
    with opened(work / "index.sqlite") as index:
        index.add(exports, options.sources, lambda done: told("index", done, 0))
        _check_wanted(wanted, index)
        importer = _Importer(ScanReader(work, options.scan_limits), out, names, options, wanted)
        uids = index.study_uids()
        try:
            for done, uid in enumerate(uids, start=1):
                study = index.study(uid)
                outcomes.append(importer.outcome(study, index))
                rows.append(_row(study, outcomes[-1].case_id))
                told("choose", done, len(uids))
        finally:
            importer.reader.close()
        passed = index.problems()
        _write_passed_over(work / PASSED_OVER, index.unread())
    columns = ["study_uid", "accession", "patient_id", "patient_key", "case_id"]
    return Imported(outcomes, pd.DataFrame(rows, columns=columns), passed)


def _row(study: Study, case_id: str) -> tuple[str, str, str, str, str]:
    patient = "" if study.patient == study.uid else study.patient.split("\\")[0]
    return study.uid, study.accession, patient, study.patient, case_id


def _check_wanted(wanted: Wanted, index: Index) -> None:
    missing = wanted.series - index.series_uids()
    if missing:
        raise TableError(
            f"{len(missing)} series named with --series that the export does not hold",
            "the SeriesInstanceUID of a series in the export",
            "compare the UIDs",
        )


def _write_passed_over(path: Path, rows: Iterator[tuple[str, str, str]]) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    pd.DataFrame(rows, columns=["archive", "file", "problem"]).to_csv(path, index=False)


@dataclass(frozen=True)
class _Importer:
    """Imports one study after the other."""

    reader: ScanReader
    out: Path
    names: Pseudonyms
    options: ImportOptions
    wanted: Wanted

    def outcome(self, study: Study, index: Index) -> StudyOutcome:
        """Return what an earlier import made of a study, if nothing has changed; or import it."""
        fresh = StudyOutcome(self.names.case_id(study.uid), self.names.patient_id(study.patient))
        mark = self._fingerprint(study, fresh.case_id)
        kept = index.kept(study.uid, mark)
        if kept is not None:
            former = StudyOutcome.of(kept)
            if all((self.out / path).is_file() for path in (former.ncct, former.cta) if path):
                return former
        try:
            self._import(study, fresh)
        except CaseError as error:
            fresh.fail(f"{error.found}; expected: {error.expected}")
            if isinstance(error.__cause__, OSError):  # a share that was away, not a bad file
                return fresh
        except MemoryError:
            raise
        except Exception as error:  # one study of thousands ends nothing but itself
            if isinstance(error, OSError) and error.errno in DISK:
                raise  # a full disk is no matter of one study
            fresh.fail(f"an unforeseen {type(error).__name__}; please report it")
            return fresh  # not kept: it is tried again
        index.keep(study.uid, mark, fresh.kept())
        return fresh

    def _fingerprint(self, study: Study, case: str) -> str:
        """Digest of all that the outcome of a study depends on."""
        files = [
            (*file.place, file.size, file.changed_ns, file.problem)
            for series in study.series
            for file in series.files
        ]
        chosen = sorted((s, answer) for (c, s), answer in self.wanted.choices.items() if c == case)
        series = sorted(self.wanted.series & {one.uid for one in study.series})
        options = self.options.model_dump(mode="json")
        names = [case, self.names.patient_id(study.patient)]  # another secret, other names
        content = json.dumps([__version__, files, options, chosen, series, names])
        return hashlib.sha256(content.encode()).hexdigest()

    def _import(self, study: Study, outcome: StudyOutcome) -> None:
        candidates = with_joined(candidates_of(study))
        ids = {one.name: series_id(one, self.names.case_id) for one in candidates}
        named = self._named(candidates, ids, outcome.case_id)
        ncct = choose(candidates, "ncct", self.reader.look, self.options.choice, named)
        choices = [ncct]
        if ncct.chosen is not None:
            self._write_ncct(ncct.chosen.candidate, outcome)
        elif ncct.undecided:
            outcome.state = "undecided"
        else:
            for name, reason in ncct.unreadable():
                outcome.fail(f"series {name} {reason}")
        if self.options.with_cta:
            taken = None if ncct.chosen is None else ncct.chosen.candidate
            rest = [one for one in candidates if one is not taken]
            cta = choose(rest, "cta", self.reader.look, self.options.choice, named)
            choices.append(cta)
            if cta.chosen is not None and outcome.state == "written":
                self._write_cta(cta.chosen.candidate, outcome)
        outcome.series = [describe(one, ids[one.name], choices) for one in candidates]
        if outcome.state == "written" and not outcome.cta:  # an earlier import may have chosen one
            self._path("cta", outcome).unlink(missing_ok=True)

    def _named(
        self, candidates: Sequence[Candidate], ids: Mapping[str, str], case: str
    ) -> dict[str, str]:
        """Return what a person wants of each candidate, by its name."""
        chosen = self.wanted.choices
        named = {
            one.name: chosen[case, ids[one.name]]
            for one in candidates
            if (case, ids[one.name]) in chosen
        }
        asked = [one for one in candidates if set(one.uids) <= self.wanted.series]
        together = [one for one in asked if len(one.uids) > 1]
        return named | {one.name: "ncct" for one in together or asked}

    def _write_ncct(self, candidate: Candidate, outcome: StudyOutcome) -> None:
        """Write the plain scan; one that cannot be read is the study's failure."""
        seen, problem = self._write(candidate, "ncct", outcome)
        if problem or seen.scan is None:
            outcome.fail(problem)
            return
        outcome.state, outcome.ncct = "written", self._name("ncct", outcome)
        outcome.header = {**candidate.header, **candidate.form}
        measured = "spacing_mm" in seen.look
        numbers = {**seen.look, "reading": seen.scan.findings}
        outcome.findings += (
            find_remarkable(numbers, QualityLimits()) if measured else seen.scan.findings
        )

    def _write_cta(self, candidate: Candidate, outcome: StudyOutcome) -> None:
        """Write the angiography; one that cannot be read is a finding."""
        _, problem = self._write(candidate, "cta", outcome)
        if problem:
            outcome.findings.append(f"angiography: {problem}")
        else:
            outcome.cta = self._name("cta", outcome)

    def _write(self, candidate: Candidate, role: str, outcome: StudyOutcome) -> tuple[Seen, str]:
        """Write a scan, or say why it cannot be."""
        deface = self.options.deface
        seen = self.reader.see(candidate, with_brain=self.options.choice.look_at_pixels or deface)
        if seen.scan is None:
            return seen, f"series {candidate.name} cannot be read: {seen.look['unreadable']}"
        if deface and seen.brain is None:
            return seen, f"series {candidate.name} shows no brain around which the face could go"
        write_scan(self._path(role, outcome), seen.scan.ncct, seen.brain if deface else None)
        return seen, ""

    def _name(self, role: str, outcome: StudyOutcome) -> str:
        return f"{SCANS[role]}/{outcome.case_id}.nii.gz"

    def _path(self, role: str, outcome: StudyOutcome) -> Path:
        return self.out / self._name(role, outcome)
