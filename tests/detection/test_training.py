"""Training: it learns, repeats to the last bit, resumes exactly, and refuses leaking folds."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from lvo_kedro.detection import (
    TrainingOptions,
    load_detector,
    score_cases,
    train_fold,
)
from lvo_kedro.detection.checkpoint import CHECKPOINT
from lvo_kedro.detection.data import SampleReader, epoch_order, in_groups
from lvo_kedro.detection.steps import learning_rate_at
from lvo_kedro.errors import CaseError, ModelError, TableError
from tests.lengths import one_of

ROOT = Path(__file__).resolve().parents[2]
QUICK = TrainingOptions(
    base_width=8, epochs=4, batch_size=4, learning_rate=3e-3, validate_every=2, seed=1, device="cpu"
)


def fold_of(stored):
    samples, labels = stored
    cases = list(samples)
    return samples, labels, cases[:8], cases[8:]


@pytest.fixture(scope="module")
def trained(stored, tmp_path_factory):
    """One uninterrupted quick training, its folder and what it logged."""
    folder, logged = tmp_path_factory.mktemp("fold"), []
    summary = train_fold(
        folder, *fold_of(stored), QUICK, log=lambda metrics, epoch: logged.append((epoch, metrics))
    )
    return folder, summary, logged


@pytest.mark.long
def test_a_separable_set_is_learnt(stored, tmp_path):
    samples, labels, train, validation = fold_of(stored)
    options = QUICK.model_copy(update={"epochs": 40, "validate_every": 40, "ema_decay": 0.9})
    summary = train_fold(tmp_path, samples, labels, train, validation, options)
    scores = score_cases(load_detector(tmp_path, "cpu"), samples)
    assert roc_auc_score([labels[c] for c in train], [scores[c] for c in train]) > 0.9
    assert summary["validation_auc"] == 1.0


def test_what_a_finished_fold_leaves(trained):
    folder, summary, logged = trained
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.csv", "model.json", "model.safetensors",
    ]  # fmt: skip
    card = json.loads((folder / "model.json").read_text())
    assert card["input"] == {
        "channels": ["ncct", "vessels"],
        "shape": [32, 32, 32],
        "spacing_mm": 3,
    }
    assert card["epoch_chosen_on"] == "nothing: a fixed schedule"
    assert card["training"]["train"] == [f"case-{n:02d}" for n in range(8)]
    where = set(QUICK.without_influence)
    assert card["training"]["options"] == QUICK.model_dump(mode="json", exclude=where)
    assert card["device"] == "cpu"
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3] == [epoch for epoch, _ in logged]
    assert [bool(row["validation_auc"]) for row in rows] == [False, True, False, True]
    assert {"train_loss", "learning_rate", "samples_per_second"} <= set(logged[0][1])
    assert summary["epochs"] == 4


def test_two_runs_give_the_same_scores_to_the_last_bit(stored, trained, tmp_path):
    train_fold(tmp_path / "again", *fold_of(stored), QUICK)
    other = QUICK.model_copy(update={"seed": 2})
    train_fold(tmp_path / "other", *fold_of(stored), other)
    first, again, other = (
        score_cases(load_detector(folder, "cpu"), stored[0])
        for folder in (trained[0], tmp_path / "again", tmp_path / "other")
    )
    assert first == again != other


@pytest.mark.parametrize("kill", one_of(3, [((1, 1, 2),), ((3, 1, 4),), ((2, 2, 2),)]))
def test_a_killed_run_resumes_to_the_same_result(stored, trained, tmp_path, kill):
    """Also where the epoch before the kill was not saved."""
    killed_in, every, resumed_at = kill
    options = QUICK.model_copy(update={"checkpoint_every": every})

    class Killed(Exception):
        pass

    def die(metrics, epoch):
        if epoch == killed_in:
            raise Killed

    with pytest.raises(Killed):
        train_fold(tmp_path, *fold_of(stored), options, log=die)
    assert (tmp_path / CHECKPOINT).is_file()
    torch.manual_seed(12345)  # the state of the caller's generator does not matter
    epochs = []
    train_fold(tmp_path, *fold_of(stored), options, log=lambda metrics, epoch: epochs.append(epoch))
    assert epochs == list(range(resumed_at, 4))
    weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path, trained[0])]
    assert weights[0] == weights[1]


def test_a_finished_fold_is_not_trained_again(stored, trained):
    folder, summary, _ = trained
    epochs = []
    log = lambda metrics, epoch: epochs.append(epoch)  # noqa: E731
    assert train_fold(folder, *fold_of(stored), QUICK, log=log) == pytest.approx(
        summary, nan_ok=True
    )
    assert epochs == []


@pytest.mark.parametrize("finished", [True, False])
def test_what_another_training_left_is_neither_resumed_nor_removed(
    stored, trained, tmp_path, finished
):
    def die(metrics, epoch):
        raise KeyboardInterrupt

    if finished:
        folder = shutil.copytree(trained[0], tmp_path / "model")
    else:
        folder = tmp_path / "model"
        with pytest.raises(KeyboardInterrupt):
            train_fold(folder, *fold_of(stored), QUICK, log=die)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    samples, labels, train, validation = fold_of(stored)
    turned = {case: 1 - label for case, label in labels.items()}
    for fold, options, part in (
        ((samples, labels, train, validation), QUICK.model_copy(update={"seed": 9}), "options"),
        ((samples, turned, train, validation), QUICK, "labels"),
        ((samples, labels, validation, train), QUICK, "train, chosen_on, validation"),
        ((samples | {train[0]: samples[train[1]]}, *fold_of(stored)[1:]), QUICK, "samples"),
    ):
        with pytest.raises(ModelError, match=f"with other {part}"):
            train_fold(folder, *fold, options, log=die)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("changes", [{"devices": ("cpu", "cuda:1")}, {"checkpoint_every": 3}])
def test_where_a_fold_is_trained_does_not_make_it_out_of_date(stored, trained, tmp_path, changes):
    epochs = []
    options = QUICK.model_copy(update=changes)
    train_fold(trained[0], *fold_of(stored), options, log=lambda metrics, epoch: epochs.append(1))
    assert epochs == []


def test_trainings_take_devices_in_turn():
    one = TrainingOptions(device="cuda:3")
    assert [one.of_training(k).device for k in range(3)] == ["cuda:3"] * 3
    two = TrainingOptions(devices=("cuda:0", "cuda:1"))
    assert [two.of_training(k).device for k in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_fold_has_one_training_or_one_a_seed():
    assert list(TrainingOptions(seed=3).trainings(1)) == ["fold_1"]
    trainings = TrainingOptions(seeds=(4, 7)).trainings(1)
    assert {name: options.seed for name, options in trainings.items()} == {
        "fold_1_seed_4": 4,
        "fold_1_seed_7": 7,
    }
    assert trainings["fold_1_seed_4"] == TrainingOptions(seed=4)
    with pytest.raises(ValueError, match="different and not negative"):
        TrainingOptions(seeds=(1, 1))


def test_training_leaves_the_callers_random_numbers_alone(stored, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_fold(tmp_path, *fold_of(stored), QUICK.model_copy(update={"epochs": 1}))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "changes",
    one_of(
        2,
        [
            {"selection": "auc", "selection_fraction": 0.34, "patience": 1},
            {"accumulation": 2, "balance": "weight", "schedule": "one_cycle", "optimizer": "adam"},
            {"precision": "bfloat16", "ema_decay": 0.0, "schedule": "constant", "clip_norm": 0.0},
            {"precision": "float16", "channels": ("vessels",), "channels_last": False},
            {"recompute": True, "balance": "none", "refresh_norms": False},
        ],
    ),
)
def test_every_option_trains(stored, tmp_path, changes):
    options = QUICK.model_copy(update={"epochs": 2, "validate_every": 1, **changes})
    summary = train_fold(tmp_path, *fold_of(stored), options)
    assert summary["train_loss"] > 0
    scores = score_cases(load_detector(tmp_path, "cpu"), stored[0])
    assert all(abs(score) < 100 for score in scores.values())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_cpu_computes_in_float32_whatever_the_precision(stored, trained, tmp_path, precision):
    train_fold(tmp_path, *fold_of(stored), QUICK.model_copy(update={"precision": precision}))
    weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path, trained[0])]
    assert weights[0] == weights[1]


def test_inner_selection_sets_whole_patients_aside(stored, tmp_path):
    samples, labels, train, validation = fold_of(stored)
    patients = {case: f"patient-{int(case[-2:]) // 4}" for case in samples}  # four scans each
    options = QUICK.model_copy(
        update={"epochs": 1, "validate_every": 1, "selection": "loss", "selection_fraction": 0.5}
    )
    train_fold(tmp_path, samples, labels, train, validation, options, patients=patients)
    card = json.loads((tmp_path / "model.json").read_text())
    learn, inner = card["training"]["train"], card["training"]["chosen_on"]
    assert {patients[c] for c in learn}.isdisjoint(patients[c] for c in inner)
    assert len(learn) == len(inner) == 4
    assert "4 cases set aside" in card["epoch_chosen_on"]


def test_published_settings_train(stored, tmp_path):
    published = yaml.safe_load((ROOT / "conf" / "published" / "parameters.yml").read_text())
    small = TrainingOptions(**published["detector"]).model_copy(
        update={"epochs": 1, "base_width": 4, "device": "cpu"}
    )
    train_fold(tmp_path, *fold_of(stored), small)
    card = json.loads((tmp_path / "model.json").read_text())
    assert "optimistic" in card["epoch_chosen_on"]


def test_folds_that_leak_or_lack_a_class_are_refused(stored, tmp_path):
    samples, labels, train, validation = fold_of(stored)
    with pytest.raises(TableError, match="in both parts: case-08"):
        train_fold(tmp_path, samples, labels, [*train, "case-08"], validation, QUICK)
    with pytest.raises(TableError, match="without sample or label: stranger"):
        train_fold(tmp_path, samples, labels, [*train, "stranger"], validation, QUICK)
    with pytest.raises(TableError, match=r"class \[1\]"):
        train_fold(tmp_path, samples, labels, train[1::2], validation, QUICK)


def test_detector_refuses_other_samples_and_changed_weights(stored, trained, tmp_path):
    folder = trained[0]
    detector = load_detector(folder, "cpu")
    odd = {"odd": tmp_path / "odd.safetensors"}
    from lvo_kedro.detection import encode_channels, save_sample
    from lvo_kedro.imaging.geometry import Grid

    grid = Grid((16, 16, 16), torch.eye(4).numpy())
    save_sample(odd["odd"], encode_channels(torch.rand(1, 16, 16, 16), ("ncct",), grid))
    with pytest.raises(ModelError, match="as in training"):
        score_cases(detector, odd)
    with pytest.raises(CaseError, match="voxels"):
        SampleReader({**stored[0], **odd}).read("odd")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.json").write_text((folder / "model.json").read_text())
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (broken / "model.safetensors").write_bytes(bytes(content))
    with pytest.raises(ModelError, match="not those that its model"):
        load_detector(broken)
    with pytest.raises(ModelError, match="holds no detector"):
        load_detector(tmp_path / "nowhere")


def test_several_detectors_give_the_mean_logit(stored, trained, tmp_path):
    train_fold(tmp_path, *fold_of(stored), QUICK.model_copy(update={"seed": 9, "epochs": 1}))
    detectors = [load_detector(trained[0], "cpu"), load_detector(tmp_path, "cpu")]
    single = [score_cases(detector, stored[0]) for detector in detectors]
    both = score_cases(detectors, stored[0])
    for case, score in both.items():
        assert score == pytest.approx((single[0][case] + single[1][case]) / 2)


def test_scores_do_not_depend_on_the_side_or_the_batch(stored, trained):
    detector = load_detector(trained[0], "cpu")
    batch = SampleReader(stored[0]).read("case-01")[None]
    assert torch.allclose(detector.score(batch), detector.score(batch.flip(2)), atol=1e-6)
    one = score_cases(detector, stored[0], batch_size=1)
    assert one == pytest.approx(score_cases(detector, stored[0], batch_size=5), abs=1e-5)


def test_order_is_balanced_and_groups_are_even():
    cases = [f"c{n}" for n in range(10)]
    labels = {case: int(case in ("c0", "c1")) for case in cases}
    order = epoch_order(cases, labels, True, torch.Generator().manual_seed(0))
    assert [labels[case] for case in order] == [1, 0] * 5
    assert sorted(epoch_order(cases, labels, False, torch.Generator())) == cases
    assert [len(group) for group in in_groups(cases, 4)] == [3, 4, 3]
    assert [case for group in in_groups(cases, 4) for case in group] == cases


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 1, 50: 1, 99: 1}),
        ("cosine", {0: 1 / 11, 10: 1, 55: 0.5, 99: 0.0003}),
        ("one_cycle", {30: 1, 65: 0.5, 99: 0.0005}),
    ],
)
def test_learning_rate_schedules(schedule, expected):
    options = TrainingOptions(learning_rate=1, schedule=schedule, warmup_epochs=1)
    for step, rate in expected.items():
        assert learning_rate_at(step, 100, 10, options) == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize(("epochs", "steps"), [(60, 15), (6, 4)])
def test_cosine_is_torchs_with_a_linear_warm_up(epochs, steps):
    """Ours is a function of the step alone, so that a resumed training has nothing to restore."""
    options = TrainingOptions(epochs=epochs, warmup_epochs=epochs // 6)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], options.learning_rate)
    warm, total = options.warmup_epochs * steps, epochs * steps
    parts = [
        LinearLR(optimizer, 1 / (warm + 1), 1.0, warm),
        CosineAnnealingLR(optimizer, total - warm),
    ]
    schedule = SequentialLR(optimizer, parts, [warm])
    for step in range(total):
        rate = learning_rate_at(step, total, steps, options)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-18)
        optimizer.step()
        schedule.step()
