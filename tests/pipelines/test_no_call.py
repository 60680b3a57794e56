"""A scan unlike those that the models were trained on: the reason, and no call to be misread."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.cli import cli
from lvo_kedro.detection import DetectionOptions, ScopeOptions, add_probabilities, tabulate_logits
from lvo_kedro.errors import OutOfScopeError, ScanError
from lvo_kedro.imaging import QualityLimits
from lvo_kedro.pipelines.detection_training import scoring_nodes
from lvo_kedro.pipelines.evaluation.nodes import list_findings, scores_of
from lvo_kedro.pipelines.inference.nodes import gather_outcome, name_scans
from lvo_kedro.priors import PriorOptions
from tests.pipelines.side_by_side import REGISTRY
from tests.synthetic_study import UNLIKE

CALIBRATION = {
    "all": {
        "calibration": {"method": "none"},
        "operating_points": {"youden": 0.5, "high_sensitivity": 0.25},
    }
}
CALLED = ("at_youden", "at_high_sensitivity", "side", "segment", "localization", "point_mm")


def judged(reasons: list[str], enabled: bool, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Score a case by a side model that is sure of the left and finds ``reasons`` against it."""
    found = {"sides": {"left": 3.0, "right": -3.0}, "each": [], "clinical": None}
    monkeypatch.setattr(scoring_nodes, "judge_case", lambda *_: found | {"against": reasons})
    monkeypatch.setattr(scoring_nodes, "unpack_features", lambda _: None)
    options = DetectionOptions(network=False, scope=ScopeOptions(enabled=enabled))
    channels: Any = SimpleNamespace(path=lambda _: None)
    features: Any = {"arteries": None}
    return scoring_nodes.score_scan(channels, features, [], {}, options)["score"]


def outcome_of(
    cohort: pd.DataFrame, scores: dict[str, dict[str, Any]], calibration: Any = CALIBRATION
) -> pd.DataFrame:
    """Do what the pipeline does from the scores on; stage 3 names the left M1 in every scan."""
    table = add_probabilities(tabulate_logits(cohort, scores), calibration)
    calls = cohort.assign(called_side="left", called_segment="M1", confidence=0.9)
    calls = calls.assign(finding="left M1", point_x=1.0, point_y=2.0, point_z=3.0)
    quality = {case: ["thick slices"] for case in cohort["case_id"]}
    failed = pd.DataFrame(columns=["case_id", "stage", "error"])
    found: Any = {"findings": {"scan": quality, "priors": quality}, "failures": failed}
    vessels: Any = {c: {"call": {"vessel_findings": []}} for c in cohort["case_id"]}
    return gather_outcome(cohort, table, calls, calibration, found, vessels)


@pytest.fixture
def two_scans(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "usual.nii", tmp_path / "odd.nii"]
    for path in paths:
        path.write_text(path.stem)
    return [str(path) for path in paths]


@pytest.mark.parametrize("enabled", [True, False])
def test_from_the_judgement_to_the_outcome(
    two_scans: list[str], monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    cohort = name_scans(two_scans)
    reasons = dict(zip(cohort["case_id"], ([], UNLIKE.split("; ")), strict=True))
    scores = {case: judged(found, enabled, monkeypatch) for case, found in reasons.items()}
    usual, odd = outcome_of(cohort, scores).to_dict("records")
    assert usual["no_call"] == usual["unreliable_probability"] == ""
    assert usual["probability"] > 0.9
    assert [usual[name] for name in CALLED[:4]] == ["occlusion", "occlusion", "left", "M1"]
    if not enabled:
        assert {**odd, "case_id": usual["case_id"]} == usual
        return
    assert odd["no_call"] == f"{UNLIKE} (unlike the scans that the models were trained on)"
    assert odd["unreliable_probability"] == usual["probability"]
    assert odd["probability"] == odd["confidence"] == ""
    assert [odd[name] for name in CALLED] == [""] * len(CALLED)
    assert odd["findings"] == "thick slices; thick slices"


def test_models_of_occlusions_alone_give_side_and_segment_but_no_probability(
    two_scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = name_scans(two_scans)
    reasons = dict(zip(cohort["case_id"], ([], UNLIKE.split("; ")), strict=True))
    scores = {case: judged(found, True, monkeypatch) for case, found in reasons.items()}
    usual, odd = outcome_of(cohort, scores, CALIBRATION | {"controls": False}).to_dict("records")
    assert usual["probability"] == usual["unreliable_probability"] == usual["no_call"] == ""
    assert not [name for name in usual if name.startswith("at_")]
    assert (usual["side"], usual["segment"]) == ("left", "M1")
    assert usual["findings"].startswith("the models were trained on occlusions alone")
    assert odd["no_call"] and odd["side"] == odd["unreliable_probability"] == ""


@pytest.fixture
def scorer(empty: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project whose inference takes no time, and finds that scans named ``odd`` are odd."""
    cohort = empty.data / "02_intermediate" / "cohort.csv"
    cohort.parent.mkdir(parents=True)
    cohort.write_text("case_id,patient_id\na,a\n")
    (empty.data / "06_models").mkdir()
    (empty.data / "06_models" / "calibration.json").write_text(json.dumps(CALIBRATION))
    scores = {
        name: judged(found, True, monkeypatch)
        for name, found in (("usual", []), ("odd", UNLIKE.split("; ")))
    }

    def infer(cohort: pd.DataFrame, calibration: dict[str, Any]) -> pd.DataFrame:
        """Score by what stands in a scan."""
        paths = zip(cohort["case_id"], cohort["ncct"], strict=True)
        return outcome_of(cohort, {case: scores[Path(path).read_text()] for case, path in paths})

    def register_pipelines() -> dict[str, Pipeline]:
        nodes = [
            node(name_scans, "params:new_scans", "cohort", name="name_scans"),
            node(infer, ["cohort", "calibration"], "outcome", name="infer"),
        ]
        shared = {"inputs": {"calibration"}, "parameters": {"params:new_scans"}}
        new = pipeline(nodes, namespace="new", **shared)
        # never run: it takes what this configuration sets and the others do not
        made = pipeline([node(len, "params:simulation", "simulated", name="simulate")])
        return {"__default__": new, "inference": new, "simulation": made}

    module = ModuleType(REGISTRY)
    vars(module)["register_pipelines"] = register_pipelines
    monkeypatch.setitem(sys.modules, REGISTRY, module)
    return empty


@pytest.mark.long
def test_the_terminal_gives_the_reason_first_and_no_call(scorer: Any, two_scans: list[str]) -> None:
    for scans in (two_scans, two_scans[::-1]):
        result = CliRunner().invoke(cli, ["score", "--env", "tiny", *scans])
        assert result.exit_code == 0, result.output
        shown = {text.split("  (")[0]: text for text in f"\n{result.stdout}".split("\n\n")}
        usual, odd = (shown[path].splitlines()[1:] for path in two_scans)
        names = [re.split(r" {2,}", line.strip())[0] for line in odd]
        assert names == ["no call", "unreliable probability", "findings", "seconds", "files"]
        assert re.split(r" {2,}", odd[0].strip())[1] == (
            f"{UNLIKE} (unlike the scans that the models were trained on)"
        )
        assert "occlusion" not in "".join(odd)
        assert "M1" not in "".join(odd)
        assert usual[0].startswith("  probability ")
        assert any(line.startswith("  at youden") for line in usual)
        assert not any("unreliable" in line or "no call" in line for line in usual)
        assert "1 of 2 scans got no call" in result.stdout
    alone = CliRunner().invoke(cli, ["score", "--env", "tiny", two_scans[0]])
    assert "no call" not in alone.stdout


def test_the_file_keeps_the_number_and_its_name(scorer: Any, two_scans: list[str]) -> None:
    scorer.run("inference", new_scans=two_scans)
    outcome = scorer.load_new("outcome").set_index("no_call")
    odd, usual = outcome.loc[outcome.index != ""].iloc[0], outcome.loc[""]
    assert odd["unreliable_probability"] == usual["probability"] > 0.9
    assert pd.isna(odd["probability"])
    assert pd.isna(usual["unreliable_probability"])
    # a table that is filtered by a threshold has no call that was not made
    assert (outcome["probability"] >= 0.5).tolist() == [True, False]
    assert outcome["at_youden"].tolist() == ["occlusion", ""]


def test_reasons_stand_among_the_findings_of_the_study() -> None:
    scores = pd.DataFrame({"case_id": ["a", "b"], "out_of_scope": ["", UNLIKE]})
    scans: Any = {"findings": {"scan": {}, "priors": {}}}
    stages: Any = {"scores": scores}, {"findings": {"a": ["no M1"]}}
    found = list_findings(scans, *stages)
    assert found.to_numpy().tolist() == [
        ["a", "vessels", "no M1"],
        *(["b", "scope", reason] for reason in UNLIKE.split("; ")),
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"detection": {"options": DetectionOptions().model_dump(mode="json")}}, True),
        ({"detection": {"options": {"scope": {"enabled": False, "margin": 0.5}}}}, False),
        ({"detection": {}}, False),
        ({}, False),
    ],
)
def test_scope_that_nobody_looked_at_is_not_taken_for_none(options: Any, told: bool) -> None:
    scores = pd.DataFrame({"case_id": ["a"], "out_of_scope": [""]})
    detection: Any = {"scores": scores, "options": options}
    assert ("out_of_scope" in scores_of(detection)) == told


def tabulated(scope: bool, **options: Any) -> list[str]:
    """Return the reasons of three scans: one like the others, one that bleeds, one of all kinds."""
    numbers = {
        **dict.fromkeys(("slice_thickness_mm", "brain_volume_ml", "noise_hu"), 1.0),
        **dict.fromkeys(("vertex_cut_cm2", "base_cut_cm2", "side_cut_cm2", "off_centre_mm"), 0.0),
        **{"rotation_deg": 0.0, "turned_deg": 0.0, "spacing_mm": (1.0, 1.0, 1.0)},
        **{"brain_median_hu": 33.0, "bright_hu": 100.0, "bright_vessels_mm": 0.0},
        **{"contrast_named": False, "metal_ml": 0.0, "metal_hu": 2500.0},
        **{"hyperdense_ml": 0.0, "hyperdense_largest_ml": 0.0, "hyperdense_mm": None},
    }
    blood = {"hyperdense_ml": 9.0, "hyperdense_largest_ml": 8.0, "hyperdense_side": "right"}
    blood |= {"hyperdense_mm": (30.0, 1.0, 2.0)}
    records = {"a": numbers, "b": numbers | blood, "c": numbers | blood | {"metal_ml": 1.0}}
    cover = {"coverage": 1.0, "arteries_coverage": 1.0}
    covered = {"a": cover, "b": cover, "c": cover | {"arteries_coverage": 0.5}}
    score = {"logit": 0.0, "likely_side": "left", "sides": None, "logits": {}, "methods": {}}
    scores = {c: score | {"out_of_scope": "noise is 9" if c == "c" else ""} for c in "abc"}
    made = {"options": DetectionOptions(scope=ScopeOptions(enabled=scope)).model_dump(mode="json")}

    class Stored(dict):  # of a case dataset: what is used of it
        def records(self, _: str) -> dict[str, Any]:
            return dict(self)

    class Scored(Stored):
        def __getitem__(self, _: str) -> Any:
            return SimpleNamespace(options=made)

    table = scoring_nodes.tabulate_scores(
        Scored(scores), CALIBRATION, pd.DataFrame({"case_id": list("abc"), "lvo": [0, 0, 1]}),
        Stored(records), Stored(covered), QualityLimits(**options), PriorOptions(),
    )  # fmt: skip
    return table["out_of_scope"].tolist()


def test_reasons_that_hold_for_any_cohort_come_first() -> None:
    blood = "haemorrhage-like hyperdensity: 9.0 ml, the largest region of 8.0 ml on the right"
    none, bleeding, all_kinds = tabulated(scope=True)
    assert none == ""
    assert bleeding.startswith(blood)
    assert [part.split(":")[0] for part in all_kinds.split("; ")] == [
        "haemorrhage-like hyperdensity", "metal",
        "the scan shows 50 % of the circle of Willis and M1", "noise is 9",
    ]  # fmt: skip
    left = "the scan shows 50 % of the circle of Willis and M1; noise is 9"
    assert tabulated(scope=True, no_call=()) == ["", "", left]
    assert tabulated(scope=False) == ["", "", "noise is 9"]


@pytest.mark.parametrize(
    ("error", "column"),
    [
        (OutOfScopeError("contrast medium in the vessels", "none", "use another scan"), "no_call"),
        (ScanError("a truncated file", "a whole one", "copy it again"), "failed"),
    ],
)
def test_what_is_no_plain_head_gets_no_call_and_what_is_broken_failed(
    two_scans: list[str], error: ScanError, column: str
) -> None:
    cohort = name_scans(two_scans[:1])
    failed = pd.DataFrame(
        [{"case_id": cohort["case_id"][0], "stage": "scans", "error": str(error)}]
    )
    found: Any = {"findings": {"scan": {}, "priors": {}}, "failures": failed}
    none = pd.DataFrame(columns=["case_id"])
    (row,) = gather_outcome(cohort, none, none, CALIBRATION, found, Any).to_dict("records")
    assert row == {"case_id": cohort["case_id"][0], column: str(error)}
    kind, parts = error.__reduce__()  # on the way back from a worker
    assert str(kind(*parts)) == str(error)


def test_a_finding_alone_is_no_comparison_with_the_training_cases(two_scans: list[str]) -> None:
    cohort = name_scans(two_scans)
    score = {"logit": 1.0, "likely_side": "left", "sides": None, "logits": {}, "methods": {}}
    reasons = ("thick slices", f"thick slices; {UNLIKE}")
    scores = {
        case: score | {"out_of_scope": reason}
        for case, reason in zip(cohort["case_id"], reasons, strict=True)
    }
    alone, both = outcome_of(cohort, scores)["no_call"]
    assert alone == "thick slices"
    assert both == f"thick slices; {UNLIKE} (unlike the scans that the models were trained on)"
