"""Instances of road markings: connected pieces of the mask as polygons and boxes in the image and on the ground (S4-f)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_perception.frame import Calibration
from depth_perception.geometry import polygons, pose, road
from depth_perception.geometry.grid import Grid
from depth_perception.systems.marking_classes import CLASSES
from depth_perception.systems.odometry import T_BODY_OPTICAL

STRIP_M, PAINT_M = 12.0, 16.0  # how far ahead the car's strip of road, and how far paint, tells the road's plane
FIT_ROWS = 96  # a plane needs no more of a depth image

Piece = list[tuple[np.ndarray, np.ndarray]]  # rings as of polygons.contours: corners, and the pixels that they grew from


@dataclass(frozen=True, eq=False)
class Instance:
    """One marking, as far as it is seen in one piece.

    Attributes:
        kind: class id, see marking_classes.CLASSES. confidence: mean over its pixels, 0..1.
        pixels: rings (N, 2) float64 x, y on the pixels' edges, the outer one first, then holes.
        box_px: x, y of the corner, width, height, pixels.
        ground: rings (N, 3) float64 metres on the road, body frame, the outer one first; of a marking that reaches beyond the range what
            lies within, None where nothing does. What falls apart there (lines that meet at the horizon) is an instance each.
        centre, size, yaw: the smallest rectangle around `ground` seen from above: (2,) metres, (2,) length and width, radians.
        area_m2: on the ground; NaN without `ground`.
        odom: `ground` in the odometry frame; None without a pose.
    """

    kind: int
    confidence: float
    pixels: tuple[np.ndarray, ...]
    box_px: tuple[int, int, int, int]
    ground: tuple[np.ndarray, ...] | None = None
    centre: np.ndarray | None = None
    size: np.ndarray | None = None
    yaw: float = 0.0
    area_m2: float = float("nan")
    odom: tuple[np.ndarray, ...] | None = None

    @property
    def name(self) -> str:
        """The class in words."""
        return CLASSES[self.kind]


def body_of(calibration: Calibration) -> np.ndarray:
    """(4, 4) T_base_camera; where nobody knows it, the body's axes in the camera's place."""
    return T_BODY_OPTICAL if calibration.T_base_camera is None else calibration.T_base_camera


def flat_ground(calibration: Calibration, *, ground_z_m: float = 0.0) -> np.ndarray:
    """(3,) n with n . X = 1 for points X of a level road `ground_z_m` over the body's origin, camera frame; zero for a camera below it."""
    T = body_of(calibration)
    depth = ground_z_m - T[2, 3]
    return T[2, :3] / depth if depth < -0.1 else np.zeros(3)


def road_plane(
    calibration: Calibration, depth: np.ndarray | None, mask: np.ndarray | None = None, *, ground_z_m: float = 0.0
) -> np.ndarray:
    """(3,) n of the road, camera frame, 1/metres: fitted to `depth` (H, W) where it is given and shows a road, else level ground.

    mask: (H, W) class ids; paint surely lies on the road."""
    if depth is not None:
        every = max(depth.shape[0] // FIT_ROWS, 1)
        K = calibration.K.copy()
        K[:2] /= every  # of every so-manieth pixel, the first at 0
        coarse = depth[::every, ::every]
        n = road.fit(coarse, K)
        if n[1] > 0.5 * np.linalg.norm(n) > 0:
            return _of_the_lane(n, coarse, K, None if mask is None else mask[::every, ::every])
    return flat_ground(calibration, ground_z_m=ground_z_m)


def _of_the_lane(n: np.ndarray, depth: np.ndarray, K: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The plane n (3,), laid onto paint and onto the strip ahead of the car.

    Kerbs and sidewalks, a hand higher, pull at a plane of everything, and two percents of the camera's height are two percents of every
    distance.
    """
    rows = slice(int(np.clip(K[1, 2], 0, len(depth) - 1)), None)
    z = depth[rows].astype(np.float64)
    x = (np.arange(depth.shape[1]) - K[0, 2]) / K[0, 0]
    y = (np.arange(len(depth))[rows] - K[1, 2]) / K[1, 1]
    aside = np.abs(x * z)
    on = (z > 0) & (aside < road.HALF_WIDTH_M) & (z < STRIP_M)
    if mask is not None:
        on |= (mask[rows] > 0) & (z > 0) & (aside < PAINT_M) & (z < PAINT_M)
    v, u = np.nonzero(on)
    points = np.column_stack([x[u], y[v], np.ones(len(u))]) * z[v, u, None]
    for _ in range(3):
        over = (1 - points @ n) / np.linalg.norm(n)
        near = np.abs(over) < 0.15
        if near.sum() < 50:
            return n
        scale = max(1.5 * float(np.median(np.abs(over[near]))), 0.02)
        weight = near / (1 + (over / scale) ** 2) ** 2
        weighted = points * weight[:, None]
        n = np.linalg.solve(weighted.T @ points + 1e-6 * np.eye(3), weighted.sum(0) + 1e-6 * n)
    return n


def instances(
    mask: np.ndarray,
    confidence: np.ndarray,
    calibration: Calibration,
    *,
    plane: np.ndarray,
    depth: np.ndarray | None = None,
    T_odom_base: np.ndarray | None = None,
    least_px: int = 12,
    reach_m: float = 40.0,
) -> list[Instance]:
    """The markings of a mask (H, W) uint8 of class ids, class by class, large ones first within each.

    Args:
        plane: (3,) n of the road, camera frame.
        depth: (H, W) metres; where there is any, it places a pixel, and the plane only says how the road slopes. Without: the plane places.
        least_px: smaller pieces are noise. reach_m: farther from the camera than this, along its axis, nothing is placed.
    """
    far = _beyond(calibration, plane, depth, reach_m)
    found = []
    for kind in range(1, len(CLASSES)):
        of_kind = (mask == kind).view(np.uint8)
        x, y, width, height = cv2.boundingRect(of_kind)
        if width == 0:
            continue
        pieces = polygons.contours(of_kind[y : y + height, x : x + width])
        for piece in pieces:
            if not _large(piece, least_px):
                continue
            one, inner = _instance(kind, piece, (x, y), of_kind, confidence)
            corner, beyond = one.box_px[:2], far[_window(one.box_px)]
            parts = [(one, _moved(piece, (x, y)))]
            if (beyond & (inner > 0)).any():
                near = [part for part in polygons.contours(np.where(beyond, 0, inner).astype(np.uint8)) if _large(part, least_px)]
                own = [one if len(near) == 1 else _instance(kind, part, corner, of_kind, confidence)[0] for part in near]
                parts = list(zip(own, [_moved(part, corner) for part in near], strict=True)) or [(one, [])]
            found += [_placed(each, rings, calibration, plane, depth, T_odom_base) for each, rings in parts]
    return sorted(found, key=lambda one: (one.kind, -polygons.area(one.pixels)))


def _large(piece: Piece, least_px: int) -> bool:
    return polygons.area([corners for corners, _ in piece]) >= least_px


def _window(box_px: tuple[int, int, int, int]) -> tuple[slice, slice]:
    x, y, width, height = box_px
    return slice(y, y + height), slice(x, x + width)


def _instance(
    kind: int, piece: Piece, corner: tuple[int, int], of_kind: np.ndarray, confidence: np.ndarray
) -> tuple[Instance, np.ndarray]:
    """A piece in the image, and (height, width) uint8, its pixels within its box."""
    rings = tuple(corners + corner for corners, _ in piece)
    sources = piece[0][1] + corner
    low, high = sources.min(0), sources.max(0) + 1
    x, y, width, height = (int(v) for v in (*low, *(high - low)))
    box = (x, y, width, height)
    inner = np.zeros((height, width), np.uint8)
    # With its holes: another piece may lie in one.
    cv2.drawContours(inner, [(pixels + corner - low).astype(np.int32) for _, pixels in piece], -1, 1, cv2.FILLED)
    inner &= of_kind[_window(box)]
    return Instance(kind, float(cv2.mean(confidence[_window(box)], inner)[0]), rings, box), inner


def _beyond(calibration: Calibration, plane: np.ndarray, depth: np.ndarray | None, reach_m: float) -> np.ndarray:
    """(H, W) bool: where the road is farther than `reach_m`, along the camera's axis, or no road is."""
    K = calibration.K
    u = (np.arange(calibration.width) - K[0, 2]) / K[0, 0]
    v = (np.arange(calibration.height) - K[1, 2]) / K[1, 1]
    far = (plane[0] * u)[None] + (plane[1] * v + plane[2])[:, None] <= 1 / reach_m
    return far if depth is None else far | (depth >= reach_m)


def _moved(piece: Piece, corner: tuple[int, int]) -> Piece:
    """What was found in a window, in the image."""
    return [(corners + corner, pixels + corner) for corners, pixels in piece]


def _placed(
    one: Instance,
    rings: Piece,
    calibration: Calibration,
    plane: np.ndarray,
    depth: np.ndarray | None,
    T_odom_base: np.ndarray | None,
) -> Instance:
    """rings: what of it is to be placed."""
    on_road = [on_ground(corners, calibration, plane, depth, pixels) for corners, pixels in rings]
    if not on_road or not all(np.isfinite(ring).all() for ring in on_road):
        return one
    ground = tuple(pose.transform(body_of(calibration), ring) for ring in on_road)
    centre, size, yaw = polygons.smallest_box(ground[0][:, :2])
    odom = None if T_odom_base is None else tuple(pose.transform(T_odom_base, ring) for ring in ground)
    return replace(one, ground=ground, centre=centre, size=size, yaw=yaw, area_m2=abs(polygons.area(ground)), odom=odom)


def on_ground(
    pixels: np.ndarray, calibration: Calibration, plane: np.ndarray, depth: np.ndarray | None = None, sources: np.ndarray | None = None
) -> np.ndarray:
    """(N, 2) pixels, fractions allowed -> (N, 3) metres on the road, camera frame; NaN at and above the horizon.

    depth: (H, W) metres, read at `sources` (N, 2), whole pixels that surely lie on the road; from there to `pixels` the plane leads.
    """
    slant = rays(pixels, calibration.K)
    share = slant @ plane
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(share > 1e-6, 1 / share, np.nan)
        if depth is not None and sources is not None:
            measured = depth[sources[:, 1], sources[:, 0]].astype(np.float64)
            z = np.where(np.isfinite(measured), measured * (rays(sources, calibration.K) @ plane) * z, z)
    return slant * z[:, None]


def rays(pixels: np.ndarray, K: np.ndarray) -> np.ndarray:
    """(N, 2) pixels -> (N, 3) float64 directions with z = 1, camera frame."""
    return np.column_stack([(pixels[:, 0] - K[0, 2]) / K[0, 0], (pixels[:, 1] - K[1, 2]) / K[1, 1], np.ones(len(pixels))])


def seen_from_above(found: list[Instance], grid: Grid) -> np.ndarray:
    """(grid.rows, grid.columns) uint8 class ids in the grid that all bird's-eye views share, body frame; higher ids lie on top."""
    picture = np.zeros((grid.rows, grid.columns), np.uint8)
    for one in sorted(found, key=lambda one: one.kind):
        if one.ground is not None:
            polygons.fill(picture, one.ground, one.kind, corner=(grid.x_m, grid.y_m), cell=grid.cell_m)
    return picture
