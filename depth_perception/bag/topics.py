"""Which topics of a bag are the camera, its CameraInfo and the LiDAR."""

from __future__ import annotations

from dataclasses import dataclass

from depth_perception.bag.reader import Bag
from depth_perception.frame import BadInput

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, POINT_CLOUD, TRANSFORMS = "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
# What this package publishes itself: a bag that was recorded while driving holds it too.
_OUTPUTS = ("depth/image", "depth/confidence", "depth/camera_info", "bev/points", "bev/features", "markings/mask", "markings/confidence",
            "markings/overlay")
_DEPTH_ENCODINGS = ("32FC1", "16UC1")


@dataclass(frozen=True)
class Topics:
    """Names of the topics a frame is made of; None where the bag has none."""

    image: str
    camera_info: str | None = None
    points: str | None = None


def guess_topics(bag: Bag, *, image_topic: str | None = None, info_topic: str | None = None, points_topic: str | None = None,
                 needs_info: bool = True, needs_points: bool = True) -> Topics:
    """The given topics, and for the others the only candidate.

    No candidates are topics below /truth, outputs of this package, depth images, and the compressed twin of a raw image.
    The CameraInfo is the one beside the image, else the only one. needs_info: False, where a calibration is given, takes none of several;
    needs_points: False, where images are all that is wanted, looks for no clouds. Raises BadInput when a given topic is not there, when
    several could be meant (naming the option that tells), or when there is no camera image.
    """
    image = image_topic and _given(bag, image_topic, "--image-topic", (IMAGE, COMPRESSED))
    image = image or _only(cameras(bag), "camera topics", "--image-topic", bag)
    if image is None:
        listing = ", ".join(f"{name} ({type_name})" for name, (type_name, _) in bag.topics.items())
        raise BadInput(f"{bag.path}: no camera topic among {listing}")
    info = info_topic and _given(bag, info_topic, "--info-topic", (CAMERA_INFO,))
    points = points_topic and _given(bag, points_topic, "--points-topic", (POINT_CLOUD,))
    info = info or info_beside(bag, image) or _only(_of_type(bag, CAMERA_INFO), "camera infos", "--info-topic", bag, needed=needs_info)
    return Topics(image, info, points or (_only(clouds(bag), "point clouds", "--points-topic", bag) if needs_points else None))


def _given(bag: Bag, topic: str, option: str, types: tuple[str, ...]) -> str:
    there = [name for name, (type_name, _) in bag.topics.items() if type_name in types]
    if topic not in there:
        listing = ", ".join(there) or "none"
        raise BadInput(f"{option}: wanted a topic of {' or '.join(types)} in {bag.path}, got {topic}; there is {listing}")
    return topic


def _only(candidates: list[str], what: str, option: str, bag: Bag, *, needed: bool = True) -> str | None:
    if len(candidates) > 1:
        if not needed:
            return None
        raise BadInput(f"{bag.path}: several {what}: {', '.join(candidates)}; say which with {option}")
    return candidates[0] if candidates else None


def _of_type(bag: Bag, *types: str) -> list[str]:
    return [name for name, (type_name, count) in bag.topics.items()
            if type_name in types and count and not name.startswith("/truth") and not name.endswith(_OUTPUTS)]


def cameras(bag: Bag) -> list[str]:
    """Topics of camera images: no outputs of this package, no depth images, and no compressed twin of a raw image."""
    topics = _of_type(bag, IMAGE, COMPRESSED)
    raw = [name for name in topics if bag.topics[name][0] == IMAGE]
    twins = [name for name in topics if name not in raw and name.rpartition("/")[0] in raw]
    return [name for name in topics if name not in twins and not _is_depth(bag, name)]


def clouds(bag: Bag) -> list[str]:
    """Topics of point clouds that are no outputs of this package."""
    return _of_type(bag, POINT_CLOUD)


def _is_depth(bag: Bag, topic: str) -> bool:
    for _, type_name, _, raw in bag.messages([topic]):
        try:
            message = bag.decode(type_name, raw)
        except BadInput:
            return False
        return "compressedDepth" in message.format if type_name == COMPRESSED else message.encoding in _DEPTH_ENCODINGS
    return False


def info_beside(bag: Bag, image: str) -> str | None:
    """The CameraInfo that image_transport's convention puts beside an image topic; None where there is none."""
    infos, parent = _of_type(bag, CAMERA_INFO), image.rpartition("/")[0]
    beside = [f"{parent}/camera_info", f"{parent.rpartition('/')[0]}/camera_info" if bag.topics[image][0] == COMPRESSED else ""]
    return next((name for name in beside if name in infos), None)
