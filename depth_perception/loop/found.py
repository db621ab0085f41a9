"""Bags under some paths, and which of them were seen before."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput

_STORAGES = (".mcap", ".db3")
_RECORDING_S = 60.0  # a bag without metadata.yaml that grew so lately is still being recorded


def bags(paths: Iterable[str | Path]) -> list[Path]:
    """Every bag at or below the paths, absolute and sorted: rosbag2 directories, and .mcap and .db3 files outside of such."""
    found: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise BadInput(f"--bag {path}: wanted bags or a directory of them, but nothing is there")
        below = _below(path.resolve())
        if not below and not path.is_dir():
            raise BadInput(f"--bag {path}: wanted a rosbag2 directory, an .mcap or a .db3 file, or a directory of such")
        found |= below
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
    return (time.time() if now_s is None else now_s) - newest < _RECORDING_S


def _below(path: Path) -> set[Path]:
    if path.is_file():
        return {path} if path.suffix in _STORAGES else set()
    children = [child for child in sorted(path.iterdir()) if not child.name.startswith(".")]
    files = {child for child in children if child.is_file() and child.suffix in _STORAGES}
    if files:
        # metadata.yaml, or names that count up: one bag. Else a folder of bare files.
        counted = all(file.stem == path.name or file.stem.startswith(f"{path.name}_") for file in files)
        together = counted or (path / "metadata.yaml").exists()
        return {path} if together else files
    return set().union(*(_below(child) for child in children if child.is_dir() and not child.is_symlink())) if children else set()
