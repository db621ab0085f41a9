"""`train` and `export` as typed on a command line."""

import json

import numpy as np
import pytest
import yaml

from depth_perception import model
from depth_perception.__main__ import main
from depth_perception.engine import Engine
from depth_perception.frame import Calibration, Frame, Scan

K = np.array([[120.0, 0, 95.5], [0, 130, 47.5], [0, 0, 1]])


def drive(count=4):
    """Images of noise, and a scan of a wall 8 m ahead."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-2:2:20j, -4:4:40j]
    wall = np.stack([x, y, np.full_like(x, 8.0)], -1).reshape(-1, 3).astype(np.float32)
    for i in range(count):
        calibration = Calibration(K, 192, 96, T_camera_lidar=np.eye(4))
        yield Frame(rng.integers(0, 255, (96, 192, 3), np.uint8), i * 10**8, calibration, Scan(wall, i * 10**8))


@pytest.fixture
def bag(tmp_path, monkeypatch):
    from depth_perception.train import depth

    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: drive())
    return str(file)


@pytest.fixture
def tiny(tmp_path):
    file = tmp_path / "tiny.yaml"
    sizes = {"channels": [4, 4, 4, 4, 4]}
    file.write_text(yaml.safe_dump({"height": 64, "width": 128, "student": sizes, "s1": sizes, "pose": sizes, "fit": {"threads": 1}}))
    return str(file)


def test_train_ends_with_a_model_that_drives(bag, tiny, tmp_path, capsys):
    out, numbers = tmp_path / "model", tmp_path / "numbers.json"
    command = ["train", "depth", "--bag", bag, "--out", str(out), "--steps", "2", "--batch", "2", "--config", tiny, "--json", str(numbers)]
    assert main(command) == 0
    assert "2 steps" in capsys.readouterr().out
    result = json.loads(numbers.read_text())
    assert result["steps"] == 2 and result["export"]["largest_difference"]["depth"] < 2e-3
    assert Engine(model.load(out).onnx("depth")).outputs == {"depth": [1, 1, 64, 128]}
    assert model.load(out).lineage["command"].endswith(" ".join(command))

    page = (out / "report" / "index.html").read_text()
    assert command[-1] in page and "wall.mcap" in page and page.count("data:image/png;base64,") == 1 + 2  # the curve and two windows
    assert "<img src" not in page and "http" not in page  # self-contained

    longer = [*command[:7], "4", *command[8:], "--resume"]
    assert longer[6] == "--steps" and main(longer) == 0
    assert json.loads(numbers.read_text())["steps"] == 4
    assert main(["export", "--model", str(out), "--out", str(tmp_path / "copy")]) == 0
    assert model.load(tmp_path / "copy").onnx("pose").is_file()


@pytest.mark.parametrize(
    ("extra", "said"),
    [([], "--steps, --minutes or both"), (["--steps", "0"], "positive"), (["--steps", "1", "--batch", "1"], "--batch"),
     (["--steps", "1", "--init", "nowhere"], "nowhere"), (["--steps", "1", "--config", "nowhere.yaml"], "nowhere.yaml"),
     (["--steps", "1", "--resume"], "no checkpoint")],
)
def test_bad_input_is_one_sentence_and_exit_code_2(bag, tmp_path, capsys, extra, said):
    assert main(["train", "depth", "--bag", bag, "--out", str(tmp_path / "model"), *extra]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_the_page_tells_the_scores_and_the_json_the_best_step(bag, tiny, tmp_path, monkeypatch, capsys):
    from depth_perception.train import depth

    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: drive(14))
    out, numbers = tmp_path / "model", tmp_path / "numbers.json"
    command = ["train", "depth", "--bag", bag, "--out", str(out), "--steps", "3", "--batch", "2", "--config", tiny, "--json", str(numbers)]
    assert main(command) == 0
    result = json.loads(numbers.read_text())
    assert result["best"]["step"] in (0, 3) and result["last"]["step"] == 3 and "metric_abs_rel" in result["best"]
    assert f"held-out frames, weights of step {result['best']['step']}" in capsys.readouterr().out
    page = (out / "report" / "index.html").read_text()
    assert "Held-out frames" in page and "median_scaled_abs_rel" in page and page.count("data:image/png;base64,") == 2 + 1


def test_a_failed_export_leaves_the_last_model(bag, tiny, tmp_path, monkeypatch, capsys):
    import depth_perception.export

    out = tmp_path / "model"
    command = ["train", "depth", "--bag", bag, "--out", str(out), "--steps", "1", "--batch", "2", "--config", tiny]
    assert main(command) == 0
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file() and file.name != "checkpoint.safetensors"}

    def full(*args, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(depth_perception.export.np, "savez_compressed", full)
    capsys.readouterr()
    assert main([*command, "--seed", "7"]) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert {name: (out / name).read_bytes() for name in before} == before
    assert Engine(model.load(out).onnx("depth")).outputs == {"depth": [1, 1, 64, 128]}


def test_profile_tells_where_a_step_goes(bag, tiny, tmp_path, capsys):
    numbers = tmp_path / "profile.json"
    assert main(["train", "depth", "--bag", bag, "--out", str(tmp_path / "none"), "--profile", "--steps", "4", "--batch", "2",
                 "--config", tiny, "--json", str(numbers)]) == 0
    result = json.loads(numbers.read_text())
    assert sum(result["shares"].values()) == pytest.approx(1, abs=0.01) and len(result["rss_mb"]) == 4
    assert {"networks forward", "networks backward", "optimiser"} < set(result["shares"]) and 0 < result["losses_and_warps"] < 1
    assert result["loader_ms"] > 0 and not (tmp_path / "none").exists()
