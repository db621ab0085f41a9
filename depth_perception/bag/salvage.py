"""An mcap file without its index, record by record: a recording that was cut, or one that was damaged.

Format: https://mcap.dev/spec. A record is an opcode, a length and that many bytes; a chunk holds compressed records.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LATCHED = re.compile(r"durability: (transient_local|1)\b")
MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END, _FOOTER = 0x03, 0x04, 0x05, 0x06, 0x0F, 0x02


class Definition(NamedTuple):
    """A message type as the file defines it: encoding is ros2msg or ros2idl."""

    type_name: str
    encoding: str
    text: str


class Record(NamedTuple):
    """One message: its topic, definition, serialisation (cdr), log time in nanoseconds and bytes."""

    topic: str
    definition: Definition
    serialization: str
    log_ns: int
    data: bytes


class Scan:
    """Reads every whole message of a file in the order of the file, one chunk in memory at a time.

    Attributes:
        skipped: sentences on what could not be read; complete after `messages` has run to its end.
        compression: of the chunk that was read last: none, lz4 or zstd.
        offers: topic -> rosbag2's YAML of the QoS profiles that it was offered with; likewise.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped: list[str] = []
        self.offers: dict[str, str] = {}
        self.compression = "none"
        self._definitions: dict[int, Definition] = {}
        self._channels: dict[int, tuple[str, Definition, str]] = {}

    @property
    def latched(self) -> set[str]:
        """Topics that somebody offered as transient local."""
        return {topic for topic, offers in self.offers.items() if _LATCHED.search(offers)}

    def messages(self) -> Iterator[Record]:
        """Every whole message."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            if file.read(8) != MAGIC:
                self.skipped.append("does not begin as an mcap file")
                return
            while True:
                at = file.tell()
                head = file.read(9)
                if len(head) < 9:
                    self._cut(len(head), at)
                    return
                opcode, length = struct.unpack("<BQ", head)
                if opcode in (_DATA_END, _FOOTER):
                    self.skipped.append("its index cannot be used: read record by record")
                    return
                whole = length <= size - at - 9
                if opcode == _CHUNK:
                    yield from self._chunk(file.read(min(length, size - at - 9)), at, whole)
                elif whole and opcode in (_SCHEMA, _CHANNEL, _MESSAGE):
                    yield from self._record(opcode, memoryview(file.read(length)), at)
                elif whole:
                    file.seek(length, 1)
                if not whole:
                    self._cut(size - at, at)
                    return

    def _cut(self, count: int, at: int) -> None:
        rest = f" and the last {count} bytes are no whole record" if count else ""
        self.skipped.append(f"cut at byte {at}: its index is missing{rest}")

    def _chunk(self, body: bytes, at: int, whole: bool) -> Iterator[Record]:
        """The messages of a chunk; of a cut one, those in the part that can still be decompressed."""
        try:
            compression, start = _text(memoryview(body), 28)
            packed = memoryview(body)[start + 8:]
            if compression == "zstd":
                raw = zstd.ZstdDecompressor().decompress(packed)
            elif compression == "lz4":
                raw = lz4.frame.LZ4FrameDecompressor().decompress(bytes(packed))
            elif compression == "":
                raw = bytes(packed)
            else:
                raise ValueError(f"unknown compression {compression!r}")
            self.compression = compression or "none"
            (checksum,) = struct.unpack_from("<I", body, 24)
            if whole and checksum and checksum != zlib.crc32(raw):
                raise ValueError("its checksum is wrong")
        except (struct.error, ValueError, RuntimeError, zstd.ZstdError, EOFError, IndexError) as error:
            if whole:
                self.skipped.append(f"the chunk at byte {at} cannot be read ({error})")
            return
        view, position = memoryview(raw), 0
        while position + 9 <= len(view):
            opcode, length = struct.unpack_from("<BQ", view, position)
            if length > len(view) - position - 9:
                break
            yield from self._record(opcode, view[position + 9:position + 9 + length], at)
            position += 9 + length

    def _record(self, opcode: int, body: memoryview, at: int) -> Iterator[Record]:
        try:
            if opcode == _SCHEMA:
                name, position = _text(body, 2)
                encoding, position = _text(body, position)
                text, _ = _text(body, position)
                self._definitions[struct.unpack_from("<H", body)[0]] = Definition(name, encoding, text)
            elif opcode == _CHANNEL:
                channel, schema = struct.unpack_from("<HH", body)
                topic, position = _text(body, 4)
                serialization, position = _text(body, position)
                self.offers[topic] = _offers(body, position)
                self._channels[channel] = (topic, self._definitions[schema], serialization)
            elif opcode == _MESSAGE:
                channel, _, log_ns = struct.unpack_from("<HIQ", body)
                yield Record(*self._channels[channel], log_ns, bytes(body[22:]))
        except (struct.error, KeyError, UnicodeDecodeError):
            self.skipped.append(f"a record near byte {at} is damaged")


def _offers(body: memoryview, position: int) -> str:
    """offered_qos_profiles of a channel's metadata, a map of strings."""
    end = position + 4 + struct.unpack_from("<I", body, position)[0]
    position += 4
    while position < end:
        key, position = _text(body, position)
        value, position = _text(body, position)
        if key == "offered_qos_profiles":
            return value
    return ""


def _text(body: memoryview, position: int) -> tuple[str, int]:
    """A length-prefixed string at `position` and the position behind it."""
    (length,) = struct.unpack_from("<I", body, position)
    if length > len(body) - position - 4:
        raise struct.error("a string leaves its record")
    return bytes(body[position + 4:position + 4 + length]).decode(), position + 4 + length
