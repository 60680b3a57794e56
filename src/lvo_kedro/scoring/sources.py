"""What is to be scored: files, folders, archives and whole studies, one series of each."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lvo_kedro.errors import ScanError
from lvo_kedro.studies.candidates import Candidate, candidates_of
from lvo_kedro.studies.choice import choose
from lvo_kedro.studies.halves import with_joined
from lvo_kedro.studies.index import Study, opened
from lvo_kedro.studies.scans import ScanReader, write_scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NIFTI: Final = (".nii", ".nii.gz")
DAMAGED: Final = ("a damaged", "a file that", "a folder that", "a DICOMDIR", "an archive within")
"""Begins of the reasons for which a scan may be missing; a picture with words is none."""
TEMPORARY: Final = "lvo-study-"


@dataclass(frozen=True)
class Source:
    """Something that holds one scan.

    Attributes:
        shown: What the user named.
        study: The study in it whose plain head CT is meant; None where it is the scan itself.
        problem: Why what lies there cannot be read; nothing where it can.
    """

    shown: Path
    study: Study | None = None
    problem: str = ""

    @contextmanager
    def scan(self) -> Iterator[Path]:
        """Give the scan, a NIfTI file or a folder with one DICOM series, while it is read.

        Raises:
            ScanError: No series of the study is the plain head CT, or several may be it; or there
                is a problem.
        """
        if self.problem:
            raise ScanError(
                self.problem, "files and archives that are whole", "copy them again, and score them"
            )
        if self.study is None:
            yield self.shown
            return
        with (
            tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder,
            closing(ScanReader(Path(folder))) as reader,
        ):
            yield _laid_out(_chosen(self.study, reader), reader, Path(folder))


def find_sources(path: Path) -> list[Source]:
    """Return what there is to score at a path.

    Args:
        path: A NIfTI file; a folder with NIfTI files, at any depth, each a scan of its own; a
            folder with one DICOM series; or a folder or archive with one or more studies.

    Returns:
        A source for each scan, and one for what could not be read beside them. Links are not
        followed.
    """
    files: list[Path] = []
    if path.is_dir():
        inside = [p for p in sorted(path.rglob("*")) if p.name.lower().endswith(NIFTI)]
        files = [p for p in inside if p.is_file() and not p.is_symlink() and p.name[0] != "."]
    elif path.name.lower().endswith(NIFTI):
        return [Source(path)]
    with (
        tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder,
        opened(Path(folder) / "index.sqlite") as index,
    ):
        index.add([path])
        studies = [index.study(uid) for uid in index.study_uids()]
        passed_over = Counter(  # NIfTI files are sources of their own
            why
            for _, name, why in index.unread()
            if why.startswith(DAMAGED) and not name.lower().endswith(NIFTI)
        )
    problems = [f"{count} file(s) passed over: {why}" for why, count in passed_over.items()]
    if files:
        studies = [study for study in studies if not _is_nifti(study)]
    series = sum(len(study.series) for study in studies)
    if not files and (not studies or (series == 1 and path.is_dir())):
        return [Source(path)]  # what is wrong with it, reading will say
    return [
        *(Source(file) for file in files),
        *(Source(path, study) for study in studies),
        *(Source(path, problem=problem) for problem in problems),
    ]


def _is_nifti(study: Study) -> bool:
    return all(
        file.place.name.lower().endswith(NIFTI) for one in study.series for file in one.files
    )


def _chosen(study: Study, reader: ScanReader) -> Candidate:
    """Choose the plain head CT of a study, by the same table as the import."""
    choice = choose(with_joined(candidates_of(study)), "ncct", reader.look)
    if choice.chosen is not None:
        return choice.chosen.candidate
    if choice.undecided:
        names = ", ".join(scored.candidate.name for scored in choice.undecided)
        raise ScanError(
            f"series {names} of a study, between which the rules do not decide",
            "one plain head CT",
            "name the folder of the one that is meant",
        )
    reasons = "; ".join(f"series {name} {why}" for name, why in choice.unreadable())
    raise ScanError(
        f"no plain head CT among the {len(study.series)} series of a study"
        + (f" ({reasons})" if reasons else ""),
        "one",
        "name the folder of the series that is meant",
    )


def _laid_out(candidate: Candidate, reader: ScanReader, folder: Path) -> Path:
    """Put a series into a folder of its own; two halves of a head become one NIfTI file."""
    if len(candidate.uids) > 1:
        scan = reader.read(candidate)
        if scan.contrast_named or scan.child:  # a NIfTI file does not say so any more
            raise ScanError(
                "a head in two series whose headers name "
                + ("a contrast agent" if scan.contrast_named else "a child"),
                "a plain scan of an adult, or one series",
                "name the folder of the series that is meant",
            )
        write_scan(folder / "joined.nii.gz", scan.ncct)
        return folder / "joined.nii.gz"
    unpacked, own = folder / "unpacked", folder / "series"
    unpacked.mkdir()
    own.mkdir()
    paths = reader.unpack(candidate, unpacked)
    if candidate.is_nifti:
        return paths[0]
    _copy(paths, own)
    shutil.rmtree(unpacked)
    return own


def _copy(paths: Sequence[Path], folder: Path) -> None:
    for number, path in enumerate(paths):
        shutil.copyfile(path, folder / f"{number:06d}.dcm")
