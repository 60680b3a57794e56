"""The base of all option models.

Options are read from ``conf/*/parameters_*.yml``, validated once, and then handed on unchanged.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

Network = TypeVar("Network", bound="NetworkOptions")


class Options(BaseModel):
    """Frozen, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    without_influence: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where and how fast, not what: they make no result out of date."""


class NetworkOptions(Options):
    """Where the networks of a stage are trained and applied."""

    without_influence: ClassVar[frozenset[str]] = frozenset({"device", "devices"})

    device: str = "auto"
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``..."""
    devices: tuple[str, ...] = ()
    """Devices that trainings take in turn instead of ``device``: training k the (k modulo n)-th.

    So that folds train side by side, ``fold_workers`` (``globals.yml``) must be as many.
    """

    def of_training(self: Network, number: int) -> Network:
        """Return the options of training ``number`` (from 0): with a device of its own."""
        if not self.devices:
            return self
        device = self.devices[number % len(self.devices)]
        return self.model_copy(update={"device": device, "devices": ()})
