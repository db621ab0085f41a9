"""`train contrast` and `train objects` on a street whose things are known."""

import json
from dataclasses import replace
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import street_from_above as street
import torch
import yaml
from safetensors.torch import load_file

from depth_perception import model
from depth_perception.__main__ import main
from depth_perception.engine import Engine
from depth_perception.frame import BadInput
from depth_perception.networks.bev_image import BevImageConfig
from depth_perception.networks.load import entry, weights
from depth_perception.networks.placed import at
from depth_perception.networks.student import Student, StudentConfig
from depth_perception.samples.bev_batches import BevBatches, held_out
from depth_perception.samples.bev_frames import BevFrames
from depth_perception.train import bev, contrast, objects
from depth_perception.train.history import Budget
from depth_perception.train.overrides import from_yaml
from depth_perception.train.retrieval import embedded, retrieval

CONTRAST = street.tiny(contrast.Config(validate=0.25))
OBJECTS = street.tiny(objects.Config(validate=0.25))


@pytest.fixture(scope="module", autouse=True)
def bags():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bev, "FrameReader", lambda path, **options: street.frames())
        patch.setattr(bev, "labels", lambda reader, source=None: street.boxes)
        yield


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    file = tmp_path_factory.mktemp("bags") / "street.mcap"
    file.write_bytes(b"a bag")
    return file


@pytest.fixture(scope="module")
def pretrained(bag, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "contrast"
    contrast.train([bag], out, config=CONTRAST, budget=Budget(steps=3), batch=2, command="as typed")
    return out


def street_frames(**options):
    frames = BevFrames(**options)
    frames.add(street.frames(), labels=street.boxes if options.get("labelled") else None)
    return frames


def test_both_networks_and_the_depth_distribution_learn_from_pairs():
    frames = street_frames()
    torch.manual_seed(0)
    config = replace(CONTRAST, fit=replace(CONTRAST.fit, learning_rate=0.01))
    _, networks = contrast.new_networks(config)
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    batches = BevBatches(frames.frames, config.layout(), config.samples, batch=4, seed=0, pairs=True)
    optimiser = torch.optim.AdamW(networks.parameters(), lr=0.01)
    rows = []
    for step in range(25):
        losses = contrast.terms(networks, batches(step), config)
        assert set(losses) == {"contrast", "depth", "hidden"}
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        rows.append({name: value.item() for name, value in losses.items()})
    mean = {name: (np.mean([row[name] for row in rows[:5]]), np.mean([row[name] for row in rows[-5:]])) for name in rows[0]}
    assert mean["depth"][1] < 0.8 * mean["depth"][0] and mean["contrast"][1] < mean["contrast"][0] - 0.2
    moved = {name.split(".")[0] for name, value in networks.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"bev_image", "bev_cloud"}, "claim 8: both networks are adjusted"


def test_pairs_are_learned_without_telling_the_image_where_its_targets_are():
    frames = street_frames()
    together = replace(CONTRAST.samples, apart_deg=0.0, apart_m=0.0)
    config = replace(CONTRAST, samples=together, image=replace(CONTRAST.image, place="seen"), cloud=replace(CONTRAST.cloud, place="seen"))
    torch.manual_seed(0)
    _, networks = contrast.new_networks(config)
    batches = BevBatches(frames.frames, config.layout(), together, batch=4, seed=0, pairs=True)
    data = batches(0)
    networks.eval()
    found = [embedded(networks, data | {"at_image": at_image})[0] for at_image in (data["at_image"], -data["at_image"])]
    assert torch.equal(*found), "its true place on the map is read nowhere"
    moved = embedded(networks, data | {"ray": data["ray"] + 2.0})[0]
    assert not torch.allclose(moved, found[0])
    networks.train()
    optimiser, rows = torch.optim.AdamW(networks.parameters(), lr=0.01), []
    for step in range(25):
        losses = contrast.terms(networks, batches(step), config)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        rows.append(losses["contrast"].item())
    assert np.mean(rows[-5:]) < np.mean(rows[:5]) - 0.2


@pytest.mark.parametrize("change, sentence", [
    ({"image": replace(CONTRAST.image, place="seen")}, "place: wanted the same for both sides, got seen and target"),
    ({"image": replace(CONTRAST.image, place="seen"), "cloud": replace(CONTRAST.cloud, place="seen")}, "at most 5 and apart_m of at most"),
])
def test_places_that_cannot_be_compared_are_refused(change, sentence):
    with pytest.raises(BadInput, match=sentence):
        replace(CONTRAST, **change)


def test_the_recipe_that_tells_no_places_turns_clouds_a_little(request):
    seen = from_yaml(contrast.Config(), request.config.rootpath / "config" / "train" / "contrast_seen.yaml")
    assert seen.image.place == seen.cloud.place == "seen"
    most_deg, most_m = contrast.MOST_APART
    assert 1 < seen.samples.apart_deg <= most_deg and 0.5 < seen.samples.apart_m <= most_m


@pytest.mark.parametrize("side", [CONTRAST.image, CONTRAST.cloud])
def test_a_place_that_nobody_knows_is_refused(side):
    with pytest.raises(BadInput, match="place: wanted one of target, seen, got 'here'"):
        replace(side, place="here")


def test_the_literal_lift_sees_target_points_alone():
    frames = street_frames()
    torch.manual_seed(0)
    data = BevBatches(frames.frames, CONTRAST.layout(), CONTRAST.samples, batch=2, seed=0, pairs=True)(0)
    _, networks = contrast.new_networks(CONTRAST)
    networks.eval()
    content, depth = networks["bev_image"].seen(data["image"])
    beside = content * data["at_targets"] + 100 * (1 - data["at_targets"])  # what is no target says something else
    seen = [networks["bev_image"].lifted(each * data["at_targets"], depth, data["polar"]) for each in (content, beside)]
    assert torch.allclose(*seen) and 0 < data["at_targets"].mean() < 0.9
    losses = contrast.terms(networks, data, replace(CONTRAST, literal=True))
    assert losses["contrast"].item() != contrast.terms(networks, data, CONTRAST)["contrast"].item()


def test_retrieval_counts_what_is_found():
    frames = street_frames().frames

    class Knowing(torch.nn.Module):
        """Says where it was asked, so that every target finds itself."""

        def __init__(self, wrong):
            super().__init__()
            self.wrong, self.weight = wrong, torch.nn.Parameter(torch.zeros(1))

        def seen(self, image):
            return torch.zeros(len(image), 1, 8, 16), image

        def lifted(self, content, depth, polar, heights=None):
            return self.grid(len(content))

        def grid(self, count):
            y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
            return torch.stack([x, y, torch.full_like(x, 0.3)])[None].repeat(count, 1, 1, 1)

        def forward(self, pillars):
            return self.grid(len(pillars))

        def embedded(self, *maps, at_image=None, **_):
            read = at(maps[0], maps[1]) if at_image is None else at(maps[2], at_image)
            return read.roll(self.wrong, 1)

    layout = CONTRAST.layout()
    right = retrieval(torch.nn.ModuleDict({"bev_image": Knowing(0), "bev_cloud": Knowing(0)}), frames, layout, candidates=12, most=2)
    assert right["top1"] == 1.0 and right["candidates"] == 12 and right["frames"] == 2 and right["chance"] == pytest.approx(1 / 12)
    wrong = retrieval(torch.nn.ModuleDict({"bev_image": Knowing(0), "bev_cloud": Knowing(1)}), frames, layout, candidates=12, most=2)
    assert wrong["top1"] == 0.0 and wrong["nearest"] == right["nearest"] == 1.0, "places are what they are, whatever the networks say"
    apart = retrieval(torch.nn.ModuleDict({"bev_image": Knowing(0), "bev_cloud": Knowing(0)}), frames, layout, candidates=12, most=2,
                      turned=(15.0, 5.0))
    assert apart["nearest"] < 0.8 and apart["top1"] < 0.8, "where places are wrong, neither they nor who knows them alone find all"
    none = retrieval(torch.nn.ModuleDict({"bev_image": Knowing(0), "bev_cloud": Knowing(0)}), frames, layout, candidates=9999, least=9999)
    assert none["frames"] == 0 and np.isnan(none["top1"])


def test_contrast_writes_a_model_that_says_what_it_is(pretrained):
    found = model.load(pretrained)
    assert found.kind == "contrast" and list(found.networks) == ["bev_image", "bev_cloud"]
    assert found.networks["bev_image"]["inputs"] == {"image": [1, 3, 64, 128], "polar": [1, 16, 16, 2]}
    assert found.networks["bev_cloud"]["outputs"] == {"features": [1, 8, 16, 16]}
    assert {"contrast", "depth", "hidden"} == set(found.lineage["losses"]) and found.lineage["held_out"] == 2
    assert found.lineage["best"]["step"] in (0, 3) and 0 <= found.lineage["best"]["missed"] <= 1
    assert found.lineage["bags"][0]["name"] == "street.mcap" and found.lineage["command"] == "as typed"
    heads = {name.split(".")[0] for side in ("image", "cloud") for name in load_file(pretrained / f"bev_{side}.safetensors")}
    assert {"project", "tell"} <= heads


def test_the_same_steps_give_the_same_weights_and_no_other_run_goes_on_with_them(bag, pretrained, tmp_path):
    contrast.train([bag], tmp_path / "m", config=CONTRAST, budget=Budget(steps=3), batch=2)
    one, two = (load_file(path / "bev_image.safetensors") for path in (pretrained, tmp_path / "m"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(BadInput, match="temperature"):
        contrast.train([bag], tmp_path / "m", config=replace(CONTRAST, temperature=0.1), budget=Budget(steps=6), batch=2, resume=True)
    history = contrast.train([bag], tmp_path / "m", config=CONTRAST, budget=Budget(steps=4), batch=2, resume=True)
    assert history.step == 4 and len(history.rows) == 4


def test_objects_start_from_the_contrast_or_from_nothing(bag, pretrained, tmp_path):
    config, networks = objects.new_networks(OBJECTS, pretrained)
    assert config.network.image.embedding == 16, "the pretrained networks' own configuration"
    mine, theirs = networks["both"].image.state_dict(), load_file(pretrained / "bev_image.safetensors")
    assert set(theirs) - set(mine) == {name for name in theirs if name.startswith("project.")}
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    cloud = load_file(pretrained / "bev_cloud.safetensors")
    assert torch.equal(networks["cloud"].cloud.state_dict()["down.0.weight"], cloud["down.0.weight"])
    history = objects.train([bag], tmp_path / "o", config=OBJECTS, budget=Budget(steps=2), batch=2, init=pretrained, frames=3)
    wanted = {f"{name}_{term}" for name in ("image", "both") for term in ("heat", "boxes", "depth")} | {"cloud_heat", "cloud_boxes"}
    assert set(history.mean()) == wanted
    found = model.load(tmp_path / "o")
    assert found.kind == "objects" and list(found.networks) == ["image", "cloud", "both"] and found.lineage["windows"] == 3
    assert [list(found.networks[name]["inputs"]) for name in ("both", "cloud")] == [["image", "polar", "pillars"], ["pillars"]]
    assert found.networks["image"]["outputs"] == {"heat": [1, 4, 16, 16], "boxes": [1, 8, 16, 16], "features": [1, 8, 16, 16]}
    assert found.networks["cloud"]["config"]["classes"] == ["car", "truck", "pedestrian", "cyclist"]

    again, same = objects.new_networks(replace(OBJECTS, modalities=("both", "cloud")), tmp_path / "o")
    assert set(same) == {"both", "cloud"} and again.network == config.network
    trained = load_file(tmp_path / "o" / "both.safetensors")
    assert all(torch.equal(value, trained[name]) for name, value in same["both"].state_dict().items())


def test_a_model_learns_where_things_are():
    frames = street_frames(labelled=True)
    torch.manual_seed(0)
    config = replace(OBJECTS, modalities=("cloud",))
    _, networks = objects.new_networks(config)
    batches = BevBatches(frames.frames, config.layout(), config.samples, batch=4, seed=0, labels=True)
    optimiser = torch.optim.AdamW(networks.parameters(), lr=0.02)
    for step in range(40):
        losses = objects.terms(networks, batches(step), config)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
    networks.eval()
    data = next(held_out(frames.frames, config.layout(), most=1, labels=True))
    with torch.no_grad():
        heat, boxes, _ = networks["cloud"](data["pillars"])
    car = street.GRID.coarser(2).cells(street.CAR.centre[None])[0]
    found = int((heat[0, 0] * data["in_view"][0, 0]).argmax())
    assert max(abs(found // 16 - car // 16), abs(found % 16 - car % 16)) <= 1
    assert abs(boxes[0, 3].flatten()[car].item() - np.log(4.0)) < 0.8


def test_the_image_is_asked_for_what_it_shows_and_the_cloud_for_what_is_labelled():
    data = BevBatches(street_frames(labelled=True).frames, OBJECTS.layout(), OBJECTS.samples, batch=2, seed=0, labels=True)(0)
    torch.manual_seed(0)
    _, networks = objects.new_networks(OBJECTS)
    networks.eval()
    plain = objects.terms(networks, data, OBJECTS)
    beside = {**data, "heat": torch.where(data["in_view"].bool(), data["heat"], 0.7)}
    around = objects.terms(networks, beside, OBJECTS)
    assert torch.equal(around["image_heat"], plain["image_heat"]) and around["cloud_heat"].item() != plain["cloud_heat"].item()
    in_image = objects.terms(networks, {**beside, "known": data["in_view"]}, OBJECTS)
    alone = objects.terms(networks, {**data, "known": data["in_view"]}, OBJECTS)
    assert all(torch.equal(in_image[name], alone[name]) for name in alone)


def test_the_image_model_learns_from_labels_without_a_scan(bag, tmp_path, monkeypatch):
    monkeypatch.setattr(bev, "FrameReader", lambda path, **options: street.frames(scan=False))
    camera = replace(OBJECTS, modalities=("image",))
    history = objects.train([bag], tmp_path / "m", config=camera, budget=Budget(steps=2), batch=2)
    assert history.mean()["image_heat"] > 0 and history.mean()["image_boxes"] > 0 and history.mean()["image_depth"] == 0
    found = model.load(tmp_path / "m")
    assert found.lineage["windows"] == 4 and found.lineage["dropped"] == {}
    assert found.networks["image"]["camera_m"] == pytest.approx(1.6), "over the feet of the labels"
    for name in ("cloud", "both"):
        with pytest.raises(BadInput, match=r"no LiDAR scan .the models of a cloud, and of both, need one"):
            objects.train([bag], tmp_path / "x", config=replace(OBJECTS, modalities=("image", name)), budget=Budget(steps=1), batch=2)


def test_without_returns_contrast_alone_moves_the_depth():
    data = BevBatches(street_frames().frames, CONTRAST.layout(), CONTRAST.samples, batch=2, seed=0, pairs=True)(0)
    torch.manual_seed(0)
    config = replace(CONTRAST, depth=0.0)
    _, networks = contrast.new_networks(config)
    losses = contrast.terms(networks, data, config)
    assert set(losses) == {"contrast", "hidden"}
    losses["contrast"].backward()
    assert networks["bev_image"].depth[2].weight.grad.abs().max() > 0
    assert "with depth 0 no return teaches it, and contrast alone\n    moves it" in contrast.Config.__doc__


def test_grids_that_a_network_cannot_halve_are_refused_before_anything_is_read(bag, tmp_path, monkeypatch):
    monkeypatch.setattr(bev, "FrameReader", None)
    grid = replace(street.GRID, rows=34)
    side = replace(CONTRAST, image=replace(CONTRAST.image, grid=grid), cloud=replace(CONTRAST.cloud, grid=grid))
    with pytest.raises(BadInput, match="grid: wanted rows and columns divisible by 4, for the networks halve them 2 times, got 34x32"):
        contrast.train([bag], tmp_path / "x", config=side, budget=Budget(steps=1), batch=2)
    cloud = replace(OBJECTS.network.cloud, wider=(8, 8), deeper=(1, 1, 1))
    deeper = replace(OBJECTS.network, grid=replace(street.GRID, columns=36), cloud=cloud)
    for wanted in (("cloud",), ("image", "both")):
        with pytest.raises(BadInput, match=r"grid: wanted rows and columns divisible by 8, .* got 32x36"):
            replace(OBJECTS, modalities=wanted, network=deeper).layout()
    config = replace(OBJECTS, modalities=("image",), network=deeper)
    assert config.layout().grid.columns == 36
    _, networks = objects.new_networks(config)
    heat, *_ = networks["image"](torch.rand(1, 3, 64, 128), torch.zeros(1, 16, 18, 2))
    assert heat.shape == (1, 4, 16, 18)


@pytest.mark.parametrize("classes", [("unicorn",), ("car", "car"), ()])
def test_classes_that_nobody_knows_are_refused_at_training(classes):
    with pytest.raises(BadInput, match="classes: wanted some of car, truck, pedestrian, cyclist, each once, got"):
        replace(OBJECTS.network, classes=classes)


@pytest.mark.parametrize(("change", "said"), [
    ({"modalities": ()}, "modalities: wanted some of image, cloud, both"),
    ({"modalities": ("image", "image")}, "each once"),
    ({"box_weights": (1.0,)}, "box_weights: wanted eight"),
    ({"samples": CONTRAST.samples}, "samples.apart_deg, samples.apart_m: wanted 0"),
])
def test_what_cannot_be_learned_is_refused(change, said):
    with pytest.raises(BadInput, match=said):
        replace(OBJECTS, **change)


def test_models_that_do_not_fit_are_named(bag, pretrained, tmp_path):
    train = {"config": OBJECTS, "budget": Budget(steps=1), "batch": 2}
    other = replace(OBJECTS, network=replace(OBJECTS.network, image=BevImageConfig(width=16)))
    with pytest.raises(BadInput, match="the configuration asks for"):
        objects.train([bag], tmp_path / "x", **{**train, "config": other}, init=pretrained)
    with pytest.raises(BadInput, match="its input is 128x64"):
        objects.train([bag], tmp_path / "x", **{**train, "config": replace(OBJECTS, height=128)}, init=pretrained)
    objects.train([bag], tmp_path / "camera", **{**train, "config": replace(OBJECTS, modalities=("image",))}, init=pretrained)
    with pytest.raises(BadInput, match="wanted a model for cloud, it is for image"):
        objects.new_networks(replace(OBJECTS, modalities=("cloud",)), tmp_path / "camera")
    with pytest.raises(BadInput, match="wanted a model of kind contrast, it is of kind objects"):
        contrast.new_networks(CONTRAST, tmp_path / "camera")
    with pytest.raises(BadInput, match="divisible by 32"):
        replace(CONTRAST, height=72).layout()


@pytest.fixture
def sighted(tmp_path):
    """A model of `train depth`, its student untrained but for an answer of 6 m wherever it looks."""
    torch.manual_seed(0)
    student = Student(StudentConfig(channels=(4, 4, 6, 6, 8), finest=1))
    head = student.heads["1"]
    torch.nn.init.zeros_(head.conv.weight)
    torch.nn.init.constant_(head.conv.bias, torch.logit(torch.tensor((1 / 6 - head.far) / (head.near - head.far))))
    words = {**entry(student), "inputs": {"image": [1, 3, 64, 128]}, "outputs": {"depth": [1, 1, 64, 128]}}
    model.save_manifest(model.Model(tmp_path, "depth", {"depth": words}, 64, 128, 80.0))
    (tmp_path / "depth.safetensors").write_bytes(weights(student))
    return tmp_path


def test_a_depth_model_is_taken_instead_of_learned(bag, sighted, tmp_path):
    config, networks = contrast.new_networks(CONTRAST, None, sighted)
    assert config.image.backbone == "student" and config.image.student.channels == (4, 4, 6, 6, 8)
    side = networks.train()["bev_image"]
    assert not side.student.training and side.training and not any(each.requires_grad for each in side.student.parameters())
    _, depth = side.seen(torch.rand(2, 3, 64, 128))
    assert depth.shape == (2, 7, 8, 16) and torch.allclose(depth.sum(1), torch.ones(2, 8, 16), atol=1e-5)
    assert (depth.argmax(1) == 2).all() and depth[:, 2].min() > 0.25, "the bin of 6 m"
    before = {name: value.clone() for name, value in side.student.state_dict().items()}
    contrast.train([bag], tmp_path / "c", config=CONTRAST, depth=sighted, budget=Budget(steps=2), batch=2)
    _, trained = contrast.new_networks(CONTRAST, tmp_path / "c")
    assert all(torch.equal(value, before[name]) for name, value in trained["bev_image"].student.state_dict().items())
    objects.train([bag], tmp_path / "o", config=OBJECTS, init=tmp_path / "c", budget=Budget(steps=1), batch=2)
    _, found = objects.new_networks(OBJECTS, None, sighted)
    assert all(torch.equal(value, before[name]) for name, value in found["both"].image.student.state_dict().items())
    with pytest.raises(BadInput, match="wanted without --init"):
        contrast.new_networks(CONTRAST, tmp_path / "c", sighted)
    with pytest.raises(BadInput, match="wanted a model of kind depth, it is of kind contrast"):
        contrast.new_networks(CONTRAST, None, tmp_path / "c")
    with pytest.raises(BadInput, match="its input is 128x64 at 80 px"):
        contrast.new_networks(replace(CONTRAST, canonical_focal_px=90.0), None, sighted)


def test_bags_without_lidar_or_labels_end_with_a_sentence(bag, tmp_path, monkeypatch):
    train = {"config": OBJECTS, "budget": Budget(steps=1), "batch": 2}
    with monkeypatch.context() as patch:
        patch.setattr(bev, "labels", lambda reader, source=None: lambda frame, number: ())
        with pytest.raises(BadInput, match="wanted labelled things in view, there are none in all"):
            objects.train([bag], tmp_path / "x", **train)
    with monkeypatch.context() as patch:
        patch.setattr(bev, "FrameReader", lambda path, **options: street.frames(scan=False))
        with pytest.raises(BadInput, match="no LiDAR scan"):
            objects.train([bag], tmp_path / "x", **train)
    assert not (tmp_path / "x").exists()


def test_a_bag_that_teaches_nothing_ends_no_training_of_others(bag, tmp_path, monkeypatch, capsys):
    drives = iter([street.frames(scan=False), street.frames()])
    monkeypatch.setattr(bev, "FrameReader", lambda path, **options: next(drives))
    contrast.train([bag, bag], tmp_path / "m", config=CONTRAST, budget=Budget(steps=1), batch=2)
    assert "no LiDAR scan" in capsys.readouterr().err
    assert "no LiDAR scan" in model.load(tmp_path / "m").lineage["warnings"][0]


def test_as_typed_on_a_command_line(bag, tmp_path, capsys):
    grid = {"y_m": -12.8, "cell_m": 0.8, "rows": 32, "columns": 32}
    sides = {"image": {"channels": [4, 4, 6, 6, 6], "width": 8, "wider": [8], "depths": [2.0, 4.0, 8.0, 16.0], "grid": grid},
             "cloud": {"stem": 4, "width": 8, "wider": [8], "deeper": [1, 1], "grid": grid}}
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump({"height": 64, "width": 128, "fit": {"threads": 1}, **sides}))
    given = ["--bag", str(bag), "--steps", "2", "--batch", "2", "--json", str(tmp_path / "n.json")]
    assert main(["train", "contrast", *given, "--config", str(file), "--out", str(tmp_path / "c")]) == 0
    page = (tmp_path / "c" / "report" / "index.html").read_text()
    assert "Targets of the image and of the cloud" in page and "Features from above" in page
    pairs, features = (cv2.imread(str(tmp_path / "c" / "report" / name)) for name in ("pairs.png", "features.png"))
    drawn = sum((np.abs(pairs[..., ::-1].astype(int) - colour).max(2) < 3).sum() for colour in ((60, 220, 90), (255, 60, 50)))
    assert drawn > 100, "lines from the image to the cloud, green and red"
    assert features.shape == (96, 192, 3) and len(np.unique(features.reshape(-1, 3), axis=0)) > 20
    file.write_text(yaml.safe_dump({"height": 64, "width": 128, "fit": {"threads": 1}}))
    command = ["train", "objects", *given, "--init", str(tmp_path / "c"), "--config", str(file), "--out", str(tmp_path / "o"),
               "--modality", "image", "both"]
    assert main([*command, "--frames", "4"]) == 0
    assert "2 steps" in capsys.readouterr().out and json.loads((tmp_path / "n.json").read_text())["steps"] == 2
    found = model.load(tmp_path / "o")
    assert list(found.networks) == ["image", "both"] and found.lineage["windows"] == 4
    assert list(Engine(found.onnx("both"), device="cpu").outputs) == ["heat", "boxes", "features"]
    if find_spec("tensorrt_rtx"):
        assert all(each["tensorrt_lacks"] == [] for each in found.lineage["export"]["variants"]["fp32"].values())
    page = (tmp_path / "o" / "report" / "index.html").read_text()
    assert "street.mcap" in page and "What the model finds (coloured), and the labels (white)" in page
    drawn = {file.name: cv2.imread(str(file)) for file in (tmp_path / "o" / "report").glob("objects_*.png")}
    assert set(drawn) == {f"objects_{name}_{side}.png" for name in ("image", "both") for side in ("camera", "cloud")}
    for name, picture in drawn.items():
        assert (picture > 225).all(2).sum() > 50, f"{name}: the labels in white"
    for wrong, said in ((["--frames", "99"], "--frames: wanted 1 to"), (["--init", str(tmp_path / "o")], "")):
        assert main([*command, *wrong]) == (2 if said else 0)
        assert said in capsys.readouterr().err
    assert main(["train", "contrast", *given, "--modality", "image", "--out", str(tmp_path / "c")]) == 2
    assert main(["train", "objects", "--out", str(tmp_path / "c")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-2].startswith("train: --modality") and said[-1].startswith("train: --bag")
