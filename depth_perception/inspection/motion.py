"""How the car moved: path, speed, standing and turning, from whatever the bag knows it by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from depth_perception.bag import Bag
from depth_perception.bag.poses import Poses
from depth_perception.decode import stamp_ns
from depth_perception.frame import BadInput
from depth_perception.geometry.pose import FrameTree

IMU = "sensor_msgs/msg/Imu"
STANDING_M_S = 0.2
STANDING_PX = 0.25  # corners that shift less between two images: samples.SampleConfig.min_flow_px
SPEED_EDGES = (0.0, STANDING_M_S, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0)
_STEP_S = 0.2
_MOST_POINTS = 300
_IMU_RATE = 100.0


@dataclass
class Steps:
    """Motion measured from one message to the next: stamps (ns) of both, and metres, radians to the left (NaN = unknown) between them."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    metres: list[float] = field(default_factory=list)
    radians: list[float] = field(default_factory=list)
    pixels: list[float] = field(default_factory=list)

    def add(self, start: int, end: int, *, metres: float = np.nan, radians: float = np.nan, pixels: float = np.nan) -> None:
        """One step."""
        self.starts.append(start)
        self.ends.append(end)
        self.metres.append(metres)
        self.radians.append(radians)
        self.pixels.append(pixels)

    def heading(self, origin_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Stamps, seconds after the origin, and the heading there, radians; NaN parts stretches that do not join."""
        stamps: list[int] = []
        heading: list[float] = []
        now = 0.0
        for start, end, turn in zip(self.starts, self.ends, self.radians, strict=True):
            if not stamps or start != stamps[-1] or not np.isfinite(turn):
                stamps += [start - 1, start]
                heading += [np.nan, now]
            if np.isfinite(turn):
                now += turn
                stamps.append(end)
                heading.append(now)
        order = np.argsort(stamps, kind="stable")
        return (np.array(stamps, np.int64)[order] - origin_ns) * 1e-9, np.array(heading)[order]


def by_poses(found: Poses, *, start_ns: int) -> dict[str, Any]:
    """From poses of the car, whole drive."""
    assert found.stamps_ns is not None
    stamps = (found.stamps_ns - found.stamps_ns[0]) * 1e-9
    positions, heading = found.poses[:, :3, 3], headings(found)
    count = max(int(stamps[-1] / _STEP_S), 1)
    at = np.linspace(0, stamps[-1], count + 1)
    there = np.stack([np.interp(at, stamps, positions[:, k]) for k in range(3)], 1)
    metres = np.linalg.norm(np.diff(there, axis=0), axis=1)
    turns = np.diff(np.interp(at, stamps, heading))
    offset = (int(found.stamps_ns[0]) - start_ns) * 1e-9
    return _summary(found.source, at[:-1] + offset, np.maximum(np.diff(at), 1e-9), metres, turns, share=1.0)


def by_steps(source: str, steps: Steps, *, start_ns: int, duration_s: float) -> dict[str, Any] | None:
    """From measured steps; what they measured of the drive stands for all of it. None with hardly any."""
    starts, ends = (np.array(v, np.int64) for v in (steps.starts, steps.ends))
    metres, turns, pixels = np.array(steps.metres), np.array(steps.radians), np.array(steps.pixels)
    known = np.isfinite(metres) | np.isfinite(pixels)
    if known.sum() < 3:
        return None
    spans = np.maximum((ends - starts) * 1e-9, 1e-3)
    share = min(float(spans[known].sum()) / max(duration_s, 1e-3), 1.0)
    at = (starts - start_ns) * 1e-9
    return _summary(source, at[known], spans[known], metres[known], turns[known], share=share, pixels=pixels[known])


def _summary(source: str, at: np.ndarray, spans: np.ndarray, metres: np.ndarray, turns: np.ndarray, *, share: float,
             pixels: np.ndarray | None = None) -> dict[str, Any]:
    has_metres = np.isfinite(metres).any()
    speed = metres / spans
    stands = speed < STANDING_M_S if has_metres else np.array(pixels) < STANDING_PX
    rates = np.rad2deg(turns / spans)
    kept = slice(None, None, -(-len(at) // _MOST_POINTS))
    known = np.isfinite(rates)
    return {
        "source": source, "share_measured": share, "standing_share": float(np.average(stands, weights=spans)),
        "path_m": float(np.nansum(metres) / share) if has_metres else None,
        "speed_m_s": None if not has_metres else {
            "mean": float(np.nansum(metres) / spans.sum()), "max": float(np.nanquantile(speed, 0.99)),
            "edges": list(SPEED_EDGES), "seconds": np.histogram(speed, [*SPEED_EDGES, np.inf], weights=spans)[0].tolist()},
        "turned_deg": float(np.rad2deg(np.nansum(np.abs(turns))) / share) if known.any() else None,
        "turning_deg_s": float(np.quantile(np.abs(rates[known]), 0.99)) if known.any() else None,
        "series": {"at_s": at[kept].tolist(), "speed_m_s": _plain(speed[kept]), "turning_deg_s": _plain(rates[kept])}}


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def headings(found: Poses) -> np.ndarray:
    """(N,) radians, unwrapped: how far each pose is turned to the left, about the first pose's up (its down for a camera's poses)."""
    axis = np.array([0, -1.0, 0]) if found.frame == "camera" else np.array([0, 0, 1.0])
    forward = np.array([0, 0, 1.0]) if found.frame == "camera" else np.array([1.0, 0, 0])
    R = found.poses[0, :3, :3].T @ found.poses[:, :3, :3]
    ahead = R @ forward
    return np.unwrap(np.arctan2(ahead @ np.cross(axis, forward), ahead @ forward))


def imu_turns(bag: Bag, topic: str, tree: FrameTree, base_frame: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Stamps (ns) and heading (radians) by an IMU's turning rate; level where TF does not know how it is mounted. None: too few."""
    stamps: list[int] = []
    rates: list[float] = []
    up = np.array([0, 0, 1.0])
    for _, type_name, _, raw in bag.messages([topic]):
        try:
            message = bag.decode(type_name, raw)
        except BadInput:
            continue
        stamp = stamp_ns(message.header)
        if stamps and not stamp - stamps[-1] >= 0.9e9 / _IMU_RATE:
            continue
        if not stamps and (T := tree.between(base_frame, message.header.frame_id)) is not None:
            up = T[2, :3]
        w = message.angular_velocity
        stamps.append(stamp)
        rates.append(float(up @ [w.x, w.y, w.z]))
    if len(stamps) < 4:
        return None
    steps = np.diff(stamps) * 1e-9
    return np.array(stamps, np.int64), np.concatenate([[0.0], np.cumsum(steps * (np.array(rates[:-1]) + rates[1:]) / 2)])
