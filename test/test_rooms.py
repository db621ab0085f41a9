"""Who may know whom: the import table of the rooms, the guests each may bring, and what never reaches a vehicle."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "depth_perception"
SOURCES = sorted((ROOT / PACKAGE).rglob("*.py"))

# room -> the rooms it may import. commands may import every room; nobody imports commands but __main__.
ROOMS: dict[str, set[str]] = {
    "frame": set(),
    "geometry": {"frame"},
    "decode": {"frame", "geometry"},
    "bag": {"frame", "geometry", "decode"},
    "memory": set(),
    "parent": set(),
    "writable": {"frame"},
    "model": {"frame"},
    "engine": {"frame", "model"},
    "systems": {"frame", "geometry"},
    "record": {"frame", "bag"},
    "networks": {"frame", "geometry"},
    "losses": {"frame", "geometry"},
    "samples": {"frame", "geometry"},
    "train": {"frame", "geometry", "decode", "bag", "samples", "networks", "losses", "systems", "model", "memory", "writable"},
    "export": {"frame", "geometry", "bag", "systems", "networks", "train", "model", "engine"},
    "evaluation": {"frame", "geometry", "decode", "bag", "engine", "model", "systems", "train"},
    "world": {"frame", "geometry", "bag"},
    "inspection": {"frame", "geometry", "decode", "bag"},
    "loop": {"frame", "bag", "model", "engine", "parent", "record", "inspection"},
    "view": {"frame", "geometry", "systems", "parent"},
    "nodes": {"frame", "geometry", "decode", "bag", "engine", "model", "memory", "parent", "systems", "record", "view"},
    "report": {"frame", "geometry", "model", "bag", "systems", "evaluation", "nodes"},
    "__main__": {"frame", "commands", "writable"},
}

# guest -> the rooms that may bring it (commands may not: they import rooms).
GUESTS: dict[str, set[str]] = {
    "rclpy": {"nodes"},
    "builtin_interfaces": {"nodes"},
    "torch": {"networks", "losses", "samples", "train", "export"},
    "safetensors": {"networks", "train", "export"},
    "onnx": {"export"},
    "onnxruntime": {"engine", "export"},
    "tensorrt": {"engine"},
    "tensorrt_rtx": {"engine"},
    "cuda": {"engine"},
    "open3d": {"world", "evaluation"},
    "rosbags": {"bag", "record"},
    "mcap": {"bag", "record"},
    "rerun": {"view"},
    "rerun_cli": {"view"},
}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


def room_of(file: Path) -> str:
    """depth_perception/bag/reader.py -> bag; depth_perception/frame.py -> frame."""
    return file.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")


def imported(source: str, *, package: str) -> Iterator[str]:
    """Dotted names a module imports, wherever in it; package: where it lies, for relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_of(file: Path) -> set[str]:
    """Dotted names that a source file imports."""
    return set(imported(file.read_text(), package=".".join(file.relative_to(ROOT).parent.parts)))


def wrong_rooms(room: str, names: set[str]) -> set[str]:
    """Rooms among the imported names that this room may not know."""
    rooms = {parts[1] for parts in (name.split(".") for name in names) if parts[0] == PACKAGE and len(parts) > 1}
    allowed = (set(ROOMS) if room == "commands" else ROOMS[room]) | {room, "__version__"}
    return rooms - allowed


def wrong_guests(room: str, names: set[str]) -> set[str]:
    """Guests among the imported names that this room may not bring."""
    tops = {name.split(".")[0] for name in names}
    return {top for top in tops if room not in (GUESTS.get(top) or ({"nodes"} if top.endswith("_msgs") else {room}))}


def test_every_room_is_in_the_table():
    rooms = {room_of(file) for file in SOURCES} - {"__init__", "commands"}
    assert rooms <= set(ROOMS), "a new room: say in the table whom it may import"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT / PACKAGE)))
def test_imports_keep_the_table(file: Path):
    room, names = room_of(file), imports_of(file)
    if room == "__init__":
        assert not names, "the package itself imports nothing"
        return
    assert not wrong_rooms(room, names)
    assert not wrong_guests(room, names)


def test_one_file_brings_tensorrt():
    assert [file.name for file in SOURCES if {"tensorrt", "tensorrt_rtx"} & imports_of(file)] == ["tensorrt_package.py"]


def test_the_checks_see_what_is_wrong():
    source = "import rclpy\ndef f():\n  from depth_perception.nodes import encode\n  from ..bag import reader\n  import tf2_msgs.msg\n"
    names = set(imported(source, package=f"{PACKAGE}.systems"))
    assert names == {"rclpy", f"{PACKAGE}.nodes.encode", f"{PACKAGE}.bag.reader", "tf2_msgs.msg"}
    assert wrong_rooms("systems", names) == {"nodes", "bag"}
    assert wrong_guests("systems", names) == {"rclpy", "tf2_msgs"}
    assert not wrong_guests("nodes", names)
    assert not wrong_rooms("commands", names)


def test_the_table_has_no_circle():
    order: list[str] = []
    rooms = {room: allowed - {"commands"} for room, allowed in ROOMS.items()}
    while rooms.keys() - set(order):
        free = [room for room, allowed in rooms.items() if room not in order and allowed <= set(order)]
        assert free, f"a circle among {sorted(rooms.keys() - set(order))}"
        order += free


def test_no_drawer_names():
    names = {part.removesuffix(".py") for file in SOURCES for part in file.relative_to(ROOT / PACKAGE).parts}
    assert not names & FORBIDDEN_NAMES


def loaded_after(module: str) -> set[str]:
    """Top-level modules in sys.modules of a fresh interpreter after it imported one."""
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("module", [
    "nodes.drive", "nodes.depth_node", "nodes.odometry_node", "nodes.bev_node", "nodes.objects_node",
    "nodes.markings_node", "systems.drive", "engine",
])
def test_what_drives_loads_neither_torch_nor_open3d(module: str):
    if module.startswith("nodes"):
        pytest.importorskip("rclpy")
    loaded = loaded_after(f"{PACKAGE}.{module}")
    assert PACKAGE in loaded
    assert not loaded & {"torch", "onnx", "open3d", "matplotlib", "tensorrt", "tensorrt_rtx", "cuda", "rerun"}
    if not module.startswith("nodes"):
        assert "rclpy" not in loaded


@pytest.mark.parametrize("room", ["networks", "losses", "samples", "train", "bag", "world", "evaluation"])
def test_what_learns_needs_no_ros(room: str):
    if importlib.util.find_spec(f"{PACKAGE}.{room}") is None:
        pytest.skip(f"no {room} yet")
    if room in GUESTS["torch"]:
        pytest.importorskip("torch")
    assert "rclpy" not in loaded_after(f"{PACKAGE}.{room}")
