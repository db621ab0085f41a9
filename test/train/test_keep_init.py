"""keep_init: the model's weights lie between --init's and those that were trained, and its scores are its own."""

import json
from dataclasses import asdict, replace

import pytest
import torch
import wall
import yaml
from torch import nn

from depth_perception import model
from depth_perception.__main__ import main
from depth_perception.train import depth, depth_scores
from depth_perception.train.fit import Budget, History

HALF = replace(wall.S1, validate=0.2, keep_init=0.5)
ONCE = {"budget": Budget(steps=4), "batch": 3}


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: wall.frames())
    return file


def scored(path, bag):
    """What the held-out frames say of a model's depth network."""
    networks = nn.ModuleDict({**depth.new_networks(HALF, path)}).eval()
    with torch.no_grad():
        return depth_scores.score(networks, depth.read([bag], HALF)[0], HALF)


def test_the_model_is_scored_as_it_is_written(bag, tmp_path):
    depth.train([bag], tmp_path / "start", config=replace(HALF, keep_init=0.0), **ONCE)
    history = depth.train([bag], tmp_path / "m", config=HALF, init=tmp_path / "start", **ONCE)
    lineage = model.load(tmp_path / "m").lineage
    # The pose network, which match asks, is kept whole.
    assert lineage["leaned"] == {"step": history.best["step"], **scored(tmp_path / "m", bag)} == history.leaned
    assert lineage["best"] == history.best and lineage["last"] == history.scores[-1]


def test_without_it_the_best_weights_are_the_models(bag, tmp_path):
    depth.train([bag], tmp_path / "m", config=replace(HALF, keep_init=0.0), **ONCE)
    lineage = model.load(tmp_path / "m").lineage
    assert "leaned" not in lineage and lineage["best"] == {"step": lineage["best"]["step"], **scored(tmp_path / "m", bag)}
    assert History().leaned is None


def test_the_command_and_its_page_tell_it(bag, tmp_path, capsys):
    depth.train([bag], tmp_path / "start", config=replace(HALF, keep_init=0.0), **ONCE)
    sizes = {name: value for name, value in asdict(HALF).items() if name in ("height", "width", "match_every", "validate", "keep_init")}
    widths = {name: {"channels": list(getattr(HALF, name).channels)} for name in ("student", "s1", "pose")}
    (tmp_path / "half.yaml").write_text(yaml.safe_dump(sizes | widths | {"fit": {"threads": 1, "device": "cpu"}}))
    assert main(["train", "depth", "--bag", str(bag), "--out", str(tmp_path / "m"), "--steps", "4", "--batch", "3", "--init",
                 str(tmp_path / "start"), "--config", str(tmp_path / "half.yaml"), "--json", str(tmp_path / "n.json")]) == 0
    leaned = json.loads((tmp_path / "n.json").read_text())["leaned"]
    assert leaned == model.load(tmp_path / "m").lineage["leaned"]
    assert f"the model, part of the way back to --init, of step {leaned['step']}: metric_abs_rel" in capsys.readouterr().out
    page = (tmp_path / "m" / "report" / "index.html").read_text()
    assert page.count("part of the way back to --init") == 1 and str(leaned["metric_abs_rel"]) in page
