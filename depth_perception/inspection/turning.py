"""How fast the car turns, as the camera sees it: corners followed from one image to the next, and the two views' epipolar geometry."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.geometry import camera, pose, rest, tracking

_WIDTH = 640
_CORNERS = 250
_LEAST = 25
_STEPS = (4.0, 2.0, 1.0, 1.0, 1.0, 1.0)  # pixels that still count, iteration by iteration
# How far the direction of travel may lie from straight ahead, radians: between turning and travelling sideways, images hardly tell.
_SIDEWAYS = 0.1


class Turning:
    """Call it with one image after the other.

    up: (3,) the car's up in the camera frame; ahead: (3,) its forward in it.
    """

    def __init__(self, *, up: np.ndarray, ahead: np.ndarray) -> None:
        self._up, self._ahead = up, ahead
        self._before: np.ndarray | None = None

    def __call__(self, image: np.ndarray, K: np.ndarray) -> tuple[float, float]:
        """(H, W, 3) uint8 and its K -> radians the car turned to the left since the image before, and the corners' median shift in
        pixels of that image; NaN for what cannot be told."""
        height, width = image.shape[:2]
        scale = min(_WIDTH / width, 1.0)
        grey = cv2.cvtColor(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        K = camera.resize_K(K, from_size=(height, width), to_size=grey.shape)
        before, self._before = self._before, grey
        if before is None or before.shape != grey.shape:
            return float("nan"), float("nan")
        points = tracking.corners(before, far=_CORNERS, near=_CORNERS, horizon=K[1, 2])
        there, found = tracking.follow(before, grey, points, points.copy(), levels=4)
        points, there = points[found].astype(np.float64), there[found].astype(np.float64)
        if len(points) < _LEAST:
            return float("nan"), float("nan")
        shift = float(np.median(np.linalg.norm(there - points, axis=1))) / scale
        T = rotation_between(rays(points, K), rays(there, K), pixel=1 / K[0, 0], ahead=self._ahead)
        # T_now_before turns the world the other way than the car turns.
        return float(-pose.log_so3(T[:3, :3]) @ self._up), shift

    def forget(self) -> None:
        """The next image has no neighbour before it."""
        self._before = None


def rays(pixels: np.ndarray, K: np.ndarray) -> np.ndarray:
    """(N, 2) pixels -> (N, 3) directions, z = 1."""
    return np.concatenate([(pixels - K[:2, 2]) / [K[0, 0], K[1, 1]], np.ones((len(pixels), 1))], 1)


def rotation_between(before: np.ndarray, now: np.ndarray, *, pixel: float, ahead: np.ndarray) -> np.ndarray:
    """Directions (N, 3) each, z = 1 -> (4, 4) T_now_before without translation.

    The rotation that explains most of the picture begins; then rotation and direction of travel together bring the points to their
    epipolar lines (Sampson's distance, Cauchy's weights), the direction held near `ahead`, so that a standing car has one too.
    """
    T, _ = rest.rotation(before, now[:, :2], pixel=np.full(len(before), pixel))
    R, t = T[:3, :3].copy(), -ahead / np.linalg.norm(ahead)
    side = np.linalg.svd(t[None])[2][1:]  # the two directions in which t may move
    moved = np.zeros(2)
    for step in _STEPS:
        turned = before @ R.T
        t_now = _unit(t + moved @ side)
        lines = np.cross(t_now, turned)
        error, gradient = _sampson(lines, now)
        weight = 1 / (1 + (error / gradient / (step * pixel)) ** 2) ** 2 / (gradient * pixel) ** 2 * rest.votes(before)
        # d (now . t x R x) by a small rotation w on the left, and by t.
        by_w = np.cross(turned, np.cross(now, t_now))
        by_t = np.cross(turned, now) @ side.T
        A = np.concatenate([by_w, by_t], 1)
        weighted = A * weight[:, None]
        prior = np.diag([1e-6, 1e-6, 1e-6, 1 / _SIDEWAYS**2, 1 / _SIDEWAYS**2])
        delta = np.linalg.solve(weighted.T @ A + prior, -weighted.T @ error - prior @ [0, 0, 0, *moved])
        R, moved = pose.exp_so3(delta[:3]) @ R, moved + delta[3:]
    T[:3, :3] = R
    return T


def _sampson(lines: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) now . line, and what turns it into a distance."""
    return (lines * now).sum(1), np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-6)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
