"""S5's sparse block and student against straight-line code written from the text, claims 3-7 and [0102]-[0117], on the networks' weights.

Names in quotes are those of the networks' tensors. Batch norm after a convolution, CT = 1x1, Up = x2 bilinear and the range of depths are
ours [recon]; F_mid stands twice in [0103] and has weights for each.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depth_perception import model
from depth_perception.networks.blocks import Coefficients, SparseBlock
from depth_perception.networks.load import build, load_weights
from depth_perception.networks.student import Student, StudentConfig


def lively(network):
    """A network in which every number counts: none is one or zero, hardswish bends on both sides, coefficients are far from equal."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.5)
            nn.init.normal_(module.bias, std=0.5)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.2, 0.8)
        elif isinstance(module, Coefficients):
            for layer in (module.exp, module.mid, module.squ):
                nn.init.normal_(layer.weight, std=0.6)
    for name, parameter in network.named_parameters():
        if name.startswith("heads.") and name.endswith("weight"):
            nn.init.normal_(parameter, std=0.1)  # answers that depend on the image
    return network.double().eval()


def weights_of(network):
    return {name: value.detach() for name, value in network.state_dict().items()}


def hardswish(x):
    return x * (x + 3).clamp(0, 6) / 6


def normed(w, name, x):
    mean, variance, scale, shift = (w[f"{name}.{key}"].view(1, -1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias"))
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def coefficients(w, name, *paths):
    """Claim 3: N maps -> N weights per pixel."""
    x_fuse = torch.cat([path.sum(1, keepdim=True) / path.shape[1] for path in paths], 1)
    x_exp = hardswish(F.conv2d(x_fuse, w[f"{name}.exp.weight"], w[f"{name}.exp.bias"], padding=1))
    x_mid = hardswish(F.conv2d(x_exp, w[f"{name}.mid.weight"], w[f"{name}.mid.bias"], padding=1))
    x_squ = F.conv2d(x_mid, w[f"{name}.squ.weight"], w[f"{name}.squ.bias"], padding=1)
    probabilities = x_squ.exp() / x_squ.exp().sum(1, keepdim=True)
    return [probabilities[:, i : i + 1] for i in range(len(paths))]


def f_mid(w, name, x, channels_per_group):
    """[0104], [0109]: every channel alone; [0110]: every group alone, densely within it."""
    kernels, coded = w[f"{name}.0.weight"], []
    for first in range(0, x.shape[1], channels_per_group):
        group = slice(first, first + channels_per_group)
        coded.append(F.conv2d(x[:, group], kernels[group], padding=1))
    return normed(w, f"{name}.1", torch.cat(coded, 1))


def sparse_block(w, name, x_in, channels_per_group):
    """Claims 5 and 6."""
    x_exp = hardswish(normed(w, f"{name}exp.1", F.conv2d(x_in, w[f"{name}exp.0.weight"])))
    once = hardswish(f_mid(w, f"{name}mid1", x_exp, channels_per_group))
    x_mid = hardswish(f_mid(w, f"{name}mid2", once, channels_per_group))
    x_squ = normed(w, f"{name}squ.1", F.conv2d(x_mid, w[f"{name}squ.0.weight"]))
    theta_in, theta_sp = coefficients(w, f"{name}add.coefficients", x_in, x_squ)
    return theta_in * x_in + theta_sp * x_squ


def encoder(w, image, channels_per_group):
    """Claim 7: X_enc of stages 0..4."""
    mean, deviation = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x, x_enc = (image - mean) * (1 / deviation), []  # in float32, as the network keeps them: five stages make more of what is rounded
    for i in range(5):
        down = normed(w, f"down.{i}.1", F.conv2d(x, w[f"down.{i}.0.weight"], stride=2, padding=1))
        x = sparse_block(w, f"encode.{i}.", down, channels_per_group)
        x_enc.append(x)
    return x_enc


def decoder(w, x_enc, channels_per_group, finest):
    """Claim 7: X_dec by stage, 4..finest; the equation for i > 0, and the one for i = 0."""
    x_in, x_dec = x_enc[4], {}
    for i in range(4, finest - 1, -1):
        ct = normed(w, f"transfer.{i}.1", F.conv2d(x_in, w[f"transfer.{i}.0.weight"]))
        up = F.interpolate(ct, scale_factor=2, mode="bilinear", align_corners=False)
        x_in = sparse_block(w, f"decode.{i}.", up, channels_per_group)
        if i > 0:
            theta_sp, theta_enc = coefficients(w, f"skip.{i - 1}.coefficients", x_in, x_enc[i - 1])
            x_in = theta_sp * x_in + theta_enc * x_enc[i - 1]
        x_dec[i] = x_in
    return x_dec


def disparity(w, x_dec, j):
    """Claim 7 and [0117]: 3x3 convolution and sigmoid."""
    return 1 / (1 + (-F.conv2d(x_dec[j], w[f"heads.{j}.conv.weight"], w[f"heads.{j}.conv.bias"], padding=1)).exp())


def same(ours, literal):
    assert ours.shape == literal.shape
    torch.testing.assert_close(ours, literal, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("expansion", "channels_per_group"), [(2, 1), (3, 1), (2, 4), (2, 16)])
def test_a_sparse_block_is_the_claims(expansion, channels_per_group):
    torch.manual_seed(0)
    block = lively(SparseBlock(8, expansion=expansion, channels_per_group=channels_per_group))
    x, w = torch.randn(2, 8, 10, 12).double(), weights_of(block)
    with torch.no_grad():
        same(block(x), sparse_block(w, "", x, channels_per_group))
    assert w["mid1.0.weight"].shape == w["mid2.0.weight"].shape == (8 * expansion, channels_per_group, 3, 3)


@pytest.mark.parametrize("config", [StudentConfig((4, 6, 8, 10, 12)), StudentConfig((4, 6, 8, 10, 12), finest=1),
                                    StudentConfig((4, 6, 8, 10, 12), expansion=4, channels_per_group=8)],
                         ids=["claim", "half the size", "groups"])
def test_a_student_is_the_claims(config):
    torch.manual_seed(0)
    network, image = lively(Student(config)), torch.rand(2, 3, 64, 96).double()
    w, finest, per_group = weights_of(network), config.finest, config.channels_per_group
    with torch.no_grad():
        depths, encoded, decoded = network.with_stages(image)
        x_enc = encoder(w, image, per_group)
        x_dec = decoder(w, x_enc, per_group, finest)
        for ours, literal in zip(encoded, x_enc, strict=True):
            same(ours, literal)
        assert list(x_dec) == list(range(4, finest - 1, -1))
        for i, ours in enumerate(decoded, finest):
            same(ours, x_dec[i])
        assert len(depths) == 3
        for j, ours in enumerate(depths, finest):
            depth = 1 / (1 / 100 + (1 / 0.1 - 1 / 100) * disparity(w, x_dec, j))
            if j == finest == 1:
                depth = F.interpolate(depth, scale_factor=2, mode="bilinear", align_corners=False)
            same(ours, depth)
            assert depth.log().std() > 0.1, "an answer that is the same everywhere shows nothing"


def test_the_shipped_student_is_the_claims():
    shipped = model.load(model.shipped())
    network = build("depth", shipped.networks["depth"])
    load_weights(network, shipped.weights("depth"))
    assert network.config.finest == 1
    w, image = weights_of(network.double().eval()), torch.rand(1, 3, 128, 416, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        x_dec = decoder(w, encoder(w, image, 1), 1, finest=1)
        depths = [1 / (1 / 100 + (1 / 0.1 - 1 / 100) * disparity(w, x_dec, j)) for j in (1, 2, 3)]
        depths[0] = F.interpolate(depths[0], scale_factor=2, mode="bilinear", align_corners=False)
        for ours, literal in zip(network(image), depths, strict=True):
            same(ours, literal)
