"""evaluation.objects_offline, and the commands on it: a bag, a network that knows, its scores and files; what is refused."""

import json

import numpy as np
import pytest

from depth_perception import engine
from depth_perception.__main__ import main
from depth_perception.bag import Writer, kitti_labels, messages
from depth_perception.evaluation.objects_offline import to_find
from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.geometry import pillars, pose
from depth_perception.geometry.boxes import CLASSES, Box3D, encode
from depth_perception.geometry.grid import Grid
from depth_perception.model import Model, save_manifest

GRID = Grid(0.0, -12.8, 0.4, 64, 64)
OUT = GRID.coarser(2)
T_BASE_CAMERA = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]])
T_BASE_LIDAR = pose.from_rotation_vector(np.zeros(3), np.array([1.0, 0, 1.8]))
CALIBRATION = Calibration(np.array([[100.0, 0, 63.5], [0, 100, 31.5], [0, 0, 1]]), 128, 64, "camera", T_BASE_CAMERA,
                          pose.inverse(T_BASE_CAMERA) @ T_BASE_LIDAR)
CAR = Box3D("car", 1.0, np.array([12.0, 1.0, 0.75]), np.array([4.0, 1.8, 1.5]), 0.3)
MAN = Box3D("pedestrian", 1.0, np.array([9.0, -2.0, 0.9]), np.array([0.6, 0.5, 1.8]), -2.0)
HIDDEN = Box3D("car", 1.0, np.array([20.0, 4.0, 0.75]), np.array([4.0, 1.8, 1.5]), 0.0)  # nothing returns from it
ASIDE = Box3D("car", 1.0, np.array([3.0, 9.0, 0.75]), np.array([4.0, 1.8, 1.5]), 0.0)  # the camera does not see it
STAMPS = [10**9 + i * 10**8 for i in range(3)]


def scan(stamp_ns=0, *, ahead=True):
    rng = np.random.default_rng(1)
    road = np.column_stack([rng.uniform([0, -12], [25, 12], (3000, 2)), np.zeros(3000)])
    things = [box.centre + rng.uniform(-0.2, 0.2, (20, 3)) for box in (CAR, MAN, ASIDE)]
    points = np.vstack([road, *things]) if ahead else np.vstack([road, *things]) * [-1, 1, 1]
    return Scan(pose.transform(pose.inverse(T_BASE_LIDAR), points).astype(np.float32), stamp_ns)


def cube(box, stamp):
    T = pose.from_rotation_vector(np.array([0, 0, box.yaw]), box.centre)
    return messages.make("visualization_msgs/msg/Marker", header=messages.header(stamp, "base_link"), ns=box.label, type=1,
                         pose=messages.pose_of(T), scale=messages.vector(box.size))


def written(path, *, boxes=(CAR, MAN, HIDDEN, ASIDE), with_scan=True, ahead=True, labelled=STAMPS):
    with Writer(path) as bag:
        links = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]
        bag.write("/tf_static", messages.transforms(links, stamp_ns=0), STAMPS[0])
        for stamp in STAMPS:
            if with_scan:
                bag.write("/lidar/points", messages.points(scan(stamp, ahead=ahead)), stamp)
            image = np.full((64, 128, 3), 80, np.uint8)
            bag.write("/camera/image", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            bag.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
            if stamp in labelled:
                cubes = [cube(box, stamp) for box in boxes]
                bag.write("/truth/boxes", messages.make("visualization_msgs/msg/MarkerArray", markers=cubes), stamp)
    return path


@pytest.fixture
def knowing(tmp_path, monkeypatch):
    """A model directory whose networks answer CAR, MAN and, half as sure, ASIDE; the image's misses the man."""
    config = {"grid": {"x_m": GRID.x_m, "y_m": GRID.y_m, "cell_m": GRID.cell_m, "rows": GRID.rows, "columns": GRID.columns},
              "depths": [2.0, 8.0, 30.0], "classes": list(CLASSES)}
    image = {"image": [1, 3, 32, 64], "polar": [1, OUT.rows, OUT.columns, 2]}
    cloud = {"pillars": [1, pillars.CHANNELS, GRID.rows, GRID.columns]}
    inputs = {"both": image | cloud, "image": image, "cloud": cloud}
    networks = {name: {"config": config, "inputs": shapes} for name, shapes in inputs.items()}
    folder = tmp_path / "model"
    folder.mkdir()
    save_manifest(Model(folder, "objects", networks, height=32, width=64, canonical_focal_px=50.0))

    def load(model, name, threads=2):
        boxes = [(CAR, 0.9), (ASIDE, 0.5)] + ([(MAN, 0.8)] if name != "image" else [])

        def infer(**arrays):
            assert {key: list(array.shape) for key, array in arrays.items()} == networks[name]["inputs"]
            heat, values = np.zeros((1, 4, OUT.rows, OUT.columns), np.float32), np.zeros((1, 8, OUT.rows, OUT.columns), np.float32)
            for (box, score), cell, value in zip(boxes, *encode([box for box, _ in boxes], OUT), strict=True):
                heat.reshape(4, -1)[CLASSES.index(box.label), cell] = score
                values.reshape(8, -1)[:, cell] = value
            return {"heat": heat, "boxes": values, "features": np.ones((1, 2, OUT.rows, OUT.columns), np.float32)}

        return infer

    monkeypatch.setattr(engine, "load", load)
    return folder


def evaluated(*arguments, out):
    assert main(["evaluate", "objects", *map(str, arguments), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def refused(capsys, *arguments):
    assert main([str(each) for each in arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    return said[-1]


def test_every_modality_is_scored_on_the_same_boxes(knowing, tmp_path):
    result = evaluated("--bag", written(tmp_path / "bag"), "--model", knowing, out=tmp_path / "j.json")
    assert {"map", "per_class", "per_range"} <= set(result)
    assert (result["modality"], result["map"], result["frames"], result["truths"], result["left_out"]) == ("both", 1.0, 3, 6, {})
    assert list(result["per_modality"]) == ["both", "image", "cloud"]
    assert [one["map"] for one in result["per_modality"].values()] == [1.0, 0.5, 1.0]  # the man is missed by the image's
    assert result["per_modality"]["image"]["per_class"]["pedestrian"]["ap"] == 0
    assert result["per_range"]["0-20"]["truths"] == 6 and result["centre_m"] < 1e-3


def test_one_modality_and_frames_without_labels(knowing, tmp_path):
    bag = written(tmp_path / "bag", labelled=STAMPS[:1])
    result = evaluated("--bag", bag, "--model", knowing, "--modality", "cloud", out=tmp_path / "j.json")
    assert (result["modality"], result["frames"], result["left_out"]) == ("cloud", 1, {"no labels": 2})


def test_an_image_model_needs_no_scan(knowing, tmp_path):
    bag = written(tmp_path / "bag", with_scan=False, boxes=(CAR, ASIDE))
    result = evaluated("--bag", bag, "--model", knowing, "--modality", "image", out=tmp_path / "j.json")
    assert (result["map"], result["frames"]) == (pytest.approx(1.0), 3)


def test_labels_from_files(knowing, tmp_path):
    for number in (0, 2):
        kitti_labels.write(tmp_path / "label_2" / f"{number:06d}.txt", [CAR, MAN], CALIBRATION)
    bag = written(tmp_path / "bag", labelled=[])
    result = evaluated("--bag", bag, "--model", knowing, "--labels", tmp_path / "label_2", out=tmp_path / "j.json")
    assert (result["frames"], result["truths"], result["left_out"]) == (2, 4, {"no labels": 1})
    # What is found beside the camera's view has no label in its files, as nothing there has: it is no mistake.
    assert result["per_class"]["car"]["ap"] == 1


def test_a_label_beside_the_image_says_that_others_would_be_there_too(knowing, tmp_path):
    far_aside = Box3D("truck", 1.0, np.array([4.0, -11.0, 1.5]), np.array([8.0, 2.5, 3.0]), 0.0)
    cut = Box3D("truck", 1.0, np.array([9.0, -5.6, 1.5]), np.array([8.0, 2.5, 3.0]), 0.0)  # its middle is beside the image, its nose in it
    for name, other, wanted in (("all", far_aside, (89 * 0.9 + 0.4) / 81), ("image", cut, 1.0)):
        bag = written(tmp_path / name, boxes=(CAR, MAN, other))
        result = evaluated("--bag", bag, "--model", knowing, "--modality", "cloud", out=tmp_path / "j.json")
        assert result["per_class"]["car"]["ap"] == pytest.approx(wanted, abs=1e-3), name


def test_what_must_be_found():
    frame = Frame(np.zeros((64, 128, 3), np.uint8), 0, CALIBRATION, scan())
    far = Box3D("car", 1.0, np.array([90.0, 0, 0.75]), np.array([4.0, 1.8, 1.5]), 0.0)
    needed, needless = to_find([CAR, HIDDEN, ASIDE, far, MAN], frame, GRID)
    assert needed == [CAR, MAN] and needless == [HIDDEN, ASIDE, far]
    assert to_find([CAR], frame, GRID, min_returns=10_000) == ([], [CAR])
    with pytest.raises(BadInput, match="place on the body"):
        to_find([CAR], Frame(frame.image, 0, Calibration(CALIBRATION.K, 128, 64)), GRID)


def test_what_evaluate_refuses(knowing, tmp_path, capsys, tiny_model):
    bag = written(tmp_path / "bag")
    assert "it is one of depth" in refused(capsys, "evaluate", "objects", "--bag", bag, "--model", tiny_model)
    blind = written(tmp_path / "blind", with_scan=False)
    assert "3 with no LiDAR scan" in refused(capsys, "evaluate", "objects", "--bag", blind, "--model", knowing)
    apart = written(tmp_path / "apart", ahead=False)
    assert "they never overlap" in refused(capsys, "evaluate", "objects", "--bag", apart, "--model", knowing)
    unlabelled = written(tmp_path / "unlabelled", labelled=[])
    assert "labels /truth/boxes: wanted" in refused(capsys, "evaluate", "objects", "--bag", unlabelled, "--model", knowing)
    sentence = refused(capsys, "evaluate", "objects", "--bag", bag, "--model", knowing, "--labels", "/tmp/none/there")
    assert "labels /tmp/none/there: wanted" in sentence
    manifest = json.loads((knowing / "manifest.json").read_text())
    del manifest["networks"]["image"]
    (knowing / "manifest.json").write_text(json.dumps(manifest))
    sentence = refused(capsys, "evaluate", "objects", "--bag", bag, "--model", knowing, "--modality", "image")
    assert "--modality image: model" in sentence and "has both, cloud" in sentence
    assert "`evaluate depth` does not" in refused(capsys, "evaluate", "depth", "--bag", bag, "--model", tiny_model, "--labels", "/x")


def test_predict_writes_boxes_and_pictures(knowing, tmp_path, capsys):
    bag = written(tmp_path / "bag")
    assert main(["predict", "objects", str(bag), "--model", str(knowing), "--out", str(tmp_path / "out")]) == 0
    assert "6 car" in (said := capsys.readouterr().out) and "3 pedestrian" in said
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == sorted(f"{stamp}{suffix}" for stamp in STAMPS for suffix in (".json", ".png", ".above.png"))
    found = json.loads((tmp_path / "out" / f"{STAMPS[0]}.json").read_text())
    assert (found["modality"], found["frame"], found["stamp_ns"]) == ("both", "base_link", STAMPS[0])
    car = found["boxes"][0]
    assert (car["label"], car["score"]) == ("car", 0.9)
    np.testing.assert_allclose([*car["centre"], *car["size"], car["yaw"]], [*CAR.centre, *CAR.size, CAR.yaw], atol=0.02)


def test_predict_from_a_single_image_says_that_the_lidar_is_missing(knowing, tmp_path, capsys):
    import cv2

    cv2.imwrite(str(tmp_path / "street.png"), np.full((64, 128, 3), 90, np.uint8))
    image, out = str(tmp_path / "street.png"), str(tmp_path / "out")
    arguments = ["predict", "objects", image, "--focal", "100", "--model", str(knowing), "--out", out]
    assert main(arguments) == 0
    assert "street: the LiDAR is silent: objects come from the image alone" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "street.json").read_text())
    assert (found["modality"], found["frame"], len(found["boxes"])) == ("image", "camera_body", 2)
    assert "wanted a scan" in refused(capsys, *arguments, "--modality", "cloud")


def without(knowing, *names):
    """The model, without some of its networks."""
    manifest = json.loads((knowing / "manifest.json").read_text())
    manifest["networks"] = {name: words for name, words in manifest["networks"].items() if name not in names}
    (knowing / "manifest.json").write_text(json.dumps(manifest))


def test_predict_goes_on_after_frames_that_have_no_answer(knowing, tmp_path, capsys):
    without(knowing, "image")
    bag = tmp_path / "bag"
    with Writer(bag) as writer:
        links = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]
        writer.write("/tf_static", messages.transforms(links, stamp_ns=0), STAMPS[0])
        for stamp in (STAMPS[0], STAMPS[0] + 10**8, STAMPS[0] + 10**9, STAMPS[0] + 2 * 10**9):
            if stamp != STAMPS[0]:
                writer.write("/camera/image", messages.image(np.full((64, 128, 3), 80, np.uint8), "rgb8", stamp_ns=stamp,
                                                             frame_id="camera"), stamp)
                writer.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
            else:
                writer.write("/lidar/points", messages.points(scan(stamp)), stamp)
    assert main(["predict", "objects", str(bag), "--model", str(knowing), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "objects of 1 images" in said.out and said.out.rstrip().endswith("; 2 left out")
    (line,) = [line for line in said.err.splitlines() if "left out" in line]
    assert line.startswith(f"{STAMPS[0] + 10**9}: left out: objects: the LiDAR is silent") and "no network for an image alone" in line
    assert {file.name.split(".")[0] for file in (tmp_path / "out").iterdir()} == {str(STAMPS[0] + 10**8)}


def test_predict_ends_when_no_frame_has_an_answer(knowing, tmp_path, capsys):
    without(knowing, "image")
    blind = written(tmp_path / "blind", with_scan=False)
    sentence = refused(capsys, "predict", "objects", blind, "--model", knowing, "--out", tmp_path / "out")
    assert "none of 3 images has an answer: objects: the LiDAR is silent" in sentence and not (tmp_path / "out").exists()


def test_predict_from_a_plain_image_stands_boxes_on_a_road_below_the_camera(knowing, tmp_path, capsys):
    import cv2

    manifest = json.loads((knowing / "manifest.json").read_text())
    manifest["networks"]["image"]["camera_m"] = 1.6
    (knowing / "manifest.json").write_text(json.dumps(manifest))
    cv2.imwrite(str(tmp_path / "street.png"), np.full((64, 128, 3), 90, np.uint8))
    image, out = str(tmp_path / "street.png"), str(tmp_path / "o")
    assert main(["predict", "objects", image, "--focal", "100", "--model", str(knowing), "--out", out]) == 0
    assert "how high the camera stands over the road: 1.6 m are assumed, as in training" in capsys.readouterr().err
    found = json.loads((tmp_path / "o" / "street.json").read_text())
    assert found["boxes"][0]["centre"][2] == pytest.approx(0.75 - 1.6, abs=0.01)
