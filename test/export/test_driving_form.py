"""What drives is the network that was trained: the rewritten operators give the same numbers, in float64 to the last digits."""

import pytest
import torch
from torch import nn

from depth_perception.export.driving_form import Blend, BlockHead, driving_form, on_blocks
from depth_perception.networks.blocks import WeightedSum
from depth_perception.networks.depth import DepthNet
from depth_perception.networks.disparity import DisparityHead
from depth_perception.networks.student import Student, StudentConfig


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(5)
    yield
    torch.set_default_dtype(torch.float32)


def blocks(x):
    """(B, C, H, W) -> (B, 4 C, H / 2, W / 2), pixel (y, x) of a block in channels (2 y + x) C and on."""
    return torch.cat([x[:, :, y::2, k::2] for y in (0, 1) for k in (0, 1)], 1)


def test_a_convolution_acts_on_blocks_as_on_pixels():
    conv, x = nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 8, 6)
    torch.testing.assert_close(on_blocks(conv)(blocks(x)), blocks(conv(x)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [(64, 66), (20, 30), (65, 70), (9, 7)], ids=["large", "small", "odd", "tiny"])
def test_two_paths_are_blended_alike(size):
    weighted, first, second = WeightedSum(2, 2).double(), torch.randn(2, 6, *size), torch.randn(2, 6, *size)
    torch.testing.assert_close(Blend(weighted)(first, second), weighted(first, second), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [(8, 10), (5, 10), (8, 7)])
def test_a_head_answers_alike_from_the_nearest_to_the_farthest(size):
    head = DisparityHead(4, min_depth=0.1, max_depth=100.0).double()
    head.conv.weight.data.normal_(std=8)  # sigmoids of 0 and of 1
    x = torch.randn(1, 4, *size)
    wanted = head(x)
    assert wanted.min() < 0.2 and wanted.max() > 99
    torch.testing.assert_close(BlockHead(head)(x), wanted, rtol=1e-10, atol=0)
    assert torch.isfinite(BlockHead(head)(1e6 * x)).all()


@pytest.mark.parametrize("network", [Student(StudentConfig(channels=(8, 8, 8, 8, 8), finest=f)) for f in (0, 1)] + [DepthNet()],
                         ids=["student", "student to half the size", "s1"])
def test_whole_networks_answer_alike_and_are_left_as_they_were(network):
    network = network.double().train()
    with torch.no_grad():
        network(torch.rand(2, 3, 128, 160))  # statistics that are not the fresh ones
        driving, image = driving_form(network), torch.rand(1, 3, 128, 160)
        names = {type(module) for module in driving.modules()}
        assert BlockHead in names and (Blend in names) == isinstance(network, Student)
        assert not any(isinstance(module, (Blend, BlockHead)) for module in network.modules()) and network.training
        for got, wanted in zip(driving(image), network.eval()(image), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-11, atol=0)
