"""Bags with several LiDARs and CameraInfos at the door of `train`: what it asks for can be said, and it asks for no more than it reads."""

import numpy as np
import pytest

from depth_perception.__main__ import main
from depth_perception.bag import Bag, FrameReader, Writer, guess_topics, messages
from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.inspection.findings import inspect
from depth_perception.train import contrast, depth, markings, objects
from depth_perception.train.marked import labelled, unlabelled

FRONT = Calibration(np.array([[60.0, 0, 47.5], [0, 60, 23.5], [0, 0, 1]]), 96, 48, "front")
REAR = Calibration(np.array([[90.0, 0, 47.5], [0, 90, 23.5], [0, 0, 1]]), 96, 48, "rear")


@pytest.fixture(scope="module")
def car(tmp_path_factory):
    """Two LiDARs, and two CameraInfos neither of which is beside the images."""
    path = tmp_path_factory.mktemp("bags") / "car"
    points = np.ones((10, 3), np.float32)
    with Writer(path) as bag:
        bag.write("/tf_static", messages.transforms([("lidar", "front", np.eye(4))], stamp_ns=0), 0)
        for i in range(4):
            stamp = 10**9 + i * 10**8
            for topic, camera in (("/front_info", FRONT), ("/rear_info", REAR)):
                bag.write(topic, messages.camera_info(camera, stamp_ns=stamp), stamp)
            for topic in ("/roof", "/bumper"):
                bag.write(topic, messages.points(Scan(points, stamp, frame_id="lidar")), stamp)
            image = np.random.default_rng(i).integers(0, 255, (48, 96, 3), np.uint8)
            bag.write("/front_rgb", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="front"), stamp)
            bag.write("/truth/markings", messages.image(np.full((48, 96), 1, np.uint8), "mono8", stamp_ns=stamp, frame_id="front"), stamp)
    return path


@pytest.fixture
def calibration(tmp_path):
    file = tmp_path / "camera.yaml"
    file.write_text("width: 96\nheight: 48\nK: [[60, 0, 47.5], [0, 60, 23.5], [0, 0, 1]]\n")
    return file


def test_with_a_calibration_no_camera_info_is_asked_for(car, calibration):
    with pytest.raises(BadInput, match="several camera infos: /front_info, /rear_info; say which with --info-topic"):
        FrameReader(car, points_topic="/roof")
    reader = FrameReader(car, points_topic="/roof", calibration=calibration)
    assert reader.topics.camera_info is None and len(list(reader)) == 4
    assert FrameReader(car, points_topic="/roof", info_topic="/rear_info").calibration.K[0, 0] == 90
    assert FrameReader(car, points_topic="/roof", info_topic="/rear_info", calibration=calibration).disagreements


def test_with_a_calibration_an_inspection_asks_for_no_camera_info(car, calibration):
    assert "--info-topic" in inspect(car, points_topic="/roof")["obstacles"][0]["sentence"]
    findings = inspect(car, points_topic="/roof", calibration=calibration)
    assert findings["chosen"] == {"image": "/front_rgb", "camera_info": None, "points": "/roof"}
    assert findings["frames"]["count"] == 4 and not findings["obstacles"]


def test_where_images_are_wanted_no_cloud_is_asked_for(car):
    with pytest.raises(BadInput, match="several point clouds: /bumper, /roof; say which with --points-topic"):
        guess_topics(Bag(car), info_topic="/front_info")
    reader = FrameReader(car, info_topic="/front_info", scans=False)
    assert reader.topics.points is None and all(frame.scan is None for frame in reader)


def test_markings_never_ask_for_a_cloud(car, calibration):
    for reading in ({"info_topic": "/front_info"}, {"calibration": calibration}):
        assert [each.calibration.K[0, 0] for each in labelled(car, **reading)] == [60] * 4
        assert len(list(unlabelled(car, **reading))) == 4
    with pytest.raises(BadInput, match="say which with --info-topic"):  # and are not taken for an uncalibrated camera's
        list(unlabelled(car))


class Told(Exception):
    """With what a recipe was called."""


@pytest.mark.parametrize(("task", "recipe"), [("depth", depth), ("contrast", contrast), ("objects", objects), ("markings", markings)])
def test_every_task_can_be_told_which_camera_info(task, recipe, car, tmp_path, monkeypatch):
    def train(*args, **how):
        raise Told(how)

    monkeypatch.setattr(recipe, "train", train)
    bags = ["--source", str(car), "--target", str(car)] if task == "markings" else ["--bag", str(car), "--points-topic", "/roof"]
    with pytest.raises(Told) as told:
        main(["train", task, *bags, "--out", str(tmp_path / "m"), "--steps", "1", "--info-topic", "/front_info"])
    assert told.value.args[0]["info_topic"] == "/front_info"


def test_one_camera_info_is_not_of_several_cameras(car, tmp_path, capsys):
    assert main(["train", "depth", "--bag", str(car), "--out", str(tmp_path / "m"), "--steps", "1", "--image-topic", "/a", "/b",
                 "--info-topic", "/front_info"]) == 2
    assert "--info-topic: is of one camera, got 2 with --image-topic" in capsys.readouterr().err


def test_drives_are_read_by_the_camera_info_that_was_named(car):
    with pytest.raises(BadInput, match=r"not one point|common|nothing"):  # what the scans show is another matter
        depth.read([car], depth.Config(), points_topic="/roof", info_topic="/front_info")
    with pytest.raises(BadInput, match="say which with --info-topic"):
        depth.read([car], depth.Config(), points_topic="/roof")
