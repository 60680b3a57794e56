"""Halves of a case: turned outwards alike, put back in place, exactly the same when mirrored."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lvo_kedro.detection import Detector, McResNet, SidesNetwork, require_midline
from lvo_kedro.detection.halves import join_halves, make_network, outward_halves, target_of
from lvo_kedro.detection.mcresnet import BasicBlock
from lvo_kedro.errors import ModelError


def batch(cases: int = 3, shape: tuple[int, int, int] = (32, 32, 32)) -> torch.Tensor:
    return torch.rand(cases, 2, *shape, generator=torch.Generator().manual_seed(4))


def detector(network: nn.Module) -> Detector:
    return Detector(network.eval(), ("ncct", "vessels"), (32, 32, 32), 3.0, {})


def test_halves_begin_at_the_midline_and_hold_their_difference_to_the_other_one():
    x = torch.zeros(1, 1, 4, 1, 1)
    x[0, 0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.6, 1.0])  # from the patient's left to the right
    left, right = outward_halves(x)[:, :, :, 0, 0]
    torch.testing.assert_close(left[0], torch.tensor([0.2, 0.1]))
    torch.testing.assert_close(right[0], torch.tensor([0.6, 1.0]))
    torch.testing.assert_close(left[1], torch.tensor([0.3, 0.05]))
    torch.testing.assert_close(right[1], torch.tensor([0.7, 0.95]))


def test_own_channels_come_first_and_left_halves_before_right_ones():
    x = batch()
    halves = outward_halves(x)
    assert halves.shape == (6, 4, 16, 32, 32)
    assert torch.equal(halves[1, :2], x[1, :, :16].flip(1))
    assert torch.equal(halves[4, :2], x[1, :, 16:])
    assert halves.min() >= 0 and halves.max() <= 1
    assert torch.equal(join_halves(halves[:, 1]), x[:, 1])


def test_a_mirrored_case_has_the_same_utilities_in_the_other_order():
    torch.manual_seed(0)
    network, x = SidesNetwork(2, 8), batch()
    x[:, :, :10] *= 0.2
    with torch.no_grad():
        for _ in range(20):
            network(x)  # so that its norms fit
        network.mcresnet.fc[-1].weight *= 1e4  # new attention damps every difference
        model = detector(network)
        straight, mirrored = model.network(x), model.network(x.flip(2))
    assert straight.shape == (3, 2)
    assert (straight[:, 0] - straight[:, 1]).abs().min() > 0.05
    # the network reads the same halves to the last bit; a sum's last one depends on their places
    assert torch.equal(outward_halves(x), torch.cat(outward_halves(x.flip(2)).chunk(2)[::-1]))
    torch.testing.assert_close(straight, mirrored.flip(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(model.score(x), model.score(x.flip(2)), rtol=1e-6, atol=0)


def test_a_mirrored_case_is_not_computed_again():
    calls = []
    model = detector(SidesNetwork(2, 4))
    model.network.mcresnet.register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(model.score(batch(), flip=True), model.score(batch(), flip=False))
    assert len(calls) == 2


def test_the_logit_is_that_of_either_side():
    model = detector(SidesNetwork(2, 4))
    with torch.no_grad():
        utilities = model.network(batch())
    nothing, either = 1 / (1 + utilities.exp().sum(dim=1)), torch.sigmoid(model.score(batch()))
    torch.testing.assert_close(either, 1 - nothing)


def test_the_network_inside_is_mcresnet_with_twice_the_channels():
    inside, plain = SidesNetwork(3, 8).mcresnet.state_dict(), McResNet(6, 8).state_dict()
    assert {n: v.shape for n, v in inside.items()} == {n: v.shape for n, v in plain.items()}
    assert [target_of(make_network(t, 3, 4)) for t in ("case", "sides")] == ["case", "sides"]


def test_an_odd_number_of_voxels_across_has_no_midline():
    with pytest.raises(ModelError, match=r"33 voxels along x.*expected an even.*channels\.shape"):
        SidesNetwork(2, 4)(batch(1, (33, 32, 32)))


@pytest.mark.parametrize(
    "made", [{}, {"grid": "brain", "frame": "native"}, {"grid": "published", "frame": "midline"}]
)
def test_halves_need_the_midline_in_the_middle(made):
    require_midline({"grid": "brain", "frame": "midline"})
    with pytest.raises(ModelError, match=f"grid {made.get('grid')} in frame {made.get('frame')}"):
        require_midline(made)


@pytest.mark.parametrize("target", ["case", "sides"])
def test_blocks_begin_as_their_shortcut_where_that_is_asked_for(target):
    def blocks(zero: bool) -> list[nn.Module]:
        torch.manual_seed(3)
        network = make_network(target, 2, 4, zero)
        return [module for module in network.modules() if isinstance(module, BasicBlock)]

    plain, zero = blocks(False), blocks(True)
    assert len(zero) == 8
    assert all((block.bn2.weight == 1).all() for block in plain)
    assert all((block.bn2.weight == 0).all() for block in zero)
    assert all((block.bn1.weight == 1).all() for block in zero)
    block, x = zero[1].eval(), torch.rand(1, 4, 5, 5, 5)
    assert torch.equal(block(x), torch.relu(block.cbam(x)))
    for one, other in zip(plain, zero, strict=True):  # nothing else is drawn otherwise
        assert torch.equal(one.conv2.weight, other.conv2.weight)
