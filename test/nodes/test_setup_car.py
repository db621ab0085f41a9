"""setup-car: the topics it chooses, what it says is missing, and that the file it writes drives, over real DDS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags")
from worlds import CALIBRATION, SIZE, T_BASE_CAMERA, T_BASE_LIDAR, scan

from depth_perception.__main__ import main
from depth_perception.bag import Writer, messages
from depth_perception.frame import Calibration
from depth_perception.geometry import camera, pose
from depth_perception.nodes import car_file
from depth_perception.nodes.car_file import Camera
from depth_perception.systems.odometry import T_BODY_OPTICAL

START, TENTH, COUNT = 1_700_000_000_000_000_000, 100_000_000, 8
T_BASE_BACK = pose.from_rotation_vector(np.array([0, 0, np.pi]), np.array([-0.5, 0, 1.5])) @ T_BODY_OPTICAL
LINKS = {"front": T_BASE_CAMERA, "rear": T_BASE_BACK, "lidar": T_BASE_LIDAR}


def calibration(frame, *, factor=1.0):
    height, width = (round(side * factor) for side in SIZE)
    return Calibration(camera.resize_K(CALIBRATION.K, from_size=SIZE, to_size=(height, width)), width, height, frame)


@pytest.fixture
def write(tmp_path):
    """Writes a bag of a car before a wall: cameras, with or without LiDAR, CameraInfo, TF; extra: (topic, message) at each moment."""

    def write(*cameras, compressed=False, lidar=True, info=1.0, D=(0.0,) * 5, links=LINKS, name="image_raw", scan_every=1, extra=()):
        path = tmp_path / "bag"
        rng = np.random.default_rng(1)
        with Writer(path) as bag:
            if links:
                bag.write("/tf_static", messages.transforms([("base_link", child, T) for child, T in links.items()], stamp_ns=START), START)
            for i in range(1, COUNT + 1):
                stamp = START + i * TENTH
                for topic, message in extra:
                    bag.write(topic, message(stamp), stamp)
                if lidar and i % scan_every == 0:
                    bag.write("/lidar/points", messages.points(scan(22.0 - i, stamp_ns=stamp - 20_000_000)), stamp - 20_000_000)
                for frame in cameras or ("front",):
                    image = cv2.GaussianBlur(rng.integers(0, 255, (*SIZE, 3), np.uint8), (0, 0), 1.0)
                    folder = f"/{frame}"
                    if info:
                        said = calibration(frame, factor=info)
                        bag.write(f"{folder}/camera_info", messages.camera_info(said, stamp_ns=stamp, D=D), stamp)
                    if compressed:
                        data = cv2.imencode(".jpg", image)[1].tobytes()
                        message = messages.compressed_image(data, "rgb8; jpeg compressed bgr8", stamp_ns=stamp, frame_id=frame)
                        bag.write(f"{folder}/{name}/compressed", message, stamp)
                    else:
                        bag.write(f"{folder}/{name}", messages.image(image, "rgb8", stamp_ns=stamp, frame_id=frame), stamp)
        return path

    return write


@pytest.fixture
def setup(tmp_path):
    """`setup(bag, ...)`: exit code, the file's cameras, its parameters by block, and {subject: sentences of what is to be done}."""

    def setup(bag, *options):
        out, found = tmp_path / "drive.yaml", tmp_path / "found.json"
        code = main(["setup-car", str(bag), "--out", str(out), "--json", str(found), "--force", *map(str, options)])
        todo: dict[str, str] = {}
        for finding in json.loads(found.read_text())["findings"]:
            if finding["level"] == "todo":
                todo[finding["subject"]] = todo.get(finding["subject"], "") + finding["says"]
        blocks = {name: block["ros__parameters"] for name, block in yaml.safe_load(out.read_text()).items()}
        return code, car_file.cameras(out), blocks, todo

    return setup


def test_a_whole_car_needs_nothing(write, setup):
    code, cameras, blocks, todo = setup(write())
    assert (code, todo) == (0, {})
    topics = {"image": "/front/image_raw", "camera_info": "/front/camera_info", "points": "/lidar/points"}
    assert cameras == [Camera("", topics, parameters={"input.compressed": False, "input.base_frame": "base_link"})]
    assert blocks == {"/**": {"remap": cameras[0].topics, "input": {"compressed": False, "base_frame": "base_link"}}}


def test_the_json_has_the_cameras_as_the_file_has_them(write, setup, tmp_path):
    _, cameras, _, _ = setup(write("front", "rear"))
    assert json.loads((tmp_path / "found.json").read_text())["cameras"] == [vars(camera) for camera in cameras]
    assert cameras[0].parameters["input.base_frame"] == "base_link" and cameras[1].parameters["publish_tf"] is False


def test_compressed_images_are_decoded(write, setup):
    code, cameras, blocks, _ = setup(write(compressed=True))
    assert code == 0
    assert cameras[0].compressed and cameras[0].topics["image"] == "/front/image_raw/compressed"
    assert cameras[0].topics["camera_info"] == "/front/camera_info"
    assert blocks["/**"]["input"]["compressed"] is True


def test_two_cameras_are_two_namespaces_and_one_parent_of_the_body(write, setup):
    code, cameras, blocks, _ = setup(write("front", "rear"), "--points-topic", "/lidar/points")
    assert [camera.namespace for camera in cameras] == ["front", "rear"]
    assert [camera.topics["image"] for camera in cameras] == ["/front/image_raw", "/rear/image_raw"]
    assert cameras[1].topics["camera_info"] == "/rear/camera_info"
    assert blocks.keys() == {"/front/*", "/rear/*"}
    assert "publish_tf" not in blocks["/front/*"] and blocks["/rear/*"]["publish_tf"] is False
    # The LiDAR of this bag looks ahead only.
    assert code == 1


def test_a_camera_that_is_named_twice_is_one(write, setup):
    _, cameras, blocks, _ = setup(write(), "--image-topic", "/front/image_raw", "/front/image_raw")
    assert [camera.namespace for camera in cameras] == [""] and blocks.keys() == {"/**"}


def test_cameras_whose_names_are_the_same_are_numbered():
    from depth_perception.commands.setup_car.fitting import _namespaces

    images = ["/a_b/image_raw", "/a/b/image_raw", "/a_b/image_raw_2", "/a/b/image_raw/2"]
    names = _namespaces(images)
    assert list(names) == images and len(set(names.values())) == 4 and names["/a_b/image_raw"] == "a_b_image_raw"


def test_a_lidar_that_the_camera_cannot_see_is_said(write, setup):
    code, _, _, todo = setup(write("rear"))
    assert code == 1
    assert "0.0 % of the scan's points fall into the image: the transform between lidar and rear points elsewhere" in todo["mounting"]


def test_one_of_two_cameras_needs_no_namespace(write, setup):
    code, cameras, blocks, _ = setup(write("front", "rear"), "--image-topic", "/front/image_raw")
    assert code == 0
    assert [camera.namespace for camera in cameras] == [""] and blocks.keys() == {"/**"}


def test_without_a_lidar_nothing_waits_for_its_scale(write, setup):
    code, cameras, blocks, _ = setup(write(lidar=False))
    assert code == 0
    assert "points" not in cameras[0].topics
    assert blocks["/**"]["diagnostics"] == {"min_scale_inliers": 0}


def test_without_camera_info_it_says_what_is_missing_and_how_to_give_it(write, setup, tmp_path):
    bag = write(info=None)
    code, cameras, blocks, todo = setup(bag)
    assert code == 1
    assert "none for /front/image_raw: calibrate it" in todo["CameraInfo"] and "--calibration" in todo["CameraInfo"]
    assert "camera_info" not in cameras[0].topics
    assert "# calibration: camera.yaml" in (tmp_path / "drive.yaml").read_text()
    file = tmp_path / "camera.yaml"
    K = CALIBRATION.K.ravel().tolist()
    file.write_text(yaml.safe_dump({"width": SIZE[1], "height": SIZE[0], "K": K, "camera_frame": "front", "lidar_frame": "lidar"}))
    code, _, blocks, todo = setup(bag, "--calibration", file)
    assert (code, todo) == (0, {})
    assert blocks["/**"]["input"]["calibration"] == str(file)


def test_camera_info_of_another_size_is_said(write, setup):
    code, _, _, todo = setup(write(info=2.0))
    assert code == 1
    assert "/front/camera_info is of 384x192 images, /front/image_raw has 192x96: calibrate at this size" in todo["CameraInfo"]


def test_images_that_would_be_rectified_twice_are_said(write, setup):
    code, _, _, todo = setup(write(name="image_rect_color", D=(0.1, 0, 0, 0, 0)))
    assert code == 1 and "it would be rectified twice" in todo["CameraInfo"]


def test_links_that_tf_lacks_are_said_with_a_line_to_fill_in(write, setup, tmp_path):
    code, _, blocks, todo = setup(write(links={"lidar": T_BASE_LIDAR}))
    assert code == 1
    assert "nothing says where front is on the car" in todo["TF"]
    assert "TF does not connect front (unknown to TF) with lidar (under base_link)" in todo["TF"]
    text = (tmp_path / "drive.yaml").read_text()
    assert "# T_base_camera: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]" in text and "# T_camera_lidar: [" in text
    assert "base_frame" not in blocks["/**"]["input"]
    assert text.count("To be done:") == 1 and all(sentence[:40] in text for sentence in todo.values())


def test_a_camera_frame_that_is_not_optical_is_said(write, setup):
    code, _, _, todo = setup(write(links=LINKS | {"front": np.eye(4)}))
    assert code == 1 and "the camera's frame front looks up (its z axis is base_link's)" in todo["mounting"]


def test_a_slow_lidar_is_waited_for(write, setup):
    _, _, blocks, _ = setup(write(scan_every=2))
    assert 0.3 < blocks["/**"]["input"]["max_scan_delay_s"] < 1.0


def test_a_body_that_is_moved_already_gets_no_second_parent(write, setup):
    def moved(stamp):
        return messages.transforms([("map", "base_link", np.eye(4))], stamp_ns=stamp)

    _, _, blocks, _ = setup(write(extra=[("/tf", moved)]))
    assert blocks["/**"]["publish_tf"] is False


def test_depth_images_greys_and_twins_are_no_cameras(write, setup, capsys):
    def grey(stamp):
        return messages.image(np.zeros(SIZE, np.uint8), "mono8", stamp_ns=stamp, frame_id="infra")

    def deep(stamp):
        return messages.image(np.zeros(SIZE, np.uint16), "16UC1", stamp_ns=stamp, frame_id="front")

    def rectified(stamp):
        return messages.image(np.zeros((*SIZE, 3), np.uint8), "rgb8", stamp_ns=stamp, frame_id="front")

    extra = [("/infra/image_raw", grey), ("/front/depth/image_raw", deep), ("/front/image_rect_color", rectified)]
    code, cameras, _, _ = setup(write(extra=extra))
    assert code == 0 and [camera.topics["image"] for camera in cameras] == ["/front/image_raw"]
    assert "/infra/image_raw left out: --image-topic takes them as well" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "wanted a bag, or --live, got neither"),
        (("BAG", "--live"), "wanted a bag, or --live, got both"),
        (("/nowhere",), "/nowhere: wanted a bag, but nothing is there"),
        (("BAG", "--image-topic", "/back/image"), "--image-topic: /back/image: there is no such sensor in"),
        (("BAG", "--calibration", "/nowhere.yaml"), "/nowhere.yaml: wanted a calibration file"),
        (("--live", "--seconds", "0"), "--seconds: wanted 1 to 60, got 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(write, tmp_path, capsys, options, sentence):
    bag = str(write())
    out = tmp_path / "drive.yaml"
    assert main(["setup-car", *(bag if word == "BAG" else word for word in options), "--out", str(out)]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_is_there_stays(write, tmp_path, capsys):
    out = tmp_path / "drive.yaml"
    out.write_text("mine")
    assert main(["setup-car", str(write()), "--out", str(out)]) == 2
    assert out.read_text() == "mine" and "--force" in capsys.readouterr().err


def test_files_that_cannot_be_written_are_said_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    nowhere = tmp_path / "file" / "drive.yaml"
    assert main(["setup-car", "/nowhere", "--out", str(nowhere)]) == 2
    assert f"--out: {nowhere} cannot be written: " in capsys.readouterr().err
    assert main(["setup-car", "/nowhere", "--out", str(tmp_path / "drive.yaml"), "--json", str(tmp_path)]) == 2
    assert f"--json: {tmp_path}: wanted a file to write, it is a directory" in capsys.readouterr().err


def test_a_bag_without_a_camera_is_refused_and_nothing_is_written(tmp_path, capsys):
    with Writer(tmp_path / "bag") as bag:
        bag.write("/lidar/points", messages.points(scan(stamp_ns=START)), START)
    assert main(["setup-car", str(tmp_path / "bag"), "--out", str(tmp_path / "drive.yaml")]) == 2
    assert "no camera topic that can be read among /lidar/points" in capsys.readouterr().err
    assert not (tmp_path / "drive.yaml").exists()


# --- over DDS ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def graph():
    """A Listener of this run's domain."""
    pytest.importorskip("rclpy")
    pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")
    from listening import Listener

    listener = Listener()
    yield listener
    listener.close()


@pytest.mark.parametrize("options", [{}, {"compressed": True}, {"lidar": False}], ids=["raw", "compressed", "no LiDAR"])
def test_the_file_drives(write, setup, graph, tiny_model, tmp_path, options):
    from listening import Program
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import CameraInfo, Image

    bag = write(**options)
    _, cameras, _, _ = setup(bag)
    depths, infos = graph.hear(Image, "/depth/image"), graph.hear(CameraInfo, "/depth/camera_info")
    drive = Program(tmp_path, "drive", "--ros-args", "--params-file", tmp_path / "drive.yaml", *cameras[0].ros_arguments, "-p",
                    f"model:={tiny_model}", "-p", "engine:=cpu")
    waits = ("--wait-for", cameras[0].topics["image"], "--wait-for-nodes", "drive")
    player = Program(tmp_path, "player", "--bag", bag, *waits, "--rate", "0.5")
    try:
        graph.until(lambda: depths and infos, drive)
        assert player.end() == 0, player.complained
    finally:
        assert drive.end(signal.SIGINT) == 0, drive.complained
    depth, info = deserialize_message(depths[0], Image), deserialize_message(infos[0], CameraInfo)
    # The pair that depth_image_proc takes.
    assert (depth.height, depth.width, depth.encoding, depth.step) == (*SIZE, "32FC1", 4 * SIZE[1])
    assert (info.height, info.width) == (depth.height, depth.width) and info.header == depth.header
    assert depth.header.frame_id == "front" and list(info.d) == [0.0] * 5
    assert info.p[0] == info.k[0] == CALIBRATION.K[0, 0] and info.p[3] == 0
    values = np.frombuffer(depth.data, np.float32)
    assert np.isfinite(values).any() and np.nanmin(values) > 0


def test_a_block_of_a_namespace_reaches_its_nodes_alone(write, setup, graph, tiny_model, tmp_path):
    from listening import Program
    from sensor_msgs.msg import Image

    bag = write("front", "rear", compressed=True)
    _, cameras, _, _ = setup(bag)
    rear = cameras[1]
    depths, tf = graph.hear(Image, "/rear/depth/image"), graph.node
    drive = Program(tmp_path, "drive", "--ros-args", "--params-file", tmp_path / "drive.yaml", *rear.ros_arguments, "-p",
                    f"model:={tiny_model}", "-p", "engine:=cpu")
    player = Program(tmp_path, "player", "--bag", bag, "--wait-for", rear.topics["image"], "--wait-for-nodes", "drive")
    try:
        graph.until(lambda: depths, drive)
        assert "/rear/odometry" in dict(tf.get_topic_names_and_types())
        assert player.end() == 0, player.complained
    finally:
        assert drive.end(signal.SIGINT) == 0, drive.complained


def test_a_running_car_is_heard(write, graph, tmp_path):
    from listening import Program
    from sensor_msgs.msg import Image

    bag = write(compressed=False)
    out = tmp_path / "live.yaml"
    idle = graph.node.create_publisher(Image, "/idle/image_raw", 5)
    player = Program(tmp_path, "player", "--bag", bag, "--loop", "--topics", "/front/image_raw", "/front/camera_info", "/lidar/points",
                     "/tf_static")
    live = Program(tmp_path, "setup-car", "--live", "--seconds", "3", "--out", out, is_verb=True)
    try:
        code = live.end()
    finally:
        player.end(signal.SIGINT)
        graph.node.destroy_publisher(idle)
    assert out.is_file(), live.complained
    assert car_file.cameras(out)[0].topics == {"image": "/front/image_raw", "camera_info": "/front/camera_info", "points": "/lidar/points"}
    assert "/idle/image_raw: offered by /listener, but nothing came" in live.said
    assert code == 1
    assert yaml.safe_load(out.read_text())["/**"]["ros__parameters"]["input"]["base_frame"] == "base_link"


def test_nobody_there_is_one_sentence(graph, tmp_path):
    from listening import Program

    live = Program(tmp_path, "setup-car", "--live", "--seconds", "1", "--out", tmp_path / "live.yaml", is_verb=True)
    assert live.end() == 2
    assert "no camera topic that can be read" in live.complained or "nothing came within 1 s in domain" in live.complained


def test_the_drive_of_a_bag_follows_the_file(write, setup, tiny_model, tmp_path, capsys):
    pytest.importorskip("rclpy")
    pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")
    bag = write("front", "rear")
    setup(bag)
    capsys.readouterr()
    assert main(["drive", "--bag", str(bag), "--config", str(tmp_path / "drive.yaml")]) == 2
    assert "is of the cameras front, rear; a bag is driven by one" in capsys.readouterr().err
    setup(bag, "--image-topic", "/rear/image_raw")
    words = ["--bag", bag, "--config", tmp_path / "drive.yaml", "--model", tiny_model, "--rate", "0.5", "--json", tmp_path / "summary.json"]
    command = [sys.executable, "-m", "depth_perception", "drive", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames_in"] == COUNT and summary["depth"]["received"] > 0
