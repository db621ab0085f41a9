"""pairing="nearest": a frame finds its scan however fast the LiDAR is, and no more scans are kept than a second of them."""

import numpy as np
import pytest

from depth_perception.bag import FrameReader, Writer, messages
from depth_perception.bag.frames import _Nearest
from depth_perception.frame import Calibration, Frame, Scan

MS = 1_000_000
CAMERA = Calibration(np.array([[100.0, 0, 31], [0, 100, 23], [0, 0, 1]]), 64, 48, "camera")
POINTS = np.ones((5, 3), np.float32)


@pytest.mark.parametrize("late_ms", [0, 90, 190, 600])
def test_an_image_that_is_logged_late_finds_the_scan_of_its_own_time(tmp_path, late_ms):
    """A LiDAR of 100 Hz, images of 5 Hz."""
    rows = [("/points", messages.points(Scan(POINTS, i * 10 * MS, frame_id="lidar")), i * 10 * MS) for i in range(1, 250)]
    for stamp in range(200 * MS, 1800 * MS, 200 * MS):
        image = messages.image(np.zeros((48, 64, 3), np.uint8), "rgb8", stamp_ns=stamp, frame_id="camera")
        rows += [("/camera_info", messages.camera_info(CAMERA, stamp_ns=stamp), stamp), ("/image", image, stamp + late_ms * MS + 1)]
    with Writer(tmp_path / "bag") as bag:
        for topic, message, log_ns in sorted(rows, key=lambda row: row[2]):
            bag.write(topic, message, log_ns)
    frames = list(FrameReader(tmp_path / "bag", pairing="nearest"))
    assert len(frames) == 8 and [frame.scan.stamp_ns - frame.stamp_ns for frame in frames] == [0] * 8


def kept(*, step_ms, count=2000, log_step_ms=None):
    pairs = _Nearest(150 * MS)
    for i in range(count):
        pairs.add(Scan(POINTS, i * step_ms * MS), i * (step_ms if log_step_ms is None else log_step_ms) * MS)
    pairs.put(Frame(np.zeros((48, 64, 3), np.uint8), count * step_ms * MS, CAMERA), count * step_ms * MS)
    return len(pairs._scans)


def test_what_is_kept_is_bounded():
    assert kept(step_ms=100) == 11 and kept(step_ms=1000) == 10 and kept(step_ms=10) == 101
    assert kept(step_ms=0) <= 256 and kept(step_ms=1) <= 256, "a recorder or a LiDAR without a clock"
    assert kept(step_ms=0, log_step_ms=100) == 11, "a LiDAR without a clock"
