"""Where results go: what cannot be written is said at the door, not after the work. Nothing is made by asking."""

from __future__ import annotations

import os
from pathlib import Path

from depth_perception.frame import BadInput


def directory(option: str, path: str | Path) -> None:
    """Raises BadInput, naming the option, unless `path` is a directory that can be written, or can be made."""
    path = Path(path)
    if os.path.lexists(path) and not path.is_dir():
        raise BadInput(f"{option}: {path}: wanted a directory, it is a file")
    _check(option, path, path)


def file(option: str, path: str | Path) -> None:
    """Raises BadInput, naming the option, unless `path` can be written as a file; one that is there is replaced."""
    path = Path(path)
    if path.is_dir():
        raise BadInput(f"{option}: {path}: wanted a file to write, it is a directory")
    _check(option, path, path.parent)


def _check(option: str, path: Path, folder: Path) -> None:
    """Of a folder that is still to be made, the nearest one above it decides."""
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise BadInput(f"{option}: {path} cannot be written: {nearest} is no directory")
    if not os.access(nearest, os.W_OK | os.X_OK, effective_ids=True):
        raise BadInput(f"{option}: {path} cannot be written: nothing may be made in {nearest}")
