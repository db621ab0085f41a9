"""A pose network that no term teaches stays as it was given, whatever else of a step asks for neighbours."""

from dataclasses import replace

import pytest
import torch
import wall

from depth_perception import model
from depth_perception.train import depth, depth_terms
from depth_perception.train.fit import Budget

SMOOTH = replace(wall.S1, match=0.0, motion=0.0, smooth=0.1, validate=0.2)


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: wall.frames())
    return file


def test_it_ends_as_it_was_given_and_the_depth_network_learns(bag, tmp_path):
    once = {"budget": Budget(steps=3), "batch": 3}
    depth.train([bag], tmp_path / "start", config=wall.S1, **once)
    history = depth.train([bag], tmp_path / "m", config=replace(SMOOTH, validate=0.0), init=tmp_path / "start", **once)
    assert all(set(row) == {"step", "distance", "smooth"} for row in history.rows)
    before, after = ({name: (tmp_path / run / f"{name}.safetensors").read_bytes() for name in ("depth", "pose")} for run in ("start", "m"))
    assert after["pose"] == before["pose"] and after["depth"] != before["depth"]
    assert model.load(tmp_path / "m").lineage["pose"] == "given"


def test_one_that_is_taught_learns(bag, tmp_path):
    assert all(x.requires_grad for x in depth.new_networks(replace(SMOOTH, motion=1.0)).parameters())
    assert not any(x.requires_grad for x in depth.new_networks(SMOOTH)["pose"].parameters())


def test_a_match_of_weight_zero_is_not_computed_but_its_finest_view_is_smoothed_and_compared(monkeypatch):
    data = wall.batches()(0, pairs=True)
    torch.manual_seed(0)
    networks = depth.new_networks(replace(SMOOTH, style=0.01)).train()
    rebuilt, asked = depth_terms._rebuilt, []
    monkeypatch.setattr(depth_terms, "_rebuilt", lambda *given: (asked.append(given[1].shape[-1]), rebuilt(*given))[1])
    with_match = depth.terms(networks, data, replace(SMOOTH, match=1.0, style=0.01))
    assert asked == [64, 32, 16] and set(with_match) == {"distance", "match", "smooth", "style"}
    asked.clear()
    without = depth.terms(networks, data, replace(SMOOTH, style=0.01))
    assert asked == [64] and set(without) == {"distance", "smooth", "style"}
    asked.clear()
    assert set(depth.terms(networks, data, SMOOTH)) == {"distance", "smooth"} and not asked


def test_held_out_frames_are_scored_without_it(bag, tmp_path):
    history = depth.train([bag], tmp_path / "m", config=SMOOTH, budget=Budget(steps=1), batch=2)
    assert history.scores[-1]["match"] == 0 and history.scores[-1]["metric_abs_rel"] > 0
