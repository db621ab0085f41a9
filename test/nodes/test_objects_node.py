"""Objects over real DDS: what is seen by which sensors, and what happens when one of them falls silent."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")
pytest.importorskip("onnx")

from arithmetic import constant, node, write
from cars import START, TENTH, image_at, info_at, static_tf
from worlds import T_BASE_LIDAR

from depth_perception.bag import messages
from depth_perception.frame import Scan
from depth_perception.geometry import pose
from depth_perception.geometry.boxes import CLASSES
from depth_perception.geometry.grid import Grid
from depth_perception.geometry.pillars import CHANNELS

GRID = Grid(0.0, -12.8, 0.8, 32, 32)
OUT = GRID.coarser(2)
SIZE = {"heat": [1, 4, OUT.rows, OUT.columns], "boxes": [1, 8, OUT.rows, OUT.columns], "features": [1, 1, OUT.rows, OUT.columns]}
POST = np.array([12.0, 4.0])  # where the scan has a heap of returns: x, y in the body frame
HERE = (4, 6)  # row and column of what the image model always sees, as bright as the image


@pytest.fixture(scope="module")
def objects_model(tmp_path_factory):
    """A cloud network that calls full cells cars, an image network that sees a pedestrian as sure as the image is bright, and both: a
    cyclist where the cloud has a car and the image is bright."""
    car, pedestrian, cyclist = (np.eye(4, dtype=np.float32)[k].reshape(1, 4, 1, 1) for k in (0, 2, 3))
    place = np.zeros((1, 1, OUT.rows, OUT.columns), np.float32)
    place[0, 0, HERE[0], HERE[1]] = 1
    boxes = np.zeros(SIZE["boxes"], np.float32)
    boxes[:, :2], boxes[:, 7] = 0.5, 1  # in the middle of the cell, a metre long, wide and high, looking ahead
    shown = {"image": [1, 3, 32, 64], "polar": [1, OUT.rows, OUT.columns, 2], "pillars": [1, CHANNELS, GRID.rows, GRID.columns]}
    constants = [constant("car", car), constant("pedestrian", pedestrian), constant("cyclist", cyclist), constant("place", place),
                 constant("all_boxes", boxes), constant("first", np.array([0])), constant("one", np.array([1])),
                 constant("axes", np.array([1])), constant("nothing", np.zeros((1,), np.float32)), constant("zero", np.float32(0))]
    full = [node("Slice", ["pillars", "first", "one", "axes"], ["counts"]),
            node("MaxPool", ["counts"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]), node("Clip", ["pooled", "zero"], ["full"])]
    bright = [node("ReduceMean", ["image"], ["mean"], keepdims=1)]
    unused = [node("ReduceMean", ["polar"], ["somewhere"], keepdims=0), node("Mul", ["somewhere", "nothing"], ["none"])]
    rest = [node("Identity", ["all_boxes"], ["boxes"])]

    def network(nodes, inputs, used):
        return {"nodes": nodes + rest, "inputs": {key: shown[key] for key in inputs}, "outputs": SIZE,
                "constants": [each for each in constants if each.name in used],
                "config": {"grid": dataclasses.asdict(GRID), "depths": [2.0, 4.0, 8.0, 16.0], "classes": list(CLASSES)}}

    images = ["first", "one", "axes", "zero", "all_boxes"]
    networks = {
        "cloud": network([*full, node("Mul", ["full", "car"], ["heat"]), node("Identity", ["full"], ["features"])], ["pillars"],
                         [*images, "car"]),
        "image": network([*bright, *unused, node("Mul", ["place", "mean"], ["seen"]), node("Add", ["seen", "none"], ["features"]),
                          node("Mul", ["features", "pedestrian"], ["heat"])], ["image", "polar"],
                         ["place", "pedestrian", "nothing", "all_boxes"]),
        "both": network([*full, *bright, *unused, node("Mul", ["full", "mean"], ["seen"]), node("Add", ["seen", "none"], ["features"]),
                         node("Mul", ["features", "cyclist"], ["heat"])], ["image", "polar", "pillars"],
                        [*images, "cyclist", "nothing"]),
    }
    return write(tmp_path_factory.mktemp("models") / "objects", "objects", networks, height=32, width=64)


def scan_at(i):
    """A level road and a post with many returns."""
    x, y = np.meshgrid(np.arange(3.0, 25.0, 2.0), np.arange(-12.0, 12.0, 2.0))
    road = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    post = np.column_stack([np.tile(POST, (300, 1)) + 0.1, np.linspace(0.1, 1.5, 300)])
    points = pose.transform(pose.inverse(T_BASE_LIDAR), np.concatenate([road, post]).astype(np.float32))
    message = messages.points(Scan(points, START + i * TENTH))
    message.header.frame_id = "lidar"
    return message


@pytest.fixture
def start(start_car, objects_model):
    def begin(executable="objects_node", **options):
        parameters = [f"objects.model:={objects_model}", "objects.min_score:=0.5", *options.pop("parameters", ())]
        return start_car(executable=executable, parameters=parameters, systems=["objects"], **options)

    return begin


def last(car):
    """The newest boxes: label -> centres."""
    return {box.label: box.centre for box in car.observer.objects[-1][1]}


def until_seen(car, label, i):
    car.until(lambda: car.observer.objects and car.observer.objects[-1][0] == START + i * TENTH and label in last(car), f"a {label} at {i}")


def test_image_and_scan_together_and_each_alone_when_the_other_falls_silent(start):
    car = start().until_listening()
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    car.send("points", scan_at(1))
    car.send("image", image_at(1, grey=200))
    until_seen(car, "cyclist", 1)
    where = OUT.centres()[tuple(int(v) for v in ((POST[1] - OUT.y_m) // OUT.cell_m, (POST[0] - OUT.x_m) // OUT.cell_m))]
    np.testing.assert_allclose(last(car)["cyclist"][:2], where, atol=1e-4)
    np.testing.assert_allclose(last(car)["cyclist"][2], 0.0, atol=0.05)

    car.send("image", image_at(4, grey=200))  # the only scan is 0.3 s old
    until_seen(car, "pedestrian", 4)
    np.testing.assert_allclose(last(car)["pedestrian"][:2], OUT.centres()[HERE], atol=1e-4)
    car.until(lambda: "objects come from the image alone" in car.observer.message, "the reason in /diagnostics")

    car.send("points", scan_at(9))  # and now no image any more
    until_seen(car, "car", 9)
    np.testing.assert_allclose(last(car)["car"][:2], where, atol=1e-4)
    car.until(lambda: "objects come from the cloud alone" in car.observer.message, "the reason in /diagnostics")
    car.send("points", scan_at(10))
    car.send("image", image_at(10, grey=200))
    until_seen(car, "cyclist", 10)
    car.until(lambda: "objects come from" not in car.observer.message, "both again")
    said = car.said()
    assert "the camera is silent: objects come from the cloud alone" in said
    assert "the LiDAR is silent, its last scan is" in said or "the LiDAR is silent: objects come from the image alone" in said


def test_a_node_without_depth_misses_no_scale(start):
    car = start().until_listening()
    car.send("/tf_static", static_tf())
    images = iter(range(1, 1000))

    def drives():
        now = next(images)
        car.send("camera_info", info_at(now))
        car.send("points", scan_at(now))
        car.send("image", image_at(now, grey=200))
        until_seen(car, "cyclist", now)
        return int(car.observer.status.get("frames", 0)) > 3 and car.observer.message == "running"

    car.until(drives, "all to be well")
    assert not [name for name in car.observer.status if name.startswith("scale")]


def test_a_car_without_a_camera(start):
    car = start().until_listening()
    car.send("/tf_static", static_tf())
    car.send("points", scan_at(1))
    until_seen(car, "car", 1)
    car.until(lambda: car.observer.status.get("published_objects") == "1", "the count")
    assert car.observer.status["frames"] == "0"


def test_scans_alone_survive_a_time_that_jumps_back(start):
    """A bag that starts again, played without /clock."""
    car = start().until_listening()
    car.send("/tf_static", static_tf())
    car.send("points", scan_at(100))
    until_seen(car, "car", 100)
    car.send("points", scan_at(1))
    until_seen(car, "car", 1)


def test_one_network_is_asked_for_by_name(start):
    car = start(parameters=["objects.modality:=cloud"]).until_listening()
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    car.send("points", scan_at(1))
    car.send("image", image_at(1, grey=200))
    until_seen(car, "car", 1)
    assert car.set("objects.modality", "image") == (True, "")
    car.send("image", image_at(2, grey=200))
    until_seen(car, "pedestrian", 2)
    taken, why = car.set("objects.modality", "radar")
    assert not taken
    assert "modality: wanted auto, both, image, cloud, got 'radar'" in why


def test_drive_has_objects_beside_depth(start):
    car = start("drive", parameters=["systems:=depth odometry objects"]).until_listening()
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    for i in (1, 2):
        car.send("points", scan_at(i))
        car.send("image", image_at(i, grey=200))
        until_seen(car, "cyclist", i)
    car.until(lambda: (car.observer.status.get("frames"), car.observer.status.get("objects_frames")) == ("2", "2"), "the count")
    assert car.observer.status["objects_missed"] == "0"
    assert int(car.observer.status["published_objects"]) >= 2, "more where a scan had waited for its image for long"


@pytest.mark.parametrize(("parameters", "sentence"), [
    (["systems:=objects radar"], "systems: wanted some of depth, odometry, bev, objects, markings"),
    (["objects.min_score:=7.0"], "objects.min_score: wanted"),
])
def test_wrong_parameters_are_named(start, parameters, sentence):
    car = start(parameters=parameters)
    assert car.process.wait(30) == 2
    assert sentence in car.said()
    car.process = type("Ended", (), {"poll": lambda self: 0, "returncode": 0})()


def test_a_model_of_another_kind_is_refused(start_car, tiny_model):
    car = start_car(executable="objects_node", parameters=[f"objects.model:={tiny_model}", "autostart:=false"], systems=["objects"])
    assert not car.change_state("configure")
    car.until(lambda: "wanted one of objects, it is one of depth" in car.observer.message, "the reason")


def test_reload_refuses_a_model_of_other_classes_and_drives_on(start, objects_model, tmp_path):
    import json
    import shutil

    from std_srvs.srv import Trigger

    other = tmp_path / "unicorns"
    shutil.copytree(objects_model, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["networks"]["cloud"]["config"]["classes"][0] = "unicorn"
    (other / "manifest.json").write_text(json.dumps(manifest))
    car = start().until_listening()
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    assert car.set("objects.model", str(other))[0]
    answer = car.call(Trigger, "~/reload_model")
    assert not answer.success
    assert "network cloud knows unicorn: wanted classes of car" in answer.message
    car.send("points", scan_at(1))
    car.send("image", image_at(1, grey=200))
    until_seen(car, "cyclist", 1)
    assert car.set("objects.model", str(objects_model))[0]
    assert car.call(Trigger, "~/reload_model").success
    car.send("points", scan_at(2))
    car.send("image", image_at(2, grey=200))
    until_seen(car, "cyclist", 2)
