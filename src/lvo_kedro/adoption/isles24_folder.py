"""Where things lie in a folder of ISLES'24: both generations of names, upper and lower case."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lvo_kedro.adoption.source import AdoptionError

PARTS: Final = {"raw_data": "raw", "rawdata": "raw", "derivatives": "made", "phenotype": "table"}
"""Folders of the archive, in lower case, and what lies in them."""
_NAME: Final = re.compile(
    r"sub-stroke(?P<old>case)?(?P<number>\d{4})_ses-(?P<session>\d{1,4})_"
    r"(?P<role>[a-z0-9_-]+?)(?P<ending>\.nii\.gz|\.nii|\.csv|\.xlsx)"
)
ROLES: Final = {
    ("raw", 1, "ncct"): "ncct",
    ("raw", 1, "cta"): "cta",
    ("made", 1, "space-ncct_cta"): "cta_on_ncct",
    ("made", 1, "space-ncct_lvo-msk"): "lvo_mask",
    ("made", 1, "space-ncct_cow-msk"): "cow_mask",
    ("made", 2, "space-ncct_lesion-msk"): "lesion_mask",
    ("table", 1, "demographic_baseline"): "baseline",
}
"""By part, session and end of the name, what a file is. Nothing else is used."""
_OTHER_YEARS: Final = {"dwi", "adc", "flair"}
_EXPECTED: Final = (
    "a folder of ISLES'24 with raw_data/sub-strokeNNNN/ses-01/*_ncct.nii.gz and "
    "derivatives/sub-strokeNNNN/ses-01/*_space-ncct_lvo-msk.nii.gz (in older versions rawdata, "
    "sub-strokecaseNNNN, ses-0001)"
)


@dataclass
class Isles24Folder:
    """Files of each subject, by role."""

    root: Path
    version: str
    found: dict[str, dict[str, Path]]
    """By subject, in order, and role of :data:`ROLES`."""
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    """By subject, masks that are not used because their name does not say that they lie on the
    plain scan, or because there is a compressed copy."""
    workbooks: tuple[Path, ...] = ()
    """Spreadsheets beside the parts."""


def index_folder(folder: Path) -> Isles24Folder:
    """Find out what lies where.

    Args:
        folder: That of the archive, or one that holds it as ``train``.

    Returns:
        Subjects with a plain scan or an occlusion mask. Session and subject are taken from the
        files' names: folders of the older generation are named in two ways.

    Raises:
        AdoptionError: Another cohort or year, or an archive without the occlusion masks.
    """
    root, parts = _root_of(folder)
    files = [(kind, path) for path, kind in parts.items() for path in _files_below(path)]
    found: dict[str, dict[str, Path]] = {}
    passed: dict[str, list[str]] = {}
    old, others = set(), set()
    for kind, path in files:
        match = _NAME.fullmatch(path.name.lower())
        if match is None:
            continue
        subject, ending = f"sub-stroke{match['number']}", match["ending"]
        old.add(bool(match["old"]))
        role = ROLES.get((kind, int(match["session"]), match["role"]))
        if role is None or (ending in (".csv", ".xlsx")) != (role == "baseline"):
            others.add(match["role"])
            if match["role"].endswith("-msk"):
                passed.setdefault(subject, []).append(path.name)
            continue
        files_of = found.setdefault(subject, {})
        if role not in files_of:
            files_of[role] = path
            continue
        best, worst = sorted((files_of[role], path), key=_preference)
        files_of[role] = best
        passed.setdefault(subject, []).append(worst.name)
    _check_complete(root, found, others)
    version = "older names (sub-strokecase)" if old == {True} else "names since 2025 (sub-stroke)"
    if len(old) == 2:
        version = "older and newer names mixed"
    scanned = {name: roles for name, roles in sorted(found.items()) if roles.keys() != {"baseline"}}
    books = tuple(sorted(p for p in root.iterdir() if p.suffix.lower() == ".xlsx"))
    return Isles24Folder(root, version, scanned, passed, books)


def _preference(path: Path) -> tuple[bool, str]:
    """Compressed before uncompressed copies."""
    return path.suffix.lower() != ".gz", path.name


def _root_of(folder: Path) -> tuple[Path, dict[Path, str]]:
    for root in (folder, *(p for p in sorted(folder.iterdir()) if p.name.lower() == "train")):
        if root.is_dir():
            parts = {p: PARTS[p.name.lower()] for p in _folders(root) if p.name.lower() in PARTS}
            if {"raw", "made"} <= set(parts.values()):
                return root, parts
            if parts:
                missing = "derivatives" if "raw" in parts.values() else "raw_data"
                raise AdoptionError(
                    f"{', '.join(sorted(p.name for p in parts))} without {missing}",
                    _EXPECTED,
                    "unpack the whole of train.7z, and name the folder that holds its parts",
                )
    names = ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
    raise AdoptionError(
        f"a folder that holds {names}",
        _EXPECTED,
        "unpack train.7z, and name the folder that holds its parts",
    )


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def _files_below(folder: Path) -> list[Path]:
    """List all files, without following links out of the archive."""
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    )


def _check_complete(root: Path, found: dict[str, dict[str, Path]], others: set[str]) -> None:
    roles = {role for files in found.values() for role in files}
    if "ncct" not in roles and others & _OTHER_YEARS:
        raise AdoptionError(
            f"scans called {', '.join(sorted(others & _OTHER_YEARS))} and no ncct in {root.name}",
            _EXPECTED,
            "this looks like ISLES'22 (MRI alone); ISLES'24 is another archive",
        )
    if "ncct" not in roles:
        raise AdoptionError(
            f"{len(found)} subjects without any ncct", _EXPECTED, "unpack raw_data as well"
        )
    if "lvo_mask" not in roles:
        raise AdoptionError(
            f"{len(found)} subjects without any space-ncct_lvo-msk",
            "the version of the archive that has occlusion masks (lvo-msk) and vessels (cow-msk)",
            "download the newest version of the record",
        )
