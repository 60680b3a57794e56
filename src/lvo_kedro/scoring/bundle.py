"""A *model bundle*: one folder with all that scoring needs, each part known by its digest.

``bundle.json`` lists every file with size and SHA-256, and holds the parameters, the definitions of
the datasets and the main figures of the training. Nothing in a bundle is unpickled, and no code is
taken from it: the types of its datasets are those of a short list.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from lvo_kedro import __version__
from lvo_kedro.artifacts import PART, sha256_of, write_json
from lvo_kedro.datasets.names import CASE_NAME
from lvo_kedro.errors import ModelError
from lvo_kedro.scoring.models import ATLAS, LOCAL, Definition, Models, files_of_models, place_of
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST: Final = "bundle.json"
FORMAT: Final = "lvo_kedro.bundle"
VERSION: Final = 1
TYPES: Final = {
    "lvo_kedro.datasets.CaseDataset",
    "lvo_kedro.datasets.FoldDataset",
    "lvo_kedro.datasets.FolderDataset",
    "lvo_kedro.datasets.FigureDataset",
    "lvo_kedro.datasets.NiftiDataset",
    "lvo_kedro.datasets.RecordTable",
    "kedro_datasets_experimental.safetensors.SafetensorsDataset",
    "json.JSONDataset",
    "pandas.CSVDataset",
}
"""Types of datasets that a bundle may name."""
AGAIN: Final = "get the bundle again from where it was made"


def write_bundle(models: Models, folder: Path) -> Path:
    """Write models as a bundle.

    Args:
        models: Of a project, or of another bundle.
        folder: Made here; it takes its place once it is whole.

    Returns:
        The manifest.

    Raises:
        ModelError: There is something else in the folder.
    """
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise ModelError("a folder for the bundle that is not empty", "a new folder", "name one")
    part = folder.with_name(f".{folder.name}{PART}")
    shutil.rmtree(part, ignore_errors=True)
    files = files_of_models(models.trained, models.parameters)
    for name, path in files.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, part / name)
    write_json(part / MANIFEST, _manifest(models, part, files))
    if folder.exists():
        folder.rmdir()
    part.rename(folder)
    return folder / MANIFEST


def _manifest(models: Models, folder: Path, names: Mapping[str, Path]) -> dict[str, Any]:
    described = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in sorted(names)
    }
    trained = {
        name: definition | {place: f"models/{Path(definition[place]).name}"}
        for name, definition in models.trained.items()
        for place in [place_of(definition)]
    }
    atlas = {ATLAS: "atlas"} if models.parameters.get(ATLAS) else {}
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"lvo_kedro {__version__}",
        "research_only": RESEARCH_ONLY,
        "versions": dict(models.versions),
        "figures": dict(models.figures),
        "parameters": dict(models.parameters) | atlas,
        "trained": trained,
        "scan": dict(models.scan),
        "parts": described,
    }


def open_bundle(folder: Path, source: str = "bundle") -> Models:
    """Check every part of a bundle and return its models.

    Args:
        folder: Of :func:`write_bundle`.
        source: What a result says of where they come from.

    Raises:
        ModelError: No bundle, one of another version, or a part that is not what the manifest says.
    """
    folder = folder.absolute()
    given = _read_manifest(folder)
    for name, known in given["parts"].items():
        _check_part(folder, name, known)
    parameters = given["parameters"]
    if parameters.get(ATLAS):
        parameters[ATLAS] = str(_inside(folder, parameters[ATLAS]))
    trained = {}
    for name, definition in given["trained"].items():
        place = _checked(definition)
        trained[name] = definition | {place: str(_inside(folder, definition[place]))}
    for definition in given["scan"].values():
        if not CASE_NAME.fullmatch(str(definition[_checked(definition)])):
            raise _damaged("a dataset of a scan that is not one name")
    parts = {name: known["sha256"] for name, known in given["parts"].items()}
    models = Models(trained, given["scan"], parameters, given["figures"], parts, given["versions"])
    for name in files_of_models(trained, parameters):
        if name not in parts:
            raise _damaged(f"'{name}', which {MANIFEST} does not list")
    return replace(models, source=source)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        given = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"no readable {MANIFEST}", "a bundle", "name a folder that 'kedro bundle' wrote"
        ) from error
    known = isinstance(given, dict) and given.get("format") == FORMAT
    version = given.get("version") if known else None
    if version != VERSION:
        raise ModelError(
            f"a {MANIFEST} of version {version}",
            f"version {VERSION}",
            "write the bundle again with this version of lvo_kedro, or install the one it is for",
        )
    wanted = ("versions", "figures", "parameters", "trained", "scan", "parts")
    if not all(isinstance(given.get(name), dict) for name in wanted):
        raise _damaged(f"a {MANIFEST} that is not whole")
    return dict(given)


def _check_part(folder: Path, name: str, known: Mapping[str, Any]) -> None:
    path = _inside(folder, name)
    if not path.is_file():
        raise ModelError(f"no part '{name}'", f"SHA-256 {known['sha256']}", AGAIN)
    size = path.stat().st_size
    if size != known["bytes"]:
        raise ModelError(f"part '{name}' of {size} bytes", f"{known['bytes']} bytes", AGAIN)
    found = sha256_of(path)
    if found != known["sha256"]:
        raise ModelError(f"part '{name}' with SHA-256 {found}", f"SHA-256 {known['sha256']}", AGAIN)


def _inside(folder: Path, name: str) -> Path:
    """Return a path in the bundle; one that leads out of it, also by a link, is refused."""
    path = folder / name
    plain = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
    if not plain or not path.resolve().is_relative_to(folder.resolve()):
        raise _damaged("a part whose place leads out of the bundle")
    return path


def _checked(definition: Definition) -> str:
    """Return the key of a definition's place; its types must be known ones."""
    for kind in _types_in(definition):
        if kind not in TYPES:
            raise _damaged(f"a dataset of type '{kind}'")
    if local := sorted(set(definition) & set(LOCAL)):  # such as a scheduler to send scans to
        raise _damaged(f"a dataset with {', '.join(local)}")
    return place_of(definition)


def _types_in(value: Any, files: bool = False) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if (key == "type" and not files) or (files and isinstance(item, str)):
            yield str(item)
        else:
            yield from _types_in(item, files=key == "files")


def _damaged(what: str) -> ModelError:
    return ModelError(f"{what} in the bundle", "a bundle as it was written", AGAIN)
