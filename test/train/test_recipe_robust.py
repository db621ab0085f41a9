"""S2's terms in the recipe of `train depth`: who learns from which, what is computed, and what is left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from depth_perception import model
from depth_perception.frame import BadInput, Calibration, Frame
from depth_perception.losses import reduce
from depth_perception.losses.motion import motion
from depth_perception.networks.depth import DepthNetConfig
from depth_perception.networks.offset import OffsetNetConfig
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.samples import Batches, Drives, SampleConfig
from depth_perception.train import depth as recipe
from depth_perception.train import depth_scores, profile, robust_terms
from depth_perception.train.fit import Budget, FitConfig
from depth_perception.train.overrides import from_yaml

CONFIG = Path(__file__).resolve().parents[2] / "config" / "train"
VIDEO = recipe.Config(
    height=64, width=128, distance=0.0, motion=0.0, match_every=1, mask="moved", validate=0.0,
    student=StudentConfig(channels=(4, 4, 6, 4, 4)), s1=DepthNetConfig(channels=(4, 4, 6, 4, 4)),
    pose=PoseNetConfig(channels=(4, 4, 4, 4, 4)), offset=OffsetNetConfig(channels=6),
    fit=FitConfig(threads=1), samples=SampleConfig(colour=0.0, pair_colour=0.0, aspect=0.0))
TERMS = {"style": {"style"}, "alignment": {"offsets", "features"}, "density": {"density"}}
ALL = replace(VIDEO, style=0.01, alignment=0.01, density=0.01, mask="moved+weighted")


def drive(path=None, **options):
    """Frame i stands i * 0.25 m to the right in front of a painted wall 8 m away."""
    v, u = np.mgrid[:96, :192]
    calibration = Calibration(np.array([[120.0, 0, 95.5], [0, 130, 47.5], [0, 0, 1]]), 192, 96)
    for i in range(6):
        x, y = (u - 95.5) / 120 * 8 + i * 0.25, (v - 47.5) / 130 * 8
        paint = 0.5 + 0.2 * np.sin(2.3 * x + 0.8 * y) + 0.2 * np.cos(2.9 * y - 1.7 * x)
        yield Frame(np.repeat((paint[..., None] * 255).astype(np.uint8), 3, 2), i * 10**8, calibration, None)


def batch():
    drives = Drives(VIDEO.samples, needs_scan=False)
    drives.add(drive())
    return Batches(drives, height=64, width=128, batch=3, seed=0)(0, pairs=True)


def gradients(networks, loss):
    """{network: largest gradient} of one term."""
    networks.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {name: max((p.grad.abs().max().item() for p in network.parameters() if p.grad is not None), default=0.0)
            for name, network in networks.items()}


@pytest.mark.parametrize("network", ["student", "s1"])
def test_every_term_teaches_whom_it_must(network):
    torch.manual_seed(0)
    config = replace(ALL, network=network)
    networks = recipe.new_networks(config).train()
    torch.nn.init.normal_(networks["offset"].offset.weight, std=0.05)
    losses = recipe.terms(networks, batch(), config)
    assert set(losses) == {"smooth", "match", "style", "offsets", "features", "density"}
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    taught = {name: {who for who, most in gradients(networks, loss).items() if most > 0} for name, loss in losses.items()}
    assert taught == {"smooth": {"depth"}, "match": {"depth", "pose"}, "style": {"depth", "pose"}, "density": {"depth", "pose"},
                      "features": {"depth"},  # theta is detached: it learns from L_re alone
                      "offsets": {"offset"}}
    gradients(networks, losses["offsets"])
    assert networks["offset"].offset.weight.grad.abs().max() > 0 and networks["offset"].weight.grad.abs().max() > 0
    gradients(networks, losses["features"])
    assert all(p.grad is None for p in networks["depth"].heads.parameters())  # features, not depth


def test_both_images_depths_learn_from_the_density():
    networks, data = recipe.new_networks(ALL).train(), batch()
    seen = []
    networks["depth"].heads["0"].register_forward_hook(lambda head, given, depth: (depth.retain_grad(), seen.append(depth))[1])
    recipe.terms(networks, data, replace(VIDEO, density=1.0))["density"].backward()
    (depth,) = seen
    here, following = depth.grad.abs().amax((1, 2, 3)).chunk(2)
    assert (here > 0).all() and (following > 0).all()


def test_the_next_image_may_be_looked_at_only():
    networks, data = recipe.new_networks(ALL).eval(), batch()
    one = replace(ALL, both_learn=False)
    both, alone = recipe.terms(networks, data, ALL), recipe.terms(networks, data, one)
    assert list(both) == list(alone) and torch.allclose(torch.stack(list(both.values())), torch.stack(list(alone.values())), rtol=1e-4)
    asked = []
    networks["depth"].heads["0"].register_forward_hook(lambda head, given, depth: asked.append((len(depth), depth.requires_grad)))
    for config in (ALL, one, replace(VIDEO, mask="weighted")):  # a mask never needs more
        recipe.terms(networks, data, config)
    assert asked == [(6, True), (3, True), (3, False), (3, True), (3, False)]
    for name in ("features", "density"):
        assert gradients(networks, recipe.terms(networks, data, one)[name])["depth"] > 0


@pytest.mark.parametrize("name", list(TERMS))
def test_a_term_alone_is_itself_and_a_weight_of_zero_is_not_computed(name):
    config = replace(VIDEO, **{name: 0.01})
    networks = recipe.new_networks(ALL).eval()
    data = batch()
    alone, double = recipe.terms(networks, data, config), recipe.terms(networks, data, replace(config, **{name: 0.02}))
    assert set(alone) == {"smooth", "match"} | TERMS[name]
    for term in TERMS[name]:
        assert double[term].item() == pytest.approx(2 * alone[term].item(), rel=1e-5)
    plain = recipe.terms(networks, data, VIDEO)
    assert torch.equal(plain["match"], alone["match"]) and torch.equal(plain["smooth"], alone["smooth"])  # S1's are as they were
    assert set(recipe.new_networks(config)) == {"depth", "pose"} | {"style": {"frozen"}, "alignment": {"offset"}}.get(name, set())


def test_the_next_images_depth_is_computed_only_when_a_term_asks():
    networks, data = recipe.new_networks(ALL).eval(), batch()
    sizes = []
    networks["depth"].transfer["0"].register_forward_pre_hook(lambda layer, given: sizes.append(len(given[0])))
    for config in (VIDEO, replace(VIDEO, style=0.01), replace(VIDEO, alignment=0.01), replace(VIDEO, density=0.01),
                   replace(VIDEO, mask="moved+weighted"), replace(VIDEO, mask="agreeing")):
        recipe.terms(networks, data, config)
    assert sizes == [3, 3, 6, 6, 3, 3, 3, 3]


def test_the_motion_is_the_one_to_the_next_image():
    networks, data = recipe.new_networks(ALL).eval(), batch()
    seen = []

    def spied(given, config, *, hard=False):
        seen.append(given)
        return torch.zeros(())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust_terms, "density", spied)
        recipe.terms(networks, data, replace(VIDEO, density=1.0))
    (given,) = seen
    assert torch.allclose(given.following, networks["depth"](data["neighbours"][:, 1])[0], rtol=1e-4)
    wanted = motion(networks["pose"](data["image"], data["neighbours"][:, 1]))
    assert torch.allclose(given.T_following_image, wanted, atol=1e-6)


def test_masks_are_joined_and_weigh_by_agreement():
    networks, data = recipe.new_networks(VIDEO).eval(), batch()
    given = {"contrary": torch.zeros(3, 1, 32, 64)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust_terms, "disagreement", lambda **pair: (given["contrary"], None))

        def match(mask):
            return recipe.terms(networks, data, replace(VIDEO, mask=mask, disagreement=0.2))["match"].item()

        assert match("moved+weighted") == pytest.approx(match("moved"), rel=1e-5) == match("moved+agreeing")  # nothing disagrees
        given["contrary"] = torch.full((3, 1, 32, 64), 0.5)
        assert match("weighted") == pytest.approx(match("none"), rel=1e-5)  # a mean: more disagreement is no way to a smaller loss
        assert match("agreeing") == 0
        given["contrary"] = torch.zeros(3, 1, 32, 64)
        given["contrary"][..., :32] = 1.0
        assert match("weighted") == pytest.approx(match("agreeing"), rel=1e-5)
        assert match("weighted") != pytest.approx(match("none"), rel=1e-3)
        data["others"][..., 64:] = data["target"][:, None, ..., 64:]  # and the other half is a picture that stands
        assert match("voted+weighted") == match("voted+agreeing") == 0 < match("weighted")
    assert replace(VIDEO, mask="moved+weighted").plain.mask == "moved" and replace(VIDEO, mask="agreeing").plain.mask == "none"
    with pytest.raises(BadInput, match="joined by"):
        replace(VIDEO, mask="moved+other")
    with pytest.raises(BadInput, match="style_weights"):
        replace(VIDEO, style_weights=(1.0, 1.0))


OPTIONS = [("smooth_mode", "inverse_depth", "smooth"), ("match_mode", "difference", "match"), ("alignment_relative", False, "features"),
           ("density_literal", True, "density")]


@pytest.mark.parametrize(("option", "value", "term"), OPTIONS)
def test_the_texts_own_forms_are_options(option, value, term):
    networks, data = recipe.new_networks(ALL).eval(), batch()
    usual, literal = recipe.terms(networks, data, ALL), recipe.terms(networks, data, replace(ALL, **{option: value}))
    changed = {name for name in usual if usual[name].item() != pytest.approx(literal[name].item(), rel=1e-4)}
    assert changed == {term}


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(recipe, "FrameReader", drive)
    return file


def test_what_only_helps_to_learn_is_resumed_and_stays_out_of_the_model(bag, tmp_path, monkeypatch):
    config = replace(ALL, validate=0.3, fit=FitConfig(threads=1, snapshot_every=1, checkpoint_s=0.0))
    whole = recipe.train([bag], tmp_path / "whole", config=config, budget=Budget(steps=4), batch=2)
    assert {"style", "offsets", "features", "density"} <= set(whole.mean())
    assert all(np.isfinite(score["hard_density"]) for score in whole.scores)
    assert sorted(model.load(tmp_path / "whole").networks) == ["depth", "pose"]
    assert not [file for file in (tmp_path / "whole").iterdir() if file.stem in ("offset", "frozen")]
    honest = recipe.terms

    def cut(networks, data, config):
        cut.calls += 1
        if cut.calls == 3:
            raise KeyboardInterrupt
        return honest(networks, data, config)

    cut.calls = 0
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe, "terms", cut)
        recipe.train([bag], tmp_path / "cut", config=config, budget=Budget(steps=4), batch=2)
    recipe.train([bag], tmp_path / "cut", config=config, budget=Budget(steps=4), batch=2, resume=True)
    for name in ("depth", "pose"):
        ends = [(tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "cut")]
        assert ends[0] == ends[1]


def test_the_frozen_encoder_is_the_depth_network_that_it_starts_from(bag, tmp_path):
    recipe.train([bag], tmp_path / "m", config=VIDEO, budget=Budget(steps=2), batch=2)
    networks = recipe.new_networks(ALL, tmp_path / "m")
    for name, value in networks["depth"].state_dict().items():
        assert torch.equal(networks["frozen"].depth.state_dict()[name], value)


def test_held_out_frames_are_scored_by_what_s1_would_score():
    drives = Drives(VIDEO.samples, validate=0.4, needs_scan=False)
    drives.add(drive())
    networks = recipe.new_networks(ALL).eval()
    scores = [depth_scores.score(networks, drives, config) for config in (VIDEO, ALL)]
    assert scores[0]["match"] == scores[1]["match"] and set(scores[1]) - set(scores[0]) == {"hard_density"}


def test_the_recipe_file_switches_all_of_it_on():
    config = from_yaml(recipe.Config(), CONFIG / "robust.yaml")
    assert not config.needs_scan and config.needs_following
    assert (config.style, config.smooth, config.alignment, config.density) == (0.01, 1e-3, 0.01, 1e-3)  # l1..l4, see decision 0026
    for name in ("depth.yaml", "video.yaml", "literal.yaml", "depth_only.yaml"):
        other = from_yaml(recipe.Config(), CONFIG / name)
        assert not (other.style or other.needs_following) and other.plain == other


def test_bfloat16_moves_no_point_to_another_voxel():
    networks, data = recipe.new_networks(ALL).eval(), batch()
    pair = robust_terms.Pair(3 + torch.rand(3, 1, 64, 128), 3 + torch.rand(3, 1, 64, 128), None, data["K"], torch.eye(4).repeat(3, 1, 1))
    with torch.autocast("cpu", torch.bfloat16):
        low = robust_terms.density(pair, ALL)
        assert all(torch.isfinite(loss) for loss in recipe.terms(networks, data, ALL).values())
    assert torch.equal(low, robust_terms.density(pair, ALL))


def test_shares_of_a_batch_add_up_to_the_joint_one():
    """What two processes would compute (losses.reduce), one after the other."""
    torch.manual_seed(0)
    networks, data = recipe.new_networks(ALL).eval(), batch()
    torch.nn.init.normal_(networks["offset"].offset.weight, std=0.3)  # some places of theta leave the picture
    halves = [{name: x[:1] for name, x in data.items()}, {name: x[1:] for name, x in data.items()}]
    counts: list[list[torch.Tensor]] = [[], []]
    for half, seen in zip(halves, counts, strict=True):
        with reduce.over(lambda count, seen=seen: (seen.append(count), count)[1]):
            recipe.terms(networks, half, ALL)
    joint = [a + b for a, b in zip(*counts, strict=True)]
    assert any(2 * a != b for (a, b) in zip(*counts, strict=True))  # not all count everything
    shares = []
    for half in halves:
        totals = iter(joint)
        with reduce.over(lambda count, totals=totals: next(totals)):
            shares.append(recipe.terms(networks, half, ALL))
    for name, whole in recipe.terms(networks, data, ALL).items():
        assert (shares[0][name] + shares[1][name]).item() == pytest.approx(whole.item(), rel=1e-4), name


@pytest.mark.parametrize("both_learn", [True, False])
def test_the_profile_cuts_these_steps_too(bag, both_learn):
    seen = profile.profile([bag], config=replace(ALL, both_learn=both_learn), batch=2, steps=1)
    assert sum(seen["shares"].values()) == pytest.approx(1, abs=0.01) and seen["shares"]["networks backward"] > 0
