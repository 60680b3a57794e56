"""The base of all option models.

Options are read from ``conf/*/parameters_*.yml``, validated once, and then handed on unchanged.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

Network = TypeVar("Network", bound="NetworkOptions")


class Options(BaseModel):
    """Frozen, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    without_influence: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where and how fast, not what: they make no result out of date."""

    renamed: ClassVar[dict[str, str]] = {}
    """Former names of fields and the present ones, which an error about a former one names."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_former_names(cls, given: Any) -> Any:
        former = [name for name in cls.renamed if isinstance(given, dict) and name in given]
        if former:
            raise ValueError("; ".join(f"{name} is now {cls.renamed[name]}" for name in former))
        return given


class StartOptions(Options):
    """Given weights that a training starts from instead of random ones."""

    weights: str
    """A model folder, one fold of nnU-Net's own, a ``.safetensors`` file, or a shipped name.

    A path is absolute or relative to the project folder; a name without separator and suffix is
    that of weights in :mod:`lvo_kedro.weights`.
    """
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    """What the file with the weights must hash to, where given."""
    leave_out: bool = False
    """Whether layers that do not fit may start at random, as without given weights."""

    @field_serializer("weights", when_used="json")
    def _without_folders(self, weights: str) -> str:
        """Show and record the last part alone: a folder above it may name a patient."""
        return PurePath(weights).name


class NetworkOptions(Options):
    """Where the networks of a stage are trained and applied, and what their training starts from.

    Given weights have an influence, by what they are and not by where they lie: whoever trains
    counts them (:class:`lvo_kedro.weights.Start`).
    """

    without_influence: ClassVar[frozenset[str]] = frozenset({"device", "devices", "start_from"})

    device: str = "auto"
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``..."""
    devices: tuple[str, ...] = ()
    """Devices that trainings take in turn instead of ``device``: training k the (k modulo n)-th.

    So that folds train side by side, ``fold_workers`` (``globals.yml``) must be as many.
    """

    start_from: StartOptions | None = None
    """Given weights to start from; ``None`` starts at random."""

    def of_training(self: Network, number: int) -> Network:
        """Return the options of training ``number`` (from 0): with a device of its own."""
        if not self.devices:
            return self
        device = self.devices[number % len(self.devices)]
        return self.model_copy(update={"device": device, "devices": ()})
