"""The node under its operators' hands, over real DDS: lifecycle, services, parameters, namespaces, time."""

import dataclasses
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from cars import START, TENTH, info_at, scan_at, static_tf

from depth_perception.nodes.parameters import NEVER, WHEN_ACTIVATED, WHEN_LOADED


def feed(car, i, **look):
    """One tenth of a second of a drive: calibration, scan and image; the image's depth."""
    car.send("camera_info", info_at(i))
    car.send("points", scan_at(i))
    return car.depth_of(i, **look)


# --- lifecycle -------------------------------------------------------------------------------------------------------


def test_a_lifecycle_manager_takes_it_through_every_state_again_and_again(start_car):
    car = start_car(parameters=["autostart:=false"])
    car.until(lambda: car.observer.status.get("state") == "unconfigured", "the node to wait for its manager")
    assert all(sensor.get_subscription_count() == 0 for sensor in car.sensors.values())
    i = 0
    for _ in range(3):
        assert car.change_state("configure")
        for _ in range(2):
            assert car.change_state("activate")
            car.until(lambda: all(sensor.get_subscription_count() == 1 for sensor in car.sensors.values()), "one subscription each")
            i += 1
            car.send("/tf_static", static_tf())
            assert np.isfinite(feed(car, i)).all()
            assert car.change_state("deactivate")
            car.until(lambda: all(sensor.get_subscription_count() == 0 for sensor in car.sensors.values()), "no subscription")
        assert car.change_state("cleanup")
        car.until(lambda: car.observer.count_publishers("depth/image") == 0, "its publishers to go")
    assert not car.change_state("activate"), "an unconfigured node cannot be activated"


def test_only_the_first_activation_is_a_start(start_car):
    car = start_car(parameters=["autostart:=false"])
    assert car.change_state("configure")
    told = []
    for _ in range(2):
        assert car.change_state("activate")
        car.until(lambda: "start_to_active_s" in car.observer.status, "a report of an active node")
        told.append(car.observer.status["start_to_active_s"])
        assert car.change_state("deactivate")
        car.until(lambda: car.observer.status.get("state") == "inactive", "a report of an inactive one")
    assert float(told[0]) > 0
    assert told[1] == told[0]
    assert "active again, engine onnxruntime" in car.said()


def test_a_manager_may_repair_what_was_refused(start_car, tiny_model, tmp_path):
    car = start_car(model=tmp_path, parameters=["autostart:=false"])
    assert not car.change_state("configure")
    car.until(lambda: "is not a model directory" in car.observer.message, "the reason in /diagnostics")
    assert car.observer.level == b"\x02"
    assert car.set("model", str(tiny_model)) == (True, "")
    assert car.change_state("configure")
    assert car.change_state("activate")
    car.until_listening()
    feed(car, 1)


def test_what_activation_refuses_leaves_no_subscription_behind(start_car):
    car = start_car(parameters=["autostart:=false", "qos_overrides./image.subscription.depth:=-1"])
    assert car.change_state("configure")
    assert not car.change_state("activate")
    car.until(lambda: "qos_overrides of image" in car.observer.message, "the reason in /diagnostics")
    car.until(lambda: all(sensor.get_subscription_count() == 0 for sensor in car.sensors.values()), "no subscription")


def without(name):
    """What Python runs in a drive node's place: one whose perception has lost something that only a transition needs."""
    return "-c", f"import sys; from depth_perception.nodes import drive, perception; perception.{name} = None; sys.exit(drive.main())"


@pytest.mark.parametrize(("lost", "fails"), [("Outputs", "configure"), ("Inputs", "activate")])
def test_a_defect_in_a_transition_is_told(start_car, lost, fails):
    car = start_car(program=without(lost), parameters=["autostart:=false"])
    assert [car.change_state("configure"), car.change_state("activate")] == [fails == "activate", False]
    car.until(lambda: "internal error: TypeError: 'NoneType' object is not callable" in car.observer.message, "it in /diagnostics")
    assert (car.observer.level, car.observer.status["state"]) == (b"\x02", "unconfigured")
    assert "Traceback" in car.said() and f"in on_{fails}" in car.said()


def test_a_defect_that_ends_the_start_is_in_the_log(tiny_model):
    command = [sys.executable, *without("Outputs"), "--ros-args", "-p", f"model:={tiny_model}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "TypeError: 'NoneType' object is not callable" in result.stderr


def test_what_activation_refused_once_is_forgotten_when_it_is_repaired(start_car, tmp_path):
    car = start_car(parameters=["autostart:=false", f"input.calibration:={tmp_path / 'none.yaml'}"])
    assert car.change_state("configure")
    assert not car.change_state("activate")
    assert car.set("input.calibration", "") == (True, "")
    assert car.change_state("activate")
    assert car.change_state("deactivate")
    # A report from before the repair may still come.
    car.until(lambda: (car.observer.level, car.observer.message) == (b"\0", "inactive"), "a report without what was refused once")


def test_a_camera_info_told_once_and_latched_is_heard(start_car):
    """By a driver that was there before the node."""
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import CameraInfo

    car = start_car(parameters=["autostart:=false"], topics=("image", "points"))
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    car.sensors["camera_info"] = car.observer.create_publisher(CameraInfo, "/camera_info", latched)
    car.send("camera_info", info_at(0))
    assert car.change_state("configure")
    assert car.change_state("activate")
    car.until_listening()
    assert np.isfinite(car.depth_of(1)).all()


def test_enable_stops_and_starts(car):
    from std_srvs.srv import SetBool

    feed(car, 1)
    car.until(lambda: "latency_ms_p50" in car.observer.status, "a report of its latency")
    answer = car.call(SetBool, "~/enable", data=False)
    assert (answer.success, answer.message) == (True, "the node is inactive")
    car.until(lambda: car.sensors["image"].get_subscription_count() == 0, "the node to unsubscribe")
    answer = car.call(SetBool, "~/enable", data=True)
    assert (answer.success, answer.message) == (True, "the node is active")
    car.until_listening()
    car.until(lambda: car.observer.status.get("frames") == "0", "a report of the new start")
    assert "latency_ms_p50" not in car.observer.status, "that was before"
    feed(car, 2)
    assert car.call(SetBool, "~/enable", data=True).success, "what is on already stays on"


# --- services --------------------------------------------------------------------------------------------------------


def test_reset_odometry_starts_at_the_origin(car):
    from std_srvs.srv import Trigger

    def drive(numbers):
        for i in numbers:
            feed(car, i, grey=20 + 10 * i)  # the tiny network takes growing light for driving forward
        last = START + numbers[-1] * TENTH
        car.until(lambda: car.observer.trajectory and car.observer.trajectory[-1][0] == last, "odometry")
        return car.observer.trajectory[-1][1]

    car.send("/tf_static", static_tf())
    far = drive(range(1, 6))
    assert far[0, 3] > 2
    assert car.call(Trigger, "~/reset_odometry").success
    assert 0.1 < drive(range(6, 8))[0, 3] < 1, "one step from the new origin"


def test_reload_model_drives_on_with_the_new_one_and_keeps_it_when_the_next_is_bad(car, tiny_model, tmp_path):
    from std_srvs.srv import Trigger

    onnx = pytest.importorskip("onnx")
    other = tmp_path / "farther"
    shutil.copytree(tiny_model, other)
    network = onnx.load(other / "depth.onnx")
    constant = next(tensor for tensor in network.graph.initializer if tensor.name == "five")
    constant.CopyFrom(onnx.numpy_helper.from_array(np.full([], 25, np.float32), "five"))
    onnx.save(network, other / "depth.onnx")
    assert car.set("model", str(other))[0]
    answer = car.call(Trigger, "~/reload_model")
    assert not answer.success, "its stored answers are those of the old network"
    assert "self-test" in answer.message
    car.send("camera_info", info_at(1))
    before = car.depth_of(1)
    assert np.allclose(before, 5 + 40 * 60 / 255, atol=0.1) or (before > 0).all()

    stored = dict(np.load(other / "selftest.npz"))
    stored["depth.0.out"] += 20
    np.savez(other / "selftest.npz", **stored)
    answer = car.call(Trigger, "~/reload_model")
    assert answer.success, answer.message
    assert str(other) in answer.message
    # No scan has come: the depth is the networks' own, and differs by the constant, in the camera's metres.
    assert car.depth_of(2).mean() / before.mean() == pytest.approx((25 + 40 * 60 / 255) / (5 + 40 * 60 / 255), rel=1e-3)
    assert car.observer.status.get("skipped", "0") == "0"


def test_a_model_that_takes_its_time_to_load_holds_nobody_up(car):
    """The shipped model: images are answered while it loads, and every other service afterwards."""
    from std_srvs.srv import Trigger

    from depth_perception.model import shipped

    feed(car, 1)
    assert car.set("model", str(shipped()))[0]
    future = car.ask(Trigger, "~/reload_model")
    images = iter(range(2, 1000))
    during = 0
    while not future.done():
        feed(car, next(images))
        during += 1
    assert future.result().success, future.result().message
    assert during > 1
    assert car.set("depth.max_depth_m", 60.0)[0]
    assert car.call(Trigger, "~/reset_odometry").success
    feed(car, next(images))
    assert car.observer.status.get("skipped", "0") == "0"


def test_a_model_asked_for_before_a_new_configuration_does_not_replace_its_model(car, tiny_model):
    from std_srvs.srv import Trigger

    from depth_perception.model import shipped

    car.send("camera_info", info_at(1))
    before = car.depth_of(1)
    assert car.set("model", str(shipped()))[0]
    late = car.ask(Trigger, "~/reload_model")
    assert car.set("model", str(tiny_model))[0]
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert car.change_state(transition)
    car.until(late.done, "the answer of the reload")
    assert late.result().success or "configured anew" in late.result().message
    car.until_listening()
    car.send("camera_info", info_at(2))
    assert np.allclose(car.depth_of(2), before), "the network that was configured last"


def test_services_say_what_state_the_node_is_in(start_car):
    from std_srvs.srv import Trigger

    car = start_car(parameters=["autostart:=false"])
    answer = car.call(Trigger, "~/reload_model")
    assert (answer.success, answer.message) == (False, "the node is unconfigured: it loads the model when it is configured")


# --- parameters ------------------------------------------------------------------------------------------------------


def test_a_list_can_be_given_and_taken_back(car):
    """Whatever type a tool gives to an empty list, or to whole numbers."""
    from rclpy.parameter import Parameter

    name, unit = "input.T_base_camera", [0, 0, 1, 0, 0, 0, 1]
    for value in (unit, [float(number) for number in unit]):
        assert car.set(name, value) == (True, "")
    refused, why = car.set(name, [True] * 7)
    assert (refused, "wanted decimal numbers" in why) == (False, True), why
    assert not car.set(name, "text")[0]
    for kind in ("BOOL_ARRAY", "BYTE_ARRAY", "DOUBLE_ARRAY"):
        assert car.set(name, Parameter(name, Parameter.Type[kind], [])) == (True, ""), kind


def test_every_parameter_is_described_and_ranged_and_says_when_it_counts(car):
    from rcl_interfaces.srv import DescribeParameters, GetParameters

    from depth_perception.nodes.perception_config import CONFIGS

    def names(prefix, config):
        for field in dataclasses.fields(config):
            name = f"{prefix}.{field.name}" if prefix else field.name
            if dataclasses.is_dataclass(field.default_factory):
                yield from names(name, field.default_factory)
            else:
                yield name, field

    wanted = {name: field for prefix, (config, _) in CONFIGS.items() for name, field in names(prefix, config)}
    assert len(wanted) > 40
    descriptors = car.call(DescribeParameters, "~/describe_parameters", names=list(wanted)).descriptors
    for (name, field), descriptor in zip(wanted.items(), descriptors, strict=True):
        assert descriptor.name == name
        assert len(descriptor.description) > 10, name
        assert descriptor.read_only == descriptor.description.endswith(NEVER)
        if "range" in field.metadata:
            range_ = (list(descriptor.floating_point_range) + list(descriptor.integer_range))[0]
            assert (range_.from_value, range_.to_value) == field.metadata["range"]
    values = car.call(GetParameters, "~/get_parameters", names=list(wanted)).values
    assert len(values) == len(wanted) and all(value.type for value in values), "rclpy answers nothing while one parameter has no value"
    said = {descriptor.name: descriptor for descriptor in descriptors}
    assert said["bev.source"].additional_constraints == "one of camera, lidar, both"
    assert said["input.compressed"].description.endswith(WHEN_ACTIVATED)
    assert said["model"].description.endswith(WHEN_LOADED)


def test_parameters_change_while_it_drives_or_say_why_not(car):
    car.send("camera_info", info_at(1))
    assert np.isfinite(car.depth_of(1)).all()
    assert car.set("depth.max_depth_m", 2.0) == (True, "")
    assert np.isnan(car.depth_of(2)).all(), "nothing is nearer than two metres"
    taken, reason = car.set("depth.max_depth_m", 1e9)
    assert not taken
    assert "depth.max_depth_m" in reason
    taken, reason = car.set("bev.source", "radar")
    assert (taken, reason) == (False, "bev source: wanted camera, lidar or both, got 'radar'")
    taken, reason = car.set("autostart", False)
    assert not taken
    assert np.isnan(car.depth_of(3)).all(), "what was refused has changed nothing"
    assert car.set("depth.max_depth_m", 50.0)[0]
    assert np.isfinite(car.depth_of(4)).all()
    assert car.set("odom_frame", "somewhere")[0]
    frames = []
    from nav_msgs.msg import Odometry

    car.observer.create_subscription(Odometry, "odometry", lambda message: frames.append(message.header.frame_id), 10)
    images = iter(range(5, 100))
    car.until(lambda: (car.depth_of(next(images)), frames)[1], "odometry in another frame")
    assert set(frames) == {"somewhere"}


def test_qos_overrides_count(start_car):
    from rclpy.qos import ReliabilityPolicy

    overrides = ["/points.subscription.reliability:=reliable", "/depth/image.publisher.reliability:=best_effort"]
    car = start_car(parameters=[f"qos_overrides.{override}" for override in overrides]).until_listening()
    points, image = (car.observer.get_subscriptions_info_by_topic(topic) for topic in ("/points", "/image"))
    assert [info.qos_profile.reliability for info in points] == [ReliabilityPolicy.RELIABLE]
    assert [info.qos_profile.reliability for info in image] == [ReliabilityPolicy.BEST_EFFORT]
    depth = car.observer.get_publishers_info_by_topic("/depth/image")
    assert [info.qos_profile.reliability for info in depth] == [ReliabilityPolicy.BEST_EFFORT]


# --- names and time --------------------------------------------------------------------------------------------------


def test_in_a_namespace_everything_of_its_own_moves_and_the_shared_topics_stay(start_car):
    car = start_car(namespace="/robot1").until_listening()
    car.send("/tf_static", static_tf())
    for i in (1, 2):
        feed(car, i)
    topics = dict(car.observer.get_topic_names_and_types())
    ours = {"depth/image", "depth/camera_info", "depth/confidence", "depth/scale", "odometry", "bev/points", "bev/grid", "drive/latency_ms"}
    assert {f"/robot1/{name}" for name in ours} <= set(topics)
    assert {"/tf", "/tf_static", "/diagnostics"} <= set(topics)
    assert not {f"/{name}" for name in ours} & set(topics)
    assert ("drive", "/robot1") in car.observer.get_node_names_and_namespaces()


def test_nothing_is_made_for_nobody(car):
    feed(car, 1)
    watched = car.observer
    for subscription in list(watched.subscriptions):
        if subscription.topic_name in ("/bev/points", "/bev/grid"):
            watched.destroy_subscription(subscription)
    car.until(lambda: car.observer.count_subscribers("bev/points") == 0, "nobody to listen to the cloud")
    before = int(car.until(lambda: car.observer.status.get("published_bev"), "a report"))
    for i in range(2, 6):
        feed(car, i)
    car.until(lambda: int(car.observer.status["frames"]) >= 5, "a report about the last frame")
    assert int(car.observer.status["published_depth"]) >= 5
    assert int(car.observer.status["published_bev"]) <= before + 1


def test_sim_time_that_jumps_back_starts_a_new_drive(start_car):
    from builtin_interfaces.msg import Time
    from rosgraph_msgs.msg import Clock

    car = start_car(parameters=["use_sim_time:=true"]).until_listening()
    clock = car.observer.create_publisher(Clock, "/clock", 10)
    car.until(lambda: clock.get_subscription_count() > 0, "the node to listen to /clock")

    def at(i):
        stamp = START + i * TENTH
        clock.publish(Clock(clock=Time(sec=stamp // 10**9, nanosec=stamp % 10**9)))
        feed(car, i, grey=20 + 10 * i)

    for i in (1, 2, 3, 4):
        at(i)
    car.until(lambda: len(car.observer.trajectory) == 3, "odometry")
    # Less than a second back: the images alone would be taken for doubles.
    clock.publish(Clock(clock=Time(sec=START // 10**9, nanosec=START % 10**9)))
    car.until(lambda: "clock jumped back by 0.400 s" in car.said(), "the jump to be noticed")
    for i in (1, 2):
        at(i)
    car.until(lambda: len(car.observer.trajectory) == 4, "odometry after the jump")
    first, again = car.observer.trajectory[0], car.observer.trajectory[3]
    assert again[0] == first[0]
    np.testing.assert_allclose(again[1], first[1], atol=1e-9)
