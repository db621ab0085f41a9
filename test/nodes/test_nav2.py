"""config/nav2: the keys are Nav2's, the topics, types and frames are the nodes'.

Nav2 is not here. The names are those of docs.nav2.org (configuration of costmap_2d, of its voxel, static and inflation layers, and of the
collision monitor), Jazzy to Rolling.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from depth_perception.nodes.arguments import OUTPUTS
from depth_perception.systems import bev

ROOT = Path(__file__).resolve().parents[2]
COSTMAP = {
    "always_send_full_costmap", "map_vis_z", "footprint", "footprint_padding", "global_frame", "height", "width", "lethal_cost_threshold",
    "map_topic", "observation_sources", "origin_x", "origin_y", "publish_frequency", "resolution", "robot_base_frame", "robot_radius",
    "rolling_window", "track_unknown_space", "transform_tolerance", "initial_transform_timeout", "trinary_costmap", "unknown_cost_value",
    "update_frequency", "use_maximum", "plugins", "filters",
}  # fmt: skip
LAYERS = {
    "nav2_costmap_2d::VoxelLayer": {
        "plugin", "enabled", "footprint_clearing_enabled", "max_obstacle_height", "z_voxels", "origin_z", "z_resolution",
        "unknown_threshold", "mark_threshold", "combination_method", "publish_voxel_map", "observation_sources",
    },
    "nav2_costmap_2d::StaticLayer": {
        "plugin", "enabled", "footprint_clearing_enabled", "subscribe_to_updates", "map_subscribe_transient_local", "transform_tolerance",
        "map_topic",
    },
    "nav2_costmap_2d::InflationLayer": {
        "plugin", "enabled", "inflation_radius", "cost_scaling_factor", "inflate_unknown", "inflate_around_unknown",
    },
}  # fmt: skip
SOURCE = {
    "topic", "sensor_frame", "observation_persistence", "expected_update_rate", "data_type", "min_obstacle_height", "max_obstacle_height",
    "inf_is_valid", "marking", "clearing", "obstacle_max_range", "obstacle_min_range", "raytrace_max_range", "raytrace_min_range",
}  # fmt: skip
MONITOR = {
    "base_frame_id", "odom_frame_id", "cmd_vel_in_topic", "cmd_vel_out_topic", "state_topic", "transform_tolerance", "source_timeout",
    "base_shift_correction", "stop_pub_timeout", "polygons", "observation_sources", "use_realtime_priority", "enable_stamped_cmd_vel",
    "bond_heartbeat_period",
}  # fmt: skip
POLYGON = {
    "type", "points", "polygon_sub_topic", "footprint_topic", "polygon_subscribe_transient_local", "radius", "action_type", "min_points",
    "slowdown_ratio", "linear_limit", "angular_limit", "time_before_collision", "simulation_time_step", "visualize", "polygon_pub_topic",
    "enabled",
}  # fmt: skip
CLOUD_SOURCE = {"type", "topic", "min_height", "max_height", "enabled", "source_timeout"}
PUBLISHED = {f"/{topic}" for topics in OUTPUTS.values() for topic in topics}


def parameters(file, *names):
    block = yaml.safe_load((ROOT / "config" / "nav2" / file).read_text())
    for name in names:
        block = block[name]
    return block["ros__parameters"]


@pytest.fixture(params=["local_costmap", "global_costmap"])
def costmap(request):
    return parameters("costmap.yaml", request.param, request.param)


@pytest.fixture
def monitor():
    return parameters("collision_monitor.yaml", "collision_monitor")


def test_the_costmaps_have_nav2_s_keys(costmap):
    assert costmap.keys() <= COSTMAP | set(costmap["plugins"])
    for name in costmap["plugins"]:
        layer = costmap[name]
        sources = layer.get("observation_sources", "").split()
        assert layer.keys() <= LAYERS[layer["plugin"]] | set(sources)
        assert all(layer[source].keys() <= SOURCE for source in sources)


def test_the_costmaps_are_fed_by_what_the_nodes_publish(costmap):
    for layer in (costmap[name] for name in costmap["plugins"]):
        for source in layer.get("observation_sources", "").split():
            assert (layer[source]["topic"], layer[source]["data_type"]) == ("/bev/points", "PointCloud2")
        if layer["plugin"].endswith("StaticLayer"):
            assert layer["map_topic"] == "/bev/grid" and layer["map_subscribe_transient_local"]
    assert {"/bev/points", "/bev/grid"} <= PUBLISHED


def test_voxels_reach_as_high_as_obstacles_do():
    layer = parameters("costmap.yaml", "local_costmap", "local_costmap")["voxel_layer"]
    source = layer["camera"]
    assert layer["z_voxels"] <= 16, "Nav2 keeps a column in 16 bits"
    assert layer["origin_z"] + layer["z_voxels"] * layer["z_resolution"] >= layer["max_obstacle_height"] >= source["max_obstacle_height"]
    assert source["min_obstacle_height"] >= layer["z_resolution"], "the ground is no obstacle"
    assert source["obstacle_max_range"] < source["raytrace_max_range"] <= bev.Config.max_range_m


def test_cells_are_no_finer_than_the_cloud(costmap):
    assert costmap["resolution"] >= bev.Config.voxel_m == bev.Config.cell_m


def test_frames_are_the_nodes_defaults(costmap, monitor):
    perception_config = pytest.importorskip("depth_perception.nodes.perception_config")
    odom = perception_config.Config().odom_frame
    assert costmap["global_frame"] == monitor["odom_frame_id"] == odom
    assert costmap["robot_base_frame"] == monitor["base_frame_id"] == "base_link"


def test_the_monitor_has_nav2_s_keys_and_our_cloud(monitor):
    assert monitor.keys() <= MONITOR | set(monitor["polygons"]) | set(monitor["observation_sources"])
    for name in monitor["polygons"]:
        zone = monitor[name]
        assert zone.keys() <= POLYGON and zone["action_type"] in ("stop", "slowdown", "limit", "approach")
        corners = np.array(json.loads(zone["points"]))
        assert corners.shape[0] >= 3 and corners.shape[1] == 2
    for name in monitor["observation_sources"]:
        assert monitor[name].keys() <= CLOUD_SOURCE
        assert (monitor[name]["type"], monitor[name]["topic"]) == ("pointcloud", "/bev/points")


def test_the_stop_zone_lies_in_the_slow_one_s_way(monitor):
    slow, stop = (np.array(json.loads(monitor[name]["points"])) for name in ("slow_zone", "stop_zone"))
    assert stop[:, 0].max() < slow[:, 0].max() and abs(stop[:, 1]).max() <= abs(slow[:, 1]).max()


def test_the_messages_are_what_nav2_reads():
    """A cloud in the body's frame with float x, y, z, and a latched map of -1, 0 and 100."""
    pytest.importorskip("rclpy")
    from rclpy.qos import DurabilityPolicy
    from sensor_msgs.msg import PointField

    from depth_perception.nodes import encode, outputs

    points = np.array([[1, 2, 3, 0.5]], np.float32)
    output = bev.BevOutput(points, np.array([[-1, 0, 100]], np.int8), (-1.0, -2.0), 0.2, 5, "base_link")
    cloud, grid = encode.cloud(output), encode.occupancy_grid(output)
    assert [(field.name, field.datatype) for field in cloud.fields[:3]] == [(axis, PointField.FLOAT32) for axis in "xyz"]
    assert cloud.header == grid.header and cloud.header.frame_id == "base_link"
    assert list(grid.data) == [-1, 0, 100] and (grid.info.width, grid.info.height) == (3, 1)
    assert outputs._qos("grid").durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert [outputs.TOPICS["bev"][name][0].__name__ for name in ("cloud", "grid")] == ["PointCloud2", "OccupancyGrid"]


def test_the_gate_of_the_guide_is_a_parameter():
    (gate,) = [line for line in (ROOT / "docs" / "nav2.md").read_text().splitlines() if line.strip().startswith("min_confidence:")]
    assert bev.Config(min_confidence=float(gate.split(":")[1].split("#")[0])).min_confidence > bev.Config.min_confidence
