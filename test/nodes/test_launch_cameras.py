"""What a launch starts for a car's file: its topics, its namespaces; `launch` itself replaced by doubles that only remember."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest

from depth_perception.frame import BadInput
from depth_perception.nodes.arguments import ARGUMENTS

ONE = "/**: {ros__parameters: {remap: {image: /cam/image_raw/compressed, points: /velodyne}, input: {compressed: true}}}"
TWO = """
/front/*: {ros__parameters: {remap: {image: /front/image, camera_info: /front/info}}}
/rear/*: {ros__parameters: {remap: {image: /rear/image, camera_info: /rear/info}, publish_tf: false}}
"""


def remembering(name):
    """A class whose objects keep how they were made."""
    return type(name, (), {"__init__": lambda self, *args, **given: self.__dict__.update(given, args=args)})


@pytest.fixture
def launching(monkeypatch):
    """depth_perception.nodes.launching over doubles of launch and launch_ros."""
    pytest.importorskip("ament_index_python")
    modules = {
        "launch": (), "launch.actions": ("DeclareLaunchArgument", "SetEnvironmentVariable", "Shutdown", "TimerAction"),
        "launch.events": (), "launch.events.process": ("ProcessExited",), "launch.launch_context": ("LaunchContext",),
        "launch.substitutions": ("EnvironmentVariable",), "launch_ros": (), "launch_ros.actions": ("ComposableNodeContainer", "Node"),
        "launch_ros.descriptions": ("ComposableNode",),
        "launch_ros.parameter_descriptions": ("ParameterValue",),
    }  # fmt: skip
    for name, classes in modules.items():
        module = ModuleType(name)
        module.__dict__.update({each: remembering(each) for each in classes})
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "depth_perception.nodes.launching", raising=False)
    yield importlib.import_module("depth_perception.nodes.launching")
    del sys.modules["depth_perception.nodes.launching"]


@pytest.fixture
def bringup(launching, tmp_path):
    """`bringup(text, argument=value)`: the Bringup of drive.launch.py with a params_file of that text."""

    def read(text, **given):
        file = tmp_path / "car.yaml"
        file.write_text(text)
        values = {name: argument.default or "" for name, argument in ARGUMENTS.items() if name != "out"}
        return launching.Bringup.read(SimpleNamespace(launch_configurations=values | {"params_file": str(file)} | given))

    return read


def test_the_topics_of_the_file_are_connected(bringup):
    (node,) = bringup(ONE).perception()
    assert dict(node.remappings) == {"image": "/cam/image_raw/compressed", "camera_info": "camera_info", "points": "/velodyne"}
    assert (node.executable, node.namespace) == ("drive", "")
    assert node.parameters[0].endswith("car.yaml") and "input.compressed" not in node.parameters[1]


def test_an_argument_counts_more_than_the_file(bringup):
    (node,) = bringup(ONE, image="/other/image", namespace="robot1").perception()
    assert dict(node.remappings)["image"] == "/other/image" and node.namespace == "robot1"


def test_each_camera_has_its_nodes_in_its_namespace(bringup):
    nodes = list(bringup(TWO, composed="false").perception())
    assert [(node.executable, node.namespace) for node in nodes] == [
        (f"{system}_node", namespace) for namespace in ("front", "rear") for system in ("depth", "odometry", "bev")
    ]
    assert dict(nodes[-1].remappings) == {"image": "/rear/image", "camera_info": "/rear/info", "points": "points"}


def systems_given(node):
    """What a node is given as `systems` beyond params_file; None: what the file says counts."""
    value = node.parameters[1].get("systems")
    return None if value is None else value.args[0]


def test_the_systems_of_the_file_are_started_one_process_each(bringup):
    file = "/**: {ros__parameters: {systems: depth markings}}"
    nodes = list(bringup(file, composed="false").perception())
    assert [(node.executable, systems_given(node)) for node in nodes] == [("depth_node", ""), ("markings_node", "")]
    (node,) = bringup(file).perception()
    assert (node.executable, systems_given(node)) == ("drive", None)
    nodes = list(bringup(file, composed="false", systems="bev").perception())
    assert [(node.executable, systems_given(node)) for node in nodes] == [("bev_node", "")]
    with pytest.raises(BadInput, match=r"systems: radar: wanted some of depth, .* with spaces between, got 'radar'"):
        list(bringup("/**: {ros__parameters: {systems: radar}}", composed="false").perception())


def test_a_recording_has_the_outputs_of_the_file_s_systems(bringup):
    (recorder,) = bringup("/**: {ros__parameters: {systems: markings}}", record="new").recorder()
    topics = recorder.parameters[0]["topics"]
    assert "/markings/mask" in topics and "/odometry" not in topics


def test_each_camera_has_its_own_systems_and_what_the_file_says_of_all(bringup):
    some = TWO.replace("publish_tf: false", "systems: objects") + "/**: {ros__parameters: {systems: depth markings}}"
    nodes = list(bringup(some, composed="false").perception())
    assert [(node.executable, node.namespace) for node in nodes] == [("depth_node", "front"), ("markings_node", "front"),
                                                                     ("objects_node", "rear")]
    (recorder,) = bringup(some, record="new", composed="false").recorder()
    topics = recorder.parameters[0]["topics"]
    assert {"/front/markings/mask", "/rear/objects", "/rear/objects_node/latency_ms"} <= set(topics)
    assert not {"/rear/depth/image", "/front/objects", "/front/objects_node/latency_ms"} & set(topics)


def test_one_of_the_cameras_can_be_named(bringup):
    (node,) = bringup(TWO, namespace="/rear").perception()
    assert node.namespace == "rear"
    with pytest.raises(BadInput, match="namespace:=left: params_file has the cameras front, rear"):
        bringup(TWO, namespace="left")
    with pytest.raises(BadInput, match="image:=: params_file has 2 cameras; say which with namespace:="):
        bringup(TWO, image="/x")
    (node,) = bringup(TWO, namespace="rear", image="/x").perception()
    assert dict(node.remappings)["image"] == "/x"


def test_a_recording_has_inputs_and_outputs_of_every_camera(bringup):
    (recorder,) = bringup(TWO, record="new").recorder()
    topics = recorder.parameters[0]["topics"]
    assert {"/front/image", "/rear/info", "/front/depth/image", "/rear/bev/points", "/rear/drive/latency_ms", "/tf"} <= set(topics)
    assert len(topics) == len(set(topics))


def test_a_bag_is_played_when_the_nodes_of_all_cameras_listen(bringup, tmp_path):
    pytest.importorskip("rosbags")
    from cars import START, image_at, info_at

    from depth_perception.bag import Writer, messages

    with Writer(tmp_path / "bag") as bag:
        for folder in ("front", "rear"):
            bag.write(f"/{folder}/info", info_at(1), START)
        bag.write("/front/image", image_at(1), START)
        bag.write("/rear/image", messages.compressed_image(b"x", "jpeg", stamp_ns=START, frame_id="camera"), START)
    drive = bringup(TWO, bag=str(tmp_path / "bag"))
    first, second = drive.perception()
    assert (first.parameters[1]["input.compressed"], second.parameters[1]["input.compressed"]) == (False, True)
    assert first.parameters[1]["use_sim_time"] is True
    (player,) = drive.player()
    assert player.arguments[player.arguments.index("--wait-for") + 1:] == ["/front/image", "/rear/image", "--wait-for-nodes", "drive"]
    with pytest.raises(BadInput, match="image: wanted a topic of"):
        bringup(ONE, bag=str(tmp_path / "bag"))


def test_the_viewer_shows_the_first_camera(bringup):
    assert list(bringup(TWO).view()) == []
    (viewer,) = bringup(TWO, view="true", composed="false").view()
    assert (viewer.executable, viewer.namespace, dict(viewer.remappings)["image"]) == ("viewer", "front", "/front/image")
    assert viewer.parameters[2]["nodes"].args == ("depth_node odometry_node bev_node",)


def test_depth_image_proc_is_given_the_pair_that_the_nodes_publish(launching, monkeypatch):
    from depth_perception.nodes.arguments import OUTPUTS

    monkeypatch.setattr(launching, "get_package_prefix", lambda package: "/opt")
    (cloud,) = launching.depth_cloud("front", use_sim_time=True).composable_node_descriptions
    connected = dict(cloud.remappings)
    assert {connected["image_rect"], connected["camera_info"]} <= set(OUTPUTS["depth_node"])
    # image_transport looks for the CameraInfo beside the image, whatever it is remapped to.
    assert connected["camera_info"].rpartition("/")[0] == connected["image_rect"].rpartition("/")[0]
    assert cloud.namespace == "front" and cloud.parameters == [{"use_sim_time": True}]


def test_without_depth_image_proc_it_says_how_to_get_it(launching, monkeypatch, tmp_path):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(BadInput, match="depth_image_proc is not installed: apt install"):
        launching.depth_cloud("", use_sim_time=False)
