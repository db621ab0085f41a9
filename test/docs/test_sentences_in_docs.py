"""What the pages quote: sentences that the package prints, files, tests and versions. All of it is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
HOLE = "…"


def literals(folder: Path) -> list[str]:
    """Every string of the sources, what an f-string fills in as a hole."""
    found = []
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def quoted() -> list[str]:
    """The sentences of troubleshooting.md: headings, and first cells of tables."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    return re.findall(r"^(?:### |\| )`([^`]+)`", text, re.MULTILINE)


def said(sentence: str, strings: list[str]) -> bool:
    """Whether one string has all the fixed parts of a sentence, in order."""
    parts = [part.strip() for part in sentence.split(HOLE)]
    pattern = re.compile(".*".join(re.escape(part) for part in parts if part), re.DOTALL)
    return any(pattern.search(string) for string in strings)


def test_every_quoted_sentence_is_printed_by_the_package():
    strings = literals(ROOT / "depth_perception")
    sentences = quoted()
    assert len(sentences) > 60
    assert [sentence for sentence in sentences if not said(sentence, strings)] == []


def test_each_sentence_says_what_to_do():
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    for part in text.split("\n### ")[1:]:
        heading, _, body = part.partition("\n")
        assert len(body.split("\n## ")[0].split()) >= 3, heading


def test_a_sentence_that_nobody_prints_is_found_out():
    assert said("no message on … for … s", ["x", f"no message on {HOLE} for {HOLE} s"])
    assert not said("no message on … for … minutes", [f"no message on {HOLE} for {HOLE} s"])
    assert not said("a … b", ["b a"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path):
    """`systems/depth.py`, `test_marking_net.py::test_x`, `config/train/video.yaml`: relative to the package or to the repository."""
    tests = {file.name: file for file in (ROOT / "test").rglob("test_*.py")}
    missing: list[str] = []
    text = re.sub(r"^(?: {4}|```).*$", "", page.read_text(), flags=re.MULTILINE)
    last = ROOT
    for name, test in re.findall(r"`((?:[\w-]+/)*[\w-]+\.py)?(?:::(test_\w+))?`", text):
        if name:
            places = [ROOT / name, ROOT / "depth_perception" / name, ROOT / "test" / name, last.parent / name, tests.get(name, ROOT / name)]
            file = next((file for file in places if file.is_file()), None)
            if file is None:
                missing.append(name)
                continue
            last = file
        if test and f"def {test}(" not in last.read_text():
            missing.append(f"{last.name}::{test}")
    missing += [name for name in re.findall(r"`((?:config|launch|models|requirements|docs)/[\w./-]+)`", text) if not (ROOT / name).exists()]
    assert missing == []


def test_versions_are_the_pinned_ones():
    lines = [line for name in ("drive", "learn") for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if "==" in line)
    names = {"numpy": "numpy", "OpenCV": "opencv-python-headless", "ONNX Runtime": "onnxruntime", "rosbags": "rosbags", "torch": "torch",
             "onnx": "onnx", "Open3D": "open3d-cpu", "tensorrt_rtx": "tensorrt-rtx", "mkdocs-material": "mkdocs-material"}
    table = dict(re.findall(r"^\| ([\w -]+) \| ([\d.]+) \|", (ROOT / "docs" / "tested.md").read_text(), re.MULTILINE))
    assert {name: table.get(name) for name in names} == {name: pins[pin] for name, pin in names.items()}
