"""Candidates read as volumes, looked at, and written without names."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lvo_kedro.artifacts import replacing
from lvo_kedro.disk import ERRORS as DISK
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import (
    BrainOptions,
    Scan,
    ScanLimits,
    extract_brain,
    measure_scan,
    read_scan,
)
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.studies.archives import Reader
from lvo_kedro.studies.deidentify import deface

if TYPE_CHECKING:
    import nibabel as nib

    from lvo_kedro.studies.candidates import Candidate
    from lvo_kedro.studies.choice_rules import Look
    from lvo_kedro.studies.index import File

MAX_SERIES_BYTES: Final = 16 << 30
"""No series of a head has more files than that."""
_INTEGERS: Final = np.iinfo(np.int16)


class Seen(NamedTuple):
    """A candidate that was read."""

    scan: Scan | None
    """None where it cannot be read."""
    brain: nib.Nifti1Image | None
    """Its brain mask; None where no brain was found or none was looked for."""
    look: Look
    """What its pixels say."""


class ScanReader:
    """Reads candidates; the one that was read last is kept, as it is mostly the one chosen.

    Args:
        work: A folder for what is unpacked for a moment. It is the patients' own data.
        limits: Between which bounds a scan is accepted.
        brain: How the brain is found.
    """

    def __init__(
        self, work: Path, limits: ScanLimits = ScanLimits(), brain: BrainOptions = BrainOptions()
    ) -> None:
        self._work, self._limits, self._brain = work, limits, brain
        self._archives = Reader()
        self._last: tuple[tuple[File, ...], Seen] | None = None

    def close(self) -> None:
        """Close the archives."""
        self._archives.close()
        self._last = None

    def look(self, candidate: Candidate) -> Look:
        """Read a candidate and say what its pixels show.

        Args:
            candidate: Any; what cannot be read has ``unreadable``, the reason.
        """
        return self.see(candidate).look

    def see(self, candidate: Candidate, *, with_brain: bool = True) -> Seen:
        """Read a candidate, find its brain and measure both.

        Args:
            candidate: Any.
            with_brain: Whether a brain is looked for.
        """
        if self._last and self._last[0] == candidate.files:
            return self._last[1]
        self._last = None  # or two scans would be held
        try:
            scan = self.read(candidate)
        except ScanError as error:
            return Seen(None, None, {"unreadable": error.found})
        brain, look = None, {}
        if with_brain:
            try:
                brain = extract_brain(scan.ncct, self._brain)
                look = measure_scan(scan.ncct, brain, scan.contrast_named)
            except ScanError as error:
                look = {"no_brain": error.found}
        self._last = candidate.files, Seen(scan, brain, look)
        return self._last[1]

    def read(self, candidate: Candidate) -> Scan:
        """Read a candidate as a head CT.

        Args:
            candidate: Any.

        Raises:
            ScanError: It cannot be read as one.
        """
        if sum(file.size for file in candidate.files) > MAX_SERIES_BYTES:
            raise ScanError("a series of an absurd size", "a head CT", "choose another series")
        with tempfile.TemporaryDirectory(dir=self._work, prefix="series-") as folder:
            try:
                paths = self.unpack(candidate, Path(folder))
                if candidate.is_nifti and len(paths) > 1:
                    raise ScanError(
                        f"{len(paths)} NIfTI files of one name in exports of one name",
                        "one file",
                        "import these exports one after the other, into cohorts of their own",
                    )
                return read_scan(paths[0] if candidate.is_nifti else paths, self._limits)
            except (ScanError, MemoryError):
                raise
            except Exception as error:  # whatever a damaged archive makes its reader raise
                if isinstance(error, OSError) and error.errno in DISK:
                    raise
                raise ScanError(
                    f"a file that cannot be read any more ({type(error).__name__})",
                    "an export that stays as it is, in whole archives",
                    "copy the export again",
                ) from error

    def unpack(self, candidate: Candidate, folder: Path) -> list[Path]:
        """Return where the files lie; those of archives are unpacked, under names of our own.

        Args:
            candidate: Any.
            folder: For what is unpacked.
        """
        paths = {}
        for number, file in enumerate(sorted(candidate.files, key=lambda f: f.place.offset)):
            place = file.place
            if not place.container:
                paths[file.place] = Path(place.name)
                continue
            ending = ""
            if candidate.is_nifti:
                ending = ".nii.gz" if place.name.lower().endswith(".gz") else ".nii"
            path = folder / f"{number:06d}{ending}"
            with path.open("wb") as to:
                self._archives.read(Path(place.container), place.name, place.offset, file.size, to)
            paths[place] = path
        return [paths[file.place] for file in candidate.files]


def write_scan(path: Path, ncct: nib.Nifti1Image, brain: nib.Nifti1Image | None = None) -> None:
    """Write a scan with geometry alone beside its voxels, whole or not at all.

    HU are rounded to whole ones (int16). What scanners write are whole ones, so a straight, even
    series loses nothing; where a tilt or uneven steps were interpolated it is 0.5 HU at most.

    Args:
        path: ``.nii.gz``.
        ncct: float32 HU, RAS+.
        brain: Where it is given, what lies outside its hull and a margin becomes air.

    Raises:
        ScanError: The brain mask is empty.
    """
    image = ncct if brain is None else deface(ncct, brain)
    hu = np.clip(np.rint(image.dataobj), _INTEGERS.min, _INTEGERS.max).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(path) as part,
        part.open("wb") as raw,
        # neither name nor time: the same scan is the same file
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=5, mtime=0) as packed,
    ):
        make_image(hu, image.affine).to_stream(packed)
