"""metadata.yaml of a rosbag2 directory, from what its files hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from depth_perception.bag.writer import type_hash
from depth_perception.frame import BadInput
from depth_perception.record.mcap_file import Channel

_FOREVER = {"sec": 2147483647, "nsec": 4294967295}


@dataclass(frozen=True)
class FileEntry:
    """One storage file: its name, the log times of its first and last message, and its messages by channel."""

    name: str
    start_ns: int
    end_ns: int
    counts: Mapping[Channel, int]

    @property
    def count(self) -> int:
        return sum(self.counts.values())


def profile(*, reliable: bool, latched: bool, depth: int = 10) -> dict[str, Any]:
    """QoS as rosbag2 keeps it with a topic; latched: transient local, for those who join late."""
    return {
        "history": "keep_last", "depth": depth, "reliability": "reliable" if reliable else "best_effort",
        "durability": "transient_local" if latched else "volatile", "deadline": _FOREVER, "lifespan": _FOREVER, "liveliness": "automatic",
        "liveliness_lease_duration": _FOREVER, "avoid_ros_namespace_conventions": False}


def write(directory: Path, files: Sequence[FileEntry], custom: Mapping[str, str] | None = None) -> None:
    """Writes DIRECTORY/metadata.yaml, whole or not at all. custom: rosbag2's custom_data."""
    text = as_yaml({"rosbag2_bagfile_information": information(files, custom)})
    partial = directory / "metadata.yaml.tmp"
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(directory / "metadata.yaml")
    sync(directory)


def information(files: Sequence[FileEntry], custom: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What `ros2 bag info` reads: version 9, as Jazzy writes it."""
    counts: Counter[Channel] = Counter()
    for file in files:
        counts.update(file.counts)
    full = [file for file in files if file.count]
    return {
        "version": 9,
        "storage_identifier": "mcap",
        "relative_file_paths": [file.name for file in files],
        "duration": {"nanoseconds": max((file.end_ns for file in full), default=0) - min((file.start_ns for file in full), default=0)},
        "starting_time": {"nanoseconds_since_epoch": min((file.start_ns for file in full), default=0)},
        "message_count": counts.total(),
        "topics_with_message_count": [
            {"topic_metadata": {"name": channel.topic, "type": channel.type_name, "serialization_format": channel.serialization,
                                "offered_qos_profiles": yaml.safe_load(channel.qos) or [], "type_description_hash": hash_of(channel)},
             "message_count": count}
            for channel, count in counts.items()],
        "compression_format": "",
        "compression_mode": "",
        "files": [{"path": file.name, "starting_time": {"nanoseconds_since_epoch": file.start_ns if file.count else 0},
                   "duration": {"nanoseconds": file.end_ns - file.start_ns if file.count else 0}, "message_count": file.count}
                  for file in files],
        "custom_data": dict(custom) if custom else None,
        "ros_distro": "jazzy",
    }


def hash_of(channel: Channel) -> str:
    """REP 2016's hash of a channel's type; empty where its definition cannot be read."""
    try:
        return type_hash(channel.type_name, channel.definition) if channel.encoding == "ros2msg" else ""
    except BadInput:
        return ""


def sync(path: Path) -> None:
    """A file's bytes, or the names in a directory, outlive a power cut."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def as_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False)


class _Plain(yaml.SafeDumper):
    """Every value in full: other readers know no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
