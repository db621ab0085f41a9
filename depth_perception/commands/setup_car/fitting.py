"""From the sensors of a bag to a block of drive.yaml for each camera, with what was found on the way."""

from __future__ import annotations

import argparse
import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.bag import Bag, Topics
from depth_perception.bag.topics import COMPRESSED
from depth_perception.commands.doctor.environment import Finding
from depth_perception.decode import Rectifier, compressed_image, read_calibration
from depth_perception.frame import BadInput, Calibration, Frame
from depth_perception.inspection import Config, inspect, mounting, sensors
from depth_perception.inspection.sensors import Sensor, Sensors
from depth_perception.nodes.car_file import Camera

_FRAMES = 100
_MOST_LISTED = 12
_SLOW_LIDAR_HZ = 7.5  # below, one scan in input.max_scan_delay_s (0.15 s) is not sure any more
# What `inspect` finds and driving does not mind.
_HARMLESS = {"gap", "late", "few_frames", "slow", "black", "blown_out", "blurred", "stamps_repeated", "frozen"}
# ... and what is said here in other words.
_SAID_HERE = {"no_lidar", "no_camera_info", "no_extrinsics", "no_base"}
_LINK = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


@dataclass
class Fitted:
    """One camera: its place in drive.yaml, the lines of its block, and what was found."""

    camera: Camera
    lines: list[tuple[str, Any, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def say(self, level: str, subject: str, sentence: str) -> None:
        """One more finding."""
        self.findings.append(Finding(level, subject, sentence))


def fit(bag: Bag, args: argparse.Namespace) -> tuple[list[Finding], list[Fitted]]:
    """The whole car: findings that concern no camera alone, and its cameras; BadInput without any."""
    there = sensors.find(bag)
    source = "--live" if args.live else str(args.bag)
    named = [("--image-topic", topic) for topic in args.image_topic or ()]
    named += [("--info-topic", args.info_topic), ("--points-topic", args.points_topic)]
    for option, topic in named:
        if topic and topic not in there.by_topic:
            raise BadInput(f"{option}: {topic}: {there.unread.get(topic, f'there is no such sensor in {source}')}")
    images = list(dict.fromkeys(args.image_topic or there.cameras))
    if not images:
        known = [f"{name} ({kind})" for name, (kind, _) in bag.topics.items()]
        listing = ", ".join(known[:_MOST_LISTED]) + (f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else "")
        unread = "".join(f"; {topic}: {reason}" for topic, reason in there.unread.items())
        raise BadInput(f"{source}: no camera topic that can be read among {listing}{unread}")
    if len(images) > 1 and (args.info_topic or args.calibration):
        raise BadInput(f"--info-topic, --calibration: of one camera, and there are {', '.join(images)}: say which with --image-topic")
    if args.calibration:
        read_calibration(args.calibration)
    general = [Finding("todo", "unread", f"{topic}: {reason}") for topic, reason in there.unread.items()]
    if not args.image_topic and there.grey:
        general.append(Finding("note", "grey", f"{', '.join(there.grey)} left out: --image-topic takes them as well"))
    general += [Finding("ok", "motion", f"{sensor.topic}: {sensor}; driving needs none, evaluating and training use it")
                for sensor in there.of(sensors.ODOMETRY, sensors.IMU)]
    names = _namespaces(images)
    fitted = [_fit_one(bag, there, image, names[image] if len(images) > 1 else "", args, source, is_first=image == images[0])
              for image in images]
    return general, fitted


def _namespaces(images: list[str]) -> dict[str, str]:
    """A namespace for each camera: the last word above its topic, or all of them where that is not enough, with a number at last."""
    def named(text: str) -> str:
        return re.sub(r"^(?=\d)", "camera_", re.sub(r"\W", "_", text.strip("/"))) or "camera"

    short = {image: named(sensors.camera_of(image).rpartition("/")[2]) for image in images}
    if len(set(short.values())) == len(images):
        return short
    long = {image: named(sensors.camera_of(image)) for image in images}
    if len(set(long.values())) == len(images):
        return long
    names: dict[str, str] = {}
    for image in images:
        name = named(image)
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        names[image] = next(each for each in itertools.chain([name], numbered) if each not in names.values())
    return names


def _fit_one(bag: Bag, there: Sensors, image: str, namespace: str, args: argparse.Namespace, source: str, *, is_first: bool) -> Fitted:
    seen = there.by_topic[image]
    info = args.info_topic or (None if args.calibration else sensors.info_of(bag, there, image))
    points = args.points_topic or sensors.lidar_of(there, image)
    topics = Topics(image, info, points)
    camera = Camera(namespace, {name: topic for name, topic in vars(topics).items() if topic}, seen.type_name == COMPRESSED)
    fitted = Fitted(camera)
    fitted.say("ok", "camera", f"{image}: {seen}")
    if points:
        fitted.say("ok", "LiDAR", f"{points}: {there.by_topic[points]}")
    else:
        fitted.say("note", "LiDAR", "none: depth keeps the network's own scale, and nothing measures it")
    if others := [topic for topic in there.lidars if topic != points]:
        fitted.say("note", "LiDAR", f"not taken: {', '.join(others)}; --points-topic says another choice")
    lines = fitted.lines
    for name, topic in camera.topics.items():
        lines.append((f"remap.{name}", topic, "" if name == "camera_info" else str(there.by_topic[topic])))
    lines.append(("input.compressed", camera.compressed, ""))
    if args.calibration:
        lines.append(("input.calibration", str(Path(args.calibration).resolve()), "instead of CameraInfo and TF"))
    elif info is None:
        fitted.say("todo", "CameraInfo", f"none for {image}: calibrate it (camera_calibration) and publish CameraInfo beside it, or write "
                   "its K into a file and give --calibration")
        lines.append(("#input.calibration", "camera.yaml", "width, height, K: there is no CameraInfo"))
    whole = _calibrated(fitted, there, seen, info, args.calibration)
    if whole:
        _check(fitted, bag, there, topics, args.calibration, source)
    rate = there.by_topic[points].rate_hz if points else None
    if rate and rate < _SLOW_LIDAR_HZ:
        lines.append(("input.max_scan_delay_s", round(min(1.2 / rate, 10.0), 2), f"the LiDAR comes {rate:.1f} times a second"))
    lines.sort(key=lambda line: not line[0].lstrip("#").startswith(("remap.", "input.")))
    _tf(fitted, there, is_first=is_first)
    if not points:
        lines.append(("diagnostics.min_scale_inliers", 0, "no LiDAR"))
    return fitted


def _calibrated(fitted: Fitted, there: Sensors, seen: Sensor, info: str | None, file: str | None) -> bool:
    """Whether CameraInfo, or the file, describes the images that come; what of it does not is said."""
    if file is None and info is None:
        return False
    try:
        message = there.by_topic[info].first if info else None
        rectifier = read_calibration(file)[1] if file else Rectifier(message)
    except BadInput as error:
        fitted.say("todo", "CameraInfo", f"{file or info}: {error}".removeprefix(f"{file}: " if file else ""))
        return False
    width, height = compressed_image(seen.first).shape[1::-1] if seen.type_name == COMPRESSED else (seen.first.width, seen.first.height)
    if (rectifier.width, rectifier.height) != (width, height):
        size = f"{rectifier.width}x{rectifier.height}"
        fitted.say("todo", "CameraInfo", f"{file or info} is of {size} images, {seen.topic} has {width}x{height}: "
                   "calibrate at this size, or let the driver scale CameraInfo (binning, region of interest)")
        return False
    across = 2 * np.rad2deg(np.arctan(rectifier.width / 2 / rectifier.K[0, 0]))
    lens = "rectified already" if rectifier.is_identity else f"{getattr(message, 'distortion_model', 'distorted')}, rectified while driving"
    fitted.say("ok", "CameraInfo", f"{file or info}: {lens}; fx {rectifier.K[0, 0]:.0f}, {across:.0f} degrees wide")
    if sensors.is_rectified(seen.topic) and not rectifier.is_identity:
        fitted.say("todo", "CameraInfo", f"{seen.topic} is rectified by its name, and CameraInfo describes a lens: it would be rectified "
                   "twice; take the raw images (--image-topic), or a --calibration without D")
    if message is not None and (told := there.by_topic[info or ""].frame_id) != seen.frame_id:
        fitted.say("note", "frames", f"{seen.topic} is of {seen.frame_id!r}, its CameraInfo of {told!r}, which is taken")
    return True


def _check(fitted: Fitted, bag: Bag, there: Sensors, topics: Topics, calibration: str | None, source: str) -> None:
    """What `inspect` says of these topics, and how the sensors are mounted."""
    found = inspect(bag.path, config=Config(frames=_FRAMES), image_topic=topics.image, info_topic=topics.camera_info,
                    points_topic=topics.points, calibration=calibration)
    for problem in found["problems"]:
        if problem["kind"] not in _SAID_HERE:
            sentence = f"{problem['sentence']}: {problem['remedy']}".replace(str(bag.path), source)
            fitted.say("note" if problem["kind"] in _HARMLESS else "todo", problem["kind"].replace("_", " "), sentence)
    if any(problem["kind"] == "clock_offset" for problem in found["problems"]):
        lines = fitted.lines
        lines.append(("#input.scan_offset_s", round(found["time_offset"]["lidar"]["seconds"], 3), "seems to fit, but see what was said"))
    if (camera := found["calibration"]) is not None:
        Ts = {name: None if camera[name] is None else np.array(camera[name]) for name in ("T_base_camera", "T_camera_lidar")}
        size = {"width": camera["width"], "height": camera["height"]}
        known = Calibration(np.array(camera["K"]), **size, frame_id=camera["frame_id"], base_frame=camera["base_frame"], **Ts)
        _links(fitted, there, known, camera["lidar_frame"] if topics.points else None)
        _mounting(fitted, known, mounting.seen(bag, topics, calibration=calibration) if topics.points else [], found["alignment"])


def _links(fitted: Fitted, there: Sensors, known: Calibration, lidar: str | None) -> None:
    """Where camera and LiDAR are on the car; a line to fill in for what nothing says."""
    lines = fitted.lines
    if known.T_base_camera is None:
        fitted.say("todo", "TF", f"nothing says where {known.frame_id} is on the car ({_gap(there, known)}): publish it on /tf_static "
                   "(robot_state_publisher, static_transform_publisher), or fill in input.T_base_camera; until then the body is a frame "
                   f"{known.frame_id}_body in the camera's place")
        lines.append(("#input.T_base_camera", _LINK, "x y z (m) qx qy qz qw of the optical camera frame in the body frame"))
    else:
        x, y, z = known.T_base_camera[:3, 3]
        fitted.say("ok", "TF", f"{known.frame_id} is at x {x:.2f}, y {y:.2f}, z {z:.2f} m of {known.base_frame}")
        lines.append(("input.base_frame", known.base_frame, ""))
    if lidar is not None and known.T_camera_lidar is None:
        gap = there.tree.gap(known.frame_id, lidar) or f"nothing says where {lidar} is"
        fitted.say("todo", "TF", f"{gap}: no scan can be used with the images; publish it on /tf_static, or fill in input.T_camera_lidar")
        lines.append(("#input.T_camera_lidar", _LINK, "x y z (m) qx qy qz qw of the LiDAR's frame in the optical camera frame"))


def _mounting(fitted: Fitted, known: Calibration, frames: list[Frame], outlines: dict[str, Any] | None) -> None:
    """Whether the scan falls into the image, and lies on the picture there (outlines: what `inspect` found, None where nothing tells)."""
    wrong = list(mounting.wrong(known, frames))
    for sentence in wrong:
        fitted.say("todo", "mounting", sentence)
    if frames and known.T_camera_lidar is not None and not wrong:
        share = max(map(mounting.in_view, frames))
        edges = "too few outlines to tell whether it lies on the picture"
        if outlines:
            edges = f"its outlines meet {outlines['score']:.2f} times the mean edge strength (1 is chance)"
        fitted.say("ok" if outlines else "note", "projection", f"{100 * share:.0f} % of the scan's points fall into the image; {edges}")


def _gap(there: Sensors, known: Calibration) -> str:
    root = "base_link" if "base_link" in there.tree else known.base_frame
    return there.tree.gap(root, known.frame_id) or f"TF has no link above {known.frame_id}"


def _tf(fitted: Fitted, there: Sensors, *, is_first: bool) -> None:
    """A body has one parent: another odometry's, if it has one already, or the first camera's."""
    base = next((value for name, value, _ in fitted.lines if name == "input.base_frame"), None)
    parents = sorted(parent for parent, child in there.moving if child == base)
    if parents:
        own = "; if that was this package's own drive, take the line out" if parents[0] == "odom" else ""
        fitted.say("note", "TF", f"somebody moves {base} in {parents[0]} on /tf already: this odometry stays a topic "
                   f"(publish_tf: false){own}")
        fitted.lines.append(("publish_tf", False, f"/tf has {parents[0]} -> {base} already"))
    elif not is_first:
        fitted.lines.append(("publish_tf", False, "the first camera's odometry moves the body"))
