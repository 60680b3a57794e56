"""Nodes of the simulation pipeline."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from lvo_kedro.datasets.cases import Cases, Task
from lvo_kedro.simulation import (
    CohortOptions,
    SimulationOptions,
    case_options,
    plan_cohort,
    simulate_case,
    simulate_cta,
)

FOLDER = "scans"
"""Where the catalog puts ``simulated_scans``, seen from the cohort table."""


def plan_simulation(options: CohortOptions) -> pd.DataFrame:
    """Decide who has an occlusion, where, how old they are, and which scans are annotated.

    Out: a row per scan, with the seed that its simulation starts from.
    """
    return plan_cohort(options)


def simulate_scans(plan: pd.DataFrame, options: CohortOptions) -> dict[str, Task]:
    """Simulate every scan of the plan with its truth.

    Out: for each case a head in HU, its arteries (1 C7, 2 M1, 3 M2, 4 other) and its clot.
    """
    return {
        row["case_id"]: partial(
            simulate_scan, int(row["seed"]), case_options(row, options), bool(row["has_cta"])
        )
        for _, row in plan.iterrows()
    }


def simulate_scan(seed: int, options: SimulationOptions, with_cta: bool) -> dict[str, Any]:
    """Simulate one scan, and its angiography if it has one."""
    case = simulate_case(seed, options)
    fields = {"ncct": case.ncct, "vessel_labels": case.vessel_labels}
    fields |= {"occlusion_mask": case.occlusion_mask} if case.lvo else {}
    return fields | ({"cta": simulate_cta(seed, options).cta} if with_cta else {})


def list_simulated_cases(plan: pd.DataFrame, scans: Cases) -> pd.DataFrame:
    """Write the cohort table as a hospital would: annotations only where someone drew them.

    Out: cases.csv, with a column ``simulated`` so that every report says so.
    """
    table = plan[plan["case_id"].isin(list(scans))].copy()
    folder = FOLDER + "/" + table["case_id"]
    table["ncct"] = folder + "/ncct.nii.gz"
    for column in ("vessel_labels", "occlusion_mask", "cta"):
        drawn = table[f"has_{column}"].astype(bool)
        table[column] = (folder + f"/{column}.nii.gz").where(drawn, "")
    table["simulated"] = "yes"  # every report says so
    hidden = ["seed", "patient_seed", "has_vessel_labels", "has_occlusion_mask", "has_cta"]
    hidden += [] if table["cta"].any() else ["cta"]
    return table.drop(columns=hidden).fillna("")
