"""A hand-made world with exact answers: a camera 1.5 m over a level road, and a wall across it."""

import numpy as np

from depth_perception.frame import Calibration, Frame, Scan
from depth_perception.geometry import camera, pose
from depth_perception.systems.odometry import T_BODY_OPTICAL

HEIGHT_M, WALL_M = 1.5, 20.0
SIZE = (96, 192)
K = np.array([[120.0, 0, 95.5], [0, 120.0, 40.0], [0, 0, 1]])
T_BASE_CAMERA = pose.from_rotation_vector(np.zeros(3), np.array([0.5, 0.0, HEIGHT_M])) @ T_BODY_OPTICAL
T_BASE_LIDAR = pose.from_rotation_vector(np.array([0, 0, 0.1]), np.array([0.0, 0.0, 1.8]))
CALIBRATION = Calibration(K, SIZE[1], SIZE[0], "camera", T_BASE_CAMERA, pose.inverse(T_BASE_CAMERA) @ T_BASE_LIDAR)


def true_depth(wall_m=WALL_M, *, size=SIZE):
    """(H, W) depth of road and wall."""
    K_size = camera.resize_K(K, from_size=SIZE, to_size=size)
    down = (np.arange(size[0]) - K_size[1, 2]) / K_size[1, 1]
    with np.errstate(divide="ignore"):
        road = np.where(down > 0, HEIGHT_M / down, np.inf)
    return np.broadcast_to(np.minimum(road, wall_m)[:, None], size).astype(np.float32)


def scan(wall_m=WALL_M, *, stamp_ns=0):
    """Returns of road and wall, in the LiDAR's frame."""
    rays = camera.rays(K, height=SIZE[0], width=SIZE[1])
    points = (rays * true_depth(wall_m)[..., None])[::2, ::2].reshape(-1, 3)
    return Scan(pose.transform(pose.inverse(T_BASE_LIDAR) @ T_BASE_CAMERA, points), stamp_ns)


def frame(*, stamp_ns=0, wall_m=WALL_M, with_scan=True, image=None):
    image = np.zeros((*SIZE, 3), np.uint8) if image is None else image
    return Frame(image, stamp_ns, CALIBRATION, scan(wall_m, stamp_ns=stamp_ns) if with_scan else None)
