"""The trainer on a CUDA GPU: the numbers of the CPU, but for rounding, and few looks at them."""

import warnings
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn
from wall import S1, S2, batches, frames

from depth_perception import model
from depth_perception.losses import motion
from depth_perception.networks.deformable import Theta, deform
from depth_perception.samples import SampleConfig, unpacked
from depth_perception.train import depth as recipe
from depth_perception.train import profile, robust_terms
from depth_perception.train.device import chosen, home, onto
from depth_perception.train.distributed import JointBatchNorm, World
from depth_perception.train.fit import Budget, FitConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
CUDA = torch.device("cuda", 0)
CONFIGS = {"s1": S1, "s2": S2, "s1's network": replace(S1, network="s1", distance_mode="posed", smooth_mode="literal_relative")}


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(recipe, "FrameReader", lambda path, **options: frames())
    return file


@pytest.fixture
def exact():
    """Without TF32: what differs then is rounding alone."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on(device, config, **options):
    return replace(config, fit=FitConfig(**{"threads": 2, "device": device, "snapshot_every": 1, "checkpoint_s": 0.0, **options}))


def train(bag, out, config, steps=5, **options):
    config = replace(config, velocity=0.0, validate=0.2, samples=SampleConfig())
    return recipe.train([bag], out, config=config, budget=Budget(steps=steps), batch=2, seed=1, **options)


def close(ours, theirs, *, rel):
    assert [list(row) for row in ours.rows] == [list(row) for row in theirs.rows]
    for a, b in zip(ours.rows, theirs.rows, strict=True):
        assert a == pytest.approx(b, rel=rel, abs=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_terms_and_gradients_are_the_cpus(name, exact):
    config, seen = CONFIGS[name], []
    made = batches()
    for device in (torch.device("cpu"), CUDA):
        torch.manual_seed(0)
        networks = recipe.new_networks(config).train().to(device)
        data = unpacked(onto(device, made.packed(0, pairs=True)))
        losses = recipe.terms(networks, data, config)
        sum(losses.values()).backward()
        assert all(loss.device == device for loss in losses.values())
        norms = {key: torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm().item()
                 for key, net in networks.items() if any(p.grad is not None for p in net.parameters())}
        seen.append(({key: loss.item() for key, loss in losses.items()}, norms))
    assert seen[1][0] == pytest.approx(seen[0][0], rel=1e-2, abs=1e-5)
    assert seen[1][1] == pytest.approx(seen[0][1], rel=0.1, abs=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_five_steps_are_the_cpus_within_a_few_per_cent(bag, tmp_path, name):
    histories = [train(bag, tmp_path / device, on(device, CONFIGS[name], learning_rate=1e-4)) for device in ("cpu", "cuda")]
    close(histories[1], histories[0], rel=0.05)
    assert histories[1].scores[-1] == pytest.approx(histories[0].scores[-1], rel=0.1, abs=0.01)
    written = model.load(tmp_path / "cuda")
    again = recipe.new_networks(CONFIGS[name], tmp_path / "cuda")
    assert home(again).type == "cpu" and sorted(written.networks) == ["depth", "pose"]
    assert (tmp_path / "cuda" / "report" / "depth_0.png").is_file()


def test_a_cut_training_goes_on_on_either_device(bag, tmp_path, monkeypatch):
    config = on("cuda", S2, learning_rate=1e-4)
    whole = train(bag, tmp_path / "whole", config)
    for name, then in (("gpu", "cuda"), ("cpu", "cpu")):
        honest = recipe.terms

        def cut(networks, data, config):
            if torch.is_grad_enabled():
                cut.calls += 1
            if cut.calls == 4:
                raise KeyboardInterrupt
            return honest(networks, data, config)  # noqa: B023

        cut.calls = 0
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(recipe, "terms", cut)
            train(bag, tmp_path / name, config)
        went_on = train(bag, tmp_path / name, on(then, S2, learning_rate=1e-4), resume=True)
        assert went_on.step == 5
        close(went_on, whole, rel=0.05)
    assert train(bag, tmp_path / "cpu", config, steps=6, resume=True).step == 6  # and back


def test_a_bad_frame_is_named_and_the_run_goes_on(bag, tmp_path, monkeypatch):
    honest, calls = recipe.terms, []

    def poisoned(networks, data, config):
        losses = honest(networks, data, config)
        if torch.is_grad_enabled():
            calls.append(None)
            if len(calls) == 3:
                losses["match"] = losses["match"] * float("nan")
        return losses

    monkeypatch.setattr(recipe, "terms", poisoned)
    history = train(bag, tmp_path / "m", on("cuda", S1))
    assert [each["step"] for each in history.recoveries] == [2] and "'match' became nan" in history.recoveries[0]["sentence"]
    assert history.step == 5 and all(x.isfinite().all() for x in recipe.new_networks(S1, tmp_path / "m").state_dict().values())


@pytest.mark.parametrize("name", CONFIGS)
def test_bfloat16_rounds_and_does_not_break(bag, tmp_path, name):
    low, full = (train(bag, tmp_path / precision, on("cuda", CONFIGS[name], learning_rate=1e-4, precision=precision))
                 for precision in ("bfloat16", "float32"))
    assert not low.recoveries
    for a, b in zip(low.rows[:2], full.rows[:2], strict=True):
        assert a == pytest.approx(b, rel=0.15, abs=0.02)


def test_geometry_stays_in_float32_under_bfloat16():
    torch.manual_seed(0)
    pose, points = torch.randn(2, 6) * 0.1, torch.randn(2, 3, 500) * 60
    features, theta = torch.randn(1, 4, 30, 40), Theta(torch.randn(1, 9, 2, 30, 40), torch.full((9,), 1 / 9))
    depths = [5 + 30 * torch.rand(1, 1, 64, 128) for _ in range(2)]
    pair = robust_terms.Pair(*depths, None, torch.tensor([[[70.0, 0, 64], [0, 70, 32], [0, 0, 1]]]), torch.eye(4)[None])
    with torch.autocast("cuda", torch.bfloat16):
        T = motion.motion(pose.cuda())
        moved = motion.move(motion.inverse(T), points.cuda())
        deformed = deform(features.cuda(), Theta(*(x.cuda() for x in theta)))
        density = robust_terms.density(robust_terms.Pair(*(x if x is None else x.cuda() for x in pair)), S2)
    assert moved.dtype == deformed.dtype == density.dtype == torch.float32
    assert torch.allclose(moved.cpu(), motion.move(motion.inverse(motion.motion(pose)), points), atol=1e-3)
    assert torch.allclose(deformed.cpu(), deform(features, theta), atol=1e-4)
    assert density.item() == pytest.approx(robust_terms.density(pair, S2).item(), rel=1e-3)


def test_motions_are_no_tf32_either(bag, tmp_path):
    train(bag, tmp_path / "m", on("cuda", S1), steps=1)
    points = torch.full((1, 3, 10), 60.0, device="cuda") + torch.arange(10, device="cuda") / 1000
    assert (motion.move(torch.eye(4, device="cuda")[None], points) - points).abs().max() < 1e-4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_processes_make_the_batches_of_the_thread(bag, tmp_path, precision):
    histories = [train(bag, tmp_path / str(loaders), on("cuda", S1, learning_rate=1e-4, loaders=loaders, precision=precision))
                 for loaders in (0, 2)]
    close(histories[1], histories[0], rel=0.05)


@contextmanager
def waits():
    """The places at which a step waits for the GPU."""
    seen = []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield seen
            seen += [f"{each.filename}:{each.lineno}" for each in caught if "synchroniz" in str(each.message)]
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_terms_and_their_gradients_never_wait_for_the_gpu(name, precision):
    networks = recipe.new_networks(CONFIGS[name]).train().to(CUDA)
    data = unpacked(onto(CUDA, batches().packed(0, pairs=True)))
    for _ in range(2):  # the first one looks for its kernels
        with waits() as seen, torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
            losses = recipe.terms(networks, data, CONFIGS[name])
            torch.stack(list(losses.values())).sum().backward()
    assert not seen, seen


def test_a_step_waits_once(bag, tmp_path):
    with waits() as seen:
        train(bag, tmp_path / "m", on("cuda", S1, snapshot_every=1000, validate_every=1000, checkpoint_s=1e6), steps=12)
    in_steps = [place for place in seen if "fit.py" in place]
    assert len(in_steps) <= 12 + 3, seen


class Twin(World):
    """A world in which another process holds the same share."""

    def add(self, values):
        return 2 * values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_joint_batch_norm_is_the_batch_norm_of_both_shares(dtype, layout, exact):
    x = (torch.randn(3, 5, 16, 24, device="cuda") * 3 + 7).to(dtype).contiguous(memory_format=layout)
    joint, plain = nn.BatchNorm2d(5).cuda(), nn.BatchNorm2d(5).cuda()
    joint.__class__, joint.world = JointBatchNorm, Twin(0, 2)
    a, b = x.clone().requires_grad_(), torch.cat([x, x]).requires_grad_()
    weights = torch.randn_like(x)
    ours, theirs = joint(a), plain(b)
    (ours * weights).sum().backward()
    (theirs * torch.cat([weights, weights])).sum().backward()
    near = {"rtol": 1e-3, "atol": 1e-3} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(ours, theirs[:3], **near)
    torch.testing.assert_close(a.grad, b.grad[:3], **near)
    torch.testing.assert_close(2 * joint.weight.grad, plain.weight.grad, rtol=0.02, atol=0.5)
    torch.testing.assert_close(joint.running_var, plain.running_var, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_compiled_steps_are_the_plain_ones(bag, tmp_path):
    plain, fast = (train(bag, tmp_path / str(compile), on("cuda", S1, learning_rate=1e-4, compile=compile)) for compile in (False, True))
    close(fast, plain, rel=0.05)


def test_the_profile_says_which_gpu(bag):
    seen = profile.profile([bag], config=replace(S1, fit=FitConfig(device="cuda", loaders=2)), batch=2, steps=3)
    assert seen["device"] == torch.cuda.get_device_name(0) and sum(seen["shares"].values()) == pytest.approx(1, abs=0.01)


def test_auto_is_the_gpu():
    assert chosen("auto").type == chosen("cuda").type == "cuda"
