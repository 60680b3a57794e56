"""A model folder's table of contents: what is in it, made from what, with what.

A folder is loaded only when every file is the one that the manifest lists: a copy that broke
off, a file from another training or a forgotten edit is found before it gives a wrong result.
"""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from lvo_kedro.artifacts import sha256_of, write_json
from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFEST = "manifest.json"
MODEL_FILES = ("plans.json", "dataset*.json", "history.csv", "fold_*/*")
"""What belongs to a model; whoever keeps the folder may have files of their own beside it."""

_PACKAGES = ("nnunetv2", "torch", "numpy", "batchgeneratorsv2", "dynamic-network-architectures")


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``manifest.json``: the given facts, package versions and the sha256 of every file.

    Files that are not a model's own (:data:`MODEL_FILES`) are nobody's business here.
    """
    manifest = {
        **facts,
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        "files": {name: sha256_of(folder / name) for name in _files(folder)},
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check a model folder's manifest.

    Raises:
        ModelError: Where the manifest is absent or unreadable, or a file is missing or altered.
    """
    remedy = "train this fold again, or copy the whole folder again"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"no readable {MANIFEST} in {folder} ({type(error).__name__})",
            "a model folder with a manifest",
            remedy,
        ) from error
    wrong = []
    for name, expected in sorted(listed.items()):
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif sha256_of(path) != expected:
            wrong.append(f"{name} was altered")
    if wrong:
        raise ModelError(
            f"in {folder}: {'; '.join(wrong)}", "the files that its manifest lists", remedy
        )
    return manifest


def _files(folder: Path) -> list[str]:
    found = (p for pattern in MODEL_FILES for p in folder.glob(pattern) if p.is_file())
    return sorted(p.relative_to(folder).as_posix() for p in found)
