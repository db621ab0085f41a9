"""What stands around the package: Dockerfile, workflow, pre-commit, citation, templates. What can be checked where none of them runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import depth_perception

ROOT = Path(__file__).resolve().parents[2]


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instruction and its text, continued lines joined, comments left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined if line.strip()]


def loaded(name: str) -> Any:
    """A YAML file of the repository."""
    return yaml.safe_load((ROOT / name).read_text())


def test_the_dockerfile_copies_what_an_installation_is_made_of():
    copied: dict[str, str] = {}
    for instruction, text in instructions(ROOT / "Dockerfile"):
        if instruction == "COPY":
            *sources, target = text.split()
            copied |= dict.fromkeys(sources, target)
    assert [source for source in copied if not (ROOT / source).exists()] == []
    # setup.py names every file and folder that it installs from.
    setup = (ROOT / "setup.py").read_text()
    needed = {*re.findall(r'tree\("(\w+)"\)', setup), "scripts", "resource", "package.xml", "setup.py", "setup.cfg", "depth_perception"}
    assert needed <= copied.keys()
    for source, target in copied.items():  # a folder's contents are copied into the target, a file below it
        assert target.startswith("src/depth_perception/")
        assert not (ROOT / source).is_dir() or Path(target).name == source


def test_the_dockerfile_installs_what_package_xml_asks_for():
    installed = {word for name, text in instructions(ROOT / "Dockerfile") if name == "RUN" for word in shlex.split(text)}
    keys = re.findall(r"<exec_depend>(python3-[\w-]+)</exec_depend>", (ROOT / "package.xml").read_text())
    assert {key for key in keys if key not in installed} == {"python3-onnxruntime-pip"}  # by pip
    assert {"onnxruntime", "rosbags", "lz4"} <= installed


def test_the_dockerfile_begins_with_ros_and_says_that_it_is_unbuilt():
    text = (ROOT / "Dockerfile").read_text()
    assert instructions(ROOT / "Dockerfile")[0] == ("FROM", "ros:jazzy-ros-base")
    assert "Not built where it was written" in text
    assert (ROOT / re.search(r"share/depth_perception/(config/\S+)", text)[1]).is_file()  # type: ignore[index]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {"models", "config", "launch", "depth_perception"} & set(ignored)


def test_the_workflow_runs_what_the_makefile_has():
    jobs = loaded(".github/workflows/ci.yml")["jobs"]
    assert {"test", "lint", "pure", "docs", "colcon"} <= jobs.keys()
    assert jobs["colcon"]["container"] == "ros:jazzy"
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert {match for text in said for match in re.findall(r"\bmake ([\w-]+)", text)} <= targets
    # Folders that a step names are there.
    assert [path for text in said for path in re.findall(r"\btest/[\w./]+", text) if not (ROOT / path).exists()] == []
    assert all("timeout-minutes" in job for job in jobs.values())


def test_pre_commit_runs_the_tools_that_are_pinned():
    hooks = [hook for repo in loaded(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in loaded(".pre-commit-config.yaml")["repos"]} == {"local"}  # no second version of anything
    pins = (ROOT / "requirements" / "learn.txt").read_text()
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert lint is not None
    for hook in hooks:
        assert hook["entry"].startswith(f".venv/bin/python -m {hook['id']}") and hook["language"] == "system"
        assert re.search(rf"^{hook['id']}==", pins, re.MULTILINE)
        assert f"-m {hook['id']}" in lint[1]
    assert {hook["id"] for hook in hooks} == {"ruff", "mypy"}


def test_the_citation_is_of_this_version():
    said = loaded("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= said.keys()  # what the format requires
    assert (said["cff-version"], said["type"], said["license"]) == ("1.2.0", "software", "Apache-2.0")
    assert str(said["version"]) == depth_perception.__version__
    assert all(author.keys() & {"name", "family-names"} for author in said["authors"])


@pytest.mark.parametrize("name", ["bug.yml", "idea.yml"])
def test_issue_forms_ask_for_what_helps(name: str):
    form = loaded(f".github/ISSUE_TEMPLATE/{name}")
    assert {"name", "description", "body"} <= form.keys()
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids)) and any(part.get("validations", {}).get("required") for part in form["body"])
    for part in form["body"]:
        assert part["type"] in ("textarea", "input", "dropdown", "checkboxes", "markdown") and part["attributes"]["label"]


def test_the_pure_rooms_are_typed_strictly_and_the_marker_is_installed():
    (strict,) = [part for part in (ROOT / "pyproject.toml").read_text().split("\n[") if "disallow_untyped_defs = true" in part]
    rooms = set(re.findall(r'"depth_perception\.(\w+)', strict))
    assert {"frame", "model", "geometry", "decode", "systems"} <= rooms
    assert (ROOT / "depth_perception" / "py.typed").read_text() == ""
    assert '"py.typed"' in (ROOT / "setup.py").read_text()
