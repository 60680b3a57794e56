"""Folds side by side, several seeds per fold, and maps, from the detection pipeline's nodes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from lvo_kedro.datasets import CaseDataset, FoldDataset
from lvo_kedro.datasets.cases import Cases
from lvo_kedro.detection import (
    AugmentationOptions,
    ChannelOptions,
    DetectionOptions,
    ExplanationOptions,
    TrainingOptions,
    encode_channels,
    score_cases,
    score_sides,
)
from lvo_kedro.detection.detector import load_detector
from lvo_kedro.detection.scores import tabulate_logits
from lvo_kedro.errors import ModelError
from lvo_kedro.evaluation import EvaluationOptions
from lvo_kedro.evaluation.spread import seed_table
from lvo_kedro.features import pack_features
from lvo_kedro.imaging.geometry import Grid, make_image
from lvo_kedro.model_records import record_models
from lvo_kedro.options import StartOptions
from lvo_kedro.pipelines.detection_training import nodes
from lvo_kedro.pipelines.detection_training import scoring_nodes as scoring
from lvo_kedro.weights import write_weights
from tests.lengths import one_of

from ..features.conftest import measured

QUICK = TrainingOptions(
    base_width=4, epochs=2, batch_size=4, learning_rate=3e-3, device="cpu", devices=("cpu", "cpu")
)
BY_NETWORK = DetectionOptions(method="network")
CASES = [f"case-{number:02d}" for number in range(10)]
COHORT = pd.DataFrame(
    {
        "case_id": CASES,
        "patient_id": CASES,
        "split": ["development"] * 8 + ["external"] * 2,
        "lvo": [0, 1] * 5,
        "fold": [0, 0, 1, 1] * 2 + [np.nan] * 2,
    }
)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
AFFINE[:3, 3] = -46.5
SAFETENSORS = {
    "type": "kedro_datasets_experimental.safetensors.SafetensorsDataset",
    "backend": "torch",
}
TABLE = {"type": "pandas.CSVDataset", "save_args": {"index": False}}
IMAGE, JSON = "lvo_kedro.datasets.NiftiDataset", "json.JSONDataset"
PICTURE = {"type": "lvo_kedro.datasets.FigureDataset", "svg": False}


def make_channels(number: int, options: ChannelOptions | None = None) -> dict[str, object]:
    """Noise; an odd case has a dense block on the patient's right (x > 0)."""
    generator = torch.Generator().manual_seed(number)
    channels = torch.rand(2, 32, 32, 32, generator=generator) * 0.3
    if number % 2:
        channels[1, 18:28, 12:22, 12:22] += 0.6
    return {"channels": encode_channels(channels, ("ncct", "vessels"), Grid((32,) * 3, AFFINE))}


def make_scan() -> dict[str, object]:
    inside, vessels = np.ones((32, 32, 32), np.uint8), np.zeros((32, 32, 32), np.uint8)
    vessels[[12, 20], 14:18, 14:18] = 2
    return {
        "ncct": make_image(np.full((32, 32, 32), 35, np.int16), AFFINE),
        "brain_mask": make_image(inside, AFFINE),
        "vessel_labels": make_image(vessels, AFFINE),
    }


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads as a worker has: sums in another order differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    folder = tmp_path_factory.mktemp("channels")
    dataset = CaseDataset(path=str(folder), files={"channels.safetensors": SAFETENSORS})
    dataset.save({name: partial(make_channels, n) for n, name in enumerate(CASES)})
    return dataset.load()


def make_features(number: int) -> dict[str, object]:
    """A head with a clot and an infarct on the right where the number is odd."""
    found = number % 2 == 1
    features = measured(("M1",) if found else (), "right", seed=number, infarct="right" * found)
    return pack_features(features)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    folder = tmp_path_factory.mktemp("features")
    files = {"arteries.csv": TABLE, "tissue.safetensors": SAFETENSORS, "scan.json": JSON}
    dataset = CaseDataset(path=str(folder), files=files)
    dataset.save({name: partial(make_features, n) for n, name in enumerate(CASES)})
    return dataset.load()


class Scans(dict):
    """The cohort's scans, each known by the hash of what it shows."""

    def __init__(self) -> None:
        super().__init__({c: {"quality": {"content_hash": f"hash of {c}"}} for c in CASES})


def tasks_of(
    channels: Cases, features: Cases, options: TrainingOptions, chosen=BY_NETWORK
) -> dict[str, partial]:
    return nodes.train_detectors(channels, features, Scans(), COHORT, chosen, options)


def train(
    folder: Path, channels: Cases, features: Cases, options: TrainingOptions = QUICK, **how
) -> Cases:
    """Train as the catalog entry ``detectors`` does."""
    detectors = FoldDataset(path=str(folder), **how)
    detectors.save(tasks_of(channels, features, options))
    return detectors.load()


def score(
    folder: Path, channels: Cases, features: Cases, detectors: Cases, chosen=BY_NETWORK
) -> Cases:
    scores = CaseDataset(path=str(folder), files={"score.json": JSON, "arteries.csv": TABLE})
    scores.save(scoring.score_scans(channels, features, detectors, COHORT, chosen))
    return scores.load()


@pytest.fixture(scope="module")
def in_turn(
    tmp_path_factory: pytest.TempPathFactory, channels: Cases, features: Cases
) -> tuple[Cases, Cases]:
    """Detectors and scores of folds that were trained one after the other."""
    folder = tmp_path_factory.mktemp("in_turn")
    detectors = train(folder / "detectors", channels, features)
    return detectors, score(folder / "scores", channels, features, detectors)


@pytest.fixture(scope="module")
def midline_channels(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """The same channels, with the record that the pipeline makes of their options."""
    folder = tmp_path_factory.mktemp("midline")
    return store_midline(folder, ChannelOptions())


def store_midline(folder: Path, options: ChannelOptions) -> Cases:
    dataset = CaseDataset(path=str(folder), files={"channels.safetensors": SAFETENSORS})
    tasks = {n: partial(make_channels, k, options=options) for k, n in enumerate(CASES)}
    dataset.save(tasks)
    return dataset.load()


SIDED = TrainingOptions(
    **QUICK.model_dump(exclude={"target", "augmentation"}),
    target="sides",
    augmentation=AugmentationOptions(flip=0),
)


@pytest.mark.parametrize("column", ["full", "empty", "missing"])
def test_detectors_of_sides_score_each_side_and_take_what_the_cohort_knows(
    tmp_path, midline_channels, features, monkeypatch, column
):
    sides = {"full": ["", "right"] * 5, "empty": [np.nan] * 10}.get(column)
    cohort = COHORT if sides is None else COHORT.assign(side=sides)
    monkeypatch.setattr("tests.pipelines.test_folds.COHORT", cohort)
    options = SIDED.model_copy(update={"epochs": 1})
    detectors = train(tmp_path / "d", midline_channels, features, options)
    card = json.loads((detectors["fold_0"].folder / "model.json").read_text())
    assert set(card["training"]["sides"]) == ({"", "right"} if column == "full" else {""})
    records = score(tmp_path / "s", midline_channels, features, detectors).records("score")
    assert list(records["case-09"]["logits"]) == ["fold_0", "fold_1"]
    networks = [load_detector(detectors[f"fold_{k}"].folder, "cpu") for k in (0, 1)]
    sample = {"case": midline_channels["case-09"].path("channels")}
    expected = score_sides(networks, sample)["case"]
    likely = max(expected.sides, key=expected.sides.get)
    assert records["case-09"]["likely_side"] == likely
    assert records["case-09"]["logit"] == pytest.approx(expected.logit)
    assert len(tabulate_logits(COHORT, records)) == 10


def test_halves_need_channels_of_the_midline_frame(tmp_path, channels, features):
    native = store_midline(tmp_path / "native", ChannelOptions(frame="native"))
    for given, words in ((native, "in frame native"), (channels, "on grid None in frame None")):
        with pytest.raises(ModelError, match=words):
            tasks_of(given, features, SIDED)


@pytest.mark.long
@pytest.mark.slow
def test_folds_on_a_dask_cluster_give_the_scores_of_folds_in_turn(
    tmp_path, channels, features, in_turn
):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, **options) as cluster:
        address = cluster.scheduler_address
        detectors = train(tmp_path / "detectors", channels, features, scheduler=address)
    scores = score(tmp_path / "scores", channels, features, detectors)
    assert scores.records("score") == in_turn[1].records("score")


def test_each_training_gets_a_device_of_its_own(channels, features):
    options = QUICK.model_copy(update={"devices": ("cuda:0", "cuda:1"), "seeds": (0, 1, 2)})
    tasks = tasks_of(channels, features, options)
    devices = [task.args[4].device for name, task in tasks.items() if "sides" not in name]
    assert devices == ["cuda:0", "cuda:1"] * 3


@pytest.mark.long
def test_scores_of_several_seeds_are_averaged_and_their_spread_is_tabulated(
    tmp_path, channels, features, in_turn
):
    detectors = train(
        tmp_path / "d", channels, features, QUICK.model_copy(update={"seeds": (0, 5)})
    )
    networks = [name for name in sorted(detectors) if not name.endswith("sides")]
    assert networks == [f"fold_{f}_seed_{s}" for f in (0, 1) for s in (0, 5)]
    scores = score(tmp_path / "s", channels, features, detectors)
    table = tabulate_logits(COHORT, scores.records("score"))
    single = tabulate_logits(COHORT, in_turn[1].records("score"))
    assert "logit_seed_0" not in single  # one seed: the table is what it was
    np.testing.assert_array_equal(table["logit_seed_0"], single["logit"])
    np.testing.assert_allclose(
        table["logit"], (table["logit_seed_0"] + table["logit_seed_5"]) / 2, rtol=1e-6
    )
    for row in table.to_dict("records"):
        folds = (0, 1) if np.isnan(row["fold"]) else (int(row["fold"]),)
        blind = [load_detector(detectors[f"fold_{k}_seed_5"].folder, "cpu") for k in folds]
        case = row["case_id"]
        expected = score_cases(blind, {case: channels[case].path("channels")})[case]
        assert row["logit_seed_5"] == pytest.approx(expected, abs=1e-6)
    seeds = seed_table(table, EvaluationOptions(auc_method="score")).set_index("seed")
    assert list(seeds.index) == ["0", "5", "mean", "spread"]
    assert seeds.loc["spread", "value"] == pytest.approx(seeds.loc[["0", "5"], "value"].mean())
    assert "2 seeds" in seeds.loc["spread", "method"]
    assert seed_table(single, EvaluationOptions()).empty


def test_every_score_is_explained_by_the_models_that_gave_it(tmp_path, channels, features, in_turn):
    heads = CaseDataset(
        path=str(tmp_path / "heads"),
        files={"ncct.nii.gz": IMAGE, "brain_mask.nii.gz": IMAGE, "vessel_labels.nii.gz": IMAGE},
    )
    heads.save({name: make_scan for name in CASES})
    scans = heads.load()
    given = (scans, scans, channels, features, in_turn[0], COHORT)
    assert scoring.explain_scans(*given, ExplanationOptions()) == {}
    tasks = scoring.explain_scans(*given, ExplanationOptions(enabled=True))
    models = {name: [d.name for d in task.args[2]] for name, task in tasks.items()}
    assert models["case-00"] == ["fold_0", "fold_0_sides"]
    assert models["case-03"] == ["fold_1", "fold_1_sides"]
    assert models["case-09"] == ["fold_0", "fold_0_sides", "fold_1", "fold_1_sides"]
    maps = CaseDataset(
        path=str(tmp_path / "maps"),
        files={
            "explanation.nii.gz": IMAGE,
            "sides.json": JSON,
            "picture.png": PICTURE,
            "contributions.nii.gz": IMAGE,
            "sources.csv": TABLE,
            "contributions_picture.png": PICTURE,
        },
    )
    maps.save({name: tasks[name] for name in ("case-01", "case-09")})
    for case in maps.load().values():
        heat = case["explanation"]
        assert heat.shape == (32, 32, 32)
        np.testing.assert_allclose(heat.affine, AFFINE)
        stored = nib.load(case.path("explanation"))
        assert stored.get_data_dtype() == np.uint8
        assert 0 <= heat.get_fdata().min() and heat.get_fdata().max() <= 1 + 1e-6
        halves = heat.get_fdata()[:16].sum(), heat.get_fdata()[16:].sum()
        assert [case["sides"][side] for side in ("left", "right")] == pytest.approx(halves, rel=0.1)
        assert case["picture"].stat().st_size > 5000
        sources = case["sources"].set_index("source")
        assert sources["right"].sum() > sources["left"].sum()
        assert case["contributions_picture"].stat().st_size > 5000


@pytest.mark.parametrize("method", one_of(2, ["network", "sides", "ensemble"]))
def test_the_chosen_method_gives_the_score_and_the_others_stand_beside_it(
    tmp_path, channels, features, in_turn, method
):
    chosen = DetectionOptions(method=method, network_weight=0.5)
    scores = score(tmp_path / "s", channels, features, in_turn[0], chosen)
    records = scores.records("score")
    table = tabulate_logits(COHORT, records).set_index("case_id")
    np.testing.assert_array_equal(table["logit"], table[f"logit_{method}"])
    np.testing.assert_allclose(
        table["logit_ensemble"], table["logit_sides"] + 0.5 * table["logit_network"]
    )
    by_network = tabulate_logits(COHORT, in_turn[1].records("score"))
    np.testing.assert_array_equal(table["logit_network"], by_network["logit"])
    occluded = table["lvo"] == 1
    if method != "network":
        assert (table.loc[occluded, "likely_side"] == "right").all()
    assert table.loc[occluded, "logit_sides"].min() > table.loc[~occluded, "logit_sides"].max()
    for case in ("case-00", "case-09"):
        mean = np.mean(list(records[case]["logits"].values()))
        assert records[case]["logit"] == pytest.approx(mean, abs=0.05)
    assert scores["case-03"]["arteries"].equals(features["case-03"]["arteries"])


def test_no_network_is_trained_where_none_is_wanted(tmp_path, channels, features):
    alone = DetectionOptions(network=False)
    detectors = FoldDataset(path=str(tmp_path / "d"))
    detectors.save(tasks_of(channels, features, QUICK, alone))
    models = detectors.load()
    assert sorted(models) == ["fold_0_sides", "fold_1_sides"]
    records = score(tmp_path / "s", channels, features, models, alone).records("score")
    assert set(records["case-09"]["methods"]) == {"sides"}
    known = record_models(models)["fold_0_sides"]
    assert set(known["trained_on"]) == {"case-02", "case-03", "case-06", "case-07"}


def test_a_detector_tells_what_it_was_trained_on_and_may_not_start_where_that_leaks(
    channels, features, in_turn, tmp_path
):
    card = json.loads((in_turn[0]["fold_0"].folder / "model.json").read_text())
    trained = [
        case for case in CASES[:8] if case not in ("case-00", "case-01", "case-04", "case-05")
    ]
    assert card["trained_on"] == {case: f"hash of {case}" for case in trained}
    known = StartOptions(weights=str(in_turn[0]["fold_0"].folder))
    options = QUICK.model_copy(update={"start_from": known})
    with pytest.raises(ModelError, match=f"4 cases of this cohort: {', '.join(trained)}"):
        tasks_of(channels, features, options)
    write_weights(tmp_path / "w.safetensors", in_turn[0]["fold_0"].folder, trained_on="heads")
    options = QUICK.model_copy(
        update={"start_from": StartOptions(weights=str(tmp_path / "w.safetensors"))}
    )
    models = train(tmp_path / "models", channels, features, options)
    networks = {name: model for name, model in models.items() if "sides" not in name}
    cards = [json.loads((m.folder / "model.json").read_text()) for m in networks.values()]
    assert {card["start"]["name"] for card in cards} == {"w.safetensors"}
    starts = {name: record["start"] for name, record in record_models(models).items()}
    assert list(starts) == ["fold_0", "fold_0_sides", "fold_1", "fold_1_sides"]
    assert (
        "trained on heads; fit judged by shapes, labels and channels; 0 layers left out"
        in (starts["fold_0"])
    )
    assert {record["start"] for record in record_models(in_turn[0]).values()} == {""}
    shutil.move(tmp_path / "w.safetensors", tmp_path / "moved.safetensors")
    moved = StartOptions(weights=str(tmp_path / "moved.safetensors"))
    before = {name: model.fingerprint for name, model in models.items()}
    again = train(
        tmp_path / "models", channels, features, QUICK.model_copy(update={"start_from": moved})
    )
    assert {name: model.fingerprint for name, model in again.items()} == before
