"""The network against the published one's numbers and an independent forward pass."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from lvo_kedro.detection import McResNet, load_published_checkpoint
from lvo_kedro.errors import ModelError


def plain_forward(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """McResNet in evaluation mode, written from the description alone."""

    def norm(x, name):
        return F.batch_norm(
            x, w[f"{name}.running_mean"], w[f"{name}.running_var"],
            w[f"{name}.weight"], w[f"{name}.bias"],
        )  # fmt: skip

    x = F.conv3d(x, w["conv1.weight"], stride=2, padding=3)
    x = F.max_pool3d(F.relu(norm(x, "bn1")), 3, 2, 1)
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            p = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = F.conv3d(x, w[f"{p}.conv1.weight"], stride=stride, padding=1)
            y = F.conv3d(F.relu(norm(y, f"{p}.bn1")), w[f"{p}.conv2.weight"], padding=1)
            y = norm(y, f"{p}.bn2")
            if stride == 2:
                x = F.conv3d(x, w[f"{p}.downsample.0.weight"], stride=2)
                x = norm(x, f"{p}.downsample.1")
            y = y + x
            attention = F.adaptive_avg_pool3d(y, 1).flatten(1)
            attention = F.relu(F.linear(attention, w[f"{p}.cbam.channel_attention.fc1.weight"]))
            attention = F.linear(attention, w[f"{p}.cbam.channel_attention.fc2.weight"])
            y = y * attention.sigmoid()[..., None, None, None]
            both = torch.cat([y.mean(1, keepdim=True), y.max(1, keepdim=True).values], 1)
            where = F.conv3d(both, w[f"{p}.cbam.spatial_attention.conv.weight"], padding=3)
            x = F.relu(y * where.sigmoid())
    x = F.adaptive_avg_pool3d(x, 1).flatten(1)
    x = F.relu(F.linear(x, w["fc.0.weight"], w["fc.0.bias"]))
    return F.linear(x, w["fc.3.weight"], w["fc.3.bias"])


def a_trained_network(in_channels=4, base_width=16, seed=0) -> McResNet:
    """Weights and statistics unlike those of initialisation."""
    torch.manual_seed(seed)
    network = McResNet(in_channels, base_width).train()
    for _ in range(3):
        network(torch.randn(4, in_channels, 40, 36, 44))
    for name, parameter in network.named_parameters():
        if "bn" in name or "downsample.1" in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return network.eval()


def test_size_and_names_are_the_published_ones():
    network = McResNet()
    state = network.state_dict()
    assert sum(p.numel() for p in network.parameters()) == 33_351_281
    assert len(state) == 148
    shapes = {
        "conv1.weight": (64, 4, 7, 7, 7),
        "bn1.num_batches_tracked": (),
        "layer1.0.conv1.weight": (64, 64, 3, 3, 3),
        "layer1.0.cbam.channel_attention.fc1.weight": (4, 64),
        "layer1.0.cbam.channel_attention.fc2.weight": (64, 4),
        "layer1.0.cbam.spatial_attention.conv.weight": (1, 2, 7, 7, 7),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1, 1),
        "layer2.0.downsample.1.running_mean": (128,),
        "layer4.1.conv2.weight": (512, 512, 3, 3, 3),
        "fc.0.weight": (64, 512),
        "fc.3.bias": (1,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert not any(name.startswith("layer1") and "downsample" in name for name in state)


def test_initial_weights_are_kaiming_normal_by_fan_out():
    torch.manual_seed(0)
    network = McResNet()
    for name in ("conv1", "layer3.1.conv2", "layer2.0.downsample.0"):
        convolution = network.get_submodule(name)
        fan_out = convolution.out_channels * convolution.kernel_size[0] ** 3
        assert convolution.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    assert (network.bn1.weight == 1).all()
    assert (network.bn1.bias == 0).all()


@pytest.mark.parametrize("base_width", [16, 64])
def test_forward_equals_one_written_with_functional(base_width):
    network = a_trained_network(base_width=base_width)
    x = torch.randn(2, 4, 37, 48, 33)
    with torch.no_grad():
        assert network(x).shape == (2, 1)
        torch.testing.assert_close(
            network(x), plain_forward(network.state_dict(), x), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("wrap", ["plain", "parallel", "state_dict", "model_state_dict"])
def test_published_checkpoints_load_and_give_the_same_logits(tmp_path, wrap):
    network = a_trained_network()
    state = network.state_dict()
    if wrap != "plain":
        state = {f"module.{name}": value for name, value in state.items()}
    content = state if wrap in ("plain", "parallel") else {wrap: state, "epoch": 7, "best": 0.5}
    torch.save(content, tmp_path / "best.pth")
    loaded = load_published_checkpoint(tmp_path / "best.pth", base_width=16)
    x = torch.randn(2, 4, 32, 32, 32)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))


def test_a_checkpoint_that_executes_code_is_refused(tmp_path):
    torch.save({"state_dict": McResNet(2, 4)}, tmp_path / "module.pth")
    with pytest.raises(ModelError, match="tensors alone"):
        load_published_checkpoint(tmp_path / "module.pth", 2, 4)


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(3)}, [1, 2], {}])
def test_a_checkpoint_of_something_else_says_what_does_not_fit(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="do not fit"):
        load_published_checkpoint(tmp_path / "other.pth", 2, 4)


def test_a_damaged_or_missing_file_is_named(tmp_path):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut off")
    for name in ("cut.pth", "none.pth"):
        with pytest.raises(ModelError, match=name):
            load_published_checkpoint(tmp_path / name)


def test_recomputing_changes_neither_gradients_nor_statistics():
    torch.manual_seed(1)
    x, results = torch.randn(3, 2, 32, 32, 32), []
    for recompute in (False, True):
        torch.manual_seed(2)
        network = McResNet(2, 8).train()
        network.recompute = recompute
        torch.manual_seed(3)
        network(x).sum().backward()
        results.append((network.conv1.weight.grad, network.state_dict()))
    torch.testing.assert_close(results[0][0], results[1][0])
    for name, value in results[0][1].items():
        if name.endswith("num_batches_tracked"):
            continue
        torch.testing.assert_close(value, results[1][1][name])


def test_the_module_needs_torch_alone():
    code = (
        "import sys, importlib.util as u; from pathlib import Path; import lvo_kedro\n"
        "p = Path(lvo_kedro.__file__).parent / 'detection' / 'mcresnet.py'\n"
        "s = u.spec_from_file_location('mcresnet', p); m = u.module_from_spec(s)\n"
        "s.loader.exec_module(m); m.McResNet(1, 4)\n"
        "names = {'nibabel', 'monai', 'pydantic', 'sklearn', 'pandas', 'kedro', 'mlflow'}\n"
        "sys.exit(', '.join(names & set(sys.modules)) or None)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
