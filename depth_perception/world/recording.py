"""A drive as a rosbag2: what a car would have recorded, and the truth beside it below /truth.

/truth/depth: 32FC1, z in metres, NaN = sky. /truth/markings: mono8, ids of paint.Marking. On an aged road that is what can still be seen;
/truth/painted: mono8, what was painted, and /truth/wear: mono8, the share of 255 of its paint that is left. /truth/hard: mono8, bits of
hard.Hard, when something hard was asked for. /truth/odometry: pose and twist of the body. /truth/boxes: cars, people and cyclists, body
frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.bag import Writer, messages
from depth_perception.frame import Calibration
from depth_perception.world.drive import Moment
from depth_perception.world.street import Box

COLOURS = {
    "Car": (0.1, 0.6, 1.0),
    "Van": (0.1, 0.8, 0.8),
    "Truck": (0.2, 0.3, 1.0),
    "Pedestrian": (1.0, 0.3, 0.2),
    "Cyclist": (1.0, 0.8, 0.1),
}


def record(path: str | Path, moments: Iterable[Moment], *, truth: bool = True) -> int:
    """Writes moments into a new bag (mcap) and returns how many; BadInput when the path exists."""
    count = 0
    with Writer(path) as bag:
        for moment in moments:
            frame, stamp = moment.frame, moment.frame.stamp_ns
            if count == 0:
                first = stamp if frame.scan is None else min(stamp, frame.scan.stamp_ns)
                bag.write("/tf_static", messages.transforms(_rig(frame.calibration, frame.scan is not None), stamp_ns=first), first)
            if frame.scan is not None:
                bag.write("/lidar/points", messages.points(frame.scan), frame.scan.stamp_ns)
            bag.write("/camera/image", messages.image(frame.image, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            bag.write("/camera/camera_info", messages.camera_info(frame.calibration, stamp_ns=stamp), stamp)
            if truth:
                _write_truth(bag, moment)
            count += 1
    return count


def _write_truth(bag: Writer, moment: Moment) -> None:
    stamp = moment.frame.stamp_ns
    bag.write("/truth/depth", messages.image(moment.depth, "32FC1", stamp_ns=stamp, frame_id="camera"), stamp)
    bag.write("/truth/markings", messages.image(moment.markings, "mono8", stamp_ns=stamp, frame_id="camera"), stamp)
    if moment.painted is not None and moment.wear is not None:
        bag.write("/truth/painted", messages.image(moment.painted, "mono8", stamp_ns=stamp, frame_id="camera"), stamp)
        bag.write("/truth/wear", messages.image(moment.wear, "mono8", stamp_ns=stamp, frame_id="camera"), stamp)
    if moment.hard is not None:
        bag.write("/truth/hard", messages.image(moment.hard, "mono8", stamp_ns=stamp, frame_id="camera"), stamp)
    bag.write(
        "/truth/odometry", messages.odometry(moment.T_odom_base, stamp_ns=stamp, linear=moment.twist[:3], angular=moment.twist[3:]), stamp
    )
    bag.write("/truth/boxes", boxes(moment.boxes, stamp_ns=stamp, frame_id="base_link"), stamp)


def _rig(calibration: Calibration, with_lidar: bool) -> list[tuple[str, str, np.ndarray]]:
    T_base_camera = calibration.T_base_camera
    assert T_base_camera is not None, "the simulated rig knows its camera"
    links = [("base_link", "camera", T_base_camera)]
    if with_lidar and calibration.T_camera_lidar is not None:
        links.append(("base_link", "lidar", T_base_camera @ calibration.T_camera_lidar))
    return links


def boxes(found: Iterable[Box], *, stamp_ns: int, frame_id: str) -> Any:
    """visualization_msgs/MarkerArray: one CUBE per box, ns = label, id = track, scale = length width height."""
    return messages.make(
        "visualization_msgs/msg/MarkerArray",
        markers=[
            messages.make(
                "visualization_msgs/msg/Marker",
                header=messages.header(stamp_ns, frame_id),
                ns=box.label,
                id=box.track,
                type=1,
                action=0,
                pose=messages.pose_of(box.T),
                scale=messages.vector(box.size),
                color=_colour(box.label),
                lifetime=messages.make("builtin_interfaces/msg/Duration", sec=0, nanosec=200_000_000),
            )
            for box in found
        ],
    )


def _colour(label: str) -> Any:
    r, g, b = COLOURS[label]
    return messages.make("std_msgs/msg/ColorRGBA", r=r, g=g, b=b, a=0.4)
