"""Every command of README and docs: parsed by its own parser, and one of each kind really run, on a small simulated drive.

`pytest -m slow test/docs` runs the others, too. Minutes become two steps, and names that stand for a bag or a model get one.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from depth_perception.__main__ import main
from depth_perception.nodes.arguments import ARGUMENTS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "models" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TOOL = re.compile(r"^(?:[\d*]+ )*\s*(?:\S*/)?(python3?|torchrun|make|ros2)\s+\S")


@dataclass(frozen=True)
class Command:
    """Attributes: page: where it was first found. words: as a shell splits them, without the environment's path."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"

    @property
    def module(self) -> str | None:
        """What python or torchrun is told to run."""
        return self.words[self.words.index("-m") + 1] if self.words[0] != "make" and "-m" in self.words else None

    @property
    def arguments(self) -> list[str]:
        """Of the module."""
        return list(self.words[self.words.index("-m") + 2 :])


def written(page: Path) -> Iterator[Command]:
    """The commands of indented and fenced blocks, and those in backticks."""
    fenced = False
    for line in re.sub(r"\\\n\s*", " ", page.read_text()).splitlines():
        if line.startswith("```"):
            fenced = not fenced
            continue
        code = [line] if fenced or line.startswith("    ") else re.findall(r"`([^`]+)`", line)
        for text in code:
            if TOOL.match(text.strip()):
                words = [re.sub(r"^\S*/(?=(python3?|torchrun)$)", "", word) for word in shlex.split(text, comments=True)]
                start = next(i for i, word in enumerate(words) if word in ("python", "python3", "torchrun", "make", "ros2"))
                yield Command(page.name, tuple(word.removesuffix("...").replace("$seed", "7") for word in words[start:]))


COMMANDS = list({command.words: command for page in reversed(PAGES) for command in reversed(list(written(page)))}.values())[::-1]
MODULES = [command for command in COMMANDS if command.module]
OURS = [command for command in MODULES if command.module == "depth_perception" and command.words[0] != "torchrun"]


def test_commands_are_found():
    assert len(OURS) > 50
    assert {command.words[0] for command in COMMANDS} == {"python", "torchrun", "make", "ros2"}
    assert "bench.latency" in {command.module for command in MODULES}
    assert ("make", "demo", "BAG=drive.mcap") in {command.words for command in COMMANDS}


# --- parsed ------------------------------------------------------------------------------------------------------------


class Parsed(BaseException):
    """The arguments are what the parser takes; nothing is run."""


@pytest.fixture
def parser_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any program ends where its arguments are parsed."""
    original = argparse.ArgumentParser.parse_args

    def parse(self, *args, **options):  # type: ignore[no-untyped-def]
        original(self, *args, **options)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)


def parse(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a module's own parser takes these arguments."""
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.delitem(sys.modules, module, raising=False)
    try:
        if module == "depth_perception":
            main(arguments)
        else:
            runpy.run_module(module, run_name="__main__")
    except Parsed:
        return True
    except SystemExit as stopped:
        return stopped.code == 0 and "--help" in arguments
    return False


@pytest.mark.parametrize("command", MODULES, ids=str)
def test_its_own_parser_takes_it(command: Command, parser_only: None, monkeypatch: pytest.MonkeyPatch):
    module = command.module
    assert module is not None
    if module != "depth_perception" and not module.startswith("bench."):
        assert importlib.util.find_spec(module) is not None
        return
    if module.startswith("bench."):
        pytest.importorskip("torch")
    assert parse(module, ["inspect" if word == "VERB" else word for word in command.arguments], monkeypatch)


def test_what_no_parser_takes_is_found_out(parser_only: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert parse("depth_perception", ["inspect", "--bag", "x"], monkeypatch)
    assert not parse("depth_perception", ["inspect", "--bagg", "x"], monkeypatch)
    assert not parse("depth_perception", ["evaluate", "weather", "--bag", "x"], monkeypatch)
    assert not parse("depth_perception", ["fly"], monkeypatch)
    assert not parse("bench.bev_pooling", ["--absent"], monkeypatch)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.words[0] == "make"], ids=str)
def test_make_has_the_target(command: Command):
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    done = subprocess.run(["make", "-n", *command.words[1:]], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def strings_in(folder: Path) -> set[str]:
    """Every string of a folder's sources."""
    trees = (ast.parse(file.read_text()) for file in folder.glob("*.py"))
    return {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.words[0] == "ros2"], ids=str)
def test_ros2_finds_it(command: Command):
    _, verb, *rest = command.words
    if verb == "launch" and len(rest) > 1 and rest[0] == "depth_perception":
        source = (ROOT / "launch" / rest[1]).read_text()
        declared = next(ast.literal_eval(node.value) for node in ast.parse(source).body
                        if isinstance(node, ast.Assign) and node.targets[0].id == "ARGUMENTS")  # type: ignore[attr-defined]
        given = {word.split(":=")[0] for word in rest[2:] if not word.startswith("--")}
        assert given <= set(declared) and set(declared) <= ARGUMENTS.keys()
    elif verb == "run" and rest[0] == "depth_perception":
        assert (ROOT / "scripts" / rest[1]).is_file()
        known = strings_in(ROOT / "depth_perception" / "nodes") | fields()
        names = [word.split(":=")[0] for word in rest[2:] if ":=" in word]
        assert [name for name in names if name not in known and not set(name.split(".")) <= known] == []
    elif verb in ("service", "param") and len(rest) > 1:
        node, _, name = rest[1].lstrip("/").partition("/")
        assert (ROOT / "scripts" / node).is_file() or node == "recorder"
        assert not name or f"~/{name}" in strings_in(ROOT / "depth_perception" / "nodes")
    else:
        assert verb in ("launch", "run", "bag", "topic", "param", "service", "lifecycle", "node", "doctor", "action", "interface")


def fields() -> set[str]:
    """Names of configurations' fields, which are parameters, too."""
    files = [*(ROOT / "depth_perception" / "nodes").glob("*.py"), *(ROOT / "depth_perception" / "systems").glob("*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}


# --- run ---------------------------------------------------------------------------------------------------------------

# These wait for a person, a vehicle or a GPU, or take more than a page's example should.
NOT_RUN = {"--gpu", "--live", "--view", "--help", "-h", "VERB"}
ELSEWHERE = {"demo", "bench"}  # run by tests of their own
ENDS = {"doctor": {0, 1}, "loop": {0, 3, 4, 5}, "loop --rollback": {0, 2}}  # something to do; not promoted; nothing to roll back to
SMALL = ["--seconds", "1.6", "--width", "416", "--height", "128", "--lidar-columns", "360", "--lidar-rings", "32"]
LONG = {("drive",), ("loop",), ("train", "student")}
BAGS = {"--bag", "--source", "--score-on"}
MODELS = {"--model": "", "--init": "", "--init-pose": "depth", "--depth": "depth", "--depth-model": "depth", "--teacher": "teacher",
          "--objects-model": "objects", "--markings-model": "markings"}  # of which kind; empty: by the verb


def kind(command: Command) -> tuple[str, ...]:
    """What it does: the verb, and the task of a verb that has several."""
    verb, *rest = command.arguments
    return (verb, rest[0]) if verb in ("train", "evaluate", "predict") else (verb, "--repair") if "--repair" in rest else (verb,)


def runnable() -> tuple[list[Command], list[Command]]:
    """One of each kind, and the others."""
    found = [command for command in OURS if not NOT_RUN & set(command.arguments) and command.arguments[0] not in ELSEWHERE
             and (command.arguments[0] != "compile" or "--target" in command.arguments) and "*" not in str(command)]
    first: dict[tuple[str, ...], Command] = {}
    for command in found:
        if kind(command) not in LONG:
            first.setdefault(kind(command), command)
    return list(first.values()), [command for command in found if command not in first.values()]


FIRST, OTHERS = runnable()


class Box:
    """A folder in which the names that the pages use mean something."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bag = folder / "simulated"
        for name in ("config", "models"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "photos").mkdir()
        assert main(["simulate", *SMALL, "--out", str(self.bag)]) == 0

    def supply(self, command: Command) -> None:
        """Bags, photographs and models that a command names."""
        import cv2

        cv2.imwrite(str(self.folder / "photos" / "street.png"), np.full((96, 192, 3), 90, np.uint8))
        verb, *words = self.here(command.arguments)
        task = words[0] if verb in ("train", "evaluate", "predict") else ""
        learned = words[words.index("--task") + 1] if "--task" in words else ""  # of the loop
        wanted = BAGS | ({"--target"} if task == "markings" else set())
        option = ""
        for word in words[1 if task else 0 :]:
            if word.startswith("--"):
                option = word
            elif option in wanted or (option == "" and verb in ("inspect", "predict", "setup-car")):
                self.supply_bag(word)
            elif option == "--repair":
                shutil.copytree(self.bag, self.folder / word, dirs_exist_ok=True)
                (self.folder / word / "metadata.yaml").unlink()
            elif option in MODELS and not (self.folder / word).exists():
                of_verb = "markings" if verb == "map-markings" else task if task in ("objects", "markings") else "depth"
                init = "contrast" if task == "objects" else learned or "depth"
                self.supply_model(word, {"--model": of_verb, "--init": init}.get(option, MODELS[option]))
                if verb == "compile":
                    assert main(["export", "--model", word, "--precision", "fp32,fp16"]) == 0
            elif option == "--out" and verb in ("record", "simulate") and (self.folder / word).exists():
                place = self.folder / word
                place.unlink() if place.is_symlink() else shutil.rmtree(place)

    def supply_bag(self, name: str) -> None:
        """The simulated drive under another name."""
        place = self.folder / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(self.bag / "bag.mcap" if place.suffix == ".mcap" else self.bag)

    def supply_model(self, name: str, what: str) -> None:
        """A model of a kind: the shipped one, or one that two steps have made."""
        made = self.folder / "made" / what
        if what == "depth":
            made = ROOT / "models" / "student"
        elif not made.exists():
            bag = str(self.bag)
            task, options = {
                "contrast": ("contrast", ["--bag", bag]),
                "objects": ("objects", ["--bag", bag, "--modality", "cloud"]),
                "markings": ("markings", ["--source", bag, "--target", bag]),
                "teacher": ("depth", ["--bag", bag, "--config", "config/train/teacher.yaml"]),
            }[what]
            assert main(["train", task, *options, "--out", str(made), "--steps", "2", "--batch", "2"]) == 0
        shutil.copytree(made, self.folder / name, ignore=shutil.ignore_patterns("engines"))

    def here(self, arguments: list[str]) -> list[str]:
        """`/data/drives` is a folder of this one."""
        return [word.lstrip("/") if word.startswith("/data/") else word for word in arguments]

    def bounded(self, arguments: list[str]) -> list[str]:
        """The command with an end that is near."""
        out: list[str] = []
        words = iter(self.here(arguments))
        for word in words:
            if word in ("--minutes", "--steps", "--batch"):
                next(words)
            elif not (word == "--resume" and not self.resumable(arguments)):
                out.append(word)
        if out[0] == "simulate":
            out += SMALL
        if out[0] in ("train", "loop") and "--rollback" not in out:
            out += ["--steps", "2", "--batch", "2"]
        if out[0] == "record" and "--repair" not in out:
            out += ["--seconds", "1", "--disk-floor-gb", "0.001"]
        if out[0] == "map-markings":  # two steps do not make a model that sees any
            out += ["--masks", "/truth/markings", "--depth", "/truth/depth", "--poses", "/truth/odometry"]
        return out

    def resumable(self, arguments: list[str]) -> bool:
        """Whether there is something to go on from."""
        return (self.folder / arguments[arguments.index("--out") + 1] / "checkpoint.pt").exists()


def option(command: Command, name: str) -> str:
    """What stands behind an option; empty: nothing."""
    return command.words[command.words.index(name) + 1] if name in command.words else ""


def test_what_is_compiled_in_a_precision_was_exported_in_it():
    for page in PAGES:
        exported: set[tuple[str, str]] = set()
        for command in written(page):
            precisions = set(option(command, "--precision").split(",")) - {"", "fp32"}
            found = {(option(command, "--model"), precision) for precision in precisions}
            if "export" in command.words:
                exported |= found
            elif "compile" in command.words:
                assert found <= exported, command


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Box:
    """The folder, with a drive in it."""
    pytest.importorskip("open3d", exc_type=ImportError)
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("box")
        patch.chdir(folder)
        return Box(folder)


def run(command: Command, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs it where its names mean something; what it was to write is there."""
    if command.arguments[0] == "compile":
        pytest.importorskip("tensorrt_rtx")
    monkeypatch.chdir(box.folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for what it starts
    box.supply(command)
    arguments = box.bounded(command.arguments)
    if arguments[0] == "record":
        pytest.importorskip("rclpy")
        done = subprocess.run([sys.executable, "-m", "depth_perception", *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    else:
        assert main(arguments) in ENDS.get(" ".join(word for word in arguments if word in ("loop", "doctor", "--rollback")), {0})
    for option, path in pairwise(arguments):
        if option in ("--out", "--json", "--html") and "--profile" not in arguments and "snapshot" not in arguments:
            assert Path(path).exists()


@pytest.mark.parametrize("command", FIRST, ids=str)
def test_one_of_each_kind_runs(command: Command, box: Box, monkeypatch: pytest.MonkeyPatch):
    run(command, box, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_the_others_run(command: Command, box: Box, monkeypatch: pytest.MonkeyPatch):
    run(command, box, monkeypatch)


def test_the_kinds_are_all_of_them():
    kinds = {" ".join(kind(command)) for command in FIRST}
    assert {"inspect", "export", "compile", "record", "record --repair", "map-markings", "doctor"} <= kinds
    assert {f"train {task}" for task in ("depth", "contrast", "objects", "markings")} <= kinds
    assert {f"evaluate {what}" for what in ("depth", "odometry", "bev", "objects", "markings")} <= kinds
