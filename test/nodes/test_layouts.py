"""The layouts for RViz and Foxglove: every topic in them goes in or comes out, in a display of its type; none is left out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy")

from depth_perception.nodes.outputs import TOPICS
from depth_perception.nodes.watch import type_name

CONFIG = Path(__file__).resolve().parent.parent.parent / "config"
INPUTS = {"/image": "sensor_msgs/msg/Image", "/camera_info": "sensor_msgs/msg/CameraInfo", "/points": "sensor_msgs/msg/PointCloud2"}
OUTPUTS = {"/" + topic.lstrip("/"): type_name(type_) for topics in TOPICS.values() for type_, topic in topics.values()}
OUTPUTS |= {"/drive/latency_ms": "std_msgs/msg/Float32MultiArray", "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray"}
KNOWN = INPUTS | OUTPUTS

RVIZ = {
    "Map": "nav_msgs/msg/OccupancyGrid", "PointCloud2": "sensor_msgs/msg/PointCloud2", "Odometry": "nav_msgs/msg/Odometry",
    "Image": "sensor_msgs/msg/Image", "Camera": "sensor_msgs/msg/Image", "MarkerArray": "visualization_msgs/msg/MarkerArray",
}  # fmt: skip
# What RViz itself draws nothing of.
NUMBERS = {"std_msgs/msg/Float32MultiArray", "diagnostic_msgs/msg/DiagnosticArray", "vision_msgs/msg/Detection3DArray"}


def in_rviz() -> list[tuple[str, str]]:
    """Topic and the type that its display takes."""
    displays = yaml.safe_load((CONFIG / "drive.rviz").read_text())["Visualization Manager"]["Displays"]
    found = []
    for display in displays:
        kind = display["Class"].removeprefix("rviz_default_plugins/")
        if kind in RVIZ:
            found.append((display["Topic"]["Value"], RVIZ[kind]))
        elif kind == "DepthCloud":
            found += [(display["Depth Map Topic"], "sensor_msgs/msg/Image"), (display["CameraInfo Topic"], "sensor_msgs/msg/CameraInfo")]
        elif kind == "TF":
            found.append(("/tf", "tf2_msgs/msg/TFMessage"))
    return found


@pytest.fixture(scope="module")
def foxglove() -> dict[str, Any]:
    return json.loads((CONFIG / "foxglove.json").read_text())


def in_foxglove(layout: dict[str, Any]) -> list[tuple[str, set[str]]]:
    """Topic and the types that its panel takes."""
    in_3d = {"sensor_msgs/msg/PointCloud2", "nav_msgs/msg/OccupancyGrid", "nav_msgs/msg/Odometry", "visualization_msgs/msg/MarkerArray"}
    found: list[tuple[str, set[str]]] = []
    for name, panel in layout["configById"].items():
        kind = name.partition("!")[0]
        if kind == "3D":
            found += [(topic, in_3d) for topic in panel["topics"]]
            assert panel["followTf"] == "base_link"
            found.append(("/tf", {"tf2_msgs/msg/TFMessage"}))
        elif kind == "Image":
            found.append((panel["imageMode"]["imageTopic"], {"sensor_msgs/msg/Image"}))
            if info := panel["imageMode"].get("calibrationTopic"):
                found.append((info, {"sensor_msgs/msg/CameraInfo"}))
        elif kind == "Plot":
            for path in panel["paths"]:
                match = re.fullmatch(r"(/[\w/]+)\.data\[\d+\]", path["value"])
                assert match, path
                found.append((match[1], {"std_msgs/msg/Float32MultiArray"}))
        elif kind == "DiagnosticSummary":
            found.append((panel["topicToRender"], {"diagnostic_msgs/msg/DiagnosticArray"}))
        elif kind == "RawMessages":
            found.append((panel["topicPath"], {"vision_msgs/msg/Detection3DArray"}))
        else:
            assert kind == "Tab", f"{name}: no panel that this test knows"
    return found


def test_rviz_shows_every_topic_in_a_display_of_its_type():
    for topic, type_ in in_rviz():
        assert KNOWN.get(topic, "none of ours") == type_, topic
    assert {topic for topic, type_ in KNOWN.items() if type_ not in NUMBERS} - {topic for topic, _ in in_rviz()} <= {"/camera_info"}


def test_foxglove_shows_every_topic_in_a_panel_of_its_type(foxglove):
    optional = {"/objects/detections": "vision_msgs/msg/Detection3DArray", "/tf": "tf2_msgs/msg/TFMessage"}  # where they are installed
    for topic, types in in_foxglove(foxglove):
        assert (optional | KNOWN).get(topic, "none of ours") in types, topic
    assert KNOWN.keys() - {topic for topic, _ in in_foxglove(foxglove)} == set()


def test_foxglove_s_panels_are_each_in_one_place(foxglove):
    def panels(node: Any) -> list[str]:
        if isinstance(node, str):
            inner = foxglove["configById"][node]
            return [node, *(name for tab in inner.get("tabs", []) for name in panels(tab["layout"]))]
        assert node["direction"] in ("row", "column") and 0 < node["splitPercentage"] < 100
        return panels(node["first"]) + panels(node["second"])

    placed = panels(foxglove["layout"])
    assert sorted(placed) == sorted(foxglove["configById"])


def test_foxglove_s_plots_name_the_stages_by_their_order(foxglove):
    """A Float32MultiArray's values have places, not names: those of a whole frame of the drive node."""
    stages = ["decode", "pre", "engine", "post", "publish", "total", "odometry", "odometry_total", "bev", "bev_total"]
    meant = {"network": "engine", "to depth": "total", "to odometry": "odometry_total", "to cloud": "bev_total"}
    for path in foxglove["configById"]["Plot!latency"]["paths"]:
        assert path["value"] == f"/drive/latency_ms.data[{stages.index(meant[path['label']])}]"
    scale = {path["label"]: path["value"] for path in foxglove["configById"]["Plot!scale"]["paths"]}
    assert scale == {"scale": "/depth/scale.data[0]", "sigma": "/depth/scale.data[1]"}
