"""Messages -> a rosbag2 directory."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import lru_cache
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
_LATCHED = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, _FOREVER, _FOREVER,
               QosLiveliness.AUTOMATIC, _FOREVER, False)


class Writer:
    """Writes a rosbag2 directory (metadata.yaml and one mcap or sqlite3 file); the same input gives the same mcap bytes.

    Use it as a context manager. It writes beside the target under a temporary name, and the target appears when the
    block ends well; after an exception nothing is left.

    Args:
        path: the bag's directory; must not exist yet.
        storage: "mcap" or "sqlite3".
        types: a rosbags typestore, for messages that ROS 2 Jazzy's own does not have.
    Raises:
        BadInput: the path exists or cannot be written, or the storage is unknown.
    """

    def __init__(self, path: str | Path, *, storage: str = "mcap", types: Any = TYPES) -> None:
        self.path = Path(path)
        if storage not in _STORAGES:
            raise BadInput(f"storage: wanted one of {', '.join(_STORAGES)}, got {storage!r}")
        if self.path.exists():
            raise BadInput(f"{self.path}: exists already, and a bag is never written over another")
        self._types = types
        self._connections: dict[tuple[str, str], Connection] = {}
        # rosbags names the file inside after its directory, and the name stands in the file too. One name for all: the same
        # messages give the same bytes wherever they are written.
        self._partial = self.path.parent / f".{self.path.name}.partial"
        shutil.rmtree(self._partial, ignore_errors=True)
        self._writer = rosbag2.Writer(self._partial / "bag", version=9, storage_plugin=_STORAGES[storage])

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
            definition_of(topic, type_name, types=self._types)
            self._connections[topic, type_name] = self._writer.add_connection(
                topic, type_name, typestore=self._types, offered_qos_profiles=[_LATCHED] if latched else [])
        self._writer.write(self._connections[topic, type_name], int(stamp_ns), cdr)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._writer.close()
                (self._partial / "bag").rename(self.path)
            else:
                with suppress(OSError):  # a full disk: the first error tells more
                    self._writer.abort()
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)


def definition_of(topic: str, type_name: str, definition: str = "", types: Any = TYPES) -> str:
    """A type's definition as mcap's ros2msg has it: the one that is given, if it can be read, else the typestore's; BadInput."""
    if definition:
        type_hash(type_name, definition)
        return definition
    if type_name not in types.fielddefs:
        raise BadInput(f"{topic}: message type {type_name} is not known")
    return str(types.generate_msgdef(type_name, ros_version=2)[0])


@lru_cache(maxsize=256)
def type_hash(type_name: str, definition: str) -> str:
    """REP 2016's hash of a type, from its definition."""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(get_types_from_msg(definition, type_name))
        return store.hash_rihs01(type_name)
    except Exception as error:  # a definition can be wrong in any way
        raise BadInput(f"{type_name}: its definition cannot be read ({' '.join(str(error).split())})") from None
