"""KITTI's label files <-> boxes in the body frame: label_2 style (a file per frame) and tracking style (a file per drive).

A line is: type truncated occluded alpha left top right bottom height width length x y z rotation_y [score], the middle of the box's foot
in metres in the rectified reference camera (x right, y down, z forward), rotation_y in radians about its y; tracking style has frame and
track before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import camera, pose
from depth_perception.geometry.boxes import NAMES, Box3D, class_of

_WRITTEN = {"car": "Car", "truck": "Truck", "pedestrian": "Pedestrian", "cyclist": "Cyclist"}
_NEAR_M = 0.1


def read(file: Path, calibration: Calibration, *, T_camera_label: np.ndarray | None = None) -> tuple[Box3D, ...]:
    """The boxes of one label_2 style file.

    Args:
        calibration: the camera whose image is labelled, its place on the body known.
        T_camera_label: (4, 4) the labels' reference camera -> this camera (`reference_camera`); None: they are the same.
    Raises:
        BadInput: with file and line, for what is no label, an unknown class, or a box outside the image.
    """
    boxes = (_box(words, f"{file}, line {number}", calibration, T_camera_label) for number, words in _lines(file))
    return tuple(box for box in boxes if box is not None)


def read_tracking(file: Path, calibration: Calibration, *, T_camera_label: np.ndarray | None = None) -> dict[int, tuple[Box3D, ...]]:
    """Frame number -> boxes of a tracking style file; a frame that only has what is left out (DontCare) has no boxes."""
    found: dict[int, tuple[Box3D, ...]] = {}
    for number, words in _lines(file):
        place = f"{file}, line {number}"
        if len(words) not in (17, 18) or not words[0].isdigit():
            raise BadInput(f"{place}: wanted the 17 or 18 words of a tracking label, frame and track first, got {' '.join(words)[:60]!r}")
        box = _box(words[2:], place, calibration, T_camera_label)
        found[int(words[0])] = found.get(int(words[0]), ()) + (() if box is None else (box,))
    return found


def write(file: Path, boxes: Iterable[Box3D], calibration: Calibration) -> int:
    """Writes a label_2 style file of the boxes that the camera sees, and says how many; scores below 1 are written, too."""
    lines = []
    T_camera_base = pose.inverse(_place(calibration))
    for box in boxes:
        corners = pose.transform(T_camera_base, box.corners())
        if corners[:, 2].min() < _NEAR_M:
            continue
        pixels, _ = camera.project(calibration.K, corners)
        (left, top), (right, bottom) = pixels.min(0), pixels.max(0)
        if right < 0 or bottom < 0 or left > calibration.width - 1 or top > calibration.height - 1:
            continue
        outline = np.clip([left, top, right, bottom], 0, [calibration.width - 1, calibration.height - 1] * 2)
        length, width, height = box.size
        foot = pose.transform(T_camera_base, box.centre) + T_camera_base[:3, :3] @ (0, 0, -height / 2)
        ahead = T_camera_base[:3, :3] @ (math.cos(box.yaw), math.sin(box.yaw), 0)
        turn = math.atan2(-ahead[2], ahead[0])
        numbers = [math.remainder(turn - math.atan2(foot[0], foot[2]), math.tau), *outline, height, width, length, *foot, turn]
        score = [] if box.score == 1 else [box.score]
        lines.append(f"{_WRITTEN[box.label]} 0 0 " + " ".join(f"{number:.6f}" for number in [*numbers, *score]))
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in lines))
    partial.replace(file)
    return len(lines)


def reference_camera(file: Path, *, name: str = "P2") -> np.ndarray:
    """(4, 4) T_camera_label of a KITTI calib file: camera `name` stands beside the reference camera, that its labels are in."""
    for _, words in _lines(file):
        if words[0].rstrip(":") == name:
            P = _numbers(words[1:], file.name)
            if len(P) != 12:
                raise BadInput(f"{file}: wanted 12 numbers after {name}, got {len(P)}")
            T = np.eye(4)
            T[:3, 3] = np.linalg.solve(P.reshape(3, 4)[:, :3], P.reshape(3, 4)[:, 3])
            return T
    raise BadInput(f"{file}: wanted a KITTI calibration with {name}, there is no such line")


def _lines(file: Path) -> Iterable[tuple[int, list[str]]]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"labels {file}: cannot be read ({error.strerror if isinstance(error, OSError) else 'no text'})") from None
    return [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _numbers(words: list[str], place: str) -> np.ndarray:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise BadInput(f"{place}: wanted numbers ({error})") from None
    if not np.isfinite(numbers).all():
        raise BadInput(f"{place}: wanted finite numbers, got {' '.join(words)[:60]}")
    return numbers


def _place(calibration: Calibration) -> np.ndarray:
    if calibration.T_base_camera is None:
        raise BadInput(f"labels: wanted a camera whose place on the body is known, {calibration.frame_id}'s is not")
    return calibration.T_base_camera


def _box(words: list[str], place: str, calibration: Calibration, T_camera_label: np.ndarray | None) -> Box3D | None:
    if len(words) not in (15, 16):
        raise BadInput(f"{place}: wanted the 15 or 16 words of a KITTI label, got {len(words)}: {' '.join(words)[:60]}")
    if words[0].lower() not in NAMES:
        raise BadInput(f"{place}: unknown class {words[0]!r}; known are {', '.join(NAMES)}")
    label = class_of(words[0])
    if label is None:
        return None
    numbers = _numbers(words[1:], place)
    left, top, right, bottom = numbers[3:7]
    height, width, length = numbers[7:10]
    if right > left and (left > calibration.width or top > calibration.height or right < 0 or bottom < 0):
        raise BadInput(f"{place}: its box ({left:g}, {top:g}) to ({right:g}, {bottom:g}) lies outside the "
                       f"{calibration.width}x{calibration.height} image; are these labels another camera's?")
    if min(height, width, length) <= 0:
        raise BadInput(f"{place}: wanted a height, width and length above 0 m, got {height:g} {width:g} {length:g}")
    T_base_label = _place(calibration) if T_camera_label is None else _place(calibration) @ T_camera_label
    centre = pose.transform(T_base_label, numbers[10:13] - (0, height / 2, 0))
    ahead = T_base_label[:3, :3] @ (math.cos(numbers[13]), 0, -math.sin(numbers[13]))
    score = float(numbers[14]) if len(numbers) == 15 else 1.0
    return Box3D(label, score, centre, np.array([length, width, height]), math.atan2(ahead[1], ahead[0]))
