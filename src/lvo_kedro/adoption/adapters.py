"""The public cohorts that can be adopted, by name. A new one is a module and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lvo_kedro.adoption import cpaisd, cq500, isles24, topcow
from lvo_kedro.adoption.source import Adapter, AdoptionError, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lvo_kedro.adoption.material import Material

ADAPTERS: Final[dict[str, Adapter]] = {
    adapter.source.name: adapter for adapter in (isles24.ADAPTER, cq500.ADAPTER)
}
"""Public cohorts, by name."""
MATERIALS: Final[dict[str, Material]] = {
    material.source.name: material for material in (cpaisd.MATERIAL, topcow.TOPCOW, topcow.TOPBRAIN)
}
"""Public data that are no cohort, by name."""


def adapter_named(name: str) -> Adapter | Material:
    """Return what takes over a public cohort, or public data for another purpose.

    Args:
        name: As in :data:`ADAPTERS` or :data:`MATERIALS`.

    Raises:
        AdoptionError: There is none of this name; it lists those that there are.
    """
    known: dict[str, Adapter | Material] = {**ADAPTERS, **MATERIALS}
    if name not in known:
        names = ", ".join(sorted(known))
        raise AdoptionError(f"no public cohort named {name!r}", f"one of {names}", "name one")
    return known[name]


def attributions(names: Iterable[str]) -> list[Source]:
    """Return what a report has to say of the public cohorts in a table.

    Args:
        names: Of the column ``source``; empty and unknown ones are no public cohort.

    Returns:
        Each source once, in order of name.
    """
    sources = [adapter.source for adapter in ADAPTERS.values()]
    known = {source.name: source for one in sources for source in (one, one.as_simulated())}
    return [known[name] for name in sorted({*map(str, names)} & known.keys())]
