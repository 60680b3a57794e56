"""A simulated study: plain scan and angiography of one head, with the map to MNI that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from lvo_kedro.annotation import CtaAlignment
from lvo_kedro.simulation import (
    CtaOptions,
    SimulatedCase,
    SimulatedCta,
    SimulationOptions,
    simulate_case,
    simulate_cta,
)

SHARP = CtaOptions(spacing_mm=1.0, slice_thickness_mm=1.0, noise_hu=(3.0, 3.0))


class TrueMapping:
    """The simulated head's own map in place of a registration."""

    def __init__(self, case: SimulatedCase) -> None:
        self.head = case.head

    def to_moving(self, points):
        return np.asarray(self.head.to_mni(points.T).T, np.float32)

    def to_fixed(self, points):
        return np.asarray(self.head.to_world(points.T).T, np.float32)


@dataclass
class Study:
    case: SimulatedCase
    cta: SimulatedCta

    @property
    def mapping(self) -> TrueMapping:
        return TrueMapping(self.case)

    @property
    def alignment(self) -> CtaAlignment:
        return CtaAlignment(self.cta.movement, 1.0, 0.0, 0.0)


def make_study(seed: int = 11, collaterals: float | None = 0.7, **changes: object) -> Study:
    told = {"lvo": True, "side": "right", "segment": "M1", "spacing_mm": 1.5}
    options = SimulationOptions(**{**told, "slice_thickness_mm": (2.5,), **changes})
    filling = {"no_collaterals": 1.0} if collaterals is None else {
        "no_collaterals": 0.0, "collaterals": (collaterals, collaterals)
    }  # fmt: skip
    cta = SHARP.model_copy(update=filling)
    return Study(simulate_case(seed, options), simulate_cta(seed, options, cta))


@pytest.fixture(scope="session")
def study() -> Study:
    """A right M1 occlusion, filled behind the clot by collaterals."""
    return make_study()
