"""The terms of `train markings`: what each compares, and what names the target's pixels, when nobody has labelled them."""

from dataclasses import replace

import pytest
import torch
from test_recipe_markings import TINY, VIEWS, batch, parts

from depth_perception.losses.discrepancy import discrepancy
from depth_perception.samples.markings import IGNORE
from depth_perception.train.marking_teacher import new_teacher
from depth_perception.train.marking_terms import chosen, named, terms


def answers():
    """Ten pixels in a row: seven of background, nearly sure, three of paint, hardly."""
    background = torch.tensor([0.999, 0.998, 0.997, 0.996, 0.995, 0.994, 0.993, 0.40, 0.35, 0.30])
    return torch.stack([background, 1 - background]).view(1, 2, 1, 10)


def test_one_probability_for_all_keeps_no_paint():
    assert named(answers(), sure=0.9, surest=0.0).flatten().tolist() == [0] * 7 + [IGNORE] * 3
    assert named(answers(), sure=0.62, surest=0.0).flatten().tolist() == [0] * 7 + [IGNORE, 1, 1]


def test_each_class_names_its_surest_share():
    assert named(answers(), sure=0.9, surest=0.5).flatten().tolist() == [0] * 4 + [IGNORE] * 4 + [1, 1]
    assert named(answers(), sure=0.9, surest=1.0).flatten().tolist() == [0] * 7 + [1] * 3
    assert named(answers()[..., :7], sure=0.9, surest=0.5).flatten().tolist() == [0] * 4 + [IGNORE] * 3, "no paint there at all"


def test_gamma_climbs_and_source_only_has_no_second_branch():
    assert [round(TINY.mmd_at(step), 3) for step in (0, 4, 400)] == [0.0, 0.5, 0.5]
    assert 0 < TINY.mmd_at(1) < TINY.mmd_at(2) < 0.5
    config, networks, branches = parts("source")
    losses = terms(networks, batch()(0), config, step=9, branches=branches, weights=torch.ones(7))
    assert set(losses) == {"cross_entropy", "lovasz"}


def test_the_mix_is_cross_entropy_lambda_lovasz_and_gamma_mmd():
    data, (config, networks, branches) = batch()(0), parts("siamese")

    def asked(lovasz, mmd, step=9):
        with torch.random.fork_rng():
            changed = replace(config, lovasz=lovasz, mmd=mmd, ramp=4)
            return {name: float(each.detach()) for name, each in terms(networks, data, changed, step=step, branches=branches,
                                                                       weights=torch.ones(7)).items()}

    networks.eval()  # the same statistics each time
    one, other = asked(1.0, 0.5), asked(0.25, 2.0)
    assert set(one) == {"cross_entropy", "lovasz", "mmd"}
    assert other["cross_entropy"] == pytest.approx(one["cross_entropy"]) and other["lovasz"] == pytest.approx(0.25 * one["lovasz"])
    assert abs(one["mmd"]) > 1e-5 and other["mmd"] == pytest.approx(4 * one["mmd"], rel=1e-4)
    assert asked(1.0, 0.5, step=2)["mmd"] != 0 and asked(1.0, 0.5, step=0)["mmd"] == 0, "gamma climbs"


def test_options_beyond_the_text_are_terms_of_their_own():
    config, networks, branches = parts("siamese")
    config = replace(config, entropy=0.1, pseudo=0.1, sure=0.5)
    losses = terms(networks, batch()(0), config, step=9, branches=branches, weights=torch.ones(7))
    assert set(losses) == {"cross_entropy", "lovasz", "mmd", "entropy", "pseudo"}
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize(("painted", "of_paint"), [(8, 6), (3, 3), (0, 0)])
def test_paint_is_half_of_what_is_compared_and_no_pixel_meets_itself(painted, of_paint):
    features = torch.arange(32.0).view(1, 1, 4, 8)
    paint = features[:, 0] < painted
    of, rest = chosen(features, paint=paint, count=12, balanced=True, generator=torch.Generator().manual_seed(0))
    drawn = torch.cat([of, rest])[:, 0]
    assert len(of) == of_paint and (of < painted).all() and (rest >= painted).all()
    assert len(drawn) == len(drawn.unique()) == (of_paint + 6 if painted else 12)
    (anywhere,) = chosen(features, paint=paint, count=40, balanced=False, generator=torch.Generator())
    assert len(anywhere.unique()) == 32


def test_apart_paint_is_compared_with_paint_and_the_rest_with_the_rest():
    data, (config, networks, branches) = batch()(0), parts("siamese")
    config, found = replace(config, lovasz=0.0, ramp=0, mmd=1.0), {}
    for apart in (False, True):
        losses = terms(networks, data, replace(config, apart=apart), step=3, branches=branches, weights=torch.ones(7))
        found[apart] = float(losses["mmd"].detach())
    answers = branches(networks["markings"], data["image"], data["target"])
    generator, small = torch.Generator().manual_seed(3), data["labels"][:, ::2, ::2]
    ours = chosen(answers[0][1], paint=(small > 0) & (small != IGNORE), count=64, balanced=True, generator=generator)
    others = chosen(answers[1][1], paint=answers[1][0].argmax(1) > 0, count=64, balanced=True, generator=generator)
    assert found[False] == pytest.approx(float(discrepancy(torch.cat(ours), torch.cat(others)).detach()), rel=1e-4)
    each = [float(discrepancy(a, b).detach()) for a, b in zip(ours, others, strict=True)]
    assert found[True] == pytest.approx(sum(each) / 2, rel=1e-4) and found[True] != pytest.approx(found[False], rel=0.05)


def test_the_teacher_follows_the_weights_and_names_what_it_sees_without_recolouring():
    data, (config, networks, branches) = batch(target_look=1.0)(0), parts("siamese")
    assert data["plain"].shape == data["target"].shape and not torch.equal(data["plain"], data["target"])
    config = replace(config, lovasz=0.0, mmd=0.0, ramp=0, pseudo=1.0, sure=0.0, teacher=0.5, views=replace(VIEWS, target_look=1.0))
    networks["teacher"] = new_teacher(networks["markings"])
    old, name = networks["teacher"].last.weight.clone(), "last.weight"
    with torch.no_grad():
        networks["markings"].get_parameter(name).add_(1.0)
    losses = terms(networks, data, config, step=9, branches=branches, weights=torch.ones(7))
    torch.testing.assert_close(networks["teacher"].last.weight, old + 0.5)
    networks["teacher"].eval()
    with torch.no_grad():
        names = networks["teacher"](data["plain"]).argmax(1)
    answered = branches(networks["markings"], data["image"], data["target"])[1][0]
    assert float(losses["pseudo"].detach()) == pytest.approx(float(torch.nn.functional.cross_entropy(answered, names).detach()), rel=1e-3)
    losses["pseudo"].backward()
    assert all(parameter.grad is None for parameter in networks["teacher"].parameters())
