"""Rigid motions: SE(3), quaternions, and a static tree of frames."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.frame import BadInput

MANY = 2000  # points; fewer are one thread's work to BLAS, too


def from_rotation_vector(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(3,) axis-angle in radians and (3,) translation in metres -> (4, 4) T (Rodrigues)."""
    T = np.eye(4)
    T[:3, :3] = exp_so3(np.asarray(rotation, np.float64))
    T[:3, 3] = translation
    return T


def exp_so3(rotation: np.ndarray) -> np.ndarray:
    """(3,) axis-angle in radians -> (3, 3) rotation."""
    angle = float(np.linalg.norm(rotation))
    x, y, z = rotation
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-8:
        return np.eye(3) + skew + 0.5 * skew @ skew
    return np.eye(3) + np.sin(angle) / angle * skew + (1 - np.cos(angle)) / angle**2 * skew @ skew


def log_so3(R: np.ndarray) -> np.ndarray:
    """(3, 3) rotation -> (3,) axis-angle in radians, angle in [0, pi]."""
    x, y, z, w = quaternion_from_matrix(R)
    v = np.array([x, y, z])
    n = float(np.linalg.norm(v))
    if n < 1e-12:
        return 2.0 * v
    return v / n * (2.0 * np.arctan2(n, w))


def quaternion_from_matrix(R: np.ndarray) -> np.ndarray:
    """(3, 3) rotation -> (4,) unit quaternion x, y, z, w with w >= 0."""
    m = np.asarray(R, np.float64)
    # The largest of the four squared components is chosen, so that the division is always well conditioned.
    squared = np.array([1 + m[0, 0] - m[1, 1] - m[2, 2], 1 - m[0, 0] + m[1, 1] - m[2, 2],
                        1 - m[0, 0] - m[1, 1] + m[2, 2], 1 + m[0, 0] + m[1, 1] + m[2, 2]])
    k = int(squared.argmax())
    rows = (
        (squared[0], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]),
        (m[0, 1] + m[1, 0], squared[1], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]),
        (m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squared[2], m[1, 0] - m[0, 1]),
        (m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squared[3]),
    )
    q = np.array(rows[k])
    q /= np.linalg.norm(q)
    return q if q[3] >= 0 else -q


def matrix_from_quaternion(q: np.ndarray) -> np.ndarray:
    """(4,) quaternion x, y, z, w (any norm > 0) -> (3, 3) rotation; BadInput for a zero or non-finite one."""
    q = np.asarray(q, np.float64)
    n = float(np.linalg.norm(q))
    if not np.isfinite(n) or n < 1e-6:
        raise BadInput(f"quaternion: wanted a rotation, got {q.tolist()}")
    x, y, z, w = q / n
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])


def from_quaternion(translation: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """(3,) metres and (4,) x, y, z, w -> (4, 4) T."""
    T = np.eye(4)
    T[:3, :3] = matrix_from_quaternion(quaternion)
    T[:3, 3] = translation
    return T


def inverse(T: np.ndarray) -> np.ndarray:
    """(..., 4, 4) T_b_a -> (..., 4, 4) T_a_b."""
    R = np.swapaxes(T[..., :3, :3], -1, -2)
    out = np.zeros_like(T, dtype=np.float64)
    out[..., :3, :3] = R
    out[..., :3, 3] = -(R @ T[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1.0
    return out


def fraction(T: np.ndarray, share: float) -> np.ndarray:
    """The part `share` of a small motion at constant velocity: rotation by axis-angle, translation linearly."""
    return from_rotation_vector(log_so3(T[:3, :3]) * share, T[:3, 3] * share)


def transform(T: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(4, 4) T_b_a, (..., 3) points in a -> (..., 3) points in b, of the points' dtype."""
    if points.dtype == np.float32 and points.ndim == 2 and len(points) >= MANY:
        # A matrix product waits for BLAS's threads: 0.4 ms for a scan on an idle machine, 40 ms where the cores have other work.
        return cv2.transform(points[None], T[:3])[0]
    T = T.astype(points.dtype)
    return points @ T[:3, :3].T + T[:3, 3]


class FrameTree:
    """A tree of named frames that do not move relative to each other (TF static).

    `add(parent, child, T_parent_child)` then `between(target, source)` -> T_target_source.
    """

    def __init__(self) -> None:
        self._parent: dict[str, tuple[str, np.ndarray]] = {}

    def add(self, parent: str, child: str, T_parent_child: np.ndarray) -> None:
        """Adds or replaces the link above `child`; BadInput if that would close a loop."""
        parent, child = parent.lstrip("/"), child.lstrip("/")
        above: str | None = parent
        while above is not None:
            if above == child:
                raise BadInput(f"TF static: {parent} -> {child} closes a loop")
            above = self._parent[above][0] if above in self._parent else None
        self._parent[child] = (parent, np.asarray(T_parent_child, np.float64))

    def __contains__(self, frame: str) -> bool:
        frame = frame.lstrip("/")
        return frame in self._parent or any(parent == frame for parent, _ in list(self._parent.values()))

    def root(self, frame: str) -> str:
        """The topmost frame above `frame`."""
        frame = frame.lstrip("/")
        while frame in self._parent:
            frame = self._parent[frame][0]
        return frame

    def between(self, target: str, source: str) -> np.ndarray | None:
        """(4, 4) T_target_source, or None when the tree does not connect the two."""
        root_t, T_root_t = self._to_root(target.lstrip("/"))
        root_s, T_root_s = self._to_root(source.lstrip("/"))
        return inverse(T_root_t) @ T_root_s if root_t == root_s else None

    def gap(self, target: str, source: str) -> str | None:
        """One sentence on what is not connected, or None when the tree connects the two."""
        if self.root(target) == self.root(source):
            return None
        return f"TF does not connect {self._place(target)} with {self._place(source)}"

    def _place(self, frame: str) -> str:
        frame = frame.lstrip("/")
        root = self.root(frame)
        return f"{frame} ({f'under {root}' if root != frame else 'no parent' if frame in self else 'unknown to TF'})"

    def _to_root(self, frame: str) -> tuple[str, np.ndarray]:
        T = np.eye(4)
        while frame in self._parent:
            frame, T_parent_child = self._parent[frame]
            T = T_parent_child @ T
        return frame, T
