"""Named sets of defaults for :class:`~lvo_kedro.simulation.SimulationOptions`."""

from __future__ import annotations

from typing import Any, Final

_REALISTIC: Final[dict[str, Any]] = {
    "spacing_mm": 1.0,
    "slice_thickness_mm": (0.625, 1.0, 1.25, 2.5, 3.0, 5.0),
    "noise_hu": (3.0, 5.5),
    "shading_hu": 1.0,
    "clot_hu": (50.0, 75.0),
    "clot_length_mm": (5.0, 20.0),
    "hypodensity_hu": (0.0, 10.0),
    "territory_part": (0.3, 1.0),
    "blood_hu": (32.0, 50.0),
    "dense_arteries": 0.15,
    "calibre_asymmetry": 0.08,
    "calcification": 0.45,
    "old_infarct": 0.35,
    "mimic": 0.2,
    "atrophy": (0.0, 0.8),
    "deformation_mm": 3.0,
    "rotation_deg": 12.0,
    "pitch_deg": 15.0,
}

_HARD: Final[dict[str, Any]] = {
    **_REALISTIC,
    "petalia_mm": (-3.0, 8.0),
    "ventricle_asymmetry": 0.15,
    "sulcal_asymmetry": 0.2,
    "skull_asymmetry_mm": 1.0,
    "invisible_infarct": 1 / 3,
    "territory_part": (0.1, 0.8),
    "infarct_scatter": 1.0,
    "white_matter_loss": 0.4,
    "lesion_irregularity": 0.3,
    "lesion_patchiness": 0.25,
    "lesions_anywhere": True,
    "old_infarct": 0.5,
    "mimic": 0.35,
    "veins": 0.8,
    "vein_asymmetry": 0.3,
    "interpetrous_hu": (2.0, 10.0),
    "streak_hu": (0.0, 5.0),
    "cupping_hu": (0.0, 3.0),
    "beam_asymmetry": 0.25,
}

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "didactic": {},
    "realistic": _REALISTIC,
    "hard": _HARD,
}
"""Defaults that a preset changes; see docs/simulation.md for what each is meant for."""
