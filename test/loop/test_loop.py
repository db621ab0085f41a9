"""The loop itself, with real training, scoring and proofs: it promotes what is better, refuses what is poisoned, and survives kills."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (make environment)")
pytest.importorskip("open3d", reason="needs open3d for the simulated drives (make environment)")

from depth_perception import engine, model
from depth_perception.__main__ import main
from depth_perception.bag import Bag, Writer
from depth_perception.loop import Store

# A truck: the shipped model has never been so high above the road.
TRUCK = ("--camera-height", "2.6", "--width", "416", "--height", "128", "--lidar-columns", "512", "--no-truth")
RECIPE = {"match": 0.0, "smooth": 0.0, "motion": 0.0, "distance_mode": "relative", "validate": 0.0, "keep_init": 0.3,
          "samples": {"min_motion_m": 0.0}, "fit": {"learning_rate": 0.002, "threads": 2, "checkpoint_s": 0, "snapshot_every": 4}}
STEPS = 24


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """Two short drives of a truck, and one that its driver's hands have shuffled."""
    folder = tmp_path_factory.mktemp("drives")
    for seed in (11, 12):
        assert main(["simulate", "--seconds", "3", "--seed", str(seed), *TRUCK, "--out", str(folder / f"truck_{seed}")]) == 0
    return folder


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text(json.dumps(RECIPE))
    # So few steps make the metres right long before the shapes: what may become worse is test_verdict's.
    return ["--config", str(tmp_path / "recipe.yaml"), "--steps", str(STEPS), "--batch", "4", "--tolerance", "0.5",
            "--json", str(tmp_path / "said.json")]


def rewritten(source, out, change):
    """A bag whose messages have gone through `change(topic, message, stamp)`, which gives (message, stamp)."""
    bag = Bag(source)
    with Writer(out) as new:
        rows = [(topic, *change(topic, bag.decode(kind, raw), log_ns)) for topic, kind, log_ns, raw in bag.messages()]
        for topic, message, log_ns in sorted(rows, key=lambda row: row[2]):
            new.write(topic, message, log_ns)
    return out


def shuffled(topic, message, log_ns, seen=[0]):  # noqa: B006
    if topic == "/camera/image":
        seen[0] += 1
        message.header.stamp.sec += (7 * seen[0]) % 5
    return message, log_ns


def black(topic, message, log_ns):
    if topic == "/camera/image":
        message.data = np.zeros_like(message.data)
    return message, log_ns


def longer_lens(topic, message, log_ns):
    if topic == "/camera/camera_info":
        message.k = message.k * np.array([1.3, 1, 1, 1, 1.3, 1, 1, 1, 1])
        message.p = message.p * np.array([1.3, 1, 1, 1, 1, 1.3, 1, 1, 1, 1, 1, 1])
    return message, log_ns


def works(into):
    """What is current answers its self-test."""
    opened = model.load(into / "current")
    return all(engine.load(opened, name, device="cpu").proof.difference < 1e-3 for name in ("depth", "pose"))


def test_a_night_of_the_fleet(drives, recipe, tmp_path, capsys):
    into = tmp_path / "models"
    said = tmp_path / "said.json"
    poisoned = tmp_path / "drives" / "poisoned"
    for name, change in (("shuffled", shuffled), ("black", black), ("lens", longer_lens)):
        (poisoned / name).parent.mkdir(parents=True, exist_ok=True)
        rewritten(drives / "truck_11", poisoned / name, change)

    # Only poison: nothing is learned, everything is named, and the first model drives on.
    assert main(["loop", "--bag", str(poisoned), "--into", str(into), *recipe]) == 4
    refused = json.loads(next((into / "loop" / "runs").glob("*/inspect.json")).read_text())["refused"]
    for name, word in (("black", "black"), ("lens", "focal length"), ("shuffled", "backwards")):
        assert word in refused[str(poisoned / name)]
    assert len(refused) == 3
    assert (into / "current").resolve().name == "0001"
    assert main(["loop", "--bag", str(poisoned), "--into", str(into), *recipe]) == 3, "and not looked at twice"

    # The truck's own drives: better where it drove, proven, compiled if asked, promoted with its lineage.
    assert main(["loop", "--bag", str(drives), str(poisoned), "--into", str(into), *recipe]) == 0
    assert json.loads(said.read_text())["outcome"] == "promoted"
    facts = json.loads((into / "current" / "promotion.json").read_text())
    assert [each["path"].rsplit("/", 1)[-1] for each in facts["bags"]] == ["truck_11", "truck_12"]
    assert facts["replaces"] == "0001" and facts["gain"] > 0.02
    for row in facts["scores"]:
        assert row["new"] and row["after"]["metric"]["abs_rel"] < row["before"]["metric"]["abs_rel"]
    assert facts["selftest"]["depth"] < 1e-3
    lineage = model.load(into / "current").lineage
    assert [bag["name"] for bag in lineage["bags"]] == ["truck_11", "truck_12"]
    assert works(into)
    status = json.loads((into / "loop" / "status.json").read_text())
    assert (status["state"], status["outcome"], status["current"], status["exit_code"]) == ("idle", "promoted", "0002", 0)
    run = max((into / "loop" / "runs").iterdir())
    assert "AbsRel on held-out stretches" in (run / "report.html").read_text()
    assert not (run / "candidate").exists()
    held = sorted(path.name for path in (into / "loop" / "held").iterdir())
    assert len(held) == 2

    # Nothing that was held out was learned from.
    config = json.loads((run / "trained.json").read_text())
    assert config["steps"] == STEPS
    first = Bag(into / "loop" / "held" / held[0]).start_ns
    whole = Bag(drives / "truck_11")
    assert first > whole.start_ns + 0.8 * (whole.end_ns - whole.start_ns)

    # Again from the same drives, with a recipe that ruins it: the earlier stretches tell, and it is not promoted.
    (tmp_path / "bad.yaml").write_text(json.dumps(RECIPE | {"fit": {"learning_rate": 0.3, "threads": 2}}))
    words = ["--config", str(tmp_path / "bad.yaml"), "--steps", "6", "--batch", "4", "--again", "--json", str(said)]
    assert main(["loop", "--bag", str(drives), "--into", str(into), *words]) in (5, 6)
    assert (into / "current").resolve().name == "0002"

    assert main(["loop", "--into", str(into), "--rollback"]) == 0
    assert (into / "current").resolve().name == "0001"
    assert works(into)
    assert "rolled back: 0001 is current again, 0002 was" in capsys.readouterr().out


def has_file(folder, name):
    """Whether it is anywhere below, while somebody else renames directories there, which os.walk passes over and rglob does not."""
    return any(name in files for _, _, files in os.walk(folder))


def test_killed_at_any_moment_it_goes_on_where_it_was(drives, recipe, tmp_path):
    into = tmp_path / "models"
    command = [sys.executable, "-m", "depth_perception", "loop", "--bag", str(drives), "--into", str(into), *recipe]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for begun in ("plan.json", "checkpoint.safetensors", "score.json"):  # while it inspects, learns, scores
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        end = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < end and not has_file(into, begun):
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it was killed, and not done"
        assert (into / "current").resolve().name == "0001"
        assert works(into)
    assert subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300).returncode == 0
    (run,) = (into / "loop" / "runs").iterdir()
    assert (run / "attempts").read_text() in ("3", "4")
    assert (into / "current").resolve().name == "0002"
    assert works(into)
    assert Store(into).seen().keys() == {str(drives / f"truck_{seed}") for seed in (11, 12)}


def test_doors(tmp_path, capsys):
    for words, sentence in (
        (["--into", str(tmp_path / "m")], "--bag: wanted bags or a directory of them, got none"),
        (["--bag", str(tmp_path / "nowhere"), "--into", str(tmp_path / "m")], "nowhere: wanted bags or a directory of them"),
        (["--bag", str(tmp_path), "--into", str(tmp_path / "m"), "--init", str(tmp_path)], "is not a model directory"),
        (["--bag", str(tmp_path), "--into", str(tmp_path / "m"), "--held-share", "2"], "--held-share: wanted a share from 0.01 to 0.9"),
        (["--into", str(tmp_path / "m"), "--rollback"], "has no current model"),
    ):
        assert main(["loop", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line
