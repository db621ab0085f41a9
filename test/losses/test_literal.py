"""S1's literal forms against straight-line numpy code, written pixel by pixel from the text; and what the masks find on known truth."""

import math

import cv2
import numpy as np
import pytest
import torch

from depth_perception.geometry import pose
from depth_perception.losses import distance, photometric, smoothness, static_mask
from depth_perception.train import depth as recipe

K = np.array([[9.0, 0, 4.5], [0, 10.0, 3.5], [0, 0, 1]])
H, W = 8, 10
VECTOR = np.array([0.02, -0.03, 0.01, 0.3, -0.1, -0.4])
T = pose.from_rotation_vector(VECTOR[:3], VECTOR[3:])
T_MEASURED = pose.from_rotation_vector(np.array([0.0, -0.02, 0.0]), np.array([0.25, 0.0, -0.5]))


def tensor(x):
    return torch.from_numpy(np.asarray(x, np.float64))[None]


@pytest.fixture
def world():
    """Estimated and sparse true depth (H, W), metres; truth is NaN at every third pixel."""
    rng = np.random.default_rng(0)
    estimate, truth = rng.uniform(4, 9, (H, W)), rng.uniform(4, 9, (H, W))
    truth.ravel()[::3] = math.nan
    return estimate, truth


def at(K, v, u, z):
    """Pixel (v, u) at depth z -> its point, camera frame."""
    return np.array([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z])


def pixel_of(K, point):
    return np.array([K[0, 0] * point[0] / point[2] + K[0, 2], K[1, 1] * point[1] / point[2] + K[1, 2]])


def moved(T, point):
    return T[:3, :3] @ point + T[:3, 3]


def pixels(truth):
    return [(v, u) for v in range(H) for u in range(W) if not np.isnan(truth[v, u])]


def straight(mode, estimate, truth):
    """Each pixel's distance loss (claim 2 and step 1024), one after the other."""
    out = []
    for v, u in pixels(truth):
        true, guess = at(K, v, u, truth[v, u]), at(K, v, u, estimate[v, u])
        if mode == "camera3d":
            out.append(((moved(T, true) - moved(T, guess)) ** 2).mean())
        elif mode == "reprojected":
            out.append(np.linalg.norm(pixel_of(K, moved(T, true)) - pixel_of(K, moved(T, guess))))
        elif mode == "posed":
            out.append(((moved(T_MEASURED, true) - moved(T, guess)) ** 2).mean())
        elif mode == "signed z":
            out.append(true[2] - guess[2])
        elif mode == "signed range":
            out.append(np.linalg.norm(true) - np.linalg.norm(guess))
        elif mode == "depth":
            out.append(abs(math.log(guess[2]) - math.log(true[2])))
    return np.array(out)


def ours(mode, estimate, truth, reduction):
    d, t, k = tensor(estimate)[None], tensor(truth)[None], tensor(K)
    if mode == "camera3d":
        return distance.camera3d(d, t, k, tensor(T), reduction=reduction)
    if mode == "reprojected":
        return distance.reprojected(d, t, k, tensor(T), reduction=reduction)
    if mode == "posed":
        return distance.posed(d, t, k, predicted=tensor(T), measured_motion=tensor(T_MEASURED), reduction=reduction)
    if mode == "signed range":
        return distance.signed(distance.range_from_z(d, k), distance.range_from_z(t, k), reduction=reduction)
    return (distance.signed if mode == "signed z" else distance.depth)(d, t, reduction=reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("mode", ["camera3d", "reprojected", "posed", "signed z", "signed range", "depth"])
def test_distance_loss(world, mode, reduction):
    each = straight(mode, *world)
    wanted = each.sum() if reduction == "sum" else each.mean()
    assert ours(mode, *world, reduction).item() == pytest.approx(wanted, rel=1e-6)
    assert abs(wanted) > 1e-3


def test_range_and_z_are_each_other_s_inverse(world):
    z, k = tensor(world[1])[None], tensor(K)
    there = distance.range_from_z(z, k)
    assert torch.allclose(distance.z_from_range(there, k), z, equal_nan=True)
    v, u = 6, 1
    assert there[0, 0, v, u].item() == pytest.approx(np.linalg.norm(at(K, v, u, world[1][v, u])))


@pytest.mark.parametrize("relative", [False, True])
def test_smoothness(world, relative):
    """Claim 5: |dx d| + |dy d| of each pixel, over d."""
    d, _ = world
    wanted = np.zeros((H, W))
    for v in range(H):
        for u in range(W):
            dx = d[v, u + 1] - d[v, u] if u + 1 < W else 0.0
            dy = d[v + 1, u] - d[v, u] if v + 1 < H else 0.0
            wanted[v, u] = (abs(dx) + abs(dy)) / (d[v, u] if relative else 1)
    assert np.allclose(smoothness.literal(tensor(d)[None], relative=relative)[0, 0], wanted)


def test_mask_a():
    """Claim 4: masked iff the difference to the same pixel of every other image is the threshold 0."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 3, (3, H, W)) / 255
    others = np.stack([np.where(rng.random((1, H, W)) < 0.7, image, rng.integers(0, 3, (3, H, W)) / 255) for _ in range(3)])
    counts = np.zeros((H, W), bool)
    for v in range(H):
        for u in range(W):
            same_in_all = True
            for other in others:
                if np.abs(other[:, v, u] - image[:, v, u]).max() != 0:
                    same_in_all = False
            counts[v, u] = not same_in_all
    assert (static_mask.unchanged(tensor(image), tensor(others))[0, 0].numpy() == counts).all() and 0 < counts.sum() < counts.size


def straight_matching(x, y, alpha=0.85):
    """Claim 3, pixel by pixel: alpha (1 - SSIM) / 2 + (1 - alpha) |x - y|, means over channels. (3, H, W) twice -> (H, W)."""
    out = np.zeros(x.shape[1:])
    for v in range(x.shape[1]):
        for u in range(x.shape[2]):
            structure = []
            for c in range(len(x)):
                a, b = (np.pad(image[c], 1, mode="reflect")[v : v + 3, u : u + 3] for image in (x, y))
                covariance = ((a - a.mean()) * (b - b.mean())).mean()
                ssim = ((2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)) / (
                    (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 9e-4))
                structure.append(min(max((1 - ssim) / 2, 0), 1))
            out[v, u] = alpha * np.mean(structure) + (1 - alpha) * np.abs(x[:, v, u] - y[:, v, u]).mean()
    return out


def test_matching():
    x, y = np.random.default_rng(2).uniform(0, 1, (2, 3, H, W))
    assert np.allclose(photometric.matching(tensor(x), tensor(y))[0, 0], straight_matching(x, y), atol=1e-9)


def straight_warp(neighbour, depth, K, T):
    """Step 1025, pixel by pixel: where each pixel lies in the neighbour, and its colour there. (3, H, W), (H, W) bool."""
    _, height, width = neighbour.shape
    out, inside = np.zeros_like(neighbour), np.zeros((height, width), bool)
    for v in range(height):
        for u in range(width):
            x, y = pixel_of(K, moved(T, at(K, v, u, depth[v, u])))
            inside[v, u] = -1e-3 <= x <= width - 1 + 1e-3 and -1e-3 <= y <= height - 1 + 1e-3
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            a, b = x - left, y - top
            out[:, v, u] = ((1 - a) * (1 - b) * neighbour[:, top, left] + a * (1 - b) * neighbour[:, top, left + 1]
                            + (1 - a) * b * neighbour[:, top + 1, left] + a * b * neighbour[:, top + 1, left + 1])
    return out, inside


def test_total():
    """Claim 5 whole: w1 (M . L_match) + w2 L_smooth + w3 L_dist, with mask A, literal smoothness and the literal, summed distances."""
    rng = np.random.default_rng(3)
    height, width = 32, 32
    k = np.array([[40.0, 0, 15.5], [0, 40, 15.5], [0, 0, 1]])
    image = cv2.GaussianBlur(rng.uniform(0, 1, (height, width, 3)), (0, 0), 2).transpose(2, 0, 1)
    before, after = (np.roll(image, shift, 2) + 0.01 * shift for shift in (1, -2))
    before[:, 5:9, 5:9] = after[:, 5:9, 5:9] = image[:, 5:9, 5:9]  # truly static: mask A leaves it out
    depth = rng.uniform(5, 9, (height, width))
    truth = np.where(rng.random((height, width)) < 0.2, rng.uniform(5, 9, (height, width)), math.nan)
    vector = np.array([0.002, 0.003, -0.001, 0.05, 0.02, -0.2])
    config = recipe.Config(height=32, width=32, canonical_focal_px=40.0, match=0.7, smooth=0.2, distance=0.3, motion=0.0, coarse=0.0,
                           distance_mode="camera3d", distance_reduction="sum", smooth_mode="literal", mask="unchanged", match_strides=(1,))

    class Depth(torch.nn.Module):
        def forward(self, image):
            return [tensor(depth)[None].float()]

    class Pose(torch.nn.Module):
        def forward(self, image, neighbour):
            return torch.from_numpy(vector).float().expand(len(image), 6)

    pair = np.stack([before, after])
    data = {"image": tensor(image), "target": tensor(image), "neighbours": tensor(pair), "others": tensor(pair), "K": tensor(k),
            "depth": tensor(truth)[None], "motions": torch.eye(4).expand(1, 2, 4, 4), "travelled": torch.full((1, 2), math.nan)}
    terms = recipe.terms(torch.nn.ModuleDict({"depth": Depth(), "pose": Pose()}), {n: x.float() for n, x in data.items()}, config)

    to_next = pose.from_rotation_vector(vector[:3], vector[3:])
    to_previous = pose.inverse(to_next)  # the network was asked for previous -> image and said the same
    warps = [straight_warp(before, depth, k, to_previous), straight_warp(after, depth, k, to_next)]
    losses = [np.where(inside, straight_matching(rebuilt, image), np.inf) for rebuilt, inside in warps]
    match, count = 0.0, 0
    for v in range(height):
        for u in range(width):
            static = all((other[:, v, u].astype(np.float32) == image[:, v, u].astype(np.float32)).all() for other in (before, after))
            least = min(losses[0][v, u], losses[1][v, u])
            if not static and np.isfinite(least):
                match, count = match + least, count + 1
    assert 0 < count < height * width - 16
    literal = np.zeros((height, width))
    literal[:, :-1] += np.abs(np.diff(depth, axis=1))
    literal[:-1] += np.abs(np.diff(depth, axis=0))
    points = [((at(k, v, u, truth[v, u]) - at(k, v, u, depth[v, u])) ** 2).mean()
              for v in range(height) for u in range(width) if not np.isnan(truth[v, u])]
    wanted = {"match": 0.7 * match / count, "smooth": 0.2 * literal.mean(), "distance": 0.3 * sum(points)}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, rel=2e-4)


def test_the_masks_on_known_truth():
    """A texture that shifts by 1.5 px from image to image, a patch in it that does not, and a little sensor noise."""
    rng = np.random.default_rng(4)

    def texture(height, width):
        return cv2.GaussianBlur(rng.uniform(0, 255, (height, width, 3)), (0, 0), 1.5) * 3 - 255

    wide, patch = texture(128, 300).clip(0, 255), texture(48, 80).clip(0, 255)
    images = []
    for shift in (0, -3, 3):  # at the stride of two: 1.5 px
        image = wide[:, 50 + shift : 50 + shift + 208].copy()
        image[40:88, 64:144] = patch
        images.append((image + rng.normal(0, 0.7, image.shape)).round().clip(0, 255))
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255, 2)
    static = np.zeros((64, 104), bool)
    static[20:44, 32:72] = True
    masked = ~static_mask.voted(small[:1], small[None, 1:])[0, 0].numpy()
    assert masked[static].mean() >= 0.9 and masked[~static].mean() <= 0.05
    assert (~static_mask.unchanged(small[:1], small[None, 1:])[0, 0].numpy())[static].mean() < 0.5  # the literal one wants no noise at all
