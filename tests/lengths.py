"""Which cases of a sweep the short suite runs; ``make test-all`` runs them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_of(count: int, cases: Iterable[Any]) -> list[Any]:
    """Return the cases of a ``parametrize``, marked ``long`` but for each ``count``-th.

    Args:
        count: The first case is short, and every so many-th after it.
        cases: A tuple is the arguments of one case; for tests of a single argument, that argument.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if number % count == 0 else pytest.mark.long,
        )
        for number, case in enumerate(cases)
    ]
