"""The page of an inspection: whole, safe, without a network, and saying what the findings say."""

import base64
import re
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from depth_perception.bag import Writer, messages
from depth_perception.frame import Calibration, Scan
from depth_perception.inspection import inspect
from depth_perception.report import charts, inspection

START = 1_700_000_000_000_000_000
CAMERA = Calibration(np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]]), 64, 48, "camera")


@pytest.fixture
def shown(tmp_path):
    """(findings, page) of a bag whose LiDAR sees one point in the middle of the picture, and which lacks <TF>."""
    wall = np.random.default_rng(0).uniform(60, 200, (48, 120, 1)).astype(np.uint8).repeat(3, 2)
    with Writer(tmp_path / "<b>bag") as bag:
        bag.write("/tf_static", messages.transforms([("camera", "lidar", np.eye(4))], stamp_ns=START), START)
        for k in range(40):
            stamp = START + k * 10**8
            bag.write("/points", messages.points(Scan(np.tile(np.float32([0, 0, 5]), (9, 1)), stamp, frame_id="lidar")), stamp)
            bag.write("/camera_info", messages.camera_info(CAMERA, stamp_ns=stamp), stamp)
            bag.write("/image", messages.image(wall[:, k: k + 64], "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
    album = []
    findings = inspect(tmp_path / "<b>bag", album=album)
    inspection.write(tmp_path / "page.html", findings, album)
    return findings, (tmp_path / "page.html").read_text()


def test_the_page_says_what_the_findings_say(shown):
    findings, page = shown
    assert "&lt;b&gt;bag" in page and "<b>bag" not in page
    for purpose, said in findings["fitness"].items():
        assert purpose in page and f">{said['verdict']}<" in page
    assert all(problem["remedy"] in page for problem in findings["problems"]) and findings["problems"]
    assert "http" not in page and "<script" not in page and "color-scheme: light dark" in page


def test_its_pictures_show_the_lidar(shown):
    _, page = shown
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(pictures) == 6
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)
    spread = picture.max(2).astype(int) - picture.min(2)  # the wall is grey, the point is not
    v, u = np.unravel_index(spread.argmax(), spread.shape)
    assert abs(v - 23.5) < 4 and abs(u - 31.5) < 4 and spread.max() > 60


def test_every_chart_is_well_formed(shown):
    _, page = shown
    drawn = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawn) >= 4 + 3  # a strip for each topic, two histograms, turning
    for svg in drawn:
        ElementTree.fromstring(svg)


def test_a_histogram_has_a_bar_for_each_count():
    bars = ElementTree.fromstring(re.search(r"<svg.*</svg>", charts.bars([0, 1, 2, 3], [2, 0, 4], label="a < b", unit="ms"), re.S)[0])
    heights = [float(bar.get("height")) for bar in bars.iter("rect")]
    assert heights == [heights[2] / 2, 0, heights[2]] and heights[2] > 100


def test_a_silence_is_red_only_where_messages_are_due():
    assert charts.ALARM in charts.strip([5, 0, 5], label="x", steady=True)
    assert 'fill-opacity="0.00"' in charts.strip([5, 0, 5], label="x", steady=False)


def test_a_curve_is_parted_by_what_is_not_known():
    path = re.search(r'<path d="(M[^"]*)" fill="none" stroke="#', charts.line([0, 1, 2, 3], [1, None, 2, 3], label="v", unit="m/s"))[1]
    assert path.count("M") == 2 and path.count("L") == 1
    assert charts.line([], [], label="v", unit="m/s") == "" and charts.line([0], [None], label="v", unit="m/s") == ""
