"""On simulated scans, detectors that were told where tissue is dark explain themselves there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest

from lvo_kedro.detection import (
    ChannelOptions,
    TrainingOptions,
    encode_channels,
    explain,
    load_detector,
    mass_by_side,
    open_sample,
    plan_grid,
    save_sample,
    score_cases,
    stack_channels,
    train_fold,
)
from lvo_kedro.evaluation import auc_interval
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.priors import PriorOptions, compute_priors, load_atlas
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.vocabulary import SEGMENT_CLASSES, Side

pytestmark = pytest.mark.long

CASES = 24
QUICK = PriorOptions(spacing_mm=6.0, iterations=(10, 0, 0), mirror_iterations=(10, 0, 0))
CHANNELS = ChannelOptions(
    channels=("ncct", "vessels", "territory", "hypodensity"), spacing_mm=4.0, shape=(40, 48, 36)
)
EASY = {
    "spacing_mm": 3.0,
    "slice_thickness_mm": (3.0,),
    "hypodensity_hu": (14, 16),
    "territory_part": (0.8, 1.0),
    "clot_hu": (68, 75),
    "old_infarct": 0,
    "mimic": 0,
}
"""Infarcts that sixteen training cases are enough for."""


class Study(NamedTuple):
    """Stored samples, where the brain's halves lie, and the occluded side (None: no occlusion)."""

    samples: dict[str, Path]
    hemispheres: dict[str, nib.Nifti1Image]
    sides: dict[str, Side | None]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder, atlas = tmp_path_factory.mktemp("simulated"), load_atlas()
    made = Study({}, {}, {})
    for number in range(CASES):
        name, lvo = f"case-{number:02d}", number % 2 == 1
        side: Side | None = ("left", "right")[number // 4 % 2] if lvo else None
        segment = SEGMENT_CLASSES[number // 2 % len(SEGMENT_CLASSES)] if lvo else None
        case = simulate_case(
            900 + number, SimulationOptions(lvo=lvo, side=side, segment=segment, **EASY)
        )
        ncct = make_image(case.ncct.get_fdata(dtype=np.float32), case.ncct.affine)
        priors = compute_priors(ncct, case.brain_mask, atlas, QUICK)
        grid = plan_grid(ncct, priors, CHANNELS, case.brain_mask)
        channels = stack_channels(
            ncct, case.vessel_labels, priors, grid, options=CHANNELS, brain_mask=case.brain_mask
        )
        made.samples[name] = folder / f"{name}.safetensors"
        save_sample(made.samples[name], encode_channels(channels, CHANNELS.channels, grid))
        made.hemispheres[name], made.sides[name] = priors.hemispheres, side
    return made


def test_maps_of_held_out_occlusions_lie_on_their_side(study, tmp_path):
    labels = {name: int(side is not None) for name, side in study.sides.items()}
    options = TrainingOptions(base_width=8, epochs=25, checkpoint_every=25, device="cpu")
    scores, on_side = {}, {}
    for fold in (0, 1):
        inside = [name for n, name in enumerate(labels) if n // 2 % 2 != fold]
        outside = [name for n, name in enumerate(labels) if n // 2 % 2 == fold]
        train_fold(tmp_path / str(fold), study.samples, labels, inside, outside, options)
        detector = load_detector(tmp_path / str(fold), "cpu")
        scores |= score_cases(detector, {name: study.samples[name] for name in outside})
        for name in outside:
            halves, side = study.hemispheres[name], study.sides[name]
            if side is not None:
                heat = explain(detector, open_sample(study.samples[name]), halves)
                mass = mass_by_side(heat, halves)
                on_side[name] = mass[side] > sum(mass.values()) / 2
    values = np.array(list(scores.values()))
    assert auc_interval(np.array([labels[name] for name in scores]), values).value > 0.85
    true_positives = [name for name in on_side if scores[name] > np.median(values)]
    assert len(true_positives) >= CASES // 3
    assert np.mean([on_side[name] for name in true_positives]) >= 0.7
