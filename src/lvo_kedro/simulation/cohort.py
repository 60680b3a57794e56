"""A plan for a whole cohort: one row per scan, balanced over segments and sides."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from lvo_kedro.simulation.options import CohortOptions, SimulationOptions
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SegmentClass, Side

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS: Final = (
    "case_id", "patient_id", "split", "lvo", "side", "segment", "site", "age", "sex", "nihss",
    "slice_thickness_mm", "has_vessel_labels", "has_occlusion_mask", "has_cta", "seed",
    "patient_seed",
)  # fmt: skip
"""Columns of a plan; ``side`` and ``segment`` are missing without an occlusion."""

_SPLITS: Final = ("development", "external")


def plan_cohort(options: CohortOptions) -> pd.DataFrame:
    """Plan a simulated cohort without simulating it.

    Args:
        options: Sizes, prevalence, scanners, seed.

    Returns:
        One row per scan with :data:`COLUMNS`. Each split has its own scanner and prevalence; the
        occluded patients are balanced over the five segment classes and both sides; a few
        patients have two scans (one anatomy, two positions and noises).
    """
    rows: list[dict[str, object]] = []
    patients = 0
    for number, split in enumerate(_SPLITS):
        rng = np.random.default_rng([options.seed, number])
        for patient in _plan_patients(rng, split, options):
            patients += 1
            scans = patient.pop("scans")
            for _ in range(int(str(scans))):
                rows.append(
                    {
                        **patient,
                        "case_id": f"sim-{len(rows) + 1:04d}",
                        "patient_id": f"patient-{patients:04d}",
                        "split": split,
                        "slice_thickness_mm": _choose_thickness(rng, split, options),
                        "seed": int(rng.integers(2**31)),
                    }
                )
    plan = pd.DataFrame(rows, columns=list(COLUMNS))
    return _plan_annotations(plan, options)


def case_options(row: pd.Series, options: CohortOptions) -> SimulationOptions:
    """Return what :func:`~lvo_kedro.simulation.simulate_case` needs beside the row's ``seed``.

    Args:
        row: Of :func:`plan_cohort`.
        options: Those of the cohort.
    """
    base = _simulation(str(row["split"]), options)
    lvo = bool(row["lvo"])
    return SimulationOptions(
        **{
            **base.model_dump(),
            "lvo": lvo,
            "side": row["side"] if lvo else None,
            "segment": row["segment"] if lvo else None,
            "age": float(row["age"]),
            "sex": row["sex"],
            "nihss": int(row["nihss"]),
            "site": row["site"],
            "slice_thickness_mm": (float(row["slice_thickness_mm"]),),
            "patient_seed": int(row["patient_seed"]),
        }
    )


def _simulation(split: str, options: CohortOptions) -> SimulationOptions:
    return options.simulation if split == "development" else options.external_simulation


def _choose_thickness(rng: np.random.Generator, split: str, options: CohortOptions) -> float:
    return float(rng.choice(_simulation(split, options).slice_thickness_mm))


def _plan_patients(
    rng: np.random.Generator, split: str, options: CohortOptions
) -> Iterator[dict[str, object]]:
    """Yield the patients of one split in random order, so that ids tell nothing."""
    scans = options.development if split == "development" else options.external
    repeated = min(options.repeat_scans, scans // 2)
    count = scans - repeated
    prevalence = (
        options.development_prevalence if split == "development" else options.external_prevalence
    )
    occluded = round(prevalence * count)
    lvo = rng.permutation(np.arange(count) < occluded)
    findings = _balanced_findings(rng, occluded)
    twice = np.zeros(count, bool)
    twice[rng.permutation(count)[:repeated]] = True
    site = _simulation(split, options).site
    for has_lvo, has_two in zip(lvo, twice, strict=True):
        side, segment = next(findings) if has_lvo else (None, None)
        severity = rng.gamma(5.0, 3.0), rng.gamma(2.0, 2.0)
        yield {
            "lvo": int(has_lvo),
            "side": side,
            "segment": segment,
            "site": site,
            "age": int(np.clip(rng.normal(71, 12), 25, 97)),
            "sex": "female" if rng.random() < 0.5 else "male",
            "nihss": int(np.clip(round(severity[0] if has_lvo else severity[1]), 0, 42)),
            "patient_seed": int(rng.integers(2**31)),
            "scans": 2 if has_two else 1,
        }


def _balanced_findings(rng: np.random.Generator, count: int) -> Iterator[tuple[Side, SegmentClass]]:
    """Yield sides and segments in rounds in which every combination occurs once."""
    sides: tuple[Side, Side] = ("left", "right")
    combinations = list(product(sides, SEGMENT_CLASSES))
    for start in range(0, count, len(combinations)):
        # consecutive fives hold all segments, on alternating sides
        shift = int(rng.integers(2))
        order = rng.permutation(len(SEGMENT_CLASSES))
        for half in (0, 1):
            for place, number in enumerate(order):
                if start + half * len(order) + place < count:
                    yield sides[(half + place + shift) % 2], SEGMENT_CLASSES[number]


def _plan_annotations(plan: pd.DataFrame, options: CohortOptions) -> pd.DataFrame:
    rng = np.random.default_rng([options.seed, len(_SPLITS)])
    share = {"development": options.vessel_labels, "external": options.external_vessel_labels}
    plan["has_vessel_labels"] = False
    plan["has_occlusion_mask"] = False
    for split in _SPLITS:
        scans = np.flatnonzero((plan["split"] == split).to_numpy())
        chosen = rng.permutation(scans)[: round(share[split] * len(scans))]
        plan.loc[chosen, "has_vessel_labels"] = True
        occluded = scans[plan.loc[scans, "lvo"].to_numpy() == 1]
        chosen = rng.permutation(occluded)[: round(options.occlusion_masks * len(occluded))]
        plan.loc[chosen, "has_occlusion_mask"] = True
    scanned = rng.permutation(len(plan))[: round(options.cta * len(plan))]
    plan["has_cta"] = np.isin(np.arange(len(plan)), scanned)
    return plan
