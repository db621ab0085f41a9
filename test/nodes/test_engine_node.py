"""What runs the networks, as /diagnostics tells it, over real DDS."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from cars import info_at


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


@pytest.mark.parametrize("name", ["engine_precision", "engine"])
def test_an_engine_that_there_is_not_is_refused(start_car, name):
    car = start_car(parameters=["autostart:=false"])
    taken, why = car.set(name, "abacus")
    assert not taken
    assert f"{name}: wanted one of " in why
