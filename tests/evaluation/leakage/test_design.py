"""A whole study, from what its stages record: a leak in any of them stops the run."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import check_study_design, findings_table, raise_on_errors

STAGES = ("segmentation", "detection", "localization")


@pytest.fixture
def study() -> dict[str, Any]:
    """Four development patients in two folds, two external ones, and what their models record."""
    names = ["a", "b", "c", "d", "x", "y"]
    cohort = pd.DataFrame({"case_id": names, "patient_id": [f"p{name}" for name in names]})
    cohort["split"] = ["development"] * 4 + ["external"] * 2
    cohort["site"] = ["here"] * 4 + ["there"] * 2
    cohort["fold"] = [0, 0, 1, 1, np.nan, np.nan]
    trained = {"fold_0": ["c", "d"], "fold_1": ["a", "b"]}
    models = {name: {"trained_on": known, "chosen_on": []} for name, known in trained.items()}
    networks = {case: [f"fold_{case in 'cd':d}"] for case in "abcd"}
    return {
        "cohort": cohort,
        "scores": cohort.copy(),
        "models": {stage: copy.deepcopy(models) for stage in STAGES},
        "networks": {stage: dict(networks) for stage in ("segmentation", "localization")},
        "detectors": {"fold_0": 0, "fold_1": 1},
        "hashes": {name: name for name in names},
    }


def study_findings(study: dict[str, Any], allow_errors: bool = False) -> pd.DataFrame:
    return findings_table(raise_on_errors(check_study_design(**study), allow_errors))


def test_a_sound_study_goes_on_and_so_does_one_with_warnings_alone(study: dict[str, Any]) -> None:
    assert study_findings(study).empty
    study["cohort"]["site"] = "here"
    assert study_findings(study)["severity"].tolist() == ["warning"]


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        ("copy", ("duplicated_scan", "(cases a, x)", "take the copies out of the cohort table")),
        ("patient", ("patient_in_two_splits", "(cases a, x)", "correct the column split")),
        ("fold", ("not_out_of_fold", "predictions of segmentation", "train segmentation again")),
    ],
)
def test_a_leak_stops_the_run_unless_it_is_allowed(
    study: dict[str, Any], leak: str, named: tuple[str, ...]
) -> None:
    if leak == "copy":
        study["hashes"]["x"] = study["hashes"]["a"]
    elif leak == "patient":
        study["cohort"].loc[study["cohort"]["case_id"] == "x", "patient_id"] = "pa"
    else:
        study["networks"]["segmentation"]["a"] = ["fold_1"]
    with pytest.raises(TableError, match="make the metrics invalid") as caught:
        study_findings(study)
    assert all(words in str(caught.value) for words in (*named, "evaluation.allow_errors=true"))
    allowed = study_findings(study, allow_errors=True)
    assert allowed["check"].tolist() == ["errors_allowed", named[0]]
    assert (allowed["severity"] == "error").all()
    assert "not valid" in allowed["message"].iloc[0]


def test_a_fold_whose_cases_all_failed_in_a_stage_is_no_leak(study: dict[str, Any]) -> None:
    for name in ("a", "b"):
        del study["networks"]["segmentation"][name]
    assert study_findings(study).empty


@pytest.mark.parametrize("stage", STAGES)
def test_a_model_that_trained_on_a_case_that_the_cohort_has_no_longer_is_an_error(
    study: dict[str, Any], stage: str
) -> None:
    study["models"][stage]["fold_0"]["trained_on"].append("gone")
    found = [finding for finding in check_study_design(**study) if finding.severity == "error"]
    assert [finding.check for finding in found] == ["trained_on_unknown_case"]
    assert found[0].cases == ("gone",)
    with pytest.raises(TableError, match=f"models of {stage} .* gone.*train {stage} again"):
        study_findings(study)
    allowed = study_findings(study, allow_errors=True)
    assert allowed["check"].tolist() == ["errors_allowed", "trained_on_unknown_case"]


def test_a_leak_beside_an_unknown_training_case_is_still_seen(study: dict[str, Any]) -> None:
    study["models"]["segmentation"]["fold_1"]["trained_on"].append("gone")
    study["networks"]["segmentation"]["a"] = ["fold_1"]
    checks = {finding.check for finding in check_study_design(**study)}
    assert checks == {"not_out_of_fold", "trained_on_unknown_case"}


class CountedCases(list[str]):
    """The cases that a model was trained on, and how often the list is read."""

    read = 0

    def __iter__(self) -> Iterator[str]:
        CountedCases.read += 1
        return super().__iter__()


def test_lists_of_training_cases_are_read_as_often_however_many_cases_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the check takes minutes for some thousand cases: each list is as long as the cohort."""
    readings = {}
    for patients in (20, 200):
        monkeypatch.setattr(CountedCases, "read", 0)
        study = study_of(patients)
        assert study_findings(study).empty
        readings[patients] = CountedCases.read
    assert readings[20] == readings[200] > 0


def study_of(patients: int) -> dict[str, Any]:
    """Build a sound study of patients with a case each, in two folds."""
    fold = {f"case_{number}": number % 2 for number in range(patients)}
    cohort = pd.DataFrame({"case_id": list(fold), "patient_id": list(fold), "fold": fold.values()})
    cohort = pd.concat([cohort, pd.DataFrame({"case_id": ["x"], "patient_id": ["x"]})])
    cohort["split"] = np.where(cohort["fold"].isna(), "external", "development")
    cohort["site"] = cohort["split"]
    models = {
        f"fold_{k}": {
            "trained_on": CountedCases(case for case, own in fold.items() if own != k),
            "chosen_on": [],
        }
        for k in (0, 1)
    }
    networks = {case: [f"fold_{k}"] for case, k in fold.items()}
    return {
        "cohort": cohort,
        "scores": cohort,
        "models": dict.fromkeys(STAGES, models),
        "networks": dict.fromkeys(("segmentation", "localization"), networks),
        "detectors": {"fold_0": 0, "fold_1": 1},
        "hashes": {case: case for case in cohort["case_id"]},
    }
