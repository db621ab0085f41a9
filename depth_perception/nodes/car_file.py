"""drive.yaml, the car's file: parameters of the nodes, and the topics of each camera's nodes. Needs neither ROS nor launch.

ROS parameter files cannot remap. So the topics stand beside the parameters, as `remap.image`, `remap.camera_info` and `remap.points`: the
launch files make remappings of them, and a node, which has no such parameters, passes them by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from depth_perception.frame import BadInput

ANY = "/**"  # the nodes of every namespace
INPUTS = ("image", "camera_info", "points")
Lines = Sequence[tuple[str, Any, str]]


@dataclass(frozen=True)
class Camera:
    """One camera's set of nodes.

    Attributes:
        namespace: of its nodes and outputs, without slashes around it; empty: where they are started.
        topics: image, camera_info, points -> topic, as far as they are known.
        compressed: the image topic carries sensor_msgs/CompressedImage.
        calibration: its calibration file; empty: CameraInfo and TF.
        parameters: all of its block, and of the one of all namespaces where its own says nothing, by full name (input.compressed).
    """

    namespace: str = ""
    topics: dict[str, str] = field(default_factory=dict)
    compressed: bool = False
    calibration: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def ros_arguments(self) -> list[str]:
        """What connects a node of ours to this camera, for behind `--ros-args`."""
        words = [word for name, topic in self.topics.items() for word in ("-r", f"{name}:={topic}")]
        return words + (["-r", f"__ns:=/{self.namespace}"] if self.namespace else [])


def cameras(path: str | Path) -> list[Camera]:
    """The cameras of a parameter file: those of its namespaces; without any, the one of all namespaces, whose topics may be unknown.

    Raises BadInput where the file cannot be read, is no parameter file, or remaps what is no input.
    """
    try:
        blocks = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise BadInput(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(blocks, dict):
        raise BadInput(f"{path}: wanted ROS parameters, names of nodes and `ros__parameters` below each, got {type(blocks).__name__}")
    told: dict[str, dict[str, Any]] = {}
    for node in (r"\*\*?", "drive"):  # as ROS has it, what is said of a node by name counts more than what is said of all
        for name, block in blocks.items():
            values = block.get("ros__parameters") if isinstance(block, dict) else None
            if isinstance(values, dict) and (match := re.fullmatch(rf"/?(?:([A-Za-z_][\w/]*)/)?{node}", str(name))):
                told[match[1] or ""] = told.get(match[1] or "", {}) | dict(_flat(values))
    found = {namespace: _camera(path, namespace, values) for namespace, values in told.items()}
    everywhere = found.pop("", Camera())
    own = [replace(camera, parameters=everywhere.parameters | camera.parameters) for camera in found.values() if camera.topics]
    return own or [everywhere]


def _camera(path: str | Path, namespace: str, told: dict[str, Any]) -> Camera:
    topics = {name.removeprefix("remap."): topic for name, topic in told.items() if name.startswith("remap.")}
    parameters = {name: value for name, value in told.items() if name != "remap" and not name.startswith("remap.")}
    where = f"{path}: {f'/{namespace}: ' if namespace else ''}remap"
    if told.get("remap") or not all(isinstance(topic, str) and topic for topic in topics.values()):
        raise BadInput(f"{where}: wanted topics of {', '.join(INPUTS)}, got {told.get('remap') or topics!r}")
    if unknown := [name for name in topics if name not in INPUTS]:
        raise BadInput(f"{where}: wanted {', '.join(INPUTS)}, got {unknown[0]!r}")
    known = {name: topics[name] for name in INPUTS if name in topics}
    return Camera(namespace, known, parameters.get("input.compressed") is True, str(parameters.get("input.calibration") or ""), parameters)


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def written(blocks: Iterable[tuple[Camera, Lines]], *, head: Sequence[str]) -> str:
    """The file's text: `head` as comments, then a block for each camera.

    blocks: the camera and lines (parameter, value, comment); a parameter `a.b` is written as `b` below `a`, and neighbours share their
    `a`; one that begins with # is written as a comment, for somebody to fill in.
    """
    out = [f"# {line}".rstrip() for line in head]
    for camera, lines in blocks:
        out += [f"/{camera.namespace}/*:" if camera.namespace else f"{ANY}:", "  ros__parameters:"]
        above = ""
        for name, value, comment in lines:
            group, _, key = name.lstrip("#").rpartition(".")
            if group != above:
                out += [f"    {group}:"] if group else []
                above = group
            hidden = "# " if name.startswith("#") else ""
            text = f"{'      ' if group else '    '}{hidden}{key}: {_plain(value)}"
            out.append(f"{text:57s} # {comment}" if comment else text)
    return "\n".join(out) + "\n"


def _plain(value: Any) -> str:
    """A value as YAML: text bare where that is what it then reads as."""
    if isinstance(value, str) and re.fullmatch(r"[\w./~-]+", value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)
