"""Voxel-density alignment (S2 claims 5-7): the claim's count, its splatted form, and a street where the truth is known."""

import numpy as np
import pytest
import street
import torch
from torch.autograd import gradcheck

from depth_perception.frame import BadInput
from depth_perception.losses import voxel_density
from depth_perception.losses.motion import inverse, motion
from depth_perception.losses.voxel_density import VoxelGrid, density, divergence, hard_count, index, literal_count, splat

GRID = VoxelGrid(start=(-1.0, 0.0, 2.0), size=(0.5, 1.0, 0.25), count=(4, 3, 5), unit="metres")


def cloud(n: int, *, wider: float = 1.0, seed: int = 0) -> torch.Tensor:
    """(1, 3, n) points evenly in the grid, or in a box so many times wider around its corner."""
    size = torch.tensor(GRID.size, dtype=torch.float64) * torch.tensor(GRID.count)
    share = torch.rand(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (torch.tensor(GRID.start) + (share - 0.5) * wider * size + 0.5 * size).T[None]


def test_the_index_is_claim_6_by_hand():
    # ix = (0.6 + 1) / 0.5 -> 3, iy = 1.2 -> 1, iz = 0.3 / 0.25 -> 1: 3 + 4 (1 + 3 * 1) = 19
    v, within = index(torch.tensor([[0.6, 1.2, 2.3], [-1.0, 0.0, 2.0], [1.0, 0.5, 2.1], [0.0, -0.01, 2.1]]).T[None], GRID)
    assert v.tolist() == [[19, 0, 0, 0]] and within.tolist() == [[True, True, False, False]]


def test_every_voxel_has_one_index():
    nx, ny, nz = GRID.count
    centres = [[-1 + 0.5 * (x + 0.5), y + 0.5, 2 + 0.25 * (z + 0.5)] for z in range(nz) for y in range(ny) for x in range(nx)]
    assert index(torch.tensor(centres).T[None], GRID)[0].flatten().tolist() == list(range(GRID.voxels))


def test_the_claims_count_equals_bincount_and_ours():
    xyz = cloud(200, wider=1.5)
    v, within = index(xyz, GRID)
    assert 50 < within.sum() < 150
    wanted = np.bincount(v[within].numpy(), minlength=GRID.voxels)
    assert literal_count(v[within], GRID.voxels).tolist() == wanted.tolist() == hard_count(xyz, GRID)[0].tolist()
    # written out once more: c_i = n - ||sign|v - i|||_1
    n, i = int(within.sum()), 7
    assert n - sum(abs(int(np.sign(abs(int(each) - i)))) for each in v[within]) == wanted[i]


def test_the_claims_count_has_no_gradient_the_splatted_one_has():
    xyz = cloud(50).requires_grad_()
    v = (xyz[:, 0] / 0.5).floor()  # the claim's own chain: floor, |.|, sign
    literal_count(v[0], 4).square().sum().backward()
    assert xyz.grad.abs().max() == 0
    xyz.grad = None
    splat(xyz, GRID).square().sum().backward()
    assert (xyz.grad.abs().amax((0, 2)) > 0.1).all()
    assert (xyz.grad.abs().sum(1) > 0).double().mean() > 0.9
    rest = cloud(9, seed=1)
    assert gradcheck(lambda p: splat(p, GRID), rest.requires_grad_())


def test_every_point_inside_shares_exactly_one_and_none_outside():
    xyz = cloud(300, wider=1.5, seed=2)
    within = index(xyz, GRID)[1][0]
    for k in range(300):
        shares = splat(xyz[..., k : k + 1], GRID)
        assert shares.sum().item() == pytest.approx(float(within[k]), abs=1e-12) and shares.min() >= 0
    assert splat(xyz, GRID).sum().item() == pytest.approx(hard_count(xyz, GRID).sum().item())


def test_a_point_at_a_centre_counts_there_alone_and_one_between_is_shared():
    at = torch.tensor([[-0.25, 1.5, 2.375]]).T[None]  # voxel (1, 1, 1)
    assert splat(at, GRID)[0].nonzero().flatten().tolist() == [1 + 4 * (1 + 3 * 1)] and torch.equal(splat(at, GRID), hard_count(at, GRID))
    between = at + torch.tensor([0.125, 0.0, 0.0]).view(1, 3, 1)  # a quarter of the way to the next one in x
    shares = splat(between, GRID)[0]
    assert shares[17].item() == pytest.approx(0.75) and shares[18].item() == pytest.approx(0.25)


def test_weights_are_what_a_point_counts():
    xyz, weight = cloud(20), torch.rand(1, 20).double()
    one_by_one = sum(weight[0, k] * splat(xyz[..., k : k + 1], GRID) for k in range(20))
    assert torch.allclose(splat(xyz, GRID, weight), one_by_one)
    assert hard_count(xyz, GRID, weight).sum().item() == pytest.approx(weight.sum().item())


def test_density_and_divergence_by_hand():
    rho = density(torch.tensor([[3.0, 1.0, 0.0]]), eps=0.01)
    assert rho[0].tolist() == pytest.approx([0.76, 0.26, 0.01])
    other = density(torch.tensor([[0.0, 0.0, 5.0]]), eps=0.01)
    wanted = 0.76 * np.log(0.76 / 0.01) + 0.26 * np.log(0.26 / 0.01) + 0.01 * np.log(0.01 / 1.01)
    assert divergence(rho, other).item() == pytest.approx(wanted, rel=1e-5)
    assert divergence(rho, rho).item() == 0
    assert torch.isfinite(density(torch.zeros(1, 3), eps=0.01)).all()  # no point inside


# the street: t stands at the origin, t + m has driven a metre and turned a little

DRIVEN = torch.tensor([[0, 0.01, 0, 0.05, 0, -1.0]], dtype=torch.float64)
T_NEXT_HERE = motion(DRIVEN)
HERE, NEXT = street.depth(torch.eye(4, dtype=torch.float64)[None]), street.depth(T_NEXT_HERE)


def loss(here=HERE, following=NEXT, T=T_NEXT_HERE, **options):
    return voxel_density.alignment(depth=here, neighbour_depth=following, K=street.K, T_neighbour_image=T, **options)


@pytest.mark.parametrize("hard", [False, True])
def test_the_truth_costs_next_to_nothing_and_the_pose_has_a_direction(hard):
    truth = loss(hard=hard).item()
    assert 0 <= truth < (0.05 if hard else 0.015)
    for name, wrong in {"the inverse": inverse(T_NEXT_HERE), "no motion": motion(0 * DRIVEN), "half": motion(DRIVEN / 2)}.items():
        assert loss(T=wrong, hard=hard).item() > 2 * truth, name
    assert loss(T=inverse(T_NEXT_HERE), hard=hard).item() > 8 * truth
    metres = VoxelGrid((-20.0, -5.0, 0.0), (1.0, 1.0, 2.0), (40, 10, 30), "metres")
    assert loss(T=inverse(T_NEXT_HERE), grid=metres).item() > 8 * loss(grid=metres).item()


def test_wrong_depths_cost_and_the_gradient_leads_back():
    wave = 1 + 0.15 * torch.cos(torch.linspace(0, 9, street.WIDTH).double())
    assert loss(following=NEXT * wave) > 20 * loss() and loss(here=HERE * wave, following=NEXT * wave) > 3 * loss()
    strength = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    value = loss(following=NEXT * (1 + strength * (wave - 1)))
    value.backward()
    assert strength.grad > 0.1  # less of the wave is better


def test_depth_of_both_images_and_the_pose_learn_from_it():
    here, following, driven = (x.clone().requires_grad_() for x in (HERE, NEXT, DRIVEN / 2))
    loss(here, following, motion(driven)).backward()
    for x in (here, following, driven):
        assert torch.isfinite(x.grad).all() and x.grad.abs().max() > 1e-6
    assert driven.grad[0, 5] > 0  # further than half a metre


def test_the_literal_form_prefers_too_short_a_motion():
    # the trap that the default is there for: nearer is more pixels, and each camera sees a margin of its own
    assert loss(T=motion(DRIVEN / 2), literal=True) < 0.7 * loss(literal=True)
    assert loss(literal=True) > 8 * loss()


def test_the_relative_grid_sees_no_scale():
    smaller = T_NEXT_HERE.clone()
    smaller[:, :3, 3] *= 0.3
    assert loss(0.3 * HERE, 0.3 * NEXT, smaller).item() == pytest.approx(loss().item(), rel=1e-6)
    metres = VoxelGrid((-20.0, -5.0, 0.0), (1.0, 1.0, 2.0), (40, 10, 30), "metres")
    wave = 1 + 0.15 * torch.cos(torch.linspace(0, 9, street.WIDTH).double())
    small = loss(0.1 * HERE, 0.1 * NEXT * wave, motion(0.1 * DRIVEN), grid=metres)
    assert small < 0.5 * loss(HERE, NEXT * wave, grid=metres)  # the trap of metres


PERSPECTIVE = VoxelGrid((-1.2, -0.4, -3.0), (0.1, 0.1, 0.15), (24, 8, 40), "perspective")


def test_the_perspective_grid_knows_the_truth_and_the_direction_and_sees_no_scale():
    truth = loss(grid=PERSPECTIVE).item()
    for name, wrong in {"the inverse": inverse(T_NEXT_HERE), "no motion": motion(0 * DRIVEN), "half": motion(DRIVEN / 2)}.items():
        assert loss(T=wrong, grid=PERSPECTIVE).item() > 2 * truth, name
    smaller = T_NEXT_HERE.clone()
    smaller[:, :3, 3] *= 0.3
    assert loss(0.3 * HERE, 0.3 * NEXT, smaller, grid=PERSPECTIVE).item() == pytest.approx(truth, rel=1e-6)


def test_a_bare_wall_gains_nothing_by_flying_away():
    # half of the picture is a wall about which the two views disagree by up to a fifth, wherever it stands
    noise = 1 + 0.2 * (2 * torch.rand(street.HEIGHT, street.WIDTH // 2, generator=torch.Generator().manual_seed(0)).double() - 1)

    def disagreeing(metres, grid):
        here = torch.full_like(HERE, 8.0)
        here[..., street.WIDTH // 2 :] = metres
        following = here.clone()
        following[..., street.WIDTH // 2 :] *= noise
        return loss(here, following, torch.eye(4, dtype=torch.float64)[None], grid=grid).item()

    assert disagreeing(90.0, None) < 0.05 * disagreeing(6.0, None)  # the trap: it has left the grid
    for metres in (3.0, 12.0, 24.0, 48.0, 90.0):
        assert disagreeing(metres, PERSPECTIVE) > 0.9 * disagreeing(6.0, PERSPECTIVE), metres


def test_what_moves_by_itself_is_left_out_where_it_contradicts():
    # both depths are the truth, but the nearest box has driven on by three metres
    (low, high), *others = street.BOXES
    moved = tuple((*end[:2], end[2] + 3.0) for end in (low, high))
    there = street.depth(T_NEXT_HERE, boxes=(moved, *others))
    here, following = HERE.clone().requires_grad_(), there.clone().requires_grad_()
    box = (HERE - 12).abs() < 1e-6
    assert box.sum() > 100

    def pulled(**options):
        value = loss(here, following, grid=PERSPECTIVE, **options)
        return value.item(), torch.autograd.grad(value, here)[0][box].abs().sum().item()

    (cost, pull), (least, none) = pulled(), pulled(contrary=0.05)
    assert least < 0.5 * cost and none < 0.05 * pull
    assert torch.equal(loss(contrary=1.0), loss())


@pytest.mark.parametrize("lateral", [0.05, -0.05])
def test_a_wall_along_the_road_drifts_where_one_view_alone_is_taught(lateral):
    # the car drives straight; the pose network says that it drifts by 5 cm, and the wall to the right may be anywhere
    straight = motion(torch.tensor([[0, 0, 0, 0, 0, -1.0]], dtype=torch.float64))
    said = motion(torch.tensor([[0, 0, 0, lateral, 0, -1.0]], dtype=torch.float64))
    following = street.depth(straight)
    x = voxel_density.points(HERE, street.K)[0, 0], voxel_density.points(following, street.K)[0, 0]
    wall = [(each - 7).abs().view_as(HERE) < 1e-3 for each in x]
    assert min(each.double().mean() for each in wall) > 0.2
    alone = together = 0.0
    for step in range(8):  # the grid's cells begin anywhere
        grid = VoxelGrid((-1.2, -0.4, -3.0 + 0.15 * step / 8), (0.1, 0.1, 0.15), (24, 8, 40), "perspective")
        farther = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # by exp(farther), in t and in t + m
        here = torch.where(wall[0], HERE * farther[0].exp(), HERE)
        there = torch.where(wall[1], following * farther[1].exp(), following)
        (gradient,) = torch.autograd.grad(loss(here, there, said, grid=grid), farther)
        alone, together = alone + gradient[0].item() / 8, together + gradient.sum().item() / 8
    assert alone * lateral > 0 and abs(alone) > 0.1  # the trap: nearer or farther, as the error of the motion says
    assert abs(together) < 0.2 * abs(alone), (alone, together)


def test_a_grid_has_numbers_of_its_unit():
    for unit in ("metres", "perspective"):
        with pytest.raises(BadInput, match=f"unit {unit} wants start and size of its own, such as start"):
            VoxelGrid(unit=unit)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("away", [-30.0, 30.0])
def test_an_absurd_motion_is_never_better_than_the_truth(hard, away):
    T = motion(torch.tensor([[0, 0, 0, 0, 0, away]], dtype=torch.float64))
    assert loss(T=T, hard=hard).item() >= 0


@pytest.mark.parametrize("where", ["here", "following"])
def test_a_depth_that_is_no_number_is_a_loss_that_is_none_and_no_crash(where):
    broken = {"here": HERE, "following": NEXT}
    broken[where] = broken[where].clone()
    broken[where][0, 0, 40, 60] = float("nan")
    assert torch.isnan(loss(**broken))


def test_a_grid_that_is_none_is_refused():
    for options, name in (({"size": (0.1, 0.0, 1.0)}, "size"), ({"count": (1, 2)}, "count"), ({"unit": "feet"}, "unit")):
        with pytest.raises(BadInput, match=name):
            VoxelGrid(**options)
