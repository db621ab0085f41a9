"""systems.objects: a perfect network gives the boxes back exactly, and the system works with the sensors that are there."""

from dataclasses import replace

import numpy as np
import pytest

from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.geometry import pillars, pose
from depth_perception.geometry.boxes import CLASSES, Box3D, encode
from depth_perception.geometry.grid import Grid
from depth_perception.geometry.polar import polar
from depth_perception.systems.objects import MODALITIES, Config, Objects, found_in
from depth_perception.systems.odometry import T_BODY_OPTICAL

GRID = Grid(0.0, -12.8, 0.4, 64, 64)
OUT = GRID.coarser(2)
HEIGHT, WIDTH = 32, 64
DEPTHS = [2.0, 4.0, 8.0, 16.0, 24.0]
T_BASE_CAMERA = pose.from_rotation_vector(np.zeros(3), np.array([1.5, 0.0, 0.7])) @ T_BODY_OPTICAL
T_BASE_LIDAR = pose.from_rotation_vector(np.array([0, 0, 0.1]), np.array([0.8, 0.0, 0.8]))
K = np.array([[80.0, 0, 63.5], [0, 80, 31.5], [0, 0, 1]])
CALIBRATION = Calibration(K, 128, 64, "camera", T_BASE_CAMERA, pose.inverse(T_BASE_CAMERA) @ T_BASE_LIDAR)
FOCAL = 20.0
ROAD_M = -0.93  # the body's zero is an IMU, as KITTI's
CONFIG = Config(ground_m=ROAD_M)
BOXES = (
    Box3D("car", 0.9, np.array([12.3, 2.1, ROAD_M + 0.8]), np.array([4.2, 1.8, 1.5]), 0.3),
    Box3D("pedestrian", 0.8, np.array([7.0, -3.0, ROAD_M + 0.9]), np.array([0.6, 0.5, 1.8]), -2.0),
    Box3D("truck", 0.7, np.array([21.0, -4.0, ROAD_M + 1.6]), np.array([8.0, 2.5, 3.1]), 3.0),
    Box3D("car", 0.6, np.array([12.3, -1.1, ROAD_M + 0.7]), np.array([4.0, 1.7, 1.4]), 1.5),
)


def said_of(boxes, ground):
    """The heat and boxes of a network that knows, with a hill around each peak as training makes it."""
    heat, values = np.zeros((1, len(CLASSES), OUT.rows, OUT.columns), np.float32), np.zeros((1, 8, OUT.rows, OUT.columns), np.float32)
    cells, encoded = encode(boxes, OUT, ground=ground)
    for box, cell, value in zip(boxes, cells, encoded, strict=True):
        row, column = divmod(int(cell), OUT.columns)
        for i in range(max(row - 1, 0), min(row + 2, OUT.rows)):
            for j in range(max(column - 1, 0), min(column + 2, OUT.columns)):
                here = heat[0, CLASSES.index(box.label)]
                here[i, j] = max(here[i, j], box.score * (1.0 if (i, j) == (row, column) else 0.6))
        values[0, :, row, column] = value
    return {"heat": heat, "boxes": values, "features": np.arange(2 * OUT.rows * OUT.columns, dtype=np.float32).reshape(1, 2, OUT.rows, -1)}


class Knows:
    """Answers with these boxes, and keeps what it was shown."""

    def __init__(self, boxes=BOXES, ground=None):
        self.boxes, self.ground, self.shown = boxes, np.array([0, 0, ROAD_M]) if ground is None else ground, []

    def __call__(self, **arrays):
        self.shown.append(arrays)
        return said_of(self.boxes, self.ground)


def described(*names):
    config = {"grid": {"x_m": GRID.x_m, "y_m": GRID.y_m, "cell_m": GRID.cell_m, "rows": GRID.rows, "columns": GRID.columns},
              "depths": DEPTHS, "classes": list(CLASSES)}
    image = {"image": [1, 3, HEIGHT, WIDTH], "polar": [1, OUT.rows, OUT.columns, 2]}
    cloud = {"pillars": [1, pillars.CHANNELS, GRID.rows, GRID.columns]}
    inputs = {"image": image, "cloud": cloud, "both": image | cloud}
    return {name: {"config": config, "inputs": inputs[name]} for name in names}


def objects(*names, config=CONFIG, infers=None, calls=None):
    infers = infers or {name: Knows() for name in names}
    return Objects(infers, calls or described(*names), height=HEIGHT, width=WIDTH, canonical_focal_px=FOCAL, config=config), infers


def scan(stamp_ns=0):
    rng = np.random.default_rng(0)
    road = np.column_stack([rng.uniform([-10, -12], [25, 12], (4000, 2)), np.full(4000, ROAD_M)])
    car = BOXES[0].centre + rng.uniform(-0.5, 0.5, (200, 3)) * [2.0, 1.5, 1.4]
    points = np.vstack([road, car]).astype(np.float32)
    return Scan(pose.transform(pose.inverse(T_BASE_LIDAR), points), stamp_ns)


def frame(stamp_ns=0, *, scan_ns=0, calibration=CALIBRATION):
    return Frame(np.full((64, 128, 3), 51, np.uint8), stamp_ns, calibration, None if scan_ns is None else scan(scan_ns))


def equal(found, wanted):
    assert [(box.label, round(box.score, 5)) for box in found] == [(box.label, box.score) for box in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.corners(), other.corners(), atol=2e-4)


@pytest.mark.parametrize("name", MODALITIES)
def test_a_network_that_knows_gives_the_boxes_back(name):
    system, infers = objects(name)
    output = system.step(frame())
    equal(output.boxes, BOXES)
    assert (output.modality, output.said, output.base_frame, output.stamp_ns) == (name, (), "base_link", 0)
    (shown,) = infers[name].shown
    assert {key: list(array.shape) for key, array in shown.items()} == described(name)[name]["inputs"]
    assert all(array.dtype == np.float32 for array in shown.values())


def test_what_the_network_is_shown():
    system, infers = objects("both")
    system.step(frame())
    (shown,) = infers["both"].shown
    np.testing.assert_allclose(shown["image"], 0.2, atol=1e-6)
    # The image is half as large for the network: its focal length is 40 px, and twice the canonical one sees twice as far.
    wanted = polar(CALIBRATION, height=HEIGHT, width=WIDTH, depths=2 * np.array(DEPTHS), grid=OUT)
    np.testing.assert_allclose(shown["polar"][0], wanted, atol=1e-6)
    row, column = divmod(int(GRID.cells(BOXES[0].centre[None])[0]), GRID.columns)
    assert 0.9 < shown["pillars"][0, 2, row, column] < 1.6  # the car's roof, above the road
    road = shown["pillars"][0, 1][shown["pillars"][0, 2] < 0.05]
    np.testing.assert_allclose(road, 0, atol=0.01)


def test_an_image_that_is_prepared_already_is_taken():
    system, infers = objects("image")
    ready = np.zeros((1, 3, HEIGHT, WIDTH), np.float32)
    system.step(frame(), ready)
    assert infers["image"].shown[0]["image"] is ready
    system.step(frame(1), np.zeros((1, 3, 5, 5), np.float32))
    np.testing.assert_allclose(infers["image"].shown[1]["image"], 0.2, atol=1e-6)


def test_another_camera_is_seen_from_above_anew():
    system, infers = objects("image")
    for calibration in (CALIBRATION, CALIBRATION, replace(CALIBRATION, K=np.array([[160.0, 0, 63.5], [0, 160, 31.5], [0, 0, 1]]))):
        system.step(frame(calibration=calibration))
    first, second, third = (shown["polar"] for shown in infers["image"].shown)
    assert first is second
    assert (third < 1.5).all(-1).sum() < (first < 1.5).all(-1).sum()


def test_sensors_fall_silent_and_come_back():
    system, _ = objects("both", "image", "cloud", config=Config(max_scan_age_s=0.25))
    outputs = [system.step(frame(0)), system.step(frame(200_000_000)), system.step(frame(400_000_000)), system.step(frame(500_000_000)),
               system.step_scan(scan(600_000_000), CALIBRATION), system.step(frame(700_000_000, scan_ns=700_000_000))]
    assert [output.modality for output in outputs] == ["both", "both", "image", "image", "cloud", "both"]
    assert [output.said for output in outputs] == [
        (), (), ("the LiDAR is silent, its last scan is 0.40 s old: objects come from the image alone",), (),
        ("the camera is silent: objects come from the cloud alone",), ("objects come from image and cloud now",)]
    for output in outputs:
        equal(output.boxes, BOXES)  # the road that the last scan showed is still known


def test_without_a_scan_the_road_is_where_the_config_says():
    system, _ = objects("both", "image")
    output = system.step(frame(scan_ns=None))
    equal(output.boxes, BOXES)
    assert output.said == ("the LiDAR is silent: objects come from the image alone",)
    system.configure(Config())
    assert system.step(frame(scan_ns=None)).boxes[0].centre[2] == pytest.approx(0.8)


@pytest.mark.parametrize("names, config", [(("image",), Config()), (("both", "image", "cloud"), Config(modality="image"))])
def test_a_scan_says_where_the_road_is_even_where_the_image_alone_is_looked_at(names, config):
    system, _ = objects(*names, config=config)
    output = system.step(frame())
    equal(output.boxes, BOXES)
    assert (output.modality, output.said) == ("image", ())
    assert output.ground[2] == pytest.approx(ROAD_M, abs=0.02)
    equal(system.step(frame(10**9, scan_ns=None)).boxes, BOXES)  # and stays there


def test_a_camera_of_unknown_height_stands_as_high_as_in_training_and_says_so():
    calibration = Calibration(K, 128, 64, "camera")
    calls = described("image")
    calls["image"]["camera_m"] = 1.63
    system, _ = objects("image", config=Config(), calls=calls)
    outputs = [system.step(frame(i, scan_ns=None, calibration=calibration)) for i in range(2)]
    assert [output.boxes[0].centre[2] for output in outputs] == [pytest.approx(0.8 - 1.63)] * 2
    assert outputs[0].said == ("nobody says how high the camera stands over the road: 1.63 m are assumed, as in training",)
    assert outputs[1].said == () and outputs[0].base_frame == "camera_body"
    system.configure(Config(ground_m=-1.2))  # whoever knows it says it
    assert system.step(frame(2, scan_ns=None, calibration=calibration)).boxes[0].centre[2] == pytest.approx(0.8 - 1.2)

    unaware, _ = objects("image", config=Config())
    output = unaware.step(frame(scan_ns=None, calibration=calibration))
    assert output.boxes[0].centre[2] == pytest.approx(0.8)
    assert output.said == ("nobody says how high the camera stands over the road: z counts from the road, not from the camera",)
    placed, _ = objects("image", config=Config(), calls=calls)
    assert placed.step(frame(scan_ns=None)).said == ()


@pytest.mark.parametrize("names, config, given, said", [
    (("both",), Config(), frame(scan_ns=None), "the LiDAR is silent, and there is no network for an image alone .the model has both"),
    (("cloud",), Config(), frame(scan_ns=None), "no network for an image alone"),
    (("both", "image"), Config(modality="both"), frame(scan_ns=None),
     "wanted an image and a scan for the modality both, but the LiDAR is silent"),
    (("image",), Config(modality="cloud"), frame(), "wanted a model of cloud, this one has image"),
    (("both",), Config(), frame(calibration=replace(CALIBRATION, T_camera_lidar=None)), "TF does not say where the LiDAR stands")])
def test_no_network_for_what_is_there(names, config, given, said):
    system, _ = objects(*names, config=config)
    with pytest.raises(BadInput, match=said):
        system.step(given)


def test_a_scan_that_never_meets_the_view():
    behind = Scan(np.array([[-20.0, 0, 0]] * 50, np.float32), 0)
    system, _ = objects("both", "image")
    output = system.step(Frame(frame().image, 0, CALIBRATION, behind))
    assert output.said == ("the scan has no return where objects are looked for: objects come from the image alone",)
    with pytest.raises(BadInput, match="no image, and the scan has no return"):
        objects("cloud")[0].step_scan(behind, CALIBRATION)


@pytest.mark.parametrize("infers, calls, said", [
    ({}, {}, "wanted a model with networks named both, image, cloud, got none"),
    ({"depth": Knows()}, {"depth": {}}, "got depth"),
    ({"cloud": Knows()}, {"cloud": {"config": {"grid": {"x": 1}}, "inputs": {}}}, "described without"),
    ({"cloud": Knows()}, {"cloud": {"inputs": {}}}, "described without")])
def test_models_of_another_kind(infers, calls, said):
    with pytest.raises(BadInput, match=said):
        Objects(infers, calls, height=HEIGHT, width=WIDTH, canonical_focal_px=FOCAL)


def test_a_camera_that_looks_back_finds_what_is_behind():
    back = pose.from_rotation_vector(np.array([0, 0, np.pi]), np.zeros(3))
    calibration = replace(CALIBRATION, T_base_camera=back @ T_BASE_CAMERA)
    system, _ = objects("image", "cloud", infers={"image": Knows(), "cloud": Knows()})
    output = system.step(frame(calibration=calibration))
    equal(output.boxes, [box.moved(back) for box in BOXES])
    points = output.feature_points()
    assert points.shape == (OUT.rows * OUT.columns, 5)
    assert points[:, 0].max() < 0 and points[0, 3] == 0 and points[0, 4] == OUT.rows * OUT.columns
    np.testing.assert_allclose(points[:, 2], ROAD_M, atol=0.02)


def test_features_lie_on_the_road_in_the_order_of_the_cells():
    system, _ = objects("cloud")
    points = system.step(frame()).feature_points()
    np.testing.assert_allclose(points[:, :2], OUT.centres().reshape(-1, 2), atol=1e-6)
    np.testing.assert_allclose(points[:, 2], ROAD_M, atol=0.02)
    assert points[:, 3].tolist() == list(range(OUT.rows * OUT.columns))


def test_two_of_a_class_at_one_place_are_one():
    near = replace(BOXES[0], centre=BOXES[0].centre + np.array([1.0, 0.9, 0]), score=0.5)
    other = replace(BOXES[0], label="truck", score=0.4)
    far = replace(BOXES[0], centre=BOXES[0].centre + np.array([0, 3.0, 0]), score=0.35)
    answer = said_of((BOXES[0], near, other, far), None)
    found = found_in(answer["heat"][0], answer["boxes"][0], OUT, classes=CLASSES, min_score=0.3, most=10)
    assert [(box.label, round(box.score, 2)) for box in found] == [("car", 0.9), ("truck", 0.4), ("car", 0.35)]
    assert len(found_in(answer["heat"][0], answer["boxes"][0], OUT, classes=CLASSES, min_score=0.3, most=1)) == 1
    assert found_in(answer["heat"][0], answer["boxes"][0], OUT, classes=CLASSES, min_score=0.95, most=9) == ()


def test_configs_that_are_refused():
    with pytest.raises(BadInput, match="objects modality: wanted auto"):
        Config(modality="radar")
    with pytest.raises(BadInput, match="min_score"):
        Config(min_score=0)


def test_a_network_that_fuses_by_height_is_told_the_heights():
    calls = described("image")
    calls["image"]["inputs"]["heights"] = [1, len(DEPTHS), 4, 8]
    system, infers = objects("image", calls=calls)
    system.step(frame())
    shown = infers["image"].shown[0]["heights"]
    assert shown.shape == (1, len(DEPTHS), 4, 8)
    # The camera is 0.7 - ROAD_M over the road; the third row's middle is 0.5 * 8 px under the centre, 40 px the focal length.
    np.testing.assert_allclose(shown[0, :, 2], np.broadcast_to(0.7 - ROAD_M - 2 * np.array(DEPTHS)[:, None] * 4 / 40, (5, 8)), atol=1e-5)
