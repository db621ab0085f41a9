"""inspect: a drive that is as it should be, and one wrong thing at a time: each is told, and by its own name."""

import json

import cv2
import numpy as np
import pytest

from depth_perception.inspection import POISON, Config, fitness, inspect
from depth_perception.inspection.excerpt import spans


def kinds(findings):
    return [problem["kind"] for problem in findings["problems"]]


def test_a_right_drive(write):
    album = []
    findings = inspect(write(), album=album)
    assert findings["problems"] == [] and findings["warnings"] == []
    assert json.loads(json.dumps(findings, allow_nan=False)) == findings
    assert findings["frames"] == {"count": 60, "with_scan": 60, "of": 60, "points_per_scan": findings["frames"]["points_per_scan"]}
    assert len(album) == 6 and album[0].scan is not None and np.diff([frame.stamp_ns for frame in album]).min() >= 9 * 10**8
    assert findings["sync"]["share_nearest"] == 1 and findings["sync"]["nearest"]["median_s"] == 0
    moved = findings["motion"]
    assert moved["source"] == "/odom" and moved["path_m"] == pytest.approx(23.6, abs=0.3) and moved["standing_share"] == 0
    assert moved["speed_m_s"]["mean"] == pytest.approx(4, abs=0.1)
    # 0.25 sin(2 pi t / 3) + 0.1 sin(2 pi t / 1.7) turns by up to 51 degrees a second
    assert 45 < moved["turning_deg_s"] < 55
    assert {name: found["verdict"] for name, found in findings["fitness"].items()} == {
        "train depth": "with limits", "train depth, video.yaml": "with limits", "train depth, robust.yaml": "with limits",
        "train student": "yes", "contrast": "yes", "objects": "with limits", "markings": "yes", "evaluate depth": "yes",
        "evaluate odometry": "with limits", "drive": "yes"}
    assert findings["fitness"]["train depth"]["reasons"] == [
        "only 58 windows of three images in a row (a minute at 10 Hz has 600): use it among other bags"]
    assert fitness(findings) == findings["fitness"]


@pytest.mark.parametrize("late_ms", [0, 40, -70])
def test_clocks_that_differ_by_a_known_time(write, late_ms):
    findings = inspect(write(scans_late_ns=late_ms * 10**6, odometry_late_ns=-late_ms * 10**6))
    for other, late in (("lidar", late_ms), ("odometry", -late_ms)):
        found = findings["time_offset"][other]
        assert 1000 * found["seconds"] == pytest.approx(-late, abs=5), other
        assert found["sigma_s"] < 0.005 and found["gain"] == pytest.approx(1, abs=0.06)
    said = [problem["sentence"] for problem in findings["problems"] if problem["kind"] == "clock_offset"]
    if late_ms:
        assert f"{'late' if late_ms > 0 else 'early'} beside the camera's" in said[0]
        assert findings["fitness"]["train depth"]["verdict"] == "with limits"
    else:
        assert said == []


def cover(k, image):
    return np.zeros_like(image)


def shuffled(k, stamp):
    return stamp + (3 * 10**8 if k % 3 == 0 else 0)


WRONG = {
    "extrinsics": ({"turn_deg": 3.0}, "wrong_extrinsics", "it is turned by", "train depth", "no"),
    "focal length": ({"K_factor": 1.3}, "wrong_focal", "K looks like another camera's", "train depth, video.yaml", "no"),
    "K of another size": ({"size_factor": 2}, "frames", "its camera info says 720x120, got 360x120", "train depth", "no"),
    "black": ({"images": cover}, "black", "100 % of the images show nothing", "markings", "no"),
    "some black": ({"images": lambda k, image: image * (k % 5 > 0)}, "black", "20 % of the images show nothing", "markings", "with limits"),
    "blurred": ({"images": lambda k, image: cv2.GaussianBlur(image, (0, 0), 3)}, "blurred", "100 % of the images are blurred", "markings",
                "no"),
    "shuffled": ({"stamps": shuffled}, "stamps_backwards", "/camera/image: 20 of 60 stamps go backwards, by up to 0.200 s", "train student",
                 "no"),
    "clock set anew": ({"stamps": lambda k, stamp: stamp + (k > 30) * 5 * 10**9}, "clock_jump",
                        "/camera/image: its clock jumps by +5.00 s at 3.10 s", "train depth, video.yaml", "with limits"),
    "silent": ({"silent": {"/points": range(20, 40)}}, "gap", "/points: a gap of 2.10 s at 1.90 s", "train depth", "with limits"),
    "silent to the end": ({"silent": {"/camera/image": range(30, 60)}}, "gap", "/camera/image: a gap of 3.00 s at 2.90 s", "drive", "yes"),
    "no CameraInfo": ({"without": ["/camera/camera_info"]}, "no_camera_info", "no sensor_msgs/msg/CameraInfo for /camera/image", "drive",
                      "no"),
    "roadside": ({"without": ["/camera/camera_info"]}, "no_camera_info", "no sensor_msgs/msg/CameraInfo for /camera/image", "markings",
                 "with limits"),
    "no TF": ({"without": ["/tf_static"]}, "no_extrinsics", "no transform between lidar and camera", "contrast", "no"),
    "no LiDAR": ({"without": ["/points"]}, "no_lidar", "no point cloud", "train depth", "no"),
    "no camera": ({"without": ["/camera/image"]}, "topics", "no camera topic among", "drive", "no"),
    "two images": ({"count": 2}, "few_frames", "2 frames: learning needs", "train depth, video.yaml", "no"),
    "slow": ({"every": 4}, "slow", "/camera/image: 2.5 images a second", "train depth, video.yaml", "no"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_by_its_name(write, wrong):
    options, kind, said, purpose, verdict = WRONG[wrong]
    findings = inspect(write(**options))
    assert kind in kinds(findings)
    assert any(said in sentence for sentence in findings["warnings"]), findings["warnings"]
    assert findings["fitness"][purpose]["verdict"] == verdict, findings["fitness"][purpose]
    assert (kind not in POISON or kind == "clock_jump" or wrong == "some black") or findings["fitness"]["train depth"]["verdict"] == "no"
    assert set(kinds(findings)) - {kind} <= {"no_base", "unpaired", "gap", "few_frames"}
    if verdict == "no":
        assert any(said in reason for reason in findings["fitness"][purpose]["reasons"]) or kind in ("few_frames", "slow")


def test_frozen_images(write, moments):
    findings = inspect(write(images=lambda k, image: moments[10][1] if 10 < k < 40 else image))
    assert "frozen" in kinds(findings)
    assert "49 % of the images show exactly what the one before showed" in findings["warnings"][0]


def test_without_odometry_the_lidar_measures_and_without_it_the_images(write):
    by_lidar = inspect(write("a", without=["/odom"]))["motion"]
    assert by_lidar["source"] == "LiDAR" and by_lidar["path_m"] == pytest.approx(23.6, rel=0.03)
    by_images = inspect(write("b", without=["/odom", "/points"]))
    moved = by_images["motion"]
    assert (moved["source"], moved["path_m"], moved["standing_share"]) == ("images", None, 0) and moved["turned_deg"] > 60
    assert "no odometry: depth comes without a scale" in by_images["fitness"]["train depth, video.yaml"]["reasons"][-1]


def test_a_standing_car_teaches_nothing_by_motion_and_sets_no_clock(write, moments):
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 2, moments[0][1].shape) for _ in range(4)]
    still = inspect(write(without=["/odom"], count=40, images=lambda k, _: (moments[0][1] + noise[k % 4]).clip(0, 255).astype(np.uint8)))
    assert still["time_offset"]["lidar"]["cannot"].startswith("cannot be told")
    images_only = inspect(write("b", without=["/odom", "/points"], count=40,
                                images=lambda k, _: (moments[0][1] + noise[k % 4]).clip(0, 255).astype(np.uint8)))
    assert images_only["motion"]["standing_share"] == 1
    assert images_only["fitness"]["train depth, robust.yaml"]["verdict"] == "no"
    assert "the car stands in 100 % of the time (by images)" in images_only["fitness"]["train depth, robust.yaml"]["reasons"][0]


def test_a_few_frames_stand_for_a_long_bag(write):
    album = []
    findings = inspect(write(), config=Config(frames=20, pictures=3), album=album)
    assert findings["frames"]["count"] == 20 and findings["frames"]["of"] == 60 and len(album) == 3
    assert findings["windows"] == {"images": 60, "in_a_row": 58}
    log = np.arange(36000) * 10**8
    found = spans(log, most=1000)
    assert len(found) == 10 and found[0][0] == 0 and found[-1][1] == log[-1]
    assert all(last - first == 99 * 10**8 for first, last in found)
