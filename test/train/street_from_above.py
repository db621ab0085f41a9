"""A street of posts and a board whose colours say where they are, and tiny configurations that learn from it."""

from dataclasses import replace

import numpy as np

from depth_perception.frame import Calibration, Frame, Scan
from depth_perception.geometry import camera, pose
from depth_perception.geometry.boxes import Box3D
from depth_perception.geometry.grid import Grid

WIDTH, HEIGHT = 192, 96
K = np.array([[120.0, 0, 95.5], [0, 120, 47.5], [0, 0, 1]])
T_BASE_CAMERA = np.array([[0, 0, 1.0, 1.0], [-1, 0, 0, 0.2], [0, -1, 0, 1.6], [0, 0, 0, 1]])
T_BASE_LIDAR = np.array([[1.0, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 1.8], [0, 0, 0, 1]])
GRID = Grid(0.0, -12.8, 0.8, 32, 32)
CAR = Box3D("car", 1.0, np.array([12.0, 1.5, 0.75]), np.array([4.0, 1.8, 1.5]), 0.3)
WALKER = Box3D("pedestrian", 1.0, np.array([8.0, -2.0, 0.9]), np.array([0.6, 0.6, 1.8]), 0.0)
BEHIND = Box3D("car", 1.0, np.array([-12.0, 1.5, 0.75]), np.array([4.0, 1.8, 1.5]), 0.0)


def calibration(turned_deg: float = 0.0) -> Calibration:
    """The camera; turned: how far it looks to the left."""
    T = pose.from_rotation_vector(np.array([0, 0, np.radians(turned_deg)]), np.zeros(3)) @ T_BASE_CAMERA
    return Calibration(K, WIDTH, HEIGHT, T_base_camera=T, T_camera_lidar=pose.inverse(T) @ T_BASE_LIDAR)


def returns() -> np.ndarray:
    """(N, 3) float32 points in the body frame: ground, posts 0.1 m thick on a lattice, and what stands on the road."""
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform(-20, 25, 6000), rng.uniform(-14, 14, 6000), np.zeros(6000)])
    posts = [np.column_stack([np.full(40, x), np.full(40, y), np.linspace(0.1, 2.5, 40)]) for x in range(5, 24, 3) for y in (-7, -4, 4, 7)]
    things = []
    for box in (CAR, WALKER, BEHIND):
        local = rng.uniform(-0.5, 0.5, (200, 3)) * box.size
        c, s = np.cos(box.yaw), np.sin(box.yaw)
        things.append(box.centre + np.column_stack([c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1], local[:, 2]]))
    return np.concatenate([ground, *posts, *things]).astype(np.float32)


def image(points: np.ndarray, place: Calibration) -> np.ndarray:
    """(H, W, 3) uint8: red says the column, green the row; where a post or a thing is seen, a bright dot in blue."""
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    out[..., 0], out[..., 1] = np.arange(WIDTH), 2 * np.arange(HEIGHT)[:, None]
    high = points[points[:, 2] > 0.05]
    pixels, z = camera.project(K, pose.transform(pose.inverse(place.T_base_camera), high))
    u, v = np.rint(pixels).astype(int).T
    inside = (z > 0.5) & (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
    out[v[inside], u[inside], 2] = 255
    return out


def frames(count: int = 8, *, turned_deg: float = 0.0, scan: bool = True, cloud: np.ndarray | None = None):
    """The same street, again and again."""
    place, points = calibration(turned_deg), returns() if cloud is None else cloud
    if turned_deg:
        points = pose.transform(pose.from_rotation_vector(np.array([0, 0, np.radians(turned_deg)]), np.zeros(3)), points).astype(np.float32)
    seen = image(points, place)
    in_lidar = pose.transform(pose.inverse(T_BASE_LIDAR), points).astype(np.float32)
    for i in range(count):
        yield Frame(seen, i * 10**8, place, Scan(in_lidar, i * 10**8) if scan else None)


def boxes(frame: Frame, number: int):
    """What stands in a frame."""
    return (CAR, WALKER, BEHIND)


def tiny(config):
    """A configuration of `train contrast` or `train objects` that a test can afford."""
    from depth_perception.networks.bev_cloud import BevCloudConfig
    from depth_perception.networks.bev_image import BevImageConfig
    from depth_perception.train.fit import FitConfig

    depths = (2.0, 4.0, 6.0, 9.0, 13.0, 19.0, 28.0)
    image = BevImageConfig(channels=(4, 4, 6, 6, 6), width=8, wider=(8,), depths=depths, grid=GRID, embedding=16)
    cloud = BevCloudConfig(stem=4, width=8, wider=(8,), deeper=(1, 1), grid=GRID, embedding=16)
    sizes = {"height": 64, "width": 128, "canonical_focal_px": 80.0, "fit": FitConfig(threads=1, device="cpu", learning_rate=0.01)}
    if hasattr(config, "network"):
        network = replace(config.network, image=image, cloud=cloud, grid=GRID, depths=depths, head=8)
        return replace(config, **sizes, network=network)
    return replace(config, **sizes, image=image, cloud=cloud, samples=replace(config.samples, targets=24))
