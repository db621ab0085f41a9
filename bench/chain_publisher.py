"""The camera (and the LiDAR) of `bench.chain`, a process of its own: bgr8 images, each stamped the moment it is sent.

Messages are serialised once, before the first: what a driver costs is not what is measured. Reliable, a queue of ten, rclpy's default: what
a subscriber asks for (ours best effort, a tutorial's reliable) it gets. A tick that has passed while the last message was still being sent
sends nothing, as a camera (and a LiDAR) would.

The LiDAR turns by its own clock: its clouds come between two images early and late, and meet them in every phase within some seconds. Sent
at a multiple of the camera's period they would always come when the image is done, or always in its way.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from depth_perception.memory import keep_freed_memory, spare_the_collector
from depth_perception.nodes.encode import array_of

CLOUD_HZ, CLOUD_POINTS = 10.0, 120_000  # about 10 Hz:
CLOUD_PERIOD_S = 0.1013  # so that a cloud is 1.3 ms later against the images than the last one, at 10, 30 and 60 Hz


class Stamped:
    """A serialised message, sent again and again with a new stamp."""

    def __init__(self, message: Any, publisher: Any) -> None:
        self._raw, self._publisher = serialize_message(message), publisher
        # CDR: four bytes of encapsulation, then the header's stamp. Written in place: these bytes are nobody else's, and a copy of six
        # megabytes would be in every latency.
        self._stamp = (ctypes.c_char * 8).from_address(ctypes.cast(ctypes.c_char_p(self._raw), ctypes.c_void_p).value + 4)  # type: ignore[operator]

    def send(self, stamp_ns: int) -> None:
        self._stamp.raw = struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000))
        self._publisher.publish(self._raw)


def image(width: int, height: int) -> Image:
    """A road of sorts: smooth, with some noise."""
    rng = np.random.default_rng(0)
    rows = np.linspace(60, 180, height)[:, None, None]
    pixels = np.clip(rows + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    return Image(header=Header(frame_id="camera"), height=height, width=width, encoding="bgr8", step=3 * width, data=array_of(pixels))


def camera_info(width: int, height: int) -> CameraInfo:
    """A view as wide as KITTI's."""
    f = 721.5 * width / 1242
    K = [f, 0.0, width / 2, 0.0, f, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(header=Header(frame_id="camera"), height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5, k=K,
                      r=np.eye(3).ravel().tolist(), p=[*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0])


def cloud(points: int = CLOUD_POINTS) -> PointCloud2:
    """Returns of flat ground and a wall around, x y z intensity in float32, 1.7 m below the LiDAR."""
    rng = np.random.default_rng(1)
    azimuth, tilt = rng.uniform(-np.pi, np.pi, points), rng.uniform(-0.4, 0.03, points)
    distance = np.minimum(1.7 / np.maximum(np.sin(-tilt), 0.02), 40.0)
    xyzi = np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth), distance * np.sin(tilt), rng.uniform(0, 1, points)], 1)
    names = ("x", "y", "z", "intensity")
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate(names)]
    return PointCloud2(header=Header(frame_id="lidar"), height=1, width=points, fields=fields, point_step=16, row_step=16 * points,
                       data=array_of(xyzi.astype(np.float32)), is_dense=True)


def course(*, rate: float, images: int, clouds: bool) -> Iterator[tuple[float, int | None]]:
    """What is due when, in order: (seconds from the beginning, which image; None: a cloud). Clouds keep their rate beside slower images."""
    sent = 0
    for tick in range(images):
        due = tick / rate
        while clouds and (cloud_due := 0.4 / rate + sent * CLOUD_PERIOD_S) < due:
            yield cloud_due, None
            sent += 1
        yield due, tick


def main() -> None:
    """Waits for a subscriber, sends `--warm-up` images and then `--seconds` of them, and writes the stamps that count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, required=True, help="Hz")
    parser.add_argument("--size", required=True, help="WIDTHxHEIGHT")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=int, default=30, help="images before")
    parser.add_argument("--clouds", action="store_true", help=f"{CLOUD_POINTS} points at about {CLOUD_HZ:g} Hz as well")
    parser.add_argument("--report", required=True, help="JSON: stamps, cloud_stamps, missed, missed_clouds, begun_ns, ended_ns")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    keep_freed_memory()
    rclpy.init()
    node = rclpy.create_node("camera")
    images = Stamped(image(width, height), to_image := node.create_publisher(Image, "image", 10))
    infos = Stamped(camera_info(width, height), node.create_publisher(CameraInfo, "camera_info", 10))
    waited = [to_image]
    if args.clouds:
        clouds = Stamped(cloud(), to_points := node.create_publisher(PointCloud2, "points", 10))
        waited.append(to_points)
    while not all(publisher.get_subscription_count() for publisher in waited):
        time.sleep(0.02)
    time.sleep(0.7)  # the subscribers know of us as well
    spare_the_collector()

    stamps: list[int] = []
    cloud_stamps: list[int] = []
    missed, missed_clouds, measured_ns, begun = 0, 0, 0, time.monotonic()
    for due, tick in course(rate=args.rate, images=args.warm_up + round(args.seconds * args.rate), clouds=args.clouds):
        if tick == args.warm_up:
            measured_ns = time.time_ns()
        early = begun + due - time.monotonic()
        is_late = early < -(CLOUD_PERIOD_S if tick is None else 1 / args.rate)
        if is_late:
            missed += bool(measured_ns) and tick is not None
            missed_clouds += bool(measured_ns) and tick is None
            continue
        time.sleep(max(early, 0))
        stamp_ns = time.time_ns()
        if tick is None:
            clouds.send(stamp_ns)
        else:
            images.send(stamp_ns)
            infos.send(stamp_ns)  # in the order of image_transport's CameraPublisher
        if measured_ns:
            (cloud_stamps if tick is None else stamps).append(stamp_ns)
    about = {"missed": missed, "missed_clouds": missed_clouds, "begun_ns": measured_ns, "ended_ns": time.time_ns()}
    Path(args.report).write_text(json.dumps({"stamps": stamps, "cloud_stamps": cloud_stamps} | about))
    time.sleep(1.5)  # a reliable writer may still be asked for what was lost
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
