"""A hand-made drive in a Rerun recording, read back: every entity at its stamp, in its place, with its values."""

from __future__ import annotations

import itertools
import resource
import signal
from collections import defaultdict

import cv2
import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs rerun: pip install 'depth_perception[view]'")

from rerun.chunk import RrdReader

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry.boxes import Box3D
from depth_perception.view import smaller
from depth_perception.view.scene import PIECE, STEP_M, Scene
from depth_perception.view.serving import Recording

START, TENTH = 1_700_000_000_000_000_000, 100_000_000
T_BASE_CAMERA = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1.2], [0, 0, 0, 1]])
CAMERA = Calibration(np.array([[700.0, 0, 640.5], [0, 710, 187], [0, 0, 1]]), 1280, 375, "camera", T_BASE_CAMERA)
RING = np.array([[8.0, -1, 0], [9, -1, 0], [9, 1, 0], [8, -1, 0]])


def read(file):
    """Entity -> component -> [(stamp, value)]."""
    found = defaultdict(lambda: defaultdict(list))
    for chunk in RrdReader(str(file)).stream():
        batch = chunk.to_record_batch()
        columns = {name: batch.column(name) for name in batch.schema.names}
        stamps = columns["stamp"].cast("int64").to_pylist() if "stamp" in columns else [None] * batch.num_rows
        for name, column in columns.items():
            if ":" in name:
                rows = zip(stamps, column.to_pylist(), strict=True)
                found[str(chunk.entity_path)][name] += [(stamp, value) for stamp, value in rows if value is not None]
    return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    file = tmp_path_factory.mktemp("view") / "drive.rrd"
    recording = Recording(server=None, file=file)
    scene = Scene(recording.stream)
    for k in range(3):
        stamp, T = START + k * TENTH, np.eye(4)
        T[0, 3] = float(k)
        scene.camera(stamp, np.full((375, 1280, 3), (200, 40, 10 * k), np.uint8), CAMERA)
        scene.depth(stamp, np.full((375, 1280), 7.0 + k, np.float32))
        scene.confidence(stamp, np.full((375, 1280), 0.5, np.float32))
        scene.scan(stamp, np.array([[1, 2, 3, 0.5], [4, 5, 6, 0.5]], np.float32))
        scene.cloud(stamp, np.array([[1.0, 0, k], [np.nan, 0, 0]], np.float32))
        scene.pose(stamp, T)
        scene.figures(stamp, "latency/drive", {"total": 20.0 + k, "engine": 9.0})
    boxes = [Box3D("car", 0.9, np.array([10.0, 2, 0.8]), np.array([4.0, 1.8, 1.6]), np.pi / 2)]
    scene.boxes(START, boxes)
    scene.boxes(START + TENTH, [])
    scene.grid(START, np.array([[0, 100, -1], [50, 0, 0]], np.int8), corner=(-1.0, -2.0), cell_m=0.5)
    scene.mask(START, np.eye(4, dtype=np.uint8))
    scene.polygons(START, [("stop line", RING)])
    scene.defects(START, [("missing", RING)], ["7: missing, 0% of it, 90% sure"])
    scene.said(START, "WARN", "no scan for 1 s")
    assert not file.exists(), "it has its name when it is whole"
    recording.close()
    assert file.is_file() and [each.name for each in file.parent.iterdir()] == ["drive.rrd"]
    return read(file)


def test_the_camera_is_where_it_stands_and_sees_what_it_saw(drawn):
    camera = drawn["/world/car/camera/image"]
    assert [stamp for stamp, _ in camera["EncodedImage:blob"]] == [START, START + TENTH, START + 2 * TENTH]
    seen = cv2.imdecode(np.array(camera["EncodedImage:blob"][2][1][0], np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (375, 1280, 3)
    np.testing.assert_allclose(seen[0, 0, ::-1], (200, 40, 20), atol=4)
    (pinhole,) = camera["Pinhole:image_from_camera"]  # once, for it does not change
    np.testing.assert_allclose(np.reshape(pinhole[1][0], (3, 3)).T, CAMERA.K)
    assert drawn["/world/car/camera"]["Transform3D:translation"] == [(START, [pytest.approx([0.5, 0, 1.2])])]
    np.testing.assert_allclose(np.abs(drawn["/world/car/camera"]["Transform3D:quaternion"][0][1][0]), 0.5, atol=1e-6)


def test_depth_has_its_metres_and_a_camera_of_its_own_size(drawn):
    depth = drawn["/world/car/camera/depth"]
    assert [stamp for stamp, _ in depth["EncodedDepthImage:blob"]] == [START + k * TENTH for k in range(3)]
    found = cv2.imdecode(np.array(depth["EncodedDepthImage:blob"][1][1][0], np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.shape == (187, 640) and (found == 8 * smaller.UNITS_PER_M).all()
    assert depth["EncodedDepthImage:meter"][0][1] == [smaller.UNITS_PER_M]
    K = np.reshape(depth["Pinhole:image_from_camera"][0][1][0], (3, 3)).T
    # Pixel (u, v) of it is pixel (2 u + 1, 2 v + 1) of the image.
    ray = np.linalg.inv(CAMERA.K) @ [2 * 100 + 1, 2 * 50 + 1, 1]
    np.testing.assert_allclose(K @ ray, [100, 50, 1], atol=1e-4)
    assert depth["Pinhole:resolution"][0][1] == [[640, 187]]


def test_depth_of_the_network_s_own_size_is_seen_by_the_same_camera(tmp_path):
    recording = Recording(server=None, file=tmp_path / "small.rrd")
    scene = Scene(recording.stream)
    scene.camera(START, np.zeros((375, 1280, 3), np.uint8), CAMERA)
    scene.depth(START, np.full((128, 416), 7.0, np.float32))
    scene.depth(START + TENTH, np.full((375, 1280), 7.0, np.float32))
    recording.close()
    pinholes = read(tmp_path / "small.rrd")["/world/car/camera/depth"]
    assert [value for _, value in pinholes["Pinhole:resolution"]] == [[[416, 128]], [[640, 187]]]
    K = np.reshape(pinholes["Pinhole:image_from_camera"][0][1][0], (3, 3)).T
    # The image's borders stay the image's borders.
    for corner in ((-0.5, -0.5), (1279.5, 374.5)):
        u, v = (K @ np.linalg.inv(CAMERA.K) @ [*corner, 1])[:2]
        np.testing.assert_allclose([(u + 0.5) / 416, (v + 0.5) / 128], [(corner[0] + 0.5) / 1280, (corner[1] + 0.5) / 375], atol=1e-6)


def test_clouds_lie_in_the_car_s_frame(drawn):
    np.testing.assert_allclose(drawn["/world/car/lidar"]["Points3D:positions"][0][1], [[1, 2, 3], [4, 5, 6]])
    clouds = drawn["/world/car/bev"]["Points3D:positions"]
    assert [stamp for stamp, _ in clouds] == [START + k * TENTH for k in range(3)]
    np.testing.assert_allclose(clouds[2][1], [[1, 0, 2]])  # what is not known is not drawn
    assert len(drawn["/world/car/bev"]["Points3D:colors"][2][1]) == 1


def test_the_grid_is_the_message_s_turned_upright(drawn):
    grid = drawn["/world/car/grid"]
    form = grid["GridMap:format"][0][1][0]
    assert (form["width"], form["height"]) == (3, 2)
    cells = np.array(grid["GridMap:data"][0][1][0], np.uint8).astype(np.int8).reshape(2, 3)
    np.testing.assert_array_equal(cells, [[50, 0, 0], [0, 100, -1]])  # the picture's lower row is the smallest y
    assert grid["GridMap:translation"][0][1] == [[-1.0, -2.0, 0.0]] and grid["GridMap:cell_size"][0][1] == [0.5]


def test_boxes_come_and_go(drawn):
    boxes = drawn["/world/car/objects"]
    (first, centres), (second, none) = boxes["Boxes3D:centers"]
    assert (first, second, none) == (START, START + TENTH, [])
    np.testing.assert_allclose(centres, [[10, 2, 0.8]], atol=1e-6)
    np.testing.assert_allclose(boxes["Boxes3D:half_sizes"][0][1], [[2, 0.9, 0.8]], atol=1e-6)
    np.testing.assert_allclose(boxes["Boxes3D:quaternions"][0][1], [[0, 0, np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-6)
    assert boxes["Boxes3D:labels"][0][1] == ["car 0.90"]


def test_markings_over_the_image_on_the_road_and_in_words(drawn):
    blob = drawn["/world/car/camera/image/markings"]["EncodedImage:blob"][0][1][0]
    picture = cv2.imdecode(np.array(blob, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (4, 4, 4) and (picture[..., 3] > 0).sum() == 4
    np.testing.assert_allclose(drawn["/world/car/polygons"]["LineStrips3D:strips"][0][1], [RING])
    np.testing.assert_allclose(drawn["/map/defects"]["LineStrips3D:strips"][0][1], [RING])
    assert [value for _, value in drawn["/log"]["TextLog:text"]] == [["7: missing, 0% of it, 90% sure"], ["no scan for 1 s"]]


def test_figures_are_series_of_their_own(drawn):
    assert drawn["/latency/drive/total"]["Scalars:scalars"] == [(START + k * TENTH, [20.0 + k]) for k in range(3)]
    assert len(drawn["/latency/drive/engine"]["Scalars:scalars"]) == 3


def test_the_car_moves_and_leaves_its_way(drawn):
    assert [value[0][0] for _, value in drawn["/world/car"]["Transform3D:translation"]] == [0, 1, 2]
    last = drawn["/world/trajectory/0"]["LineStrips3D:strips"][-1]
    assert last[0] == START + 2 * TENTH
    np.testing.assert_allclose(last[1], [[[0, 0, 0], [1, 0, 0], [2, 0, 0]]])


def test_a_long_way_is_sent_in_pieces_that_meet(tmp_path):
    recording = Recording(server=None, file=tmp_path / "way.rrd")
    scene = Scene(recording.stream)
    steps = 2 * PIECE + 10
    for k in range(2 * steps):  # every second step is too short to be drawn
        T = np.eye(4)
        T[0, 3] = (k // 2) * STEP_M * 1.01 + (k % 2) * 0.1 * STEP_M
        scene.pose(START + k, T)
    recording.close()
    found = read(tmp_path / "way.rrd")
    pieces = [np.array(found[f"/world/trajectory/{n}"]["LineStrips3D:strips"][-1][1][0]) for n in range(3)]
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 12]
    for before, after in itertools.pairwise(pieces):
        np.testing.assert_array_equal(before[-1], after[0])
    np.testing.assert_allclose(np.diff(np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])[:, 0]), 1.01 * STEP_M, rtol=1e-4)


def test_a_disk_that_is_full_is_one_sentence(tmp_path):
    recording = Recording(server=None, file=tmp_path / "drive.rrd")
    before, limit = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limit[1]))
    try:
        Scene(recording.stream).mask(START, np.random.default_rng(1).integers(0, 5, (400, 400), np.uint8))
        with pytest.raises(BadInput, match=r"drive\.rrd: "):
            recording.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert not (tmp_path / "drive.rrd").exists()


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="a folder that exists"):
        Recording(server=None, file=tmp_path / "none" / "drive.rrd")
    with pytest.raises(BadInput, match="it is a directory"):
        Recording(server=None, file=tmp_path)
    (tmp_path / "drive.rrd.unfinished").mkdir()
    with pytest.raises(BadInput, match=r"drive\.rrd: Failed to create file"):
        Recording(server=None, file=tmp_path / "drive.rrd")
