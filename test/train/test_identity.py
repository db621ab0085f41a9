"""What a resumed run must share with the one before: bags, how they are read, configuration; and checkpoints that know less than we ask."""

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import wall
from torch import nn

from depth_perception.frame import BadInput
from depth_perception.networks.markings import MarkingNetConfig
from depth_perception.samples.markings import ViewConfig
from depth_perception.systems.palette import COLOURS, Palette
from depth_perception.train import depth, markings
from depth_perception.train.checkpoint import CHECKPOINT, Snapshot, load_checkpoint, save_checkpoint
from depth_perception.train.fit import Budget, FitConfig, History
from depth_perception.train.identity import defaults, identity, read_by

SMALL = MarkingNetConfig(channels=(4, 6, 8, 8), blocks=(0, 1, 1, 1), pyramid=8, low=(4, 4), decoder=(8, 8), target=8)
ROADS = markings.Config(height=64, width=128, mode="source", network=SMALL, views=ViewConfig(height=32, width=64),
                        fit=FitConfig(threads=1, device="cpu"))


@pytest.fixture
def calibration(tmp_path):
    file = tmp_path / "camera.yaml"
    file.write_text("first")
    return file


def test_depth_is_held_to_the_clouds_and_the_calibration(tmp_path, calibration, monkeypatch):
    bag = tmp_path / "wall.mcap"
    bag.write_bytes(b"a bag")
    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: wall.frames(4))
    how = {"config": wall.S1, "batch": 2}
    depth.train([bag], tmp_path / "m", **how, budget=Budget(steps=1), points_topic="/front", calibration=calibration)
    again = {**how, "budget": Budget(steps=2), "resume": True}
    with pytest.raises(BadInput, match=r"was trained with --points-topic /front, got /rear"):
        depth.train([bag], tmp_path / "m", **again, points_topic="/rear", calibration=calibration)
    calibration.write_text("second")
    with pytest.raises(BadInput, match=f"was trained with --calibration {sha256(b'first').hexdigest()}, got"):
        depth.train([bag], tmp_path / "m", **again, points_topic="/front", calibration=calibration)
    calibration.write_text("first")
    moved = calibration.rename(tmp_path / "elsewhere.yaml")  # what it says counts, not where it lies
    assert depth.train([bag], tmp_path / "m", **again, points_topic="/front", calibration=str(moved)).step == 2


def test_markings_are_held_to_what_they_are_read_with(tmp_path):
    for part, value in (("images", 90), ("masks", 1)):
        (tmp_path / "road" / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "road" / part / "0.png"), np.full((96, 160), value, np.uint8))
    how = {"config": ROADS, "batch": 2}
    markings.train([tmp_path / "road"], [], tmp_path / "m", **how, budget=Budget(steps=1))
    file = tmp_path / "camera.yaml"
    file.write_text("a camera")
    other = Palette({**Palette().ids, (1, 2, 3): 0})
    for option, name in (({"truth": "/masks"}, "--mask-topic"), ({"palette": other}, "--palette"), ({"image_topic": "/c"}, "--image-topic"),
                         ({"calibration": file}, "--calibration")):
        with pytest.raises(BadInput, match=rf"was trained with {name} None, got "):
            markings.train([tmp_path / "road"], [], tmp_path / "m", **how, **option, budget=Budget(steps=2), resume=True)
    assert markings.train([tmp_path / "road"], [], tmp_path / "m", **how, palette=Palette(), budget=Budget(steps=2), resume=True).step == 2
    assert len(COLOURS) < len(other.ids)


@dataclass(frozen=True)
class Part:
    old: int = 3
    new: tuple[float, ...] = (0.5, 0.5)


@dataclass(frozen=True)
class Config:
    part: Part = field(default_factory=Part)
    fit: FitConfig = field(default_factory=FitConfig)


def test_a_key_that_a_checkpoint_lacks_had_its_default(tmp_path):
    network = nn.ModuleDict({"line": nn.Linear(2, 1)})
    snapshot = Snapshot.of(network, torch.optim.AdamW(network.parameters()))
    now = identity({"bags": []}, Config(), {"--batch": 2})
    before = {name: value for name, value in now.items() if not name.endswith(("part.new", "fit.warm_up"))}
    assert len(now) == len(before) + 2
    save_checkpoint(tmp_path / CHECKPOINT, snapshot, None, History(step=7), seed=0, identity=before)

    def resumed(config):
        asked = identity({"bags": []}, config, {"--batch": 2})
        return load_checkpoint(tmp_path / CHECKPOINT, seed=0, identity=asked, lacking=defaults(config))

    assert resumed(Config())[2].step == 7
    with pytest.raises(BadInput, match=r"was trained with the configuration's part.new \[0.5, 0.5\], got \[1.0, 0.5\]"):
        resumed(replace(Config(), part=Part(new=(1.0, 0.5))))
    with pytest.raises(BadInput, match=r"part\.old 3, got 4"):
        resumed(replace(Config(), part=Part(old=4)))


def test_a_recipe_goes_on_from_a_checkpoint_older_than_a_key(tmp_path, monkeypatch):
    bag = tmp_path / "wall.mcap"
    bag.write_bytes(b"a bag")
    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: wall.frames(4))
    older = SimpleNamespace(forgotten="the configuration's disagreement")
    honest = depth.identity
    with monkeypatch.context() as patch:
        patch.setattr(depth, "identity", lambda *args, **options: {name: value for name, value in honest(*args, **options).items()
                                                                  if name != older.forgotten})
        depth.train([bag], tmp_path / "m", config=wall.S1, budget=Budget(steps=1), batch=2)
    depth.train([bag], tmp_path / "m", config=wall.S1, budget=Budget(steps=2), batch=2, resume=True)
    with pytest.raises(BadInput, match=r"configuration's disagreement 0\.2, got 0\.3"):
        depth.train([bag], tmp_path / "m", config=replace(wall.S1, disagreement=0.3), budget=Budget(steps=3), batch=2, resume=True)


def test_drives_are_read_by_what_was_said(calibration):
    said = read_by({"points_topic": "/front", "calibration": str(calibration), "info_topic": None})
    assert said["--points-topic"] == "/front" and said["--info-topic"] is None and len(said["--calibration"]) == 64
    assert json.loads(json.dumps(said)) == said and read_by({"calibration": None}) == {"--calibration": None}
