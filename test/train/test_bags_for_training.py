"""Whole bags at the door of `train`: several cameras, and everything that cannot be learned from, in one sentence each."""

import cv2
import numpy as np
import pytest
import yaml

from depth_perception.__main__ import main
from depth_perception.bag import Writer, messages
from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.geometry import pose
from depth_perception.train import depth as recipe

T_lidar_camera = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
FRONT = Calibration(np.array([[60.0, 0, 47.5], [0, 60, 23.5], [0, 0, 1]]), 96, 48, "front")
SIDE = Calibration(np.array([[100.0, 0, 63.5], [0, 110, 31.5], [0, 0, 1]]), 128, 64, "side")


def wall(camera, i, *, step_m):
    """What a camera sees of a painted wall 8 m away, after i steps to the right."""
    v, u = np.mgrid[: camera.height, : camera.width]
    x = (u - camera.K[0, 2]) / camera.K[0, 0] * 8 + step_m * i
    y = (v - camera.K[1, 2]) / camera.K[1, 1] * 8
    paint = np.random.default_rng(0).uniform(0, 255, (200, 400)).astype(np.float32)
    column, row = (x * 10 + 100).astype(np.float32), (y * 10 + 80).astype(np.float32)
    seen = cv2.remap(cv2.GaussianBlur(paint, (0, 0), 2) * 4 - 380, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.repeat(seen.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def write(path, *, count=8, cameras=(FRONT,), step_m=0.5, lidar_late_ns=0, black=False, behind=False,
          odometry=range(0), odometry_late_ns=0):
    """odometry: the images at whose moments it says where the car is."""
    y, z = np.mgrid[-6:6:60j, -3:3:30j]
    cloud = np.stack([np.full_like(y, -8.0 if behind else 8.0), y, z], -1).reshape(-1, 3).astype(np.float32)
    with Writer(path) as bag:
        bag.write("/tf_static", messages.transforms([("lidar", camera.frame_id, T_lidar_camera) for camera in cameras], stamp_ns=0), 0)
        for i in range(count):
            stamp = 10**9 + i * 10**8
            if i in odometry:
                T = pose.from_rotation_vector(np.zeros(3), np.array([0, -step_m * i, 0]))
                said_ns = stamp + odometry_late_ns
                bag.write("/odom", messages.odometry(T, stamp_ns=said_ns, frame_id="odom", child_frame_id="base_link"), stamp)
            bag.write("/points", messages.points(Scan(cloud, stamp + lidar_late_ns, frame_id="lidar")), stamp)
            for camera in cameras:
                image = wall(camera, i, step_m=step_m) * (not black)
                name = f"/{camera.frame_id}"
                bag.write(f"{name}/camera_info", messages.camera_info(camera, stamp_ns=stamp), stamp)
                bag.write(f"{name}/image", messages.image(image.astype(np.uint8), "rgb8", stamp_ns=stamp, frame_id=camera.frame_id), stamp)
    return path


def test_several_cameras_and_resolutions_learn_together(tmp_path):
    both, one = write(tmp_path / "both", cameras=(FRONT, SIDE)), write(tmp_path / "one")
    topics = ["/front/image", "/side/image"]
    drives, warnings = recipe.read([both, one], recipe.Config(validate=0.0), topics=topics)
    assert [drive.name for drive in drives.drives] == [f"bag {both} /front/image", f"bag {both} /side/image", f"bag {one}"]
    assert [drive.images[0].shape[:2] for drive in drives.drives] == [(48, 96), (64, 128), (48, 96)] and warnings == []
    assert np.allclose(drives.drives[1].K, SIDE.K) and len(drives.windows) == 18
    for drive in drives.drives:
        assert drive.motions[3][0, 3] == pytest.approx(-0.5, abs=0.05)  # the wall passes to the left
    with pytest.raises(BadInput, match="has no image topic /rear/image"):
        recipe.read([one], recipe.Config(), topics=["/rear/image"])


ABSURD = Calibration(np.array([[0.9, 0, 47.5], [0, 0.9, 23.5], [0, 0, 1]]), 96, 48, "front")
BAD = {
    "no overlap in time": ({"lidar_late_ns": 10**12}, "no scan was taken within reach of any image"),
    "no overlap in space": ({"behind": True}, "not one point of 8 scans falls into its image"),
    "absurd K": ({"cameras": (ABSURD,)}, "a focal length of 0.9 px for 96 px sees 177.85 degrees"),
    "one frame": ({"count": 1}, "1 images"),
    "standing still": ({"step_m": 0.0}, "the car stands still in all 6 windows"),
    "black": ({"black": True}, "the images show nothing"),
    "several cameras": ({"cameras": (FRONT, SIDE)}, "--image-topic"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_learned_from_is_one_sentence(tmp_path, capsys, kind):
    options, said = BAD[kind]
    bag, out = write(tmp_path / "bag", **options), tmp_path / "model"
    assert main(["train", "depth", "--bag", str(bag), "--out", str(out), "--steps", "1"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and str(bag) in error
    assert not out.exists()


def test_a_parked_drive_is_left_out_of_a_fleet_and_named(tmp_path, capsys):
    parked, dark, driven = write(tmp_path / "parked", step_m=0.0), write(tmp_path / "dark", black=True), write(tmp_path / "driven")
    drives, warnings = recipe.read([parked, dark, driven], recipe.Config(validate=0.0))
    assert [drive.name for drive in drives.drives] == [f"bag {driven}"] and len(drives.windows) == 6
    assert [str(bag) in said for bag, said in zip((parked, dark), warnings, strict=True)] == [True, True]
    assert "stands still" in warnings[0] and "show nothing" in warnings[1] and capsys.readouterr().err.count("warning: ") == 2


def test_velocity_wants_odometry(tmp_path, capsys):
    bag, config = write(tmp_path / "bag"), tmp_path / "velocity.yaml"
    config.write_text(yaml.safe_dump({"velocity": 1.0}))
    assert main(["train", "depth", "--bag", str(bag), "--out", str(tmp_path / "m"), "--steps", "1", "--config", str(config)]) == 2
    assert "velocity: " in capsys.readouterr().err


def test_velocity_that_can_teach_nothing_is_said(tmp_path, capsys):
    config = recipe.Config(validate=0.0, velocity=1.0, distance=0.0, motion=0.0)
    _, warnings = recipe.read([write(tmp_path / "whole", odometry=range(8))], config)
    assert warnings == []
    few = write(tmp_path / "few", odometry=range(2))
    _, warnings = recipe.read([few], config)
    assert warnings == [f"bag {few}: velocity: the odometry says in 1 of 6 windows how far the camera went; the others teach none"]
    assert capsys.readouterr().err == f"warning: {warnings[0]}\n"
    late = write(tmp_path / "late", odometry=range(8), odometry_late_ns=10**12)
    with pytest.raises(BadInput, match=f"bag {late}: velocity: the odometry says in none of 6 windows"):
        recipe.read([late], config)
