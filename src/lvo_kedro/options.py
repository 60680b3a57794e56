"""The base of all option models.

Options are read from ``conf/*/parameters_*.yml``, validated once, and then handed on unchanged.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Frozen, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
