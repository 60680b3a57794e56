"""Files from outside that would run code are refused in words, and nothing in them is run.

A checkpoint of nnU-Net's that trainings start from has its test in ``nnunet/test_start.py``.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from lvo_kedro.artifacts import sha256_of
from lvo_kedro.detection import load_detector, load_published_checkpoint
from lvo_kedro.errors import AtlasError, CaseError, ModelError, ScanError
from lvo_kedro.imaging import read_ncct
from lvo_kedro.nnunet import load_predictor
from lvo_kedro.nnunet.plans import refuse_foreign_classes
from lvo_kedro.options import StartOptions
from lvo_kedro.priors import load_atlas
from lvo_kedro.weights import find_start, read_weights


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.trace, "was here")


def as_torch(evil: Evil) -> bytes:
    stream = io.BytesIO()
    torch.save({"network_weights": {"conv1.weight": evil}}, stream)
    return stream.getvalue()


def as_old_torch(evil: Evil) -> bytes:
    stream = io.BytesIO()
    torch.save({"network_weights": evil}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def as_numpy(save: Callable[..., None]) -> Callable[[Evil], bytes]:
    def content(evil: Evil) -> bytes:
        stream = io.BytesIO()
        save(stream, np.array([evil], dtype=object))
        return stream.getvalue()

    return content


HOSTILE = {
    "torch": (as_torch, lambda path: torch.load(path, weights_only=False)),
    "old_torch": (as_old_torch, lambda path: torch.load(path, weights_only=False)),
    "pickle": (pickle.dumps, lambda path: pickle.loads(path.read_bytes())),  # noqa: S301
    "npy": (as_numpy(np.save), lambda path: np.load(path, allow_pickle=True)),
    "npz": (as_numpy(np.savez), lambda path: np.load(path, allow_pickle=True)["arr_0"]),
}


def load_start(path: Path) -> Any:
    start = find_start(StartOptions(weights=str(path)))
    assert start is not None
    return read_weights(start).tensors()


def start_from_file(path: Path, content: bytes) -> None:
    path.with_suffix(".safetensors").write_bytes(content)
    load_start(path.with_suffix(".safetensors"))


def start_from_any_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    load_start(path)


def start_from_nnunet(path: Path, content: bytes) -> None:
    (path / "fold_0").mkdir(parents=True)
    (path / "fold_0" / "checkpoint_final.pth").write_bytes(content)
    description = {"labels": {"background": 0, "M1": 1}, "channel_names": {"0": "CT"}}
    (path / "dataset.json").write_text(json.dumps(description))
    (path / "plans.json").write_text("{}")
    load_start(path)


def detector_of(path: Path, content: bytes) -> None:
    path.mkdir()
    (path / "model.safetensors").write_bytes(content)
    network = {"in_channels": 2, "base_width": 4}
    given = {"channels": ["ncct", "vessels"], "shape": [32, 32, 32], "spacing_mm": 3.0}
    card = {"format": 1, "network": network, "input": given, "target": "case"}
    card["sha256"] = sha256_of(path / "model.safetensors")
    (path / "model.json").write_text(json.dumps(card))
    load_detector(path, "cpu")


def detector_with_card(path: Path, content: bytes) -> None:
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"")
    (path / "model.json").write_bytes(content)
    load_detector(path, "cpu")


ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {"conv_op": "torch.nn.modules.conv.Conv3d", "dropout_op": None},
    "_kw_requires_import": ["conv_op", "dropout_op"],
}


def write_nnunet(path: Path, checkpoint: bytes, architecture: dict[str, Any]) -> None:
    """A model folder of which every file is what its manifest lists."""
    (path / "fold_0").mkdir(parents=True)
    (path / "fold_0" / "checkpoint_final.pth").write_bytes(checkpoint)
    plans = {"configurations": {"3d_fullres": {"architecture": architecture}}}
    (path / "plans.json").write_text(json.dumps(plans))
    (path / "dataset.json").write_text("{}")
    names = ("fold_0/checkpoint_final.pth", "plans.json", "dataset.json")
    manifest = {"configuration": "3d_fullres", "labels": {"M1": 1}, "options": {}, "fold": 0}
    manifest["files"] = {name: sha256_of(path / name) for name in names}
    (path / "manifest.json").write_text(json.dumps(manifest))


def predictor_of(path: Path, content: bytes) -> None:
    write_nnunet(path, content, ARCHITECTURE)
    load_predictor([path])


def start_from_own_nnunet(path: Path, content: bytes) -> None:
    write_nnunet(path, content, {})
    manifest = json.loads((path / "manifest.json").read_text())
    manifest |= {"training_cases": [], "options": {"channel_names": ["CT"]}}
    (path / "manifest.json").write_text(json.dumps(manifest))
    load_start(path)


def published(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    load_published_checkpoint(path)


def scan(path: Path, content: bytes) -> None:
    path.with_suffix(".nii.gz").write_bytes(content)
    read_ncct(path.with_suffix(".nii.gz"))


def atlas(path: Path, content: bytes) -> None:
    path.mkdir()
    for name in ("template", "territory_probability", "hemispheres"):
        (path / f"{name}.nii").write_bytes(content)
    load_atlas(path)


LOADERS: dict[Callable[[Path, bytes], None], type[CaseError]] = {
    start_from_file: ModelError,
    start_from_any_file: ModelError,
    start_from_nnunet: ModelError,
    start_from_own_nnunet: ModelError,
    detector_of: ModelError,
    detector_with_card: ModelError,
    predictor_of: ModelError,
    published: ModelError,
    scan: ScanError,
    atlas: AtlasError,
}


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_loader_runs_what_is_in_a_file(tmp_path, kind, loader):
    content, careless = HOSTILE[kind]
    trace = tmp_path / "trace"
    trap = tmp_path / "trap"
    trap.write_bytes(content(Evil(trace)))
    careless(trap)
    assert trace.read_text() == "was here"  # so it would have been noticed
    trace.unlink()
    with pytest.raises(LOADERS[loader]) as caught:
        loader(tmp_path / "given", content(Evil(trace)))
    assert not trace.exists()
    assert caught.value.remedy


def emptying(path: Path) -> dict[str, Any]:
    """Plans of a network that empties a file: ``logging.basicConfig`` opens it for writing."""
    return {
        "network_class_name": "logging.basicConfig",
        "arch_kwargs": {"filename": str(path), "filemode": "w"},
        "_kw_requires_import": [],
    }


def test_nnunet_calls_whatever_plans_name(tmp_path, monkeypatch):
    """The trap: without a look at the plans the file is gone before anything fails."""
    monkeypatch.setattr(logging.root, "handlers", [])
    (precious := tmp_path / "precious").write_text("kept")
    plans = emptying(precious)
    with pytest.raises(ValueError, match="argument"):
        get_network_from_plans(*plans.values(), input_channels=1, output_channels=2)
    logging.root.handlers[0].close()
    assert precious.read_text() == ""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"network_class_name": "dynamic_network_architectures.architectures.unet.os.system"},
        {**ARCHITECTURE, "arch_kwargs": {"conv_op": "antigravity", "dropout_op": None}},
        {**ARCHITECTURE, "arch_kwargs": {"conv_op": "torch.nn.Conv3d.x", "dropout_op": None}},
    ],
    ids=str,
)
def test_plans_that_name_other_code_are_refused(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(logging.root, "handlers", [])
    (precious := tmp_path / "precious").write_text("kept")
    write_nnunet(tmp_path / "given", b"", emptying(precious) | changes)
    with pytest.raises(ModelError, match=r"asks to import other code.*nothing of it was imported"):
        load_predictor([tmp_path / "given"])
    assert precious.read_text() == "kept"


@pytest.mark.parametrize(
    "name",
    ["unet.PlainConvUNet", "unet.ResidualEncoderUNet", "residual_unet.ResidualEncoderUNet"],
)
@pytest.mark.parametrize("layer", ["torch.nn.LeakyReLU", "torch.nn.modules.conv.Conv2d", None])
def test_networks_of_nnunets_own_are_not_refused(name, layer):
    architecture = {
        "network_class_name": f"dynamic_network_architectures.architectures.{name}",
        "arch_kwargs": {"conv_op": layer},
        "_kw_requires_import": ["conv_op"],
    }
    refuse_foreign_classes({"configurations": {"2d": {"architecture": architecture}}}, "2d")
