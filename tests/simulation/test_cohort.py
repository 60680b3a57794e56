from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.simulation import CohortOptions, case_options, plan_cohort
from lvo_kedro.vocabulary import SEGMENT_CLASSES


@pytest.fixture(scope="module")
def plan() -> pd.DataFrame:
    return plan_cohort(CohortOptions())


def test_sizes_prevalences_and_ids(plan: pd.DataFrame) -> None:
    assert plan["split"].value_counts().to_dict() == {"development": 48, "external": 24}
    prevalence = plan.drop_duplicates("patient_id").groupby("split")["lvo"].mean()
    assert prevalence["development"] == pytest.approx(0.5, abs=0.03)
    assert prevalence["external"] == pytest.approx(0.35, abs=0.03)
    assert plan["case_id"].is_unique and plan["seed"].is_unique
    assert plan["case_id"].iloc[0] == "sim-0001"


def test_segments_and_sides_are_balanced(plan: pd.DataFrame) -> None:
    patients = plan[plan["lvo"] == 1].drop_duplicates("patient_id")
    for _, part in patients.groupby("split"):
        counts = part["segment"].value_counts()
        assert set(counts.index) == set(SEGMENT_CLASSES)
        assert counts.max() - counts.min() <= 1
        assert abs((part["side"] == "left").sum() - (part["side"] == "right").sum()) <= 1
    assert plan.loc[plan["lvo"] == 0, ["side", "segment"]].isna().all().all()


def test_two_scans_of_a_patient_agree(plan: pd.DataFrame) -> None:
    repeated = plan[plan["patient_id"].duplicated(keep=False)]
    assert repeated["patient_id"].nunique() == 4
    same = ["split", "lvo", "side", "segment", "age", "sex", "patient_seed"]
    assert (repeated.groupby("patient_id")[same].nunique(dropna=False) == 1).all().all()


def test_annotations_are_partial(plan: pd.DataFrame) -> None:
    development = plan[plan["split"] == "development"]
    assert development["has_vessel_labels"].mean() == pytest.approx(0.7, abs=0.02)
    assert not plan.loc[plan["lvo"] == 0, "has_occlusion_mask"].any()
    assert plan.loc[plan["lvo"] == 1, "has_occlusion_mask"].mean() > 0.8


def test_seed_decides(plan: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(plan, plan_cohort(CohortOptions()))
    assert not plan["seed"].equals(plan_cohort(CohortOptions(seed=1))["seed"])


def test_options_follow_the_row(plan: pd.DataFrame) -> None:
    cohort = CohortOptions()
    for _, row in plan.iterrows():
        options = case_options(row, cohort)
        assert options.lvo == bool(row["lvo"])
        assert (options.age, options.sex, options.nihss) == (row["age"], row["sex"], row["nihss"])
        assert options.side == (row["side"] if row["lvo"] else None)
        assert options.slice_thickness_mm == (row["slice_thickness_mm"],)
        assert options.spacing_mm == (1.5 if row["split"] == "development" else 1.4)


def test_plan_survives_a_csv_file(plan: pd.DataFrame, tmp_path: object) -> None:
    path = f"{tmp_path}/plan.csv"
    plan.to_csv(path, index=False)
    read = pd.read_csv(path)
    for (_, row), (_, again) in zip(plan.iterrows(), read.iterrows(), strict=True):
        assert case_options(row, CohortOptions()) == case_options(again, CohortOptions())


@pytest.mark.parametrize("prevalence", [0.0, 1.0])
def test_extreme_prevalences(prevalence: float) -> None:
    plan = plan_cohort(CohortOptions(development=7, external=0, development_prevalence=prevalence))
    assert len(plan) == 7 and np.all(plan["lvo"] == prevalence)
