from __future__ import annotations

import pytest
from pydantic import ValidationError

from lvo_kedro.simulation import PRESETS, CohortOptions, SimulationOptions


def test_didactic_is_the_default() -> None:
    assert SimulationOptions() == SimulationOptions(difficulty="didactic")
    assert PRESETS["didactic"] == {}


def test_a_preset_sets_defaults_and_a_given_field_wins() -> None:
    options = SimulationOptions(difficulty="realistic", clot_hu=(60, 61))
    assert options.clot_hu == (60, 61)
    assert options.hypodensity_hu == PRESETS["realistic"]["hypodensity_hu"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"difficulty": "easy"},
        {"clot_hu": (75, 62)},
        {"slice_thickness_mm": ()},
        {"slice_thickness_mm": (0.1,)},
        {"segment": "M3"},
        {"colour": "blue"},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SimulationOptions(**wrong)


def test_external_scanner_changes_only_what_it_names() -> None:
    simulation = SimulationOptions(difficulty="realistic", clot_hu=(60, 61))
    options = CohortOptions(simulation=simulation, external_changes={"site": "x"})
    assert options.external_simulation == simulation.model_copy(update={"site": "x"})
