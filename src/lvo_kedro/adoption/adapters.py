"""The public cohorts that can be adopted, by name. A new one is a module and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lvo_kedro.adoption import cq500, isles24
from lvo_kedro.adoption.source import Adapter, AdoptionError, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

ADAPTERS: Final[dict[str, Adapter]] = {
    adapter.source.name: adapter for adapter in (isles24.ADAPTER, cq500.ADAPTER)
}


def adapter_named(name: str) -> Adapter:
    """Return the adapter of a public cohort.

    Args:
        name: As in :data:`ADAPTERS`.

    Raises:
        AdoptionError: There is none of this name; it lists those that there are.
    """
    if name not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise AdoptionError(f"no public cohort named {name!r}", f"one of {known}", "name one")
    return ADAPTERS[name]


def attributions(names: Iterable[str]) -> list[Source]:
    """Return what a report has to say of the public cohorts in a table.

    Args:
        names: Of the column ``source``; empty and unknown ones are no public cohort.

    Returns:
        Each source once, in order of name.
    """
    return [ADAPTERS[name].source for name in sorted({*map(str, names)} & ADAPTERS.keys())]
