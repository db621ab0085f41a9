"""Bird's-eye view: depth and scans -> a thinned cloud in the body frame, accumulated along the odometry, and a grid."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from depth_perception.frame import BadInput, Calibration, Frame, check_ranges, ranged
from depth_perception.geometry import camera, grid, lidar, pose
from depth_perception.geometry.ground import plane as ground_plane
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.odometry import T_BODY_OPTICAL, OdometryOutput

UNKNOWN, FREE, OCCUPIED = -1, 0, 100


@dataclass(frozen=True)
class Config:
    """Attributes:
    source: what the cloud is made of: the camera's depth, the LiDAR, or both.
    stride: every how-many-th pixel of the depth image, both ways.
    min_confidence: camera points below are left out.
    max_range_m: distance from the body, on the ground.
    min_range_m: returns nearer to the LiDAR are of the car itself, and left out; 0: none are.
    above_m: points higher than this over the ground are left out (bridges, crowns).
    voxel_m: one point is kept per cube of this edge.
    window: how many past images the cloud remembers, moved by odometry.
    cell_m, ahead_m, behind_m, aside_m: resolution and reach of the grid from the body, metres.
    step_m: a cell whose points rise this far above the ground is occupied.
    """

    source: Literal["camera", "lidar", "both"] = "camera"
    stride: int = ranged(4, 1, 64)
    min_confidence: float = ranged(0.3, 0, 1)
    max_range_m: float = ranged(40.0, 1, 300)
    min_range_m: float = ranged(1.0, 0, 100)
    above_m: float = ranged(4.0, 0.1, 100)
    voxel_m: float = ranged(0.2, 0.01, 10)
    window: int = ranged(5, 1, 200)
    cell_m: float = ranged(0.2, 0.02, 10)
    ahead_m: float = ranged(40.0, 1, 300)
    behind_m: float = ranged(10.0, 0, 300)
    aside_m: float = ranged(20.0, 1, 300)
    step_m: float = ranged(0.4, 0.01, 10)

    def __post_init__(self) -> None:
        if self.source not in ("camera", "lidar", "both"):
            raise BadInput(f"bev source: wanted camera, lidar or both, got {self.source!r}")
        check_ranges(self)

    @property
    def grid(self) -> grid.Grid:
        """The cells around the body, which all views from above share."""
        rows, columns = round(2 * self.aside_m / self.cell_m), round((self.ahead_m + self.behind_m) / self.cell_m)
        return grid.Grid(-self.behind_m, -self.aside_m, self.cell_m, max(rows, 1), max(columns, 1))


@dataclass(frozen=True, eq=False)
class BevOutput:
    """Attributes:
    points: (N, 4) float32 x, y, z in metres, body frame, and confidence 0..1 (LiDAR: 1).
    cells: (rows, columns) int8, rows along y, columns along x: -1 unknown, 0 free, 100 occupied.
    origin: x, y of the grid's corner cell, metres, body frame; cell_m its resolution.
    base_frame: name of the body frame.
    """

    points: np.ndarray
    cells: np.ndarray
    origin: tuple[float, float]
    cell_m: float
    stamp_ns: int
    base_frame: str


class Bev:
    """`step(frame, depth, odometry)`: this moment's points, and those of the last moments moved here."""

    def __init__(self, config: Config = Config()) -> None:
        self._config = config
        self._rays: tuple[bytes, np.ndarray] | None = None
        self._window: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=config.window)

    def configure(self, config: Config) -> None:
        """Takes another configuration from the next image on; the newest moments stay in the window."""
        self._config = config
        self._window = deque(self._window, maxlen=config.window)

    def reset(self) -> None:
        """Forgets the window."""
        self._window.clear()

    def step(self, frame: Frame, depth: DepthOutput, odometry: OdometryOutput | None) -> BevOutput:
        """One image. Without odometry (the first image, a gap) the window starts anew."""
        config = self._config
        calibration = frame.calibration
        T_base_camera = T_BODY_OPTICAL if calibration.T_base_camera is None else calibration.T_base_camera
        here = []
        if config.source in ("camera", "both"):
            here.append(self._camera_points(depth, T_base_camera))
        if config.source in ("lidar", "both") and frame.scan is not None and calibration.T_camera_lidar is not None:
            here.append(self._lidar_points(frame, T_base_camera))
        now = np.concatenate(here) if here else np.zeros((0, 4), np.float32)
        now = now[grid.thin(now[:, :3], voxel=config.voxel_m)]

        if odometry is None:
            self.reset()
            T_odom_base = np.eye(4)
        else:
            T_odom_base = odometry.T_odom_base
        clouds = [now]
        for points, T_odom_then in reversed(self._window):
            moved = points.copy()
            moved[:, :3] = pose.transform(pose.inverse(T_odom_base) @ T_odom_then, points[:, :3])
            clouds.append(moved)
        self._window.append((now, T_odom_base))
        points = np.concatenate(clouds)
        points = points[np.hypot(points[:, 0], points[:, 1]) <= config.max_range_m]
        points = points[grid.thin(points[:, :3], voxel=config.voxel_m)]
        ground = ground_plane(points[:, :3])
        height = points[:, 2] - (ground[0] * points[:, 0] + ground[1] * points[:, 1] + ground[2])
        low = height <= config.above_m
        points, height = points[low], height[low]
        cells = self._cells(points, height)
        return BevOutput(points, cells, (-config.behind_m, -config.aside_m), config.cell_m, frame.stamp_ns, calibration.body_frame)

    def _camera_points(self, depth: DepthOutput, T_base_camera: np.ndarray) -> np.ndarray:
        """(N, 4) body-frame points and confidence of a depth image."""
        s = self._config.stride
        z, confidence = depth.depth[::s, ::s], depth.confidence[::s, ::s]
        rays = self._rays_of(depth.calibration)[::s, ::s]
        keep = np.isfinite(z) & (confidence >= self._config.min_confidence) & (z <= self._config.max_range_m)
        points = np.empty((int(keep.sum()), 4), np.float32)
        points[:, :3] = pose.transform(T_base_camera, rays[keep] * z[keep][:, None])
        points[:, 3] = confidence[keep]
        return points

    def _lidar_points(self, frame: Frame, T_base_camera: np.ndarray) -> np.ndarray:
        """(N, 4) body-frame points of a scan, confidence 1."""
        assert frame.scan is not None
        config, seen = self._config, frame.scan.points
        points = np.ones((len(seen), 4), np.float32)
        points[:, :3] = pose.transform(T_base_camera, lidar.in_camera(frame.scan, frame.calibration))
        off_the_car = np.einsum("ni,ni->n", seen, seen) >= config.min_range_m**2
        return points[off_the_car & (np.hypot(points[:, 0], points[:, 1]) <= config.max_range_m)]

    def _rays_of(self, calibration: Calibration) -> np.ndarray:
        key = calibration.K.tobytes() + bytes(f"{calibration.width}x{calibration.height}", "ascii")
        if self._rays is None or self._rays[0] != key:
            self._rays = (key, camera.rays(calibration.K, height=calibration.height, width=calibration.width))
        return self._rays[1]

    def _cells(self, points: np.ndarray, height: np.ndarray) -> np.ndarray:
        """(rows, columns) int8 occupancy from points and their height over the ground."""
        config = self._config
        shape = config.grid.rows, config.grid.columns
        index, inside = grid.cells(points, origin=(-config.behind_m, -config.aside_m), cell=config.cell_m, shape=shape)
        out = np.full(shape[0] * shape[1], UNKNOWN, np.int8)
        out[index[inside]] = FREE
        out[index[inside & (height > config.step_m)]] = OCCUPIED
        return out.reshape(shape)
