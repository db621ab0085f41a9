"""Corners of one image found again in the next."""

from __future__ import annotations

import cv2
import numpy as np

# Half a search window and a bit: nearer to the border a window looks past the image.
MARGIN_PX = 8


def corners(grey: np.ndarray, *, far: int, near: int, horizon: float) -> np.ndarray:
    """(N, 2) float32 pixels x, y of the strongest corners, well apart (Shi and Tomasi 1994).

    The parts above and below the horizon are searched by themselves, each with thresholds of its own: the road has little texture
    and would be left empty beside trees and houses. Found at half resolution, which is as good a place to track from as any.

    Args:
        grey: (H, W) uint8.
        far, near: at most so many above the horizon, and below it.
        horizon: row that parts them, pixels.
    """
    shrink = 2 if grey.shape[0] > 300 and grey.shape[1] > 2 * MARGIN_PX else 1
    small = cv2.resize(grey, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA) if shrink > 1 else grey
    split = int(np.clip(horizon / shrink, 0, small.shape[0]))
    found: list[np.ndarray] = [np.zeros((0, 2), np.float32)]
    for top, part, count, quality in ((0, small[:split], far, 0.003), (split, small[split:], near, 0.001)):
        if min(part.shape) > 2 * MARGIN_PX:
            points = cv2.goodFeaturesToTrack(part, count, quality, 5, blockSize=3)
            if points is not None:
                found.append(points.reshape(-1, 2) + np.array([0, top], np.float32))
    # Pixel centres lie at integers.
    return (np.concatenate(found) * shrink + (shrink - 1) / 2).astype(np.float32)


def follow(
    before: np.ndarray,
    after: np.ndarray,
    points: np.ndarray,
    guess: np.ndarray,
    *,
    window: int = 13,
    levels: int = 3,
    back_px: float = 0.3,
) -> tuple[np.ndarray, np.ndarray]:
    """Where corners of one image lie in the next (Lucas-Kanade in a pyramid, forwards and back again).

    Args:
        before, after: (H, W) uint8 of one size.
        points, guess: (N, 2) float32 pixels before, and where to start looking after.
        back_px: a point that on its way back comes out farther than this from where it started is lost.
    Returns:
        (N, 2) float32 pixels after, and the (N,) mask of those that were found, inside the image.
    """
    if len(points) == 0:
        return np.zeros((0, 2), np.float32), np.zeros(0, bool)
    guess = np.where(np.isfinite(guess), guess, points).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.02)
    size, known = (window, window), cv2.OPTFLOW_USE_INITIAL_FLOW
    there, seen, _ = cv2.calcOpticalFlowPyrLK(before, after, points, guess, winSize=size, maxLevel=levels, criteria=stop, flags=known)
    # The way back starts where it should end, so the image itself will do, without its pyramid.
    back, seen_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, points.copy(), winSize=size, maxLevel=0, criteria=stop, flags=known)
    farthest = np.array([after.shape[1], after.shape[0]]) - 1 - MARGIN_PX
    inside = ((there >= MARGIN_PX) & (there <= farthest)).all(1)
    found = (seen[:, 0] > 0) & (seen_back[:, 0] > 0) & inside & (np.linalg.norm(back - points, axis=1) < back_px)
    return there, found


def on_ground(
    before: np.ndarray,
    after: np.ndarray,
    outline: np.ndarray,
    homography: np.ndarray,
    *,
    count: int,
    window: int = 15,
    back_px: float = 0.3,
) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a piece of ground, and where they lie in the next image.

    The next image is first warped to what the last one should have been: what is on the ground keeps its shape however fast the car is,
    and asphalt too, which has hardly a corner, can be followed.

    Args:
        before, after: (H, W) uint8 of one size.
        outline: (k, 2) pixels around the ground before.
        homography: (3, 3) predicted, of pixels of the ground before to those after.
        count: at most so many.
    Returns:
        (N, 2) float64 pixels before and after, of those that were found.
    """
    height, width = before.shape
    nothing = np.zeros((0, 2)), np.zeros((0, 2))
    first = np.clip(np.floor(outline.min(0)).astype(int) - 3 * MARGIN_PX, 0, [width, height])
    last = np.clip(np.ceil(outline.max(0)).astype(int) + 3 * MARGIN_PX, 0, [width, height])
    if (last - first).min() < 4 * MARGIN_PX:
        return nothing
    ground = np.ascontiguousarray(before[first[1] : last[1], first[0] : last[0]])
    mask = np.zeros(ground.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(outline - first).clip(-(2**15), 2**15).astype(np.int32)], 255)
    mask[:MARGIN_PX], mask[-MARGIN_PX:], mask[:, :MARGIN_PX], mask[:, -MARGIN_PX:] = 0, 0, 0, 0
    found = cv2.goodFeaturesToTrack(ground, count, 0.004, 5, mask=mask, blockSize=5)
    if found is None:
        return nothing
    points = found.reshape(-1, 2)
    there = homography @ np.array([[1, 0, first[0]], [0, 1, first[1]], [0, 0, 1.0]])
    warped = cv2.warpPerspective(after, there, ground.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    moved, tracked = follow(ground, warped, points, points.copy(), window=window, levels=2, back_px=back_px)
    points, moved = points[tracked].astype(np.float64), moved[tracked].astype(np.float64)
    landed = np.concatenate([moved, np.ones((len(moved), 1))], 1) @ there.T
    landed = landed[:, :2] / landed[:, 2:]
    inside = ((landed >= MARGIN_PX) & (landed <= np.array([width, height]) - 1 - MARGIN_PX)).all(1)
    return (points + first)[inside], landed[inside]
