"""networks.placed: where a target lies as far as its image says."""

import numpy as np
import pytest
import torch

from depth_perception.geometry.grid import Grid
from depth_perception.networks import placed

DEPTHS = tuple(float(z) for z in np.geomspace(2.0, 50.0, 60))
GRID = Grid(x_m=0.0, y_m=-16.0, cell_m=0.5, rows=64, columns=96)


def distribution(*metres, sigma=0.06):
    """(1, D, 1, len(metres)): around so many metres in each feature of a row of them."""
    log = torch.tensor(DEPTHS).log()
    shares = [torch.exp(-((log - np.log(z)) ** 2) / (2 * sigma**2)) for z in metres]
    return torch.stack([each / each.sum() for each in shares], 1)[None, :, None]


def test_a_target_lies_on_its_ray_as_far_out_as_the_image_says():
    ray = torch.tensor([[[1.0, -0.5, 1.1, 0.2, 12.0], [1.0, -0.5, 0.9, -0.3, 40.0]]])
    at_pixel = torch.tensor([[[-0.5, 0.0], [0.5, 0.0]]])  # the centres of the two features
    share, xy, two = placed.along(distribution(10.0, 30.0), at_pixel, ray, DEPTHS)
    assert share.shape == (1, 2, 60) and torch.allclose(share.sum(2), torch.ones(1, 2))
    assert two[0, :, 0].numpy() == pytest.approx(np.array([[1 + 11.0, -0.5 + 2.0], [1 + 27.0, -0.5 - 9.0]]), rel=2e-3)
    assert two[0, :, 1].numpy() == pytest.approx(np.array([[1 + 13.2, -0.5 + 2.4], [1 + 36.0, -0.5 - 12.0]])), "the road"
    assert xy[0, 0, 7].numpy() == pytest.approx([1 + 1.1 * DEPTHS[7], -0.5 + 0.2 * DEPTHS[7]], rel=1e-5)


def test_between_two_features_the_distance_is_between_theirs_and_not_both():
    share, _, two = placed.along(distribution(10.0, 14.0), torch.zeros(1, 1, 2), torch.tensor([[[0.0, 0.0, 1.0, 0.0, 9.0]]]), DEPTHS)
    assert two[0, 0, 0, 0].item() == pytest.approx(np.sqrt(140), rel=2e-3)
    assert DEPTHS[int(share[0, 0].argmax())] == pytest.approx(np.sqrt(140), rel=0.06)


def test_near_places_look_alike_and_far_ones_do_not():
    xy = torch.tensor([[20.0, 3.0], [20.4, 3.1], [24.0, 3.0], [35.0, -6.0]])
    found = torch.nn.functional.normalize(placed.waves(xy), dim=1)
    assert found.shape == (4, placed.SIZE)
    alike = found @ found[0]
    assert alike[0] > alike[1] > alike[2] > alike[3] and alike[1] > 0.7 and alike[3] < 0.5


def test_places_on_a_map_are_metres():
    assert placed.metres(torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]), GRID).tolist() == [[0, -16], [48, 16], [24, 0]]


def test_the_map_is_read_where_the_image_sees_the_target():
    columns = torch.arange(48) + 0.5  # of a map with half the grid's cells: x in metres is this
    above = columns.expand(1, 1, 32, 48)
    ray = torch.tensor([[[2.0, 1.0, 1.0, 0.0, 30.0]]])
    read = placed.seen(above, distribution(20.0), torch.zeros(1, 1, 2), ray, DEPTHS, GRID)
    assert read.shape == (1, 1, 1 + 3 * placed.SIZE)
    assert read[0, 0, 0].item() == pytest.approx(22.0, abs=0.1)
    assert torch.allclose(read[0, 0, 1 + placed.SIZE : -placed.SIZE], placed.waves(torch.tensor([22.0, 1.0])), atol=0.15)
    assert torch.allclose(read[0, 0, -placed.SIZE :], placed.waves(torch.tensor([32.0, 1.0])))
    # A distribution that is all over the place has no place: short waves cancel out.
    nowhere = torch.full((1, 60, 1, 1), 1 / 60)
    vague = placed.seen(above, nowhere, torch.zeros(1, 1, 2), ray, DEPTHS, GRID)[0, 0, 1 : 1 + placed.SIZE]
    sure = read[0, 0, 1 : 1 + placed.SIZE]
    assert vague[[3, 9]].norm() < 0.5 and sure[[3, 9]].norm() > 0.85, "x by the wave of 16 m"


def test_what_the_image_sees_learns_from_where_the_cloud_is():
    logits = torch.zeros(1, 60, 1, 1, requires_grad=True)
    ray = torch.tensor([[[0.0, 0.0, 1.0, 0.0, 56.0]]])
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(150):
        _, _, two = placed.along(logits.softmax(1), torch.zeros(1, 1, 2), ray, DEPTHS)
        loss = (placed.waves(two[:, :, 0]) - placed.waves(torch.tensor([[[12.0, 0.0]]]))).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert two[0, 0, 0, 0].item() == pytest.approx(12.0, abs=0.3)
