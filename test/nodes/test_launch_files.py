"""The launch files: read and checked everywhere, executed over real DDS where `launch_ros` is installed."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml

from depth_perception.nodes.arguments import ARGUMENTS, NOT_PLAYED, OUTPUTS, PARAMETERS, SYSTEMS, TOPICS

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
LAUNCHING = ROOT / "depth_perception" / "nodes" / "launching.py"


# --- read, without launch ----------------------------------------------------------------------------------------------


def arguments_of(file: Path) -> tuple[str, ...]:
    """The tuple ARGUMENTS of a launch file."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "ARGUMENTS":  # type: ignore[attr-defined]
            return ast.literal_eval(node.value)
    raise AssertionError(f"{file.name} declares no ARGUMENTS")


def strings_in(file: Path) -> set[str]:
    """Every string of a source file."""
    return {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def keyword_strings(file: Path, name: str) -> set[str]:
    """What is handed over as this keyword, where it is a plain string."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return {word.value.value for call in calls for word in call.keywords if word.arg == name and isinstance(word.value, ast.Constant)}


def test_the_launch_files_of_the_contract_are_there():
    assert [file.name for file in LAUNCH_FILES] == ["depth_cloud.launch.py", "drive.launch.py", "record.launch.py",
                                                      "replay.launch.py"]


@pytest.mark.parametrize("file", LAUNCH_FILES, ids=lambda file: file.name)
def test_a_launch_file_is_short_and_takes_its_arguments_from_the_table(file: Path):
    names = arguments_of(file)
    assert len(set(names)) == len(names)
    assert set(names) <= ARGUMENTS.keys()
    assert "generate_launch_description" in {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert len(file.read_text().splitlines()) < 40
    shown = re.findall(r"(\w+):=", ast.get_docstring(ast.parse(file.read_text())) or "")
    assert shown
    assert set(shown) <= set(names), "the example in the docstring uses an argument that is not declared"


def test_every_argument_is_declared_somewhere_and_says_what_it_is():
    assert {name for file in LAUNCH_FILES for name in arguments_of(file)} == ARGUMENTS.keys()
    for name, argument in ARGUMENTS.items():
        assert argument.meaning, name
        assert not argument.choices or argument.default in argument.choices, name


def test_what_a_bringup_reads_is_declared_by_the_files_that_use_it():
    read = {
        node.slice.value for node in ast.walk(ast.parse(LAUNCHING.read_text()))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
        and "given" in ast.unparse(node.value)
    }  # fmt: skip
    assert {"namespace", "params_file", "rate"} <= read
    for file in ("drive.launch.py", "replay.launch.py"):
        assert read <= set(arguments_of(ROOT / "launch" / file))


def test_executables_and_files_that_are_started_or_read_exist():
    started = keyword_strings(LAUNCHING, "executable") - {"rviz2", "component_container"}
    assert started == {"player", "recorder_node", "viewer"}
    assert started | OUTPUTS.keys() | {"drive"} == {script.name for script in (ROOT / "scripts").iterdir()}
    shared = {text for text in strings_in(LAUNCHING) if re.fullmatch(r"[\w]+\.(yaml|xml|rviz)", text)}
    assert shared >= {"fastdds.xml", "drive.rviz"}
    assert all((ROOT / "config" / name).is_file() for name in shared)
    assert Path(ARGUMENTS["params_file"].default or "") == ROOT / "config" / "drive.yaml"


def test_the_player_knows_every_option_that_it_is_given():
    given = {text for text in strings_in(LAUNCHING) if re.fullmatch(r"--[a-z-]+", text)} - {"--log-level"}
    assert {"--bag", "--clock", "--wait-for-nodes"} <= given
    assert given <= strings_in(ROOT / "depth_perception" / "nodes" / "player.py")


def test_the_outputs_are_those_of_the_nodes():
    outputs = pytest.importorskip("depth_perception.nodes.outputs")
    topics = {f"{system}_node": {topic for _, topic in named.values() if topic != "/tf"} for system, named in outputs.TOPICS.items()}
    topics["objects_node"].add("objects/detections")  # where vision_msgs is installed
    assert topics == {name: set(outputs) for name, outputs in OUTPUTS.items()}


@pytest.mark.parametrize("topic", ["/depth/image", "/robot1/bev/grid", "/odometry", "/a/b/depth/scale", "/drive/latency_ms", "/clock",
                                   "/objects", "/car/objects/detections", "/bev/features", "/markings/mask", "/markings/defects"])
def test_what_an_earlier_drive_said_is_not_played(topic: str):
    assert re.fullmatch(NOT_PLAYED, topic)


@pytest.mark.parametrize("topic", ["/image", "/camera/depth/image_raw", "/tf", "/tf_static", "/wheel/odometry_raw", "/lidar/points"])
def test_what_sensors_said_is_played(topic: str):
    assert not re.fullmatch(NOT_PLAYED, topic)


# --- RViz ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rviz() -> dict:
    """config/drive.rviz."""
    return yaml.safe_load((ROOT / "config" / "drive.rviz").read_text())["Visualization Manager"]


def test_rviz_shows_inputs_and_outputs_in_the_odometry_frame(rviz: dict):
    assert rviz["Global Options"]["Fixed Frame"] == "odom"
    shown = Counter(display["Class"].removeprefix("rviz_default_plugins/") for display in rviz["Displays"] if display["Enabled"])
    assert shown == Counter(Grid=1, Map=1, PointCloud2=1, DepthCloud=1, Odometry=1, TF=1, Camera=1, Image=3, MarkerArray=3)


def test_every_class_is_one_that_rviz_brings(rviz: dict):
    classes = re.findall(r"Class: (\S+)", (ROOT / "config" / "drive.rviz").read_text())
    assert {name.partition("/")[0] for name in classes if name != '""'} == {"rviz_default_plugins", "rviz_common"}


def test_rviz_s_topics_are_the_nodes_and_the_sensors(rviz: dict):
    def topics(value):
        if isinstance(value, dict):
            for key, one in value.items():
                yield from [one["Value"]] if key.endswith("Topic") and isinstance(one, dict) else topics(one)
        elif isinstance(value, list):
            for one in value:
                yield from topics(one)

    depth = next(display for display in rviz["Displays"] if display["Class"].endswith("DepthCloud"))
    seen = set(topics(rviz)) - {"/bev/grid_updates", "/markings/grid_updates"} | {depth["Depth Map Topic"], depth["CameraInfo Topic"]}
    assert seen <= {f"/{topic}" for topics in OUTPUTS.values() for topic in topics} | {f"/{topic}" for topic in TOPICS}
    assert {"/image", "/points", "/depth/image", "/bev/points", "/bev/grid", "/odometry"} <= seen


def test_rviz_asks_no_more_than_the_publishers_offer(rviz: dict):
    """A camera driver is best effort: who asks for reliable gets nothing."""
    for display in rviz["Displays"]:
        topic = display.get("Topic", {})
        if topic.get("Value") in ("/image", "/points"):
            assert topic["Reliability Policy"] == "Best Effort"
            assert topic["Durability Policy"] == "Volatile"


def test_the_camera_picture_is_overlaid_with_depth_alone(rviz: dict):
    camera = next(display for display in rviz["Displays"] if display["Class"].endswith("/Camera"))
    names = {display["Name"] for display in rviz["Displays"]}
    assert {name for name, shown in camera["Visibility"].items() if shown and name != "Value"} == {"Depth", "LiDAR"}
    assert camera["Visibility"].keys() - {"Value"} <= names


# --- the player waits for nodes, not for whoever listens -----------------------------------------------------------------


def test_the_player_waits_for_each_node_by_name(small_bag: Path, start_car, tmp_path: Path):
    pytest.importorskip("rclpy")
    from listening import Program

    start_car(arguments=["-r", "image:=/front/image"], topics=()).until_listening()
    waits = ("--wait-for", "/front/image", "--wait-for-nodes", "drive", "recorder", "--wait-timeout", "2")
    player = Program(tmp_path, "player", "--bag", small_bag, *waits)
    assert player.end() == 2
    assert player.complained.strip().endswith("not listening after 2 s: recorder to /front/image")


# --- executed ------------------------------------------------------------------------------------------------------------

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
file, *arguments = sys.argv[1:]
service = LaunchService(noninteractive=True)
service.include_launch_description(LaunchDescription([
    IncludeLaunchDescription(file, launch_arguments=[tuple(argument.split(":=", 1)) for argument in arguments])]))
raise SystemExit(service.run())
"""
COUNT = 8


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> Path:
    """An installation made of links to this checkout."""
    pytest.importorskip("launch_ros")
    pytest.importorskip("tf2_msgs")
    prefix = tmp_path_factory.mktemp("prefix")
    for folder in ("lib", "share/ament_index/resource_index/packages"):
        (prefix / folder).mkdir(parents=True)
    (prefix / "lib" / "depth_perception").symlink_to(ROOT / "scripts")
    (prefix / "share" / "depth_perception").symlink_to(ROOT)
    (prefix / "share/ament_index/resource_index/packages/depth_perception").touch()
    return prefix


@pytest.fixture(scope="module")
def small_bag(tmp_path_factory) -> Path:
    """A bag with topics of its own: 8 images and scans, and a depth image that an earlier drive left in it."""
    from cars import START, TENTH, image_at, info_at, scan_at, static_tf

    from depth_perception.bag import Writer

    path = tmp_path_factory.mktemp("bags") / "small"
    with Writer(path) as bag:
        bag.write("/tf_static", static_tf(), START)
        bag.write("/depth/image", image_at(1, "mono8", (96, 192)), START)
        for i in range(1, COUNT + 1):
            bag.write("/lidar", scan_at(i), START + i * TENTH)
            bag.write("/front/camera_info", info_at(i), START + i * TENTH)
            bag.write("/front/image", image_at(i, grey=40 + 5 * i), START + i * TENTH)
    return path


@pytest.fixture
def launch(prefix: Path, tmp_path: Path):
    """`launch("drive.launch.py", "bag:=...")`: the running launch; whatever it left behind is ended and told."""
    from depth_perception.nodes.transport import environment, private_domain

    env = environment(loopback=True, domain=private_domain())
    paths = [str(prefix), env.get("AMENT_PREFIX_PATH", ""), sys.prefix]
    env |= {
        "AMENT_PREFIX_PATH": os.pathsep.join(filter(None, paths)),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")])),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }
    running: list[subprocess.Popen[str]] = []

    def start(file: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUN, str(ROOT / "launch" / file), *arguments]
        running.append(subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return running[-1]

    yield start
    for process in running:
        for child in [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []:
            child.kill()
        process.wait()


@pytest.mark.parametrize(
    ("file", "argument", "sentence"),
    [
        ("drive.launch.py", "composed:=maybe", "composed:=maybe: wanted true or false"),
        ("drive.launch.py", "bag:=/nowhere", "/nowhere: wanted a bag, but nothing is there"),
        ("drive.launch.py", "engine:=abacus", "engine:=abacus: wanted auto or cpu or cuda or tensorrt"),
        ("drive.launch.py", "params_file:=~/nowhere.yaml", f"params_file:={Path.home()}/nowhere.yaml: there is no such file"),
        ("drive.launch.py", "params_file:=/nowhere.yaml", "params_file:=/nowhere.yaml: there is no such file"),
        ("drive.launch.py", "rviz:=true", "rviz:=true: the package rviz2 is not installed"),
        ("drive.launch.py", "bag:=SMALL image:=/back/image", "image: wanted a topic of"),
        ("drive.launch.py", "bag:=SMALL rate:=0", "rate:=0: wanted a number above 0"),
        ("replay.launch.py", "bag:=SMALL", "'out'"),
        ("replay.launch.py", "out:=x bag:=", "bag: wanted the path of a bag, got nothing"),
    ],
)
def test_a_wrong_argument_is_one_sentence(launch, small_bag: Path, file: str, argument: str, sentence: str):
    if argument == "rviz:=true" and shutil.which("rviz2"):
        pytest.skip("rviz2 is installed")
    process = launch(file, *argument.replace("SMALL", str(small_bag)).split())
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert sentence in said.strip().splitlines()[-1]
    assert "Traceback" not in said
    assert "process started" not in said


@pytest.mark.parametrize(("composed", "namespace"), [("true", ""), ("false", "/robot1")])
def test_a_replay_adds_every_output_to_the_bag_and_ends_by_itself(launch, small_bag, tiny_model, tmp_path, composed, namespace):
    from depth_perception.bag import Bag

    out = tmp_path / "out"
    process = launch("replay.launch.py", f"bag:={small_bag}", f"out:={out}", f"model:={tiny_model}", f"composed:={composed}", "rate:=0.25",
                     f"namespace:={namespace}")  # fmt: skip
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "Traceback" not in said, said
    assert "process has died" not in said, said
    counts = {topic: count for topic, (_, count) in Bag(out).topics.items()}
    assert counts["/front/image"] == counts["/front/camera_info"] == counts["/lidar"] == COUNT, said
    assert counts["/tf_static"] >= 1
    # COUNT of them also says that the depth image of the earlier drive was not played into the new bag.
    for topic in ("depth/image", "depth/camera_info", "depth/confidence", "depth/scale", "bev/points", "bev/grid"):
        assert counts[f"{namespace}/{topic}"] == COUNT, topic
    assert counts[f"{namespace}/odometry"] == COUNT - 1
    nodes = ["drive"] if composed == "true" else [f"{system}_node" for system in SYSTEMS]
    assert all(counts[f"{namespace}/{node}/latency_ms"] == COUNT for node in nodes)
    assert counts["/tf"] == COUNT - 1


def test_a_replay_into_a_bag_that_exists_ends_with_the_reason(launch, small_bag: Path, tiny_model: Path):
    process = launch("replay.launch.py", f"bag:={small_bag}", f"out:={small_bag}", f"model:={tiny_model}")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{small_bag}: " in said
    assert "recorder_node" in said
    assert "Traceback" not in said


def test_a_drive_that_cannot_start_ends_its_replay_with_the_reason(launch, small_bag: Path):
    process = launch("drive.launch.py", f"bag:={small_bag}", "model:=/nowhere")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "model /nowhere" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [("composed:=true",), ("composed:=false", "namespace:=robot1")])
def test_sigint_ends_a_live_drive_and_its_recording(launch, tiny_model: Path, tmp_path: Path, arguments: tuple[str, ...]):
    process = launch("drive.launch.py", f"model:={tiny_model}", "record:=live", *arguments)
    assert process.stdout is not None
    waited, said = (1 if arguments[0] == "composed:=true" else 3), ""
    while said.count("active after") < waited or "recording into" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == waited + 1
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in rest, rest
    assert rest.count("process has finished cleanly") == waited + 1, rest
    assert not any(child.is_running() for child in children)
    assert (tmp_path / "live" / "metadata.yaml").is_file()


def test_record_launch_records_the_topics_it_is_given(launch, tmp_path: Path):
    process = launch("record.launch.py", "path:=new", "topics:=/image /points")
    assert process.stdout is not None
    while "recording into" not in (line := process.stdout.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert (tmp_path / "new" / "metadata.yaml").is_file()


def test_the_profile_reaches_what_is_started_and_the_user_s_own_stays(prefix: Path, monkeypatch: pytest.MonkeyPatch):
    from launch import LaunchContext

    from depth_perception.nodes.launching import transport

    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml")
    context = LaunchContext()
    for action in transport():
        action.execute(context)
    assert context.environment["FASTDDS_DEFAULT_PROFILES_FILE"] == str(ROOT / "config" / "fastdds.xml")
    assert context.environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/mine.xml"


def test_the_arguments_that_are_parameters_are_the_nodes_own():
    pytest.importorskip("rclpy")
    from depth_perception.nodes import parameters, perception_config

    declared = set(parameters.descriptions(perception_config.Config)) | strings_in(Path(perception_config.__file__))
    assert PARAMETERS.keys() <= declared


def test_a_car_s_file_starts_the_nodes_of_each_camera(launch, tiny_model: Path, tmp_path: Path):
    """What setup-car has written, unchanged: two cameras, one of them compressed, no topic named by hand."""
    import cv2
    import numpy as np
    from cars import START, TENTH, image_at, info_at, static_tf

    from depth_perception.__main__ import main
    from depth_perception.bag import Bag, Writer, messages

    jpeg = cv2.imencode(".jpg", np.full((96, 192, 3), 90, np.uint8))[1].tobytes()
    with Writer(tmp_path / "bag") as bag:
        bag.write("/tf_static", static_tf(), START)
        for i in range(1, COUNT + 1):
            stamp = START + i * TENTH
            bag.write("/front/camera_info", info_at(i), stamp)
            bag.write("/front/image_raw", image_at(i, grey=40 + 5 * i), stamp)
            bag.write("/rear/camera_info", info_at(i), stamp)
            bag.write("/rear/image_raw/compressed", messages.compressed_image(jpeg, "jpeg", stamp_ns=stamp, frame_id="camera"), stamp)
    file, out = tmp_path / "drive.yaml", tmp_path / "out"
    assert main(["setup-car", str(tmp_path / "bag"), "--out", str(file)]) == 0
    named = f"bag:={tmp_path / 'bag'}", f"out:={out}", f"params_file:={file}", f"model:={tiny_model}"
    process = launch("replay.launch.py", *named, "rate:=0.25")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    counts = {topic: count for topic, (_, count) in Bag(out).topics.items()}
    assert counts["/front/depth/image"] == counts["/rear/depth/image"] == COUNT, said
    assert counts["/tf"] == COUNT - 1, "one of the two odometries moves the body"
