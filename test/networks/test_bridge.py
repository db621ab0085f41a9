"""The bridge of S5: what passes it, and what it begins as."""

import pytest
import torch
from torch.nn import functional as F

from depth_perception.frame import BadInput
from depth_perception.networks.bridge import Bridge, Refinement


def test_refinement_by_hand_and_its_shares_begin_at_zero():
    torch.manual_seed(0)
    refine, x = Refinement(4), torch.randn(3, 4, 6, 8)
    assert refine.shares.tolist() == [0, 0]
    assert torch.allclose(refine(x), F.elu(F.batch_norm(x, None, None, training=True)), atol=1e-5)
    with torch.no_grad():
        refine.shares.copy_(torch.tensor([0.5, -2.0]))
    refine.eval()
    convolution, norm = refine.local
    local = norm(F.conv2d(x, convolution.weight, padding=1))
    overall = torch.einsum("oc,bc->bo", refine.overall.weight[:, :, 0, 0], x.mean((2, 3))) + refine.overall.bias
    wanted = refine.norm(x) + 0.5 * local - 2 * overall[:, :, None, None]
    assert torch.allclose(refine(x), torch.where(wanted > 0, wanted, wanted.exp() - 1), atol=1e-5)


def test_a_bridge_squeezes_and_restores_from_what_it_squeezed_alone():
    torch.manual_seed(0)
    bridge, x = Bridge(12, 5), torch.randn(2, 12, 6, 8)
    hidden, restored = bridge(x)
    assert hidden.shape == (2, 5, 6, 8) and restored.shape == x.shape
    assert torch.equal(restored, F.hardswish(bridge.restore[0](hidden)))
    first, _, refine = bridge.squeeze
    assert torch.allclose(hidden, refine(F.hardswish(first(x))), atol=1e-5)


@torch.no_grad()
def correlation(a, b):
    a, b = (z - z.mean((0, 2, 3), keepdim=True) for z in (a, b))
    return float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())


def test_an_open_bridge_passes_its_map_up_to_a_constant():
    torch.manual_seed(0)
    x = (torch.randn(8, 6, 16, 16) * torch.tensor([0.1, 5, 1, 2, 0.5, 3]).view(1, 6, 1, 1)) + 4
    bridge = Bridge(6, 8)
    assert abs(correlation(x, bridge(x)[1])) < 0.5
    bridge.begin_open(x)
    assert correlation(x, bridge(x)[1]) > 0.97
    bridge = Bridge(6, 8)
    bridge.begin_open(x)
    assert correlation(x, bridge.eval()(x)[1]) > 0.97


def test_a_narrow_open_bridge_passes_the_channels_that_vary_most():
    torch.manual_seed(0)
    x = torch.randn(8, 6, 16, 16) * torch.tensor([0.1, 5, 1, 2, 0.5, 3]).view(1, 6, 1, 1)
    bridge = Bridge(6, 3)
    bridge.begin_open(x)
    restored = bridge(x)[1]
    each = [correlation(x[:, i : i + 1], restored[:, i : i + 1]) if restored[:, i].std() > 1e-3 else 0.0 for i in range(6)]
    assert [value > 0.9 for value in each] == [False, True, False, True, False, True]


def test_a_bridge_of_one_channel_that_varies_opens_to_it():
    torch.manual_seed(0)
    x = torch.tensor([0.0, 3.0, -2.0]).view(1, 3, 1, 1).repeat(8, 1, 16, 16)
    x[:, 1] += torch.randn(8, 16, 16)
    bridge = Bridge(3, 3)
    bridge.begin_open(x)
    hidden, restored = bridge(x)
    assert hidden.isfinite().all() and restored.isfinite().all()
    assert correlation(x[:, 1:2], restored[:, 1:2]) > 0.97


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4, float("nan"), float("inf")])
def test_a_stage_that_never_varies_cannot_open_a_bridge(value):
    bridge = Bridge(6, 3)
    before = {name: tensor.clone() for name, tensor in bridge.state_dict().items()}
    with pytest.raises(BadInput, match="got a stage of 6 channels at 24x16 that is constant or not finite"):
        bridge.begin_open(torch.full((8, 6, 16, 24), value))
    assert all(torch.equal(tensor, before[name]) for name, tensor in bridge.state_dict().items())
