"""Odometry: image after image -> where the body is, how fast it moves, and how sure that is. Camera only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depth_perception.frame import Frame, check_ranges, ranged
from depth_perception.geometry import pose
from depth_perception.systems.network_input import focal_ratio, prepare
from depth_perception.systems.scale import Scale

Infer = Callable[..., dict[str, np.ndarray]]

# Body axes (x forward, y left, z up) from optical axes (x right, y down, z forward), REP 103.
T_BODY_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])

# What mirroring x does to axis-angle and translation: turns about y and z, and the way along x, change sign.
MIRROR = np.array([1.0, -1, -1, -1, 1, 1])


@dataclass(frozen=True)
class Config:
    """Attributes:
    max_gap_s: two images farther apart than this are not chained: the motion between them is unknown.
    floor_m, floor_rad: standard deviation of one step that no residual goes below.
    memory: how much of the last residual variance is kept per step (exponential average).
    """

    max_gap_s: float = ranged(1.0, 0.01, 60)
    floor_m: float = ranged(0.01, 1e-6, 1)
    floor_rad: float = ranged(0.0005, 1e-6, 1)
    memory: float = ranged(0.9, 0, 1)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class OdometryOutput:
    """Attributes:
    T_odom_base: (4, 4) body -> odom, metres; odom is the body's pose at the first image.
    twist: (6,) linear m/s and angular rad/s, body frame.
    pose_covariance: (6, 6) x y z roll pitch yaw, odom frame (grows with distance); metres and radians.
    twist_covariance: (6, 6), body frame.
    T_previous_now: (4, 4) camera now -> camera at the previous image, metres.
    base_frame: name of the body frame.
    """

    T_odom_base: np.ndarray
    twist: np.ndarray
    pose_covariance: np.ndarray
    twist_covariance: np.ndarray
    T_previous_now: np.ndarray
    stamp_ns: int
    elapsed_s: float
    base_frame: str


class Odometry:
    """`step(frame, scale)`: the pose network's motion, metric by the depth's scalar, chained.

    The network sees the earlier image first, as in training. It is asked twice: about the two images, and about the two mirrored
    left-right. The mean of both answers is the motion; their disagreement is a residual that needs no truth, and gives the covariance.

    Args:
        infer: `infer(image=earlier, neighbour=later) -> {"pose": (1, 6)}`, axis-angle and translation of T_later_earlier, canonical metres.
    """

    def __init__(self, infer: Infer, *, height: int, width: int, canonical_focal_px: float, config: Config = Config()) -> None:
        self._config = config
        self.use(infer, height=height, width=width, canonical_focal_px=canonical_focal_px)
        self.reset()

    def use(self, infer: Infer, *, height: int, width: int, canonical_focal_px: float) -> None:
        """Takes another network; the chain of poses goes on, the next image starts a new pair."""
        self._infer = infer
        self._height, self._width, self._canonical_focal_px = height, width, canonical_focal_px
        self._previous: tuple[np.ndarray, int] | None = None

    def configure(self, config: Config) -> None:
        """Takes another configuration from the next image on."""
        self._config = config

    def reset(self) -> None:
        """Starts a new odom frame at the next image."""
        self._T_odom_base = np.eye(4)
        self._pose_covariance = np.zeros((6, 6))
        self._twist = np.zeros(6)
        self._residual_variance: np.ndarray | None = None
        self._previous = None

    def step(self, frame: Frame, scale: Scale, network_input: np.ndarray | None = None) -> OdometryOutput | None:
        """One image; None for the first one and after a gap, when there is no motion to speak of.

        network_input: the prepared image if a system has made it already.
        """
        image = prepare(frame.image, height=self._height, width=self._width) if network_input is None else network_input
        previous, self._previous = self._previous, (image, frame.stamp_ns)
        if previous is None:
            return None
        elapsed_s = (frame.stamp_ns - previous[1]) * 1e-9
        if not 0 < elapsed_s <= self._config.max_gap_s:
            # The chain goes on from the same pose, and owns up to what it may have missed: the last speed for as long.
            self._pose_covariance = self._pose_covariance + np.diag((self._twist * elapsed_s) ** 2).clip(0, 1e6)
            return None

        metres = scale.value * focal_ratio(frame.calibration, height=self._height, canonical_focal_px=self._canonical_focal_px)
        T_previous_now, residual = self._motion(image, previous[0], metres)
        calibration = frame.calibration
        T_base_camera = T_BODY_OPTICAL if calibration.T_base_camera is None else calibration.T_base_camera
        T_before_now = T_base_camera @ T_previous_now @ pose.inverse(T_base_camera)
        self._T_odom_base = self._T_odom_base @ T_before_now
        # Rotations drift off the group by rounding; a few thousand products would show.
        self._T_odom_base[:3, :3] = pose.matrix_from_quaternion(pose.quaternion_from_matrix(self._T_odom_base[:3, :3]))

        rotation = pose.log_so3(T_before_now[:3, :3])
        # The body's own velocity, seen from the body now: the step is expressed in the earlier body frame.
        linear = T_before_now[:3, :3].T @ T_before_now[:3, 3]
        self._twist = twist = np.concatenate([linear, rotation]) / elapsed_s
        step_covariance = self._step_covariance(residual, T_base_camera[:3, :3], linear, scale)
        self._pose_covariance = self._grown(self._T_odom_base[:3, :3] @ linear, _rotated(step_covariance, self._T_odom_base[:3, :3]))
        return OdometryOutput(
            self._T_odom_base.copy(),
            twist,
            self._pose_covariance,
            step_covariance / elapsed_s**2,
            T_previous_now,
            frame.stamp_ns,
            elapsed_s,
            calibration.base_frame if calibration.T_base_camera is not None else f"{calibration.frame_id}_body",
        )

    def _motion(self, now: np.ndarray, previous: np.ndarray, metres: float) -> tuple[np.ndarray, np.ndarray]:
        """(4, 4) T_previous_now in metres, and (6,) half the disagreement of image and mirror image (translation, rotation)."""
        seen = self._infer(image=previous, neighbour=now)["pose"][0].astype(np.float64)
        mirrored = (
            self._infer(image=np.ascontiguousarray(previous[..., ::-1]), neighbour=np.ascontiguousarray(now[..., ::-1]))["pose"][0] * MIRROR
        )
        T_seen = pose.inverse(pose.from_rotation_vector(seen[:3], seen[3:] * metres))
        T_mirrored = pose.inverse(pose.from_rotation_vector(mirrored[:3], mirrored[3:] * metres))
        difference = pose.inverse(T_seen) @ T_mirrored
        residual = np.concatenate([difference[:3, 3], pose.log_so3(difference[:3, :3])]) / 2
        return T_seen @ pose.fraction(difference, 0.5), residual

    def _grown(self, moved: np.ndarray, step_covariance: np.ndarray) -> np.ndarray:
        """Pose covariance after a step of `moved` metres (odom frame): an old error of heading turns the new translation."""
        J = np.eye(6)
        x, y, z = moved
        J[:3, 3:] = -np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return J @ self._pose_covariance @ J.T + step_covariance

    def _step_covariance(self, residual: np.ndarray, R_base_camera: np.ndarray, linear: np.ndarray, scale: Scale) -> np.ndarray:
        """(6, 6) covariance of one step in the body frame: residuals averaged over time, floor, and the scale's own doubt."""
        config = self._config
        squared = residual**2
        if self._residual_variance is None:
            self._residual_variance = squared
        self._residual_variance = config.memory * self._residual_variance + (1 - config.memory) * squared
        floor = np.array([config.floor_m] * 3 + [config.floor_rad] * 3) ** 2
        covariance = _rotated(np.diag(self._residual_variance + floor), R_base_camera)
        covariance[:3, :3] += scale.sigma**2 * np.outer(linear, linear)
        return covariance


def _rotated(covariance: np.ndarray, R: np.ndarray) -> np.ndarray:
    """(6, 6) covariance of two 3-vectors, both turned by R."""
    J = np.zeros((6, 6))
    J[:3, :3] = J[3:, 3:] = R
    return J @ covariance @ J.T
