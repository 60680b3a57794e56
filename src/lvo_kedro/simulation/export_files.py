"""The forms in which archives give studies: folders, a DICOMDIR, packed, doubled, cut off."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING, Final

from pydicom.fileset import FileSet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import FileDataset

Files = list[list["FileDataset"]]
"""Of a study, by series."""


def write_files(form: str, own: Path, files: Files) -> None:
    """Write a study.

    Args:
        form: One of :data:`~lvo_kedro.simulation.export_plan.FORMS`; nested folders for those
            that are peculiar in their series alone.
        own: Its folder, or where an archive has another ending.
        files: What to write.
    """
    _FORMS.get(form, _write_nested)(own, files)


def _write_nested(own: Path, files: Files, ending: str = ".dcm") -> None:
    for series in files:
        inner = own / f"SER{int(series[0].SeriesNumber):03d}"
        inner.mkdir(parents=True, exist_ok=True)
        for file in series:
            name = f"IM{int(file.InstanceNumber):04d}{ending}"
            file.save_as(inner / name, enforce_file_format=True)


def _write_flat(own: Path, files: Files) -> None:
    """All series in one folder, without endings."""
    own.mkdir(parents=True)
    for n, file in enumerate(file for series in files for file in series):
        file.save_as(own / f"I{(7919 * n) % 100_003:06d}", enforce_file_format=True)


def _write_doubled(own: Path, files: Files) -> None:
    _write_nested(own, files)
    _write_nested(own.with_name(own.name + "_copy"), files[1:2])


def _write_truncated(own: Path, files: Files) -> None:
    _write_nested(own, files)
    path = sorted((own / "SER002").iterdir())[5]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _write_dicomdir(own: Path, files: Files) -> None:
    media = FileSet()
    for series in files:
        for file in series:
            media.add(file)
    media.write(own.parent / "CD")


def _write_zip(own: Path, files: Files) -> None:
    _write_nested(own, files)
    with zipfile.ZipFile(own.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(own.rglob("*.dcm")):
            archive.write(path, path.relative_to(own))
    shutil.rmtree(own)


def _write_tar(own: Path, files: Files) -> None:
    _write_nested(own, files)
    with tarfile.open(own.with_suffix(".tar.gz"), "w:gz", compresslevel=1) as archive:
        archive.add(own, own.name)
    shutil.rmtree(own)


_FORMS: Final[dict[str, Callable[[Path, Files], None]]] = {
    "no ending": _write_flat,
    "DICOMDIR": _write_dicomdir,
    "zip": _write_zip,
    "tar.gz": _write_tar,
    "doubled": _write_doubled,
    "truncated": _write_truncated,
}
