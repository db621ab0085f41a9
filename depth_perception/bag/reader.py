"""A rosbag2 recording -> raw messages, in constant memory."""

from __future__ import annotations

import heapq
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import lz4.frame
import yaml
from rosbags import rosbag2
from rosbags.interfaces import QosDurability
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from depth_perception.bag.salvage import Definition, Scan, zstd
from depth_perception.frame import BadInput

_STORAGES = (".mcap", ".db3")
_PACKED = (".zstd", ".zst", ".lz4")
_ZSTD_MAGIC, _LZ4_MAGIC = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
_MOST_SENTENCES = 20
Message = tuple[str, str, int, bytes]  # topic, type name, log time in ns, CDR bytes


class Bag:
    """A rosbag2 directory, or one bare .mcap or .db3 file, opened for reading.

    Split files, and file, message and chunk compression (zstd, lz4), are taken as they come; a directory without
    metadata.yaml (its recorder was killed) is read all the same. Of a cut or damaged mcap file, what is whole is read.

    Attributes:
        path: what was opened.
        topics: name -> (type name, number of messages).
        latched: topics that a publisher offered as transient local (TF static, maps): who joins late is owed them.
        start_ns, end_ns: log times of the first and the last message, nanoseconds.
        skipped: sentences on what could not be read; `messages` may add to them.
    Raises:
        BadInput: nothing there, not a bag, damaged beyond use, or without messages.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.skipped: list[str] = []
        self.latched: set[str] = set()
        self._jazzy = get_typestore(Stores.ROS2_JAZZY)
        self._stores: dict[str, Typestore] = {}
        self._definitions: dict[str, Definition] = {}
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        counts: dict[str, tuple[str, int]] = {}
        files = []
        for name in self._storage_files():
            file = _File(self._unpack(name), self._skip)
            for topic, type_name, count in file.topics:
                counts[topic] = (type_name, counts.get(topic, ("", 0))[1] + count)
            self._definitions.update(file.definitions)
            self.latched |= file.latched
            if file.start_ns <= file.end_ns:
                files.append(file)
        if not files:
            reason = f": {self.skipped[0]}" if self.skipped else " (an empty recording)"
            raise BadInput(f"{self.path}: no message in it can be read{reason}")
        self._files = sorted(files, key=lambda file: file.start_ns)
        self.topics = dict(sorted(counts.items()))
        self.start_ns = min(file.start_ns for file in files)
        self.end_ns = max(file.end_ns for file in files)

    def messages(self, topics: Collection[str] | None = None, start_ns: int | None = None) -> Iterator[Message]:
        """(topic, type name, log time in ns, CDR bytes) in the order of log time, also of files that were recorded side by side; all topics
        when None. Only files that overlap in time are open together, and of each just its next message is held."""
        waiting = [file for file in self._files if start_ns is None or file.end_ns >= start_ns]
        heads: list[tuple[int, int, Message, Iterator[Message]]] = []  # by log time; at one moment the file that began first comes first
        place = 0
        while heads or place < len(waiting):
            if place < len(waiting) and (not heads or waiting[place].start_ns < heads[0][0]):
                rest = waiting[place].messages(topics, start_ns)
                if (message := next(rest, None)) is not None:
                    heapq.heappush(heads, (message[2], place, message, rest))
                place += 1
                continue
            _, of, message, rest = heads[0]
            yield message
            if (message := next(rest, None)) is not None:
                heapq.heapreplace(heads, (message[2], of, message, rest))
            else:
                heapq.heappop(heads)

    def decode(self, type_name: str, raw: bytes) -> Any:
        """CDR bytes -> message, as the bag itself defines the type, else as ROS 2 Jazzy does. Raises BadInput."""
        if type_name not in self._stores:
            self._stores[type_name] = self._store_of(type_name)
        try:
            return self._stores[type_name].deserialize_cdr(raw, type_name)
        except Exception as error:  # whatever damaged bytes do to the deserialiser
            raise BadInput(f"{type_name}: a message of {len(raw)} bytes cannot be deserialised ({type(error).__name__})") from None

    def definition(self, type_name: str) -> str:
        """A type's .msg text and those of the types in it, as mcap's ros2msg has them. Raises BadInput."""
        if type_name not in self._stores:
            self._stores[type_name] = self._store_of(type_name)
        return str(self._stores[type_name].generate_msgdef(type_name, ros_version=2)[0])

    def _store_of(self, type_name: str) -> Typestore:
        definition = self._definitions.get(type_name)
        if definition is None or not definition.text:
            if type_name not in self._jazzy.fielddefs:
                raise BadInput(f"{self.path}: message type {type_name} is neither known nor defined in the bag")
            return self._jazzy
        try:
            text = definition.text
            types = get_types_from_idl(text) if definition.encoding == "ros2idl" else get_types_from_msg(text, type_name)
            try:
                self._jazzy.register(types)
                return self._jazzy
            except TypesysError:  # another release of ROS defined it otherwise
                store = get_typestore(Stores.EMPTY)
                store.register(types)
                return store
        except Exception as error:  # a definition can be wrong in any way
            raise BadInput(f"{self.path}: the bag's definition of {type_name} cannot be read ({' '.join(str(error).split())})") from None

    def _skip(self, sentence: str) -> None:
        if sentence not in self.skipped and len(self.skipped) < _MOST_SENTENCES:
            self.skipped.append(sentence)

    def _storage_files(self) -> list[Path]:
        if not self.path.exists():
            raise BadInput(f"{self.path}: wanted a bag, but nothing is there")
        if self.path.is_file():
            if not is_storage(self.path):
                hint = " (a ROS 1 bag: convert it with rosbags-convert)" if self.path.suffix == ".bag" else ""
                raise BadInput(f"{self.path}: wanted a rosbag2 directory, an .mcap or a .db3 file{hint}")
            return [self.path]
        files = sorted((file for file in self.path.iterdir() if is_storage(file) and file.is_file()), key=_natural)
        # A file that was decompressed beside its packed form is one recording, not two.
        files = [file for file in files if not (file.suffix in _PACKED and file.with_suffix("") in files)]
        for name in self._listed():
            if not (self.path / name).exists():
                self._skip(f"{name}: listed in metadata.yaml, but not there")
        if not files:
            raise BadInput(f"{self.path}: not a bag: no .mcap or .db3 file in this directory")
        return files

    def _listed(self) -> list[str]:
        """File names in metadata.yaml; it is only asked for what is missing, so a damaged one does no harm."""
        try:
            values = yaml.safe_load((self.path / "metadata.yaml").read_text(encoding="utf-8"))
            return [Path(name).name for name in values["rosbag2_bagfile_information"]["relative_file_paths"]]
        except FileNotFoundError:
            self._skip("metadata.yaml is missing: its recorder did not end well")
        except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
            self._skip("metadata.yaml cannot be read")
        return []

    def _unpack(self, file: Path) -> Path:
        """The plain file of a compressed one, in a temporary directory that lives as long as the bag."""
        if file.suffix not in _PACKED:
            return file
        if self._unpacked is None:
            self._unpacked = tempfile.TemporaryDirectory(prefix="bag-")
        plain = Path(self._unpacked.name) / file.stem
        try:
            with (lz4.frame.open(file) if file.suffix == ".lz4" else zstd.open(file)) as packed, plain.open("wb") as out:
                _copy(packed, out)
        except (OSError, EOFError, RuntimeError, zstd.ZstdError) as error:
            self._skip(f"{file.name}: cut or damaged, only its beginning could be decompressed ({error})")
        return plain


class _File:
    """One storage file: through its index where that is whole, else record by record."""

    def __init__(self, path: Path, skip: Any) -> None:
        self.path = path
        self._say = lambda sentence: skip(f"{path.name}: {sentence}")
        self.topics: list[tuple[str, str, int]] = []
        self.definitions: dict[str, Definition] = {}
        self.latched: set[str] = set()
        self.start_ns, self.end_ns = 2**63, -1
        self._is_indexed = True
        try:
            self._open_indexed()
        except Exception as error:  # a damaged file can break its reader in any way; what counts is what is left
            if path.suffix != ".mcap":
                self._say(f"cannot be read ({' '.join(str(error).split())})")
                return
            self._is_indexed = False
            self._open_scanning()

    def _open_indexed(self) -> None:
        with rosbag2.Reader(self.path) as reader:
            for connection in reader.connections:
                if connection.ext.serialization_format != "cdr":
                    self._say(f"{connection.topic} is not CDR but {connection.ext.serialization_format!r}")
                    continue
                self.topics.append((connection.topic, connection.msgtype, connection.msgcount))
                if any(qos.durability is QosDurability.TRANSIENT_LOCAL for qos in connection.ext.offered_qos_profiles):
                    self.latched.add(connection.topic)
                if connection.msgdef.data:
                    encoding = "ros2idl" if connection.msgdef.format.name == "IDL" else "ros2msg"
                    self.definitions[connection.msgtype] = Definition(connection.msgtype, encoding, connection.msgdef.data)
            if reader.message_count:
                self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1

    def _open_scanning(self) -> None:
        self.topics.clear()
        counts: dict[tuple[str, str], int] = {}
        scan = Scan(self.path)
        for record in scan.messages():
            if record.serialization != "cdr":
                self._say(f"{record.topic} is not CDR but {record.serialization!r}")
                continue
            key = record.topic, record.definition.type_name
            counts[key] = counts.get(key, 0) + 1
            self.definitions[record.definition.type_name] = record.definition
            self.start_ns, self.end_ns = min(self.start_ns, record.log_ns), max(self.end_ns, record.log_ns)
        self.topics = [(*key, count) for key, count in counts.items()]
        self.latched = scan.latched
        for sentence in scan.skipped:
            self._say(sentence)

    def messages(self, topics: Collection[str] | None, start_ns: int | None) -> Iterator[Message]:
        after = start_ns
        if self._is_indexed:
            try:
                with rosbag2.Reader(self.path) as reader:
                    wanted = [connection for connection in reader.connections
                              if (topics is None or connection.topic in topics) and connection.ext.serialization_format == "cdr"]
                    for connection, log_ns, raw in reader.messages(wanted, start=start_ns) if wanted else ():
                        after = log_ns + 1
                        yield connection.topic, connection.msgtype, log_ns, _plain(raw)
                return
            except GeneratorExit:
                raise
            except Exception as error:  # as above
                self._say(f"damaged inside ({' '.join(str(error).split())})")
                if self.path.suffix != ".mcap":
                    return
        for record in Scan(self.path).messages():
            if (topics is None or record.topic in topics) and record.serialization == "cdr" and (after is None or record.log_ns >= after):
                yield record.topic, record.definition.type_name, record.log_ns, _plain(record.data)


def _plain(raw: bytes) -> bytes:
    """A message without message compression; no CDR message begins like a compressed one."""
    try:
        if raw[:4] == _ZSTD_MAGIC:
            return zstd.decompress(raw)
        if raw[:4] == _LZ4_MAGIC:
            return lz4.frame.decompress(raw)
    except (zstd.ZstdError, RuntimeError, EOFError):
        return b""  # decoding it raises BadInput, so that its reader counts it
    return raw


def _copy(source: IO[bytes], out: IO[bytes]) -> None:
    while block := source.read(1 << 20):
        out.write(block)


def is_storage(file: Path) -> bool:
    """Whether a file is a bag's, plain or compressed, by its name."""
    return (file.with_suffix("") if file.suffix in _PACKED else file).suffix in _STORAGES


def _natural(file: Path) -> list[Any]:
    """Sorts bag_2 before bag_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]
