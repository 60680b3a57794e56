"""The scans of one study whose folder is known: chosen and read, but not written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvo_kedro.errors import ScanError
from lvo_kedro.studies.candidates import candidates_of
from lvo_kedro.studies.choice import Choice, choose
from lvo_kedro.studies.halves import with_joined
from lvo_kedro.studies.importing import ImportOptions
from lvo_kedro.studies.index import Study, opened
from lvo_kedro.studies.scans import ScanReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib

    from lvo_kedro.studies.candidates import Candidate


@dataclass(frozen=True)
class StudyScans:
    """What one study holds of what is looked for."""

    ncct: nib.Nifti1Image
    """float32 HU, RAS+."""
    cta: nib.Nifti1Image | None
    """Likewise; None where the study has none that can be read."""
    header: Mapping[str, str]
    """Of the plain scan's series; it may identify the patient."""
    reasons: tuple[str, ...]
    """Why that series was chosen; nothing in it is text of a header."""


def read_study(
    folder: Path, options: ImportOptions = ImportOptions(), series: str = ""
) -> StudyScans:
    """Choose plain scan and angiography of a study by the importer's rules, and read them.

    Args:
        folder: With all files of one study and nothing else; it is only read.
        options: Those of an import; ``deface`` does not count here.
        series: Number of the series that a person chose as the plain scan; empty: rules decide.

    Returns:
        The scans as they were read.

    Raises:
        ScanError: No series, or several, could be the plain scan, or it cannot be read; the error
            names series by their numbers.
    """
    with tempfile.TemporaryDirectory(prefix="study-") as work:
        study = _study(folder, Path(work), options)
        reader = ScanReader(Path(work), options.scan_limits)
        try:
            return _read(with_joined(candidates_of(study)), reader, options, series)
        finally:
            reader.close()


def _study(folder: Path, work: Path, options: ImportOptions) -> Study:
    """Return all series of the folder as one study, whatever UIDs an anonymiser gave them."""
    with opened(work / "index.sqlite") as index:
        index.add([folder], options.sources)
        found = [index.study(uid) for uid in index.study_uids()]
    if not found:
        raise ScanError("a study without any image", "DICOM files", "unpack the study again")
    return found[0]._replace(series=[series for study in found for series in study.series])


def _read(
    candidates: list[Candidate], reader: ScanReader, options: ImportOptions, series: str
) -> StudyScans:
    named = {series: "ncct"} if series else {}
    if series and series not in {one.name for one in candidates}:
        raise ScanError(
            f"no series {series}",
            f"one of {', '.join(sorted(one.name for one in candidates))}",
            "name one of them",
        )
    plain = choose(candidates, "ncct", reader.look, options.choice, named)
    if plain.chosen is None:
        raise _not_chosen(plain)
    scan = reader.read(plain.chosen.candidate)
    cta = None
    if options.with_cta:
        rest = [one for one in candidates if one is not plain.chosen.candidate]
        cta = _angiography(rest, reader, options)
    header = {**plain.chosen.candidate.header, **plain.chosen.candidate.form}
    return StudyScans(scan.ncct, cta, header, tuple(plain.chosen.reasons))


def _angiography(
    candidates: list[Candidate], reader: ScanReader, options: ImportOptions
) -> nib.Nifti1Image | None:
    chosen = choose(candidates, "cta", reader.look, options.choice).chosen
    if chosen is None:
        return None
    try:
        return reader.read(chosen.candidate).ncct
    except ScanError:  # the plain scan can be used without
        return None


def _not_chosen(choice: Choice) -> ScanError:
    names = ", ".join(one.candidate.name for one in choice.undecided)
    if names:
        return ScanError(f"series {names}, any of which may be the plain scan", "one", "choose it")
    why = "; ".join(f"series {name} {reason}" for name, reason in choice.unreadable())
    return ScanError(
        f"no series that is a plain head CT ({why or 'by headers and pixels'})",
        "a head CT without contrast medium",
        "look at the series of the study",
    )
