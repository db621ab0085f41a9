"""Losses against numbers worked out by hand, straight-line code, and numerical gradients."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from depth_perception.geometry import camera, pose
from depth_perception.losses import distance, photometric, smoothness, static_mask
from depth_perception.losses.motion import inverse, motion, move
from depth_perception.losses.reconstruction import inverse_warp, points, project, rays

K = torch.tensor([[[4.0, 0, 3.5], [0, 5.0, 2.5], [0, 0, 1]]], dtype=torch.float64)
H, W = 6, 8


def random(*shape: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> torch.Tensor:
    return low + (high - low) * torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# motion


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-3, 1.0, 3.0])
def test_motion_equals_geometry_and_inverts(scale):
    vector = torch.tensor([[0.3, -0.5, 0.2, 1.0, 2.0, -3.0]], dtype=torch.float64) * scale
    T = motion(vector)
    assert np.allclose(T[0], pose.from_rotation_vector(vector[0, :3].numpy(), vector[0, 3:].numpy()), atol=1e-12)
    assert torch.allclose(inverse(T) @ T, torch.eye(4, dtype=torch.float64), atol=1e-12)


def test_motion_has_a_gradient_at_rest():
    assert gradcheck(lambda v: motion(v)[:, :3], torch.zeros(1, 6, dtype=torch.float64, requires_grad=True))
    assert gradcheck(lambda v: motion(v)[:, :3], random(2, 6).requires_grad_())


# reconstruction


def test_rays_and_projection_equal_geometry():
    ours = rays(K, height=H, width=W)[0].T.reshape(H, W, 3)
    assert np.allclose(ours, camera.rays(K[0].numpy(), height=H, width=W), atol=1e-6)
    xyz = random(1, 3, 20, low=1, high=9)
    pixels, front = project(K, xyz)
    assert np.allclose(pixels[0].T, camera.project(K[0].numpy(), xyz[0].T.numpy())[0]) and front.all()
    assert not project(K, -xyz)[1].any()


def test_no_motion_rebuilds_the_image_and_every_pixel_is_inside():
    image = random(1, 3, H, W)
    rest = motion(torch.zeros(1, 6).double())
    rebuilt, inside = inverse_warp(neighbour=image, depth=random(1, 1, H, W, low=2, high=9), K=K, T_neighbour_image=rest)
    assert torch.allclose(rebuilt, image, atol=1e-9) and inside.all()


def test_a_sideways_step_shifts_by_focal_times_step_over_depth():
    # 1 m to the right at 4 m depth with fx 4: what was at column u is at column u - 1 in the neighbour.
    image = random(1, 1, H, W)
    T = motion(torch.tensor([[0, 0, 0, -1.0, 0, 0]]).double())
    rebuilt, inside = inverse_warp(neighbour=image, depth=torch.full((1, 1, H, W), 4.0).double(), K=K, T_neighbour_image=T)
    assert torch.allclose(rebuilt[..., 1:], image[..., :-1], atol=1e-9)
    assert inside[..., 1:].all() and not inside[..., 0].any()


def test_warp_gradients():
    neighbour = random(1, 1, H, W)
    depth = random(1, 1, H, W, low=3, high=5, seed=1).requires_grad_()
    vector = torch.tensor([[0.01, 0.02, -0.01, 0.11, 0.07, 0.03]], dtype=torch.float64, requires_grad=True)

    def warped(d, v):
        return inverse_warp(neighbour=neighbour, depth=d, K=K, T_neighbour_image=motion(v))[0]

    assert gradcheck(warped, (depth, vector), eps=1e-7, atol=1e-4)


# photometric


def straight_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SSIM of two (H, W) images by loops over 3x3 windows, reflected at the border."""
    px, py = np.pad(x, 1, mode="reflect"), np.pad(y, 1, mode="reflect")
    out = np.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a, b = px[i : i + 3, j : j + 3], py[i : i + 3, j : j + 3]
            cov = ((a - a.mean()) * (b - b.mean())).mean()
            out[i, j] = ((2 * a.mean() * b.mean() + 1e-4) * (2 * cov + 9e-4)) / (
                (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 9e-4))
    return out


def test_ssim_equals_straight_line_code():
    x, y = random(1, 2, H, W), random(1, 2, H, W, seed=1)
    for c in range(2):
        assert np.allclose(photometric.ssim(x, y)[0, c], straight_ssim(x[0, c].numpy(), y[0, c].numpy()), atol=1e-12)


def test_matching_by_hand():
    x = random(1, 3, H, W)
    assert photometric.matching(x, x).abs().max() < 1e-12
    flat, other = torch.full((1, 1, 4, 4), 0.5).double(), torch.full((1, 1, 4, 4), 0.7).double()
    ssim = (2 * 0.35 + 1e-4) / (0.25 + 0.49 + 1e-4)  # no variance: only the means' part is left
    assert torch.allclose(photometric.matching(flat, other), torch.tensor(0.85 * (1 - ssim) / 2 + 0.15 * 0.2).double(), atol=1e-6)
    assert torch.allclose(photometric.difference(flat, other), torch.tensor(0.2).double(), atol=1e-6)
    assert gradcheck(lambda a: photometric.matching(a, random(1, 1, 4, 4, seed=2)), random(1, 1, 4, 4).requires_grad_())


# static mask


def test_unchanged_masks_only_what_equals_every_other_image():
    image = torch.zeros(1, 3, 2, 2)
    others = torch.zeros(1, 2, 3, 2, 2)
    others[0, 1, 2, 0, 1] = 1 / 255  # one channel of one other image
    counts = static_mask.unchanged(image, others)
    assert counts[0, 0].tolist() == [[False, True], [False, False]]
    assert not static_mask.unchanged(image, others, threshold=2 / 255).any()


def test_pixel_losses_by_hand():
    a, b = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1), torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    entropy = -sum(p * math.log(q) + (1 - p) * math.log(1 - q) for p, q in ((0.2, 0.4), (0.5, 0.5), (0.9, 0.6))) / 3
    wanted = [0.13 / 3, math.sqrt(0.13), 0.5 / 3, entropy, 0.5]
    assert static_mask.pixel_losses(a, b).flatten().tolist() == pytest.approx(wanted, rel=1e-5)


def straight_vote(image: np.ndarray, others: np.ndarray, delta: float, share: float) -> np.ndarray:
    """Form B pixel by pixel, from the text."""
    counts = np.zeros(image.shape[1:], bool)

    def weighted(p, q):
        q = np.clip(q, 1e-6, 1 - 1e-6)
        entropy = -(p * np.log(q) + (1 - p) * np.log(1 - q)).mean()
        d = q - p
        return 0.2 * ((d**2).mean() + np.sqrt((d**2).sum()) + np.abs(d).mean() + entropy + np.abs(d).sum())

    for i in range(image.shape[1]):
        for j in range(image.shape[2]):
            p = image[:, i, j]
            kept = sum(abs(weighted(p, other[:, i, j]) - weighted(p, p)) < delta for other in others)
            counts[i, j] = not kept / len(others) > share
    return counts


def test_vote_equals_straight_line_code():
    image = random(3, 5, 6, low=0.1, high=0.9)
    others = torch.stack([image + random(3, 5, 6, low=-0.035, high=0.035, seed=k + 1) for k in range(5)])
    ours = static_mask.voted(image[None], others[None], delta=5 / 255, share=0.5)[0, 0].numpy()
    wanted = straight_vote(image.numpy(), others.numpy(), 5 / 255, 0.5)
    assert (ours == wanted).all() and 0 < wanted.sum() < wanted.size
    # exactly the share agreeing is not more than the share
    assert static_mask.voted(torch.full((1, 1, 1, 1), 0.5), torch.tensor([0.5, 0.9]).view(1, 2, 1, 1, 1)).item() is True


def test_moved_wants_the_warp_to_explain_better():
    rebuilt = torch.tensor([[0.3, 0.2], [0.1, 0.5]]).view(1, 2, 1, 2)
    still = torch.tensor([[0.2, 0.6], [0.4, 0.7]]).view(1, 2, 1, 2)
    assert static_mask.moved(rebuilt, still).flatten().tolist() == [True, True]
    assert static_mask.moved(still, rebuilt).flatten().tolist() == [False, False]


# smoothness


def test_literal_smoothness_by_hand():
    d = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(1, 1, 2, 2)
    assert smoothness.literal(d).flatten().tolist() == [3, 1, 0, 0]
    assert smoothness.literal(d, relative=True).flatten().tolist() == pytest.approx([3, 1 / 3, 0, 0])


def test_edge_aware_smoothness_forgives_steps_at_edges_and_ignores_scale():
    step = torch.ones(1, 1, 4, 4).double()
    step[..., 2:] = 4.0
    flat, edge = torch.zeros(1, 3, 4, 4).double(), torch.zeros(1, 3, 4, 4).double()
    edge[..., 2:] = 1.0
    # disparity 1 and 1/4, mean 0.625: one of three columns of differences is 1.2
    assert smoothness.edge_aware(step, flat).item() == pytest.approx(0.4)
    assert smoothness.edge_aware(step, edge).item() == pytest.approx(0.4 * math.exp(-1))
    assert smoothness.edge_aware(7 * step, flat).item() == pytest.approx(0.4)
    assert gradcheck(lambda d: smoothness.edge_aware(d, random(1, 3, 4, 4)), random(1, 1, 4, 4, low=1, high=3).requires_grad_())


# distance


def world() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    estimate, truth = random(1, 1, H, W, low=4, high=9), random(1, 1, H, W, low=4, high=9, seed=1)
    truth[0, 0, ::2] = math.nan
    return estimate, truth, motion(torch.tensor([[0.02, -0.05, 0.01, 0.3, 0.1, -0.8]]).double())


def straight_camera3d(estimate: np.ndarray, truth: np.ndarray, T: np.ndarray) -> float:
    """Claim 2, sub-steps 1-8, pixel by pixel."""
    k = K[0].numpy()
    total = 0.0
    for v in range(H):
        for u in range(W):
            if np.isnan(truth[v, u]):
                continue
            ray = np.array([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], 1])
            a = T[:3, :3] @ (ray * truth[v, u]) + T[:3, 3]
            b = T[:3, :3] @ (ray * estimate[v, u]) + T[:3, 3]
            total += ((a - b) ** 2).mean()
    return total


def test_camera3d_equals_the_text_and_teaches_no_pose():
    estimate, truth, T = world()
    literal = distance.camera3d(estimate, truth, K, T, reduction="sum")
    assert literal.item() == pytest.approx(straight_camera3d(estimate[0, 0].numpy(), truth[0, 0].numpy(), T[0].numpy()))
    assert distance.camera3d(estimate, truth, K, None, reduction="sum").item() == pytest.approx(literal.item())  # the trap
    vector = torch.tensor([[0.02, -0.05, 0.01, 0.3, 0.1, -0.8]], dtype=torch.float64, requires_grad=True)
    distance.camera3d(estimate, truth, K, motion(vector)).backward()
    assert vector.grad.abs().max() < 1e-9
    assert distance.camera3d(estimate, truth, K).item() == pytest.approx(literal.item() / (H * W / 2))  # mean over measured pixels


def test_reprojected_and_posed_do_teach_a_pose():
    estimate, truth, T = world()
    for loss in (
        lambda v: distance.reprojected(estimate, truth, K, motion(v)),
        lambda v: distance.posed(estimate, truth, K, predicted=motion(v), measured_motion=T),
    ):
        vector = torch.tensor([[0.0, 0.01, 0.0, 0.2, 0.0, -0.4]], dtype=torch.float64, requires_grad=True)
        loss(vector).backward()
        assert vector.grad.abs().max() > 1e-3
        assert gradcheck(loss, vector.detach().requires_grad_())


def test_reprojected_by_hand():
    # the centre pixel at 4 m for true 2 m, neighbour 1 m to the left: 4 * 1/4 = 1 px for 4 * 1/2 = 2 px
    k = torch.tensor([[[4.0, 0, 0], [0, 4.0, 0], [0, 0, 1]]])
    T = motion(torch.tensor([[0, 0, 0, 1.0, 0, 0]]))
    assert distance.reprojected(torch.full((1, 1, 1, 1), 4.0), torch.full((1, 1, 1, 1), 2.0), k, T).item() == pytest.approx(1, abs=1e-5)


def test_posed_with_the_true_motion_and_depth_is_zero():
    _, truth, T = world()
    assert distance.posed(torch.nan_to_num(truth, nan=5.0), truth, K, predicted=T, measured_motion=T).item() < 1e-20


def test_depth_loss_by_hand_and_without_truth():
    estimate, truth = torch.tensor([2.0, 10.0, 5.0]).view(1, 1, 1, 3), torch.tensor([1.0, math.nan, 10.0]).view(1, 1, 1, 3)
    assert distance.depth(estimate, truth).item() == pytest.approx(math.log(2))
    assert distance.depth(estimate, truth, reduction="sum").item() == pytest.approx(2 * math.log(2))
    estimate.requires_grad_()
    distance.depth(estimate, torch.full_like(truth, math.nan)).backward()
    assert estimate.grad.tolist() == torch.zeros(1, 1, 1, 3).tolist()  # no truth: no gradient, and no NaN


def test_relative_difference_takes_too_far_harder_than_too_near():
    estimate = torch.tensor([5.0, 20.0, 7.0]).view(1, 1, 1, 3)
    truth = torch.tensor([10.0, 10.0, math.nan]).view(1, 1, 1, 3)
    assert distance.relative(estimate, truth).item() == pytest.approx((0.5 + 1.0) / 2)
    assert distance.relative(estimate, truth, reduction="sum").item() == pytest.approx(1.5)
    assert distance.depth(estimate, truth).item() == pytest.approx(math.log(2))  # both alike


def test_signed_difference_cancels():
    estimate, truth = torch.tensor([5.0, 7.0]).view(1, 1, 1, 2), torch.tensor([6.0, 6.0]).view(1, 1, 1, 2)
    assert distance.signed(estimate, truth).item() == 0  # the trap: both are wrong by a metre
    assert distance.signed(estimate, truth + 0.5).item() == pytest.approx(0.5)


def test_range_is_depth_times_the_length_of_the_ray():
    z = random(1, 1, H, W, low=2, high=9)
    length = points(z, K).norm(dim=1).view(1, 1, H, W)
    assert torch.allclose(distance.z_from_range(length, K), z)


def test_move_is_geometry_transform():
    _, _, T = world()
    xyz = random(1, 3, 7)
    assert np.allclose(move(T, xyz)[0].T, pose.transform(T[0].numpy(), xyz[0].T.numpy()))


def test_carried_is_the_motion_error_over_depth():
    truth = torch.tensor([4.0, math.nan, 8.0]).view(1, 1, 1, 3).double()
    vector = torch.tensor([[0, 0, 0, 0.5, 0, -1.0]], dtype=torch.float64)
    measured = motion(torch.zeros(1, 6).double())
    # |0.5| + |-1| m of error, at 4 m and at 8 m
    assert distance.carried(truth, K, predicted=motion(vector), measured_motion=measured).item() == pytest.approx((1.5 / 4 + 1.5 / 8) / 2)
    assert distance.carried(truth, K, predicted=motion(vector), measured_motion=motion(vector)).item() == 0
    vector.requires_grad_()
    distance.carried(truth, K, predicted=motion(vector), measured_motion=measured * math.nan).backward()
    assert vector.grad.abs().max() == 0
    assert gradcheck(lambda v: distance.carried(truth, K, predicted=motion(v), measured_motion=measured), random(1, 6).requires_grad_())


# reduced precision


def test_geometry_is_exact_under_bfloat16():
    """What autocast would round: the motion, its inverse, and where a point goes."""
    depth, narrow = torch.linspace(5, 60, 32 * 64).view(1, 1, 32, 64), torch.tensor([[[40.0, 0, 31.5], [0, 40, 15.5], [0, 0, 1]]])
    image = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    vector = torch.tensor([[0.01, 0.02, -0.01, 0.1, 0.0, -1.0]])
    plain = inverse_warp(neighbour=image, depth=depth, K=narrow, T_neighbour_image=inverse(motion(vector)))[0]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = inverse_warp(neighbour=image, depth=depth, K=narrow, T_neighbour_image=inverse(motion(vector)))[0]
    assert torch.equal(plain, rounded)
