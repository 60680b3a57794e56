"""Given weights: found and refused by what they are, known by their content, shipped by half."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from lvo_kedro.artifacts import sha256_of
from lvo_kedro.datasets.fingerprint import fingerprint
from lvo_kedro.detection import McResNet, TrainingOptions
from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.options import StartOptions
from lvo_kedro.weights import (
    Shape,
    Weights,
    find_start,
    given,
    put_into,
    read_weights,
    refuse_known_scans,
    trained_on,
    write_weights,
)
from lvo_kedro.weights.fitting import start_record

SHAPE = Shape("detection", None, ("ncct", "vessels"))


def network(seed: int = 0, channels: int = 2, width: int = 4) -> McResNet:
    torch.manual_seed(seed)
    return McResNet(channels, width)


def write_plain(path: Path, module: nn.Module) -> Path:
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, str(path))
    return path


def write_detector(folder: Path, module: McResNet, **changes) -> Path:
    """What a training leaves, as far as it matters here."""
    folder.mkdir()
    file = write_plain(folder / "model.safetensors", module)
    card = {
        "network": {"in_channels": module.in_channels, "base_width": module.base_width},
        "input": {"channels": ["ncct", "vessels"], "spacing_mm": 3.0},
        "sha256": sha256_of(file),
        "training": {
            "train": ["a", "b"],
            "chosen_on": ["c"],
            "options": {"selection": "last"},
        },
        "trained_on": {"a": "hash of a", "b": "hash of b"},
    }
    (folder / "model.json").write_text(json.dumps(card | changes))
    return folder


def read(path: Path | str, **options) -> Weights:
    start = find_start(StartOptions(weights=str(path), **options))
    assert start is not None
    return read_weights(start)


def test_no_weights_are_no_start():
    assert find_start(None) is None


@pytest.mark.parametrize("inside", ["", "model.safetensors"])
def test_a_detectors_folder_says_what_it_is(tmp_path, inside):
    """Also where its file is named: the card beside it knows what it was trained on."""
    weights = read(write_detector(tmp_path / "fold_1", network()) / inside)
    assert (weights.name, weights.kind, weights.channels) == ("fold_1", "detection", SHAPE.channels)
    assert weights.trained_on == {"a": "hash of a", "b": "hash of b"}
    assert weights.spacing_mm == 3.0
    other = network(1)
    put_into(other, weights, SHAPE)
    expected = network().state_dict()
    assert all(torch.equal(v, expected[n]) for n, v in other.state_dict().items())


def test_a_relative_path_is_one_of_the_project(tmp_path, monkeypatch):
    write_detector(tmp_path / "fold_1", network())
    monkeypatch.chdir(tmp_path)
    start = find_start(StartOptions(weights="./fold_1"))
    assert start.tensors == tmp_path / "fold_1" / "model.safetensors"


def test_a_bare_name_is_that_of_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(given, "SHIPPED", tmp_path)
    write_plain(tmp_path / "heads.safetensors", network())
    assert read("heads").name == "heads.safetensors"
    with pytest.raises(ModelError, match=r"'hearts'.*shipped weights \(heads\).*\./hearts"):
        read("hearts")


def test_the_folder_of_shipped_weights_is_that_of_the_package():
    import lvo_kedro.weights

    assert given.SHIPPED == Path(lvo_kedro.weights.__file__).parent


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "'w' that is not there.*absolute path"),
        ([], "'w' of no known kind"),
        (["fold_0/checkpoint_final.pth"], "'w' of no known kind"),
        (["plans.json", "dataset.json"], "'w' with 0 trained folds"),
        (
            [
                *("plans.json", "dataset.json"),
                *(f"fold_{k}/checkpoint_final.pth" for k in (0, 1)),
            ],
            "'w' with 2 trained folds.*one fold",
        ),
        (["model.json"], "'w' without model.safetensors"),
        (["manifest.json"], "'w' without checkpoint_final.pth"),
    ],
)
def test_what_is_no_weights_is_said(tmp_path, content, words):
    for name in content or []:
        (tmp_path / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "w" / name).write_text("{}")
    if content == []:
        (tmp_path / "w").mkdir()
    with pytest.raises(ModelError, match=words) as caught:
        find_start(StartOptions(weights=str(tmp_path / "w")))
    assert str(tmp_path) not in str(caught.value)  # a folder may name a patient


def test_another_sha256_than_given_is_refused(tmp_path):
    path = write_plain(tmp_path / "w.safetensors", network())
    digest = sha256_of(path)
    assert read(path, sha256=digest.upper()).sha256 == digest
    with pytest.raises(ModelError, match=rf"w\.safetensors.*{digest}.*sha256 {'0' * 64}.*correct"):
        read(path, sha256="0" * 64)
    with pytest.raises(ValueError, match="sha256"):
        StartOptions(weights="w", sha256="short")


def test_a_changed_folder_or_file_is_refused(tmp_path):
    folder = write_detector(tmp_path / "fold_1", network(), sha256="0" * 64)
    with pytest.raises(ModelError, match=r"'fold_1' whose model\.safetensors is missing or was al"):
        read(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"'fold_1' whose model\.json cannot be read"):
        read(folder)
    half = tmp_path / "half.safetensors"
    half.write_bytes(write_plain(tmp_path / "w.safetensors", network()).read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"'half\.safetensors' whose .* cannot be read"):
        read(half).tensors()


def test_weights_alone_are_judged_by_their_shapes_and_that_is_recorded(tmp_path, caplog):
    weights = read(write_plain(tmp_path / "w.safetensors", network()))
    assert (weights.kind, weights.channels, weights.trained_on) == (None, None, {})
    other = Shape("detection", None, ("ncct", "territory"))
    with caplog.at_level(logging.WARNING):
        put_into(network(1), weights, other)
    assert "shapes alone" in caplog.text
    record = start_record(weights, network().state_dict(), other)
    assert record["judged_by"] == "shapes alone"
    assert "not recorded" in record["statement"]


def test_weights_of_another_kind_of_network_are_refused(tmp_path):
    weights = read(write_detector(tmp_path / "fold_1", network()))
    with pytest.raises(ModelError, match="a detection network; expected those of a segmentation"):
        put_into(network(), weights, Shape("segmentation", ("M1",), ("CT",)))


def test_layers_that_do_not_fit_are_named_a_handful_of_them(tmp_path):
    folder = write_detector(tmp_path / "fold_1", network(width=8))
    with pytest.raises(ModelError) as caught:
        put_into(network(), read(folder), SHAPE)
    message = str(caught.value)
    assert "conv1.weight (8x2x7x7x7 instead of 4x2x7x7x7)" in message
    assert message.count(" instead of ") == 5
    assert "more" in message
    assert "leave_out: true" in message


def test_a_layer_too_many_and_a_layer_too_few_do_not_fit_either(tmp_path):
    one, two = nn.ModuleDict({"a": nn.Conv3d(1, 2, 1)}), nn.ModuleDict({"b": nn.Conv3d(1, 2, 1)})
    weights = read(write_plain(tmp_path / "w.safetensors", one), leave_out=True)
    with pytest.raises(ModelError, match=r"and none does: a\.bias \(no such layer") as caught:
        put_into(two, weights, SHAPE)
    assert "b.weight (not in the weights)" in str(caught.value)
    assert "leave_out" not in caught.value.remedy  # it would not help


@pytest.mark.parametrize("channels", [("vessels", "ncct"), ("ncct", "difference")])
def test_where_channels_are_others_the_first_convolution_does_not_fit(tmp_path, caplog, channels):
    folder = write_detector(tmp_path / "fold_1", network())
    shape = Shape("detection", None, channels)
    words = f"conv1.weight .channels ncct, vessels instead of {', '.join(channels)}."
    with pytest.raises(ModelError, match=words):
        put_into(network(1), read(folder), shape)
    fresh, weights = network(1), read(folder, leave_out=True)
    with caplog.at_level(logging.WARNING):
        put_into(fresh, weights, shape)
    assert "1 layers of 'fold_1' do not fit and start at random: conv1.weight" in caplog.text
    untouched, old = network(1).state_dict(), network().state_dict()
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, (untouched if name == "conv1.weight" else old)[name])
    assert start_record(weights, fresh.state_dict(), shape)["left_out"] == ["conv1.weight"]


def test_weights_count_by_content_and_whether_layers_may_be_left_out(tmp_path):
    folder = write_detector(tmp_path / "fold_1", network())
    start = find_start(StartOptions(weights=str(folder)))
    before = fingerprint(start)
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert fingerprint(find_start(StartOptions(weights=str(moved)))) == before
    assert fingerprint(start._replace(leave_out=True)) != before
    with (moved / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x77")
    assert fingerprint(find_start(StartOptions(weights=str(moved)))) != before


@pytest.mark.parametrize("kind", [NnUNetOptions, TrainingOptions])
def test_where_weights_lie_is_neither_counted_nor_shown(kind):
    options = kind(start_from={"weights": "Smith^John/w.safetensors"})
    assert fingerprint(options) == fingerprint(kind())
    assert options.model_dump(mode="json")["start_from"]["weights"] == "w.safetensors"
    assert options.model_dump()["start_from"]["weights"] == "Smith^John/w.safetensors"
    assert options.of_training(0).start_from == options.start_from


def test_written_weights_are_half_as_large_and_say_what_they_are(tmp_path):
    folder = write_detector(tmp_path / "fold_1", network())
    path = tmp_path / "w.safetensors"
    written = write_weights(path, folder, facts={"licence": "CC0"})
    source = read(folder)
    for name in ("kind", "channels", "labels", "spacing_mm", "trained_on", "architecture"):
        assert getattr(written, name) == getattr(source, name), name
    size = (folder / "model.safetensors").stat().st_size
    assert path.stat().st_size < 0.65 * size
    with safe_open(str(path), framework="pt") as file:
        assert json.loads(file.metadata()["facts"]) == {"licence": "CC0"}
    for name, value in written.tensors().items():
        expected = source.tensors()[name]
        assert value.dtype == expected.dtype
        if value.is_floating_point():
            expected = expected.half().float()
        assert torch.equal(value, expected)


def test_numbers_beyond_half_precision_keep_theirs(tmp_path):
    module = network()
    module.bn1.running_var.fill_(1e6)
    written = write_weights(tmp_path / "w.safetensors", write_detector(tmp_path / "d", module))
    assert torch.equal(written.tensors()["bn1.running_var"], module.bn1.running_var)


def test_a_statement_stands_in_place_of_the_cases(tmp_path):
    folder = write_detector(tmp_path / "d", network())
    written = write_weights(tmp_path / "w.safetensors", folder, trained_on="500 simulated heads")
    assert (written.trained_on, written.statement) == ({}, "500 simulated heads")
    assert b"hash of a" not in (tmp_path / "w.safetensors").read_bytes()


def lineage(tmp_path: Path, **card) -> Weights:
    return read(write_detector(tmp_path / "fold_1", network(), **card))


def test_a_scan_that_the_weights_know_is_refused_under_any_name(tmp_path):
    weights = lineage(tmp_path)
    refuse_known_scans(weights, {"c": "hash of c"})
    with pytest.raises(ModelError, match="'fold_1', trained on 2 cases of this cohort: b, x; expe"):
        refuse_known_scans(weights, {"x": "hash of a", "b": "hash of b", "c": "hash of c"})


def test_the_same_id_with_another_hash_is_another_scan(tmp_path):
    refuse_known_scans(lineage(tmp_path), {"a": "another hash"})


@pytest.mark.parametrize(("selection", "leaks"), [("last", "a, b;"), ("auc", "a, b, c;")])
def test_where_no_hash_is_known_the_id_decides(tmp_path, selection, leaks):
    """Cards of earlier versions; the cases that an epoch was chosen on were seen as well."""
    old = {"train": ["a", "b"], "chosen_on": ["c"], "options": {"selection": selection}}
    weights = lineage(tmp_path, trained_on={}, training=old)
    with pytest.raises(ModelError, match=f"of this cohort: {leaks}"):
        refuse_known_scans(weights, {"a": "1", "b": "2", "c": "3", "d": "4"})


def test_what_was_seen_is_handed_on(tmp_path):
    weights = lineage(tmp_path)
    seen = trained_on(["n", "a", "m"], {"n": "hash of n", "a": "another hash"}, weights)
    assert seen == {
        "n": "hash of n",
        "a": "another hash",
        "m": None,
        "a~hash of ": "hash of a",
        "b": "hash of b",
    }
    assert trained_on(["n"], None, None) == {"n": None}


def test_many_known_cases_are_counted(tmp_path):
    weights = lineage(tmp_path, trained_on={str(n): str(n) for n in range(50)})
    with pytest.raises(ModelError, match=r"trained on 50 cases .*, and 30 more;"):
        refuse_known_scans(weights, {str(n): str(n) for n in range(60)})
