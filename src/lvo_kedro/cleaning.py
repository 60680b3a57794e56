"""What of a data folder can be computed again, what it takes of the disk, and its removal.

Only folders of cases or folds are ever removed, which are known by their index (``cases.json``).
Tables, reports and what else lies in a data folder take little, and stay.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from click import ClickException

from lvo_kedro.datasets.cases import INDEX
from lvo_kedro.tracking import DATABASE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

RAW = "01_raw"
MODELS = "06_models"
STAGES = (
    *("02_intermediate", "03_primary", "04_feature", "05_model_input", MODELS),
    *("07_model_output", "08_reporting"),
)
"""Folders below the data folder in which something that was computed lies."""
SCORED = "07_model_output/new"
"""What ``kedro score`` left: its scans may no longer be there to be scored again."""
SHUFFLED = "detectors"
"""Name of a folder with models outside of :data:`MODELS`: those of the permutation test."""
REMOVED = ".removed"
"""Ending of a folder that is being removed; its name begins with a dot."""


class NoDataError(ClickException):
    """A folder that is none of this project's; shown on the command line as it is."""


@dataclass(frozen=True)
class Item:
    """A folder that can be removed.

    Attributes:
        path: Relative to the data folder.
        kind: ``cases``, ``models`` or ``runs``.
        folders: How many cases or folds (or runs and experiments) lie in it.
        size: Bytes of its files.
    """

    path: Path
    kind: str
    folders: int
    size: int


@dataclass(frozen=True)
class Survey:
    """What there is: folders that can be removed, and links, which are left alone.

    Attributes:
        items: In the order of the stages.
        links: Relative to the data folder.
    """

    items: tuple[Item, ...]
    links: tuple[Path, ...]


def survey(data: Path, runs: Path | None = None) -> Survey:
    """Measure the folders of cases, folds and tracked runs below a data folder.

    Nothing is written, and no link is followed.

    Args:
        data: The data folder.
        runs: The folder of the tracking database; one that lies elsewhere is not seen.

    Raises:
        NoDataError: The folder has nothing of this project's layout.
    """
    data = data.resolve()
    found = [folder for stage in STAGES for folder in _folders_of_cases(data / stage)]
    if not found and not (data / RAW / "cases.csv").is_file():
        raise NoDataError(
            f"{data} has neither {RAW}/cases.csv nor a computed folder ({', '.join(STAGES)}); "
            "expected the data folder of this project: set 'data' in conf/local/globals.yml, or "
            "name its environment (--env demo)"
        )
    if runs is not None and (runs / DATABASE).is_file() and runs.resolve().parent == data:
        found.append(runs.resolve())
    links = [folder.relative_to(data) for folder in found if folder.resolve() != folder]
    items = [_measure(data, folder) for folder in found if folder.resolve() == folder]
    return Survey(tuple(items), tuple(links))


def remove(data: Path, items: Iterable[Item]) -> None:
    """Remove folders: each is gone at once, so that no half of it can pass for a result.

    Args:
        data: The data folder, which nobody else works on.
        items: Of :func:`survey`.
    """
    data = data.resolve()
    for item in items:
        folder = gone = data / item.path
        if folder.suffix != REMOVED:  # else left by a removal that was stopped
            gone = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{REMOVED}")
            folder.rename(gone)
        shutil.rmtree(gone)


def as_table(found: Survey, chosen: Collection[Item]) -> str:
    """Return what there is as lines of text: bytes, folders, and what would become of them.

    Args:
        found: All of a data folder.
        chosen: Those of its items that would be removed.
    """
    lines = [f"{'':<7}{'size':>10}{'folders':>9}{'each':>10}"]
    for item in found.items:
        fate = "remove" if item in chosen else "keep"
        each = in_words(item.size / item.folders) if item.folders else ""
        numbers = f"{in_words(item.size):>10}{item.folders:>9}{each:>10}"
        lines.append(f"{fate:<7}{numbers}  {item.path.as_posix()}")
    lines += [f"{'keep':<7}{'(a link)':>29}  {link.as_posix()}" for link in found.links]
    return "\n".join(lines)


def in_words(size: float) -> str:
    """Return a number of bytes with a unit, in powers of ten as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            break
        size /= 1000
    else:
        unit = "TB"
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"


def _folders_of_cases(stage: Path) -> list[Path]:
    """Return a stage's folders of cases, also those of runs on shuffled labels or changed scans."""
    new = stage.parent / SCORED
    found = [index.parent for depth in ("*", "*/*") for index in stage.glob(f"{depth}/{INDEX}")]
    found += [folder for depth in (".*", "*/.*") for folder in stage.glob(f"{depth}{REMOVED}")]
    return sorted({f for f in found if not f.is_relative_to(new) and f.parent not in found})


def _measure(data: Path, folder: Path) -> Item:
    path = folder.relative_to(data)
    kind = "cases" if path.parts[0] in STAGES else "runs"
    if kind == "cases" and (path.parts[0] == MODELS or folder.name == SHUFFLED):
        kind = "models"
    size = sum(
        os.lstat(os.path.join(top, name)).st_size
        for top, _, names in os.walk(folder)
        for name in names
    )
    inside = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."]
    return Item(path, kind, len(inside), size)
