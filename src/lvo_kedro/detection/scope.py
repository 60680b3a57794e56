"""Whether a scan is like the cohort that the models were made with; if not, no call is given.

A model answers for any scan, also for one of another density, of another noise, or whose arteries
were not found, and then its answer means nothing. Plain numbers of the scan and the patient's age
must lie within what the training cases had, with a margin, and so must its distance from them in
the numbers that the side model weighs. No label takes part. What forbids a call whatever the
training cases had (contrast medium, bleeding, metal, no large arteries in the scan) is among the
findings of scan and priors.
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
    "slice_thickness_mm": ("slice thickness", "mm"),
    "age": ("age of the patient", "years"),
    "distance": ("distance of its arteries and tissue from the training cases'", "deviations"),
}
"""What is compared: its name and unit."""
CHILD: Final = "child"
"""1 for a patient under 18, by the cohort table or the scan's header; 0 for one who is not."""
CHILD_WORDS: Final = "the patient is under 18 years, the training cases are adults"
_ADULT_YEARS: Final = 18.0
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
    thickness_margin_mm: float = Field(default=0.5, ge=0)
    """By how much slices may be thicker than the thickest of the training cases."""
    age_margin_years: float = Field(default=10.0, ge=0)
    """By how much a patient may be younger or older than all training cases. Compared where at
    least half of their ages are known, and the patient's."""


def describe_case(
    features: SideFeatures, distance: float, age: float = float("nan")
) -> dict[str, float]:
    """Return what is compared of one case.

    Args:
        features: Of :func:`lvo_kedro.features.measure_sides`.
        distance: Of :meth:`lvo_kedro.detection.side_model.SideModel.distances`.
        age: Of the patient, in years; NaN where the cohort table does not have it.

    Returns:
        The numbers of :data:`WORDS`, and :data:`CHILD`; NaN for what is not known.
    """
    arteries = features.arteries
    return {
        **features.scan,
        CHILD: float(age < _ADULT_YEARS) if np.isfinite(age) else features.scan[CHILD],
        "age": float(age),
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
    thickness = float(max(case["slice_thickness_mm"] for case in cases))
    ranges["slice_thickness_mm"] = (0.0, thickness + options.thickness_margin_mm)
    return ranges | _learn_ages(cases, options)


def _learn_ages(
    cases: Sequence[Mapping[str, float]], options: ScopeOptions
) -> dict[str, tuple[float, float]]:
    """Learn what ages there are, where half of them or more are known."""
    ages, children = (
        np.array([case[name] for case in cases], dtype=float) for name in ("age", CHILD)
    )
    ages, children = ages[np.isfinite(ages)], children[np.isfinite(children)]
    learned = {}
    if 2 * ages.size >= len(cases):
        margin = options.age_margin_years
        learned["age"] = (max(0.0, float(ages.min()) - margin), float(ages.max()) + margin)
    if 2 * children.size >= len(cases):
        learned[CHILD] = (0.0, float(children.max()))
    return learned


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
        if not np.isfinite(value) or low <= value <= high:
            continue
        if name == CHILD:
            found[name] = CHILD_WORDS
            continue
        what, unit = WORDS[name]
        found[name] = f"{what} is {value:.1f} {unit}, expected {low:.1f} to {high:.1f}"
    return found
