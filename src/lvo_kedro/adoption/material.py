"""Public data that are no cohort of occlusions: pieces for another purpose, and their table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from lvo_kedro.adoption.source import Adapter, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import nibabel as nib

    from lvo_kedro.options import Options


@dataclass(frozen=True)
class Piece:
    """What one subject gives."""

    files: Mapping[str, Path | nib.Nifti1Image]
    """By path below the folder: a file of the archive, which is copied, or an image."""
    row: Mapping[str, str]
    """Of the table."""


class Collection(Protocol):
    """A folder in which such data were found."""

    @property
    def version(self) -> str:
        """The layout that was found, in words."""

    @property
    def notes(self) -> Sequence[str]:
        """What is remarkable about the folder as a whole."""

    @property
    def subjects(self) -> Sequence[str]:
        """Names of all subjects, in order."""

    def files(self, subject: str) -> Sequence[Path]:
        """Return all files on which a piece depends."""

    def piece(self, subject: str) -> Piece:
        """Return what a subject gives.

        Raises:
            LeftOut: Nothing, by the rules.
            CaseError: It cannot be used.
        """

    def check_place(self, out: Path) -> None:
        """Look whether a folder may be the one to write to.

        Raises:
            AdoptionError: Its name is of another form.
        """

    def summary(self, rows: Sequence[Mapping[str, str]]) -> Mapping[str, object]:
        """Return further files, by name below the folder: what JSON can express.

        Args:
            rows: Of all pieces.
        """


@dataclass(frozen=True)
class Material:
    """Takes over public data that are no cohort."""

    source: Source
    options: type[Options]
    """What can be decided otherwise."""
    find: Callable[[Path, Any], Collection]
    """Looks at a folder, with the options; raises as that of an
    :class:`~lvo_kedro.adoption.Adapter`."""
    table: str
    """Name of the table, which has a row per piece."""

    def at(self, folder: Path) -> Material:
        """Return this one, or for a folder of the simulator's one that says so everywhere.

        Args:
            folder: That is going to be adopted.
        """
        never: Any = self.find
        return replace(self, source=Adapter(self.source, self.options, never).at(folder).source)
