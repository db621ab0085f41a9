"""`train markings` on roads of two looks: the terms and branches of S4, what a model directory holds, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from depth_perception import model
from depth_perception.__main__ import main
from depth_perception.bag import Writer, messages
from depth_perception.evaluation.markings import Predictor, evaluate
from depth_perception.frame import BadInput, Calibration
from depth_perception.losses.discrepancy import discrepancy
from depth_perception.model import share_directory
from depth_perception.networks.markings import MarkingNet, MarkingNetConfig
from depth_perception.samples.markings import IGNORE, MarkingBatches, Pictures, ViewConfig, panelled, shaded
from depth_perception.systems.palette import coloured
from depth_perception.train import markings
from depth_perception.train.branches import Branches
from depth_perception.train.fit import FitConfig
from depth_perception.train.marked import labelled, unlabelled
from depth_perception.train.marking_terms import chosen, terms
from depth_perception.train.markings import Budget, Config
from depth_perception.train.overrides import from_yaml

VIEWS = ViewConfig(height=32, width=64)
TINY = Config(
    height=64, width=128, pixels=64, ramp=4, views=VIEWS, fit=FitConfig(threads=1),
    network=MarkingNetConfig(channels=(4, 6, 8, 8), blocks=(0, 1, 1, 1), pyramid=8, low=(4, 4), decoder=(8, 8), target=8))


def road(k, *, light=200, ground=70):
    """A road picture 160x96 with a solid and a dashed line, and its mask."""
    mask = np.zeros((96, 160), np.uint8)
    mask[50:, 40 + k : 46 + k] = 1
    mask[60:75, 100 - k : 106 - k] = 2
    grain = np.random.default_rng(k).normal(0, 6, (96, 160, 1))
    image = np.where(mask[..., None] > 0, light, ground) + grain
    return np.clip(image, 0, 255).astype(np.uint8).repeat(3, 2), mask


def folder(path, count=4, *, colours=True, **look):
    for part in ("images", "masks"):
        (path / part).mkdir(parents=True)
    for k in range(count):
        image, mask = road(k, **look)
        cv2.imwrite(str(path / "images" / f"{k}.png"), image)
        cv2.imwrite(str(path / "masks" / f"{k}.png"), coloured(mask)[..., ::-1] if colours else mask)
    return path


def bag(path, count=3, *, info=True, masks=True, size=None, late=0):
    K = np.array([[100.0, 0, 80], [0, 100, 45], [0, 0, 1]])
    with Writer(path) as out:
        for k in range(count):
            image, mask = road(k)
            stamp = 10**9 + k * 10**8
            if info:
                out.write("/camera/camera_info", messages.camera_info(Calibration(K, 160, 96), stamp_ns=stamp), stamp)
            out.write("/camera/image", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            if masks:
                mask = mask if size is None else cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
                out.write("/truth/markings", messages.image(mask, "mono8", stamp_ns=stamp + late, frame_id="camera"), stamp)
    return path


@pytest.fixture(scope="module")
def roads(tmp_path_factory):
    """A labelled folder, and an unlabelled one of darker and flatter pictures."""
    home = tmp_path_factory.mktemp("roads")
    target = folder(home / "target", light=120, ground=80)
    return folder(home / "source"), target / "images"


def batch(config=TINY, **changes):
    source, target = Pictures(), Pictures()
    for k in range(3):
        image, mask = road(k)
        source.add(cv2.resize(image, (128, 64)), cv2.resize(mask, (128, 64), interpolation=cv2.INTER_NEAREST))
        target.add(cv2.resize(road(k, light=120, ground=80)[0], (128, 64)))
    return MarkingBatches(source, target, classes=7, config=replace(config.views, **changes), batch=3, seed=1)


def parts(mode, statistics="target"):
    torch.manual_seed(0)
    config = replace(TINY, mode=mode, statistics=statistics)
    return config, nn.ModuleDict({"markings": MarkingNet(config.network)}).train(), Branches(mode=mode, statistics=statistics)


def test_folders_and_bags_give_pictures_with_their_masks(roads, tmp_path):
    first = next(iter(labelled(roads[0])))
    assert np.array_equal(first.mask, road(0)[1]) and np.array_equal(first.image, road(0)[0]) and first.calibration is None
    ids = folder(tmp_path / "ids", colours=False)
    assert np.array_equal(next(iter(labelled(ids))).mask, road(0)[1])
    found = list(labelled(bag(tmp_path / "b")))
    assert len(found) == 3 and np.array_equal(found[2].mask, road(2)[1]) and found[2].calibration.K[1, 2] == 45
    assert [each.mask for each in unlabelled(tmp_path / "b")] == [None] * 3
    roadside = list(unlabelled(bag(tmp_path / "r", info=False, masks=False)))
    assert len(roadside) == 3 and roadside[0].calibration is None and np.array_equal(roadside[1].image, road(1)[0])


def test_masks_that_do_not_fit_are_refused_in_a_sentence(tmp_path):
    good = folder(tmp_path / "f")
    cv2.imwrite(str(good / "masks" / "1.png"), np.zeros((10, 10), np.uint8))
    with pytest.raises(BadInput, match=r"1\.png: wanted a mask of its image's size 160x96, got 10x10"):
        list(labelled(good))
    cv2.imwrite(str(good / "masks" / "1.png"), np.full((96, 160, 3), 9, np.uint8))
    with pytest.raises(BadInput, match=r"1\.png: the colour \(9, 9, 9\) is not in the palette"):
        list(labelled(good))
    (good / "masks" / "1.png").unlink()
    with pytest.raises(BadInput, match=r"1\.png: has no mask"):
        list(labelled(good))
    with pytest.raises(BadInput, match="80x48, the image 160x96"):
        list(labelled(bag(tmp_path / "small", size=(80, 48))))
    with pytest.raises(BadInput, match="same stamp"):
        list(labelled(bag(tmp_path / "late", late=5)))
    with pytest.raises(BadInput, match=r"no masks in /truth/markings"):
        list(labelled(bag(tmp_path / "plain", masks=False)))
    with pytest.raises(BadInput, match="there is nothing"):
        list(unlabelled(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="wanted images"):
        list(unlabelled(tmp_path / "empty"))


def test_batches_depend_on_seed_and_step_alone_and_labels_stay_on_their_paint():
    batches = batch(zoom=(1.0, 1.0), aspect=0.0, flip=0.5, shadow=0.0, panels=0.0, look=replace(VIEWS.look, colour=0.0))
    data, again = batches(7), batches(7)
    assert all(torch.equal(data[name], again[name]) for name in data) and not torch.equal(data["image"], batches(8)["image"])
    assert data["image"].shape == data["target"].shape == (3, 3, 32, 64) and data["labels"].shape == (3, 32, 64)
    bright = data["image"].mean(1) > 0.62
    assert (bright & (data["labels"] > 0)).sum() > 0.9 * bright.sum()


def test_a_rare_class_is_drawn_as_often_as_any():
    image, mask = road(0)
    rare = np.zeros_like(mask)
    rare[70:80, 20:30] = 4
    source = Pictures([image] * 50, [mask] * 49 + [rare])
    batches = MarkingBatches(source, None, classes=7, config=replace(VIEWS, rare=1.0), batch=60, seed=0)
    shown = [set(np.unique(labels)) for labels in batches(0)["labels"].numpy()]
    assert 10 < sum(4 in each for each in shown) < 35, "a third, where it is one picture in fifty"
    assert "target" not in batches(0)


def test_beyond_a_picture_there_are_no_labels_and_shadows_only_darken():
    data = batch(zoom=(1.0, 1.0), aspect=0.0)(0)
    assert set(np.unique(data["labels"])) <= {0, 1, 2, IGNORE}
    image = np.full((32, 64, 3), 200, np.uint8)
    shadow = shaded(np.random.default_rng(3), image)
    assert (shadow <= image).all() and (shadow < 180).any()


def test_the_copied_branch_moves_no_weight_of_the_target_side():
    """S4-d: with `copy`, L_MMD's gradient is that of the source's features with the target's held fixed; with `siamese` it is not."""
    data, found = batch()(0), {}
    for mode in ("copy", "siamese"):
        config, networks, branches = parts(mode)
        config = replace(config, lovasz=0.0)
        losses = terms(networks, data, config, step=10, branches=branches, weights=torch.ones(7), seed=0)
        assert set(losses) == {"cross_entropy", "mmd"}
        losses["mmd"].backward()
        found[mode] = (float(losses["mmd"].detach()), networks["markings"].target.weight.grad.clone())
    assert found["copy"][0] == pytest.approx(found["siamese"][0], rel=1e-4), "the same distance"
    assert not torch.allclose(found["copy"][1], found["siamese"][1]), "but another gradient"
    # By hand: the target's side detached.
    config, networks, _ = parts("siamese")
    answers = Branches(mode="siamese", statistics="target")(networks["markings"], data["image"], data["target"])
    generator = torch.Generator().manual_seed(10)
    small = data["labels"][:, ::2, ::2]
    ours = chosen(answers[0][1], paint=(small > 0) & (small != IGNORE), count=64, balanced=True, generator=generator)
    others = chosen(answers[1][1].detach(), paint=answers[1][0].argmax(1) > 0, count=64, balanced=True, generator=generator)
    (config.mmd_at(10) * discrepancy(torch.cat(ours), torch.cat(others))).backward()
    torch.testing.assert_close(networks["markings"].target.weight.grad, found["copy"][1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("mode", ["copy", "siamese"])
def test_the_network_drives_by_the_targets_statistics(mode):
    data, (config, networks, branches) = batch()(0), parts(mode)
    data["target"] = 0.3 * data["target"]
    first = networks["markings"].stem[0][1]
    assert config.statistics == "target"
    for _ in range(60):
        branches(networks["markings"], data["image"], data["target"])
    with torch.no_grad():
        net = networks["markings"]
        wanted = net.stem[0][0](net.normalise(data["target"])).mean((0, 2, 3))
        other = net.stem[0][0](net.normalise(data["image"])).mean((0, 2, 3))
    torch.testing.assert_close(first.running_mean, wanted, rtol=0.02, atol=0.02)
    assert (first.running_mean - other).abs().max() > 0.05
    assert first.momentum == 0.1


def test_joint_statistics_are_of_both():
    data, (_, networks, branches) = batch()(0), parts("siamese", "joint")
    for _ in range(60):
        branches(networks["markings"], data["image"], data["target"])
    net = networks["markings"]
    with torch.no_grad():
        both = net.stem[0][0](net.normalise(torch.cat([data["image"], data["target"]]))).mean((0, 2, 3))
    torch.testing.assert_close(net.stem[0][1].running_mean, both, rtol=0.02, atol=0.02)


def test_the_texts_first_network_keeps_its_own_statistics():
    data, (_, networks, branches) = batch()(0), parts("copy", "joint")
    net = networks["markings"]
    for _ in range(60):
        branches(net, data["image"], data["target"])
    with torch.no_grad():
        wanted = net.stem[0][0](net.normalise(data["image"])).mean((0, 2, 3))
    torch.testing.assert_close(net.stem[0][1].running_mean, wanted, rtol=0.02, atol=0.02)


def test_panels_are_background_and_change_nothing_beside_them():
    image, labels = np.full((64, 128, 3), 77, np.uint8), np.full((64, 128), 3, np.uint8)
    seen, found = panelled(np.random.default_rng(2), image, labels)
    panel = found == 0
    rows, columns = np.flatnonzero(panel.any(1)), np.flatnonzero(panel.any(0))
    assert panel.sum() == len(rows) * len(columns) > 100, "a rectangle"
    assert (seen[~panel] == 77).all() and len(np.unique(seen[panel])) > 1 and (labels == 3).all() and (image == 77).all()


def test_rare_classes_are_taken_back_to_how_often_roads_have_them():
    image, mask = road(0)
    rare = np.zeros_like(mask)
    rare[70:80, 20:30] = 4
    source = Pictures([image] * 50, [mask] * 49 + [rare])
    batches = MarkingBatches(source, None, classes=7, config=replace(VIEWS, rare=1.0, panels=0.0), batch=8, seed=0)
    roads, views = source.frequencies(7), batches.frequencies(7)
    assert views[4] > 10 * roads[4]
    net = MarkingNet(replace(TINY.network, target=0)).eval()
    before = net.last.bias.detach().clone()
    found = markings.corrected(net, source, batches, 1.0).last.bias.detach() - before
    np.testing.assert_allclose(found[[0, 1, 4]], np.log(roads[[0, 1, 4]] / views[[0, 1, 4]]), rtol=1e-4, atol=1e-6)
    assert found[3] == found[5] == 0, "of what nobody showed nothing is known"


def test_a_taught_training_is_repeatable_and_ends_without_its_teacher(roads, tmp_path):
    source, target = roads
    config = replace(TINY, pseudo=1.0, teacher=0.9, views=replace(VIEWS, target_look=0.5), fit=FitConfig(threads=1, snapshot_every=1))
    how = {"config": config, "batch": 2, "budget": Budget(steps=4)}
    markings.train([source], [target], tmp_path / "whole", **how)
    ends = markings.train([source], [target], tmp_path / "again", **how)
    assert set(ends.rows[-1]) == {"step", "cross_entropy", "lovasz", "mmd", "pseudo"}
    assert (tmp_path / "whole/markings.safetensors").read_bytes() == (tmp_path / "again/markings.safetensors").read_bytes()
    assert not [name for name in model.load(tmp_path / "whole").networks if name != "markings"], "the teacher does not drive"


@pytest.mark.parametrize("mode", ["source", "copy", "siamese"])
def test_a_training_ends_with_a_model_that_predicts(roads, tmp_path, mode):
    source, target = roads
    history = markings.train([source], [target], tmp_path / "m", config=replace(TINY, mode=mode), budget=Budget(steps=2), batch=2)
    assert history.step == 2 and not history.recoveries
    trained = model.load(tmp_path / "m")
    words = trained.networks["markings"]
    assert trained.kind == "markings" and words["class"] == "MarkingNet" and words["config"]["target"] == 0
    assert words["inputs"] == {"image": [1, 3, 64, 128]} and words["outputs"] == {"logits": [1, 7, 32, 64]}
    assert trained.lineage["mode"] == mode and trained.lineage["target_pictures"] == (0 if mode == "source" else 4)
    assert ("mmd" in trained.lineage["losses"]) == (mode != "source")


def test_a_training_that_was_cut_off_ends_with_the_same_weights(roads, tmp_path, monkeypatch):
    source, target = roads
    config = replace(TINY, mode="copy", fit=FitConfig(threads=1, checkpoint_s=0.0, snapshot_every=1))
    how = {"config": config, "batch": 2, "budget": Budget(steps=5)}
    markings.train([source], [target], tmp_path / "whole", **how)
    make = MarkingBatches.__call__

    def cut(self, step):
        if step == 3:
            raise KeyboardInterrupt
        return make(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MarkingBatches, "__call__", cut)
        markings.train([source], [target], tmp_path / "cut", **how)
    assert not (tmp_path / "cut/manifest.json").exists()
    markings.train([source], [target], tmp_path / "cut", resume=True, **how)
    assert (tmp_path / "whole/markings.safetensors").read_bytes() == (tmp_path / "cut/markings.safetensors").read_bytes()
    with pytest.raises(BadInput, match="mmd"):
        markings.train([source], [target], tmp_path / "cut", resume=True, **(how | {"config": replace(config, mmd=0.1)}))


def test_learning_goes_on_from_a_model(roads, tmp_path):
    source, target = roads
    markings.train([source], [], tmp_path / "a", config=replace(TINY, mode="source"), budget=Budget(steps=2), batch=2)
    markings.train([source], [target], tmp_path / "b", config=TINY, budget=Budget(steps=1), batch=2, init=tmp_path / "a")
    assert model.load(tmp_path / "b").lineage["init"] == str(tmp_path / "a")


def test_the_command_trains_exports_and_is_scored(roads, tmp_path, capsys):
    source, target = roads
    (tmp_path / "c.yaml").write_text(
        "height: 64\nwidth: 128\npixels: 32\nviews: {height: 32, width: 64}\nfit: {threads: 1}\n"
        "network: {channels: [4, 6, 8, 8], blocks: [0, 1, 1, 1], pyramid: 8, low: [4, 4], decoder: [8, 8], target: 8}\n")
    assert main(["train", "markings", "--source", str(source), "--target", str(target), "--config", str(tmp_path / "c.yaml"),
                 "--steps", "2", "--batch", "2", "--mode", "copy", "--out", str(tmp_path / "m"), "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["steps"] == 2
    scores = evaluate([source], model.load(tmp_path / "m"), threads=1)
    command = ["predict", "markings", str(target), str(bag(tmp_path / "b", info=False)), "--model", str(tmp_path / "m")]
    assert main([*command, "--out", str(tmp_path / "p")]) == 0
    written = {file.name: cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (tmp_path / "p").glob("*.png")}
    assert len(written) == 14 and written["0_overlay.png"].shape == (96, 160, 3)
    predictor = Predictor(model.load(tmp_path / "m"), threads=2)
    for name, each in [(Path(each.name).stem, each) for each in unlabelled(target)] + [
            (each.name.split()[-2], each) for each in unlabelled(tmp_path / "b")]:
        assert np.array_equal(written[f"{name}.png"], predictor(each)[0]), "what is written is what is scored"
    assert main([*command[:3], "--model", str(tmp_path / "m"), "--out", str(target)]) == 2
    assert "its result would overwrite the image itself" in capsys.readouterr().err
    assert set(scores["per_class"]) == {"background", "solid line", "dashed line"} and 0 <= scores["miou"] <= 1
    for arguments, words in ((["--target", str(target)], "--source: `train markings` needs"),
                             (["--source", str(source)], "--target: mode siamese compares with images of the target")):
        assert main(["train", "markings", *arguments, "--out", str(tmp_path / "x"), "--steps", "1"]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_documented_configuration_is_the_default_one():
    assert from_yaml(Config(), share_directory() / "config" / "train" / "markings.yaml") == Config()


@pytest.mark.parametrize(("change", "word"), [
    ({"mode": "both"}, "mode"), ({"statistics": "mine"}, "statistics"), ({"height": 100}, "network input"), ({"mmd": -1.0}, "mmd"),
    ({"network": replace(TINY.network, target=0)}, r"network\.target"), ({"apart": True, "balanced": False}, "apart"),
    ({"teacher": 0.9}, "teacher: wanted mode siamese and pseudo"), ({"views": replace(VIEWS, target_look=0.5)}, "target_look")])
def test_bad_configurations_are_refused(change, word):
    with pytest.raises(BadInput, match=word):
        replace(TINY, **change)


def test_views_that_cannot_be_are_refused():
    with pytest.raises(BadInput, match="divisible by 16"):
        ViewConfig(height=40)
    with pytest.raises(BadInput, match="zoom"):
        ViewConfig(zoom=(0.9, 0.5))


def test_without_any_marking_there_is_nothing_to_learn(tmp_path):
    empty = folder(tmp_path / "f")
    for file in (empty / "masks").iterdir():
        cv2.imwrite(str(file), np.zeros((96, 160), np.uint8))
    with pytest.raises(BadInput, match="none of its 4 masks has a marking"):
        markings.train([empty], [empty / "images"], tmp_path / "m", config=TINY, budget=Budget(steps=1), batch=2)
