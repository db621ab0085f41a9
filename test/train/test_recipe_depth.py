"""The recipe of `train depth` on a world with known answers: a painted wall, passed sideways."""

import errno
import json
import runpy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
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
    monkeypatch.setattr(recipe, "FrameReader", lambda path, **options: drive())
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


def test_init_wants_a_model_of_the_same_kind(bag, tmp_path):
    with pytest.raises(BadInput, match="wanted a model directory"):
        recipe.new_networks(TINY, tmp_path / "none")
    out = tmp_path / "model"
    recipe.train([bag], out, config=TINY, budget=Budget(steps=1), batch=2)
    with pytest.raises(BadInput, match="is a Student, the configuration asks for a DepthNet; give --network student"):
        recipe.new_networks(replace(TINY, network="s1"), out)
    with pytest.raises(BadInput, match=r"channels=\(4, 4, 4, 4, 4\).*asks for .*channels=\(8, 8, 8, 8, 8\)"):
        recipe.new_networks(replace(TINY, student=StudentConfig(channels=(8,) * 5)), out)
    assert recipe.new_networks(replace(TINY, student=StudentConfig()), out)["depth"].config.channels == (4,) * 5  # the default asks nothing
    whole = (out / "depth.safetensors").read_bytes()
    for content, said in ((whole[:-100], "do not fit"), (b"", "do not fit"), (None, "depth.safetensors is missing")):
        (out / "depth.safetensors").unlink()
        if content is not None:
            (out / "depth.safetensors").write_bytes(content)
        else:
            (out / "depth.safetensors.bak").write_bytes(whole)
        with pytest.raises(BadInput, match=said):
            recipe.train([bag], tmp_path / "next", config=TINY, budget=Budget(steps=1), batch=2, init=out)
    assert not (tmp_path / "next").exists()


def long_drive(path, **options):
    return drive(14)


def test_what_is_kept_of_init_lies_on_the_straight_way_to_it(bag, tmp_path):
    def trained(name, **options):
        init = tmp_path / "init" if options else None
        config = replace(TINY, **options)
        recipe.train([bag], tmp_path / name, config=config, budget=Budget(steps=2), batch=2, init=init)
        return load_file(tmp_path / name / "depth.safetensors")

    start = trained("init")
    moved, half, back = (trained(f"{share}", keep_init=share) for share in (0.0, 0.5, 1.0))
    apart = max(float((moved[name] - start[name]).abs().max()) for name in start if start[name].is_floating_point())
    assert apart > 1e-4
    for name in start:
        if start[name].is_floating_point():
            torch.testing.assert_close(half[name], (start[name] + moved[name]) / 2)
            torch.testing.assert_close(back[name], start[name])
    with pytest.raises(BadInput, match=r"keep_init: 0.5 of --init's weights cannot be kept without --init"):
        recipe.train([bag], tmp_path / "none", config=replace(TINY, keep_init=0.5), budget=Budget(steps=2), batch=2)


def test_the_end_of_a_bag_is_left_to_others(tmp_path):
    bag = runpy.run_path(str(Path(__file__).with_name("test_killed_training.py")))["write_bag"](tmp_path / "bag")
    # Logged from 0, its TF static, to 2.5 s: the last fifth begins at 2.0 s.
    config = replace(TINY, samples=replace(TINY.samples, leave_end=0.2))
    (some,), (whole,) = (recipe.read([bag], each, aloud=False)[0].drives for each in (config, TINY))
    assert whole.stamps == [10**9 + i * 10**8 for i in range(16)]
    assert some.stamps == [stamp for stamp in whole.stamps if stamp < 2_000_000_000]


def test_the_weights_that_score_best_on_held_out_frames_are_the_model(bag, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "FrameReader", long_drive)
    config = replace(TINY, validate=0.2, fit=replace(TINY.fit, validate_every=3))
    seen = {}
    honest = recipe.depth_scores.score

    def score(networks, drives, config):
        row = honest(networks, drives, config)
        row["metric_abs_rel"] = 1.0 / (1 + len(seen)) if len(seen) < 3 else 2.0
        seen[len(seen)] = networks["depth"].state_dict()["heads.0.conv.bias"].clone()
        return row

    monkeypatch.setattr(recipe.depth_scores, "score", score)
    history = recipe.train([bag], tmp_path / "m", config=config, budget=Budget(steps=10), batch=2)
    assert [row["step"] for row in history.scores] == [0, 3, 6, 9, 10] and history.best["step"] == 6
    lineage = model.load(tmp_path / "m").lineage
    assert lineage["best"] == history.scores[2] and lineage["last"] == history.scores[-1] and lineage["held_out"] == 2
    kept = recipe.new_networks(config, tmp_path / "m")["depth"].state_dict()["heads.0.conv.bias"]
    assert torch.equal(kept, seen[2]) and not torch.equal(kept, seen[4])
    assert set(lineage["best"]) == {"step", "metric_abs_rel", "median_scaled_abs_rel", "match"}
    assert cv2.imread(str(tmp_path / "m" / "report" / "held_out.png")) is not None


def test_scores_are_the_standard_errors_of_known_depths():
    drives = Drives(TINY.samples, validate=0.2)
    drives.add(drive(14))
    view_fy = 130 * 64 / 96  # of the full view
    networks = nn.ModuleDict({"depth": Known(), "pose": KnownPose()}).eval()
    for network in networks.values():
        network.fy, network.metres, network.sign = torch.full((2,), view_fy), 1.2 * WALL_M, 1.0
    scores = recipe.depth_scores.score(networks, drives, TINY)
    assert scores["metric_abs_rel"] == pytest.approx(0.2, abs=1e-4) and scores["median_scaled_abs_rel"] == pytest.approx(0, abs=1e-4)


def test_learning_from_video_alone_needs_no_lidar_and_keeps_what_rebuilds_best(bag, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "FrameReader", lambda path, **options: (replace(frame, scan=None) for frame in drive(14)))
    with pytest.raises(BadInput, match="nothing in common"):
        recipe.train([bag], tmp_path / "m", config=TINY, budget=Budget(steps=1), batch=2)
    video = replace(TINY, distance=0.0, motion=0.0, validate=0.2)
    history = recipe.train([bag], tmp_path / "m", config=video, budget=Budget(steps=4), batch=2)
    assert all(set(row) == {"step", "match", "smooth"} for row in history.rows)
    drives, _ = recipe.read([bag], video)
    assert recipe.depth_scores.validation(nn.ModuleDict(), drives, video, []).criterion == "match"


def test_the_residual_network_begins_as_the_plain_warp_learns_and_stays_out_of_the_model(bag, tmp_path):
    data = window(pairs=True, flip=0.0)
    residual = replace(TINY, reconstruction="residual")
    networks = knowing(data)
    networks["residual"] = recipe.new_networks(residual)["residual"].eval()
    networks["depth"].metres *= 1.3
    plain, retouched = (recipe.terms(networks, data, config)["match"] for config in (TINY, residual))
    assert torch.equal(plain, retouched)
    retouched.backward()
    assert networks["residual"].leave.bias.grad.abs().max() > 0
    history = recipe.train([bag], tmp_path / "m", config=residual, budget=Budget(steps=3), batch=2)
    assert history.step == 3 and sorted(model.load(tmp_path / "m").networks) == ["depth", "pose"]
    assert not (tmp_path / "m" / "residual.safetensors").exists()


def test_velocity_wants_the_length_of_the_motion_only():
    data = window(pairs=True, flip=0.0)
    config = replace(TINY, velocity=2.0)
    data["travelled"][:] = STEP_M
    assert recipe.terms(knowing(data), data, config)["velocity"] < 1e-5
    back = recipe.terms(knowing(data, sign=-1.0), data, config)["velocity"]
    assert back < 1e-5  # a length has no direction
    data["travelled"][:, 0] = float("nan")
    data["travelled"][:, 1] = STEP_M + 0.5
    assert recipe.terms(knowing(data), data, config)["velocity"].item() == pytest.approx(2 * 0.5 * (1 / (data["K"][:, 1, 1] / 240)).mean())


def test_a_poisoned_frame_is_named_by_its_bag_and_stamp(bag, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipe, "FrameReader", long_drive)
    honest = Batches.__call__

    def poisoned(self, step, *, pairs):
        out = honest(self, step, pairs=pairs)
        for place, (_, i) in enumerate(self.windows_of(step)):
            if i == 5:
                out["image"][place, 0, 3, 3] = float("nan")
        return out

    monkeypatch.setattr(Batches, "__call__", poisoned)
    history = recipe.train([bag], tmp_path / "m", config=TINY, budget=Budget(steps=8), batch=3)
    recovered = history.recoveries
    assert 1 <= len(recovered) <= 3 and all(each["sentence"].endswith(f"on bag {bag} at 500000000 ns") for each in recovered)
    assert "became nan" in capsys.readouterr().err
    assert model.load(tmp_path / "m").lineage["recoveries"] == recovered
    assert all(x.isfinite().all() for x in recipe.new_networks(TINY, tmp_path / "m").state_dict().values())
    with pytest.raises(BadInput, match="try a smaller"):
        recipe.train([bag], tmp_path / "n", config=TINY, budget=Budget(steps=80), batch=3)
    assert not (tmp_path / "n" / "manifest.json").exists()


def test_resume_wants_the_same_bags_and_configuration(bag, tmp_path):
    out = tmp_path / "m"
    recipe.train([bag], out, config=TINY, budget=Budget(steps=1), batch=2)
    with pytest.raises(BadInput, match="was trained with --batch 2, got 4"):
        recipe.train([bag], out, config=TINY, budget=Budget(steps=2), batch=4, resume=True)
    with pytest.raises(BadInput, match="was trained with the configuration"):
        recipe.train([bag], out, config=replace(TINY, alpha=0.5), budget=Budget(steps=2), batch=2, resume=True)
    bag.write_bytes(b"another bag")
    with pytest.raises(BadInput, match="was trained with --bag"):
        recipe.train([bag], out, config=TINY, budget=Budget(steps=2), batch=2, resume=True)


def test_a_full_disk_leaves_the_last_model(bag, tmp_path, monkeypatch):
    out = tmp_path / "m"
    recipe.train([bag], out, config=TINY, budget=Budget(steps=1), batch=2)
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file() and file.name != "checkpoint.safetensors"}

    def then(stage, history):
        (stage / "depth.onnx").write_bytes(b"half of")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BadInput, match=r"the disk is full.*as it was"):
        recipe.train([bag], out, config=TINY, budget=Budget(steps=2), batch=2, seed=1, then=then)
    after = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file() and file.name != "checkpoint.safetensors"}
    assert after == before and not list(out.glob(".*"))
    with pytest.raises(BadInput, match="wanted a directory, it is a file"):
        recipe.train([bag], bag, config=TINY, budget=Budget(steps=1), batch=2)


def test_tensorboard_holds_curves_and_pictures(bag, tmp_path, monkeypatch):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr(recipe, "FrameReader", long_drive)
    recipe.train([bag], tmp_path / "m", config=replace(TINY, validate=0.2), budget=Budget(steps=4), batch=2)
    seen = events.EventAccumulator(str(tmp_path / "m" / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert {"training/distance", "training/match", "held_out/metric_abs_rel"} <= set(seen.Tags()["scalars"])
    assert [event.step for event in seen.Scalars("training/distance")] == [1, 2, 3, 4]
    picture = cv2.imdecode(np.frombuffer(seen.Images("held_out/0")[0].encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (128, 256, 3)


def test_extrinsics_that_look_wrong_are_a_warning_in_the_lineage(bag, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipe.EdgeAlignment, "warning", lambda self: f"turned, by {len(self.edges)} frames")
    recipe.train([bag], tmp_path / "m", config=TINY, budget=Budget(steps=1), batch=2)
    assert model.load(tmp_path / "m").lineage["warnings"] == [f"bag {bag}: turned, by 4 frames"]
    assert f"warning: bag {bag}: turned" in capsys.readouterr().err
