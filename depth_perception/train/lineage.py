"""Where a model came from: its bags, the command, the commit."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depth_perception import __version__, model


def lineage(bags: Sequence[str | Path], command: str) -> dict[str, Any]:
    """Names and identities of the bags, the whole command, version and git commit (None outside a checkout)."""
    return {"bags": [_bag(Path(bag)) for bag in bags], "command": command, "version": __version__, "commit": commit()}


def _bag(path: Path) -> dict[str, Any]:
    """A bag's name, its files' sizes, and the sha256 of its metadata.yaml (of the file itself when that is all there is)."""
    if path.is_file():
        return {"name": path.name, "bytes": path.stat().st_size, "sha256": model.sha256(path)}
    metadata = path / "metadata.yaml"
    sizes = {file.name: file.stat().st_size for file in sorted(path.iterdir()) if file.is_file() and file != metadata}
    return {"name": path.name, "bytes": sizes, "sha256": model.sha256(metadata) if metadata.is_file() else None}


def commit() -> str | None:
    """The checkout's commit; None outside of one."""
    try:
        answer = subprocess.run(["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
