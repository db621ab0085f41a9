"""What runs the networks, as /diagnostics tells it, over real DDS."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

import dying_gpu
from cars import info_at, scan_at, static_tf

from depth_perception import model as models
from depth_perception.bag import FrameReader, messages
from depth_perception.engine import BOUNDS, Engine
from depth_perception.systems.depth import Depth


def test_an_engine_that_was_asked_for_and_cannot_is_an_error_for_as_long_as_it_is_so(start_car, tmp_path):
    from std_srvs.srv import Trigger

    car = start_car(parameters=["engine:=tensorrt", f"engine_directory:={tmp_path}"]).until_listening()
    car.until(lambda: car.observer.message.startswith("fell back to ONNX Runtime on the "), "the fall in /diagnostics")
    assert car.observer.level == b"\x02"
    values = car.observer.status
    assert values["engine"].startswith("onnxruntime")
    for network in ("depth", "pose"):
        assert values[f"{network}_engine"] == values["engine"]
        assert (values[f"{network}_precision"], values[f"{network}_engine_key"]) == ("fp32", "")
        assert values[f"{network}_selftest"].endswith(", allowed 0.002")
        assert float(values[f"{network}_selftest_s"]) > 0
    assert car.observer.message.count("ONNX Runtime on the CPU") <= 1, "two networks, one reason"
    assert "fell back to " in car.said()
    car.until(lambda: "no message on /image" in car.observer.message, "the warning of a silent camera beside it")

    assert car.set("engine", "cpu") == (True, "")
    answer = car.call(Trigger, "~/reload_model")
    assert answer.success, answer.message
    car.send("camera_info", info_at(1))
    car.depth_of(1)  # another engine drives from the next image on
    car.until(lambda: car.observer.level == b"\x01" and "fell back" not in car.observer.message, "only the warning to be left")
    assert car.observer.status["depth_engine"].startswith("onnxruntime")


def test_an_inactive_node_tells_it_too_and_an_unconfigured_one_has_no_engine(start_car, tmp_path):
    car = start_car(parameters=["autostart:=false", "engine:=tensorrt", f"engine_directory:={tmp_path}"])
    assert car.change_state("configure")
    car.until(lambda: car.observer.level == b"\x02" and car.observer.message.endswith("; inactive"), "the fall in /diagnostics")
    assert car.change_state("cleanup")
    car.until(lambda: car.observer.message == "unconfigured", "the fall to be forgotten")
    assert (car.observer.level, "engine" in car.observer.status) == (b"\0", False)


def test_the_cpu_of_a_car_that_asked_for_nothing_is_no_error(start_car):
    car = start_car(parameters=["engine:=cpu"]).until_listening()
    car.until(lambda: "depth_selftest" in car.observer.status, "a report")
    assert car.observer.level != b"\x02"
    assert "fell back" not in car.observer.message


def test_a_gpu_that_dies_while_driving_costs_no_frame_and_is_an_error_from_then_on(start_car):
    """It answers six images, three of them the warm-up's."""
    car = start_car(program=dying_gpu.program(6), parameters=["engine:=tensorrt"]).until_listening()
    car.send("camera_info", info_at(0))
    before = [car.depth_of(i, grey=50 + 10 * i) for i in range(1, 4)]
    assert car.observer.status["depth_engine"] == "a GPU's engine"
    assert "fell back" not in car.said()
    after = [car.depth_of(i, grey=50 + 10 * i) for i in range(4, 8)]
    means = [depth.mean() for depth in before + after]
    np.testing.assert_allclose(np.diff(means), np.full(6, means[1] - means[0]), rtol=1e-3)  # the tiny network's depth is the light's

    fell = "fell back to ONNX Runtime on the CPU while driving: CUDA: cudaGraphLaunch: an illegal memory access was encountered"
    car.until(lambda: car.observer.message.startswith(fell) and car.observer.status["frames"] == "7", "the fall in /diagnostics")
    assert car.observer.level == b"\x02"
    values = car.observer.status
    assert (values["skipped"], values["images_prepared_on"]) == ("0", "CPU")
    assert values["depth_engine"].startswith("onnxruntime")
    assert car.said().count(fell) == 1


@pytest.fixture(scope="module")
def simulated_drive(tmp_path_factory):
    """Twenty small images with LiDAR."""
    pytest.importorskip("torch")
    from variants import drive

    return drive(tmp_path_factory.mktemp("simulated") / "drive")


@pytest.fixture(scope="module")
def int8_model(tmp_path_factory, simulated_drive):
    """A small student and its pose network in INT8, calibrated on a simulated drive."""
    from variants import trained

    from depth_perception.export import export

    folder = tmp_path_factory.mktemp("int8")
    trained(folder / "student")
    return export(folder / "student", precisions=("int8",), bag=simulated_drive).path


@pytest.mark.parametrize("asked", ["cpu", "auto"])
def test_an_int8_student_drives_and_says_so(start_car, int8_model, asked):
    car = start_car(model=int8_model, parameters=[f"engine:={asked}", "engine_precision:=int8", "depth.size:=network"]).until_listening()
    car.send("/tf_static", static_tf())
    for i in range(1, 5):
        car.send("camera_info", info_at(i))
        car.send("points", scan_at(i))
        depth = car.depth_of(i, grey=40 * i)
        assert depth.shape == (64, 96)
        assert (np.isfinite(depth) & (depth > 0)).all()
    car.until(lambda: car.observer.status.get("frames") == "4", "a report that has counted the last image")
    values = car.observer.status
    assert values["skipped"] == "0"
    assert (values["published_depth"], values["published_odometry"]) == ("4", "3")
    for network in ("depth", "pose"):
        assert values[f"{network}_precision"] == "int8"
        assert values[f"{network}_selftest"].endswith(f", allowed {BOUNDS['int8']:g}")
    assert "fell back" not in car.observer.message + car.said()


def offline_depth(file, model, frame):
    """(h, w) metres of an ONNX file of a model, as a drive that has no LiDAR finds them."""
    depth = Depth(Engine(file, device="cpu"), height=model.height, width=model.width, canonical_focal_px=model.canonical_focal_px)
    return depth.step(replace(frame, scan=None)).cut


def differences(a, b):
    """Of each pixel that has a depth in both, relative; nearly all must."""
    both = np.isfinite(a) & np.isfinite(b)
    assert both.mean() > 0.99
    return np.abs(a[both] / b[both] - 1)


def test_the_shipped_student_drives_in_int8_within_two_percent_of_float32(start_car, simulated_drive, tmp_path):
    from depth_perception.export import export

    shipped = models.load(models.shipped())
    rounded = export(shipped.path, tmp_path / "int8", precisions=("int8",), bag=simulated_drive)
    frames = list(FrameReader(simulated_drive))[2::6]  # 2, 8 and 14: ranges are taken from 1, 3, 5 and so on
    assert len(frames) == 3
    car = start_car(model=rounded.path, parameters=["engine:=cpu", "engine_precision:=int8", "depth.size:=network"]).until_listening()
    for frame in frames:
        car.send("camera_info", messages.camera_info(frame.calibration, stamp_ns=frame.stamp_ns))
        car.send("image", messages.image(frame.image, "rgb8", stamp_ns=frame.stamp_ns, frame_id=frame.calibration.frame_id))
        car.until(lambda stamp_ns=frame.stamp_ns: stamp_ns in car.observer.depth_stamps, "its depth")
    car.until(lambda: car.observer.status.get("frames") == "3", "a report that has counted the last image")
    assert car.observer.status["skipped"] == "0"
    assert {car.observer.status[f"{network}_precision"] for network in ("depth", "pose")} == {"int8"}
    assert "fell back" not in car.observer.message + car.said()
    published = car.observer.kept("depth")
    for frame in frames:
        depth = np.asarray(published[frame.stamp_ns])
        assert depth.shape == (shipped.height, shipped.width) == (128, 416)
        from_float32 = differences(depth, offline_depth(shipped.onnx("depth"), shipped, frame))
        assert 1e-3 < from_float32.mean() < 0.02 and np.quantile(from_float32, 0.99) < 0.1, "rounded, and by no more"
        assert differences(depth, offline_depth(rounded.path / "depth.int8.cpu.onnx", rounded, frame)).max() < 1e-4


def test_a_precision_that_nobody_exported_is_an_error_while_fp32_drives(start_car):
    car = start_car(parameters=["engine:=auto", "engine_precision:=int8"]).until_listening()
    car.until(lambda: car.observer.message.startswith("fell back to fp32: model "), "the fall in /diagnostics")
    assert car.observer.level == b"\x02"
    assert "depth.int8.onnx is missing; run `python -m depth_perception export " in car.observer.message
    assert "fell back to fp32: " in car.said()
    assert car.observer.status["depth_precision"] == "fp32"
    car.send("camera_info", info_at(1))
    assert np.isfinite(car.depth_of(1)).all()


@pytest.mark.parametrize("name", ["engine_precision", "engine"])
def test_an_engine_that_there_is_not_is_refused(start_car, name):
    car = start_car(parameters=["autostart:=false"])
    taken, why = car.set(name, "abacus")
    assert not taken
    assert f"{name}: wanted one of " in why
