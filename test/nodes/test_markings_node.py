"""Road markings over real DDS: the mask, the picture, and each marking as a line on the road."""

import json

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")
pytest.importorskip("onnx")

from arithmetic import constant, node, write
from cars import START, TENTH, info_at, scan_at, static_tf
from worlds import CALIBRATION, T_BASE_CAMERA, T_BASE_LIDAR

from depth_perception.bag import messages
from depth_perception.frame import Scan
from depth_perception.geometry import pose
from depth_perception.systems import marking_classes, palette
from depth_perception.systems.network_input import focal_ratio

ZEBRA = marking_classes.ZEBRA
HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def markings_model(tmp_path_factory):
    """Whatever is white is a zebra crossing: its logit is 40 (mean - 0.5), that of the background 0, all others far below."""
    return white_is_zebra(tmp_path_factory.mktemp("models") / "markings", 7)


# A white rectangle on the road, body frame: from 8 to 11 m ahead, from 1 m right to 2 m left.
CORNERS = np.array([[8.0, -1.0, 0.0], [8.0, 2.0, 0.0], [11.0, 2.0, 0.0], [11.0, -1.0, 0.0]])


def painted(i):
    """A grey road with the rectangle, and its true mask."""
    import cv2

    seen = pose.transform(pose.inverse(T_BASE_CAMERA), CORNERS)
    pixels = seen @ CALIBRATION.K.T
    image = np.full((CALIBRATION.height, CALIBRATION.width, 3), 60, np.uint8)
    cv2.fillPoly(image, [np.round(pixels[:, :2] / pixels[:, 2:]).astype(np.int32)], (255, 255, 255))
    return messages.image(image, "rgb8", stamp_ns=START + i * TENTH, frame_id="camera"), image[..., 0] > 128


def level_road(i):
    """A scan of nothing but road: where markings lie is the scan's to say, this depth network knows nothing of it."""
    x, y = np.meshgrid(np.linspace(4, 25, 120), np.linspace(-6, 6, 80))
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    message = messages.points(Scan(pose.transform(pose.inverse(T_BASE_LIDAR), points).astype(np.float32), START + i * TENTH))
    message.header.frame_id = "lidar"
    return message


def test_a_marking_is_masked_drawn_and_placed(start_car, markings_model):
    from nav_msgs.msg import OccupancyGrid
    from sensor_msgs.msg import Image

    car = start_car(executable="markings_node", parameters=[f"markings.model:={markings_model}"], systems=["markings"])
    overlays, grids = [], []
    car.observer.create_subscription(Image, "markings/overlay", overlays.append, 10)
    car.observer.create_subscription(OccupancyGrid, "markings/grid", grids.append, 10)
    car.until_listening()
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    message, truth = painted(1)
    car.send("points", level_road(1))
    car.send("image", message)
    car.until(lambda: car.observer.mask_stamps and car.observer.polygons and overlays and grids, "mask, polygons, overlay and grid")
    assert car.observer.mask_stamps == [START + TENTH]
    mask = np.asarray(car.observer.kept("mask")[START + TENTH])
    assert mask.shape == truth.shape
    assert set(np.unique(mask)) == {0, ZEBRA}
    assert ((mask == ZEBRA) & truth).sum() > 0.85 * ((mask == ZEBRA) | truth).sum()
    picture = np.frombuffer(overlays[0].data, np.uint8).reshape(*truth.shape, 3)
    inside = mask == ZEBRA
    assert (picture[~inside] == 60).mean() > 0.98
    assert np.abs(picture[inside & truth].mean(0) - (0.4 * 255 + 0.6 * palette.coloured(np.array([[ZEBRA]], np.uint8))[0, 0])).max() < 6
    (stamp, ((name, ring), (box_name, box))) = car.observer.polygons[0]
    assert (stamp, name, box_name, len(box)) == (START + TENTH, "zebra crossing", "zebra crossing box", 5)
    for corners in (ring, box):
        np.testing.assert_allclose([corners[:, 0].min(), corners[:, 0].max()], [8, 11], atol=0.7)
        np.testing.assert_allclose([corners[:, 1].min(), corners[:, 1].max()], [-1, 2], atol=0.4)
    # The cells of bev/grid: 10 m behind to 40 ahead, 20 m to either side, 0.2 m each.
    (grid,) = grids
    assert (grid.header.frame_id, grid.info.width, grid.info.height) == ("base_link", 250, 200)
    row, column = np.nonzero(np.array(grid.data, np.int8).reshape(200, 250) == ZEBRA)
    x, y = grid.info.origin.position.x + 0.2 * (column + 0.5), grid.info.origin.position.y + 0.2 * (row + 0.5)
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [8, 11, -1, 2], atol=0.8)


@pytest.fixture(scope="module")
def depth_model(tmp_path_factory):
    """A depth network that knows the level road by heart, and a pose network for a car that stands."""
    K = CALIBRATION.K
    rows = (np.arange(32) + 0.5) * CALIBRATION.height / 32 - 0.5
    down = (rows - K[1, 2]) / K[1, 1]
    metres = np.where(down > 0.02, T_BASE_CAMERA[2, 3] / np.maximum(down, 0.02), 80.0)
    canonical = 40.0
    depth = np.broadcast_to((metres / focal_ratio(CALIBRATION, height=32, canonical_focal_px=canonical))[:, None], (32, 64))
    seen = {"image": [1, 3, 32, 64]}

    def unchanging(name, inputs, values):
        return {"nodes": [node("ReduceMean", ["image"], ["mean"], keepdims=0), node("Mul", ["mean", "nothing"], ["zero"]),
                          node("Add", ["values", "zero"], [name])], "inputs": inputs, "outputs": {name: list(values.shape)},
                "constants": [constant("nothing", np.zeros(1, np.float32)), constant("values", values.astype(np.float32))], "config": {}}

    still = unchanging("pose", seen | {"neighbour": [1, 3, 32, 64]}, np.zeros((1, 6)))
    still["nodes"][0] = node("ReduceMean", ["neighbour"], ["mean"], keepdims=0)
    networks = {"depth": unchanging("depth", seen, depth[None, None]), "pose": still}
    return write(tmp_path_factory.mktemp("models") / "level", "depth", networks, height=32, width=64, canonical_focal_px=canonical)


def reference(name, x, y):
    """A zebra crossing of the map, 3 x 3 m from (x, y)."""
    shape = {"type": "Polygon", "coordinates": [[[x, y], [x + 3, y], [x + 3, y + 3], [x, y + 3], [x, y]]]}
    return {"type": "Feature", "id": name, "geometry": shape, "properties": {"class": "zebra crossing"}}


def map_of(folder, frame):
    """The painted rectangle, and one beside it that nobody painted."""
    known = {"type": "FeatureCollection", "frame": frame, "features": [reference("here", 8, -1), reference("gone", 8, 2.5)]}
    (folder / "map.geojson").write_text(json.dumps(known))
    return folder / "map.geojson"


def whereabouts(i, frame="map"):
    from nav_msgs.msg import Odometry

    message = Odometry()
    stamp = START + i * TENTH
    message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id = stamp // 10**9, stamp % 10**9, frame
    message.pose.pose.orientation.w = 1.0
    return message


@pytest.mark.parametrize("frame", ["map", "odom"])
def test_what_the_map_has_and_the_road_has_not_is_told(start_car, markings_model, depth_model, tmp_path, frame):
    from nav_msgs.msg import Odometry

    report = tmp_path / "report.geojson"
    parameters = [f"markings.model:={markings_model}", f"markings.map:={map_of(tmp_path, frame)}", f"markings.report:={report}"]
    car = start_car(model=depth_model, executable="markings_node", parameters=parameters, systems=["markings"])
    localization = car.observer.create_publisher(Odometry, "/localization", 10)
    car.until_listening()
    if frame == "map":
        car.until(lambda: localization.get_subscription_count() == 1, "the node to ask for localization")
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    for i in range(1, 24):
        if frame == "map":
            localization.publish(whereabouts(i))
        car.send("points", level_road(i))
        car.send("image", painted(i)[0])
        car.until(lambda i=i: START + i * TENTH in car.observer.mask_stamps, f"the mask of image {i}")
    car.until(lambda: any("gone: missing" in text for _, texts in car.observer.defects for text in texts), "what is missing")
    assert not any("here" in text for _, texts in car.observer.defects for text in texts)
    assert car.close() == 0
    said = {feature["id"]: feature["properties"]["verdict"] for feature in json.loads(report.read_text())["features"]}
    assert said == {"here": "intact", "gone": "missing"}
    again = start_car(model=depth_model, executable="markings_node", parameters=parameters, systems=["markings"]).until_listening()
    again.send("camera_info", info_at(0))
    again.send("image", painted(1)[0])  # nobody tells where the car is, or it has seen one image alone
    again.until(lambda: again.observer.mask_stamps, "an image of the second drive")
    assert again.close() == 0
    assert {feature["id"]: feature["properties"]["verdict"] for feature in json.loads(report.read_text())["features"]} == said
    assert len(list(tmp_path.glob("report.geojson.*.evidence.npz"))) == 1


def test_without_a_pose_there_is_no_verdict_and_the_reason_is_told(start_car, markings_model, depth_model, tmp_path):
    parameters = [f"markings.model:={markings_model}", f"markings.map:={map_of(tmp_path, 'map')}"]
    car = start_car(model=depth_model, executable="markings_node", parameters=parameters, systems=["markings"]).until_listening()
    car.send("camera_info", info_at(0))
    car.send("image", painted(1)[0])
    car.until(lambda: "markings: no verdicts: no pose in 'map', the map's frame" in car.observer.message, "the reason in /diagnostics")


def test_a_map_that_is_none_is_refused(start_car, markings_model, tmp_path):
    (tmp_path / "map.geojson").write_text("{}")
    parameters = [f"markings.model:={markings_model}", f"markings.map:={tmp_path / 'map.geojson'}", "autostart:=false"]
    car = start_car(executable="markings_node", parameters=parameters, systems=["markings"])
    assert not car.change_state("configure")
    car.until(lambda: "map.geojson" in car.observer.message, "the reason in /diagnostics")


def white_is_zebra(folder, classes):
    """A markings model of so many classes, the fifth of which is whatever is white."""
    weight = np.zeros((classes, 1, 1, 1), np.float32)
    bias = np.full((1, classes, 1, 1), -100, np.float32)
    weight[ZEBRA], bias[0, ZEBRA], bias[0, 0] = 40, -20, 0
    network = {
        "nodes": [node("ReduceMean", ["image", "channels"], ["grey"], keepdims=1), node("Conv", ["grey", "weight"], ["scores"]),
                  node("Add", ["scores", "bias"], ["logits"])],
        "inputs": {"image": [1, 3, HEIGHT, WIDTH]}, "outputs": {"logits": [1, classes, HEIGHT, WIDTH]},
        "constants": [constant("channels", np.array([1])), constant("weight", weight), constant("bias", bias)], "config": {}}
    return write(folder, "markings", {"markings": network}, height=HEIGHT, width=WIDTH)


def test_reload_refuses_what_does_not_fit_and_drives_on(start_car, markings_model, tmp_path):
    """A model of other classes, and a map that is none: the answer says so, and the old ones stay at work."""
    from std_srvs.srv import Trigger

    car = start_car(executable="markings_node", parameters=[f"markings.model:={markings_model}"], systems=["markings"]).until_listening()
    car.send("camera_info", info_at(0))

    def masked(i):
        message, truth = painted(i)
        car.send("image", message)
        car.until(lambda: START + i * TENTH in car.observer.mask_stamps, f"the mask of image {i}")
        mask = np.asarray(car.observer.kept("mask")[START + i * TENTH])
        assert ((mask == ZEBRA) & truth).sum() > 0.85 * truth.sum()

    masked(1)
    assert car.set("markings.model", str(white_is_zebra(tmp_path / "five", 5)))[0]
    answer = car.call(Trigger, "~/reload_model")
    assert not answer.success
    assert "wanted a network markings whose logits are of 7 classes" in answer.message
    assert "the node goes on with the model it has" in answer.message
    masked(2)
    assert car.set("markings.model", str(white_is_zebra(tmp_path / "seven", 7)))[0]
    (tmp_path / "map.geojson").write_text("{}")
    assert car.set("markings.map", str(tmp_path / "map.geojson"))[0]
    answer = car.call(Trigger, "~/reload_model")
    assert not answer.success
    assert "map.geojson: wanted a GeoJSON FeatureCollection" in answer.message
    masked(3)
    assert car.change_state("deactivate")
    answer = car.call(Trigger, "~/reload_model")
    assert not answer.success, "an inactive node refuses as well, and lives"
    assert car.set("markings.map", str(map_of(tmp_path, "map")))[0]
    answer = car.call(Trigger, "~/reload_model")
    assert (answer.success, str(tmp_path / "seven") in answer.message) == (True, True), answer.message
    assert car.change_state("activate")
    car.until_listening()
    car.send("camera_info", info_at(4))
    masked(4)
    car.until(lambda: "no pose in 'map'" in car.observer.message, "the new map's sentence")


def test_poses_of_another_body_and_a_report_that_cannot_be_written_are_told(start_car, markings_model, depth_model, tmp_path):
    from nav_msgs.msg import Odometry

    (tmp_path / "file").write_text("")
    parameters = [f"markings.model:={markings_model}", f"markings.map:={map_of(tmp_path, 'map')}",
                  f"markings.report:={tmp_path / 'file' / 'report.geojson'}"]
    car = start_car(model=depth_model, executable="markings_node", parameters=parameters, systems=["markings"]).until_listening()
    localization = car.observer.create_publisher(Odometry, "/localization", 10)
    car.until(lambda: localization.get_subscription_count() == 1, "the node to ask for localization")
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    message = whereabouts(1)
    message.child_frame_id = "roof"
    for i in range(1, 12):  # poses and images take different ways: a pose may be heard after the image that followed it
        localization.publish(message)
        car.send("image", painted(i)[0])
        car.until(lambda i=i: START + i * TENTH in car.observer.mask_stamps, f"the mask of image {i}")
    car.until(lambda: "/localization: wanted poses of 'base_link', they are of 'roof'" in car.observer.message, "the reason")
    assert car.change_state("deactivate")
    said = car.said()
    assert "markings.report: " in said
    assert "Traceback" not in said


def test_what_nobody_listens_to_is_not_made(start_car, markings_model):
    car = start_car(
        executable="drive", parameters=["systems:=depth markings", f"markings.model:={markings_model}"])
    car.until_listening()
    car.send("camera_info", info_at(1))
    car.send("points", scan_at(1))
    assert np.isfinite(car.depth_of(1)).all()
    car.until(lambda: car.observer.status.get("frames") == "1", "the count")
    assert (car.observer.status["markings_frames"], car.observer.status["published_markings"]) == ("0", "0")
