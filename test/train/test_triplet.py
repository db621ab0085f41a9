"""A pose network that sees three images (S5, [0084]): learned, refused where it does not fit, exported, and driving."""

import json
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise

import pytest
import torch
import yaml
from test_recipe_depth import STEP_M, TINY, WALL_M, Known, drive, window
from torch import nn

from depth_perception import engine, model
from depth_perception.__main__ import main
from depth_perception.frame import BadInput
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import Odometry, OdometryOutput
from depth_perception.train import depth as recipe
from depth_perception.train import student
from depth_perception.train.depth import Budget
from depth_perception.train.depth_terms import motions

TRIPLET = replace(TINY, pose=replace(TINY.pose, form="triplet"))


class KnownTriplet(nn.Module):
    """The wall moves left when the car moves right, from image to image; seen: what it was shown."""

    def __init__(self, data, *, steps=(STEP_M, STEP_M)):
        super().__init__()
        self.fy, self.steps, self.seen = data["K"][:, 1, 1], steps, []

    def forward(self, *images):
        self.seen.append(images)
        out = torch.zeros(len(images[0]), 2, 6)
        for k, step in enumerate(self.steps):
            out[:, k, 3] = -step / (self.fy / 240.0)
        return out


def knowing(data, **options):
    networks = nn.ModuleDict({"depth": Known(), "pose": KnownTriplet(data, **options)})
    networks["depth"].fy, networks["depth"].metres = data["K"][:, 1, 1], WALL_M
    return networks


def test_the_truth_costs_nothing_and_each_answer_has_its_step():
    data = window(pairs=True, flip=0.0)
    config = replace(TRIPLET, mask="none")
    networks = knowing(data)
    right = recipe.terms(networks, data, config)
    assert right["distance"] < 1e-6 and right["match"] < 0.01 and right["motion"] < 0.005
    ((previous, image, following),) = networks["pose"].seen  # one call, in the order of time
    assert torch.equal(previous, data["neighbours"][:, 0]) and torch.equal(following, data["neighbours"][:, 1])
    assert torch.equal(image, data["image"])
    for steps in ((-STEP_M, STEP_M), (STEP_M, -STEP_M)):
        wrong = recipe.terms(knowing(data, steps=steps), data, config)
        assert wrong["motion"].item() == pytest.approx(STEP_M / WALL_M, rel=0.05), "half of the motions are twice a step off"
    T = motions(KnownTriplet(data, steps=(1.0, 2.0)), data["image"], data["neighbours"], form="triplet").unflatten(0, (-1, 2))
    metres = T[:, :, 0, 3] * (data["K"][:, 1, 1:2] / 240.0)
    assert torch.allclose(metres, torch.tensor([[1.0, -2.0]]), atol=1e-5), "to the previous image, and to the next one"


def test_both_answers_are_taught():
    data, networks = window(pairs=True, flip=0.0), recipe.new_networks(TRIPLET).train()
    recipe.terms(networks, data, TRIPLET)["motion"].backward()
    gradient = networks["pose"].regress.weight.grad.flatten(1).abs().amax(1)
    assert (gradient.view(2, 6).amax(1) > 0).all()


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(recipe, "FrameReader", lambda path, **options: drive(14))
    return file


def trained(bag, out, config, **options):
    recipe.train([bag], out, config=config, budget=Budget(steps=1), batch=2, **options)
    return out


def test_a_model_says_what_it_sees_and_nothing_of_the_other_form_goes_on_from_it(bag, tmp_path):
    pair, triplet = trained(bag, tmp_path / "pair", TINY), trained(bag, tmp_path / "triplet", TRIPLET)
    words = model.load(triplet).networks["pose"]
    image = [1, 3, 64, 128]
    assert words["config"]["form"] == "triplet"
    assert (words["inputs"], words["outputs"]) == ({"before": image, "image": image, "neighbour": image}, {"pose": [1, 2, 6]})
    for option, name in (("init", "--init"), ("init_pose", "--init-pose")):
        for path, config, theirs, ours in ((pair, TRIPLET, "two", "three"), (triplet, TINY, "three", "two")):
            with pytest.raises(BadInput, match=f"^{name} {path}: .*sees {theirs} images, .* asks for one that sees {ours} images; give "):
                trained(bag, tmp_path / "next", config, **{option: path})
    for path, config, said in ((pair, TRIPLET, "form pair, got triplet"), (triplet, TINY, "form triplet, got pair")):
        with pytest.raises(BadInput, match=rf"--resume: .* was trained with the configuration's pose.{said}"):
            recipe.train([bag], path, config=config, budget=Budget(steps=2), batch=2, resume=True)
    assert not (tmp_path / "next").exists()


def test_the_same_form_goes_on_and_a_depth_network_takes_either(bag, tmp_path):
    triplet = trained(bag, tmp_path / "triplet", TRIPLET)
    weights = (triplet / "pose.safetensors").read_bytes()
    again = recipe.new_networks(replace(TRIPLET, pose=PoseNetConfig(form="triplet")), triplet)  # the defaults beside the form ask nothing
    assert again["pose"].config == TRIPLET.pose
    trained(bag, tmp_path / "next", TRIPLET, init=triplet)
    recipe.train([bag], triplet, config=TRIPLET, budget=Budget(steps=3), batch=2, resume=True)
    assert model.load(triplet).lineage["steps"] == 3 and (triplet / "pose.safetensors").read_bytes() != weights
    # Whose pose network comes from elsewhere may start from a depth network that was trained beside another form.
    pair = trained(bag, tmp_path / "pair", TINY)
    mixed = recipe.new_networks(TRIPLET, pair, triplet)
    assert torch.equal(mixed["depth"].heads["0"].conv.bias, recipe.new_networks(TINY, pair)["depth"].heads["0"].conv.bias)
    assert mixed["pose"].config.form == "triplet"


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
def test_a_student_takes_the_pose_network_of_a_teacher_of_its_form_alone(bag, tmp_path):
    from test_recipe_student import STUDENT, TEACHER

    ours = {"budget": Budget(steps=1), "batch": 2}
    triplet = replace(STUDENT, pose=TRIPLET.pose)
    teacher = trained(bag, tmp_path / "teacher", replace(TEACHER, pose=TRIPLET.pose))
    with pytest.raises(BadInput, match=rf"^--teacher {teacher}: its pose network sees three images.*form: triplet.*--init-pose"):
        student.train([bag], tmp_path / "m", teacher=teacher, config=STUDENT, **ours)
    student.train([bag], tmp_path / "m", teacher=teacher, config=triplet, **ours)
    assert (tmp_path / "m" / "pose.safetensors").read_bytes() == (teacher / "pose.safetensors").read_bytes()  # no term taught it
    pair = trained(bag, tmp_path / "pair", TINY)
    student.train([bag], tmp_path / "n", teacher=teacher, config=STUDENT, init_pose=pair, **ours)
    assert model.load(tmp_path / "n").networks["pose"]["config"]["form"] == "pair"


def test_trained_exported_and_driving_as_typed(tmp_path, capsys):
    """From a bag to poses: train, export in every precision, evaluate, predict, and the node's own way to its engines."""
    simulated, out = tmp_path / "drive", tmp_path / "m"
    size = ["--seconds", "1.2", "--seed", "3", "--width", "192", "--height", "96", "--lidar-columns", "180", "--lidar-rings", "16"]
    assert main(["simulate", *size, "--out", str(simulated)]) == 0
    narrow = {"channels": [8, 32, 32, 32, 32]}
    config = {"height": 64, "width": 96, "student": narrow, "pose": {**narrow, "form": "triplet"}, "validate": 0, "fit": {"threads": 1}}
    (tmp_path / "triplet.yaml").write_text(yaml.safe_dump(config))
    command = ["train", "depth", "--bag", str(simulated), "--out", str(out), "--config", str(tmp_path / "triplet.yaml")]
    assert main([*command, "--steps", "3", "--batch", "2"]) == 0
    assert main(["export", "--model", str(out), "--precision", "fp16,int8", "--bag", str(simulated)]) == 0

    opened = model.load(out)
    for precision in ("fp32", "fp16", "int8"):
        proven = engine.load(opened, "pose", device="cpu", precision=precision)
        assert list(proven.inputs) == ["before", "image", "neighbour"] and proven.outputs == {"pose": [1, 2, 6]}
        assert proven.proof.frames == 3

    numbers, kitti = tmp_path / "numbers.json", tmp_path / "kitti.txt"
    kitti.write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {i}\n" for i in range(12)))
    for reference in ([], ["--reference", str(kitti)]):  # a KITTI file has a pose for each image, and so has the path
        assert main(["evaluate", "odometry", "--bag", str(simulated), "--model", str(out), "--json", str(numbers), *reference]) == 0
        scores = json.loads(numbers.read_text())
        assert [scores[key]["frames"] for key in ("network", "predicted_road")] == [12, 12] == [scores["frames"]] * 2
        assert scores["refined_share"] > 0.5, "the first step is refined too, a step late"
    assert chained(opened, simulated, standby=False) == chained(opened, simulated, standby=True)


def chained(opened, bag, *, standby):
    """Stamps of the images, and of what the odometry told, belated ones too."""
    from depth_perception.bag import FrameReader
    from depth_perception.evaluation.offline import depth_system

    pose = (engine.load_with_standby if standby else engine.load)(opened, "pose", threads=1, device="cpu")
    sizes = {"height": opened.height, "width": opened.width, "canonical_focal_px": opened.canonical_focal_px}
    system, stamps, told = Drive(depth_system(opened, threads=1), Odometry(pose, **sizes)), [], []
    for frame in FrameReader(bag, pairing="latest"):
        stamps.append(frame.stamp_ns)
        outputs = [output for output in system.step(frame) if isinstance(output, OdometryOutput)]
        assert len(outputs) == (len(stamps) > 2)
        told += [each.stamp_ns for output in outputs for each in (*output.belated, output)]
    assert told == stamps[1:] and all(a < b for a, b in pairwise(told))
    return told
