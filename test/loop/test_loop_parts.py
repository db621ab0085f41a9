"""The loop on objects and on markings, with real learning, scoring and proofs, from one short simulated drive."""

import json

import pytest

pytest.importorskip("torch", reason="needs torch (make environment)")
pytest.importorskip("open3d", reason="needs open3d for the simulated drive (make environment)")

from depth_perception import engine, model
from depth_perception.__main__ import main
from depth_perception.bag import Bag, Writer

FIT = {"threads": 1, "learning_rate": 0.01, "validate_every": 1000}
OBJECTS = {"modalities": ["cloud"], "height": 64, "width": 128, "validate": 0.0, "fit": FIT,
           "network": {"head": 8, "cloud": {"stem": 4, "width": 8, "wider": [8], "deeper": [1, 1]}}}
MARKINGS = {"height": 64, "width": 128, "mode": "siamese", "pixels": 64, "views": {"height": 32, "width": 64}, "fit": FIT,
            "network": {"channels": [4, 6, 8, 8], "blocks": [0, 1, 1, 1], "pyramid": 8, "low": [4, 4], "decoder": [8, 8], "target": 8}}


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """A labelled drive, and the same without its labels."""
    folder = tmp_path_factory.mktemp("drives")
    words = ["--seconds", "1.6", "--width", "208", "--height", "64", "--lidar-rings", "32", "--lidar-columns", "512", "--seed", "3"]
    assert main(["simulate", *words, "--out", str(folder / "labelled")]) == 0
    bag = Bag(folder / "labelled")
    with Writer(folder / "bare") as out:
        for topic, kind, log_ns, raw in bag.messages():
            if not topic.startswith("/truth"):
                out.write(topic, bag.decode(kind, raw), log_ns)
    return folder


def begun(tmp_path, task, config, *words):
    """A model that knows nothing yet, and what the loop is told."""
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    recipe = ["--config", str(tmp_path / "config.yaml"), "--batch", "2"]
    assert main(["train", task, *words, *recipe, "--steps", "1", "--out", str(tmp_path / "base")]) == 0
    return ["loop", "--task", task, "--init", str(tmp_path / "base"), "--into", str(tmp_path / "models"), "--held-share", "0.3",
            "--json", str(tmp_path / "said.json"), *recipe]


def works(into, network):
    return engine.load(model.load(into / "current"), network, device="cpu").proof.difference < 1e-3


def test_objects(drives, tmp_path):
    into = tmp_path / "models"
    loop = begun(tmp_path, "objects", OBJECTS, "--bag", str(drives / "labelled"))
    # Two steps teach nothing, and nothing worse: with no gain asked for it is promoted, and the unlabelled drive is refused.
    assert main([*loop, "--bag", str(drives), "--steps", "2", "--min-gain", "0", "--tolerance", "1"]) == 0
    facts = json.loads((into / "current" / "promotion.json").read_text())
    assert facts["refused"] == [f"{drives / 'bare'}: has no labelled boxes in /truth/boxes"]
    (row,) = facts["scores"]
    assert row["new"] and row["after"]["frames"] == 5 and set(row["after"]["per_modality"]) == {"cloud"}
    opened = model.load(into / "current")
    assert (opened.kind, list(opened.networks)) == ("objects", ["cloud"]) and works(into, "cloud")
    # Of sixteen frames the last 0.3 were left unread.
    assert opened.lineage["windows"] == 11
    (stretch,) = (path for path in (into / "loop" / "held").iterdir())
    assert Bag(stretch).topics["/truth/boxes"][1] == 5
    (run,) = (into / "loop" / "runs").iterdir()
    assert "mAP on held-out stretches" in (run / "report.html").read_text()
    assert main(["loop", "--into", str(into), "--rollback"]) == 0
    assert (into / "current").resolve().name == "0001" and works(into, "cloud")


def test_markings(drives, tmp_path):
    into = tmp_path / "models"
    source = ["--source", str(drives / "labelled")]
    loop = begun(tmp_path, "markings", MARKINGS, *source, "--target", str(drives / "bare"))
    # Nobody has masks of the new drive: the source's end judges, and the report says so.
    assert main([*loop, *source, "--bag", str(drives), "--steps", "40", "--tolerance", "1"]) == 0
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["sentence"].startswith("0002 is current: on the labelled source's end IoU went from ")
    (run,) = (into / "loop" / "runs").iterdir()
    assert "the labelled source's end" in (run / "report.html").read_text().replace("&#x27;", "'")
    assert model.load(into / "current").kind == "markings" and works(into, "markings")
    assert model.load(into / "current").lineage["pictures"] == 11
    (stretch,) = (into / "loop" / "held").iterdir()
    assert stretch.name.startswith("source-labelled-")
