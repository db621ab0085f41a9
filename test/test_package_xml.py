"""package.xml and setup.py say the same, in rosdep's words and in pip's."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

import depth_perception

ROOT = Path(__file__).resolve().parent.parent
# pip's name -> rosdep's key; None: rosdep has none, a comment in package.xml says so.
ROSDEP = {
    "numpy": "python3-numpy",
    "onnxruntime": "python3-onnxruntime-pip",
    "opencv-python-headless": "python3-opencv",
    "psutil": "python3-psutil",
    "pyyaml": "python3-yaml",
    "tqdm": "python3-tqdm",
    "rosbags": None,
    "lz4": None,
    "backports.zstd": None,  # comes with rosbags
}
MODULES = {"numpy": "numpy", "psutil": "psutil", "cv2": "opencv-python-headless", "yaml": "pyyaml"}  # as nodes import them -> pip's name
ROS = re.compile(r"(\w+_msgs|std_srvs|\w+_interfaces|rclpy|launch|launch_ros|ament_index_python|tf2_\w+|cv_bridge|sensor_msgs_py)")


@pytest.fixture(scope="module")
def package() -> ElementTree.Element:
    """package.xml."""
    return ElementTree.parse(ROOT / "package.xml").getroot()


@pytest.fixture(scope="module")
def setup() -> dict[str, Any]:
    """What setup.py hands to setuptools, read without running it."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    values: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            values[node.targets[0].id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return values[node.id]
        if isinstance(node, ast.List):
            return [one for item in node.elts for one in (value(item.value) if isinstance(item, ast.Starred) else [value(item)])]
        return ast.literal_eval(node)

    (call,) = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    wanted = ("name", "version", "description", "license", "maintainer", "maintainer_email", "install_requires")
    return {keyword.arg: value(keyword.value) for keyword in call.keywords if keyword.arg in wanted}


def names(package: ElementTree.Element, *tags: str) -> set[str]:
    """Packages and rosdep keys of these kinds of dependency."""
    return {depend.text or "" for tag in tags for depend in package.iter(tag)}


def test_they_agree_about_the_package_itself(package: ElementTree.Element, setup: dict[str, Any]):
    maintainer = package.find("maintainer")
    assert maintainer is not None
    said = {tag: package.findtext(tag) for tag in ("name", "version", "description", "license", "maintainer")}
    assert said | {"maintainer_email": maintainer.get("email")} == {key: text for key, text in setup.items() if key != "install_requires"}
    assert package.findtext("version") == depth_perception.__version__
    assert package.findtext("export/build_type") == "ament_python"
    licence = package.find("license")
    assert licence is not None
    assert "Apache License" in (ROOT / licence.get("file", "")).read_text()


def test_they_need_the_same_python_packages(package: ElementTree.Element, setup: dict[str, Any]):
    required = {re.split(r"[;<>=! ]", requirement)[0] for requirement in setup["install_requires"]}
    assert required == ROSDEP.keys()
    assert {key for key in names(package, "exec_depend", "depend") if key.startswith("python3-")} == set(ROSDEP.values()) - {None}


def test_every_ros_package_that_is_imported_is_named(package: ElementTree.Element):
    imported = set()
    for file in [*(ROOT / "depth_perception" / "nodes").glob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
    ros = {name for name in imported if ROS.fullmatch(name)}
    assert {"rclpy", "sensor_msgs", "launch", "launch_ros", "tf2_msgs"} <= ros
    assert ros <= names(package, "exec_depend", "depend")
    assert imported - ros - sys.stdlib_module_names <= {"depth_perception", *MODULES}
    assert {MODULES[name] for name in imported & MODULES.keys()} <= ROSDEP.keys()


def test_what_a_full_installation_offers_is_named(package: ElementTree.Element):
    assert {"ros2launch", "rviz2", "tf2_msgs"} <= names(package, "exec_depend")
    assert {"cv_bridge", "sensor_msgs_py", "python3-pytest"} <= names(package, "test_depend")


def test_nothing_is_named_twice(package: ElementTree.Element):
    tags = [depend.text for tag in ("depend", "exec_depend", "test_depend") for depend in package.iter(tag)]
    assert len(tags) == len(set(tags))
