"""Pictures of what is seen from above: features in colours, boxes over the camera and over the cloud, and pairs of the two sides.

All images are (H, W, 3) uint8 RGB; seen from above, ahead is up and left is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from depth_perception.frame import Calibration
from depth_perception.geometry import camera, pose
from depth_perception.geometry.boxes import EDGES, Box3D
from depth_perception.geometry.grid import Grid

COLOURS = {"car": (60, 160, 255), "truck": (150, 110, 255), "pedestrian": (255, 90, 70), "cyclist": (255, 200, 40)}
TRUE = (255, 255, 255)
NEAR_M = 0.2


@dataclass(frozen=True, eq=False)
class Colours:
    """Directions that make colours of features: fitted once, the same colour means the same feature in every picture.

    Attributes:
        mean: (C,), directions: (3, C), low and high: (3,) where dark and bright are.
    """

    mean: np.ndarray
    directions: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, *maps: np.ndarray) -> Colours:
        """The three directions of most variance of some (C, R, S) maps; cells that are all zero (out of view) have no say."""
        rows = np.concatenate([m.reshape(len(m), -1).T for m in maps]).astype(np.float64)
        rows = rows[np.abs(rows).max(1) > 0]
        if len(rows) == 0:
            rows = np.zeros((1, len(maps[0])))
        mean = rows.mean(0)
        _, directions = np.linalg.eigh((rows - mean).T @ (rows - mean))
        directions = directions[:, ::-1][:, :3].T
        directions = np.pad(directions, ((0, 3 - len(directions)), (0, 0)))
        # An eigenvector's sign is nobody's: its largest part points up.
        largest = directions[np.arange(3), np.abs(directions).argmax(1)]
        directions = directions * np.where(largest < 0, -1, 1)[:, None]
        shares = (rows - mean) @ directions.T
        low, high = np.quantile(shares, [0.02, 0.98], axis=0)
        return cls(mean, directions, low, np.maximum(high, low + 1e-9))

    def paint(self, features: np.ndarray, *, enlarge: int = 6) -> np.ndarray:
        """(C, R, S) -> (S * enlarge, R * enlarge, 3): a cell is a square, black where all is zero."""
        rows = features.reshape(len(features), -1).T.astype(np.float64)
        share = ((rows - self.mean) @ self.directions.T - self.low) / (self.high - self.low)
        colours = (np.clip(share, 0, 1) * 215 + 40).astype(np.uint8)
        colours[np.abs(rows).max(1) == 0] = 0
        return _turned(colours.reshape(*features.shape[1:], 3), enlarge)


def features_picture(features: np.ndarray, *, enlarge: int = 6) -> np.ndarray:
    """(C, R, S) features from above in colours of their own (PCA)."""
    return Colours.of(features).paint(features, enlarge=enlarge)


def over_camera(image: np.ndarray, calibration: Calibration, boxes: Sequence[Box3D], *, true: Sequence[Box3D] = ()) -> np.ndarray:
    """Boxes over their image, in the colour of their class, true ones thin and white; the front has a cross.

    calibration: of the image, its place on the body known. What lies behind the camera is cut off.
    """
    out = np.ascontiguousarray(image).copy()
    assert calibration.T_base_camera is not None
    T_camera_base = pose.inverse(calibration.T_base_camera)
    for box, colour, width in _drawn(boxes, true):
        corners = pose.transform(T_camera_base, box.corners())
        for i, j in [*EDGES, (0, 5), (1, 4)]:
            ends = _before(corners[i], corners[j])
            if ends is not None:
                pixels, _ = camera.project(calibration.K, ends)
                _line(out, pixels, colour, width)
        ahead = corners[corners[:, 2] > NEAR_M]
        if len(ahead) == 8 and colour != TRUE:
            pixels, _ = camera.project(calibration.K, ahead)
            _write(out, f"{box.label} {box.score:.2f}", (int(pixels[:, 0].min()), int(pixels[:, 1].min()) - 3), colour)
    return out


def over_cloud(points: np.ndarray, boxes: Sequence[Box3D], grid: Grid, *, true: Sequence[Box3D] = (), pixel_m: float = 0.1) -> np.ndarray:
    """(N, 3) points and boxes, body frame, from above, as far as `grid` reaches: points by height, boxes with a nose."""
    size = round(grid.columns * grid.cell_m / pixel_m), round(grid.rows * grid.cell_m / pixel_m)
    out = np.full((*size, 3), 16, np.uint8)
    place = _Place(grid, pixel_m)
    if len(points):
        pixels = np.floor(place(points[:, :2])).astype(np.int64)
        inside = ((pixels >= 0) & (pixels < [size[1], size[0]])).all(1)
        order = np.flatnonzero(inside)[np.argsort(points[inside, 2], kind="stable")]
        low = np.quantile(points[:, 2], 0.05)
        index = (np.clip((points[order, 2] - low) / 3.0, 0, 1) * 195 + 60).astype(np.uint8)
        if len(index):
            out[pixels[order, 1], pixels[order, 0]] = cv2.applyColorMap(index[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    for box, colour, width in _drawn(boxes, true):
        corners = place(box.outline())
        nose = place(box.centre[None, :2])[0], place((box.outline()[:2].mean(0))[None])[0]
        for i, j in EDGES[:4]:
            _line(out, np.stack([corners[i], corners[j]]), colour, width)
        _line(out, np.stack(nose), colour, width)
    return out


def over_features(
    features: np.ndarray, boxes: Sequence[Box3D], grid: Grid, *, colours: Colours | None = None, enlarge: int = 6
) -> np.ndarray:
    """Features in colours with boxes over them; grid: that of the features, boxes in its body frame."""
    out = np.ascontiguousarray((colours or Colours.of(features)).paint(features, enlarge=enlarge))
    place = _Place(grid, grid.cell_m / enlarge)
    for box in boxes:
        corners = place(box.outline())
        for i, j in EDGES[:4]:
            _line(out, np.stack([corners[i], corners[j]]), TRUE, 1)
    return out


def pairs_picture(image: np.ndarray, pixels: np.ndarray, points: np.ndarray, at: np.ndarray, grid: Grid, *, right: np.ndarray | None = None,
                  most: int = 24) -> np.ndarray:
    """Targets of an image beside the same targets in the cloud from above, a line and a colour for each pair (S3 claims 8, 9).

    Args:
        image: (H, W, 3) RGB; pixels: (M, 2) x, y of the targets in it.
        points: (N, 3) the cloud, at: (M, 3) the targets in it, body frame, metres. grid: what is shown of it.
        right: (M,) bool whether the nearest cloud target was found for it: others are drawn red; None: each has its own colour.
        most: so many are drawn, spread evenly.
    """
    above = over_cloud(points, (), grid)
    zoom = above.shape[0] / image.shape[0]
    image = cv2.resize(image, (round(image.shape[1] * zoom), above.shape[0]), interpolation=cv2.INTER_LINEAR)
    out = np.concatenate([image, above], 1)
    chosen = np.unique(np.linspace(0, len(pixels) - 1, min(most, len(pixels))).astype(int)) if len(pixels) else np.zeros(0, int)
    here, there = pixels * zoom, _Place(grid, 0.1)(at[:, :2]) + np.array([image.shape[1], 0])
    for n, i in enumerate(chosen):
        hue = np.array([[[n * 180 // max(len(chosen), 1), 200, 255]]], np.uint8)
        own = tuple(int(v) for v in cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0])
        colour = own if right is None else (60, 220, 90) if right[i] else (255, 60, 50)
        _line(out, np.stack([here[i], there[i]]), colour, 1)
        for end in (here[i], there[i]):
            cv2.circle(out, tuple(int(v) for v in np.rint(end)), 3, colour, 1, cv2.LINE_AA)
    return out


class _Place:
    """(N, 2) metres -> (N, 2) pixels x, y of a picture from above."""

    def __init__(self, grid: Grid, pixel_m: float) -> None:
        self._left = grid.y_m + grid.rows * grid.cell_m
        self._top = grid.x_m + grid.columns * grid.cell_m
        self._pixel_m = pixel_m

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        return np.column_stack([(self._left - xy[:, 1]) / self._pixel_m, (self._top - xy[:, 0]) / self._pixel_m])


def _turned(cells: np.ndarray, enlarge: int) -> np.ndarray:
    """(rows along y, columns along x, 3) -> x up, y left."""
    turned = np.ascontiguousarray(cells.transpose(1, 0, 2)[::-1, ::-1])
    return cv2.resize(turned, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_NEAREST)


def _drawn(boxes: Sequence[Box3D], true: Sequence[Box3D]) -> list[tuple[Box3D, tuple[int, int, int], int]]:
    return [(box, TRUE, 1) for box in true] + [(box, COLOURS[box.label], 2) for box in boxes]


def _before(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(2, 3) the part of an edge that lies before the camera, or None."""
    if a[2] > b[2]:
        a, b = b, a
    if b[2] <= NEAR_M:
        return None
    if a[2] < NEAR_M:
        a = a + (b - a) * (NEAR_M - a[2]) / (b[2] - a[2])
    return np.stack([a, b])


def _line(out: np.ndarray, ends: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    a, b = np.rint(np.clip(ends, -1e4, 1e4)).astype(int).tolist()
    cv2.line(out, a, b, colour, width, cv2.LINE_AA)


def _write(out: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
