"""L_st (S2 claim 9) and L_dfa's two terms (claims 3, 4) by hand, and the encoder that must not learn."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from depth_perception.losses import feature_alignment, smoothness, style
from depth_perception.networks.depth import DepthNet, DepthNetConfig
from depth_perception.networks.frozen import FrozenEncoder
from depth_perception.networks.student import Student, StudentConfig


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gram_by_loops():
    f = random(2, 3, 4, 5)
    for b in range(2):
        for i in range(3):
            for j in range(3):
                wanted = sum(f[b, i, y, x] * f[b, j, y, x] for y in range(4) for x in range(5)) / 20
                assert style.gram(f)[b, i, j].item() == pytest.approx(wanted.item())


def test_style_forgets_where_content_does_not():
    f = random(1, 4, 6, 6)
    turned = f.flip(3)
    assert style.style(turned, f).item() < 1e-20 and style.content(turned, f) > 0.01
    assert style.content(f, f) == 0
    assert style.content(2 * f, f).item() == pytest.approx(1) and style.style(2 * f, f).item() == pytest.approx(9)
    assert style.content(20 * f, 10 * f).item() == pytest.approx(1)  # whatever the network's own size


def test_total_variation_by_hand():
    image = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.5]]).view(1, 1, 2, 3)
    assert style.total_variation(image).item() == pytest.approx((1 + 0 + 1 + 0.5) / 4 + 0.5 / 3)


def test_consistency_is_the_weighted_sum():
    rebuilt, a, b = random(1, 3, 8, 8), [random(1, 2, 4, 4, seed=1), random(1, 2, 2, 2, seed=2)], [random(1, 2, 4, 4), random(1, 2, 2, 2)]
    parts = [style.content(a[1], b[1]), (style.style(a[0], b[0]) + style.style(a[1], b[1])) / 2, style.total_variation(rebuilt)]
    for k in range(3):
        weights = tuple(float(j == k) for j in range(3))
        ours = style.consistency(rebuilt=rebuilt, rebuilt_features=a, image_features=b, weights=weights)
        assert ours.item() == pytest.approx(parts[k].item())

    def of(x):
        return style.consistency(rebuilt=x, rebuilt_features=[x], image_features=[random(1, 3, 3, 3)], weights=(1.0, 1.0, 0.1))

    assert gradcheck(of, random(1, 3, 3, 3, seed=3).requires_grad_())


@pytest.mark.parametrize("network", [Student(StudentConfig(channels=(4,) * 5)), DepthNet(DepthNetConfig(channels=(4,) * 5))])
def test_the_frozen_encoder_is_a_copy_that_stays(network):
    image = torch.rand(2, 3, 64, 64)
    frozen = FrozenEncoder(network)
    wanted = network.eval().encoded(image)
    together = nn.ModuleDict({"depth": network, "frozen": frozen}).train()
    assert network.training and not any(module.training for module in frozen.modules())
    network(image)  # its own batch norms go on
    optimiser = torch.optim.AdamW(together.parameters(), lr=1.0, weight_decay=0.5)
    image.requires_grad_()
    stages = frozen(image)
    assert [tuple(x.shape[2:]) for x in stages] == [(64 >> i, 64 >> i) for i in range(1, 6)]
    sum(x.square().mean() for x in stages).backward()
    assert image.grad.abs().max() > 0 and all(p.grad is None for p in together.parameters())
    network(image)[0].mean().backward()
    optimiser.step()
    assert all(torch.allclose(a, b) for a, b in zip(frozen(image), wanted, strict=True))


def test_reconstruction_by_hand():
    assert feature_alignment.reconstruction(torch.full((1, 3, 2, 2), 0.25), torch.ones(1, 3, 2, 2)).item() == pytest.approx(0.75)


def test_depth_features_by_hand():
    f = torch.tensor([[1.0, 3.0], [5.0, 7.0]]).view(1, 2, 1, 2)  # deviations: sqrt(2) each
    aligned = f + torch.tensor([[0.5, 1.0], [2.0, 1.0]]).view(1, 2, 1, 2)
    both, left = torch.ones(1, 1, 1, 2, dtype=torch.bool), torch.tensor([True, False]).view(1, 1, 1, 2)
    assert feature_alignment.depth_features(aligned, f, both, relative=False).item() == pytest.approx(4.5 / 4)
    assert feature_alignment.depth_features(aligned, f, left, relative=False).item() == pytest.approx(2.5 / 2)
    assert feature_alignment.depth_features(aligned, f, both).item() == pytest.approx(4.5 / 4 / 2**0.5, rel=1e-5)
    assert feature_alignment.depth_features(aligned, f, ~both).item() == 0


def test_the_plain_difference_rewards_small_features_the_relative_one_does_not():
    a, f, inside = random(1, 4, 6, 6), random(1, 4, 6, 6, seed=1), torch.ones(1, 1, 6, 6, dtype=torch.bool)
    for relative, share in ((False, 0.1), (True, 1.0)):
        small, whole = (feature_alignment.depth_features(k * a, k * f, inside, relative=relative).item() for k in (0.1, 1.0))
        assert small == pytest.approx(share * whole, rel=1e-3)


def test_smoothness_of_the_inverse_depth_by_hand_and_its_trap():
    depth, image = torch.tensor([2.0, 4.0, 5.0]).view(1, 1, 1, 3).repeat(1, 1, 2, 1), torch.tensor([0.0, 0.0, 1.0]).view(1, 1, 1, 3)
    image = image.repeat(1, 3, 2, 1)
    wanted = (0.25 + 0.05 * torch.tensor(-1.0).exp().item()) / 2
    assert smoothness.edge_aware(depth, image, normalised=False).item() == pytest.approx(wanted, rel=1e-5)
    assert smoothness.edge_aware(10 * depth, image, normalised=False).item() == pytest.approx(wanted / 10, rel=1e-5)  # far is smooth
    assert smoothness.edge_aware(10 * depth, image).item() == pytest.approx(smoothness.edge_aware(depth, image).item(), rel=1e-5)
