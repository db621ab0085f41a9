"""The chain of S5 on a world with known answers: a teacher, and a student that approximates it."""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from test_recipe_depth import TINY, drive

from depth_perception import model
from depth_perception.__main__ import main
from depth_perception.frame import BadInput
from depth_perception.networks.student import PRESETS, StudentConfig
from depth_perception.networks.teacher import TeacherConfig
from depth_perception.samples import Batches, Drives
from depth_perception.train import depth, student
from depth_perception.train.depth import Budget
from depth_perception.train.overrides import from_yaml

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

SMALL = StudentConfig(channels=(4, 4, 6, 6, 8), finest=1)
TEACHER = replace(TINY, network="teacher", teacher=TeacherConfig("test_efficientnet", "none", (8, 8, 8, 8, 8), SMALL))
shared = {each: getattr(TINY, each) for each in ("height", "width", "pose", "fit", "samples")}
STUDENT = student.Config(**shared, match=0.0, smooth=0.0, motion=0.0)
ALONE = replace(STUDENT, distance=0.0)


def names(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A bag, and a teacher trained on it for a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depth, "FrameReader", lambda path, **options: drive(14))
        home = tmp_path_factory.mktemp("chain")
        (home / "wall.mcap").write_bytes(b"a bag")
        depth.train([home / "wall.mcap"], home / "teacher", config=replace(TEACHER, validate=0.2), budget=Budget(steps=4), batch=2)
        yield home / "wall.mcap", home / "teacher"


def batch(*, pairs):
    drives = Drives(TINY.samples)
    drives.add(drive())
    return Batches(drives, height=64, width=128, batch=2, seed=0)(0, pairs=pairs)


def test_a_teacher_trains_by_the_terms_of_depth_and_says_where_its_weights_began(taught):
    trained = model.load(taught[1])
    assert trained.networks["depth"]["class"] == "Teacher" and trained.lineage["encoder_weights"] == "none"
    assert {"distance", "match", "smooth", "motion"} == set(trained.lineage["losses"])
    again = depth.new_networks(TEACHER, taught[1])["depth"]
    assert again.config.student == SMALL
    with pytest.raises(BadInput, match="give --network teacher"):
        depth.new_networks(TINY, taught[1])


def test_a_student_trains_and_its_teacher_stays_as_it_was(taught, tmp_path):
    bag, teacher = taught
    before = names(teacher)
    out = tmp_path / "m"
    history = student.train([bag], out, teacher=teacher, config=replace(STUDENT, validate=0.2), budget=Budget(steps=6), batch=2)
    assert all(set(row) == {"step", "distance", "encoder", "decoder", "disparity"} for row in history.rows)
    assert names(teacher) == before
    trained = model.load(out)
    assert sorted(trained.networks) == ["depth", "pose"] and trained.networks["depth"]["class"] == "Student"
    assert tuple(trained.networks["depth"]["config"]["channels"]) == SMALL.channels
    assert trained.lineage["teacher"]["sha256"] == model.sha256(teacher / "depth.safetensors")
    assert trained.lineage["teacher"]["lineage"]["encoder_weights"] == "none"
    assert {"metric_abs_rel", "abs_rel_to_teacher"} <= set(history.best)
    with safe_open(out / "checkpoint.safetensors", "pt") as file:
        assert {name.split(".")[1] for name in file.keys() if name.startswith("network.")} == {"depth", "pose"}  # noqa: SIM118
        assert not [name for name in file.keys() if "bridge" in name]  # noqa: SIM118


def test_the_teacher_is_frozen_and_the_student_is_not(taught):
    networks = depth.new_networks(replace(TINY, student=SMALL))
    config = replace(STUDENT, student=SMALL)
    teaching = student.Teaching(depth.new_networks(TEACHER, taught[1])["depth"].train())
    before = {name: value.clone() for name, value in teaching.teacher.state_dict().items()}
    sum(student.terms(networks, batch(pairs=False), config, teaching).values()).backward()
    assert not teaching.teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teaching.teacher.state_dict().items())  # batch norms too
    assert all(parameter.grad is None for parameter in teaching.teacher.parameters())
    assert all(parameter.grad is not None for parameter in networks["depth"].parameters())


def test_one_pass_of_the_student_serves_all_terms_and_weights_of_zero_are_not_computed(taught):
    networks = depth.new_networks(replace(TINY, student=SMALL))
    teaching = student.Teaching(depth.new_networks(TEACHER, taught[1])["depth"])
    passes, asked = [], []
    networks["depth"].down[0].register_forward_hook(lambda *_: passes.append(1))
    teaching.teacher.encoder_bridges[0].register_forward_hook(lambda *_: asked.append(1))
    full = replace(STUDENT, student=SMALL, match=1.0, smooth=1e-3, motion=1.0)
    aligned = replace(full, alignment=0.1)  # a pair's two images in one pass
    for config, pairs, wanted in (
        (full, True, {"distance", "match", "smooth", "motion", "encoder", "decoder", "disparity"}),
        (aligned, True, {"distance", "match", "smooth", "motion", "offsets", "features", "encoder", "decoder", "disparity"}),
        (full, False, {"distance", "encoder", "decoder", "disparity"}),
        (replace(ALONE, student=SMALL), False, {"encoder", "decoder", "disparity"}),
        (replace(ALONE, student=SMALL, approximation=student.ApproximationConfig(0.0, 0.0, 1.0)), False, {"disparity"}),
    ):
        passes.clear()
        asked.clear()
        nets = networks if config is not aligned else depth.new_networks(aligned)
        if config is aligned:
            nets["depth"] = networks["depth"]
        assert set(student.terms(nets, batch(pairs=pairs), config, teaching)) == wanted
        assert len(passes) == len(asked) == 1
    off = replace(full, approximation=student.ApproximationConfig(0.0, 0.0, 0.0))
    asked.clear()
    assert set(student.terms(networks, batch(pairs=False), off, teaching)) == {"distance"} and not asked


def test_pairs_are_compared_by_their_first_images(taught):
    networks = depth.new_networks(replace(TINY, student=SMALL, alignment=0.1)).eval()
    teaching = student.Teaching(depth.new_networks(TEACHER, taught[1])["depth"])
    config, data = replace(STUDENT, student=SMALL, match=1.0, alignment=0.1), batch(pairs=True)
    paired = student.terms(networks, data, config, teaching)
    alone = student.terms(networks, {"image": data["image"]}, replace(config, distance=0.0), teaching)
    assert all(torch.allclose(paired[name], alone[name], rtol=1e-4) for name in ("encoder", "decoder", "disparity"))


def test_what_the_teacher_says_of_a_view_is_asked_once(taught):
    teaching = student.Teaching(depth.new_networks(TEACHER, taught[1])["depth"])
    asked = []
    teaching.teacher.encoder_bridges[0].register_forward_hook(lambda *_: asked.append(1))
    drives = Drives(replace(STUDENT.samples, views=2))
    drives.add(drive(10))
    made = Batches(drives, height=64, width=128, batch=len(drives.windows), seed=0)
    first, other, again = (made(step, pairs=False) for step in range(3))
    word, _, kept = (teaching(each["image"], each["view"]) for each in (first, other, again))
    assert len(asked) == 2, "epochs 0 and 2 show the same views, in another order"
    order = [first["view"].tolist().index(each) for each in again["view"].tolist()]
    assert order != sorted(order)
    for maps, same, true in zip(word, kept, teaching(first["image"]), strict=True):
        for x, y, z in zip(maps, same, true, strict=True):
            assert torch.equal(x[order], y) and x.dtype == torch.float32
            assert torch.allclose(x, z, rtol=1e-3, atol=1e-3)
    full = student.Teaching(teaching.teacher, keep_gb=1e-9)
    asked.clear()
    again = [full(first["image"], first["view"]) for _ in range(2)]
    assert len(asked) == 2 and not full.kept, "where there is no room it is asked again, and says the same"
    assert all(torch.equal(x, y) for said in again for maps, kept in zip(said, word, strict=True) for x, y in zip(maps, kept, strict=True))
    with pytest.raises(BadInput, match=r"approximation\.mixed: wanted 0 with samples\.views"):
        replace(STUDENT, samples=replace(STUDENT.samples, views=2), approximation=student.ApproximationConfig(mixed=0.5))


def test_mixed_images_lie_over_each_other_and_have_no_distance(taught):
    image = torch.stack([torch.full((3, 64, 128), float(place)) for place in range(4)])
    data = student.mixed({"image": image, "depth": torch.ones(4, 1, 64, 128), "K": torch.eye(3).expand(4, 3, 3)}, 0.5)
    assert data["image"][:, 0, 0, 0].tolist() == pytest.approx([0.2, 1.8, 2.0, 3.0])
    assert data["depth"][:2].isnan().all() and (data["depth"][2:] == 1).all()

    seen = []
    networks = depth.new_networks(replace(TINY, student=SMALL))
    teaching = student.Teaching(depth.new_networks(TEACHER, taught[1])["depth"])
    for each in (networks["depth"].normalise, teaching.teacher.normalise):  # the first thing that either does
        each.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    made = batch(pairs=False)
    config = replace(STUDENT, student=SMALL, approximation=student.ApproximationConfig(mixed=1.0))
    terms = student.terms(networks, made, config, teaching)
    assert float(terms["distance"].detach()) == 0 and terms["disparity"] > 0  # nothing is left that has a distance
    shown = student.mixed(made, 1.0)["image"]
    assert len(seen) == 2 and all(torch.equal(image, shown) for image in seen) and not torch.equal(shown, made["image"])
    with pytest.raises(BadInput, match=r"approximation\.mixed: wanted 0 where a term asks for neighbours"):
        replace(config, match=1.0)


def test_student_and_teacher_are_compiled_where_they_do_their_work(taught, tmp_path, monkeypatch):
    passes = []

    def compile(plain):
        def fast(*inputs):
            passes.append(plain.__name__)
            return plain(*inputs)
        return fast

    monkeypatch.setattr(torch, "compile", compile)
    bag, teacher = taught
    fast = replace(STUDENT, fit=replace(STUDENT.fit, compile=True))
    student.train([bag], tmp_path / "m", teacher=teacher, config=fast, budget=Budget(steps=2), batch=2)
    assert sorted(passes) == ["bridged", "bridged", "with_stages", "with_stages"]
    passes.clear()
    depth.train([bag], tmp_path / "t", config=replace(TEACHER, fit=fast.fit), budget=Budget(steps=1), batch=2)
    assert set(passes) == {"bridged", "forward"}  # the teacher's own, and the pose network's


def test_the_teachers_word_alone_is_learned_without_a_scan(taught, tmp_path, monkeypatch):
    bag, teacher = taught
    monkeypatch.setattr(depth, "FrameReader", lambda path, **options: (replace(frame, scan=None) for frame in drive(14)))
    config = replace(ALONE, validate=0.2, approximation=student.ApproximationConfig(disparity=1.0, disparity_as="log_depth"))
    history = student.train([bag], tmp_path / "m", teacher=teacher, config=config, budget=Budget(steps=60), batch=2)
    totals = [sum(value for name, value in row.items() if name != "step") for row in history.rows]
    assert np.mean(totals[-5:]) < 0.65 * np.mean(totals[:5])
    assert all(set(row) == {"step", "encoder", "decoder", "disparity"} for row in history.rows)
    assert history.best["abs_rel_to_teacher"] < 0.5 * history.scores[0]["abs_rel_to_teacher"]


def test_a_resumed_student_equals_one_that_was_not_cut_off(taught, tmp_path):
    bag, teacher = taught
    config = replace(STUDENT, match=1.0, motion=1.0)
    how = {"teacher": teacher, "config": config, "batch": 2}
    student.train([bag], tmp_path / "whole", budget=Budget(steps=4), **how)
    keep = depth.fit

    class Cut(Exception):
        pass

    def cut(networks, terms, make, **options):
        def until(step, data):
            if step == 2:
                raise Cut
            return terms(step, data)
        options["config"] = replace(options["config"], checkpoint_s=0.0, snapshot_every=1)
        return keep(networks, until, make, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depth, "fit", cut)
        with pytest.raises(Cut):
            student.train([bag], tmp_path / "cut", budget=Budget(steps=4), **how)
    history = student.train([bag], tmp_path / "cut", budget=Budget(steps=4), resume=True, **how)
    assert history.step == 4
    for name in ("depth.safetensors", "pose.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_resume_wants_the_same_teacher(taught, tmp_path):
    bag, teacher = taught
    how = {"config": STUDENT, "batch": 2}
    student.train([bag], tmp_path / "m", teacher=teacher, budget=Budget(steps=1), **how)
    depth.train([bag], tmp_path / "other", config=TEACHER, budget=Budget(steps=1), batch=2, seed=3)
    with pytest.raises(BadInput, match="was trained with --teacher"):
        student.train([bag], tmp_path / "m", teacher=tmp_path / "other", budget=Budget(steps=2), resume=True, **how)


def test_a_wrong_teacher_is_one_sentence(taught, tmp_path):
    bag, teacher = taught
    depth.train([bag], tmp_path / "plain", config=TINY, budget=Budget(steps=1), batch=2)
    for name, config, said in (
        (tmp_path / "plain", STUDENT, "its depth network is Student"),
        (tmp_path / "nowhere", STUDENT, "nowhere"),
        (teacher, replace(STUDENT, student=replace(SMALL, channels=(4, 4, 4, 4, 4))), "was made for"),
        (teacher, replace(STUDENT, student=replace(SMALL, finest=0)), "was made for"),
        (teacher, replace(STUDENT, canonical_focal_px=100.0), "canonical_focal_px"),
    ):
        with pytest.raises(BadInput, match=said) as error:
            student.train([bag], tmp_path / "m", teacher=name, config=config, budget=Budget(steps=1), batch=2)
        assert "\n" not in str(error.value)
    before = names(teacher)
    with pytest.raises(BadInput, match="wanted another directory than the teacher's"):
        student.train([bag], teacher / ".." / teacher.name, teacher=teacher, config=STUDENT, budget=Budget(steps=1), batch=2)
    assert names(teacher) == before
    narrower = replace(STUDENT, student=replace(SMALL, channels=(4, 4, 4, 4, 4)), approximation=student.ApproximationConfig(0.0, 0.0, 1.0))
    student.train([bag], tmp_path / "m", teacher=teacher, config=narrower, budget=Budget(steps=1), batch=2)  # depths have no width


def test_the_pose_network_is_the_teachers_unless_asked_otherwise(taught, tmp_path):
    bag, teacher = taught
    student.train([bag], tmp_path / "m", teacher=teacher, config=STUDENT, budget=Budget(steps=1), batch=2)
    assert (tmp_path / "m" / "pose.safetensors").read_bytes() == (teacher / "pose.safetensors").read_bytes()  # no term taught it
    depth.train([bag], tmp_path / "other", config=TINY, budget=Budget(steps=1), batch=2, seed=3)
    student.train([bag], tmp_path / "n", teacher=teacher, config=STUDENT, budget=Budget(steps=1), batch=2, init_pose=tmp_path / "other")
    assert (tmp_path / "n" / "pose.safetensors").read_bytes() == (tmp_path / "other" / "pose.safetensors").read_bytes()


def test_a_pose_network_that_nothing_has_taught_is_told(taught, tmp_path, capsys):
    bag, teacher = taught
    distances = replace(TEACHER, match=0.0, smooth=0.1, motion=0.0)
    once = {"budget": Budget(steps=1), "batch": 2}
    depth.train([bag], tmp_path / "deaf", config=distances, **once)
    said = capsys.readouterr()
    assert "warning: the pose network is at random" in said.err and "test_efficientnet begins with the weights of: none" in said.out
    assert any("at random" in each for each in model.load(tmp_path / "deaf").lineage["warnings"])
    student.train([bag], tmp_path / "too", teacher=tmp_path / "deaf", config=STUDENT, **once)
    said = capsys.readouterr()
    assert "at random" in said.err and f"channels {list(SMALL.channels)}" in said.out
    assert model.load(tmp_path / "too").lineage["pose"] == "at random"
    depth.train([bag], tmp_path / "given", config=distances, init_pose=teacher, **once)
    student.train([bag], tmp_path / "seeing", teacher=tmp_path / "given", config=STUDENT, **once)
    assert "at random" not in capsys.readouterr().err
    lineages = [model.load(path).lineage for path in (teacher, tmp_path / "given", tmp_path / "seeing")]
    assert [each["pose"] for each in lineages] == ["learned", "given", "given"]
    assert not any("at random" in each for lineage in lineages for each in lineage["warnings"])


def test_the_chain_as_typed(taught, tmp_path, capsys):
    bag, _ = taught
    sizes = {"channels": [4, 4, 4, 4, 4]}
    plain = {"height": 64, "width": 128, "pose": sizes, "fit": {"threads": 1}}
    encoder = {"encoder": "test_efficientnet", "pretrained": "none", "decoder": [8, 8, 8, 8, 8], "student": {**sizes, "finest": 1}}
    (tmp_path / "teacher.yaml").write_text(yaml.safe_dump({**plain, "teacher": encoder}))
    (tmp_path / "student.yaml").write_text(yaml.safe_dump({**plain, "approximation": {"encoder": 0, "disparity": 5}}))
    common = ["--bag", str(bag), "--steps", "2", "--batch", "2", "--json", str(tmp_path / "numbers.json")]
    teacher, out = str(tmp_path / "teacher"), str(tmp_path / "student")
    assert main(["train", "depth", "--network", "teacher", "--out", teacher, "--config", str(tmp_path / "teacher.yaml"), *common]) == 0
    command = ["train", "student", "--teacher", teacher, "--out", out, "--config", str(tmp_path / "student.yaml"), *common]
    assert main(command) == 0
    result = json.loads((tmp_path / "numbers.json").read_text())
    assert set(result["losses"]) == {"distance", "match", "smooth", "motion", "decoder", "disparity"}
    assert result["export"]["largest_difference"]["depth"] < 2e-3
    capsys.readouterr()
    for wrong in (["train", "student", "--out", out, *common], ["train", "depth", "--teacher", teacher, "--out", out, *common],
                  [*command, "--profile"], [*command, "--network", "s1"]):
        assert main(wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_shipped_recipes_fit_each_other(request):
    folder = request.config.rootpath / "config" / "train"
    teacher = from_yaml(depth.Config(), folder / "teacher.yaml")
    assert teacher.network == "teacher" and teacher.teacher == TeacherConfig(student=StudentConfig(PRESETS["base"], finest=1))
    pupil = from_yaml(student.Config(), folder / "student.yaml")
    assert pupil.approximation == student.ApproximationConfig() and pupil.student == StudentConfig()  # the teacher's, that is
    assert (pupil.height, pupil.width, pupil.canonical_focal_px) == (teacher.height, teacher.width, teacher.canonical_focal_px)
    camera = from_yaml(student.Config(), folder / "student_video.yaml")
    assert not camera.needs_scan and camera.approximation == pupil.approximation and all(camera.pairs_at(step) for step in range(3))
    assert (camera.match, camera.samples.views) == (1.0, 6), "S5's own loss: the photometric one beside eq. 18"
