"""What the benchmarks play in their tests."""

import numpy as np
import pytest
from worlds import CALIBRATION, SIZE, T_BASE_CAMERA, T_BASE_LIDAR, WALL_M, K, scan, true_depth

from depth_perception.bag import Writer, messages
from depth_perception.geometry import camera

START, TENTH = 1_700_000_000_000_000_000, 100_000_000
IMAGES, STEP_M = 24, 0.25


def seen(i):
    """(96, 192, 3) uint8: squares of 30 cm on the road and on the wall, to which the car comes nearer by 25 cm a tenth of a second."""
    depth = true_depth(WALL_M - STEP_M * i)
    x, y, z = np.moveaxis(camera.rays(K, height=SIZE[0], width=SIZE[1]) * depth[..., None], 2, 0)
    on_wall = depth >= WALL_M - STEP_M * i - 1e-3
    cells = np.floor(np.stack([x, np.where(on_wall, y, z + STEP_M * i)]) / 0.3).astype(int) % 64
    return np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)[on_wall.astype(int), cells[0], cells[1]]


@pytest.fixture(scope="session")
def short_bag(tmp_path_factory):
    """24 small images, each with CameraInfo and a scan of road and wall."""
    bag = tmp_path_factory.mktemp("bags") / "short"
    with Writer(bag) as out:
        links = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]
        out.write("/tf_static", messages.transforms(links, stamp_ns=START), START)
        for i in range(IMAGES):
            stamp = START + i * TENTH
            points = messages.points(scan(WALL_M - STEP_M * i, stamp_ns=stamp))
            points.header.frame_id = "lidar"
            out.write("/points", points, stamp)
            out.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
            out.write("/camera/image", messages.image(seen(i), "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
    return bag
