"""The marking network: shapes, what reaches a pixel, and a target layer that leaves without a trace."""

from dataclasses import replace

import pytest
import torch

from depth_perception.frame import BadInput
from depth_perception.networks.load import build, entry
from depth_perception.networks.markings import MarkingNet, MarkingNetConfig, separable

TINY = MarkingNetConfig(channels=(4, 6, 8, 8), blocks=(0, 1, 1, 1), pyramid=8, low=(4, 4), decoder=(8, 6), target=10)


def trained(config=TINY):
    """A network with statistics and weights that are not the initial ones."""
    torch.manual_seed(0)
    net = MarkingNet(config).train()
    for _ in range(3):
        net(torch.rand(2, 3, 32, 64))
    torch.nn.init.normal_(net.last.bias)
    return net.eval()


def test_logits_are_half_as_large_as_the_image_and_the_target_layer_as_wide_as_asked():
    logits, features = trained().with_target(torch.rand(2, 3, 32, 64))
    assert logits.shape == (2, 7, 16, 32) and features.shape == (2, 10, 16, 32)


def test_the_default_network_is_within_its_budget():
    assert sum(x.numel() for x in MarkingNet().parameters()) <= 1_500_000


def test_folding_takes_the_target_layer_away_and_keeps_the_function():
    net, image = trained(), torch.rand(1, 3, 32, 64)
    folded = net.folded()
    assert folded.target is None and not [name for name, _ in folded.named_parameters() if name.startswith("target")]
    torch.testing.assert_close(folded(image), net(image), rtol=1e-4, atol=1e-5)
    assert folded.folded() is folded


def test_training_goes_on_from_a_folded_network_with_the_same_function():
    folded, image = trained().folded(), torch.rand(1, 3, 32, 64)
    again = folded.unfolded(12)
    assert again.target is not None and again.config.target == 12
    torch.testing.assert_close(again(image), folded(image), rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInput, match=r"network\.target"):
        folded.unfolded(3)


def test_what_is_mirrored_says_the_same_of_an_image_and_of_its_mirror_image():
    net, image = trained(), torch.rand(2, 3, 32, 64)
    both = MarkingNet(replace(TINY, mirrored=True)).eval()
    both.load_state_dict(net.state_dict())
    torch.testing.assert_close(both(image.flip(3)), both(image).flip(3))
    assert not torch.allclose(net(image.flip(3)), net(image).flip(3), atol=1e-3)
    plain = [net(x).softmax(1) for x in (image, image.flip(3))]
    torch.testing.assert_close(both(image).exp(), 0.5 * (plain[0] + plain[1].flip(3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both.folded()(image), both(image), rtol=1e-3, atol=1e-4)
    net.train(), both.train()
    assert torch.equal(both(image), net(image)), "it learns from the image alone"


def test_the_manifest_builds_it_again():
    net = trained()
    again = build("markings", entry(net))
    again.load_state_dict(net.state_dict())
    image = torch.rand(1, 3, 32, 64)
    assert torch.equal(again.eval()(image), net(image))


def test_target_convolutions_are_depth_wise_separable_and_dilated():
    deep, point = separable(6, 9, rate=4)[0], separable(6, 9, rate=4)[3][0]
    assert deep.groups == 6 and deep.dilation == (4, 4) and deep.kernel_size == (3, 3)
    assert point.kernel_size == (1, 1) and point.groups == 1
    rates = {conv.dilation for conv in MarkingNet().pyramid.modules() if isinstance(conv, torch.nn.Conv2d) and conv.groups > 1}
    assert rates == {(2, 2), (4, 4), (8, 8)}


def test_far_away_pixels_matter_by_the_pyramid():
    net = trained()
    image = torch.rand(1, 3, 64, 128, requires_grad=True)
    net(image)[0, 1, 2, 2].backward()
    assert image.grad[0, :, 60:, 120:].abs().max() > 0


@pytest.mark.parametrize("change", [{"channels": (4, 4)}, {"classes": ("background",)}, {"target": -1}])
def test_bad_shapes_are_refused(change):
    with pytest.raises(BadInput):
        MarkingNetConfig(**change)
