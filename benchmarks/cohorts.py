"""Simulated cohorts of the detection benchmarks, stored once: scans, truth, priors, channels.

    python -m benchmarks.cohorts build/detectors/study [--name study] [--jobs 2]

``study``: 240 cases of the preset ``realistic`` from one scanner, of which the first 180 are those
of ``ablation.py``. ``other``: 300 new patients from another scanner, half from each of two seeds of
the simulator. ``mimic``: 120 more of the first scanner, all with dense arteries on both sides and a
small infarct without a clot. ``hard``: 180 cases with the seeds of the first 180 of ``study``,
preset ``hard``. Every second case has an occlusion, the five classes in turn. Priors are registered
with the simulator's own brain mask. Simulated data: no claim about patients.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nibabel as nib
import numpy as np
from joblib import Parallel, delayed

from lvo_kedro.artifacts import write_json
from lvo_kedro.detection import (
    CHANNELS,
    ChannelOptions,
    encode_channels,
    plan_grid,
    save_sample,
    stack_channels,
)
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.priors import Atlas, PriorOptions, compute_priors, load_atlas
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.simulation.options import OTHER_SCANNER
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from lvo_kedro.vocabulary import Side

SCANNER: dict[str, Any] = {"spacing_mm": 1.5, "slice_thickness_mm": (2.5, 3.0, 5.0)}
"""Coarser than the preset, for speed: the channels are sampled at 3 mm anyway."""
GRID = ChannelOptions(channels=CHANNELS, spacing_mm=3.0, shape=(52, 64, 48))
PRIORS = PriorOptions(spacing_mm=4.0)
TRUTH = ("ncct", "brain_mask", "vessel_labels", "occlusion_mask", "infarct_mask")
"""Images of a simulated case that are kept."""
MAPS = ("hemispheres", "territory_probability", "signed_difference", "difference")
"""Images of its priors that are kept."""


class Cohort(NamedTuple):
    """How one cohort is drawn."""

    cases: int
    seeds: tuple[int, ...]
    """First seed of each run of cases, which divide the cohort evenly."""
    changes: dict[str, Any]


FIRST_SEED = 40_000
COHORTS = {
    "study": Cohort(240, (FIRST_SEED,), {"difficulty": "realistic", **SCANNER}),
    "hard": Cohort(180, (FIRST_SEED,), {"difficulty": "hard", **SCANNER}),
    "other": Cohort(
        300, (1_000_000, 2_000_000), {"difficulty": "realistic", **SCANNER, **OTHER_SCANNER}
    ),
    "mimic": Cohort(
        120,
        (3_000_000,),
        {"difficulty": "realistic", **SCANNER, "mimic": 1.0, "dense_arteries": 1.0},
    ),
}


def case_name(number: int) -> str:
    """Return the id of a case."""
    return f"case-{number:03d}"


def options_of(cohort: Cohort, number: int) -> tuple[int, SimulationOptions]:
    """Return seed and options of a case: an occlusion in every second one, the classes in turn."""
    each = cohort.cases // len(cohort.seeds)
    seed = cohort.seeds[number // each] + number % each
    lvo = number % 2 == 1
    return seed, SimulationOptions(
        lvo=lvo,
        segment=SEGMENT_CLASSES[number // 2 % len(SEGMENT_CLASSES)] if lvo else None,
        side=side_of(number) if lvo else None,
        **cohort.changes,
    )


def side_of(number: int) -> Side:
    """Return the side on which an odd case is occluded."""
    return "left" if np.random.default_rng([77, number]).random() < 0.5 else "right"


def make_case(folder: Path, cohort: Cohort, number: int, atlas: Atlas) -> None:
    """Simulate and prepare one case, unless it is there."""
    own = folder / "cases" / case_name(number)
    if (own / "case.json").is_file():
        return
    own.mkdir(parents=True, exist_ok=True)
    seed, options = options_of(cohort, number)
    case = simulate_case(seed, options)
    ncct = make_image(case.ncct.get_fdata(dtype=np.float32), case.ncct.affine)
    priors = compute_priors(ncct, case.brain_mask, atlas, PRIORS)
    grid = plan_grid(ncct, priors, GRID, case.brain_mask)
    channels = stack_channels(
        ncct, case.vessel_labels, priors, grid, options=GRID, brain_mask=case.brain_mask
    )
    (folder / "samples").mkdir(exist_ok=True)
    save_sample(
        folder / "samples" / f"{case_name(number)}.safetensors",
        encode_channels(channels, GRID.channels, grid),
    )
    for name in TRUTH:
        nib.save(getattr(case, name), own / f"{name}.nii.gz")
    for name in MAPS:
        nib.save(getattr(priors, name), own / f"{name}.nii.gz")
    facts = {name: getattr(case, name) for name in ("lvo", "side", "segment", "age", "nihss")}
    facts |= {"thickness": case.slice_thickness, "hypodensity": case.hypodensity_hu}
    write_json(own / "case.json", {"case_id": case_name(number), "seed": seed, **facts})


def make_cases(folder: Path, cohort: Cohort, jobs: int = 1) -> None:
    """Simulate a cohort, or what of it is missing."""
    atlas = load_atlas()
    Parallel(jobs)(delayed(make_case)(folder, cohort, n, atlas) for n in range(cohort.cases))


def main() -> None:
    """Simulate what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="study", choices=list(COHORTS))
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    make_cases(given.folder, COHORTS[given.name], given.jobs)
    print(f"{COHORTS[given.name].cases} cases in {given.folder}")


if __name__ == "__main__":
    main()
