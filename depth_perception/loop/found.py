"""Bags under some paths, and which of them were seen before."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput

_STORAGES, _PACKED = (".mcap", ".db3"), (".zstd", ".zst", ".lz4")  # as bag.reader takes them
_RECORDING_S = 60.0  # a bag without metadata.yaml that grew so lately is still being recorded


def bags(paths: Iterable[str | Path]) -> list[Path]:
    """Every bag at or below the paths, absolute and sorted: rosbag2 directories, and .mcap and .db3 files outside of such.

    Files may be packed (.mcap.zstd). Links to directories are followed, each directory once.
    """
    found: set[Path] = set()
    been: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise BadInput(f"--bag {path}: wanted bags or a directory of them, but nothing is there")
        if not path.is_dir() and not (path.is_file() and _stem(path)):
            raise BadInput(f"--bag {path}: wanted a rosbag2 directory, an .mcap or a .db3 file, or a directory of such")
        found |= _below(path, been)
    return sorted(found)


def identity(bag: Path) -> dict[str, Any]:
    """What tells a bag from another one at the same place: its files' names, sizes and times."""
    files = [bag] if bag.is_file() else sorted(file for file in bag.iterdir() if file.is_file())
    return {"path": str(bag), "files": [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]}


def is_being_recorded(bag: Path, *, now_s: float | None = None) -> bool:
    """Whether somebody seems to write it yet."""
    if bag.is_file() or (bag / "metadata.yaml").exists():
        return False
    newest = max((file.stat().st_mtime for file in bag.iterdir()), default=0.0)
    # A clock that was ahead when it was written: abs, else it would be "being recorded" for years.
    return abs((time.time() if now_s is None else now_s) - newest) < _RECORDING_S


def _below(path: Path, been: set[Path]) -> set[Path]:
    path = path.resolve()
    if path in been:
        return set()
    been.add(path)
    if path.is_file():
        return {path}
    children = [child for child in sorted(path.iterdir()) if not child.name.startswith(".")]
    files = {child for child in children if child.is_file() and _stem(child)}
    # metadata.yaml, or names that count up: one bag. Else a folder of bare files, and of other folders.
    counted = all(_stem(file) == path.name or _stem(file).startswith(f"{path.name}_") for file in files)
    if files and (counted or (path / "metadata.yaml").exists()):
        return {path}
    # What was unpacked beside its packed form is one recording, not two.
    files = {file for file in files if not (file.suffix in _PACKED and file.with_suffix("") in files)}
    return files.union(*(_below(child, been) for child in children if child.is_dir()))


def _stem(file: Path) -> str:
    """A storage file's name without its endings; empty when it is none."""
    plain = file.with_suffix("") if file.suffix in _PACKED else file
    return plain.stem if plain.suffix in _STORAGES else ""
