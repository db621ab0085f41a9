"""The drive's thread with made-up systems, inputs and outputs: to which body TF is sent, and since when."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from worlds import T_BASE_CAMERA, frame

from depth_perception.bag import messages
from depth_perception.nodes.input_config import Config as InputConfig
from depth_perception.nodes.perception_config import Config
from depth_perception.nodes.sensor_geometry import SensorGeometry
from depth_perception.nodes.worker import GUESS_STANDS_S, Worker
from depth_perception.systems.odometry import OdometryOutput
from depth_perception.systems.scale import Scale

SECOND = 10**9
CAMERA = ("camera_link", "camera", T_BASE_CAMERA)
CAR = ("chassis", "camera_link", np.eye(4))
BASE_LINK = ("base_link", "camera_link", np.eye(4))


class Drive:
    """Stands in for the systems: odometry that stays where it is."""

    depth = None

    def step(self, seen):
        self.frame, none = seen, np.zeros((6, 6))
        yield OdometryOutput(np.eye(4), np.zeros(6), none, none, np.eye(4), seen.stamp_ns, 0.1, seen.calibration.body_frame)


class Outputs:
    """Stands in for the publishers; somebody listens to everything."""

    def __init__(self):
        self.bodies, self.published = [], Counter()

    def send(self, name, message):
        self.published[name] += 1
        if name == "tf":
            self.bodies.append(message().transforms[0].child_frame_id)
        return True


def bodies(told, **given):
    """What TF a drive sends for each of `told`: (seconds of the node's clock, links of TF static that have come by then); and why not."""
    geometry, outputs, notes = SensorGeometry(InputConfig(**given)), Outputs(), []
    geometry.info = messages.camera_info(frame().calibration, stamp_ns=1)
    sent, now = [], {"ns": 0}
    node = SimpleNamespace(get_clock=lambda: SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=now["ns"])))

    def frames():
        for i, (seconds, links) in enumerate(told):
            now["ns"] = round(seconds * SECOND)
            if links:
                geometry.add_transforms(messages.transforms(links, stamp_ns=1))
            before = len(outputs.bodies)
            yield replace(frame(stamp_ns=i), calibration=geometry.calibration()[0]), 0.0, 0.0
            sent.append(outputs.bodies[-1] if len(outputs.bodies) > before else None)
            notes.extend(worker.notes)

    images = frames()
    source = SimpleNamespace(next=lambda: next(images, None), served=lambda: None, scan_ms=None)
    worker = Worker(node, Config, scale=Scale(1.0, 0.1))
    worker.start(Drive(), source, outputs, [])
    worker.stop()
    assert outputs.published["odometry"] == len(told), "the odometry itself is never held back"
    return sent, notes


def test_a_body_that_is_named_is_on_tf_at_once():
    assert bodies([(7.0, [BASE_LINK, CAMERA]), (7.1, [])]) == (["base_link"] * 2, [])
    assert bodies([(7.0, [CAR, CAMERA]), (7.1, [])], base_frame="chassis") == (["chassis"] * 2, [])
    assert bodies([(7.0, []), (7.1, [])]) == (["camera_body"] * 2, []), "a frame of our own, which nobody else's TF knows"


def test_a_guessed_body_is_on_tf_when_the_guess_has_stood():
    times = [7.0, 8.0, 7.0 + GUESS_STANDS_S, 7.1 + GUESS_STANDS_S]
    sent, notes = bodies([(seconds, [CAR, CAMERA] * (seconds == 7.0)) for seconds in times])
    assert sent == [None, None, "chassis", "chassis"]
    sentence, again = notes
    assert sentence == again
    assert "odom -> chassis" in sentence and "input.base_frame" in sentence


def test_tf_static_that_comes_piece_by_piece_is_never_cut_in_two():
    """The camera's driver is first; for a moment its camera_link is the topmost frame of all."""
    sent, _ = bodies([(7.0, [CAMERA]), (8.9, []), (9.0, [BASE_LINK]), (9.1, [])])
    assert sent == [None, None, "base_link", "base_link"]
    sent, _ = bodies([(7.0, [CAMERA]), (8.9, [CAR]), (10.8, []), (8.9 + GUESS_STANDS_S, [])])
    assert sent == [None, None, None, "chassis"], "another guess waits anew"


def test_a_clock_that_jumps_back_waits_anew_and_not_for_its_old_time():
    sent, _ = bodies([(100.0, [CAR, CAMERA]), (102.0, []), (1.0, []), (2.0, []), (3.0, [])])
    assert sent == [None, "chassis", None, None, "chassis"]
