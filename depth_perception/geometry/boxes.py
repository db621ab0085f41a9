"""Boxes of things on the road: what they are called, where their corners are, how much two overlap, and what a network says of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import camera, pose
from depth_perception.geometry import ground as grounds
from depth_perception.geometry.grid import Grid

CLASSES = ("car", "truck", "pedestrian", "cyclist")
# Names that label files and simulators use, in lower case; None: seen, and left out.
NAMES: dict[str, str | None] = {
    "car": "car", "van": "car", "truck": "truck", "bus": "truck", "pedestrian": "pedestrian", "person": "pedestrian",
    "person_sitting": "pedestrian", "cyclist": "cyclist", "dontcare": None, "misc": None, "tram": None,
}
NEAR_M = 0.1  # what of a box is nearer to the camera, or behind it, no image shows
ROAD_M = 0.15  # what is lower in a box is as well the road
# Corners of `Box3D.corners` that an edge lies between.
EDGES = tuple([(i, (i + 1) % 4) for i in range(4)] + [(i + 4, (i + 1) % 4 + 4) for i in range(4)] + [(i, i + 4) for i in range(4)])
CHANNELS = 8  # x and y offset in cells, z in metres above the ground, log length, width, height, sin and cos of yaw


@dataclass(frozen=True, eq=False)
class Box3D:
    """One thing.

    Attributes:
        label: one of CLASSES. score: 0..1; 1 for a label.
        centre: (3,) float64 its middle, metres, body frame.
        size: (3,) float64 length, width, height, metres.
        yaw: radians about z, 0 = its length points ahead (x), rising to the left.
    """

    label: str
    score: float
    centre: np.ndarray
    size: np.ndarray
    yaw: float

    def __post_init__(self) -> None:
        if self.label not in CLASSES:
            raise BadInput(f"box: wanted a class of {', '.join(CLASSES)}, got {self.label!r}")
        centre, size = np.asarray(self.centre, np.float64), np.asarray(self.size, np.float64)
        if centre.shape != (3,) or size.shape != (3,) or not np.isfinite([*centre, *size, self.yaw, self.score]).all() or size.min() <= 0:
            raise BadInput(f"box {self.label}: wanted a finite centre, yaw and score and sizes above 0 m, "
                           f"got centre {centre.tolist()}, size {size.tolist()}, yaw {self.yaw}, score {self.score}")
        object.__setattr__(self, "centre", centre)
        object.__setattr__(self, "size", size)

    def moved(self, T: np.ndarray) -> Box3D:
        """The box in another frame, by (4, 4) T_other_this; it stays upright there."""
        heading = T[:3, :3] @ (np.cos(self.yaw), np.sin(self.yaw), 0.0)
        return replace(self, centre=T[:3, :3] @ self.centre + T[:3, 3], yaw=float(np.arctan2(heading[1], heading[0])))

    def outline(self) -> np.ndarray:
        """(4, 2) x, y of its corners from above: front left, front right, rear right, rear left."""
        ahead, left = np.array([np.cos(self.yaw), np.sin(self.yaw)]), np.array([-np.sin(self.yaw), np.cos(self.yaw)])
        length, width, _ = self.size / 2
        return self.centre[:2] + np.array([ahead * length + left * width, ahead * length - left * width,
                                           -ahead * length - left * width, -ahead * length + left * width])

    def corners(self) -> np.ndarray:
        """(8, 3) its corners: the outline at its foot, then at its top."""
        half = self.size[2] / 2
        return np.concatenate([np.column_stack([self.outline(), np.full(4, self.centre[2] + z)]) for z in (-half, half)])


def class_of(name: str) -> str | None:
    """The class of a label's name; None for what is left out (DontCare, Misc, Tram). BadInput for a name that nobody knows."""
    if name.lower() not in NAMES:
        raise BadInput(f"label {name!r}: wanted one of {', '.join(NAMES)}")
    return NAMES[name.lower()]


def overlap(a: Box3D, b: Box3D) -> float:
    """Intersection over union of two outlines from above, 0..1."""
    middle = a.centre[:2]  # float32 inside OpenCV: near zero it is exact enough
    one, other = ((box.outline() - middle).astype(np.float32) for box in (a, b))
    shared, _ = cv2.intersectConvexConvex(one, other)
    areas = float(np.prod(a.size[:2]) + np.prod(b.size[:2]))
    return float(shared / (areas - shared))


def returns(box: Box3D, points: np.ndarray, *, margin: float = 0.1) -> int:
    """How many of (N, 3) points, metres, lie in a box widened by `margin` metres; the road it stands on is not it."""
    reach = 0.5 * float(np.linalg.norm(box.size)) + margin
    near = points[(np.abs(points[:, 0] - box.centre[0]) < reach) & (np.abs(points[:, 1] - box.centre[1]) < reach)] - box.centre
    c, s = np.cos(box.yaw), np.sin(box.yaw)
    local = np.column_stack([c * near[:, 0] + s * near[:, 1], c * near[:, 1] - s * near[:, 0], near[:, 2]])
    inside = (np.abs(local) <= 0.5 * box.size + margin).all(1) & (local[:, 2] > ROAD_M - 0.5 * box.size[2])
    return int(inside.sum())


def in_view(box: Box3D, calibration: Calibration) -> bool:
    """Whether a box's centre falls into the image of a camera whose place on the body is known."""
    assert calibration.T_base_camera is not None
    pixels, z = camera.project(calibration.K, pose.transform(pose.inverse(calibration.T_base_camera), box.centre[None]))
    return bool(z[0] > 0.5 and 0 <= pixels[0, 0] <= calibration.width - 1 and 0 <= pixels[0, 1] <= calibration.height - 1)


def beside(box: Box3D, calibration: Calibration, *, margin: float = 0.1) -> bool:
    """Whether no part of a box falls into the image, nor so near its edge that a label may err by as much.

    The rectangle around its corners in the image tells, as KITTI's label files draw it: a car that the edge cuts is in the image.
    margin: this share of the image's sides around it still is the image. calibration: its place on the body known.
    """
    assert calibration.T_base_camera is not None
    corners = pose.transform(pose.inverse(calibration.T_base_camera), box.corners())
    seen = corners[corners[:, 2] >= NEAR_M]
    # An edge that passes the camera is seen from where it comes before it.
    cut = [a + (b - a) * (NEAR_M - a[2]) / (b[2] - a[2]) for i, j in EDGES for a, b in [(corners[i], corners[j])]
           if (a[2] < NEAR_M) != (b[2] < NEAR_M)]
    if not len(seen):
        return True
    pixels, _ = camera.project(calibration.K, np.vstack([seen, *cut]))
    sides = np.array([calibration.width, calibration.height])
    return bool((pixels.max(0) < -margin * sides).any() or (pixels.min(0) > sides - 1 + margin * sides).any())


def encode(boxes: Sequence[Box3D], grid: Grid, *, ground: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a network should say of each box whose centre lies on `grid` (the output's, `Grid.coarser(2)`); `decode` takes it back.

    Args:
        ground: (3,) plane that z is above (geometry.ground); None: the body's zero.
    Returns:
        (N,) int64 flat cell, `grid.outside` for the others, and (N, CHANNELS) float32: x and y offset of the centre from the cell's
        corner in cells, z in metres, log length, log width, log height, sin yaw, cos yaw.
    """
    if not boxes:
        return np.zeros(0, np.int64), np.zeros((0, CHANNELS), np.float32)
    centres, sizes = np.stack([box.centre for box in boxes]), np.stack([box.size for box in boxes])
    yaw = np.array([box.yaw for box in boxes])
    row, column = grid.places(centres)
    z = centres[:, 2] - (0.0 if ground is None else grounds.level(ground, centres))
    values = np.column_stack([column - np.floor(column), row - np.floor(row), z, np.log(sizes), np.sin(yaw), np.cos(yaw)])
    return grid.cells(centres), values.astype(np.float32)


def decode(
    cells: np.ndarray, values: np.ndarray, grid: Grid, *, ground: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`encode` backwards: (N,) flat cells and (N, CHANNELS) values -> (N, 3) centres, (N, 3) sizes, metres, and (N,) yaw, float64."""
    values = np.asarray(values, np.float64)
    row, column = np.divmod(cells, grid.columns)
    x = grid.x_m + (column + values[:, 0]) * grid.cell_m
    y = grid.y_m + (row + values[:, 1]) * grid.cell_m
    centres = np.column_stack([x, y, values[:, 2]])
    if ground is not None:
        centres[:, 2] += grounds.level(ground, centres)
    # A network may say anything; a thing is between a few centimetres and a road train.
    return centres, np.exp(np.clip(values[:, 3:6], -3.0, 3.5)), np.arctan2(values[:, 6], values[:, 7])
