"""INT8 is calibrated with what `export` is told: frames spread over all bags, of the camera, LiDAR and calibration that are named."""

from itertools import zip_longest

import numpy as np
import pytest
import yaml
from variants import drive, trained, with_a_second_camera, without_camera_info

from depth_perception import model
from depth_perception.__main__ import main
from depth_perception.bag import FrameReader
from depth_perception.export import calibration
from depth_perception.frame import BadInput
from depth_perception.systems.network_input import prepare

SIZES = {"height": 64, "width": 96, "canonical_focal_px": 240.0}
SECOND = {"image_topic": "/second/image", "points_topic": "/second/points"}


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """A drive; the same with two cameras and two LiDARs; the same with a camera that nobody describes."""
    folder = tmp_path_factory.mktemp("drives")
    one = drive(folder / "drive")
    return {"one": one, "two": with_a_second_camera(one, folder / "two"), "bare": without_camera_info(one, folder / "bare")}


def prepared(bag, **reading):
    return [prepare(frame.image, height=64, width=96) for frame in FrameReader(bag, **reading)]


def in_turns(found):
    """All frames in the order in which they were read."""
    return [seen for pair in zip_longest(found.ranging, found.scoring) for seen in pair if seen is not None]


def points_of(found):
    """How many pixels each frame's LiDAR tells of."""
    return [int(np.isfinite(seen.truth).sum()) for seen in in_turns(found)]


def test_of_several_cameras_and_lidars_the_named_ones_are_read(bags):
    for reading, words in (({}, "several camera topics: .*; say which with --image-topic"),
                           ({"image_topic": "/second/image"}, "several point clouds: .*; say which with --points-topic")):
        with pytest.raises(BadInput, match=words):
            calibration.read(bags["two"], **SIZES, reading=reading)
    first, second = calibration.read(bags["one"], **SIZES), calibration.read(bags["two"], **SIZES, reading=SECOND)
    images = prepared(bags["two"], **SECOND)
    for k, seen in enumerate(in_turns(second)):
        assert np.array_equal(seen.images[0], images[k]) and np.array_equal(seen.images[1], images[k + 1])
    assert second.sha256 != first.sha256, "it is upside down"
    assert all(0 < few < many for few, many in zip(points_of(second), points_of(first), strict=True)), "it sees every other point"
    named = calibration.read(bags["two"], **SIZES, reading={"image_topic": "/camera/image", "points_topic": "/lidar/points"})
    assert (named.sha256, points_of(named)) == (first.sha256, points_of(first))


def test_the_command_calibrates_with_the_camera_that_it_is_told(bags, tmp_path, capsys):
    trained(tmp_path / "m")
    before = sorted(file.name for file in (tmp_path / "m").iterdir())
    command = ["export", "--model", str(tmp_path / "m"), "--precision", "int8", "--bag", str(bags["two"])]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("several camera topics: /camera/image, /second/image; say which with --image-topic")
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == before
    assert main([*command, "--image-topic", "/second/image", "--points-topic", "/second/points"]) == 0
    words = model.load(tmp_path / "m").lineage["export"]
    assert words["calibration"]["sha256"] == calibration.read(bags["two"], **SIZES, reading=SECOND).sha256
    assert "abs_rel" in words["variants"]["int8"]["depth"]["on_the_bag"]
    assert (tmp_path / "m" / "depth.int8.cpu.onnx").is_file()


def test_a_calibration_file_stands_in_for_camera_info(bags, tmp_path, capsys):
    trained(tmp_path / "m")
    command = ["export", "--model", str(tmp_path / "m"), "--precision", "int8", "--bag", str(bags["bare"])]
    assert main(command) == 2
    assert "no sensor_msgs/msg/CameraInfo for /camera/image; give a calibration file" in capsys.readouterr().err
    camera = FrameReader(bags["one"]).calibration
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump({"width": camera.width, "height": camera.height, "K": camera.K.tolist()}))
    assert main([*command, "--calibration", str(tmp_path / "camera.yaml")]) == 0
    known = calibration.read(bags["one"], **SIZES)
    assert model.load(tmp_path / "m").lineage["export"]["calibration"]["sha256"] == known.sha256
    told = calibration.read(bags["bare"], **SIZES, reading={"calibration": tmp_path / "camera.yaml"})
    assert points_of(told) == points_of(known)
    assert [seen.ratio for seen in told.scoring] == pytest.approx([seen.ratio for seen in known.scoring])


def test_frames_are_spread_over_all_bags(bags, monkeypatch):
    """Every fifth of forty images that has one before it in its own bag: not the first of the second bag."""
    monkeypatch.setattr(calibration, "_MOST", 8)
    monkeypatch.setattr(calibration, "_LEAST", 4)
    said = []
    found = calibration.read([bags["one"], bags["one"]], **SIZES, tell=said.append)
    assert said == [f"reading {bags['one']}"] * 2
    images = prepared(bags["one"])
    wanted = [5, 10, 15] * 2
    for k, seen in zip(wanted, in_turns(found), strict=True):
        assert np.array_equal(seen.images[0], images[k - 1]) and np.array_equal(seen.images[1], images[k])
    assert found.bags == ["drive", "drive"]


def test_frames_are_spread_over_the_whole_of_a_bag(bags, monkeypatch):
    """Of twenty images at most twelve: every other one up to the last, and not the first twelve."""
    monkeypatch.setattr(calibration, "_MOST", 12)
    images = prepared(bags["one"])
    found = in_turns(calibration.read(bags["one"], **SIZES))
    assert [next(k for k in range(20) if np.array_equal(images[k], seen.images[1])) for seen in found] == list(range(2, 20, 2))


def test_bags_that_are_shorter_than_the_step_between_frames_are_read_all_the_same(bags, monkeypatch):
    """Twelve bags of twenty images and ten frames at most: every 24th image, the one at the beginning of a bag left out."""
    monkeypatch.setattr(calibration, "_MOST", 10)
    images = prepared(bags["one"])
    found = in_turns(calibration.read(12 * [bags["one"]], **SIZES))
    wanted = [k % 20 for k in range(0, 240, 24) if k % 20]
    assert len(wanted) == 8
    for k, seen in zip(wanted, found, strict=True):
        assert np.array_equal(seen.images[0], images[k - 1]) and np.array_equal(seen.images[1], images[k])


def test_too_few_images_in_all_bags_are_a_sentence(bags, monkeypatch):
    monkeypatch.setattr(calibration, "_LEAST", 50)
    with pytest.raises(BadInput, match=r"--bag \S*drive \S*drive: wanted at least 52 images to calibrate INT8 with, got 40"):
        calibration.read([bags["one"]] * 2, **SIZES)


def test_the_command_takes_several_bags(bags, tmp_path, capsys):
    trained(tmp_path / "m")
    assert main(["export", "--model", str(tmp_path / "m"), "--precision", "fp16,int8", "--bag", *2 * [str(bags["one"])]]) == 0
    words = model.load(tmp_path / "m").lineage["export"]
    assert set(words["variants"]) == {"fp32", "fp16", "int8"} and words["calibration"]["bags"] == ["drive", "drive"]
    assert words["calibration"]["frames"] == 19 and words["variants"]["int8"]["pose"]["on_the_bag"]["frames"] == 19
    assert capsys.readouterr().out.count(f"reading {bags['one']}\n") == 2
