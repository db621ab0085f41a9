"""All systems on one frame, in the order they need each other. The node and the offline evaluation both run this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.geometry import deskew as deskewing
from depth_perception.geometry import pose
from depth_perception.systems.bev import Bev, BevOutput
from depth_perception.systems.depth import Depth, DepthOutput
from depth_perception.systems.odometry import T_BODY_OPTICAL, Odometry, OdometryOutput

JUMP_NS = 1_000_000_000
SAME_PLACE = 1e-3  # metres, and radians: by less the camera has not moved in the body, whoever rounds


def _same_body(before: Calibration, now: Calibration) -> bool:
    """Whether both tell the same place in the same body, so that poses may be chained from one to the other."""
    if before.body_frame != now.body_frame:
        return False
    was, is_now = before.T_base_camera, now.T_base_camera
    return was is None or is_now is None or np.allclose(was, is_now, rtol=0, atol=SAME_PLACE)


class Drive:
    """`step(frame)` yields each system's output as soon as it is there: depth first, for it is wanted soonest.

    Systems that are None are left out; odometry and bev need depth. Without odometry the car's motion is unknown: scans stay as they are.

    Attributes:
        frame: the last one, as the systems saw it: its scan where the camera was at the image's time. None before the first.
    """

    def __init__(
        self, depth: Depth | None, odometry: Odometry | None = None, bev: Bev | None = None, deskew: deskewing.Config | None = None
    ) -> None:
        self.depth, self.odometry, self.bev = depth, odometry, bev
        self.deskew = deskewing.Config() if deskew is None else deskew
        self.frame: Frame | None = None
        self._last: OdometryOutput | None = None
        self._stamp_ns: int | None = None

    def reset(self) -> None:
        """As if nothing had been seen: scale, pose chain and window start anew."""
        for system in (self.depth, self.odometry, self.bev):
            if system is not None:
                system.reset()
        self._last, self._stamp_ns, self.frame = None, None, None

    def configure(self, part: str, config: Any) -> None:
        """Gives depth, odometry, bev or deskew another Config, from the next frame on."""
        if part == "deskew":
            self.deskew = config
        elif (system := getattr(self, part)) is not None:
            system.configure(config)

    def warm_up(self) -> None:
        """Runs a few made-up frames and forgets them, so that the first real one is not the slow one (caches, first use of memory)."""
        K = np.array([[720.0, 0, 620.5], [0, 720.0, 187.0], [0, 0, 1]])
        points = np.random.default_rng(0).uniform([4, -8, -2], [40, 8, 2], (100_000, 3)).astype(np.float32)
        calibration = Calibration(K, 1242, 375, T_camera_lidar=pose.inverse(T_BODY_OPTICAL))
        noise = np.random.default_rng(1).integers(0, 255, (375, 1242, 3), np.uint8)  # corners to track, so that tracking warms up too
        for index in range(3):
            stamp_ns = index * 100_000_000
            frame = Frame(noise, stamp_ns, calibration, Scan(points, stamp_ns))
            for output in self.step(frame):
                if isinstance(output, DepthOutput):
                    output.confidence.sum()
        self.reset()

    def step(self, frame: Frame) -> Iterator[DepthOutput | OdometryOutput | BevOutput]:
        """One frame through all systems. Time that jumps back by more than a second starts a new drive; a frame that is merely not
        later than the one before is BadInput, as it is for a bag's reader. A body that becomes known in mid-drive, or is another one now,
        starts a new drive as well: TF may come late, and poses and clouds of two bodies cannot be chained."""
        if self._stamp_ns is not None and frame.stamp_ns <= self._stamp_ns:
            if frame.stamp_ns >= self._stamp_ns - JUMP_NS:
                raise BadInput("image: its stamp is not later than the one before")
            self.reset()
        elif self.frame is not None and not _same_body(self.frame.calibration, frame.calibration):
            self.reset()
        T_previous_now = self._expected_motion(frame.stamp_ns)
        self._stamp_ns = frame.stamp_ns
        self.frame = frame = self.at_image_time(frame)
        if self.depth is None:
            return
        depth = self.depth.step(frame, T_previous_now)
        yield depth
        self.depth.catch_up()
        odometry = None
        if self.odometry is not None:
            self._last = odometry = self.odometry.step(frame, depth.scale, depth.network_input, depth.metres, self.depth.road)
            if odometry is not None:
                yield odometry
        if self.bev is not None:
            yield self.bev.step(frame, depth, odometry)

    def _expected_motion(self, stamp_ns: int) -> np.ndarray | None:
        """(4, 4) T_previous_now of an image that has just come, at the last known velocity; None when there is none."""
        if self._last is None or self._last.stamp_ns != self._stamp_ns:
            return None
        return pose.fraction(self._last.T_previous_now, (stamp_ns - self._last.stamp_ns) * 1e-9 / self._last.elapsed_s)

    def at_image_time(self, frame: Frame) -> Frame:
        """The frame with its scan seen from where the camera is now, and told how the LiDAR moved, at the last known velocity.

        The motion up to this very image is not known yet: depth comes first, and its scale makes odometry metric.
        Moving the camera instead of the points costs nothing, and points are deskewed where they are used (`lidar.in_camera`).
        """
        scan, T_camera_lidar = frame.scan, frame.calibration.T_camera_lidar
        if scan is None or T_camera_lidar is None or self._last is None:
            return frame
        T_previous_now, elapsed_s = self._last.T_previous_now, self._last.elapsed_s
        share = (frame.stamp_ns - scan.stamp_ns) * 1e-9 / elapsed_s
        T_now_then = pose.fraction(pose.inverse(T_previous_now), share)
        calibration = replace(frame.calibration, T_camera_lidar=T_now_then @ T_camera_lidar)
        if self.deskew.mode != "off":
            # Seen from the LiDAR: the camera swings around it in a turn.
            moved = pose.inverse(T_camera_lidar) @ T_previous_now @ T_camera_lidar
            twist = np.concatenate([moved[:3, 3], pose.log_so3(moved[:3, :3])]) / elapsed_s
            scan = replace(scan, twist=twist, seconds_of=self.deskew.seconds_of if self.deskew.mode == "azimuth" else None)
        return replace(frame, calibration=calibration, scan=scan)
