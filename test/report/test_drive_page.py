"""The report of a drive: one file, whole, in a real browser, light and dark, on a phone, and without a network."""

from __future__ import annotations

import argparse
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import NAMES, Browser, program

from depth_perception.bag import FrameReader, Writer, messages
from depth_perception.evaluation.reference import Reference
from depth_perception.frame import Calibration
from depth_perception.geometry.boxes import Box3D
from depth_perception.report import charts, drive_page

START, TENTH = 1_700_000_000_000_000_000, 100_000_000
T_BASE_CAMERA = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.2], [0, 0, 0, 1]])
CAMERA = Calibration(np.array([[60.0, 0, 47.5], [0, 60, 23.5], [0, 0, 1]]), 96, 48, "camera", T_BASE_CAMERA)
IMAGES = 12


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Twelve images of a bag whose name would be a tag."""
    place = tmp_path_factory.mktemp("page") / "<b>bag"
    with Writer(place) as out:
        out.write("/tf_static", messages.transforms([("base_link", "camera", T_BASE_CAMERA)], stamp_ns=START), START)
        for k in range(IMAGES):
            stamp = START + k * TENTH
            out.write("/camera_info", messages.camera_info(CAMERA, stamp_ns=stamp), stamp)
            picture = np.full((48, 96, 3), 40 + 10 * k, np.uint8)
            out.write("/image", messages.image(picture, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
    return place


def drive(count=IMAGES - 1):
    """An observer that heard `count` answers, and the summary of them."""
    stamps = [START + k * TENTH for k in range(count)]
    kept = {
        "depth": {stamp: np.full((48, 96), 5.0, np.float32) for stamp in stamps},
        "confidence": {stamp: np.full((48, 96), 0.5, np.float32) for stamp in stamps},
        "cloud": {stamp: np.array([[5.0, 1, 0.5], [9, -2, 1]], np.float32) for stamp in stamps},
        "grid": {stamp: np.full((4, 6), 100, np.int8) for stamp in stamps},
        "mask": {stamp: np.zeros((48, 96), np.uint8) for stamp in stamps},
    }
    poses = [np.eye(4) for _ in stamps]
    for k, pose in enumerate(poses):
        pose[0, 3] = 3.0 * k
    box = Box3D("car", 0.9, np.array([10.0, 0, 0.8]), np.array([4.0, 1.8, 1.6]), 0.0)
    observer = SimpleNamespace(
        kept=kept.__getitem__, depth_stamps=stamps, objects=[(stamp, [box]) for stamp in stamps],
        trajectory=list(zip(stamps, poses, strict=True)),
        latencies=[{"total": 20.0 + k, "engine": 10.0, "odometry_total": 30.0} if k else {"total": 20.0} for k in range(count)],
        latency_stamps=stamps, scales=[{"scale": 1.02, "inliers": 400.0}] * count, scale_stamps=stamps)  # fmt: skip
    times = {"p50": 25.0, "p99": 30.0}
    summary = {
        "frames_in": IMAGES,
        "depth": {"received": count, "dropped": IMAGES - count, "engine_ms": times, "latency_ms": times,
                  "scale": {"scale": 1.02, "sigma": 0.01, "inliers": 400.0, "points": 500.0}},
        "odometry": {"received": count, "dropped": 0, "latency_ms": times},
        "bev": {"received": count, "dropped": 1, "latency_ms": times},
        "objects": {"received": count, "missed": 3, "latency_ms": {"p50": 40.0}},
        "node": {"images": IMAGES, "dropped": 1, "skipped": 1, "sentences": ["image: its header has no <stamp>"]},
        "not_played": {"/radar": "radar_msgs/msg/Scan"},
        "metrics": {"depth": {"published": {"abs_rel": 0.118, "rmse": 7.7}}, "odometry": {"not_scored": "the bag has no poses"},
                    "bev": {"by_range": {"0-10 m": {"accuracy_m": 0.2}}}},
        "rss_mb": 313.0, "start_to_active_s": 1.9, "engine": "CPU",
    }  # fmt: skip
    return observer, summary


@pytest.fixture(scope="module")
def page(bag, tmp_path_factory):
    """The page's path."""
    out = tmp_path_factory.mktemp("out")
    observer, summary = drive()
    reference = Reference(poses=np.stack([np.eye(4)] * 2), stamps_ns=np.array([START, START + TENTH]), frame="camera", source="truth.txt")
    args = argparse.Namespace(out=out, bag=bag, systems=["depth", "odometry", "bev", "objects"])
    drive_page.write(args, observer, summary, FrameReader(bag, pairing="nearest"), reference)
    return out / "report.html"


def test_it_is_one_file_with_everything_in_it(page):
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=[\"']?(?!data:)[^\"' >]+", text), "something is loaded"
    assert not re.search(r"url\(|@import|https?://", text)
    assert text.count("data:image/") == 4 * 5  # moments: depth, cloud, grid, objects, markings
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        ElementTree.fromstring(svg)
    assert "<b>bag" not in text and "&lt;b&gt;bag" in text and "no &lt;stamp&gt;" in text


def test_it_says_what_was_dropped_and_not_scored(page):
    text = page.read_text()
    for said in ("11 of 12", "1 dropped", "/radar was not played", "radar_msgs/msg/Scan is not installed", "the bag has no poses"):
        assert said in text, said
    assert "11.8 %" in text and "30 m" in text  # 10 steps of 3 m


def test_several_curves_have_a_legend_and_gaps():
    drawn = charts.lines([0, 1, 2], {"a": [1.0, None, 3.0], "<b>": [2.0, 2.0, 2.0]}, label="times", unit="ms")
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", drawn, re.S)[0])
    paths = [each.get("d") for each in svg.iter("path") if each.get("fill") == "none" and each.find("title") is not None]
    assert [path.count("M") for path in paths] == [2, 1]
    assert {"a", "<b>", "0 s", "2 s", "3"} <= {each.text for each in svg.iter("text")}
    assert charts.lines([], {}, label="times", unit="ms") == ""


def test_a_metre_is_as_long_in_x_as_in_y():
    square = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0.0]])
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", charts.paths({"way": square}, label="way"), re.S)[0])
    (path,) = (each.get("d") for each in svg.iter("path") if each.find("title") is not None)
    at = np.array([[float(v) for v in pair.split()] for pair in path[1:].split("L")])
    np.testing.assert_allclose(at[1] - at[0], -(at[2] - at[1])[::-1], atol=0.2)  # right, then as far up
    assert at[1, 0] > at[0, 0] and at[2, 1] < at[1, 1]
    assert charts.paths({}, label="way") == ""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if program() is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is on the PATH (Debian: apt-get install chromium)")
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


def test_a_browser_shows_it_and_asks_for_nothing(page, browser):
    browser.open(page.as_uri())
    assert [each for each in browser.requested if not each.startswith("data:")] == [page.as_uri()]
    assert browser.complaints == []
    headings = browser.value("[...document.querySelectorAll('h1, h2, h3')].map(e => e.textContent)")
    assert headings[0] == "Drive: <b>bag"
    assert {"What came out", "Latency", "Scale", "Trajectory", "What was dropped, and why", "Depth", "Moments", "Summary"} <= set(headings)
    assert browser.value("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt.length > 10)")
    assert browser.value("[...document.querySelectorAll('svg')].every(s => s.getAttribute('role') == 'img' && s.ariaLabel.length > 5)")
    cells = browser.value("[...document.querySelectorAll('table')[0].rows].map(r => [...r.cells].map(c => c.textContent))")
    assert cells[1] == ["depth", "12", "11", "1", "25", "30"] and cells[4] == ["objects", "12", "11", "3", "40", ""]
    assert browser.value("document.documentElement.lang") == "en"


def test_light_and_dark_by_the_system_and_by_the_button(page, browser):
    browser.open(page.as_uri())
    seen = {}
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        seen[scheme] = browser.value("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
        wanted = {"light": "Dark", "dark": "Light"}[scheme]  # the page hears of the change with its next drawing
        browser.value(f"""new Promise(done => {{
            const look = () => document.getElementById('scheme').textContent == '{wanted}' ? done() : setTimeout(look, 10); look(); }})""")
        assert browser.value("document.getElementById('scheme').textContent") == wanted
    assert _lightness(seen["light"][0]) > 240 > _lightness(seen["light"][1]) and _lightness(seen["light"][1]) < 40
    assert _lightness(seen["dark"][0]) < 40 and _lightness(seen["dark"][1]) > 200
    browser.value("document.getElementById('scheme').click()")  # the system is dark
    assert browser.value("getComputedStyle(document.body).backgroundColor") == seen["light"][0]
    browser.open(page.as_uri())  # remembered
    assert browser.value("getComputedStyle(document.body).backgroundColor") == seen["light"][0]
    browser.value("document.getElementById('scheme').click()")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == seen["dark"][0]
    assert browser.complaints == []


def test_on_a_phone_nothing_but_a_wide_table_is_wider_than_the_screen(page, browser):
    browser.sized(360, 740)
    browser.open(page.as_uri())
    assert browser.value("document.documentElement.scrollWidth") == 360
    wide = browser.value("[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 361 && "
                         "!e.closest('.wide') && !e.closest('pre') && !e.closest('svg')).length")
    assert wide == 0
    browser.sized(1200, 900)


def test_what_a_page_does_wrong_is_noticed(browser, tmp_path):
    (tmp_path / "bad.html").write_text("<script>console.error('no'); fetch('https://example.org/x').catch(() => 0); none();</script>")
    browser.open((tmp_path / "bad.html").as_uri())
    browser.until(lambda: any("ERR_NAME_NOT_RESOLVED" in each for each in browser.complaints), "the request to fail")
    assert "no" in browser.complaints and any("none is not defined" in each for each in browser.complaints)
    assert "https://example.org/x" in browser.requested


def _lightness(colour):
    return np.mean([int(v) for v in re.findall(r"\d+", colour)[:3]])
