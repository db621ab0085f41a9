"""Images and clouds out of their serialised bytes (CDR), without a copy of what is large.

ROS 2 copies a message's payload three times until Python has it as a message, and once less as bytes. Here the header is read and the
payload is seen through a view, so what comes out has the attributes that `decode.image` and `decode.scan` read.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

from depth_perception.frame import BadInput

_MOST_FIELDS = 256  # of a cloud; more is another kind of bytes


class _Reader:
    """CDR as DDS writes it (XCDR1): every number is aligned to its size, counted from the fifth byte."""

    def __init__(self, buffer: Any, name: str) -> None:
        self._bytes, self._name, self._at = memoryview(buffer), name, 4
        if len(self._bytes) < 4 or bytes(self._bytes[:2]) not in (b"\0\0", b"\0\1"):
            raise BadInput(f"{name}: wanted serialised bytes of a plain CDR message, got {bytes(self._bytes[:4]).hex() or 'nothing'}")
        self._order = "<" if self._bytes[1] else ">"

    def number(self, kind: str) -> int:
        """One integer of a `struct` format: B, i or I."""
        size = struct.calcsize(kind)
        self._at += -self._at % size
        try:
            (value,) = struct.unpack_from(self._order + kind, self._bytes, self._at)
        except struct.error:
            raise self._ended(size) from None
        self._at += size
        return int(value)

    def view(self) -> memoryview:
        """A sequence of bytes, where it lies."""
        length = self.number("I")
        if length > len(self._bytes) - self._at:
            raise self._ended(length)
        self._at += length
        return self._bytes[self._at - length : self._at]

    def text(self) -> str:
        """A string; what is not UTF-8 is replaced."""
        return bytes(self.view()).rstrip(b"\0").decode(errors="replace")

    def header(self) -> SimpleNamespace:
        """std_msgs/Header."""
        stamp = SimpleNamespace(sec=self.number("i"), nanosec=self.number("I"))
        return SimpleNamespace(stamp=stamp, frame_id=self.text())

    def _ended(self, wanted: int) -> BadInput:
        return BadInput(f"{self._name}: wanted {wanted} bytes at byte {self._at}, its {len(self._bytes)} bytes end there")


def serialized_image(buffer: Any) -> Any:
    """Bytes of a sensor_msgs/Image -> its header, height, width, encoding, is_bigendian, step and data, a view. Raises BadInput."""
    cdr = _Reader(buffer, "image")
    return SimpleNamespace(
        header=cdr.header(),
        height=cdr.number("I"),
        width=cdr.number("I"),
        encoding=cdr.text(),
        is_bigendian=cdr.number("B"),
        step=cdr.number("I"),
        data=cdr.view(),
    )


def serialized_cloud(buffer: Any) -> Any:
    """Bytes of a sensor_msgs/PointCloud2 -> header, height, width, fields, ... and data, a view. Raises BadInput."""
    cdr = _Reader(buffer, "cloud")
    header, height, width, count = cdr.header(), cdr.number("I"), cdr.number("I"), cdr.number("I")
    if count > _MOST_FIELDS:
        raise BadInput(f"cloud: wanted at most {_MOST_FIELDS} fields, got {count}")
    return SimpleNamespace(
        header=header,
        height=height,
        width=width,
        fields=[
            SimpleNamespace(name=cdr.text(), offset=cdr.number("I"), datatype=cdr.number("B"), count=cdr.number("I"))
            for _ in range(count)
        ],
        is_bigendian=bool(cdr.number("B")),
        point_step=cdr.number("I"),
        row_step=cdr.number("I"),
        data=cdr.view(),
        is_dense=bool(cdr.number("B")),
    )
