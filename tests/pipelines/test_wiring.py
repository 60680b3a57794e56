"""The pipelines as graphs, and what a user is told when something is missing."""

from __future__ import annotations

import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline

from lvo_kedro.folds import FoldOptions
from lvo_kedro.given_files import GivenFileError
from lvo_kedro.hooks import MissingDataError
from lvo_kedro.localization import SegmentBaseline, call_by_densities
from lvo_kedro.localization.baseline import PLACE, WEIGHED
from lvo_kedro.pipeline_registry import METHOD, register_pipelines
from lvo_kedro.pipelines.evaluation.report_nodes import ReportOptions, choose_gallery
from tests.pipelines.conftest import ROOT


@pytest.fixture(scope="module")
def registered():
    bootstrap_project(ROOT)
    return register_pipelines()


NAMES = [module.__name__.rpartition(".")[2] for module in METHOD]


def test_the_catalog_stays_short_enough_to_be_read():
    catalog = sorted((ROOT / "conf" / "base").glob("catalog*.yml"))
    lines = [line for path in catalog for line in path.read_text("utf-8").splitlines()]
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 135


def test_the_six_pipelines_make_up_the_default(registered):
    assert NAMES == [
        "preprocessing",
        "segmentation",
        "priors",
        "detection_training",
        "localization_training",
        "evaluation",
    ]
    parts = [{node.name for node in registered[name].nodes} for name in NAMES]
    assert {n.name for n in registered["__default__"].nodes} == set().union(*parts)


def test_each_pipeline_needs_only_what_earlier_ones_made(registered):
    known = {"cases"}
    for name in NAMES:
        needed = {n for n in registered[name].inputs() if not n.startswith("params:")}
        assert needed <= known, name
        known |= registered[name].all_outputs()


def test_every_training_is_given_the_scans_that_its_start_must_not_have_seen(registered):
    trainings = [n for n in registered["__default__"].nodes if ".train_" in n.name]
    assert len(trainings) == 3
    assert all("scans" in node.inputs for node in trainings)
    shuffled = [
        n for n in registered["permutation_test"].nodes if n.name.endswith("train_detectors")
    ]
    assert len(shuffled) == 3
    assert all("scans" in node.inputs for node in shuffled)


def test_a_leak_is_looked_for_before_any_figure_of_detection_or_localization(registered):
    for name in ("evaluation", "__default__"):
        order = [node.name for node in registered[name].nodes]
        figures = [place for place, step in enumerate(order) if ".evaluate_" in step]
        assert len(figures) == 4
        assert order.index("evaluation.describe_study") < min(figures)


def test_detectors_of_shuffled_labels_are_not_asked_whether_they_began(registered):
    """Noise cannot be learned: what is looked for in a study is looked for in the true one."""
    names = [node.name for node in registered["permutation_test"].nodes]
    assert not [name for name in names if "describe_study" in name]
    assert [name for name in names if name.endswith("train_detectors")]


def test_every_node_says_what_it_does(registered):
    for node in registered["__default__"].nodes:
        verb, _, noun = node.name.rpartition(".")[2].partition("_")
        assert verb
        assert noun
        assert node.func.__doc__, node.name


MOST_INPUTS, MOST_BOXES = 7, 16


def test_no_node_takes_more_than_a_reader_can_follow(registered):
    for name, nodes in registered.items():
        for node in nodes.nodes:
            assert len(node.inputs) <= MOST_INPUTS, f"{node.name} of {name}"
            assert "parameters" not in node.inputs, f"{node.name} of {name}"


def test_the_opening_view_is_the_method_in_a_few_boxes(registered):
    modular_pipelines = pytest.importorskip("kedro_viz.data_access.repositories.modular_pipelines")
    tree = modular_pipelines.ModularPipelinesRepository()
    tree.populate_tree(registered["__default__"])
    boxes = tree.as_dict()["__root__"].children
    assert len(boxes) <= MOST_BOXES
    assert {box.id for box in boxes if "MODULAR" in str(box.type)} == set(NAMES)
    assert all("TASK" not in str(box.type) for box in boxes)


def test_what_a_stage_hands_on_is_used_by_another_or_is_the_report(registered):
    for name in NAMES:
        others = sum((registered[n] for n in NAMES if n != name), start=Pipeline([]))
        handed_on = registered[name].outputs()
        assert handed_on <= others.inputs() | {"report"}, name


def test_new_scans_are_stored_and_computed_as_those_of_the_cohort(empty):
    with empty.session("demo") as session:
        catalog = session.load_context().config_loader["catalog"]
    again = {name: entry for name, entry in catalog.items() if name.startswith("{run}.")}
    own = {"outcome", "results"}
    assert len(again) > 15
    for name, entry in again.items():
        base = name.removeprefix("{run}.")
        if base not in own:
            expected, places = dict(catalog[base]), ("path", "filepath", "metadata")
            assert {k: v for k, v in entry.items() if k not in places} == {
                k: v for k, v in expected.items() if k not in places
            }, name


def test_stages_and_nodes_can_be_run_by_name(registered):
    method = registered["__default__"]
    assert method.only_nodes_with_namespaces(["priors"]).nodes == registered["priors"].nodes
    splits = method.only_nodes_with_namespaces(["evaluation.external_test"])
    assert all(node.name.startswith("evaluation.external_test.") for node in splits.nodes)
    assert {n.namespace for n in method.only_nodes_with_tags("each_scan").nodes} <= set(NAMES)


def test_every_dataset_is_in_the_catalog_with_a_layer(empty):
    with empty.session("demo") as session:
        catalog = session.load_context().catalog
        for name, pipe in pipelines.items():
            for dataset in pipe.datasets():
                if dataset.startswith("params:") or dataset == "parameters":
                    continue
                entry = catalog.get(dataset)
                assert type(entry).__name__ != "MemoryDataset", f"{dataset} in {name}"
                assert entry.metadata["kedro-viz"]["layer"], dataset


@pytest.mark.parametrize("env", [None, "demo", "published"])
def test_parameters_of_every_environment_are_valid(empty, env):
    with empty.session(env) as session:
        assert session.load_context().catalog.load("parameters")


def test_an_empty_data_folder_says_what_to_put_where(empty):
    with pytest.raises(MissingDataError, match="make demo") as caught:
        empty.run(env=None)
    assert "data/01_raw/cases.csv" in str(caught.value)


def test_a_later_pipeline_alone_names_what_is_missing(empty):
    with pytest.raises(MissingDataError, match="is missing or incomplete; run the pipeline"):
        empty.run("detection_training", env=None)


@pytest.mark.parametrize(
    "given", [{"atlas_folder": "nowhere"}, {"detector": {"start_from": {"weights": "nowhere.pth"}}}]
)
def test_an_atlas_or_weights_that_are_not_there_end_a_run_before_it_starts(empty, given):
    raw = empty.data / "01_raw"
    raw.mkdir(parents=True)
    (raw / "cases.csv").write_text("case_id\n")  # nothing of it is looked at
    with pytest.raises(GivenFileError, match=r"nowhere.*nothing was computed"):
        empty.run(**given)
    assert not (empty.data / "02_intermediate").exists()


def test_another_division_of_the_patients_is_one_parameter(empty):
    with empty.session("demo", folds={"seed": 7}) as session:
        parameters = session.load_context().catalog.load("parameters")
    assert parameters["folds"] == FoldOptions(count=3, seed=7)


def test_an_unknown_option_is_named(empty):
    with pytest.raises(Exception, match="spacing_inch"):
        empty.run("priors", env=None, priors={"spacing_inch": 1})


def test_densities_of_segments_that_were_not_found_name_nothing():
    order = [(side, segment) for side in ("left", "right") for segment in ("C7", "M1", "M2")]
    nothing = pd.DataFrame(order, columns=["side", "segment"])
    nothing = nothing.assign(volume_ml=1.0, **dict.fromkeys((*WEIGHED, *PLACE), 0.0))
    dense = nothing.assign(peak_difference=[0, 20.0, 0, 0, -20.0, 0])
    fitted = SegmentBaseline().fit([dense, nothing] * 6, [("left", "M1"), None] * 6).to_json()
    assert call_by_densities(fitted, dense)["best_segment"] == "M1"
    one_side = dense.assign(volume_ml=[1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    assert call_by_densities(fitted, one_side)["best_segment"] == "M1"
    unseen = dense.assign(volume_ml=[1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    call = call_by_densities(fitted, unseen)
    assert call["best_segment"] == call["called_side"] == ""
    assert call["confidence"] == 0
    assert "M1 not found" in call["finding"]


@pytest.mark.parametrize("wanted", [0, 1, 8])
@pytest.mark.parametrize("wrong", [0, 1])
def test_a_gallery_may_be_empty_and_wrong_calls_may_be_none(wanted, wrong):
    failures = pd.DataFrame({"kind": ["false negative"], "rank": [1], "case_id": ["a"]})[:wrong]
    scores = pd.DataFrame({"case_id": list("abc"), "lvo": [1, 1, 0], "probability": [0.1, 0.9, 0]})
    words = {"side": ["left", "", ""], "segment": ["M1", "", ""]}
    calls = scores[["case_id", "lvo"]].assign(
        **words, **{f"called_{k}": ["", *v[:1], ""] for k, v in words.items()}
    )
    options, failed = ReportOptions(gallery=wanted), {"failures": lambda: failures}
    detection = {"scores": scores, "calibration": {}}
    chosen = choose_gallery({"calls": calls}, detection, options, external=failed)
    assert len(chosen) == min(wanted, 2)
    if wanted == 8:
        captions = chosen.set_index("case_id")["caption"]
        assert captions["a"].endswith("truth: left M1; named: nothing; probability 0.10")
        assert "named: left M1" in captions["b"]
