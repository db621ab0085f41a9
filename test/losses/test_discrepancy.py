"""Maximum mean discrepancy: zero between samples of one distribution, growing with distance; and the Lovasz-softmax loss."""

import math

import pytest
import torch

from depth_perception.losses.discrepancy import discrepancy
from depth_perception.losses.lovasz import lovasz_softmax


def plain(source, target, scales):
    """The unbiased estimator, by its definition and by loops."""
    both = torch.cat([source, target])
    apart = [float((a - b).square().sum()) for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    median = sorted(apart)[(len(apart) - 1) // 2]

    def k(a, b):
        return sum(math.exp(-float((a - b).square().sum()) / (scale * median)) for scale in scales) / len(scales)

    n, m = len(source), len(target)
    among = sum(k(a, b) for i, a in enumerate(source) for j, b in enumerate(source) if i != j) / (n * (n - 1))
    among += sum(k(a, b) for i, a in enumerate(target) for j, b in enumerate(target) if i != j) / (m * (m - 1))
    return among - 2 * sum(k(a, b) for a in source for b in target) / (n * m)


def test_it_is_the_unbiased_estimate():
    torch.manual_seed(0)
    source, target = torch.randn(7, 3), torch.randn(5, 3) + 1
    assert float(discrepancy(source, target, scales=(0.5, 2.0))) == pytest.approx(plain(source, target, (0.5, 2.0)), abs=1e-5)


def test_one_distribution_gives_zero_on_average_and_another_one_more_the_farther_it_is():
    torch.manual_seed(1)
    draws = {shift: [float(discrepancy(torch.randn(64, 4), torch.randn(64, 4) + shift)) for _ in range(60)] for shift in (0.0, 0.5, 1.5)}
    means = {shift: sum(values) / len(values) for shift, values in draws.items()}
    assert abs(means[0.0]) < 0.003 and min(draws[0.0]) < 0
    assert 0.02 < means[0.5] < means[1.5]


def test_it_sees_a_difference_in_spread_where_the_means_agree():
    torch.manual_seed(2)
    assert float(discrepancy(torch.randn(256, 4), 3 * torch.randn(256, 4))) > 0.05


def test_scale_does_not_matter_and_the_gradient_brings_the_sets_together():
    torch.manual_seed(3)
    source, target = torch.randn(64, 4), torch.randn(64, 4) + 1
    torch.testing.assert_close(discrepancy(100 * source, 100 * target), discrepancy(source, target), rtol=1e-3, atol=1e-5)
    shift = torch.zeros(4, requires_grad=True)
    discrepancy(source + shift, target).backward()
    assert (shift.grad < 0).all(), "down the gradient the source goes to where the target is"


def test_equal_features_are_no_division_by_zero():
    assert float(discrepancy(torch.ones(4, 2), torch.ones(4, 2))) == pytest.approx(0, abs=1e-6)


def iou_loss(mask, labels, classes):
    losses = []
    for name in range(classes):
        here, said = labels == name, mask == name
        if here.any():
            losses.append(1 - float((here & said).sum()) / float((here | said).sum()))
    return sum(losses) / len(losses)


def test_lovasz_is_one_minus_the_mean_iou_where_probabilities_are_sure():
    torch.manual_seed(4)
    labels, mask = torch.randint(0, 3, (2, 6, 8)), torch.randint(0, 4, (2, 6, 8))
    sure = torch.nn.functional.one_hot(mask, 4).permute(0, 3, 1, 2).float()
    assert float(lovasz_softmax(sure, labels)) == pytest.approx(iou_loss(mask, labels, 4), abs=1e-5)


def test_lovasz_ignores_what_is_ignored_and_learns():
    labels = torch.tensor([[[0, 1, 255, 1]]])
    logits = torch.zeros(1, 2, 1, 4, requires_grad=True)
    loss = lovasz_softmax(logits.softmax(1), labels)
    loss.backward()
    assert float(logits.grad[0, :, 0, 2].abs().max()) == 0 and float(logits.grad[0, 1, 0, 1]) < 0
    assert float(lovasz_softmax(torch.full((1, 2, 1, 4), 0.5), torch.full((1, 1, 4), 255))) == 0
