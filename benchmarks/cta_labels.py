"""Vessel labels from simulated angiographies against the simulation's truth.

    python -m benchmarks.cta_labels [--cases 40] [--seed 9000] [--difficulty realistic]

Each case is a simulated head with veins, moved by up to 8 mm along and 8 degrees about each axis
between the plain scan and the angiography; five of six have an occlusion, balanced over segments
and sides. Printed: the error of the registration at the arteries, Dice of C7, M1 and M2 on the open
and on the occluded side against labels drawn along the true courses, how often side and segment of
the occlusion are right, how far the proposed clot's middle is from the true one, and how often a
gap is seen in heads without an occlusion. As in a cohort table, it is known whether there is an
occlusion, not where.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from lvo_kedro.annotation import annotate, register_cta
from lvo_kedro.imaging import extract_brain
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.priors import load_atlas, register_atlas
from lvo_kedro.simulation import CtaOptions, SimulationOptions, simulate_case, simulate_cta
from lvo_kedro.simulation.arteries import label_arteries
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SEGMENT_CLASSES, SIDES

if TYPE_CHECKING:
    from lvo_kedro.annotation import Annotation
    from lvo_kedro.simulation import SimulatedCase

MOVED = CtaOptions(movement_mm=8.0, movement_deg=8.0)


def case_options(number: int, difficulty: str) -> SimulationOptions:
    """Return what case ``number`` is: which segment, which side, or none."""
    changes: dict[str, Any] = {
        "difficulty": difficulty,
        "lvo": number % 6 != 5,
        "side": SIDES[number % 2],
        "segment": SEGMENT_CLASSES[number % 5],
        "veins": 0.8,
        "vein_asymmetry": 0.3,
    }
    return SimulationOptions(**changes)


def measure(number: int, seed: int, difficulty: str) -> list[dict[str, Any]]:
    """Annotate one case; a row for each measure."""
    options = case_options(number, difficulty)
    case = simulate_case(seed + number, options)
    cta = simulate_cta(seed + number, options, MOVED)
    brain = extract_brain(case.ncct)
    ticks = [time.perf_counter()]
    alignment = register_cta(cta.cta, case.ncct)
    ticks.append(time.perf_counter())
    mapping = register_atlas(case.ncct, brain, load_atlas()).mapping
    ticks.append(time.perf_counter())
    found = annotate(case.ncct, cta.cta, alignment, mapping, occluded=case.lvo)
    ticks.append(time.perf_counter())
    points = np.concatenate([artery.points for artery in case.arteries])
    error = apply_affine(alignment.matrix, points) - apply_affine(cta.movement, points)
    rows = [
        {"measure": "registration error, mm", "value": np.median(np.linalg.norm(error, axis=1))},
        *_overlaps(case, found),
        *_calls(case, found),
    ]
    names = ("register the angiography", "register the atlas", "follow and complete")
    rows += [
        {"measure": f"seconds: {name}", "value": second - first}
        for name, first, second in zip(names, ticks[:-1], ticks[1:], strict=True)
    ]
    return [{"case": number, "thickness": case.slice_thickness, **row} for row in rows]


def _overlaps(case: SimulatedCase, found: Annotation) -> list[dict[str, Any]]:
    grid = grid_of(case.ncct)
    drawn = np.asarray(found.vessel_labels.dataobj)
    index = np.argwhere(drawn > 0)
    left = case.head.to_mni(apply_affine(grid.affine, index))[:, 0] < 0
    rows = []
    for side in SIDES:
        own = np.zeros(drawn.shape, bool)
        own[tuple(index[left == (side == "left")].T)] = True
        truth = label_arteries(grid, [a for a in case.arteries if a.side == side], 5.0)
        state = "occluded side" if side == case.side else "open side"
        for name, value in OCCLUSION_LABELS.items():
            pair = own & (drawn == value), truth == value
            dice = 2 * (pair[0] & pair[1]).sum() / (pair[0].sum() + pair[1].sum())
            rows.append({"measure": f"Dice {name}, {state}", "value": float(dice)})
    return rows


def _calls(case: SimulatedCase, found: Annotation) -> list[dict[str, Any]]:
    proposal = found.proposal
    if not case.lvo:
        return [{"measure": "gap seen without an occlusion", "value": float(proposal is not None)}]
    side = proposal is not None and proposal.side == case.side
    within = not found.record.get("below_limits", False)
    clot = np.concatenate([a.points[a.occluded] for a in case.arteries])
    middle = clot[len(clot) // 2]
    away = np.linalg.norm(proposal.centre - middle) if proposal is not None else np.inf
    segment = side and proposal is not None and proposal.segment == case.segment
    touched = side and proposal is not None and bool(set(proposal.parts) & _parts(case))
    return [
        {"measure": "side right", "value": float(side)},
        {"measure": "side right, by a gap within the limits", "value": float(side and within)},
        {"measure": "segment right", "value": float(segment)},
        {"measure": "segment right or overlapping", "value": float(touched)},
        {"measure": "middle of the clot off by, mm", "value": float(away)},
    ]


def _parts(case: SimulatedCase) -> set[str]:
    return set((case.segment or "").split("+"))


def main() -> None:
    """Annotate all cases and print their measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--difficulty", default="realistic")
    parser.add_argument("--table", help="CSV file for the measures of each case.")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for number in range(given.cases):
        rows += measure(number, given.seed, given.difficulty)
        print(f"{number + 1} of {given.cases}", end="\r", flush=True)
    table = pd.DataFrame(rows)
    if given.table:
        table.to_csv(given.table, index=False)
    groups = table.groupby("measure", sort=False)["value"]
    summary = groups.agg(["count", "mean", "median", "min", "max"])
    print(summary.round(3).to_string())


if __name__ == "__main__":
    main()
