"""What is harvested fills the tables by vendor, model, kernel and thickness without typing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lvo_kedro.cohort import validate_cohort
from lvo_kedro.evaluation import EvaluationOptions
from lvo_kedro.evaluation.subgroups import TOO_FEW, UNKNOWN, subgroup_table
from lvo_kedro.studies.kept_headers import harvest

HEADERS = [
    {"Manufacturer": "SIEMENS", "ManufacturerModelName": "SOMATOM Force", "SliceThickness": "5",
     "ConvolutionKernel": "Hr40f\\3"},
    {"Manufacturer": "Siemens Healthineers", "ManufacturerModelName": "SOMATOM Force",
     "SliceThickness": "0.6", "ConvolutionKernel": "Hr40f"},
    {"Manufacturer": "GE MEDICAL SYSTEMS", "ManufacturerModelName": "Revolution CT",
     "SliceThickness": "1.25", "ConvolutionKernel": "STANDARD"},
    {},
]  # fmt: skip


def test_the_tables_come_filled(tmp_path: Path) -> None:
    rows = []
    for n in range(88):
        header = HEADERS[n % 4] if n < 84 else HEADERS[3]
        (tmp_path / f"{n}.nii").touch()
        facts = harvest(header, study_time=None, onset=None, with_age_and_sex=False)
        lvo = n // 4 % 2
        side, segment = ("left", "M1") if lvo else ("", "")
        rows.append(
            {"case_id": f"c{n}", "patient_id": f"p{n}", "ncct": f"{n}.nii", "lvo": str(lvo),
             "split": "development", "side": side, "segment": segment, **facts}
        )  # fmt: skip
    path = tmp_path / "cases.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    cohort = validate_cohort(pd.read_csv(path, dtype=str, keep_default_na=False), tmp_path)
    probability = np.random.default_rng(0).uniform(size=len(cohort))
    scores = cohort.replace("", np.nan).assign(probability=probability)
    threshold = 0.5
    table = subgroup_table(scores, threshold, EvaluationOptions())
    counts = table[table["metric"] == "n"].set_index(["subgroup", "level"])["value"]
    for place, count in {
        ("manufacturer", "GE"): 21,
        ("manufacturer", "Siemens"): 42,
        ("manufacturer", UNKNOWN): 25,
        ("model", "SOMATOM Force"): 42,
        ("kernel", "Hr40f"): 42,
        ("kernel", "STANDARD"): 21,
        ("slice_thickness_mm", "< 1.5"): 42,
        ("slice_thickness_mm", "≥ 3"): 21,
        ("slice_thickness_mm", UNKNOWN): 25,
    }.items():
        assert counts[place] == count
    ge = table[(table["subgroup"] == "manufacturer") & (table["level"] == "GE")]
    assert ge.set_index("metric").loc["auc", "low"] > 0
    few = subgroup_table(scores, threshold, EvaluationOptions(minimum_cases=11))
    remark = few[(few["subgroup"] == "model") & (few["level"] == "Revolution CT")]["remark"]
    assert remark.str.startswith(TOO_FEW).all()
