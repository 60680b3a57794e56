"""The files of one case: each field of what a task returns has one, written by its own dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    from pathlib import Path

TYPES: Mapping[str, Any] = {
    ".nii.gz": "lvo_kedro.datasets.NiftiDataset",
    ".json": "json.JSONDataset",
    ".csv": {"type": "pandas.CSVDataset", "save_args": {"index": False}},
    ".png": {"type": "lvo_kedro.datasets.FigureDataset", "svg": False},
    ".safetensors": {
        "type": "kedro_datasets_experimental.safetensors.SafetensorsDataset",
        "backend": "torch",
    },
    ".html": "text.TextDataset",
    ".md": "text.TextDataset",
}
"""Dataset of a file by its suffix, where the catalog names none."""


def typed_files(files: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset of each file: the given one, or the one that its suffix tells."""
    given = files if isinstance(files, Mapping) else dict.fromkeys(files)
    return {name: kind or TYPES["." + name.split(".", 1)[1]] for name, kind in given.items()}


def field_of(file: str) -> str:
    """Return the field of a file: its name up to the first dot."""
    return file.split(".", maxsplit=1)[0]


def write_fields(folder: Path, fields: Mapping[str, Any], files: Mapping[str, Any]) -> list[str]:
    """Write each field to its file, by the dataset that ``files`` names; return the files."""
    by_field = {field_of(file): file for file in files}
    unknown = sorted(set(fields) - set(by_field))
    if unknown:
        raise DatasetError(f"the catalog names no file for {', '.join(unknown)}")
    for field, value in fields.items():
        dataset_at(files[by_field[field]], folder / by_field[field]).save(value)
    return sorted(by_field[field] for field in fields)


def dataset_at(definition: Any, path: Path) -> AbstractDataset[Any, Any]:
    """Return the dataset of a definition (its type, or a mapping with it) at a path."""
    config = dict(definition) if isinstance(definition, Mapping) else {"type": definition}
    return AbstractDataset.from_config(path.name, config | {"filepath": path.as_posix()})
