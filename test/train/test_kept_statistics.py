"""fit.keep_statistics, recipe by recipe: statistics are kept where a model brings them, and nowhere else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import street_from_above as street
import torch
import wall

from depth_perception.frame import BadInput
from depth_perception.networks.markings import MarkingNetConfig
from depth_perception.samples.markings import ViewConfig
from depth_perception.train import bev, contrast, depth, markings, objects, profile
from depth_perception.train.fit import Budget, FitConfig, fit

WANTED = r"fit\.keep_statistics: wanted --init with a model, whose statistics are kept, got none"
KEEP = FitConfig(threads=1, device="cpu", keep_statistics=True)
SMALL = MarkingNetConfig(channels=(4, 6, 8, 8), blocks=(0, 1, 1, 1), pyramid=8, low=(4, 4), decoder=(8, 8), target=8)
ROADS = markings.Config(height=64, width=128, mode="source", network=SMALL, views=ViewConfig(height=32, width=64), fit=KEEP)


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: wall.frames(4))
    monkeypatch.setattr(bev, "FrameReader", lambda path, **options: street.frames())
    monkeypatch.setattr(bev, "labels", lambda reader, source=None: street.boxes)
    return file


@pytest.fixture
def road(tmp_path):
    """A folder of one labelled picture."""
    for part, value in (("images", 90), ("masks", 1)):
        (tmp_path / "road" / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "road" / part / "0.png"), np.full((96, 160), value, np.uint8))
    return tmp_path / "road"


def running(network):
    """Every batch norm's statistics."""
    return {name: value.clone() for name, value in network.state_dict().items() if "running_" in name}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("recipe", [contrast, objects])
def test_fresh_networks_seen_from_above_have_no_statistics_to_keep(recipe, bag, tmp_path):
    config = replace(street.tiny(recipe.Config(validate=0.25)), fit=KEEP)
    with pytest.raises(BadInput, match=WANTED):
        recipe.train([bag], tmp_path / "m", config=config, budget=Budget(steps=1), batch=2)


def test_heads_that_a_contrast_does_not_have_have_no_statistics_to_keep(bag, tmp_path):
    once = {"budget": Budget(steps=1), "batch": 2}
    contrast.train([bag], tmp_path / "c", config=street.tiny(contrast.Config(validate=0.25)), **once)
    config = street.tiny(objects.Config(validate=0.25, modalities=("cloud",)))
    keeping = replace(config, fit=KEEP)
    with pytest.raises(BadInput, match=r"fit\.keep_statistics: wanted --init with a model of train objects for image, both, got .*/c"):
        objects.train([bag], tmp_path / "o", config=replace(keeping, modalities=("image", "both")), init=tmp_path / "c", **once)
    objects.train([bag], tmp_path / "o", config=config, init=tmp_path / "c", **once)
    with pytest.raises(BadInput, match="train objects for image, got"):
        objects.train([bag], tmp_path / "p", config=replace(keeping, modalities=("image", "cloud")), init=tmp_path / "o", **once)
    objects.train([bag], tmp_path / "p", config=keeping, init=tmp_path / "o", **once)


def test_depth_keeps_those_of_init_and_what_only_helps_to_learn_makes_its_own(bag, tmp_path, monkeypatch):
    once = {"budget": Budget(steps=2), "batch": 2}
    config = replace(wall.S1, reconstruction="residual", alignment=0.01)
    with pytest.raises(BadInput, match=WANTED):
        depth.train([bag], tmp_path / "m", config=replace(config, fit=KEEP), **once)
    depth.train([bag], tmp_path / "start", config=wall.S1, **once)
    begun, ended = {}, {}

    def watched(networks, *args, **options):
        begun.update({name: running(network) for name, network in networks.items()})
        history = fit(networks, *args, **options)
        ended.update({name: running(network) for name, network in networks.items()})
        return history

    monkeypatch.setattr(depth, "fit", watched)
    depth.train([bag], tmp_path / "m", config=replace(config, fit=KEEP), init=tmp_path / "start", **once)
    assert begun["depth"] and same(begun["depth"], ended["depth"]) and same(begun["pose"], ended["pose"])
    assert begun["residual"] and not same(begun["residual"], ended["residual"])


def test_the_profile_steps_as_the_training_does(bag, tmp_path, monkeypatch):
    depth.train([bag], tmp_path / "start", config=wall.S1, budget=Budget(steps=1), batch=2)
    config, seen, honest = replace(wall.S1, fit=KEEP), [], profile.terms

    def terms(networks, data, config):
        seen.append(running(networks))
        return honest(networks, data, config)

    monkeypatch.setattr(profile, "terms", terms)
    profile.profile([bag], config=config, batch=2, steps=1, init=tmp_path / "start")
    assert len(seen) > 1 and all(same(seen[0], each) for each in seen)
    with pytest.raises(BadInput, match=WANTED):
        profile.profile([bag], config=config, batch=2, steps=1)


def test_markings_keep_those_of_init(road, tmp_path):
    once = {"budget": Budget(steps=2), "batch": 2}
    with pytest.raises(BadInput, match=WANTED):
        markings.train([road], [], tmp_path / "m", config=ROADS, **once)
    markings.train([road], [], tmp_path / "start", config=replace(ROADS, fit=replace(KEEP, keep_statistics=False)), **once)
    markings.train([road], [], tmp_path / "m", config=ROADS, init=tmp_path / "start", **once)
    networks = [markings.new_network(ROADS, tmp_path / name) for name in ("start", "m")]
    assert same(*map(running, networks)) and not torch.equal(*(network.last.weight for network in networks))
    with pytest.raises(BadInput, match=r"statistics: wanted joint with fit\.keep_statistics, which keeps those of --init, got target"):
        replace(ROADS, statistics="target")
