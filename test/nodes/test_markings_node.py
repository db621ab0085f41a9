"""Road markings over real DDS: the mask, the picture, and each marking as a line on the road."""

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

ZEBRA = marking_classes.ZEBRA
HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def markings_model(tmp_path_factory):
    """Whatever is white is a zebra crossing: its logit is 40 (mean - 0.5), that of the background 0, all others far below."""
    weight = np.zeros((7, 1, 1, 1), np.float32)
    bias = np.full((1, 7, 1, 1), -100, np.float32)
    weight[ZEBRA], bias[0, ZEBRA], bias[0, 0] = 40, -20, 0
    network = {
        "nodes": [node("ReduceMean", ["image", "channels"], ["grey"], keepdims=1), node("Conv", ["grey", "weight"], ["scores"]),
                  node("Add", ["scores", "bias"], ["logits"])],
        "inputs": {"image": [1, 3, HEIGHT, WIDTH]}, "outputs": {"logits": [1, 7, HEIGHT, WIDTH]},
        "constants": [constant("channels", np.array([1])), constant("weight", weight), constant("bias", bias)], "config": {}}
    return write(tmp_path_factory.mktemp("models") / "markings", "markings", {"markings": network}, height=HEIGHT, width=WIDTH)


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
    from sensor_msgs.msg import Image

    car = start_car(executable="markings_node", parameters=[f"markings.model:={markings_model}"], systems=["markings"])
    overlays = []
    car.observer.create_subscription(Image, "markings/overlay", overlays.append, 10)
    car.until_listening()
    car.send("/tf_static", static_tf())
    car.send("camera_info", info_at(0))
    message, truth = painted(1)
    car.send("points", level_road(1))
    car.send("image", message)
    car.until(lambda: car.observer.mask_stamps and car.observer.polygons and overlays, "mask, polygons and overlay")
    assert car.observer.mask_stamps == [START + TENTH]
    mask = np.asarray(car.observer.kept("mask")[START + TENTH])
    assert mask.shape == truth.shape
    assert set(np.unique(mask)) == {0, ZEBRA}
    assert ((mask == ZEBRA) & truth).sum() > 0.85 * ((mask == ZEBRA) | truth).sum()
    picture = np.frombuffer(overlays[0].data, np.uint8).reshape(*truth.shape, 3)
    inside = mask == ZEBRA
    assert (picture[~inside] == 60).mean() > 0.98
    assert np.abs(picture[inside & truth].mean(0) - (0.4 * 255 + 0.6 * palette.coloured(np.array([[ZEBRA]], np.uint8))[0, 0])).max() < 6
    (stamp, ((name, ring),)) = car.observer.polygons[0]
    assert (stamp, name) == (START + TENTH, "zebra crossing")
    np.testing.assert_allclose([ring[:, 0].min(), ring[:, 0].max()], [8, 11], atol=0.7)
    np.testing.assert_allclose([ring[:, 1].min(), ring[:, 1].max()], [-1, 2], atol=0.4)


def test_what_nobody_listens_to_is_not_made(start_car, markings_model):
    car = start_car(
        executable="drive", parameters=["systems:=depth markings", f"markings.model:={markings_model}"])
    car.until_listening()
    car.send("camera_info", info_at(1))
    car.send("points", scan_at(1))
    assert np.isfinite(car.depth_of(1)).all()
    car.until(lambda: car.observer.status.get("frames") == "1", "the count")
    assert (car.observer.status["markings_frames"], car.observer.status["published_markings"]) == ("0", "0")
