"""Where the datasets of a catalog lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvo_kedro.datasets.folder import FolderDataset

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol


def file_of(catalog: CatalogProtocol, name: str) -> Path:
    """Return the file or folder behind a catalog entry."""
    dataset: Any = catalog.get(name)
    return Path(str(getattr(dataset, "_filepath", None) or dataset._path))


def files_of(catalog: CatalogProtocol, name: str) -> list[Path]:
    """Return what belongs to a catalog entry: its file or folder, or only the files it names.

    A folder may hold more than an entry's files, pictures of patients for instance.
    """
    dataset: Any = catalog.get(name)
    if isinstance(dataset, FolderDataset):
        return dataset.paths
    return [file_of(catalog, name)]
