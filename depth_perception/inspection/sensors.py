"""Which sensors a bag holds, and which of them are a car's cameras, LiDAR and odometry: the choice that `setup-car` makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from depth_perception import decode
from depth_perception.bag import Bag
from depth_perception.bag.topics import CAMERA_INFO, COMPRESSED, IMAGE, POINT_CLOUD, TRANSFORMS, cameras, clouds, info_beside
from depth_perception.frame import BadInput
from depth_perception.geometry.pose import FrameTree

ODOMETRY, IMU = "nav_msgs/msg/Odometry", "sensor_msgs/msg/Imu"
_GREY = ("mono8", "mono16", "8UC1", "16UC1")
# Of one camera's several topics the first of these: whole colour before rectified, for CameraInfo describes the lens of the raw image.
_ORDER = ("image_raw", "image_color", "image", "image_rect_color", "image_rect", "image_mono")
_DECODES: dict[str, Callable[[Any], Any]] = {IMAGE: decode.image, COMPRESSED: decode.compressed_image, POINT_CLOUD: decode.scan}
# Links between moments: a bag tells thousands of them, and the names are all that is asked.
_MOST_MOVING = 200


@dataclass(frozen=True, eq=False)
class Sensor:
    """One topic. first: its first message. rate_hz: by the bag's length; None for a topic that speaks once."""

    topic: str
    type_name: str
    count: int
    rate_hz: float | None
    first: Any

    @property
    def frame_id(self) -> str:
        """Without the slash that ROS 1 put before it."""
        return str(self.first.header.frame_id).lstrip("/")

    def __str__(self) -> str:
        rate = f", {self.rate_hz:.1f} Hz" if self.rate_hz else ""
        return f"{self._size()}{rate}, frame {self.frame_id or '(none)'}"

    def _size(self) -> str:
        if self.type_name == IMAGE:
            return f"{self.first.width}x{self.first.height} {self.first.encoding}"
        if self.type_name == COMPRESSED:
            height, width = decode.compressed_image(self.first).shape[:2]
            return f"{width}x{height} {self.first.format.split(';')[-1].strip() or 'compressed'}"
        if self.type_name == POINT_CLOUD:
            names = " ".join(each.name for each in self.first.fields)
            return f"{self.first.width * self.first.height} points ({names})"
        return self.type_name.rpartition("/")[2]


@dataclass(frozen=True, eq=False)
class Sensors:
    """Everything of the bag that a car's nodes could be connected to.

    Attributes:
        by_topic: topic -> Sensor, of all that was to be read; unread: topic -> why not.
        cameras: a topic for each camera, colour before grey; grey: those left out because there are cameras of colour.
        lidars: topics of point clouds, those with more points first.
        tree: static TF. moving: (parent, child) links of /tf.
    """

    by_topic: dict[str, Sensor]
    unread: dict[str, str]
    cameras: list[str]
    grey: list[str]
    lidars: list[str]
    tree: FrameTree
    moving: set[tuple[str, str]]

    def of(self, *types: str) -> list[Sensor]:
        """The sensors of these message types."""
        return [sensor for sensor in self.by_topic.values() if sensor.type_name in types]


def find(bag: Bag) -> Sensors:
    """The first message of each topic that counts, static TF, and the beginning of /tf."""
    by_topic: dict[str, Sensor] = {}
    unread: dict[str, str] = {}
    images, points = cameras(bag), clouds(bag)
    for topic, (type_name, count) in bag.topics.items():
        if count and (topic in images or topic in points or type_name in (CAMERA_INFO, ODOMETRY, IMU)):
            try:
                by_topic[topic] = _sensor(bag, topic, type_name, count)
            except BadInput as error:
                unread[topic] = str(error)
    colour = [topic for topic in _one_each(topic for topic in images if topic in by_topic) if not _is_grey(by_topic[topic])]
    grey = [topic for topic in _one_each(topic for topic in images if topic in by_topic) if _is_grey(by_topic[topic])]
    lidars = sorted((topic for topic in points if topic in by_topic), key=lambda topic: -_points(by_topic[topic]))
    tree, moving = _frames(bag)
    return Sensors(by_topic, unread, colour or grey, grey if colour else [], lidars, tree, moving)


def _sensor(bag: Bag, topic: str, type_name: str, count: int) -> Sensor:
    """With its first message that can be used; BadInput with the reason when the first twenty cannot."""
    seconds, reason = (bag.end_ns - bag.start_ns) * 1e-9, BadInput("holds no message that can be read")
    for tried, (_, _, _, raw) in enumerate(bag.messages([topic])):
        try:
            message = bag.decode(type_name, raw)
            if type_name in _DECODES:
                _DECODES[type_name](message)
            return Sensor(topic, type_name, count, (count - 1) / seconds if count > 2 and seconds > 0 else None, message)
        except BadInput as error:
            reason = error
        if tried > 20:
            break
    raise reason


def _one_each(topics: Iterator[str] | list[str]) -> list[str]:
    """One topic for each camera, that is for each folder of topics."""
    best: dict[str, str] = {}
    for topic in topics:
        folder = camera_of(topic)
        best[folder] = min(best.get(folder, topic), topic, key=_rank)
    return list(best.values())


def camera_of(topic: str) -> str:
    """/front/image_raw and /front/image_raw/compressed -> /front."""
    return re.sub(r"/[^/]*$", "", re.sub(r"/compressed$", "", topic))


def _rank(topic: str) -> tuple[int, int]:
    name = re.sub(r"/compressed$", "", topic).rpartition("/")[2]
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), int(topic.endswith("/compressed")))


def is_rectified(topic: str) -> bool:
    """By its name, as image_proc has it."""
    return "rect" in re.sub(r"/compressed$", "", topic).rpartition("/")[2]


def _is_grey(sensor: Sensor) -> bool:
    return getattr(sensor.first, "encoding", "") in _GREY or getattr(sensor.first, "format", "").startswith("mono")


def _points(sensor: Sensor) -> int:
    return int(sensor.first.width * sensor.first.height)


def _frames(bag: Bag) -> tuple[FrameTree, set[tuple[str, str]]]:
    tree, moving = FrameTree(), set()
    topics = [name for name, (kind, _) in bag.topics.items() if kind == TRANSFORMS]
    seen = 0
    for topic, type_name, _, raw in bag.messages(topics) if topics else ():
        try:
            message = bag.decode(type_name, raw)
            if topic.rpartition("/")[2] == "tf_static":
                decode.transforms(message, tree)
            else:
                seen += 1
                moving |= {(link.header.frame_id.lstrip("/"), link.child_frame_id.lstrip("/")) for link in message.transforms}
        except BadInput:
            continue  # `inspect` says what of TF cannot be used
        if seen > _MOST_MOVING:
            break
    return tree, moving


def info_of(bag: Bag, sensors: Sensors, image: str) -> str | None:
    """The CameraInfo beside an image; else the one that tells the image's frame; else the only one, if there is one camera."""
    if (beside := info_beside(bag, image)) and beside in sensors.by_topic:
        return beside
    infos = sensors.of(CAMERA_INFO)
    same = [info.topic for info in infos if info.frame_id == sensors.by_topic[image].frame_id]
    if len(same) == 1:
        return same[0]
    return infos[0].topic if len(infos) == 1 and len(sensors.cameras) == 1 else None


def lidar_of(sensors: Sensors, image: str) -> str | None:
    """The largest cloud whose frame TF connects with the camera's, before the largest of all; a cloud in the camera's own frame is a
    depth camera's, no LiDAR's, and the last choice."""
    frame = sensors.by_topic[image].frame_id

    def rank(topic: str) -> tuple[bool, bool]:
        own = sensors.by_topic[topic].frame_id
        return own == frame, sensors.tree.between(frame, own) is None

    return min(sensors.lidars, key=rank, default=None)
