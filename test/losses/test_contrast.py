"""The losses of S3 against arithmetic done by hand."""

import math

import numpy as np
import pytest
import torch

from depth_perception.losses import centres
from depth_perception.losses.contrast import contrast
from depth_perception.losses.depth_distribution import depth_distribution
from depth_perception.losses.occupancy import occupancy


def test_pairs_of_one_target_are_positive_and_all_others_negative():
    eye = torch.eye(3)
    good, cells = contrast(eye, eye, torch.arange(3), temperature=1.0), torch.arange(3)
    assert good.item() == pytest.approx(-math.log(math.e / (math.e + 2)), abs=1e-6)
    turned = contrast(eye, eye.roll(1, 0), cells, temperature=1.0)
    assert float(turned) == pytest.approx(-math.log(1 / (math.e + 2)), abs=1e-6)
    assert float(contrast(5 * eye, eye, cells, temperature=1.0)) == pytest.approx(float(good), abs=1e-6)  # cosine


def test_targets_of_one_cell_are_no_negatives_of_each_other():
    features = torch.eye(3)[[0, 0, 1]]  # two targets that cannot be told apart
    same = contrast(features, features, torch.tensor([4, 4, 7]), temperature=0.07)
    other = contrast(features, features, torch.tensor([4, 5, 7]), temperature=0.07)
    assert float(same) < 1e-4 and float(other) == pytest.approx(2 / 3 * math.log(2), abs=1e-3)


def test_padding_counts_nowhere_and_both_networks_learn():
    torch.manual_seed(0)
    image, cloud = torch.randn(5, 8, requires_grad=True), torch.randn(5, 8, requires_grad=True)
    cells = torch.tensor([1, 2, 3, -1, -1])
    padded = contrast(image, cloud, cells)
    assert torch.equal(padded, contrast(image[:3], cloud[:3], cells[:3]))
    padded.backward()
    for each in (image, cloud):
        assert each.grad[:3].abs().sum(1).min() > 0 and not each.grad[3:].any()
    assert contrast(image, cloud, torch.full((5,), -1)).item() == 0.0


def test_the_depth_distribution_is_compared_where_a_return_falls():
    measured, estimate = torch.zeros(1, 4, 2, 2), torch.full((1, 4, 2, 2), 0.25)
    measured[0, 1, 0, 0] = 1.0
    measured[0, 2:, 1, 1] = 0.5
    assert float(depth_distribution(estimate, measured)) == pytest.approx(math.log(4), abs=1e-6)
    estimate[0, :, 0, 0] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert float(depth_distribution(estimate, measured)) == pytest.approx(math.log(4) / 2, abs=1e-6)
    assert float(depth_distribution(estimate, torch.zeros_like(measured))) == 0.0


def test_what_was_hidden_is_asked_for_and_nothing_else():
    told, pillars, hidden = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)
    assert occupancy(told, pillars, hidden).item() == 0.0
    hidden[0, 0, 1, 1] = 1
    assert occupancy(told, pillars, hidden).item() == pytest.approx(math.log(2))
    pillars[0, 1, 1, 1] = pillars[0, 0, 3, 3] = 1
    assert occupancy(told, pillars, hidden, filled=3.0).item() == pytest.approx((1 + 3) / 2 * math.log(2))
    told[0, 1, 1, 1] = 20
    assert occupancy(told, pillars, hidden).item() == pytest.approx(math.log(2) / 2, abs=1e-6)


def test_the_heat_is_punished_by_how_sure_it_is_and_only_where_labels_tell():
    truth, counts = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    truth[0, 0, 1, 1], truth[0, 0, 1, 2] = 1.0, 0.5
    estimate = torch.full((1, 1, 4, 4), 1e-4)
    estimate[0, 0, 1, 1] = 0.8
    assert float(centres.heat(estimate, truth, counts)) == pytest.approx(-0.2**2 * math.log(0.8), abs=1e-5)
    estimate[0, 0, 1, 2] = 0.6
    beside = -(0.5**4) * 0.6**2 * math.log(0.4)
    assert float(centres.heat(estimate, truth, counts)) == pytest.approx(-0.2**2 * math.log(0.8) + beside, abs=1e-5)
    estimate[0, 0, 3, 3] = 0.9
    worse = float(centres.heat(estimate, truth, counts))
    counts[0, 0, 3, 3] = 0
    assert worse > float(centres.heat(estimate, truth, counts)) + 1


def test_boxes_are_compared_at_centres_only():
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.normal(size=(1, 8, 4, 4)).astype(np.float32))
    place, estimate = torch.zeros(1, 1, 4, 4), truth + 5
    place[0, 0, 2, 1] = 1
    estimate[0, :, 2, 1] = truth[0, :, 2, 1] + torch.tensor([1.0, 0, 0, 0, 0, 0, 0, -1])
    assert float(centres.boxes(estimate, truth, place)) == pytest.approx(0.25, abs=1e-6)
    assert float(centres.boxes(estimate, truth, place, weights=(2, 1, 1, 1, 1, 1, 1, 0))) == pytest.approx(2 / 8, abs=1e-6)
    assert float(centres.boxes(estimate, truth, torch.zeros_like(place))) == 0.0
