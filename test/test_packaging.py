"""What an installation puts where: ros2 run, launch, the package index, configuration and models; and the pinned requirements."""

import ast
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import depth_perception

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "scripts").iterdir())
EXECUTABLES = {"depth_node", "odometry_node", "bev_node", "drive"}
SHARED = tuple(folder for folder in ("launch", "config", "models") if (ROOT / folder).is_dir())


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed by pip into a prefix of its own from a copy of the sources (no network)."""
    pytest.importorskip("setuptools")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("prefix")
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("depth_perception", "scripts", "resource", *SHARED):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for file in ("package.xml", "setup.py", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / file, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed",
               "--no-warn-script-location", "--prefix", str(target), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=source, timeout=300)
    assert result.returncode == 0, result.stderr
    return target


def files_under(folder: Path) -> set[str]:
    """Relative paths of the files under a folder."""
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}


def test_installation_has_the_executables(prefix: Path):
    installed = prefix / "lib" / "depth_perception"
    assert {file.name for file in installed.iterdir()} == {script.name for script in SCRIPTS}
    assert all(os.access(file, os.X_OK) for file in installed.iterdir())


def test_installation_has_the_index_marker_and_shared_files(prefix: Path):
    assert (prefix / "share/ament_index/resource_index/packages/depth_perception").is_file()
    share = prefix / "share" / "depth_perception"
    assert (share / "package.xml").read_text() == (ROOT / "package.xml").read_text()
    for folder in SHARED:
        assert files_under(share / folder) == files_under(ROOT / folder)
        for name in files_under(ROOT / folder):
            assert (share / folder / name).read_bytes() == (ROOT / folder / name).read_bytes()


def test_installation_has_every_module(prefix: Path):
    installed = next(prefix.rglob("site-packages/depth_perception"))
    assert files_under(installed) == files_under(ROOT / "depth_perception")


@pytest.mark.parametrize("found_by", ["AMENT_PREFIX_PATH", "sys.prefix"])
def test_installed_package_finds_its_share(prefix: Path, tmp_path: Path, found_by: str):
    site = next(prefix.rglob("site-packages"))
    env = {name: value for name, value in os.environ.items() if name not in ("AMENT_PREFIX_PATH", "PYTHONPATH")}
    env["PYTHONPATH"] = str(site)
    set_prefix = f"import sys; sys.prefix = {str(prefix)!r}; " if found_by == "sys.prefix" else ""
    if found_by == "AMENT_PREFIX_PATH":
        env["AMENT_PREFIX_PATH"] = f"/nowhere:{prefix}"
    code = f"{set_prefix}import depth_perception.model as m; print(m.__file__); print(m.share_directory())"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    module, share = result.stdout.splitlines()
    assert Path(module).is_relative_to(site)
    assert Path(share) == prefix / "share" / "depth_perception"


def test_the_shipped_executables_are_there():
    assert {script.name for script in SCRIPTS} >= EXECUTABLES


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_executable_calls_a_main_that_exists(script: Path):
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env python3"
    (statement,) = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ImportFrom)]
    assert statement.module == f"depth_perception.nodes.{script.name}"
    module = ROOT / (statement.module.replace(".", "/") + ".py")
    functions = {node.name for node in ast.parse(module.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert {alias.name for alias in statement.names} <= functions


def test_versions_agree():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    (setup,) = re.findall(r'^    version="(.+)",$', (ROOT / "setup.py").read_text(), re.MULTILINE)
    assert package.findtext("version") == setup == depth_perception.__version__
    assert package.findtext("name") == "depth_perception"
    assert package.findtext("export/build_type") == "ament_python"


def test_package_xml_names_every_ros_package_that_nodes_import():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {depend.text for depend in package.iter("exec_depend")}
    imported = set()
    for file in (ROOT / "depth_perception" / "nodes").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    messages = {name for name in imported if name.endswith("_msgs") or name in ("rclpy", "builtin_interfaces", "rcl_interfaces")}
    assert {"rclpy", "sensor_msgs"} <= messages
    assert messages <= declared


def test_launch_files_start_executables_that_exist():
    launches = sorted((ROOT / "launch").glob("*.launch.py"))
    assert launches
    for launch in launches:
        tree = ast.parse(launch.read_text())
        assert "generate_launch_description" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        started = {keyword.value.value for node in ast.walk(tree) if isinstance(node, ast.Call)
                   for keyword in node.keywords if keyword.arg == "executable" and isinstance(keyword.value, ast.Constant)}
        assert started <= {script.name for script in SCRIPTS}


def pins(name: str) -> dict[str, str]:
    """Package -> version of a requirements file; every line is one exact, public version, and nothing else."""
    lines = [line for line in (ROOT / "requirements" / name).read_text().splitlines() if line and not line.startswith("#")]
    wrong = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line)]
    assert not wrong, f"{name}: wanted NAME==VERSION without a local version, found {wrong}"
    return dict(line.split("==") for line in lines)


def test_requirements_are_pinned_once():
    drive, build, learn = pins("drive.txt"), pins("build.txt"), pins("learn.txt")
    assert not (drive.keys() & build.keys() | drive.keys() & learn.keys() | build.keys() & learn.keys())
    assert {"numpy", "onnxruntime", "ros-jazzy-rclpy"} <= drive.keys()
    assert {"torch", "pytest", "hypothesis", "ruff", "mypy"} <= learn.keys()
    assert not drive.keys() & {"torch", "onnx", "tensorflow"}


@pytest.mark.parametrize(("name", "addresses"), [("fastdds.xml", []), ("fastdds_loopback.xml", ["127.0.0.1"])])
def test_fast_dds_profile_holds_an_image_and_keeps_to_its_interfaces(name: str, addresses: list[str]):
    root = ElementTree.parse(ROOT / "config" / name).getroot()
    tag = root.tag.split("}")[0] + "}"
    transports = {t.findtext(f"{tag}type"): t for t in root.iter(f"{tag}transport_descriptor")}
    assert set(transports) == {"SHM", "UDPv4"}
    assert int(transports["SHM"].findtext(f"{tag}segment_size", "0")) >= 32 << 20
    assert [address.text for address in transports["UDPv4"].iter(f"{tag}address")] == addresses
    (participant,) = root.iter(f"{tag}participant")
    assert participant.get("is_default_profile") == "true"
    used = {node.text for node in participant.iter(f"{tag}transport_id")}
    assert used == {t.findtext(f"{tag}transport_id") for t in transports.values()}
