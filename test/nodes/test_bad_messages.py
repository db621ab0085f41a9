"""What bad messages, calibrations, models and parameters do to a node over real DDS: one sentence, and nothing is lost."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from cars import START, TENTH, image_at
from worlds import CALIBRATION, scan

from depth_perception.bag import messages


def test_a_node_outlives_bad_messages_and_names_them(car):
    observer, send, until, process = car.observer, car.send, car.until, car.process
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
    observer, send, until = car.observer, car.send, car.until
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


def test_an_image_without_a_stamp_is_no_jump_in_time(car):
    car.send("camera_info", messages.camera_info(CALIBRATION, stamp_ns=START))
    car.depth_of(0)
    unstamped = messages.image(np.zeros((96, 192, 3), np.uint8), "rgb8", stamp_ns=0, frame_id="camera")
    car.send("image", unstamped)
    car.until(lambda: "skipped: image: its header has no stamp" in car.observer.status, "the missing stamp to be named")
    car.depth_of(1)
    assert 0 not in car.observer.depth_stamps


def test_a_camera_without_a_name_and_one_of_two_names_are_named(car):
    nameless = messages.camera_info(CALIBRATION, stamp_ns=START)
    nameless.header.frame_id = ""
    car.send("camera_info", nameless)
    car.depth_of(0, frame_id="/camera")
    car.until(lambda: "CameraInfo on /camera_info has no frame_id" in car.observer.message, "the missing name")
    car.send("camera_info", messages.camera_info(CALIBRATION, stamp_ns=START))
    car.depth_of(1, frame_id="/camera")
    car.until(lambda: "CameraInfo" not in car.observer.message, "a slash to be no other name")


def test_a_frame_that_camera_info_does_not_tell_is_named(car):
    car.send("camera_info", messages.camera_info(CALIBRATION, stamp_ns=START))
    car.depth_of(0, frame_id="left")
    car.until(lambda: "/image is of 'left', its CameraInfo of 'camera', which is taken" in car.observer.message, "the other name")


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


def test_a_model_behind_links_that_go_round_ends_the_node_with_one_sentence(tmp_path):
    (tmp_path / "current").symlink_to(tmp_path / "newest")
    (tmp_path / "newest").symlink_to(tmp_path / "current")
    command = [sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "-p", f"model:={tmp_path / 'current'}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert f"model: {tmp_path / 'current'}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_node_outlives_whatever_fits_into_a_message(car):
    """Messages of the right type with anything inside; afterwards an ordinary image is answered as ever."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    observer, send, until, process = car.observer, car.send, car.until, car.process
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
        ("bev.window:=-1", "parameter bev.window: wanted a whole number from 1 to 200, got -1"),
        ("depth.max_depth_m:=.nan", "depth.max_depth_m: wanted a number with a decimal point from 1 to 1000, got nan"),
        ("bev.voxel_m:=1", "parameter bev.voxel_m: wanted a number with a decimal point from 0.01 to 10, got 1"),
        ("depth.max_depht_m:=50.0", "parameter depth.max_depht_m: there is none of that name; did you mean depth.max_depth_m?"),
        ("use_sim_time:=7", "use_sim_time"),
        ("nonsense", "Couldn't parse parameter override rule: '-p nonsense'"),
        ("publish_tf:=7", "parameter publish_tf: wanted true or false, got 7"),
        ("bev.source:=radar", "bev source: wanted camera, lidar or both, got 'radar'"),
        ("engine:=abacus", "engine: wanted one of auto, tensorrt, cuda, cpu, got 'abacus'"),
        ("input.T_camera_lidar:=[1.0, 2.0]", "input.T_camera_lidar: wanted 7 numbers (x y z qx qy qz qw), got [1.0, 2.0]"),
        ("qos_overrides./image.subscription.reliability:=sometimes", "qos_overrides of image"),
        ("input.calibration:=/absent.yaml", "/absent.yaml: wanted a calibration file"),
        ("engine_directory:=~nobody_here/engines", "engine_directory: ~nobody_here/engines: Could not determine home directory"),
    ],
)
def test_a_parameter_that_cannot_be_ends_the_node_with_one_sentence(tiny_model, parameter, sentence):
    command = [sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "-p", f"model:={tiny_model}", "-p", parameter]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
