"""Messages -> a rosbag2 directory."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags import rosbag2
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from depth_perception.bag.messages import TYPES
from depth_perception.frame import BadInput

_STORAGES = {"mcap": rosbag2.StoragePlugin.MCAP, "sqlite3": rosbag2.StoragePlugin.SQLITE3}
_FOREVER = QosTime(2147483647, 4294967295)


class Writer:
    """Writes a rosbag2 directory (metadata.yaml and one mcap or sqlite3 file); the same input gives the same mcap bytes.

    Use it as a context manager. It writes beside the target under a temporary name, and the target appears when the
    block ends well; after an exception nothing is left.

    Args:
        path: the bag's directory; must not exist yet.
        storage: "mcap" or "sqlite3".
        types: a rosbags typestore, for messages that ROS 2 Jazzy's own does not have.
        in_place: write at `path` from the first byte, and leave what there is after an exception or a crash: a recording
            cannot be made again. metadata.yaml is missing then, and `Bag` reads it all the same.
    Raises:
        BadInput: the path exists or cannot be written, or the storage is unknown.
    """

    def __init__(self, path: str | Path, *, storage: str = "mcap", types: Any = TYPES, in_place: bool = False) -> None:
        self.path = Path(path)
        if storage not in _STORAGES:
            raise BadInput(f"storage: wanted one of {', '.join(_STORAGES)}, got {storage!r}")
        if self.path.exists():
            raise BadInput(f"{self.path}: exists already, and a bag is never written over another")
        self._types = types
        self._connections: dict[tuple[str, str], Connection] = {}
        # rosbags names the file inside after its directory, and the name stands in the file too. One name for all: the same
        # messages give the same bytes wherever they are written.
        self._partial = None if in_place else self.path.parent / f".{self.path.name}.partial"
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
        self._writer = rosbag2.Writer(self.path if self._partial is None else self._partial / "bag", version=9,
                                      storage_plugin=_STORAGES[storage])

    def __enter__(self) -> Writer:
        try:
            self._writer.open()
        except OSError as error:
            raise BadInput(f"{self.path}: a bag cannot be written there ({error.strerror})") from None
        return self

    def write(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Writes one message of the typestore under `topic`, logged at `stamp_ns`."""
        type_name = message.__msgtype__
        self.write_raw(topic, type_name, bytes(self._types.serialize_cdr(message, type_name)), stamp_ns)

    def write_raw(self, topic: str, type_name: str, cdr: bytes | memoryview, stamp_ns: int) -> None:
        """Writes one message that is serialised already (CDR with its 4-byte header)."""
        if (topic, type_name) not in self._connections:
            # A static transform is sent once: whoever plays the bag must offer it to late joiners as well.
            latched = topic.rsplit("/", 1)[-1] == "tf_static"
            self._connect(topic, type_name, "", [_offer(depth=1, reliable=True, latched=True)] if latched else [])
        self._writer.write(self._connections[topic, type_name], int(stamp_ns), cdr)

    def add_topic(self, topic: str, type_name: str, *, definition: str = "", reliable: bool = True, latched: bool = False) -> None:
        """Says before a topic's first message how it is offered and what its type is.

        definition: the type's .msg text followed by those of the types in it, as mcap's ros2msg has them; empty: the typestore's.
        Raises BadInput when the type is not known or the definition cannot be read.
        """
        if (topic, type_name) not in self._connections:
            self._connect(topic, type_name, definition, [_offer(depth=100 if latched else 10, reliable=reliable, latched=latched)])

    def flush(self) -> None:
        """What was written so far outlives this process (mcap only; it ends the chunk that was begun)."""
        storage: Any = self._writer.storage
        if storage.chunk.bio.tell():
            storage.close_chunk()
        storage.bio.flush()

    def _connect(self, topic: str, type_name: str, definition: str, offers: list[Qos]) -> None:
        if definition:
            kind = {"msgdef": definition, "rihs01": _type_hash(type_name, definition)}
        elif type_name in self._types.fielddefs:
            kind = {"typestore": self._types}
        else:
            raise BadInput(f"{topic}: message type {type_name} is not known")
        self._connections[topic, type_name] = self._writer.add_connection(topic, type_name, offered_qos_profiles=offers, **kind)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._writer.close()
                if self._partial is not None:
                    (self._partial / "bag").rename(self.path)
            else:
                with suppress(OSError):  # a full disk: the first error tells more
                    self._writer.abort()
        finally:
            if self._partial is not None:
                shutil.rmtree(self._partial, ignore_errors=True)


def _offer(*, depth: int, reliable: bool, latched: bool) -> Qos:
    return Qos(QosHistory.KEEP_LAST, depth, QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
               QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE, _FOREVER, _FOREVER, QosLiveliness.AUTOMATIC, _FOREVER,
               False)


def _type_hash(type_name: str, definition: str) -> str:
    """REP 2016's hash of a type, from its definition."""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(definition, type_name))
        return store.hash_rihs01(type_name)
    except Exception as error:  # a definition can be wrong in any way
        raise BadInput(f"{type_name}: its definition cannot be read ({' '.join(str(error).split())})") from None
