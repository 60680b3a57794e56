"""The weights that the package ships: small, of simulated heads alone, and what the demo needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from lvo_kedro.detection import CHANNELS, McResNet, SidesNetwork
from lvo_kedro.errors import ModelError
from lvo_kedro.options import StartOptions
from lvo_kedro.simulation import CohortOptions, plan_cohort
from lvo_kedro.vocabulary import OCCLUSION_LABELS, VESSEL_LABELS
from lvo_kedro.weights import Shape, find_start, put_into, read_weights
from lvo_kedro.weights.given import SHIPPED, Weights, shipped_names

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED_SEEDS = (*range(100), 2024)
NETWORKS = {
    "vessels": "vessel_network",
    "occlusions": "occlusion_network",
    "detector": "detector",
}


def settings(env: str) -> dict:
    """All parameters of an environment, without those of conf/base."""
    found: dict = {}
    for file in sorted((ROOT / "conf" / env).glob("parameters*.yml")):
        found |= yaml.safe_load(file.read_text())
    return found


def shipped(name: str) -> Weights:
    start = find_start(StartOptions(weights=name))
    assert start is not None
    return read_weights(start)


def test_they_are_those_of_the_data_sheet_and_small() -> None:
    sheet = (ROOT / "docs" / "starting_weights.md").read_text()
    assert shipped_names() == sorted(NETWORKS)
    for name in NETWORKS:
        assert re.search(rf"\| `{name}` .*`{shipped(name).sha256}`", sheet), name
    assert sum(file.stat().st_size for file in SHIPPED.glob("*.safetensors")) < 8e6


@pytest.mark.parametrize("name", NETWORKS)
def test_they_list_every_scan_that_they_were_trained_on(name: str) -> None:
    seen = shipped(name).trained_on
    assert len(seen) == 120
    assert all(re.fullmatch("[0-9a-f]{64}", digest or "") for digest in seen.values())


def test_no_patient_of_theirs_is_in_a_documented_cohort() -> None:
    options = CohortOptions(**settings("starting_weights")["simulation"])
    plan = plan_cohort(options)
    own = {*plan["patient_seed"], *plan["seed"]}
    assert min(own) > 100_000  # heads that documents and tests simulate one by one have less
    for seed in DOCUMENTED_SEEDS:
        other = plan_cohort(CohortOptions(seed=seed, development=180, external=60))
        assert own.isdisjoint({*other["patient_seed"], *other["seed"]}), seed


@pytest.mark.parametrize(("name", "block"), NETWORKS.items())
def test_the_demo_trains_networks_of_their_kind(name: str, block: str) -> None:
    demo, source = settings("demo")[block], settings("starting_weights")[block]
    assert demo["start_from"] == {"weights": name}
    for field in ("spacing_mm", "features_per_stage", "convolutions_per_stage", "base_width"):
        assert demo.get(field) == source.get(field)
    assert settings("demo")["channels"] == settings("starting_weights")["channels"]


def test_the_detector_fits_the_demos_network() -> None:
    weights = shipped("detector")
    channels = settings("demo")["channels"]["channels"]
    assert set(channels) <= set(CHANNELS)
    network = McResNet(len(channels), settings("demo")["detector"]["base_width"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    put_into(network, weights, Shape("detection", None, tuple(channels)))
    after = network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(torch.isfinite(value).all() for value in after.values())


def test_the_detector_is_one_of_whole_heads() -> None:
    """Its file is older than the choice, and says nothing of it."""
    weights = shipped("detector")
    assert weights.target == "case"
    shape = Shape("detection", None, weights.channels, "sides")
    width = settings("demo")["detector"]["base_width"]
    with pytest.raises(ModelError, match=r"whole heads \(target: case\).*halves of heads"):
        put_into(SidesNetwork(len(weights.channels), width), weights, shape)
    assert settings("demo")["detector"]["target"] == "case"


def test_their_labels_are_the_projects() -> None:
    assert shipped("vessels").labels == tuple(VESSEL_LABELS)
    assert shipped("occlusions").labels == tuple(OCCLUSION_LABELS)
