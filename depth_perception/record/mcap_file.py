"""One mcap file that is being recorded: messages go into chunks, and a chunk is on its way to the disk as soon as it ends.

Format: https://mcap.dev/spec, laid out as rosbag2 does. What a killed recorder leaves is whole chunks and perhaps a cut one, each with its
checksum; `bag.salvage` reads them without the index that `close` writes.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import lz4.frame

from depth_perception import __version__

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"\x89MCAP0\r\n"
(_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX, _STATISTICS, _METADATA, _METADATA_INDEX,
 _SUMMARY_OFFSET, _DATA_END) = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F

_MESSAGE_HEAD = struct.Struct("<BQHIQQ")
# A message that is at least so long is handed to the disk from where it lies; shorter ones are gathered first.
_OWN_PIECE = 32768
_MOST_PIECES = 512  # of one writev

# Fast ones: a recorder must keep up. zstd's level 1 reaches a third of lz4's speed.
COMPRESSORS: dict[str, Callable[[bytes], bytes] | None] = {
    "none": None,
    "lz4": lambda raw: lz4.frame.compress(raw, compression_level=-1, store_size=False),
    "zstd": lambda raw: zstd.compress(raw, 1),
}


@dataclass(frozen=True)
class Channel:
    """What messages share. qos: rosbag2's YAML of the QoS profiles that are offered; encoding: of the definition, ros2msg or ros2idl."""

    topic: str
    type_name: str
    definition: str
    qos: str = ""
    encoding: str = "ros2msg"
    serialization: str = "cdr"


class McapFile:
    """A new mcap file at `path`; one thread at a time.

    Args:
        compression: of chunks: "none", "lz4" or "zstd".
        chunk_bytes: a chunk ends when it holds so many.
    Attributes:
        size: bytes that the file has, and those of the chunk that is not written yet.
        counts: how many messages of each channel.
        start_ns, end_ns: log times of the earliest and the latest message; 2**63 - 1 and 0 without one.
    Raises:
        OSError: the file is there already, or the disk does not take it; also from every method.
    """

    def __init__(self, path: Path, *, compression: str = "none", chunk_bytes: int = 4 << 20) -> None:
        self.path = path
        self.counts: dict[Channel, int] = {}
        self.start_ns, self.end_ns = 2**63 - 1, 0
        self._compression, self._compress = "" if compression == "none" else compression, COMPRESSORS[compression]
        self._chunk_bytes = chunk_bytes
        self._schemas: dict[tuple[str, str, str], bytes] = {}
        self._channels: list[bytes] = []
        self._numbers: dict[Channel, int] = {}
        self._chunk_indexes: list[bytes] = []
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody repairs it meanwhile; the kernel frees it when we end
        self._at = 0  # the file's end
        self._chunk_start_ns, self._chunk_end_ns = 2**63 - 1, 0
        self._begin_chunk()
        try:
            self._write([MAGIC, _record(_HEADER, _string("ros2") + _string(f"depth_perception {__version__}"))])
        except OSError:
            self.abandon()
            raise

    @property
    def size(self) -> int:
        return self._at + self._chunk_size

    def add(self, channel: Channel) -> None:
        """Says what messages of a channel are; `write` does so with its first one."""
        schema = (channel.type_name, channel.encoding, channel.definition)
        if schema not in self._schemas:
            self._schemas[schema] = record = _record(_SCHEMA, struct.pack("<H", len(self._schemas) + 1) + b"".join(map(_string, schema)))
            self._gather(record)
        self._numbers[channel] = number = len(self._numbers) + 1
        head = struct.pack("<HH", number, list(self._schemas).index(schema) + 1) + _string(channel.topic) + _string(channel.serialization)
        self._channels.append(record := _record(_CHANNEL, head + _map({"offered_qos_profiles": channel.qos})))
        self.counts[channel] = 0
        self._gather(record)

    def write(self, channel: Channel, log_ns: int, cdr: bytes) -> None:
        """Adds a message."""
        if channel not in self._numbers:
            self.add(channel)
        number = self._numbers[channel]
        self._chunk_start_ns, self._chunk_end_ns = min(self._chunk_start_ns, log_ns), max(self._chunk_end_ns, log_ns)
        self._chunk_messages.setdefault(number, []).append((log_ns, self._chunk_size))
        self.counts[channel] += 1
        self._gather(_MESSAGE_HEAD.pack(_MESSAGE, len(cdr) + 22, number, 0, log_ns, log_ns))
        if len(cdr) < _OWN_PIECE:
            self._gather(cdr)
        else:
            self._pieces += [cdr, bytearray()]
            self._chunk_size += len(cdr)
        if self._chunk_size >= self._chunk_bytes:
            self.flush()

    def flush(self) -> None:
        """Ends the chunk: what was written so far outlives this process."""
        if not self._chunk_size:
            return
        pieces = [piece for piece in self._pieces if len(piece)]
        checksum = 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
        if self._compress is not None:
            pieces = [self._compress(b"".join(pieces))]
        packed = sum(map(len, pieces))
        start_ns = self._chunk_start_ns if self._chunk_messages else 0
        head = struct.pack("<QQQI", start_ns, self._chunk_end_ns, self._chunk_size, checksum) + _string(self._compression)
        head += struct.pack("<Q", packed)
        chunk_at, chunk_length = self._at, 9 + len(head) + packed
        indexes, offsets, index_at = [], [], chunk_at + chunk_length
        for number, rows in self._chunk_messages.items():
            flat = [value for row in sorted(rows) for value in row]
            index = _record(_MESSAGE_INDEX, struct.pack(f"<HI{len(flat)}Q", number, 16 * len(rows), *flat))
            offsets.append(struct.pack("<HQ", number, index_at))
            indexes.append(index)
            index_at += len(index)
        self._write([struct.pack("<BQ", _CHUNK, len(head) + packed) + head, *pieces, b"".join(indexes)])
        body = struct.pack("<QQQQI", start_ns, self._chunk_end_ns, chunk_at, chunk_length, 10 * len(offsets)) + b"".join(offsets)
        body += struct.pack("<Q", index_at - chunk_at - chunk_length) + _string(self._compression)
        self._chunk_indexes.append(_record(_CHUNK_INDEX, body + struct.pack("<QQ", packed, self._chunk_size)))
        if self._chunk_messages:
            self.start_ns, self.end_ns = min(self.start_ns, self._chunk_start_ns), max(self.end_ns, self._chunk_end_ns)
        self._begin_chunk()

    def pending(self) -> dict[Channel, int]:
        """How many messages of each channel are in the chunk that is not written yet, or could not be."""
        return {channel: len(self._chunk_messages.get(number, ())) for channel, number in self._numbers.items()}

    def sync(self) -> None:
        """What was flushed outlives a power cut."""
        os.fdatasync(self._file)

    def close(self, metadata: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Ends the file: metadata records by name, the index, and what the file holds; then it is on the disk."""
        self.flush()
        metadata_indexes = []
        for name, values in (metadata or {}).items():
            record = _record(_METADATA, _string(name) + _map(values))
            metadata_indexes.append(_record(_METADATA_INDEX, struct.pack("<QQ", self._at, len(record)) + _string(name)))
            self._write([record])
        self._write([_record(_DATA_END, struct.pack("<I", 0))])
        counts = b"".join(struct.pack("<HQ", self._numbers[channel], count) for channel, count in self.counts.items())
        start_ns = self.start_ns if self.end_ns else 0
        statistics = struct.pack("<QHIIII", sum(self.counts.values()), len(self._schemas), len(self.counts), 0, len(metadata_indexes),
                                 len(self._chunk_indexes)) + struct.pack("<QQI", start_ns, self.end_ns, len(counts)) + counts
        groups = {_SCHEMA: list(self._schemas.values()), _CHANNEL: self._channels, _CHUNK_INDEX: self._chunk_indexes,
                  _METADATA_INDEX: metadata_indexes, _STATISTICS: [_record(_STATISTICS, statistics)]}
        summary_at, summary, offsets = self._at, bytearray(), bytearray()
        for opcode, records in groups.items():
            start = summary_at + len(summary)
            summary += b"".join(records)
            if records:
                offsets += _record(_SUMMARY_OFFSET, struct.pack("<BQQ", opcode, start, summary_at + len(summary) - start))
        footer = struct.pack("<BQQQ", _FOOTER, 20, summary_at, summary_at + len(summary))
        checksum = zlib.crc32(footer, zlib.crc32(offsets, zlib.crc32(summary)))
        self._write([bytes(summary), bytes(offsets), footer, struct.pack("<I", checksum), MAGIC])
        self.sync()
        self.abandon()

    def abandon(self) -> None:
        """Closes the file as it is, without what was not flushed."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _begin_chunk(self) -> None:
        self._pieces: list[bytearray | bytes | memoryview] = [bytearray()]
        self._chunk_size = 0
        self._chunk_start_ns, self._chunk_end_ns = 2**63 - 1, 0
        self._chunk_messages: dict[int, list[tuple[int, int]]] = {}

    def _gather(self, data: bytes | memoryview) -> None:
        self._pieces[-1] += data  # type: ignore[operator]
        self._chunk_size += len(data)

    def _write(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        waiting = [memoryview(piece) for piece in pieces if len(piece)]
        while waiting:
            count = os.writev(self._file, waiting[:_MOST_PIECES])
            self._at += count
            while waiting and count >= len(waiting[0]):
                count -= len(waiting.pop(0))
            if count:
                waiting[0] = waiting[0][count:]


def is_being_written(path: Path) -> bool:
    """Whether a McapFile is open on it, in whatever process."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _record(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(body)) + body


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def _map(values: Mapping[str, str]) -> bytes:
    body = b"".join(_string(key) + _string(value) for key, value in values.items())
    return struct.pack("<I", len(body)) + body
