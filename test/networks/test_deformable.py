"""Deformable alignment and the offset network (S2 claims 2, 3)."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from depth_perception.frame import BadInput
from depth_perception.losses import feature_alignment
from depth_perception.networks.deformable import Theta, deform, inside, taps
from depth_perception.networks.offset import OffsetNet, OffsetNetConfig


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def read(image, x, y):
    """Bilinear, the border beyond the border."""
    H, W = image.shape
    x, y = min(max(x, 0.0), W - 1.0), min(max(y, 0.0), H - 1.0)
    left, top = min(int(x), W - 2), min(int(y), H - 2)
    a, b = x - left, y - top
    return ((1 - b) * ((1 - a) * image[top, left] + a * image[top, left + 1])
            + b * ((1 - a) * image[top + 1, left] + a * image[top + 1, left + 1]))


def straight(features, offsets, weights, n):
    """Claim 2's formula, place by place and tap by tap."""
    out = torch.zeros_like(features)
    B, C, H, W = features.shape
    for b in range(B):
        for c in range(C):
            for y in range(H):
                for x in range(W):
                    for k in range(n * n):
                        px, py = k % n - n // 2, k // n - n // 2
                        dx, dy = offsets[b, k, 0, y, x].item(), offsets[b, k, 1, y, x].item()
                        out[b, c, y, x] += weights[k] * read(features[b, c], x + px + dx, y + py + dy)
    return out


@pytest.mark.parametrize("n", [1, 3])
def test_it_equals_the_claims_formula(n):
    features, offsets, weights = random(2, 2, 5, 7), 4 * random(2, n * n, 2, 5, 7, seed=1) - 2, random(n * n, seed=2)
    assert torch.allclose(deform(features, Theta(offsets, weights)), straight(features, offsets, weights, n), atol=1e-9)


def test_without_offsets_it_is_the_plain_convolution():
    features, kernel = random(1, 2, 6, 8), random(3, 3, seed=1)
    ours = deform(features, Theta(torch.zeros(1, 9, 2, 6, 8).double(), kernel.flatten()))
    wanted = F.conv2d(F.pad(features, (1, 1, 1, 1), mode="replicate"), kernel.expand(2, 1, 3, 3), groups=2)
    assert torch.allclose(ours, wanted)
    assert taps(3).tolist() == [[x, y] for y in (-1, 0, 1) for x in (-1, 0, 1)]


def test_gradients():
    features, offsets, weights = random(1, 2, 3, 4), 0.3 * random(1, 9, 2, 3, 4, seed=1) + 0.1, random(9, seed=2)
    assert gradcheck(lambda f, o, w: deform(f, Theta(o, w)), [x.requires_grad_() for x in (features, offsets, weights)])


def shift(dx, dy, size, n=3):
    """All taps read one place, dx and dy cells away."""
    offsets = torch.tensor([dx, dy]).double() - taps(n).double()
    return Theta(offsets.view(1, n * n, 2, 1, 1).repeat(1, 1, 1, *size), torch.full((n * n,), 1 / n**2).double())


def test_inside_is_where_the_neighbour_shows_it():
    seen = inside(shift(2, -1, (4, 6)))[0, 0]
    assert seen.tolist() == [[False] * 6, *[[True] * 4 + [False] * 2] * 3]


@pytest.mark.parametrize("factor", [2, 4])
def test_rescaled_reads_the_same_place_of_a_finer_map(factor):
    coarse = shift(1.5, -0.5, (4, 6), n=1)
    fine = coarse.rescaled((4 * factor, 6 * factor))
    assert torch.allclose(fine.offsets[0, 0, 0], torch.tensor(1.5 * factor).double())
    assert torch.allclose(fine.offsets[0, 0, 1], torch.tensor(-0.5 * factor).double())
    assert coarse.rescaled((4, 6)) is coarse
    wide = coarse.rescaled((4, 12))  # each direction by its own stride
    assert torch.allclose(wide.offsets[0, 0, :, 0, 0], torch.tensor([3.0, -0.5]).double())
    assert not coarse.detached().offsets.requires_grad


def test_a_fresh_offset_net_is_a_plain_convolution_of_the_neighbour():
    torch.manual_seed(0)
    network = OffsetNet()
    image, neighbour = torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96)
    theta, feature, rebuilt = network(image, neighbour)
    assert theta.offsets.shape == (2, 9, 2, 8, 12) and theta.offsets.abs().max() == 0
    assert theta.weights.sum().item() == pytest.approx(1, rel=1e-5) and theta.weights.argmax() == 4
    assert feature.shape == (2, 32, 8, 12) and rebuilt.shape == network.shrunk(image).shape == (2, 3, 32, 48)
    assert rebuilt.min() >= 0 and rebuilt.max() <= 1
    with pytest.raises(BadInput, match="odd"):
        OffsetNet(OffsetNetConfig(taps=2))


def test_the_image_reaches_its_reconstruction_through_theta_alone():
    torch.manual_seed(0)
    network = OffsetNet().eval()
    neighbour = torch.rand(1, 3, 64, 96)
    assert torch.equal(network(torch.rand(1, 3, 64, 96), neighbour).rebuilt, network(torch.rand(1, 3, 64, 96), neighbour).rebuilt)
    torch.nn.init.normal_(network.offset.weight, std=0.1)
    assert not torch.equal(network(torch.rand(1, 3, 64, 96), neighbour).theta.offsets, network(neighbour, neighbour).theta.offsets)


def test_it_learns_where_things_went_from_the_reconstruction_alone():
    """Blobs shifted by up to 12 pixels, a cell being 8: theta must point there, in a row, and nowhere else."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = OffsetNet(OffsetNetConfig(channels=12))
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(1)

    def pair():
        noise = torch.rand(16, 3, 6, 12, generator=generator)
        wide = F.interpolate(noise, (48, 144), mode="bilinear", align_corners=False)
        shifts = torch.randint(-12, 13, (16,), generator=generator)
        return wide[..., 24:120], torch.stack([x[..., 24 - k : 120 - k] for x, k in zip(wide, shifts.tolist(), strict=True)]), shifts / 8

    for _ in range(80):
        image, neighbour, _ = pair()
        loss = feature_alignment.reconstruction(network(image, neighbour).rebuilt, network.shrunk(image))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    image, neighbour, cells = pair()
    with torch.no_grad():
        theta = network(image, neighbour).theta
    x, y = torch.einsum("bkxhw,k->bxhw", theta.offsets + taps(3).view(1, 9, 2, 1, 1), theta.weights)[:, :, 1:-1, 3:-3].mean((2, 3)).T
    assert torch.corrcoef(torch.stack([x, cells]))[0, 1] > 0.9
    assert 0.6 < (x * cells).sum() / cells.square().sum() < 1.4 and y.abs().mean() < 0.3
