from __future__ import annotations

import pandas as pd
import pytest

from lvo_kedro.simulation import (
    CohortOptions,
    SimulatedCase,
    SimulationOptions,
    artefact_features,
    case_options,
    oracle_scores,
    plan_cohort,
    simulate_case,
)

COARSE = {"spacing_mm": 3.0, "slice_thickness_mm": (4.0,)}


@pytest.fixture(scope="session")
def occluded() -> SimulatedCase:
    options = SimulationOptions(
        lvo=True, side="left", segment="M1", spacing_mm=1.5, slice_thickness_mm=(1.5,)
    )
    return simulate_case(5, options)


@pytest.fixture(scope="session")
def readings() -> pd.DataFrame:
    """Oracle scores and artefacts of a small cohort, one row per case."""
    simulation = SimulationOptions(spacing_mm=2.5, slice_thickness_mm=(2.5, 4.0))
    options = CohortOptions(development=60, external=0, repeat_scans=0, simulation=simulation)

    def read(row: pd.Series) -> dict[str, float]:
        case = simulate_case(int(row["seed"]), case_options(row, options))
        return {"lvo": row["lvo"], **oracle_scores(case), **artefact_features(case)}

    # one after the other: workers would take longer to start, beside other tests, than they save
    return pd.DataFrame([read(row) for _, row in plan_cohort(options).iterrows()])
