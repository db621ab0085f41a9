"""Bags through the markings systems, without ROS: a car that drives past a painted rectangle and past one that nobody painted."""

import json

import numpy as np
import pytest
from worlds import CALIBRATION, T_BASE_CAMERA, T_BASE_LIDAR, K

from depth_perception.__main__ import main
from depth_perception.bag import Bag, Writer, messages
from depth_perception.bag import poses as bag_poses
from depth_perception.evaluation.marking_passes import Sources, judged, passed
from depth_perception.frame import BadInput, Scan
from depth_perception.geometry import camera, pose
from depth_perception.systems import reference_map
from depth_perception.systems.marking_classes import ZEBRA

START, TENTH, COUNT = 10**9, 10**8, 16
HEIGHT, WIDTH = CALIBRATION.height, CALIBRATION.width


def drive(path, *, frame_id="street", scans=True, depth_is=1.0, offset=(100.0, -50.0, 0.6)):
    """A bag of a car that goes 0.2 m an image, from `offset` (x, y, yaw) in its frame: true masks, and depth that is off by a factor."""
    rays = camera.rays(K, height=HEIGHT, width=WIDTH)
    with np.errstate(divide="ignore"):
        true = np.where(rays[..., 1] > 0.02, T_BASE_CAMERA[2, 3] / rays[..., 1], np.nan).astype(np.float32)
    body = pose.transform(T_BASE_CAMERA, rays * true[..., None])
    x, y = np.meshgrid(np.linspace(4, 25, 120), np.linspace(-6, 6, 80))
    road = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    rig = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]
    with Writer(path) as out:
        out.write("/tf_static", messages.transforms(rig, stamp_ns=START), START)
        for i in range(COUNT):
            stamp = START + i * TENTH
            if scans:
                scan = Scan(pose.transform(pose.inverse(T_BASE_LIDAR), road).astype(np.float32), stamp, frame_id="lidar")
                out.write("/points", messages.points(scan), stamp)
            out.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
            mask = zebra(body, ahead=8.0 - 0.2 * i)
            picture = np.where(mask[..., None] > 0, 250, 60).astype(np.uint8).repeat(3, 2)
            out.write("/camera/image", messages.image(picture, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            out.write("/truth/markings", messages.image(mask, "mono8", stamp_ns=stamp, frame_id="camera"), stamp)
            out.write("/truth/depth", messages.image(true * np.float32(depth_is), "32FC1", stamp_ns=stamp, frame_id="camera"), stamp)
            T = placed(offset) @ pose.from_rotation_vector(np.zeros(3), np.array([0.2 * i, 0.0, 0.0]))
            out.write("/whereabouts", messages.odometry(T, stamp_ns=stamp, frame_id=frame_id), stamp)
    return path


def zebra(body, *, ahead):
    """The mask of the painted rectangle, 3 x 3 m, whose near edge is so far ahead."""
    inside = (body[..., 0] > ahead) & (body[..., 0] < ahead + 3) & (body[..., 1] > -1) & (body[..., 1] < 2)
    return (inside * ZEBRA).astype(np.uint8)


def placed(where):
    return pose.from_rotation_vector(np.array([0, 0, where[2]]), np.array([where[0], where[1], 0.0]))


def street(folder, *, offset=(100.0, -50.0, 0.6), frame="street", **about):
    """The map: what is painted, and a rectangle beside it."""
    features = []
    for name, y in (("here", -1.0), ("gone", 2.5)):
        corners = np.array([(8, y, 0), (11, y, 0), (11, y + 3, 0), (8, y + 3, 0), (8, y, 0)], float)
        shape = {"type": "Polygon", "coordinates": [pose.transform(placed(offset), corners)[:, :2].tolist()]}
        features.append({"type": "Feature", "id": name, "geometry": shape, "properties": {"class": "zebra crossing"}})
    (folder / "map.geojson").write_text(json.dumps({"type": "FeatureCollection", "frame": frame, "features": features, **about}))
    return folder / "map.geojson"


GIVEN = {"masks": "/truth/markings", "depth": "/truth/depth"}


def test_what_the_map_has_and_the_road_has_not_is_found_in_a_bag(tmp_path):
    known = reference_map.read(street(tmp_path, origin={"lat": 49.0, "lon": 8.4, "heading_deg": 0.0}))
    found = judged([drive(tmp_path / "a"), drive(tmp_path / "b")], known, sources=Sources(**GIVEN))
    assert {one.id: (one.state, one.passes) for one in found.verdicts} == {"here": ("intact", 2), "gone": ("missing", 2)}
    report = json.loads(found.geojson)
    assert report["frame"] == "WGS84", "a map that knows where it lies on Earth has a report that does"
    longitude, latitude = report["features"][0]["geometry"]["coordinates"][0][0]
    assert 8.39 < longitude < 8.41 and 48.99 < latitude < 49.01


def test_the_road_is_the_scan_s_where_there_is_one(tmp_path):
    off = Sources(**GIVEN)
    with_scan, without = (drive(tmp_path / name, scans=scans, depth_is=1.3) for name, scans in (("a", True), ("b", False)))
    ahead = [next(passed(path, sources=off))[1].instances[0].centre[0] for path in (with_scan, without)]
    assert ahead[0] == pytest.approx(9.5, abs=0.2) and ahead[1] > 11.0


def test_poses_say_what_frame_they_are_in(tmp_path):
    bag = drive(tmp_path / "a", frame_id="/odom")
    assert bag_poses.find(Bag(bag)).world == "odom"
    known = reference_map.read(street(tmp_path))
    with pytest.raises(BadInput, match=r"--map: is in frame 'street', the poses of .* in 'odom'"):
        judged([bag], known, sources=Sources(**GIVEN))
    assert {one.state for one in judged([bag], known, sources=Sources(**GIVEN, frame="street")).verdicts} == {"intact", "missing"}
    with pytest.raises(BadInput, match="--frame: wanted the name of the frame"):
        judged([drive(tmp_path / "b", frame_id="")], known, sources=Sources(**GIVEN))


def test_a_map_is_in_the_frame_of_its_poses(tmp_path, capsys):
    command = ["map-markings", "--bag", str(drive(tmp_path / "a")), "--masks", "/truth/markings", "--depth", "/truth/depth", "--out"]
    assert main([*command, str(tmp_path / "made.geojson")]) == 0
    made = reference_map.read(tmp_path / "made.geojson")
    assert made.frame == "street"
    (one,) = made.references
    np.testing.assert_allclose(one.box[0], pose.transform(placed((100.0, -50.0, 0.6)), np.array([[9.5, 0.5, 0.0]]))[0, :2], atol=0.25)
    other = drive(tmp_path / "b", frame_id="odom")
    command[2:3] = [command[2], str(other)]
    assert main([*command, str(tmp_path / "two.geojson")]) == 2
    assert "wanted poses in one frame" in capsys.readouterr().err and not (tmp_path / "two.geojson").exists()


def test_predict_refuses_a_map_before_it_writes(tmp_path, capsys):
    bag = drive(tmp_path / "a", frame_id="odom")
    assert main(["predict", "markings", str(bag), "--map", str(street(tmp_path)), "--out", str(tmp_path / "out")]) == 2
    assert "the poses of" in capsys.readouterr().err and not list((tmp_path / "out").glob("*"))
