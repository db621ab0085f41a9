"""The command line: what it writes, and one sentence with exit code 2 for what cannot be."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from worlds import CALIBRATION, T_BASE_CAMERA, T_BASE_LIDAR, scan

from depth_perception import commands
from depth_perception.__main__ import main
from depth_perception.bag import Writer, messages

START, TENTH = 1_700_000_000_000_000_000, 100_000_000


@pytest.fixture(scope="module")
def drive_bag(tmp_path_factory):
    """Eight images of a car that nears a wall, scans, and the truth of where it went."""
    path = tmp_path_factory.mktemp("bag") / "drive"
    with Writer(path) as bag:
        bag.write(
            "/tf_static",
            messages.transforms([("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)], stamp_ns=START),
            START,
        )
        for i in range(8):
            stamp = START + (i + 1) * TENTH
            bag.write("/lidar/points", messages.points(scan(25.0 - i, stamp_ns=stamp - 30_000_000)), stamp - 30_000_000)
            bag.write(
                "/camera/image",
                messages.image(np.full((96, 192, 3), 40 + 10 * i, np.uint8), "rgb8", stamp_ns=stamp, frame_id="camera"),
                stamp,
            )
            bag.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
            T = np.eye(4)
            T[0, 3] = i
            bag.write("/truth/odometry", messages.odometry(T, stamp_ns=stamp), stamp)
    return path


def test_evaluate_depth_writes_the_contract_s_keys(drive_bag, tiny_model, tmp_path, capsys):
    assert main(["evaluate", "depth", "--bag", str(drive_bag), "--model", str(tiny_model), "--json", str(tmp_path / "j.json")]) == 0
    result = json.loads((tmp_path / "j.json").read_text())
    for name in ("metric", "median_scaled", "online_scaled"):
        assert set(result[name]) == {"abs_rel", "sq_rel", "rmse", "rmse_log", "d1", "d2", "d3"}
    assert result["frames"] == 8
    assert result["median_scaled"]["abs_rel"] < result["metric"]["abs_rel"]
    assert json.loads(capsys.readouterr().out) == result


def test_evaluate_odometry_finds_the_truth_in_the_bag(drive_bag, tiny_model, tmp_path):
    assert main(["evaluate", "odometry", "--bag", str(drive_bag), "--model", str(tiny_model), "--json", str(tmp_path / "j.json")]) == 0
    result = json.loads((tmp_path / "j.json").read_text())
    assert {"t_err_percent", "r_err_deg_per_100m", "ate_m", "scale_error", "path_m", "frames"} <= set(result)
    assert (result["path_m"], result["frames"], result["reference"]) == (7.0, 8, "/truth/odometry")
    assert [result[name]["path_m"] for name in ("predicted_road", "network")] == [7.0, 7.0]


def test_evaluate_bev(drive_bag, tiny_model, tmp_path):
    pytest.importorskip("open3d", exc_type=ImportError)
    assert main(["evaluate", "bev", "--bag", str(drive_bag), "--model", str(tiny_model), "--json", str(tmp_path / "j.json")]) == 0
    assert set(json.loads((tmp_path / "j.json").read_text())["by_range"]["0-40 m"]) == {
        "accuracy_m",
        "completeness_m",
        "f_score_0.2",
        "f_score_0.5",
    }


def test_predict_depth_of_images_is_metres_at_their_size(tiny_model, tmp_path):
    cv2.imwrite(str(tmp_path / "street.png"), np.full((60, 90, 3), 51, np.uint8))
    assert (
        main(
            ["predict", "depth", str(tmp_path / "street.png"), "--focal", "75", "--model", str(tiny_model), "--out", str(tmp_path / "out")]
        )
        == 0
    )
    depth = np.load(tmp_path / "out" / "street.npy")
    assert (depth.shape, depth.dtype) == ((60, 90), np.float32)
    # 5 + 40 * 0.2 canonical metres, for a camera of 75 px in 60 rows: 75 * 32 / 60 / 40 of them.
    np.testing.assert_allclose(depth, 13.0 * 75 * 32 / 60 / 40, rtol=1e-5)
    assert cv2.imread(str(tmp_path / "out" / "street.png")).shape == (60, 90, 3)


def test_predict_depth_of_a_bag_is_named_by_stamp(drive_bag, tiny_model, tmp_path):
    assert main(["predict", "depth", str(drive_bag), "--model", str(tiny_model), "--out", str(tmp_path)]) == 0
    assert sorted(file.name for file in tmp_path.glob("*.npy")) == [f"{START + (i + 1) * TENTH}.npy" for i in range(8)]


def refused(capsys, *argv):
    """The one sentence of a refused command."""
    assert main([str(word) for word in argv]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    return said[0]


def test_missing_and_truncated_bags(capsys, tiny_model, tmp_path):
    assert "absent" in refused(capsys, "evaluate", "depth", "--bag", tmp_path / "absent", "--model", tiny_model)
    (tmp_path / "cut.mcap").write_bytes(b"\x89MCAP0\r\n")
    assert "cut.mcap" in refused(capsys, "drive", "--bag", tmp_path / "cut.mcap", "--model", tiny_model)


def test_a_bag_without_a_camera(capsys, tiny_model, tmp_path):
    with Writer(tmp_path / "blind") as bag:
        bag.write("/chatter", messages.string("hello"), START)
    assert "no camera topic among /chatter" in refused(capsys, "evaluate", "bev", "--bag", tmp_path / "blind", "--model", tiny_model)


def test_a_camera_without_calibration(capsys, tiny_model, tmp_path):
    with Writer(tmp_path / "raw") as bag:
        bag.write("/image", messages.image(np.zeros((48, 64, 3), np.uint8), "rgb8", stamp_ns=START, frame_id="camera"), START)
    assert "no sensor_msgs/msg/CameraInfo for /image" in refused(
        capsys, "predict", "depth", tmp_path / "raw", "--model", tiny_model, "--out", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


def test_an_unknown_key_in_a_calibration(capsys, tiny_model, drive_bag, tmp_path):
    (tmp_path / "camera.yaml").write_text("width: 192\nheight: 96\nK: [1, 0, 0, 0, 1, 0, 0, 0, 1]\nfocal: 3\n")
    sentence = refused(capsys, "evaluate", "depth", "--bag", drive_bag, "--model", tiny_model, "--calibration", tmp_path / "camera.yaml")
    assert "unknown key 'focal'" in sentence


def test_no_model_and_no_verb(capsys, drive_bag, tmp_path):
    assert "not a model directory" in refused(capsys, "evaluate", "depth", "--bag", drive_bag, "--model", tmp_path)
    assert "wanted one of" in refused(capsys, "fly")


def test_help_of_every_verb_has_an_example():
    said = subprocess.run([sys.executable, "-m", "depth_perception"], capture_output=True, text=True)
    assert said.returncode == 2
    verbs = [line.split()[0] for line in said.stdout.splitlines() if line.startswith("  ")]
    assert {"simulate", "inspect", "train", "evaluate", "predict", "export", "drive", "demo", "bench"} <= set(verbs)
    for verb in verbs:
        with pytest.raises(SystemExit) as stopped:
            main([verb, "--help"])
        assert stopped.value.code == 0


def test_training_without_torch_says_how_to_get_it(capsys, drive_bag, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    for name in [
        name
        for name in sys.modules
        if name == "torch" or name.startswith(("torch.", "depth_perception.train.depth", "depth_perception.export"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "needs torch" in refused(capsys, "train", "depth", "--bag", drive_bag, "--out", tmp_path / "model", "--steps", "1")
    assert not (tmp_path / "model").exists()


def test_predict_never_overwrites_an_image_or_a_result(capsys, tiny_model, tmp_path):
    for name in ("a.png", "b.png", "b.bmp"):
        cv2.imwrite(str(tmp_path / name), np.full((60, 90, 3), 51, np.uint8))
    before = (tmp_path / "a.png").read_bytes()
    options = ("--focal", "75", "--model", tiny_model)
    assert "overwrite the image itself" in refused(capsys, "predict", "depth", tmp_path / "a.png", *options, "--out", tmp_path)
    assert (tmp_path / "a.png").read_bytes() == before
    assert "overwrite an earlier one" in refused(capsys, "predict", "depth", tmp_path, *options, "--out", tmp_path / "out")


def test_what_cannot_be_written_is_named(capsys, drive_bag, tiny_model, tmp_path):
    pytest.importorskip("open3d", exc_type=ImportError)
    (tmp_path / "file").write_text("")
    assert main(["evaluate", "bev", "--bag", str(drive_bag), "--model", str(tiny_model), "--json", str(tmp_path / "file" / "j.json")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert main(["evaluate", "bev", "--bag", str(drive_bag), "--model", str(tiny_model), "--json", str(tmp_path)]) == 2
    assert "it is a directory" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


# What every verb wants beside the option that names what it writes; none of it is there, for the door comes first.
WANTED = {
    "bench": [], "compile": [], "demo": [], "doctor": [], "inspect": ["absent"], "record": [], "setup-car": ["absent"], "simulate": [],
    "drive": ["--bag", "absent"], "evaluate": ["depth", "--bag", "absent"], "export": ["--model", "absent"], "loop": ["--into", "made"],
    "map-markings": ["--bag", "absent", "--out", "made"], "predict": ["depth", "absent", "--out", "made"],
    "train": ["depth", "--bag", "absent", "--out", "made"],
}


def written_by(verb):
    """What the options of a verb are to write, by name."""
    return importlib.import_module(f"depth_perception.commands.{verb.replace('-', '_')}").WRITES


def test_every_verb_says_what_it_writes(capsys):
    names = (name.replace("_", "-") for _, name, _ in pkgutil.iter_modules(commands.__path__) if not name.startswith("train_"))
    assert sorted(names) == sorted(WANTED)
    for verb in WANTED:
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        options = re.findall(r"^  (--(?:out|into|json|html|view-file))\b", capsys.readouterr().out, re.MULTILINE)
        assert set(options) <= {f"--{name.replace('_', '-')}" for name in written_by(verb)}, verb


@pytest.mark.parametrize(("verb", "name", "kind"), [(verb, *each) for verb in WANTED for each in written_by(verb).items()])
def test_what_cannot_be_written_is_refused_at_the_door(capsys, tmp_path, monkeypatch, verb, name, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    option, below = f"--{name.replace('_', '-')}", tmp_path / "file" / "x" / "y"
    wrong = tmp_path / "file" if kind == "directory" else tmp_path
    assert refused(capsys, verb, *WANTED[verb], option, below).endswith(f"{option}: {below} cannot be written: {tmp_path / 'file'} is no "
                                                                        "directory")
    assert f"{option}: {wrong}: wanted a {kind}" in refused(capsys, verb, *WANTED[verb], option, wrong)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"], "nothing is made by asking"


def test_drive_with_a_calibration_file_needs_no_camera_info_and_no_tf(tiny_model, tmp_path):
    """A bag of bare images and scans, driven over DDS with everything else from a file."""
    pytest.importorskip("rclpy")
    import yaml

    with Writer(tmp_path / "bare") as bag:
        for i in range(6):
            stamp = START + (i + 1) * TENTH
            bag.write("/lidar/points", messages.points(scan(25.0 - i, stamp_ns=stamp - 30_000_000)), stamp - 30_000_000)
            image = np.full((96, 192, 3), 40 + 10 * i, np.uint8)
            bag.write("/camera/image", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
    calibration = {
        "width": 192,
        "height": 96,
        "K": CALIBRATION.K.tolist(),
        "T_base_camera": T_BASE_CAMERA.tolist(),
        "T_camera_lidar": CALIBRATION.T_camera_lidar.tolist(),
    }
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump(calibration))
    out = tmp_path / "summary.json"
    assert (
        main(
            [
                "drive",
                "--bag",
                str(tmp_path / "bare"),
                "--rate",
                "0.3",
                "--calibration",
                str(tmp_path / "camera.yaml"),
                "--model",
                str(tiny_model),
                "--json",
                str(out),
            ]
        )
        == 0
    )
    summary = json.loads(out.read_text())
    assert (summary["depth"]["received"], summary["odometry"]["received"], summary["bev"]["received"]) == (6, 5, 6)
    assert summary["depth"]["scale"]["inliers"] > 50
    assert summary["metrics"]["odometry"] == {"not_scored": summary["metrics"]["odometry"]["not_scored"]}


def test_drive_refuses_before_it_plays(capsys, drive_bag, tiny_model, tmp_path):
    assert "no topic of" in refused(capsys, "drive", "--bag", drive_bag, "--model", tiny_model, "--reference", "/absent")
    with Writer(tmp_path / "raw") as bag:
        bag.write("/image", messages.image(np.zeros((48, 64, 3), np.uint8), "rgb8", stamp_ns=START, frame_id="camera"), START)
    assert "no sensor_msgs/msg/CameraInfo" in refused(capsys, "drive", "--bag", tmp_path / "raw", "--model", tiny_model)
