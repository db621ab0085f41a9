"""samples.Drives: what no drive can be is said or left out, and what is ordinary stays as it is."""

import cv2
import numpy as np
import pytest

from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.samples import Drives

K = np.array([[120.0, 0, 99], [0, 120, 48], [0, 0, 1]])
TENTH = 100_000_000


def frames(*, stamps, focal=lambda i: 120.0, size=(100, 200)):
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (size[0], 3 * size[1], 3), np.uint8), (0, 0), 2)
    cloud = np.stack([rng.uniform(-4, 4, 300), rng.uniform(-2, 2, 300), np.full(300, 10.0)], 1).astype(np.float32)
    for i, stamp in enumerate(stamps):
        lens = K * np.array([[focal(i) / 120, 1, 1], [1, focal(i) / 120, 1], [1, 1, 1]])
        yield Frame(wide[:, 3 * i : 3 * i + size[1]], stamp, Calibration(lens, size[1], size[0], T_camera_lidar=np.eye(4)),
                    Scan(cloud, stamp))


def test_a_camera_that_zooms_is_no_one_drive():
    stamps = [i * TENTH for i in range(6)]
    with pytest.raises(BadInput, match=r"bag x: wanted one K in a drive, got fx=120 .* and then fx=240 .*calibration"):
        drives = Drives()
        drives.add(frames(stamps=stamps, focal=lambda i: 240.0 if i >= 3 else 120.0), name="bag x")
    drives = Drives()
    drives.add(frames(stamps=stamps, focal=lambda i: 120.0 + 1e-3 * i))
    assert drives.windows == [(0, i) for i in range(1, 5)], "rounding, as a calibration that is sent in digits has it"


def test_no_window_reaches_across_a_clock_that_jumps_back():
    stamps = [i * TENTH for i in (30, 31, 32, 33, 0, 1, 2, 3)]
    drives = Drives()
    drives.add(frames(stamps=stamps))
    assert [i for _, i in drives.windows] == [1, 2, 5, 6] and drives.dropped == {"beside a gap": 2}
