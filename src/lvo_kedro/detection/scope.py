"""Whether a scan is like the cohort that the models were made with; if not, no call is given.

A model answers for any scan, also for one of another density, of another noise, or whose arteries
were not found, and then its answer means nothing. Four plain numbers of the scan must lie within
what the training cases had, with a margin, and so must its distance from them in the numbers that
the side model weighs. No label takes part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import Field

from lvo_kedro.features import BLOOD, CORE
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvo_kedro.features import SideFeatures

WORDS: Final[dict[str, tuple[str, str]]] = {
    "brain_median_hu": ("median density of the brain", "HU"),
    "noise_hu": ("noise", "HU"),
    "blood_hu": ("density of the blood in the large arteries", "HU"),
    "arteries": ("number of C7, M1 and M2 found on both sides", "of 6"),
    "distance": ("distance of its arteries and tissue from the training cases'", "deviations"),
}
"""What is compared: its name and unit."""
LEAST_ARTERIES: Final = 3.0
"""Missing arteries say nothing, and a call can do without some; not without most of them."""
BOTH_ENDS: Final = ("brain_median_hu", "noise_hu", "blood_hu")


class ScopeOptions(Options):
    """How far a scan may lie from the training cases before no call is given."""

    enabled: bool = True
    """Whether scans out of scope get no call."""
    margin: float = Field(default=0.5, ge=0)
    """By how much of the training cases' own width (1st to 99th percentile) a number may lie
    beyond it."""


def describe_case(features: SideFeatures, distance: float) -> dict[str, float]:
    """Return what is compared of one case.

    Args:
        features: Of :func:`lvo_kedro.features.measure_sides`.
        distance: Of :meth:`lvo_kedro.detection.side_model.SideModel.distances`.

    Returns:
        The numbers of :data:`WORDS`.
    """
    arteries = features.arteries
    return {
        **features.scan,
        "blood_hu": float(arteries[BLOOD].iloc[0]),
        "arteries": float(arteries[CORE].notna().sum()),
        "distance": float(distance),
    }


def learn_scope(
    cases: Sequence[Mapping[str, float]], options: ScopeOptions = ScopeOptions()
) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value that a scan may have, by number.

    Args:
        cases: The training cases, of :func:`describe_case`.
        options: The margin.

    Returns:
        Plain numbers, for JSON. A number that no case has is not compared.
    """
    ranges: dict[str, tuple[float, float]] = {"arteries": (LEAST_ARTERIES, 6.0)}
    for name in (*BOTH_ENDS, "distance"):
        values = np.array([case[name] for case in cases], dtype=float)
        values = values[np.isfinite(values)]
        if values.size:
            low, high = np.percentile(values, [1, 99]).tolist()
            spare = options.margin * (high - low)
            ranges[name] = (low - spare if name in BOTH_ENDS else 0.0, high + spare)
    return ranges


def reasons_against(
    case: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, str]:
    """Say in which numbers a case is unlike the training cases.

    Args:
        case: Of :func:`describe_case`.
        ranges: Of :func:`learn_scope`.

    Returns:
        By number that is out of range: the reason in words; none for a case within scope. Blood
        that could not be measured is no reason by itself: ``arteries`` says that.
    """
    found = {}
    for name, (low, high) in ranges.items():
        value = case[name]
        if np.isfinite(value) and not low <= value <= high:
            what, unit = WORDS[name]
            found[name] = f"{what} is {value:.1f} {unit}, expected {low:.1f} to {high:.1f}"
    return found
