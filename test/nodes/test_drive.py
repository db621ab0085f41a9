"""The drive node over real DDS, in processes of its own: what arrives, to the byte, and what bad input does to it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from worlds import CALIBRATION, T_BASE_CAMERA, T_BASE_LIDAR, scan

from depth_perception import bag as bags
from depth_perception import model as models
from depth_perception.bag import Writer, messages
from depth_perception.evaluation.offline import systems
from depth_perception.nodes.rehearsal import make_observer, rehearse
from depth_perception.systems.bev import BevOutput
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.odometry import OdometryOutput

START, TENTH, COUNT = 1_700_000_000_000_000_000, 100_000_000, 12
TOPICS = {"image": "/camera/image", "camera_info": "/camera/camera_info", "points": "/lidar/points"}


@pytest.fixture(scope="module")
def small_drive(tmp_path_factory):
    """A bag of a car that nears a wall; scans 30 ms before their image, CameraInfo just after it."""
    path = tmp_path_factory.mktemp("bags") / "small"
    rng = np.random.default_rng(0)
    with Writer(path) as bag:
        links = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]
        bag.write("/tf_static", messages.transforms(links, stamp_ns=START), START)
        for i in range(COUNT):
            stamp = START + (i + 1) * TENTH
            bag.write("/lidar/points", messages.points(scan(25.0 - i, stamp_ns=stamp - 30_000_000)), stamp - 30_000_000)
            image = rng.integers(4 * i, 40 + 4 * i, (96, 192, 3), np.uint8)
            bag.write("/camera/image", messages.image(image, "bgr8", stamp_ns=stamp, frame_id="camera"), stamp)
            bag.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
    return path


@pytest.fixture(scope="module")
def rehearsal(small_drive, tiny_model, tmp_path_factory):
    """One rehearsal of the small drive: the observer and what was played."""
    observer = make_observer(tmp_path_factory.mktemp("kept"), keep_every=1)
    played = rehearse(observer, str(small_drive), TOPICS, model=str(tiny_model), rate=0.5)
    yield observer, played
    observer.destroy_node()


@pytest.fixture(scope="module")
def offline(small_drive, tiny_model):
    """The same drive through the same steps, without ROS."""
    drive = systems(models.load(tiny_model))
    return [output for frame in bags.FrameReader(small_drive, pairing="latest") for output in drive.step(frame)]


def test_every_image_is_answered(rehearsal):
    observer, played = rehearsal
    stamps = [START + (i + 1) * TENTH for i in range(COUNT)]
    assert played.missing == {}
    assert played.published == {"/camera/image": COUNT, "/camera/camera_info": COUNT, "/lidar/points": COUNT, "/tf_static": 1}
    assert observer.depth_stamps == stamps
    assert observer.cloud_stamps == stamps
    assert [stamp for stamp, _ in observer.trajectory] == stamps[1:]
    assert observer.status["dropped"] == "0"
    assert observer.status["skipped"] == "0"


def test_depth_over_dds_has_the_bytes_of_the_offline_step(rehearsal, offline):
    kept = rehearsal[0].kept("depth")
    outputs = [output for output in offline if isinstance(output, DepthOutput)]
    assert sorted(kept) == [output.stamp_ns for output in outputs]
    for output in outputs:
        assert np.asarray(kept[output.stamp_ns]).tobytes() == output.depth.tobytes()
    confidence = rehearsal[0].kept("confidence")
    assert all(np.asarray(confidence[output.stamp_ns]).tobytes() == output.confidence.tobytes() for output in outputs)


def test_the_scale_was_found_by_the_lidar(rehearsal, offline):
    """The tiny network says 5 m and a little everywhere; the wall and the road say otherwise."""
    scales = [output.scale for output in offline if isinstance(output, DepthOutput)]
    said = rehearsal[0].scales
    np.testing.assert_allclose([row["scale"] for row in said], [scale.value for scale in scales], rtol=1e-6)
    assert all(row["inliers"] > 50 for row in said)


def test_odometry_over_dds_is_the_offline_step_s(rehearsal, offline):
    outputs = [output for output in offline if isinstance(output, OdometryOutput)]
    trajectory = rehearsal[0].trajectory
    assert len(trajectory) == len(outputs) == COUNT - 1
    for (stamp, T), output in zip(trajectory, outputs, strict=True):
        assert stamp == output.stamp_ns
        np.testing.assert_allclose(T, output.T_odom_base, atol=1e-9)
    # The images grow brighter, which the tiny network takes for driving forward: x grows, in the body's axes.
    assert trajectory[-1][1][0, 3] > 0.5
    assert rehearsal[0].base_frame == "base_link"


def test_cloud_over_dds_has_the_bytes_of_the_offline_step(rehearsal, offline):
    kept, grids = rehearsal[0].kept("cloud"), rehearsal[0].kept("grid")
    for output in (output for output in offline if isinstance(output, BevOutput)):
        assert np.asarray(kept[output.stamp_ns]).tobytes() == output.points[:, :3].tobytes()
        assert np.asarray(grids[output.stamp_ns]).tobytes() == output.cells.tobytes()
        assert len(output.points) > 100


def test_latency_has_the_stages_of_the_contract(rehearsal):
    rows = rehearsal[0].latencies
    assert len(rows) == COUNT
    for row in rows:
        assert list(row)[:6] == ["decode", "pre", "engine", "post", "publish", "total"]
        assert row["total"] >= row["pre"] + row["engine"] + row["post"]
        assert row["bev_total"] > row["total"]


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture
def car(tiny_model, tmp_path):
    """A drive node in its own process, and this process as its sensors and its listener."""
    observer = make_observer(tmp_path, keep_every=0)
    import rclpy
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    process = subprocess.Popen([sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "-p", f"model:={tiny_model}"])
    sensors = {
        topic: observer.create_publisher(type_, topic, 10)
        for topic, type_ in (("image", Image), ("camera_info", CameraInfo), ("points", PointCloud2))
    }

    def until(condition, what):
        end = time.monotonic() + 30.0
        while not condition():
            assert process.poll() is None, f"the node died while waiting for {what}"
            assert time.monotonic() < end, f"waited 30 s for {what}; the node says {observer.message}: {observer.status}"
            rclpy.spin_once(observer, timeout_sec=0.05)

    until(lambda: observer.active and all(p.get_subscription_count() for p in sensors.values()), "the node to listen")

    def send(topic, message):
        type_name = message.__msgtype__
        sensors[topic].publish(bytes(bags.TYPES.serialize_cdr(message, type_name)))

    yield observer, send, until, process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        assert process.wait(10.0) == 0
    observer.destroy_node()


def image_at(i, encoding="rgb8", size=(96, 192, 3)):
    return messages.image(np.full(size, 60, np.uint8), encoding, stamp_ns=START + i * TENTH, frame_id="camera")


def test_a_node_outlives_bad_messages_and_names_them(car):
    observer, send, until, process = car
    send("image", image_at(0))
    until(lambda: "no CameraInfo on /camera_info" in observer.message, "the missing CameraInfo to be named")
    send("camera_info", messages.camera_info(CALIBRATION, stamp_ns=START))
    until(lambda: len(observer.depth_stamps) == 1, "the image that had waited for its calibration")

    strange = image_at(1)
    strange.encoding = "32SC7"
    wrong_size = image_at(2, size=(50, 60, 3))
    short = image_at(3)
    short.data = short.data[:100]
    for i, (message, words) in enumerate(((strange, "32SC7"), (wrong_size, "60x50|50"), (short, "data"))):
        send("image", message)
        until(lambda i=i: int(observer.status.get("skipped", 0)) > i, f"{words} to be counted")
    cloud = messages.points(scan(stamp_ns=START))
    for field in cloud.fields:
        field.name = field.name.replace("x", "q")
    send("points", cloud)
    until(lambda: int(observer.status.get("skipped", 0)) >= 4, "the scan without x to be counted")
    sentences = " | ".join(key for key in observer.status if key.startswith("skipped: "))
    assert "32SC7" in sentences
    assert "x" in sentences
    nothing_but_nan = messages.points(scan(stamp_ns=START + 4 * TENTH))
    nothing_but_nan.data = np.frombuffer(np.full(len(nothing_but_nan.data) // 4, np.nan, np.float32).tobytes(), np.uint8)
    send("points", nothing_but_nan)
    for i in (5, 6, -20):  # the last one jumps back in time
        seen = len(observer.depth_stamps)
        send("image", image_at(i))
        until(lambda seen=seen: len(observer.depth_stamps) > seen, f"depth of image {i}")
    assert observer.depth_stamps[-1] == START - 20 * TENTH
    assert process.poll() is None


def test_calibration_that_does_not_fit_is_named_and_the_right_one_taken(car):
    observer, send, until, _ = car
    wrong = messages.camera_info(CALIBRATION, stamp_ns=START)
    wrong.k = np.zeros(9)
    send("camera_info", wrong)
    send("image", image_at(0))
    until(lambda: "focal" in observer.message, "the impossible K to be named")
    assert observer.depth_stamps == []
    send("camera_info", messages.camera_info(CALIBRATION, stamp_ns=START))
    stamps = iter(range(1, 1000))  # two topics have no order: images go on until one finds the right calibration
    until(lambda: (send("image", image_at(next(stamps))), observer.depth_stamps)[1], "depth")
    assert observer.depth_stamps[0] > START


def test_a_model_that_is_none_ends_the_node_with_one_sentence(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "-p", f"model:={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "is not a model directory" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_driving_path_imports_no_torch(tiny_model):
    code = (
        "import json, sys; import depth_perception.nodes.perception, depth_perception.nodes.player, depth_perception.evaluation.offline;"
        "print(json.dumps([name for name in ('torch', 'onnx', 'open3d', 'matplotlib') if name in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert json.loads(said.stdout) == []


def test_a_node_outlives_whatever_fits_into_a_message(car):
    """Messages of the right type with anything inside; afterwards an ordinary image is answered as ever."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    observer, send, until, process = car
    small, data = st.integers(0, 300), st.binary(max_size=600).map(lambda raw: np.frombuffer(raw, np.uint8))
    encodings = st.sampled_from(["rgb8", "bgra8", "mono16", "bayer_grbg8", "yuv422_yuy2", "32FC1", "8UC4", "", "nonsense"]) | st.text(
        max_size=8
    )
    numbers = st.floats(width=64)

    @settings(max_examples=60, deadline=None, database=None)
    @given(
        encodings, small, small, st.integers(0, 2000), data, st.integers(0, 255), numbers, st.lists(numbers, max_size=12), st.integers(0, 9)
    )
    def throw(encoding, width, height, step, content, big, number, numbers, kind):
        assert process.poll() is None
        stamp = {"stamp_ns": START, "frame_id": "camera"}
        image = messages.image(np.zeros((2, 2), np.uint8), "mono8", **stamp)
        image.encoding, image.width, image.height, image.step, image.is_bigendian, image.data = encoding, width, height, step, big, content
        info = messages.camera_info(CALIBRATION, stamp_ns=START)
        info.width, info.k, info.d = width, np.array([number, *CALIBRATION.K.ravel()[1:]]), np.array(numbers)
        info.distortion_model = encoding
        cloud = messages.points(scan(stamp_ns=START))
        cloud.width, cloud.height, cloud.row_step, cloud.data = width, height % 5, step, content
        cloud.point_step = step * 2_000_000 if kind == 0 else step % 64
        cloud.fields[kind % len(cloud.fields)].datatype = kind
        for topic, message in (("image", image), ("camera_info", info), ("points", cloud)):
            send(topic, message)

    throw()
    send("camera_info", messages.camera_info(CALIBRATION, stamp_ns=START))
    send("points", messages.points(scan(stamp_ns=START + TENTH)))
    until(
        lambda: (send("image", image_at(len(observer.depth_stamps) + 3)), max(observer.depth_stamps, default=0) > START + TENTH)[1],
        "an ordinary image",
    )
    assert not any("internal error" in key for key in observer.status)


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ("bev.window:=-1", "bev.window: wanted a number of at least 1"),
        ("depth.max_depth_m:=.nan", "depth.max_depth_m: wanted"),
        ("bev.voxel_m:=1", "bev.voxel_m"),
        ("input.calibration:=/absent.yaml", "/absent.yaml: wanted a calibration file"),
    ],
)
def test_a_parameter_that_cannot_be_ends_the_node_with_one_sentence(tiny_model, parameter, sentence):
    command = [sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "-p", f"model:={tiny_model}", "-p", parameter]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
