"""The base of all option models.

Options are read from ``conf/*/parameters_*.yml``, validated once, and then handed on unchanged.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Frozen, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    without_influence: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where and how fast, not what: they make no result out of date."""
