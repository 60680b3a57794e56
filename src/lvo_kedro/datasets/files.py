"""Where the datasets of a catalog lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol


def file_of(catalog: CatalogProtocol, name: str) -> Path:
    """Return the file or folder behind a catalog entry."""
    dataset: Any = catalog.get(name)
    return Path(str(getattr(dataset, "_filepath", None) or dataset._path))
