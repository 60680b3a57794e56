"""How far clot reaches where no contrast shows its end: it is denser than the blood behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lvo_kedro.annotation.courses import STEP_MM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvo_kedro.annotation.contrast import Enhancement

_LONGEST_CLOT_MM: Final = 25.0
"""Of a clot whose far end no contrast shows."""
_SHORTEST_CLOT_MM: Final = 5.0
_DENSER_HU: Final = 4.0
"""How much denser than the blood beyond a clot must be to show its far end."""


def dense_points(found: Enhancement, line: NDArray[np.float64]) -> int | None:
    """Return how many points of a line, from its start on, lie in clot.

    Args:
        found: Both scans around the arteries.
        line: (N, 3) world mm, from where a clot begins to the end of what is not filled.

    Returns:
        The place of the fall in density that explains most of its variance, in both scans; None
        without a fall.
    """
    density = found.peak(found.lumen, line)[: round(2 * _LONGEST_CLOT_MM / STEP_MM)]
    low, high = (round(mm / STEP_MM) for mm in (_SHORTEST_CLOT_MM, _LONGEST_CLOT_MM))
    best, count, largest = None, len(density), 0.0
    for place in range(low, min(high, count - low)):
        fall = float(density[:place].mean() - density[place:].mean())
        between = fall**2 * place * (count - place)  # the variance that the border explains
        if fall > _DENSER_HU and between > largest:
            best, largest = place, between
    return best
