"""What is known of a public cohort, and what every adapter must be able to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from lvo_kedro.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lvo_kedro.adoption.cases import AdoptedCase
    from lvo_kedro.options import Options


SIMULATED: Final = "SIMULATED.txt"
"""File beside the parts of a folder that the simulator wrote in the layout of a cohort."""


class AdoptionError(CaseError):
    """A folder that is not the public cohort it should be, or a file of it that cannot be used."""


@dataclass(frozen=True)
class Source:
    """A public cohort: where it comes from and what its publishers ask for."""

    name: str
    """As on the command line and in the column ``source`` of the cohort table."""
    title: str
    records: tuple[str, ...]
    """Addresses where it is published."""
    licence: str
    attribution: str
    """The sentence that has to stand beside whatever is published of it."""
    citation: str
    checked: str
    """What the adapter was checked against, said as it is."""
    limits: tuple[str, ...] = ()
    """What evaluations on it do not show."""
    simulated: bool = False
    """Whether it only has the layout of that cohort."""

    def as_simulated(self) -> Source:
        """Return what has to be said of a simulated folder in this cohort's layout."""
        return replace(
            self,
            name=f"{self.name}-simulated",
            title=f"Simulated folder in the layout of {self.title}",
            records=(),
            licence="Apache-2.0, as this software",
            attribution=f"Simulated by lvo_kedro; holds no data of {self.title}.",
            citation="",
            simulated=True,
        )


class Archive(Protocol):
    """A folder in which a cohort was found."""

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
        """Return all files on which the case of a subject depends."""

    def case(self, subject: str) -> AdoptedCase:
        """Return the case of a subject.

        Raises:
            CaseError: The subject cannot be used.
        """


@dataclass(frozen=True)
class Adapter:
    """Takes over one public cohort."""

    source: Source
    options: type[Options]
    """What can be decided otherwise; its defaults are the rules that the docs describe."""
    find: Callable[[Path, Any], Archive]
    """Looks at a folder, with the options. Raises :class:`AdoptionError` where it is another
    cohort, another version or incomplete, saying what was found and what was expected."""

    def at(self, folder: Path) -> Adapter:
        """Return this adapter, or for a folder of the simulator's one that says so everywhere.

        Args:
            folder: That is going to be adopted.
        """
        marks = (SIMULATED, f"*/{SIMULATED}", f"*/*/{SIMULATED}")  # as deep as archives are found
        if not any(any(folder.glob(mark)) for mark in marks):
            return self
        return replace(self, source=self.source.as_simulated())
