"""A folder with a few files that belong together, as one catalog entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import HTMLPreview

from lvo_kedro.artifacts import write_json
from lvo_kedro.datasets.cases import Case
from lvo_kedro.datasets.fields import typed_files, write_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


COMPLETE = "fields.json"
"""Lists the files of a folder that was written to the end."""


class FolderDataset(AbstractDataset["Mapping[str, Any]", Case]):
    """What a stage hands on beside its images: tables and records that are read and kept together.

    A node returns a dictionary; loading gives one whose fields are read when they are asked for.

    Args:
        path: The folder. It may hold other files as well.
        files: As of :class:`~lvo_kedro.datasets.CaseDataset`. A field that a node leaves out has no
            file.
        metadata: Ignored here; kedro-viz reads it.
    """

    def __init__(
        self,
        *,
        path: str,
        files: Sequence[str] | Mapping[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._files = typed_files(files)
        self.metadata = metadata

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [self._path / file for file in self._files]

    def load(self) -> Case:
        """Return the folder's fields."""
        return Case(self._path.name, self._path, self._files, "")

    def save(self, data: Mapping[str, Any]) -> None:
        """Write the fields.

        Raises:
            DatasetError: The catalog names no file for a field.
        """
        self._path.mkdir(parents=True, exist_ok=True)
        # a run that is stopped here must not leave new fields beside old ones that pass for theirs
        (self._path / COMPLETE).unlink(missing_ok=True)
        written = write_fields(self._path, data, self._files)
        for file in set(self._files) - set(written):
            (self._path / file).unlink(missing_ok=True)
        write_json(self._path / COMPLETE, written)

    def _exists(self) -> bool:
        if not (self._path / COMPLETE).is_file():
            return False
        written = json.loads((self._path / COMPLETE).read_text(encoding="utf-8"))
        return all((self._path / file).is_file() for file in written)

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "files": list(self._files)}


class ReportDataset(FolderDataset):
    """The report and the documents that go with it; kedro-viz shows the report.

    It lies in the folder of all tables, of which only these files are its own.

    Args:
        path: As for any folder, and likewise all others.
    """

    @property
    def report(self) -> Path:
        """The report's file."""
        return self._path / next(name for name in self._files if name.endswith(".html"))

    def preview(self) -> HTMLPreview:
        """Return the report's HTML."""
        return HTMLPreview(self.report.read_text(encoding="utf-8"))
