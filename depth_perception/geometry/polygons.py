"""Polygons on the ground and in the image: contours of masks, areas, boxes, and what lies inside.

A shape is a sequence of rings, (N, 2) arrays that need not repeat their first corner. What an odd number of them encloses is inside.
Outer rings run to the left (anticlockwise where y is up), holes to the right, as GeoJSON (RFC 7946) has it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Rings = Sequence[np.ndarray]
_SHIFT = 5  # fixed-point bits of cv2.fillPoly


def area(rings: Rings) -> float:
    """Signed area: outer rings count, holes are taken off; negative where y points down."""
    return float(sum(_signed(ring) for ring in rings))


def _signed(ring: np.ndarray) -> float:
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1] - ring[0, 1]
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def perimeter(rings: Rings) -> float:
    """Length of all edges."""
    return float(sum(np.linalg.norm(np.roll(ring, -1, 0) - ring, axis=1).sum() for ring in rings))


def inside(rings: Rings, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which of (N, 2) points an odd number of rings encloses."""
    odd = np.zeros(len(points), bool)
    for ring in rings:
        for (xa, ya), (xb, yb) in zip(ring, np.roll(ring, -1, 0), strict=True):
            if ya != yb:
                at = np.flatnonzero((points[:, 1] >= min(ya, yb)) & (points[:, 1] < max(ya, yb)))
                odd[at] ^= points[at, 0] < xa + (points[at, 1] - ya) / (yb - ya) * (xb - xa)
    return odd


def smallest_box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(N, 2) points -> centre (2,), size (2,) length >= width, and yaw of the length in (-pi/2, pi/2], of the smallest rectangle."""
    middle = points.mean(0)
    (x, y), (a, b), degrees = cv2.minAreaRect((points - middle).astype(np.float32))
    yaw = np.deg2rad(degrees) if a >= b else np.deg2rad(degrees + 90)
    yaw = -((-yaw + np.pi / 2) % np.pi - np.pi / 2)
    return middle + np.array([x, y]), np.array([max(a, b), min(a, b)]), float(yaw)


def corners(centre: np.ndarray, size: np.ndarray, yaw: float) -> np.ndarray:
    """(4, 2) corners of a rectangle as of `smallest_box`, running to the left."""
    along, across = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    signs = 0.5 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return centre + signs[:, :1] * size[0] * along + signs[:, 1:] * size[1] * across


def thickness(rings: Rings) -> float:
    """How wide a long shape is: twice the area over the perimeter. A line's width, a square's half edge."""
    return 2 * abs(area(rings)) / max(perimeter(rings), 1e-9)


def contours(mask: np.ndarray, *, coarse_px: float = 0.7) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Connected pieces (8 neighbours) of a (H, W) uint8 mask, each a list of rings, the outer one first, then its holes.

    A ring is (corners (N, 2) float64 x, y on the pixels' outer edge, pixels (N, 2) int64 x, y of the piece from which each corner
    was grown). Rings are simplified by at most `coarse_px`; outer rings have positive area in x right, y down.
    """
    found, levels = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    pieces: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for k, (chain, (_, _, _, outer)) in enumerate(zip(found, levels[0] if levels is not None else (), strict=True)):
        # OpenCV's outer rings run against the clock as seen, its holes with it; reversed, x right and y down make the outer ones positive.
        pixels = cv2.approxPolyDP(chain, coarse_px, True)[::-1, 0].astype(np.int64) if len(chain) > 2 else chain[::-1, 0].astype(np.int64)
        pieces.setdefault(k if outer < 0 else int(outer), []).append(_grown(pixels))
    return list(pieces.values())


def _grown(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A ring through pixel centres -> the ring half a pixel to its right, and which pixel each corner came from."""
    if len(pixels) == 1:
        return pixels + 0.5 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]), np.repeat(pixels, 4, 0)
    step = np.roll(pixels, -1, 0) - pixels
    after = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
    before = np.roll(after, 1, 0)
    right_before, right_after = before[:, ::-1] * [1, -1], after[:, ::-1] * [1, -1]
    together = (right_before * right_after).sum(1, keepdims=True)
    # A mitre where the ring bends; a square cap, two corners, where it turns sharply: the end of a line one pixel wide.
    mitre = (right_before + right_after) / np.maximum(1 + together, 0.3)
    sharp = together < -0.7
    first = np.where(sharp, right_before + before, mitre)
    second = np.where(sharp, right_after - after, mitre)
    corners = (pixels[:, None] + 0.5 * np.stack([first, second], 1)).reshape(-1, 2)
    keep = np.stack([np.ones(len(pixels), bool), sharp[:, 0]], 1).ravel()
    return corners[keep], np.repeat(pixels, 2, 0)[keep]


def fill(picture: np.ndarray, rings: Rings, value: int, *, corner: tuple[float, float], cell: float) -> None:
    """Draws a shape into a (rows, columns) picture; corner: x, y of the first cell's outer corner; cells on its edge are drawn too."""
    scaled = [(ring[:, :2] - corner) / cell - 0.5 for ring in rings]
    fixed = [np.rint(np.clip(ring, -8192, 8192) * 2**_SHIFT).astype(np.int32) for ring in scaled]
    cv2.fillPoly(picture, fixed, value, shift=_SHIFT)
