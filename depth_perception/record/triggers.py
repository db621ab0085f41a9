"""What is worth a snapshot: each trigger sees numbers with their time, and answers with a sentence once something has happened."""

from __future__ import annotations

import math
from dataclasses import dataclass

from depth_perception.frame import check_ranges, ranged


@dataclass(frozen=True)
class Config:
    """Which triggers make a snapshot; 0 or an empty name: not this one.

    Attributes:
    topic: any message on this topic.
    stall_s: a recorded topic that came regularly has stopped for so many seconds.
    motion_topic: nav_msgs/Odometry or sensor_msgs/Imu, for the next two.
    speed_mps: the car is at least so fast, having been slower (Odometry).
    acceleration_mps2: it brakes, speeds up or turns at least so hard (Imu: along x and y; Odometry: from one message to the next).
    residual_topic: the depth node's depth/scale, for the next one.
    novelty_sigma: the share of LiDAR returns that contradict the predicted depth stands out from what it was by so many standard
        deviations: a scene that the network does not know.
    quiet_s: after one of them, the same trigger waits for so long.
    """

    topic: str = ""
    stall_s: float = ranged(0.0, 0, 3600)
    motion_topic: str = "odometry"
    speed_mps: float = ranged(0.0, 0, 200)
    acceleration_mps2: float = ranged(0.0, 0, 1000)
    residual_topic: str = "depth/scale"
    novelty_sigma: float = ranged(0.0, 0, 100)
    quiet_s: float = ranged(5.0, 0, 3600)

    def __post_init__(self) -> None:
        check_ranges(self)


class Rising:
    """Fires when a value reaches a threshold that it was below, or was never seen below."""

    def __init__(self, name: str, unit: str, threshold: float, quiet_s: float) -> None:
        self._name, self._unit, self._threshold, self._quiet_s = name, unit, threshold, quiet_s
        self._above = False
        self._at_s = -math.inf

    def see(self, value: float, at_s: float) -> str | None:
        """A sentence when it fires now. at_s: seconds of a clock that never jumps."""
        before, self._above = self._above, value >= self._threshold
        if not self._above or before or at_s - self._at_s < self._quiet_s:
            return None
        self._at_s = at_s
        return f"{self._name} of {value:.2f} {self._unit}, at least {self._threshold:g}"


class Novelty:
    """Fires when a value stands above its own running mean by so many standard deviations, or by `least` where it hardly varied."""

    _MEMORY, _LEARNED = 0.98, 30  # the last 50 values count most, and so many are seen first

    def __init__(self, sigma: float, quiet_s: float, *, least: float = 0.02) -> None:
        self._sigma, self._quiet_s, self._least = sigma, quiet_s, least
        self._count = 0
        self._mean = self._variance = 0.0
        self._at_s = -math.inf

    def see(self, value: float, at_s: float) -> str | None:
        """A sentence when it fires now; a value that is no number is not seen."""
        if not math.isfinite(value):
            return None
        away = value - self._mean
        far = self._count >= self._LEARNED and away > max(self._sigma * math.sqrt(self._variance), self._least)
        memory = min(self._MEMORY, self._count / (self._count + 1))
        mean = self._mean
        self._count += 1
        self._mean += (1 - memory) * away
        self._variance = memory * (self._variance + (1 - memory) * away**2)
        if not far or at_s - self._at_s < self._quiet_s:
            return None
        self._at_s = at_s
        return f"depth residual of {value:.3f}, where it was {mean:.3f}"


class Acceleration:
    """From speeds (three numbers, m/s, in the body) to how hard the body is accelerated, m/s2; None before the second."""

    _WITHIN_S = 1.0

    def __init__(self) -> None:
        self._last: tuple[tuple[float, float, float], float] | None = None

    def of(self, velocity: tuple[float, float, float], yaw_rate: float, stamp_s: float) -> float | None:
        """velocity m/s, yaw rate rad/s, body frame; the turning of the body counts: v^2 / r is sideways."""
        last, self._last = self._last, (velocity, stamp_s)
        if last is None or not 0 < stamp_s - last[1] <= self._WITHIN_S:
            return None
        dt = stamp_s - last[1]
        forward = (velocity[0] - last[0][0]) / dt - yaw_rate * velocity[1]
        sideways = (velocity[1] - last[0][1]) / dt + yaw_rate * velocity[0]
        return math.hypot(forward, sideways)
