"""What every file of a recording begins with: without calibration and static transforms, it could not be used alone."""

from __future__ import annotations

from collections.abc import Iterator

from depth_perception.record.mcap_file import Channel

CALIBRATION = "sensor_msgs/msg/CameraInfo"
# Static transforms come from many publishers, each of which has said something once; of maps and the like only the last one is true.
_PIECEMEAL = "tf2_msgs/msg/TFMessage"
_MOST = 100


class Kept:
    """The last CameraInfo of each camera, the last message of each latched topic, and every different one of static transforms."""

    def __init__(self) -> None:
        self._calibrations: dict[Channel, bytes] = {}
        self._latched: dict[Channel, dict[bytes, None]] = {}

    def see(self, channel: Channel, cdr: bytes, *, latched: bool) -> None:
        """A message that goes by."""
        if channel.type_name == CALIBRATION:
            self._calibrations[channel] = cdr
        elif latched:
            said = self._latched.setdefault(channel, {})
            if channel.type_name != _PIECEMEAL:
                said.clear()
            said.pop(cdr, None)  # what was said last stands last
            said[cdr] = None
            if len(said) > _MOST:
                del said[next(iter(said))]

    def __iter__(self) -> Iterator[tuple[Channel, bytes]]:
        """(channel, message): static transforms and other latched ones first."""
        for channel, said in self._latched.items():
            for cdr in said:
                yield channel, cdr
        yield from self._calibrations.items()
