"""A rosbag2 directory that is being recorded: one mcap file after another, each of which can be read without the others."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from depth_perception.frame import BadInput
from depth_perception.record import metadata
from depth_perception.record.kept import Kept
from depth_perception.record.mcap_file import Channel, McapFile
from depth_perception.record.metadata import FileEntry


@dataclass(frozen=True)
class Splits:
    """When a file ends and how much is kept; 0: never, or everything.

    Attributes:
        bytes: a file ends before it becomes longer than this.
        seconds: a file ends when it holds messages of so long a time.
        keep_bytes: the oldest files go when all together are longer than this.
        floor_bytes: the oldest files go, and then nothing is written any more, when less than this is free on the disk.
    """

    bytes: int = 0
    seconds: float = 0.0
    keep_bytes: int = 0
    floor_bytes: int = 0


class SplitBag:
    """PATH/NAME_0.mcap, PATH/NAME_1.mcap, ... and, at the end, PATH/metadata.yaml; one thread at a time.

    Args:
        kept: what each file begins with. It is told what goes by.
    Attributes:
        files: the finished files, oldest first.
        forgotten: how many files `keep_bytes` or `floor_bytes` has cost.
    Raises:
        BadInput: there is something at `path` already, or a bag cannot be written there.
        OSError: the disk takes nothing more; from every method.
    """

    def __init__(self, path: Path, *, kept: Kept, compression: str = "none", chunk_bytes: int = 4 << 20, splits: Splits = Splits()) -> None:
        self.path = path
        self.files: list[FileEntry] = []
        self.forgotten = 0
        self._kept, self._compression, self._chunk_bytes, self._splits = kept, compression, chunk_bytes, splits
        self._sizes: dict[str, int] = {}
        self._finished = 0  # their sum: other threads ask for it
        self._number = 0
        self._first_ns: int | None = None  # of the file that is written
        self._head = 0  # bytes that the file begins with before the first message: they say nothing of how full it is
        if os.path.lexists(path):
            raise BadInput(f"{path}: exists already, and a bag is never written over another")
        try:
            path.mkdir(parents=True)
            self._file: McapFile | None = self._next()
        except OSError as error:
            raise BadInput(f"{path}: a bag cannot be written there ({error.strerror})") from None

    @property
    def size(self) -> int:
        """Bytes of all files that are still there."""
        file = self._file
        return self._finished + (file.size if file else 0)

    def write(self, channel: Channel, cdr: bytes, log_ns: int, *, latched: bool = False) -> None:
        """Adds a message, to the next file where this one is full."""
        if self._file is not None and self._is_full(len(cdr), log_ns):
            self.split()
        if self._file is None:
            self._file = self._next()
        if not any(self._file.counts.values()):
            for each, said in self._kept:
                self._file.write(each, log_ns, said)
            self._head = self._file.size
        self._kept.see(channel, cdr, latched=latched)
        self._first_ns = log_ns if self._first_ns is None else self._first_ns
        self._file.write(channel, log_ns, cdr)

    def split(self) -> None:
        """Ends the file; the next message begins another."""
        if self._file is not None and any(self._file.counts.values()):
            self._finish({})
            self._forget()

    def flush(self) -> None:
        """What was written outlives this process."""
        if self._file is not None:
            self._file.flush()
        self._forget()

    def sync(self) -> None:
        """What was flushed outlives a power cut."""
        if self._file is not None:
            self._file.sync()

    def free(self) -> int:
        """Bytes that are free on the disk."""
        return shutil.disk_usage(self.path).free

    def close(self, custom: Mapping[str, str] | None = None) -> None:
        """Ends the bag. custom: what metadata.yaml, and the last file, say of the recording."""
        if self._file is not None:
            self._finish(custom or {})
        metadata.write(self.path, self.files, custom)

    def abandon(self) -> dict[str, int]:
        """Leaves the bag as a crash would. How many messages of each topic are then not on their way to the disk."""
        if self._file is None:
            return {}
        self._file.abandon()
        pending: Counter[str] = Counter()
        for channel, count in self._file.pending().items():
            pending[channel.topic] += count
        return dict(pending)

    def _is_full(self, more: int, log_ns: int) -> bool:
        assert self._file is not None
        longer = self._splits.bytes and self._file.size - self._head + more > self._splits.bytes
        lasts_s = (log_ns - self._first_ns) * 1e-9 if self._first_ns is not None else 0.0
        return bool(longer or (self._splits.seconds and lasts_s >= self._splits.seconds))

    def _next(self) -> McapFile:
        name = f"{self.path.name}_{self._number}.mcap"
        file = McapFile(self.path / name, compression=self._compression, chunk_bytes=self._chunk_bytes)
        self._number += 1
        self._first_ns = None
        metadata.sync(self.path)
        return file

    def _finish(self, custom: Mapping[str, str]) -> None:
        file = self._file
        assert file is not None
        file.flush()  # its times are those of its chunks
        entry = FileEntry(file.path.name, file.start_ns, file.end_ns, dict(file.counts))
        information = metadata.information([entry], custom)
        file.close({"rosbag2": {"serialized_metadata": metadata.as_yaml(information)}} | ({"recording": dict(custom)} if custom else {}))
        self._file = None  # only now: what fails is `abandon`'s
        self.files.append(entry)
        self._sizes[entry.name] = file.size
        self._finished += file.size

    def _forget(self) -> None:
        """Deletes the oldest finished files as far as there is too much, or too little room."""
        if not self._splits.keep_bytes or not self.files:
            return
        # Measured once: some disks give the room back late, and then everything would go.
        too_much = max(self.size - self._splits.keep_bytes, self._splits.floor_bytes and self._splits.floor_bytes - self.free())
        while self.files and too_much > 0:
            oldest = self.files.pop(0)
            (self.path / oldest.name).unlink(missing_ok=True)
            size = self._sizes.pop(oldest.name)
            too_much -= size
            self._finished -= size
            self.forgotten += 1
