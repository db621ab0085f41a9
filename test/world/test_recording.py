"""A simulated bag: its topics, its content, and the same bytes from the same seed."""

import argparse

import numpy as np
import pytest

from depth_perception.bag import Bag, FrameReader
from depth_perception.commands import simulate
from depth_perception.frame import BadInput
from depth_perception.world.drive import START_NS, Config, drive
from depth_perception.world.sensors import Camera, Lidar

OPTIONS = ["--seconds", "0.3", "--seed", "3", "--width", "96", "--height", "48", "--lidar-columns", "90", "--lidar-rings", "16"]
CONFIG = Config(seconds=0.3, seed=3, camera=Camera(96, 48), lidar=Lidar(rings=16, columns=90))


def simulated(out, *more):
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    assert simulate.run(parser.parse_args([*OPTIONS, "--out", str(out), *more])) == 0
    return out


def test_the_bag_holds_the_drive(tmp_path):
    bag = Bag(simulated(tmp_path / "drive"))
    assert {name: count for name, (_, count) in bag.topics.items()} == {
        "/tf_static": 1,
        "/camera/image": 3,
        "/camera/camera_info": 3,
        "/lidar/points": 3,
        "/truth/depth": 3,
        "/truth/markings": 3,
        "/truth/odometry": 3,
        "/truth/boxes": 3,
    }
    moments = list(drive(CONFIG))
    for frame, moment in zip(FrameReader(tmp_path / "drive"), moments, strict=True):
        assert np.array_equal(frame.image, moment.frame.image) and frame.stamp_ns == moment.frame.stamp_ns
        np.testing.assert_allclose(frame.calibration.K, moment.frame.calibration.K)
        np.testing.assert_allclose(frame.calibration.T_camera_lidar, moment.frame.calibration.T_camera_lidar, atol=1e-9)
        assert np.array_equal(frame.scan.points, moment.frame.scan.points) and frame.scan.stamp_ns == moment.frame.scan.stamp_ns
    assert moments[0].frame.stamp_ns == START_NS
    truth = {
        topic: bag.decode(type_name, raw) for topic, type_name, _, raw in bag.messages(["/truth/depth", "/truth/boxes", "/truth/odometry"])
    }
    depth = np.frombuffer(bytes(truth["/truth/depth"].data), np.float32).reshape(48, 96)
    assert np.array_equal(depth, moments[-1].depth, equal_nan=True)
    markers = truth["/truth/boxes"].markers
    assert [(m.ns, m.id) for m in markers] == [(box.label, box.track) for box in moments[-1].boxes]
    assert all(m.type == 1 and m.header.frame_id == "base_link" and m.scale.x > 0 for m in markers)
    assert truth["/truth/odometry"].twist.twist.linear.x == pytest.approx(moments[-1].twist[0])


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    files = [next(simulated(tmp_path / place).glob("*.mcap")) for place in ("one", "another")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_truth_can_be_left_out(tmp_path):
    assert not any(topic.startswith("/truth") for topic in Bag(simulated(tmp_path / "drive", "--no-truth")).topics)


def test_an_existing_bag_is_not_overwritten(tmp_path):
    simulated(tmp_path / "drive")
    with pytest.raises(BadInput, match="exists"):
        simulated(tmp_path / "drive")
