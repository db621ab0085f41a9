"""The motion between two images from tracked points whose depth is only roughly known.

The depth of every point is an unknown too, with its predicted depth as a prior of so many per cent. Solved for and eliminated in closed
form, it leaves a point worth its pixel noise across its epipolar line, and along it what its prior is worth: wrong depth costs the
length of the step a little, and its rotation and direction nothing. Gauss-Newton; Cauchy weights against moving things and wrong depth.

Points of one plane, the road, share their error: the plane is an unknown like the motion, with a prior of its own. Its height under the
camera gives the step its length, and what is not known of it is owned up to in the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.geometry import pose

# How many standard deviations of a pixel still count, iteration by iteration: wide at first, for the start may be far off.
NARROWING = (8.0, 4.0, 2.0, 1.5, 1.0)
NEAR = (1.0, 1.0, 1.0)  # ... and where the start is known to be near, so that nothing that moves takes it along
ITERATIONS = 12
CONVERGED = 1e-5  # metres and radians
AGREES = 0.25  # the weight from which on a point agrees with the motion
# A point's depth strays no farther from the predicted one than this, and none comes nearer: what would is no standing thing.
FARTHEST_LOG = 2.0
NEAREST_M = 1.0
# Where a plane is seen so flat that it is farther than this, it tells no depth.
FARTHEST_PLANE_M = 200.0


@dataclass(frozen=True, eq=False)
class Expected:
    """What the motion should be before any point is looked at.

    Attributes:
        T: (4, 4) T_now_before, metres.
        information: (6, 6) inverse covariance of translation and rotation, in axes of the camera now.
    """

    T: np.ndarray
    information: np.ndarray


@dataclass(frozen=True, eq=False)
class Plane:
    """What is known of a plane.

    Attributes:
        n: (3,) with n . X = 1 for its points X, camera frame, 1/metres.
        covariance: (3, 3) of n.
    """

    n: np.ndarray
    covariance: np.ndarray

    @staticmethod
    def known(n: np.ndarray, *, height_log: float, tilt: float) -> Plane:
        """A plane known to a relative error of its distance from the camera, and so many radians of tilt either way."""
        along = np.outer(n, n)
        return Plane(n, height_log**2 * along + tilt**2 * (np.eye(3) * (n @ n) - along))


NO_PLANE = Plane(np.zeros(3), np.eye(3))


@dataclass(frozen=True, eq=False)
class Refined:
    """Attributes:
    T: (4, 4) T_now_before, metres.
    covariance: (6, 6) of translation and rotation in axes of the camera now: T exp(error), metres and radians.
    weight: (N,) 0..1, how much each point had to say; moving things and wrong tracks little.
    log_depth: (N,) log metres of each point before, after all.
    plane: the plane before, after all.
    """

    T: np.ndarray
    covariance: np.ndarray
    weight: np.ndarray
    log_depth: np.ndarray
    plane: Plane = NO_PLANE


def project(T: np.ndarray, rays: np.ndarray, log_depth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points before, seen now.

    Args:
        T: (4, 4) T_now_before. rays: (N, 3) directions before, z = 1. log_depth: (N,) log metres.
    Returns:
        (N, 2) x/z, y/z now; (N, 2, 6) their derivatives by a small translation and rotation of the points now; (N, 2) by log depth.
    """
    far = rays @ T[:3, :3].T * np.exp(log_depth)[:, None]
    points = far + T[:3, 3]
    inverse_z = 1 / np.maximum(points[:, 2], NEAREST_M)
    u, v = points[:, 0] * inverse_z, points[:, 1] * inverse_z
    by_motion = np.zeros((len(rays), 2, 6))
    by_motion[:, 0, 0] = by_motion[:, 1, 1] = inverse_z
    by_motion[:, 0, 2], by_motion[:, 1, 2] = -u * inverse_z, -v * inverse_z
    by_motion[:, 0, 3], by_motion[:, 0, 4], by_motion[:, 0, 5] = -u * v, 1 + u * u, -v
    by_motion[:, 1, 3], by_motion[:, 1, 4], by_motion[:, 1, 5] = -1 - v * v, u * v, u
    seen = np.stack([u, v], 1)
    return seen, by_motion, (far[:, :2] - seen * far[:, 2:]) * inverse_z[:, None]


@dataclass(frozen=True, eq=False)
class _Split:
    """Residuals of one linearisation, across and along the epipolar lines: (N,) each, and their (N, 6) derivatives."""

    across: np.ndarray
    along: np.ndarray
    by_across: np.ndarray
    by_along: np.ndarray
    pixel_variance: np.ndarray
    along_variance: np.ndarray
    depth_variance: np.ndarray
    reach: np.ndarray  # how far a unit of log depth moves a point

    @property
    def squared(self) -> np.ndarray:
        """(N,) what no depth explains, in squared standard deviations of a pixel."""
        left = self.along * self.pixel_variance / self.along_variance
        return (self.across**2 + left**2) / self.pixel_variance


def _split(
    T: np.ndarray, rays: np.ndarray, seen: np.ndarray, log_depth: np.ndarray, prior: np.ndarray, pixel: np.ndarray, depth_sigma: np.ndarray
) -> _Split:
    there, by_motion, by_depth = project(T, rays, log_depth)
    back = prior - log_depth
    depth_variance = depth_sigma**2 + back**2  # Cauchy: a prior that is far off counts for less
    residual = seen - there - by_depth * back[:, None]
    reach = np.sqrt((by_depth**2).sum(1))
    along = by_depth / np.maximum(reach, 1e-12)[:, None]
    # Where depth moves nothing (standing still) there is no such line, and any two directions do.
    along[reach < 1e-12] = (1, 0)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    return _Split(
        (across * residual).sum(1),
        (along * residual).sum(1),
        across[:, :1] * by_motion[:, 0] + across[:, 1:] * by_motion[:, 1],
        along[:, :1] * by_motion[:, 0] + along[:, 1:] * by_motion[:, 1],
        pixel**2,
        pixel**2 + depth_variance * reach**2,
        depth_variance,
        reach,
    )


def refine(
    starts: list[np.ndarray],
    rays: np.ndarray,
    seen: np.ndarray,
    log_depth: np.ndarray,
    *,
    pixel: np.ndarray,
    depth_sigma: np.ndarray,
    expected: Expected,
    plane: Plane | None = None,
    on_plane: np.ndarray | None = None,
    say: np.ndarray | None = None,
    narrowing: tuple[float, ...] = NARROWING,
) -> Refined:
    """The motion that explains best where the points went.

    Args:
        starts: (4, 4) T_now_before to start from, metres; the one that explains the points best is taken.
        rays: (N, 3) directions of the points before, z = 1. seen: (N, 2) x/z, y/z now.
        log_depth: (N,) predicted log metres before; depth_sigma: (N,) its standard deviations.
        pixel: (N,) standard deviation of `seen`, at best; more if the points say so.
        expected: a prior of the motion, which keeps few or badly placed points from saying more than they know.
        plane: a plane in the camera's frame before, as it is known by now.
        on_plane: (N,) bool, its points: their depth is the plane's, whatever was predicted, and depth_sigma is what each strays from it.
        say: (N,) how much each counts for, where more than its own noise is to be said of it; 1 each if left out.
        narrowing: NARROWING, or NEAR.
    """
    known = NO_PLANE if plane is None else plane
    held = np.zeros(len(rays), bool) if plane is None or on_plane is None else on_plane
    n, predicted = known.n, log_depth
    prior, by_plane = _on_plane(n, rays, held, predicted)
    log_depth = prior
    T = min(
        starts,
        key=lambda T: float(np.log1p(_split(T, rays, seen, prior, prior, pixel, depth_sigma).squared / narrowing[0] ** 2).sum()),
    )
    noise, plane_information = pixel, np.linalg.inv(known.covariance)
    for step in range(ITERATIONS):
        now = _split(T, rays, seen, log_depth, prior, noise, depth_sigma)
        weight = 1 / (1 + now.squared / narrowing[min(step, len(narrowing) - 1)] ** 2)
        # A plane moves its points along their epipolar lines, as any depth does.
        by_along = np.concatenate([now.by_along, now.reach[:, None] * by_plane], 1)
        A = np.concatenate([np.pad(now.by_across, ((0, 0), (0, 3))), by_along])
        said = weight if say is None else weight * say
        weights = np.concatenate([said / now.pixel_variance, said / now.along_variance])
        residual = np.concatenate([now.across, now.along])
        H, g = (A * weights[:, None]).T @ A, (A * weights[:, None]).T @ residual
        off, G = _departure(expected.T, T)
        H[:6, :6] += G.T @ expected.information @ G
        g[:6] += G.T @ expected.information @ off
        H[6:, 6:] += plane_information
        g[6:] += plane_information @ (known.n - n)
        change = np.linalg.solve(H, g)
        left = now.along - by_along @ change
        n = n + change[6:]
        prior, by_plane = _on_plane(n, rays, held, predicted)
        log_depth = prior + np.clip(now.depth_variance * now.reach * left / now.along_variance, -FARTHEST_LOG, FARTHEST_LOG)
        T = pose.from_rotation_vector(change[3:6], change[:3]) @ T
        if step >= len(narrowing) and np.abs(change).max() < CONVERGED:
            break
        if step >= 2:
            # Blur and haste make all points worse alike: the noise is what those say that agree.
            agree = weight > AGREES
            spread = 1.4826 * float(np.median(np.abs(now.across[agree]) / pixel[agree])) if agree.any() else 1.0
            noise = pixel * float(np.clip(spread, 1.0, 10.0))
    covariance = np.linalg.inv(H)
    return Refined(T, covariance[:6, :6], weight, log_depth, Plane(n, covariance[6:, 6:]))


def _on_plane(n: np.ndarray, rays: np.ndarray, held: np.ndarray, log_depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) log depth, for those `held` by a plane that of the plane, and its (N, 3) derivative by n."""
    share = np.maximum(rays @ n, 1 / FARTHEST_PLANE_M)  # one over depth
    return np.where(held, -np.log(share), log_depth), np.where(held[:, None], -rays / share[:, None], 0.0)


def _departure(T_expected: np.ndarray, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(6,) what is missing from T to what was expected, translation and rotation, and its (6, 6) derivative by a small motion."""
    G = np.eye(6)
    x, y, z = T[:3, 3]
    G[:3, 3:] = -np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.concatenate([T_expected[:3, 3] - T[:3, 3], pose.log_so3(T_expected[:3, :3] @ T[:3, :3].T)]), G
