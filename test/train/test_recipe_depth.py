"""The recipe of `train depth` on a world with known answers: a painted wall, passed sideways."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from depth_perception import model
from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.networks.depth import DepthNetConfig
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.samples import Batches, Drives, SampleConfig
from depth_perception.train import depth as recipe
from depth_perception.train.fit import Budget, FitConfig

WALL_M, STEP_M = 8.0, 0.25
K = np.array([[120.0, 0, 95.5], [0, 130, 47.5], [0, 0, 1]])
TINY = recipe.Config(
    height=64, width=128, student=StudentConfig(channels=(4, 4, 4, 4, 4)), s1=DepthNetConfig(channels=(4, 4, 4, 4, 4)),
    pose=PoseNetConfig(channels=(4, 4, 4, 4, 4)), fit=FitConfig(threads=1), samples=SampleConfig(colour=0.0, pair_colour=0.0, aspect=0.0))


def drive(count=4):
    """Frame i stands i * 0.25 m to the right in front of a wall 8 m away with smooth paint."""
    v, u = np.mgrid[:96, :192]
    calibration = Calibration(K, 192, 96, T_camera_lidar=np.eye(4))
    for i in range(count):
        x, y = (u - 95.5) / 120 * WALL_M + i * STEP_M, (v - 47.5) / 130 * WALL_M
        paint = 0.5 + 0.2 * np.sin(2.3 * x + 0.8 * y) + 0.2 * np.cos(2.9 * y - 1.7 * x)
        image = np.repeat((paint[..., None] * 255).astype(np.uint8), 3, 2)
        points = np.stack([(u / 1.0 - 95.5) / 120 * WALL_M, y, np.full_like(y, WALL_M)], -1)[::3, ::3].reshape(-1, 3)
        yield Frame(image, i * 10**8, calibration, Scan(points.astype(np.float32), i * 10**8))


class Known(nn.Module):
    """A depth network that knows the wall in canonical metres; K[1, 1] is told from outside."""

    def forward(self, image):
        height, width = image.shape[2:]
        depth = self.metres / (self.fy / 240.0).view(-1, 1, 1, 1).expand(len(image), 1, height, width)
        return [depth, depth[..., ::2, ::2]]


class KnownPose(nn.Module):
    """The earlier image comes first: the wall moves left when the car moves right."""

    def forward(self, image, neighbour):
        out = torch.zeros(len(image), 6)
        out[:, 3] = -STEP_M * self.sign / (self.fy / 240.0).repeat(2)
        return out


def knowing(data, *, metres=WALL_M, sign=1.0):
    networks = nn.ModuleDict({"depth": Known(), "pose": KnownPose()})
    for network in networks.values():
        network.fy, network.metres, network.sign = data["K"][:, 1, 1], metres, sign
    return networks


def window(*, pairs, flip, zoom=0.6):
    drives = Drives(replace(TINY.samples, flip=flip, zoom=zoom, full_zoom=zoom))
    drives.add(drive())
    return Batches(drives, height=64, width=128, batch=4, seed=0)(0, pairs=pairs)


@pytest.mark.parametrize("strides", [(1,), (2, 4)])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_truth_costs_nothing_whatever_the_crop(flip, strides):
    data = window(pairs=True, flip=flip)
    assert data["K"][:, 1, 1].std() > 3  # the crops do have different focal lengths
    config = replace(TINY, match_strides=strides, mask="none")
    sign = -1.0 if flip else 1.0
    right = recipe.terms(knowing(data, sign=sign), data, config)
    assert right["distance"] < 1e-6 and right["match"] < 0.01 and right["smooth"] < 1e-9
    far = recipe.terms(knowing(data, metres=1.5 * WALL_M, sign=sign), data, config)
    assert far["distance"].item() == pytest.approx((1 + config.coarse) * np.log(1.5), rel=1e-4)
    assert far["match"] > 3 * right["match"]
    back = recipe.terms(knowing(data, sign=-sign), data, config)
    assert back["match"] > 10 * right["match"] and back["distance"] < 1e-6
    assert right["motion"] < 0.005 and back["motion"].item() == pytest.approx(2 * STEP_M / WALL_M, rel=0.05)


def test_the_pose_network_sees_the_earlier_image_first():
    data = window(pairs=True, flip=0.0)
    networks = knowing(data)
    seen = []
    networks["pose"].register_forward_pre_hook(lambda module, pair: seen.append(pair))
    recipe.terms(networks, data, TINY)
    ((earlier, later),) = seen
    assert torch.equal(earlier, torch.cat([data["neighbours"][:, 0], data["image"]]))
    assert torch.equal(later, torch.cat([data["image"], data["neighbours"][:, 1]]))


def test_a_motion_that_was_not_measured_leaves_the_loss():
    data = window(pairs=True, flip=0.0)
    data["motions"][:, 1] = float("nan")
    assert recipe.terms(knowing(data), data, TINY)["motion"] < 0.005
    data["motions"][:] = float("nan")
    assert recipe.terms(knowing(data), data, TINY)["motion"] == 0


def test_the_auto_mask_leaves_nothing_of_a_standing_car():
    data = window(pairs=True, flip=0.0)
    data["others"] = data["target"].unsqueeze(1).repeat(1, 2, 1, 1, 1)
    networks = knowing(data)
    for mask, silent in (("moved", True), ("unchanged", True), ("voted", True), ("none", False)):
        match = recipe.terms(networks, data, replace(TINY, mask=mask))["match"].item()
        assert (match == 0) == silent, mask


@pytest.mark.parametrize("mode", ["depth", "camera3d", "reprojected", "posed", "signed"])
def test_every_distance_mode_is_zero_for_the_truth_only(mode):
    data = window(pairs=True, flip=0.0)
    config = replace(TINY, distance_mode=mode)
    assert abs(recipe.terms(knowing(data), data, config)["distance"]) < 1e-3
    assert abs(recipe.terms(knowing(data, metres=2 * WALL_M), data, config)["distance"]) > 0.1


FORMS = [("match_mode", "difference"), ("smooth_mode", "literal"), ("smooth_mode", "literal_relative")]


@pytest.mark.parametrize(("option", "value"), FORMS)
def test_the_simple_and_literal_forms_are_options(option, value):
    data = window(pairs=True, flip=0.0)
    ours = recipe.terms(knowing(data), data, replace(TINY, mask="none", match_strides=(1,), **{option: value}))
    assert ours["match"] < 0.01 and ours["smooth"] == 0  # the wall is flat
    with pytest.raises(BadInput, match=option):
        replace(TINY, **{option: "other"})


def test_views_without_neighbours_have_the_distance_alone():
    data = window(pairs=False, flip=0.5)
    assert set(recipe.terms(knowing(data), data, TINY)) == {"distance"}


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(recipe, "frames", lambda path, **options: drive())
    return file


@pytest.mark.parametrize("network", ["student", "s1"])
def test_training_writes_a_model_that_opens_and_goes_on(bag, tmp_path, network):
    out = tmp_path / "model"
    config = replace(TINY, network=network)
    history = recipe.train([bag], out, config=config, budget=Budget(steps=4), batch=2, command="train it")
    assert history.step == 4 and {"distance", "match", "smooth"} <= set(history.mean())
    written = model.load(out)
    assert (written.kind, written.height, written.width, written.canonical_focal_px) == ("depth", 64, 128, 240.0)
    assert written.networks["depth"]["class"] == ("Student" if network == "student" else "DepthNet")
    assert written.networks["pose"]["inputs"] == {"image": [1, 3, 64, 128], "neighbour": [1, 3, 64, 128]}
    lineage = written.lineage
    assert lineage["command"] == "train it" and lineage["steps"] == 4 and lineage["windows"] == 2
    assert lineage["bags"] == [{"name": "wall.mcap", "bytes": 5, "sha256": model.sha256(bag)}]
    assert json.loads(json.dumps(lineage)) == lineage  # nothing that JSON would change
    for name in ("curve.png", "depth_0.png"):
        assert cv2.imread(str(out / "report" / name)) is not None

    again = recipe.new_networks(config, out)
    for key, value in recipe.new_networks(config, out).state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    recipe.train([bag], tmp_path / "second", config=config, budget=Budget(steps=1), batch=2, init=out)
    assert model.load(tmp_path / "second").lineage["init"] == str(out)


def test_the_same_seed_gives_the_same_weights_and_the_depth_improves(bag, tmp_path):
    config = replace(TINY, fit=FitConfig(threads=1, learning_rate=0.02))
    runs = [recipe.train([bag], tmp_path / str(i), config=config, budget=Budget(steps=30), batch=2, seed=3) for i in range(2)]
    assert runs[0].rows == runs[1].rows
    assert (tmp_path / "0/depth.safetensors").read_bytes() == (tmp_path / "1/depth.safetensors").read_bytes()
    assert runs[0].rows[-1]["distance"] < 0.7 * runs[0].rows[0]["distance"]


def test_bfloat16_keeps_depth_and_pose_in_float32(bag, tmp_path):
    networks = recipe.new_networks(TINY).eval()
    image = torch.rand(1, 3, 64, 128)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        depth, pose = networks["depth"](image)[0], networks["pose"](image, image)
    assert depth.dtype == pose.dtype == torch.float32
    assert torch.allclose(depth, networks["depth"](image)[0], rtol=0.05)
    config = replace(TINY, fit=FitConfig(threads=1, precision="bfloat16"))
    assert recipe.train([bag], tmp_path / "m", config=config, budget=Budget(steps=2), batch=2).step == 2


def test_init_wants_a_model(tmp_path):
    with pytest.raises(BadInput, match="wanted a model directory"):
        recipe.new_networks(TINY, tmp_path / "none")
