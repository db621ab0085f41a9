"""Every source is Python 3.10: its syntax (ruff) and what it takes from the standard library (vermin)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for path in ROOT.iterdir() if path.name in ("depth_perception", "launch", "scripts", "bench", "test", "setup.py")]
TOOLS = {
    "ruff": ["check", "--isolated", "--no-cache", "--quiet", "--target-version", "py310", "--select", "E9"],
    # compression.zstd is 3.14's: bag/salvage.py takes backports.zstd where it is missing.
    "vermin": ["--target=3.10-", "--violations", "--no-tips", "--no-parse-comments", "--exclude", "compression.zstd"],
}


def check(tool: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """What a tool says of the files."""
    command = Path(sys.executable).parent / tool
    if not command.is_file():
        pytest.skip(f"needs {command} (requirements/learn.txt)")
    return subprocess.run([command, *TOOLS[tool], *paths], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("tool", TOOLS)
def test_our_sources(tool: str):
    result = check(tool, *SOURCES)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("tool", "newer"), [
    ("ruff", "try:\n    pass\nexcept* ValueError:\n    pass\n"), ("ruff", "x[*y]\n"), ("ruff", "def f[T](x: T): ...\n"),
    ("ruff", "f'{x['key']}'\n"), ("vermin", "import tomllib\n"), ("vermin", "from typing import Self\n"),
    ("vermin", "import datetime\ndatetime.UTC\n"), ("vermin", "from enum import StrEnum\n"), ("vermin", "raise ExceptionGroup('', [])\n"),
])
def test_the_checks_see_what_is_newer(tool: str, newer: str, tmp_path: Path):
    (tmp_path / "newer.py").write_text(newer)
    result = check(tool, tmp_path)
    assert result.returncode == 1
    assert "newer.py" in result.stdout
