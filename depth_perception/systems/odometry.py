"""Odometry: image after image -> where the body is, how fast it moves, and how sure that is.

The motion is the camera's alone. A scan, where there is one, says how long a metre is: by the depth's scalar and by the plane of the road.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from depth_perception.frame import Calibration, Frame, check_ranges, ranged
from depth_perception.geometry import pose
from depth_perception.systems import refinement
from depth_perception.systems.network_input import focal_ratio, prepare
from depth_perception.systems.scale import Scale

Infer = Callable[..., dict[str, np.ndarray]]
PAIR, TRIPLET = ("image", "neighbour"), ("before", "image", "neighbour")  # inputs of a pose network, earliest image first

# Body axes (x forward, y left, z up) from optical axes (x right, y down, z forward), REP 103.
T_BODY_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])

# What mirroring x does to axis-angle and translation: turns about y and z, and the way along x, change sign.
MIRROR = np.array([1.0, -1, -1, -1, 1, 1])


@dataclass(frozen=True)
class Config:
    """Attributes:
    max_gap_s: two images farther apart than this are not chained: the motion between them is unknown.
    floor_m, floor_rad: standard deviation of one step of the network alone that no residual goes below.
    network_length: relative error of such a step's length, which the network makes the same way in the mirror image.
    memory: how much of the last residual variance is kept per step (exponential average).
    refine: the network's motion is only the start, and corners tracked from image to image settle it wherever there are enough.
    refinement: how corners are tracked and what they are taken for.
    """

    max_gap_s: float = ranged(1.0, 0.01, 60)
    floor_m: float = ranged(0.01, 1e-6, 1)
    floor_rad: float = ranged(0.004, 1e-6, 1)
    network_length: float = ranged(0.2, 0, 1)
    memory: float = ranged(0.9, 0, 1)
    refine: bool = True
    refinement: refinement.Config = field(default_factory=refinement.Config)

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
    refined: whether corners settled the motion, or the network alone had to.
    belated: of the image before, where only this one told its motion: at a chain's third image, by a triplet.
    """

    T_odom_base: np.ndarray
    twist: np.ndarray
    pose_covariance: np.ndarray
    twist_covariance: np.ndarray
    T_previous_now: np.ndarray
    stamp_ns: int
    elapsed_s: float
    base_frame: str
    refined: bool = False
    belated: tuple[OdometryOutput, ...] = ()


@dataclass(frozen=True, eq=False)
class _Seen:
    """An image of the chain: as the network sees it (1, 3, h, w), and as corners are tracked in it."""

    image: np.ndarray
    stamp_ns: int
    calibration: Calibration
    scale: Scale
    view: refinement.View | None


class Odometry:
    """`step(frame, scale, depth=...)`: the pose network's motion, refined on tracked corners and their predicted depth, chained.

    Metric by the depth's scalar. The network sees the earlier image first, as in training. Where corners abound its answer is only where
    the refinement starts, and the corners' residuals give the covariance. Where they do not (night, fog, a wall ahead), or without depth,
    the network is asked again, about the images mirrored left-right: the mean of both answers is the motion, and their disagreement
    is a residual that needs no truth.

    A triplet (S5, [0084]) is asked about the last three images, and its last answer is the motion. The first two images of a chain, or
    after a gap, are too few for it: the second one's motion is not known until the third, when both answers are chained, one after the
    other. So nothing is asked that the network was not trained on, and no step of the path is lost.

    Args:
        infer: `infer(image=earlier, neighbour=later) -> {"pose": (1, 6)}`, axis-angle and translation of T_later_earlier, canonical metres.
            Where it has `inputs` and "before" is one of them, `infer(before=, image=, neighbour=)` -> (1, 2, 6), of both steps.
    """

    def __init__(self, infer: Infer, *, height: int, width: int, canonical_focal_px: float, config: Config = Config()) -> None:
        self._config = config
        self._refinement = refinement.Refinement(config.refinement)
        self.use(infer, height=height, width=width, canonical_focal_px=canonical_focal_px)
        self.reset()

    def use(self, infer: Infer, *, height: int, width: int, canonical_focal_px: float) -> None:
        """Takes another network, of either form; the chain of poses goes on, the next image starts a new pair or triplet."""
        self._infer = infer
        self._inputs = TRIPLET if "before" in getattr(infer, "inputs", ()) else PAIR
        self._height, self._width, self._canonical_focal_px = height, width, canonical_focal_px
        self._seen: list[_Seen] = []

    def configure(self, config: Config) -> None:
        """Takes another configuration from the next image on."""
        self._config = config
        self._refinement.configure(config.refinement)

    def reset(self) -> None:
        """Starts a new odom frame at the next image."""
        self._T_odom_base = np.eye(4)
        self._pose_covariance = np.zeros((6, 6))
        self._twist = np.zeros(6)
        self._residual_variance: np.ndarray | None = None
        self._seen = []
        self._refinement.reset()

    def step(
        self,
        frame: Frame,
        scale: Scale,
        network_input: np.ndarray | None = None,
        depth: np.ndarray | None = None,
        road: np.ndarray | None = None,
    ) -> OdometryOutput | None:
        """One image; None when there is no motion to speak of yet: for the first one and after a gap, with a triplet for two of them.

        network_input: the prepared image if a system has made it already.
        depth: (h, w) metres of this image, of any size; without it nothing is refined.
        road: (3,) n with n . X = 1 on the road, camera frame, where a scan showed it (`Depth.road`); the ruler of the steps from here.
        """
        refining = self._config.refine and depth is not None
        view = self._refinement.view(frame.image, frame.calibration, depth, road) if refining and depth is not None else None
        image = prepare(frame.image, height=self._height, width=self._width) if network_input is None else network_input
        now = _Seen(image, frame.stamp_ns, frame.calibration, scale, view)
        known = len(self._seen) == len(self._inputs)  # whether the motion up to the last image is
        if not self._seen or not 0 < (now.stamp_ns - self._seen[-1].stamp_ns) * 1e-9 <= self._config.max_gap_s:
            if self._seen:
                # The chain goes on from the same pose, and owns up to what it may have missed: the last speed for as long.
                missed_s = (now.stamp_ns - self._seen[-1 if known else 0].stamp_ns) * 1e-9
                self._pose_covariance = self._pose_covariance + np.diag((self._twist * missed_s) ** 2).clip(0, 1e6)
            self._seen = [now]
            self._refinement.start(view)
            return None
        self._seen = [*self._seen, now][-len(self._inputs) :]
        if len(self._seen) < len(self._inputs):
            return None
        answers = self._answers()
        *belated, output = [self._chained(step, answers[step]) for step in range(len(answers) - 1 if known else 0, len(answers))]
        return replace(output, belated=tuple(belated))

    def _chained(self, step: int, T_previous_now: np.ndarray) -> OdometryOutput:
        """Refines and chains one of the steps between the images seen, from the network's answer to it."""
        previous, now = self._seen[step : step + 2]
        elapsed_s = (now.stamp_ns - previous.stamp_ns) * 1e-9
        refined = self._refinement.step(now.view, elapsed_s=elapsed_s, T_previous_now=T_previous_now)
        if refined is None:
            T_previous_now, camera_covariance = self._agreed(T_previous_now, self._answers(mirrored=True)[step])
        else:
            T_previous_now, camera_covariance = refined
        calibration = now.calibration
        T_base_camera = T_BODY_OPTICAL if calibration.T_base_camera is None else calibration.T_base_camera
        T_before_now = T_base_camera @ T_previous_now @ pose.inverse(T_base_camera)
        self._T_odom_base = self._T_odom_base @ T_before_now
        # Rotations drift off the group by rounding; a few thousand products would show.
        self._T_odom_base[:3, :3] = pose.matrix_from_quaternion(pose.quaternion_from_matrix(self._T_odom_base[:3, :3]))

        rotation = pose.log_so3(T_before_now[:3, :3])
        # The body's own velocity, seen from the body now: the step is expressed in the earlier body frame.
        linear = T_before_now[:3, :3].T @ T_before_now[:3, 3]
        self._twist = twist = np.concatenate([linear, rotation]) / elapsed_s
        step_covariance = self._step_covariance(camera_covariance, T_base_camera, linear, now.scale)
        self._pose_covariance = self._grown(self._T_odom_base[:3, :3] @ linear, _rotated(step_covariance, self._T_odom_base[:3, :3]))
        return OdometryOutput(
            self._T_odom_base.copy(),
            twist,
            self._pose_covariance,
            step_covariance / elapsed_s**2,
            T_previous_now,
            now.stamp_ns,
            elapsed_s,
            calibration.body_frame,
            refined is not None,
        )

    def _answers(self, *, mirrored: bool = False) -> list[np.ndarray]:
        """(4, 4) T_previous_now in metres of each step between the images seen, as the network sees it.

        mirrored: as it sees the mirror images, told as of the images.
        """
        images = [np.ascontiguousarray(seen.image[..., ::-1]) if mirrored else seen.image for seen in self._seen]
        motions = self._infer(**dict(zip(self._inputs, images, strict=True)))["pose"].reshape(-1, 6).astype(np.float64)
        if mirrored:
            motions = motions * MIRROR
        out = []
        for motion, now in zip(motions, self._seen[1:], strict=True):
            metres = now.scale.value * focal_ratio(now.calibration, height=self._height, canonical_focal_px=self._canonical_focal_px)
            out.append(pose.inverse(pose.from_rotation_vector(motion[:3], motion[3:] * metres)))
        return out

    def _agreed(self, T_seen: np.ndarray, T_mirrored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the network's answer and its mirrored one, (4, 4), and its (6, 6) covariance by their disagreement over time."""
        difference = pose.inverse(T_seen) @ T_mirrored
        squared = (np.concatenate([difference[:3, 3], pose.log_so3(difference[:3, :3])]) / 2) ** 2
        if self._residual_variance is None:
            self._residual_variance = squared
        memory = self._config.memory
        self._residual_variance = memory * self._residual_variance + (1 - memory) * squared
        floor = np.array([self._config.floor_m] * 3 + [self._config.floor_rad] * 3) ** 2
        T = T_seen @ pose.fraction(difference, 0.5)
        covariance = np.diag(self._residual_variance + floor)
        covariance[:3, :3] += self._config.network_length**2 * np.outer(T[:3, 3], T[:3, 3])
        return T, covariance

    def _grown(self, moved: np.ndarray, step_covariance: np.ndarray) -> np.ndarray:
        """Pose covariance after a step of `moved` metres (odom frame): an old error of heading turns the new translation."""
        J = np.eye(6)
        J[:3, 3:] = -_cross(moved)
        return J @ self._pose_covariance @ J.T + step_covariance

    def _step_covariance(self, camera_covariance: np.ndarray, T_base_camera: np.ndarray, linear: np.ndarray, scale: Scale) -> np.ndarray:
        """(6, 6) covariance of one step in the body frame, from that of the camera's, T exp(error), and the scale's own doubt."""
        J = np.zeros((6, 6))
        J[:3, :3] = J[3:, 3:] = T_base_camera[:3, :3]
        # The camera sits on a lever: where it turns, the body moves. And a step is told in the frame that it ends in.
        J[:3, 3:] = (_cross(T_base_camera[:3, 3]) + _cross(linear)) @ T_base_camera[:3, :3]
        covariance = J @ camera_covariance @ J.T
        covariance[:3, :3] += scale.sigma**2 * np.outer(linear, linear)
        return covariance


def _rotated(covariance: np.ndarray, R: np.ndarray) -> np.ndarray:
    """(6, 6) covariance of two 3-vectors, both turned by R."""
    J = np.zeros((6, 6))
    J[:3, :3] = J[3:, 3:] = R
    return J @ covariance @ J.T


def _cross(v: np.ndarray) -> np.ndarray:
    """(3, 3) matrix of the cross product with v."""
    x, y, z = v
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
