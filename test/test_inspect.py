"""inspect: what it finds in a bag that is whole, and the sentences on one that is not."""

import json

import numpy as np
import pytest

from depth_perception.__main__ import main
from depth_perception.bag import Writer, messages
from depth_perception.commands.inspect import inspect
from depth_perception.frame import Calibration, Scan

START = 1_700_000_000_000_000_000
CAMERA = Calibration(np.array([[100.0, 0, 31], [0, 100, 23], [0, 0, 1]]), 64, 48, "optical")
T_LIDAR_OPTICAL = np.array([[0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, -0.2], [0, 0, 0, 1.0]])


WALL = np.repeat(np.random.default_rng(0).uniform(0, 255, (48, 84, 1)).astype(np.uint8), 3, 2)
LINKS = (("base_link", "lidar", np.eye(4)), ("lidar", "optical", T_LIDAR_OPTICAL))


def write(path, *, links=LINKS, with_points=True, missing=(), period=10**8):
    with Writer(path) as bag:
        if links:
            bag.write("/tf_static", messages.transforms(links, stamp_ns=START), START)
        for index in range(20):
            stamp = START + index * period
            if index in missing:
                continue
            if with_points:
                bag.write("/points", messages.points(Scan(np.ones((7, 3), np.float32), stamp, frame_id="lidar")), stamp)
            bag.write("/camera_info", messages.camera_info(CAMERA, stamp_ns=stamp), stamp)
            bag.write("/image", messages.image(WALL[:, index: index + 64], "rgb8", stamp_ns=stamp, frame_id="optical"), stamp)
    return path


def test_a_whole_bag(tmp_path):
    findings = inspect(write(tmp_path / "bag"))
    rows = {row["name"]: row for row in findings["topics"]}
    assert rows["/image"].items() >= {"name": "/image", "type": "sensor_msgs/msg/Image", "count": 20, "gaps": []}.items()
    assert [rows["/image"][key] for key in ("rate_hz", "largest_gap_s", "gap_at_s")] == pytest.approx([10, 0.1, 0])
    assert findings["chosen"] == {"image": "/image", "camera_info": "/camera_info", "points": "/points"}
    assert findings["calibration"]["T_camera_lidar"] == [[0, -1, 0, 0], [0, 0, -1, -0.2], [1, 0, 0, -0.5], [0, 0, 0, 1]]
    assert findings["frames"] == {"count": 20, "with_scan": 20, "points_per_scan": 7, "of": 20}
    assert findings["duration_s"] == pytest.approx(1.9)
    assert (findings["skipped"], findings["warnings"]) == ([], [])


@pytest.mark.parametrize(("options", "said"), [
    ({"with_points": False}, "no point cloud"),
    ({"links": ()}, "no transform between lidar and optical"),
    ({"links": (("lidar", "optical", T_LIDAR_OPTICAL),)}, None),
    ({"links": ()}, "no transform between base_link and optical"),
    ({"missing": range(5, 14)}, "/image: a gap of 1.00 s at 0.40 s"),
    ({"period": 5 * 10**8}, "/image: 2.0 images a second"),
    ({"missing": range(2, 20)}, "2 frames: learning needs"),
])
def test_what_would_be_missed_is_said(tmp_path, options, said):
    warnings = inspect(write(tmp_path / "bag", **options))["warnings"]
    assert any(said in sentence for sentence in warnings) if said else warnings == []


def test_a_calibration_file_that_disagrees_is_a_warning(tmp_path):
    (tmp_path / "car.yaml").write_text("width: 64\nheight: 48\nK: [120, 0, 31, 0, 100, 23, 0, 0, 1]\ncamera_frame: optical\n"
                                       "T_base_camera: [[0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, -0.2], [0, 0, 0, 1]]\n"
                                       "T_camera_lidar: [[0, -1, 0, 0], [0, 0, -1, -0.2], [1, 0, 0, -0.5], [0, 0, 0, 1]]\n")
    findings = inspect(write(tmp_path / "bag"), calibration=tmp_path / "car.yaml")
    assert findings["skipped"] == []
    assert len(findings["warnings"]) == 1
    assert "K: CameraInfo (fx 100.0" in findings["warnings"][0]


def test_a_bag_without_camera_is_still_described(tmp_path):
    with Writer(tmp_path / "bag") as bag:
        bag.write("/text", messages.string("x"), START)
    findings = inspect(tmp_path / "bag")
    assert findings["topics"][0]["name"] == "/text"
    assert findings["frames"] is None
    assert "no camera topic among /text" in findings["warnings"][0]


def test_the_verb(tmp_path, capsys):
    path = write(tmp_path / "bag", with_points=False)
    assert main(["inspect", str(path), "--json", str(tmp_path / "out" / "findings.json")]) == 0
    printed = capsys.readouterr().out
    for part in ("/camera_info", "10.00 Hz", "MB/min", "train depth ", "evaluate odometry",
                 "64x48 fx 100.0", "T_camera_lidar: missing", "frames       20, 0 of them", "no point cloud"):
        assert part in printed
    assert json.loads((tmp_path / "out" / "findings.json").read_text())["chosen"]["points"] is None
    assert main(["inspect", str(path), "--quick", "--html", str(tmp_path / "out" / "page.html")]) == 0
    capsys.readouterr()
    assert (tmp_path / "out" / "page.html").read_text().count("data:image/jpeg;base64,") == 6
    assert main(["inspect", str(path), "--frames", "3"]) == 2
    assert "frames: wanted a number from 20" in capsys.readouterr().err
    assert main(["inspect", str(path), "--odometry", "/nowhere"]) == 2
    capsys.readouterr()
    assert main(["inspect", "--bag", str(path), "--image-topic", "/nowhere"]) == 0
    assert "got /nowhere; there is /image" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "missing")]) == 2
    assert "nothing is there" in capsys.readouterr().err
    assert main(["inspect"]) == 2
