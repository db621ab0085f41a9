"""The pinned requirements and the transport profiles. What an installation puts where: test_install."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pins(name: str) -> dict[str, str]:
    """Package -> version of a requirements file; every line is one exact, public version, and nothing else."""
    lines = [line for line in (ROOT / "requirements" / name).read_text().splitlines() if line and not line.startswith("#")]
    wrong = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line)]
    assert not wrong, f"{name}: wanted NAME==VERSION without a local version, found {wrong}"
    return dict(line.split("==") for line in lines)


def test_requirements_are_pinned_once():
    drive, learn = pins("drive.txt"), pins("learn.txt")
    assert not drive.keys() & learn.keys()
    assert {"numpy", "onnxruntime", "opencv-python-headless"} <= drive.keys()
    assert {"torch", "pytest", "hypothesis", "ruff", "mypy"} <= learn.keys()
    assert not drive.keys() & {"torch", "onnx", "tensorflow"}
    assert not [name for name in drive.keys() | learn.keys() if name.startswith("ros-")]


@pytest.mark.parametrize("distribution", ["jazzy", "kilted"])
def test_each_ros_distribution_has_its_own_pins(distribution: str):
    ros = pins(f"ros-{distribution}.txt")
    assert all(name.startswith("ros-") for name in ros)
    assert {f"ros-{distribution}-{name}" for name in ("rclpy", "common-interfaces", "rmw-fastrtps-cpp")} <= ros.keys()
    (other,) = {"jazzy", "kilted"} - {distribution}
    assert not [name for name in ros if name.startswith(f"ros-{other}-")]


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
