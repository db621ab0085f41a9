"""Finishes a bag whose recorder was killed: every whole message under a new index, and metadata.yaml."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rosbags import rosbag2

from depth_perception.bag.salvage import Scan
from depth_perception.frame import BadInput
from depth_perception.record import metadata
from depth_perception.record.mcap_file import Channel, McapFile, is_being_written
from depth_perception.record.metadata import FileEntry

_REPAIRING = ".repairing"


@dataclass(frozen=True)
class Repaired:
    """Attributes:
    files: names of the files that were written anew.
    messages: how many the bag has now.
    lost: sentences on what could not be read in the broken files.
    """

    files: list[str]
    messages: int
    lost: list[str]


def repair(path: str | Path, *, progress: Callable[[str], None] | None = None) -> Repaired:
    """Makes a bag whole, in its place. A file is replaced when its repaired copy is on the disk, and not before; doing it twice is once.

    Args:
        path: a rosbag2 directory of mcap files, or one bare mcap file.
        progress: told the name of each file that is written anew.
    Raises:
        BadInput: no bag, one of another storage, nothing in it can be read, or there is no room for a copy of its largest broken file.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: wanted a bag to repair, but nothing is there")
    files = [path] if path.is_file() else sorted(path.glob("*.mcap"), key=lambda file: (len(file.name), file.name))
    if not files or files[0].suffix != ".mcap":
        raise BadInput(f"{path}: wanted a bag of mcap files to repair, and there is none in it")
    for file in files:
        if is_being_written(file):
            raise BadInput(f"{file}: is still being recorded; end the recorder first")
    entries, written, lost, empty = [], [], [], []
    for file in files:
        entry = _whole(file)
        if entry is None:
            if progress is not None:
                progress(file.name)
            entry, skipped = _written_anew(file)
            written.append(file.name)
            lost += [f"{file.name}: {sentence}" for sentence in skipped]
        if entry is None:
            empty.append(file.name)
        else:
            entries.append(entry)
    if not entries:
        raise BadInput(f"{path}: no message in it can be read: {'; '.join(lost)}")
    said = _said(path)
    if path.is_dir() and (written or said.get("relative_file_paths") != [entry.name for entry in entries]):
        try:
            metadata.write(path, entries, said.get("custom_data"))
        except OSError as error:
            raise BadInput(f"{path}: its files are whole, metadata.yaml cannot be written ({error.strerror})") from None
    lost += [f"{name}: no message in it, left as it is" for name in empty]
    return Repaired([name for name in written if name not in empty], sum(entry.count for entry in entries), lost)


def _said(path: Path) -> dict[str, Any]:
    """What metadata.yaml tells; nothing where it is missing or damaged."""
    try:
        return dict(yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))["rosbag2_bagfile_information"])
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return {}


def _whole(file: Path) -> FileEntry | None:
    """What a file with its index holds; None for another one."""
    try:
        with rosbag2.Reader(file) as reader:
            counts = {
                Channel(row.topic, row.msgtype, row.msgdef.data, metadata.as_yaml(_offers(row)),
                        "ros2idl" if row.msgdef.format.name == "IDL" else "ros2msg", row.ext.serialization_format): row.msgcount
                for row in reader.connections}
            if not reader.message_count:
                return FileEntry(file.name, 2**63 - 1, 0, counts)
            # A file may end with its index and yet be damaged inside: only reading it tells.
            if sum(1 for _ in reader.messages()) != reader.message_count:
                return None
            return FileEntry(file.name, reader.start_time, reader.end_time - 1, counts)
    except Exception:  # a damaged file can break its reader in any way
        return None


def _offers(row: object) -> list[dict[str, object]]:
    return [metadata.profile(reliable=offer.reliability.name == "RELIABLE", latched=offer.durability.name == "TRANSIENT_LOCAL",
                             depth=offer.depth) for offer in row.ext.offered_qos_profiles]  # type: ignore[attr-defined]


def _written_anew(file: Path) -> tuple[FileEntry | None, list[str]]:
    """What is in the repaired file, None without a message, and what was lost."""
    partial = file.with_name(file.name + _REPAIRING)
    partial.unlink(missing_ok=True)
    scan = Scan(file)
    new = None
    try:
        for record in scan.messages():
            new = new or McapFile(partial, compression=scan.compression)
            channel = Channel(record.topic, record.definition.type_name, record.definition.text, scan.offers.get(record.topic, ""),
                              record.definition.encoding, record.serialization)
            new.write(channel, record.log_ns, record.data)
        if new is None:
            return None, scan.skipped
        new.flush()
        entry = FileEntry(file.name, new.start_ns, new.end_ns, dict(new.counts))
        new.close({"rosbag2": {"serialized_metadata": metadata.as_yaml(metadata.information([entry]))}})
        partial.replace(file)
        metadata.sync(file.parent)
        return entry, scan.skipped
    except OSError as error:
        raise BadInput(f"{file}: its repaired copy cannot be written ({error.strerror}); the file is as it was") from None
    finally:
        if new is not None:
            new.abandon()
        partial.unlink(missing_ok=True)
