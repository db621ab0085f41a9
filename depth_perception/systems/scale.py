"""Metric scale from sparse LiDAR: one scalar per frame, robust, smoothed over time, with its uncertainty.

Nothing but this scalar passes from the LiDAR into the depth image: no spatially varying fit, no copied points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.frame import check_ranges, ranged


@dataclass(frozen=True)
class Config:
    """Attributes:
    min_points: fewer returns than this in the image give no measurement.
    near_m, far_m: returns used, metres.
    inlier_log: |log ratio - its median| below this (or 2.5 robust sigmas, whichever is less) counts as agreement.
    points_per_evidence: errors of neighbouring pixels go together; so many points count as one independent witness.
    drift_per_sqrt_s: how fast the log scale may wander, per square root of a second (random walk).
    prior_sigma: uncertainty of log scale before the first scan: the network's own metric is all there is.
    gate_sigmas: a measurement farther from the state than this is trusted less, in proportion.
    """

    min_points: int = ranged(50, 1, 100_000)
    near_m: float = ranged(2.0, 0, 300)
    far_m: float = ranged(60.0, 1, 1000)
    inlier_log: float = ranged(0.35, 0.01, 3)
    points_per_evidence: float = ranged(100.0, 1, 100_000)
    drift_per_sqrt_s: float = ranged(0.08, 0, 10)
    prior_sigma: float = ranged(0.5, 0.001, 10)
    gate_sigmas: float = ranged(3.0, 0.1, 100)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Scale:
    """Attributes:
    value: metres per network metre.
    sigma: standard deviation of its logarithm (about the relative error).
    inliers: LiDAR returns of the last frame compared that agree with it; 0 when that frame gave no measurement.
    points: LiDAR returns of that frame that were compared.
    """

    value: float
    sigma: float
    inliers: int = 0
    points: int = 0


def measure(network_depth: np.ndarray, lidar_depth: np.ndarray, config: Config) -> tuple[float, float, int, int]:
    """Log scale of one frame from paired depths.

    Args:
        network_depth, lidar_depth: (N,) float, depth z of the same pixels, network metres and metres.
    Returns:
        log scale, its sigma, inliers, points. Sigma is inf when there is nothing to measure.
    """
    usable = (lidar_depth > config.near_m) & (lidar_depth < config.far_m) & (network_depth > 0) & np.isfinite(network_depth)
    points = int(usable.sum())
    if points < config.min_points:
        return 0.0, np.inf, 0, points
    log_ratio = np.log(lidar_depth[usable]) - np.log(network_depth[usable])
    centre = float(np.median(log_ratio))
    spread = 1.4826 * float(np.median(np.abs(log_ratio - centre)))
    inlier = np.abs(log_ratio - centre) <= min(config.inlier_log, max(2.5 * spread, 0.02))
    inliers = int(inlier.sum())
    if inliers < config.min_points:
        return 0.0, np.inf, inliers, points
    sigma = max(spread, 0.01) / np.sqrt(inliers / config.points_per_evidence)
    return float(np.mean(log_ratio[inlier])), float(sigma), inliers, points


class ScaleFilter:
    """A Kalman filter of one number, the logarithm of the scale. `measured`: whether any scan has been compared yet."""

    def __init__(self, config: Config = Config()) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the network's own metric until the next scan."""
        self._log, self._variance = 0.0, self.config.prior_sigma**2
        self._stamp_ns: int | None = None
        self._inliers = self._points = 0
        self.measured = False

    def step(self, network_depth: np.ndarray, lidar_depth: np.ndarray, stamp_ns: int) -> Scale:
        """`predict`, then `compare`."""
        self.predict(stamp_ns)
        return self.compare(network_depth, lidar_depth)

    def predict(self, stamp_ns: int) -> Scale:
        """The scale at a moment, from all comparisons before it; inliers and points are those of the last one."""
        if self._stamp_ns is not None:
            elapsed_s = max(stamp_ns - self._stamp_ns, 0) * 1e-9
            self._variance = min(self._variance + self.config.drift_per_sqrt_s**2 * elapsed_s, self.config.prior_sigma**2)
        self._stamp_ns = stamp_ns
        return self._scale()

    def compare(self, network_depth: np.ndarray, lidar_depth: np.ndarray) -> Scale:
        """Takes one frame's paired depths ((N,) each, may be empty) and gives the scale that they leave behind."""
        config = self.config
        log, sigma, self._inliers, self._points = measure(network_depth, lidar_depth, config)
        if not np.isfinite(sigma):
            return self._scale()
        self.measured = True
        innovation = log - self._log
        expected = np.sqrt(self._variance + sigma**2)
        # An outlying frame (a truck fills the view) is not thrown away, its sigma grows until it is as rare as a 3-sigma one.
        surprise = abs(innovation) / (config.gate_sigmas * expected)
        if surprise > 1:
            sigma *= surprise
        gain = self._variance / (self._variance + sigma**2)
        self._log += gain * innovation
        self._variance *= 1 - gain
        return self._scale()

    def _scale(self) -> Scale:
        return Scale(float(np.exp(self._log)), float(np.sqrt(self._variance)), self._inliers, self._points)
