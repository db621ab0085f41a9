"""Depth, student and pose networks: the claims' shapes and sizes, and the pieces by hand."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from depth_perception import model
from depth_perception.frame import BadInput
from depth_perception.networks.blocks import Coefficients, SparseBlock, WeightedSum
from depth_perception.networks.depth import DepthNet, DepthNetConfig
from depth_perception.networks.disparity import DisparityHead, Normalise
from depth_perception.networks.load import build, entry, load_weights, weights
from depth_perception.networks.pose import FORMS, PoseNet, PoseNetConfig
from depth_perception.networks.residual import ResidualNet
from depth_perception.networks.student import PRESETS, Student, StudentConfig


def multiplications(network: nn.Module, *inputs: torch.Tensor) -> int:
    """Multiply-accumulates of all convolutions."""
    total = 0

    def count(layer, _, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(*inputs)
    return total


@pytest.mark.parametrize(("channels", "millions", "gmac"), [((16, 32, 64, 128, 256), 0.91, 0.36), ((24, 48, 64, 160, 256), 1.12, 0.59)])
def test_student_has_the_measured_sizes(channels, millions, gmac):
    student = Student(StudentConfig(channels=channels))
    assert sum(p.numel() for p in student.parameters()) / 1e6 == pytest.approx(millions, abs=0.015)
    assert multiplications(student.eval(), torch.rand(1, 3, 128, 416)) / 1e9 == pytest.approx(gmac, abs=0.006)


def test_student_stages_have_the_claimed_shapes():
    encoded, decoded = Student().features(torch.rand(2, 3, 64, 96))
    assert [tuple(x.shape) for x in encoded] == [(2, c, 64 >> i, 96 >> i) for i, c in enumerate((16, 32, 64, 128, 256), 1)]
    assert [tuple(x.shape[2:]) for x in decoded] == [(64 >> i, 96 >> i) for i in range(5)]
    assert [x.shape[1] for x in decoded] == [16, 16, 32, 64, 128]


def test_coefficients_sum_to_one_and_follow_the_formula_by_hand():
    torch.manual_seed(0)
    module = Coefficients(paths=3, expansion=2)
    paths = [torch.randn(2, c, 5, 7) for c in (4, 6, 1)]
    theta = module(*paths)
    assert [tuple(t.shape) for t in theta] == [(2, 1, 5, 7)] * 3
    assert torch.allclose(sum(theta), torch.ones(2, 1, 5, 7))
    assert module.exp.weight.shape == (6, 3, 3, 3) and module.mid.weight.shape == (6, 6, 3, 3) and module.squ.weight.shape == (3, 6, 3, 3)
    x = torch.stack([p.mean(1) for p in paths], 1)
    for layer in (module.exp, module.mid):
        x = layer(x)
        x = x * (x + 3).clamp(0, 6) / 6  # hardswish by its definition
    assert torch.allclose(torch.cat(theta, 1), torch.softmax(module.squ(x), 1), atol=1e-6)


def test_weighted_sum_of_equal_paths_is_the_path():
    x = torch.randn(1, 4, 6, 6)
    assert torch.allclose(WeightedSum()(x, x), x, atol=1e-6)


def test_sparse_block_codes_each_channel_alone_and_keeps_the_shape():
    block = SparseBlock(8, expansion=2).eval()
    assert block.mid1[0].groups == 16 and SparseBlock(8, channels_per_group=4).mid1[0].groups == 4
    x = torch.randn(1, 8, 10, 12)
    wide = block.activation(block.exp(x))
    moved = wide.clone()
    moved[:, 3] += 1
    changed = (block.mid2(block.mid1(moved)) - block.mid2(block.mid1(wide))).abs().amax((0, 2, 3)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [3]
    assert block(x).shape == x.shape


@pytest.mark.parametrize("skips", ["full", "literal"])
def test_depth_net_shapes(skips):
    network = DepthNet(DepthNetConfig(skips=skips))
    encoded, fused = network.features(torch.rand(1, 3, 64, 96))
    sizes = [tuple(x.shape[2:]) for x in encoded]
    assert sizes == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]  # strictly shrinking, X5 not larger than X4
    wanted = [(32, 48), (16, 24), (8, 12), (4, 6)] if skips == "full" else [(32, 48), (8, 12), (4, 6)]
    assert [tuple(x.shape[2:]) for x in fused] == wanted
    # fusion is concatenation of a map with the dimensions of X4, X3, (X2,) X1
    kept = (0, 1, 2, 3) if skips == "full" else (0, 2, 3)
    assert [x.shape[1] for x in fused] == [2 * encoded[i].shape[1] for i in kept]
    assert tuple(network(torch.rand(1, 3, 64, 96))[0].shape) == (1, 1, 64, 96)
    with pytest.raises(BadInput, match="skips"):
        DepthNet(DepthNetConfig(skips="some"))


@pytest.mark.parametrize("network", [Student(), DepthNet()])
def test_a_fresh_network_answers_sane_depths_finest_first(network):
    depths = network.eval()(torch.rand(1, 3, 64, 96))
    assert 10 < depths[0].median() < 20
    assert [d.shape[-1] for d in depths] == sorted((d.shape[-1] for d in depths), reverse=True)


def test_disparity_head_keeps_the_range_and_starts_where_told():
    head = DisparityHead(4, min_depth=0.1, max_depth=100, start=12)
    nn.init.zeros_(head.conv.weight)
    assert torch.allclose(head(torch.zeros(1, 4, 2, 2)), torch.full((1, 1, 2, 2), 12.0))
    nn.init.constant_(head.conv.bias, 50.0)
    assert head(torch.zeros(1, 4, 2, 2)).max().item() == pytest.approx(0.1, rel=1e-5)
    nn.init.constant_(head.conv.bias, -50.0)
    assert head(torch.zeros(1, 4, 2, 2)).max().item() == pytest.approx(100, rel=1e-5)


def test_normalise_by_hand():
    out = Normalise()(torch.tensor([0.485, 0.456 + 0.224, 0.0]).view(1, 3, 1, 1)).flatten()
    assert out.tolist() == pytest.approx([0, 1, -0.406 / 0.225], abs=1e-6)


def test_pose_net_shrinks_strictly_and_starts_near_no_motion():
    network = PoseNet().eval()
    sizes = []
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, i, o: sizes.append(o.shape[2] * o.shape[3]))
    pose = network(torch.rand(2, 3, 128, 416), torch.rand(2, 3, 128, 416))
    assert pose.shape == (2, 6) and pose.abs().max() < 0.05
    assert len(sizes) == 5 and all(a > b for a, b in pairwise(sizes))
    assert network.layers[0].weight.shape == (16, 6, 7, 7)
    a, b = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    assert not torch.allclose(network(a, b), network(b, a))


def straight(network: PoseNet, *images: torch.Tensor) -> torch.Tensor:
    """The claim's steps in a row: concatenation along the channels, convolutions, regression."""
    x = torch.cat([(image - network.normalise.mean) * network.normalise.scale for image in images], 1)
    x = network.layers(torch.nn.functional.avg_pool2d(x, network.config.shrink))
    return network.regress(x).mean((2, 3))


@pytest.mark.parametrize("name", ["student", "s1"])
def test_the_shipped_pose_network_is_of_pairs_and_answers_bit_by_bit_as_before(name):
    shipped = model.load(model.shipped(name))
    said = shipped.networks["pose"]["config"]
    assert said["form"] == "pair" if name == "student" else "form" not in said, "s1's was made before there were two forms"
    network = build("pose", shipped.networks["pose"]).eval()
    assert network.config == PoseNetConfig(form="pair") and FORMS["pair"] == ("image", "neighbour")
    load_weights(network, shipped.weights("pose"))
    a, b = torch.rand(2, 1, 3, 128, 416, generator=torch.Generator().manual_seed(0))
    answer = network(a, b)
    assert answer.shape == (1, 6) and torch.equal(answer, straight(network, a, b) * network.scale)


def test_a_triplet_is_nine_channels_earliest_first_and_two_motions():
    torch.manual_seed(0)
    network = PoseNet(PoseNetConfig(form="triplet")).eval()
    assert network.layers[0].weight.shape == (16, 9, 7, 7) and network.regress.weight.shape == (12, 256, 1, 1)
    before, image, neighbour = torch.rand(3, 2, 3, 64, 96)
    answer = network(before, image, neighbour)
    assert answer.shape == (2, 2, 6)
    wanted = straight(network, before, image, neighbour)
    assert torch.equal(answer, torch.stack([wanted[:, :6] * network.scale, wanted[:, 6:] * network.scale], 1))
    assert not torch.allclose(answer, network(neighbour, image, before))
    with torch.no_grad():
        network.layers[0].weight[:, 6:] = 0  # the last image's channels
    assert torch.equal(network(before, image, neighbour), network(before, image, torch.rand_like(image)))


def test_another_form_is_refused():
    with pytest.raises(BadInput, match=r"pose\.form: wanted one of pair, triplet, got 'quad'"):
        build("pose", {"class": "PoseNet", "config": {"form": "quad"}})


@pytest.mark.parametrize("network", [Student(StudentConfig(channels=(8,) * 5)), DepthNet(DepthNetConfig(skips="literal")), PoseNet(),
                                     PoseNet(PoseNetConfig(form="triplet"))])
def test_a_network_survives_its_manifest_entry_and_weights(network, tmp_path):
    import json

    words = json.loads(json.dumps(entry(network)))
    again = build("x", words)
    (tmp_path / "x.safetensors").write_bytes(weights(network))
    load_weights(again, tmp_path / "x.safetensors")
    assert again.config == network.config
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True))


def test_wrong_entries_and_weights_are_refused(tmp_path):
    with pytest.raises(BadInput, match="class"):
        build("depth", {"class": "Other", "config": {}})
    with pytest.raises(BadInput, match="config"):
        build("depth", {"class": "Student", "config": {"size": 3}})
    (tmp_path / "w").write_bytes(weights(PoseNet()))
    with pytest.raises(BadInput, match="do not fit"):
        load_weights(Student(), tmp_path / "w")
    (tmp_path / "w").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="do not fit"):
        load_weights(Student(), tmp_path / "w")


def test_bias_of_a_fresh_head_is_the_logit_of_its_share():
    head = DisparityHead(1, min_depth=0.5, max_depth=50, start=5)
    share = (1 / 5 - 1 / 50) / (2 - 1 / 50)
    assert head.conv.bias.item() == pytest.approx(math.log(share / (1 - share)))


def test_residual_net_begins_with_the_warp_and_can_only_retouch_it():
    torch.manual_seed(0)
    network = ResidualNet().eval()
    warped, neighbour, depth = torch.rand(2, 3, 16, 24), torch.rand(2, 3, 16, 24), 1 + torch.rand(2, 1, 16, 24)
    T = torch.eye(4).repeat(2, 1, 1)
    assert torch.equal(network(warped, neighbour, depth, T), warped)
    nn.init.normal_(network.leave.weight, std=5.0)
    change = network(warped, neighbour, depth, T) - warped
    assert change.abs().max() <= 0.1 + 1e-6 and change.abs().mean() > 0.01
    turned = T + torch.eye(4)[[3, 0, 1, 2]]
    for other in ((warped, 1 - neighbour, depth, T), (warped, neighbour, 3 * depth, T), (warped, neighbour, depth, turned)):
        assert not torch.equal(network(*other) - other[0], change)  # distances, motion and neighbour all enter (step 1025)


def test_a_student_that_ends_at_half_the_size_is_the_claims_but_for_its_last_stage():
    torch.manual_seed(0)
    full, half, image = Student().eval(), Student(StudentConfig(finest=1)).eval(), torch.rand(1, 3, 64, 96)
    missing = half.load_state_dict(full.state_dict(), strict=False).missing_keys
    assert all(name.startswith("heads.3.") for name in missing)
    (_, ours), (_, theirs) = half.features(image), full.features(image)
    assert [tuple(x.shape[2:]) for x in ours] == [(32, 48), (16, 24), (8, 12), (4, 6)]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs[1:], strict=True))
    depths, second = half(image), full(image)[1]
    assert [tuple(depth.shape[2:]) for depth in depths] == [(64, 96), (16, 24), (8, 12)]
    assert torch.equal(depths[0], torch.nn.functional.interpolate(second, scale_factor=2, mode="bilinear"))


def test_a_student_has_no_stage_beyond_its_last():
    with pytest.raises(BadInput, match=r"student\.finest: wanted a decoder stage from 0 to 2, got 3"):
        StudentConfig(finest=3)


FIVE, GROUPS = "wanted five widths of at least 1, got", "wanted a number that divides expansion x channels,"
RANGE = "student.min_depth, student.max_depth: wanted metres above 0, the first below the second, got"


@pytest.mark.parametrize(("config", "values", "said"), [
    (StudentConfig, {"channels": (8, 8, 8, 8)}, f"student.channels: {FIVE} (8, 8, 8, 8)"),
    (StudentConfig, {"channels": (8, 8, 8, 8, 8, 8)}, f"student.channels: {FIVE} (8, 8, 8, 8, 8, 8)"),
    (StudentConfig, {"channels": ()}, f"student.channels: {FIVE} ()"),
    (StudentConfig, {"channels": (8, 8, 0, 8, 8)}, f"student.channels: {FIVE} (8, 8, 0, 8, 8)"),
    (StudentConfig, {"channels": (8, 8, 8, 8, -8)}, f"student.channels: {FIVE} (8, 8, 8, 8, -8)"),
    (StudentConfig, {"channels": "huge"}, "student.channels: wanted five widths or one of nano, small, base, claim, got 'huge'"),
    (StudentConfig, {"channels_per_group": 3}, f"student.channels_per_group: {GROUPS} [32, 64, 128, 256, 512], got 3"),
    (StudentConfig, {"channels_per_group": 0}, f"student.channels_per_group: {GROUPS} [32, 64, 128, 256, 512], got 0"),
    (StudentConfig, {"channels_per_group": -1}, f"student.channels_per_group: {GROUPS} [32, 64, 128, 256, 512], got -1"),
    (StudentConfig, {"channels": (8, 8, 9, 8, 8), "channels_per_group": 4},
     f"student.channels_per_group: {GROUPS} [16, 16, 18, 16, 16], got 4"),
    (StudentConfig, {"expansion": 0}, "student.expansion: wanted a number from 1 to 64, got 0"),
    (StudentConfig, {"scales": 0}, "student.scales: wanted a number from 1 to 5, got 0"),
    (StudentConfig, {"scales": -1}, "student.scales: wanted a number from 1 to 5, got -1"),
    (StudentConfig, {"scales": 6}, "student.scales: wanted a number from 1 to 5, got 6"),
    (StudentConfig, {"scales": 5, "finest": 1}, "student.finest: wanted a decoder stage from 0 to 0, got 1"),
    (StudentConfig, {"finest": -1}, "student.finest: wanted a decoder stage from 0 to 2, got -1"),
    (StudentConfig, {"min_depth": 0.0}, f"{RANGE} 0 and 100"),
    (StudentConfig, {"min_depth": 120.0}, f"{RANGE} 120 and 100"),
    (StudentConfig, {"max_depth": math.inf}, f"{RANGE} 0.1 and inf"),
    (StudentConfig, {"max_depth": math.nan}, f"{RANGE} 0.1 and nan"),
    (PoseNetConfig, {"channels": (8, 8, 8, 8)}, f"pose.channels: {FIVE} (8, 8, 8, 8)"),
    (PoseNetConfig, {"channels": (8, 8, 8, 8, 0)}, f"pose.channels: {FIVE} (8, 8, 8, 8, 0)"),
    (PoseNetConfig, {"channels": (8,) * 4, "kernels": (3,) * 4}, f"pose.channels: {FIVE} (8, 8, 8, 8)"),
    (PoseNetConfig, {"kernels": (3, 3, 3, 3)}, "pose.kernels: wanted five sizes of at least 1, got (3, 3, 3, 3)"),
    (PoseNetConfig, {"kernels": (3, 3, 0, 3, 3)}, "pose.kernels: wanted five sizes of at least 1, got (3, 3, 0, 3, 3)"),
    (PoseNetConfig, {"shrink": 0}, "pose.shrink: wanted a number from 1 to 32, got 0"),
    (PoseNetConfig, {"shrink": 64}, "pose.shrink: wanted a number from 1 to 32, got 64"),
    (PoseNetConfig, {"rotation_scale": 0.0}, "pose.rotation_scale: wanted a number from 1e-06 to 1e+06, got 0.0"),
    (PoseNetConfig, {"translation_scale": math.nan}, "pose.translation_scale: wanted a number from 1e-06 to 1e+06, got nan"),
])
def test_a_shape_that_cannot_be_is_one_sentence(config, values, said):
    with pytest.raises(BadInput) as error:
        config(**values)
    assert str(error.value) == said


@pytest.mark.parametrize("values", [{"channels": (1,) * 5}, {"expansion": 1}, {"channels_per_group": 16}, {"scales": 1, "finest": 4},
                                    {"scales": 5}])
def test_a_shape_at_the_end_of_what_can_be_answers(values):
    config = StudentConfig(**{"channels": (8,) * 5} | values)
    depths = Student(config).eval()(torch.rand(1, 3, 96, 64))
    assert len(depths) == config.scales and depths[0].shape == (1, 1, 96, 64)
    assert all(depth.isfinite().all() for depth in depths)


def test_a_pose_network_that_shrinks_as_far_as_it_may_answers():
    network = PoseNet(PoseNetConfig(channels=(4,) * 5, kernels=(1, 4, 3, 5, 7), shrink=32)).eval()
    assert network(*torch.rand(2, 1, 3, 32, 64)).isfinite().all()


@pytest.mark.parametrize("name", ["nano", "small", "base", "claim"])
def test_a_preset_s_name_is_its_widths_and_the_manifest_has_numbers(name):
    import json

    config = StudentConfig(channels=name, finest=1)
    assert config == StudentConfig(PRESETS[name], finest=1) and config.channels == PRESETS[name]
    assert dataclasses.replace(StudentConfig(), channels=name).channels == PRESETS[name]
    words = json.loads(json.dumps(entry(Student(config))))
    assert words["config"]["channels"] == list(PRESETS[name]) and build("depth", words).config == config


@pytest.mark.parametrize(("least", "most", "start"), [
    (0.1, 100.0, 12.0), (0.1, 24.0, 12.0), (0.1, 12.0, 6.0), (0.1, 10.0, 5.0), (0.05, 0.5, 0.25), (10.0, 100.0, 20.0), (20.0, 80.0, 40.0),
    (50.0, 60.0, 3000**0.5), (1.0, 2.0, 2**0.5)])
def test_a_fresh_head_starts_within_its_range_where_it_can_learn(least, most, start):
    head = DisparityHead(1, min_depth=least, max_depth=most)
    nn.init.zeros_(head.conv.weight)
    depth = head(torch.zeros(1, 1, 1, 1))
    assert depth.item() == pytest.approx(start, rel=1e-5)
    depth.log().sum().backward()
    flattest = 0.2 if most >= 4 * least else 0.2 * math.log(most / least)  # a narrow range cannot be steeper
    assert -head.conv.bias.grad.item() > flattest


@pytest.mark.parametrize("network", [Student(StudentConfig((4,) * 5, max_depth=10.0)), DepthNet(DepthNetConfig((4,) * 5, max_depth=10.0))])
def test_an_indoor_network_answers_depths_of_a_room(network):
    depth = network.eval()(torch.rand(1, 3, 64, 96))[0]
    assert 4 < depth.median() < 6 and depth.max() < 10


def test_a_head_without_a_range_is_refused_whose_ever_it_is():
    with pytest.raises(BadInput, match=r"s1\.min_depth, s1\.max_depth: wanted metres above 0, the first below the second, got 0 and 100"):
        DepthNet(DepthNetConfig(min_depth=0.0))
    with pytest.raises(BadInput, match="got 5 and 5"):
        DisparityHead(1, min_depth=5.0, max_depth=5.0)
