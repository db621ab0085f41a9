"""Training on another device than the CPU, as far as a machine without a GPU can tell: on torch's device "meta", where tensors have no
values. What is made on the CPU by mistake, or looked at in the middle of a step, is found there as on a GPU."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from wall import S1, S2, batches

from depth_perception.frame import BadInput
from depth_perception.losses import distance
from depth_perception.samples import unpacked
from depth_perception.train import depth as recipe
from depth_perception.train import robust_terms
from depth_perception.train.depth_terms import pair_of
from depth_perception.train.device import chosen, home
from depth_perception.train.distributed import JointBatchNorm, World
from depth_perception.train.fit import FitConfig

CONFIGS = {
    "all of s2": replace(S2, mask="unchanged+voted+moved+weighted+agreeing"),
    "s2 of s1's network": replace(S2, network="s1", both_learn=False, density_literal=True, alignment_relative=False),
    "no alignment": replace(S2, alignment=0.0, smooth_mode="inverse_depth", match_mode="difference", mask="agreeing"),
    "one stride": replace(S1, match_strides=(1,), mask="none", smooth_mode="literal", network="s1"),
    "literal": replace(S1, mask="unchanged", smooth_mode="literal_relative", reconstruction="residual", distance_reduction="sum"),
    "range": replace(S1, distance_as="range"),
    **{mode: replace(S1, distance_mode=mode) for mode in ("depth", "relative", "camera3d", "reprojected", "posed", "signed")},
}


class NoneElsewhere(TorchDispatchMode):
    """No tensor may come to be on another device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, torch.Tensor) and each.device.type != "meta":
                raise AssertionError(f"{func} made a tensor on the {each.device}")
        return out


class NoneFromNumbers(TorchFunctionMode):
    """Nor may one be made of Python's numbers: they are copied from the CPU, and the GPU is waited for."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
            raise AssertionError(f"{func} made a tensor on the cpu first")
        return func(*args, **(kwargs or {}))


@contextmanager
def there_alone():
    with NoneElsewhere(), NoneFromNumbers():
        yield


@pytest.fixture
def without_values(monkeypatch):
    """What is asked of torch.autocast, which knows no meta device: the devices it was switched off for."""
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda device, *precision, enabled=True: nullcontext(asked.append((device, enabled))))
    return asked


def given():
    """A batch without values."""
    return {name: x.to("meta") for name, x in batches()(0, pairs=True).items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_term_stays_on_the_device_and_looks_at_no_value(name, without_values):
    config = CONFIGS[name]
    networks = recipe.new_networks(config).train().to("meta")
    data = given()
    with there_alone():
        losses = recipe.terms(networks, data, config)
        torch.stack(list(losses.values())).sum().backward()
    assert len(losses) > 1 and all(loss.shape == () for loss in losses.values())
    assert all(p.grad.device.type == "meta" for p in networks["depth"].parameters() if p.grad is not None)
    assert without_values and set(without_values) == {("meta", False)}  # geometry is exact on the device in use, whichever it is


MISTAKES = {"made on the CPU": lambda like: torch.zeros(like.shape),
            "copied from the CPU": lambda like: torch.tensor(1.0, device=like.device),
            "copied from the CPU in another way": lambda like: like.new_tensor(1.0),
            "moved from the CPU": lambda like: torch.arange(like.shape[-1]).to(like)}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_tensor_from_the_cpu_is_noticed(mistake, without_values, monkeypatch):
    networks, data = recipe.new_networks(S1).train().to("meta"), given()
    honest = distance.carried
    monkeypatch.setattr(distance, "carried", lambda truth, *rest, **options: honest(truth + MISTAKES[mistake](truth), *rest, **options))
    with there_alone(), pytest.raises(AssertionError, match="made a tensor on the cpu"):
        recipe.terms(networks, data, S1)


def test_a_value_looked_at_is_noticed(without_values, monkeypatch):
    networks, data = recipe.new_networks(S1).train().to("meta"), given()
    honest = distance.carried
    monkeypatch.setattr(distance, "carried", lambda truth, *rest, **options: honest(truth, *rest, **options) if truth.isnan().any() else 0)
    with there_alone(), pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        recipe.terms(networks, data, S1)


def test_a_batch_is_unpacked_on_its_device():
    made = batches()
    packed = {name: x.to("meta") for name, x in made.packed(0, pairs=True).items()}
    with there_alone():
        there = unpacked(packed)
    here = made(0, pairs=True)
    described = [{name: (x.shape, x.stride(), x.dtype) for name, x in batch.items()} for batch in (there, here)]
    assert described[0] == described[1]
    assert sum(x.nbytes for x in packed.values()) < 0.35 * sum(x.nbytes for x in here.values())


def test_the_hard_count_stays_there_too(without_values):
    networks, data = recipe.new_networks(S2).eval().to("meta"), given()
    with there_alone(), torch.no_grad():
        assert robust_terms.density(pair_of(networks, data, S2), S2, hard=True).shape == ()


def gpus(monkeypatch, count, *, processes=1, rank=0):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setenv("LOCAL_RANK", str(rank))


CHOICES = [("auto", 0, 1, 0, "cpu"), ("auto", 1, 1, 0, "cuda:0"), ("auto", 4, 2, 1, "cuda:1"), ("auto", 1, 2, 1, "cpu"),
           ("cpu", 8, 1, 0, "cpu"), ("cuda", 1, 1, 0, "cuda:0"), ("cuda", 2, 2, 1, "cuda:1")]


@pytest.mark.parametrize(("device", "count", "processes", "rank", "wanted"), CHOICES)
def test_a_gpu_for_every_process_or_the_cpu(monkeypatch, device, count, processes, rank, wanted):
    gpus(monkeypatch, count, processes=processes, rank=rank)
    assert str(chosen(device)) == wanted


def test_a_gpu_that_is_missing_is_said(monkeypatch, tmp_path):
    gpus(monkeypatch, 0)
    with pytest.raises(BadInput, match=r"fit\.device: wanted a CUDA GPU, one, torch finds 0"):
        recipe.train([tmp_path / "no.mcap"], tmp_path, config=replace(S1, fit=FitConfig(device="cuda")), budget=recipe.Budget(steps=1))
    gpus(monkeypatch, 1, processes=2)
    with pytest.raises(BadInput, match="one for each of 2 processes, torch finds 1"):
        chosen("cuda")
    with pytest.raises(BadInput, match=r"fit\.device: wanted one of auto, cpu, cuda, got 'gpu'"):
        FitConfig(device="gpu")


def test_home_is_where_the_weights_are():
    assert home(nn.Linear(2, 2)).type == home(nn.ReLU()).type == "cpu" and home(nn.Linear(2, 2, device="meta")).type == "meta"


class Twin(World):
    """A world in which another process holds the same share."""

    def add(self, values):
        return 2 * values


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_joint_batch_norm_is_the_batch_norm_of_both_shares(dtype):
    torch.manual_seed(0)
    x = torch.randn(3, 5, 4, 6, dtype=dtype).contiguous(memory_format=torch.channels_last) * 3 + 7
    joint, plain = nn.BatchNorm2d(5).to(dtype), nn.BatchNorm2d(5).to(dtype)
    joint.__class__, joint.world = JointBatchNorm, Twin(0, 2)
    a, b = x.clone().requires_grad_(), torch.cat([x, x]).requires_grad_()
    weights = torch.randn_like(x)
    ours, theirs = joint(a), plain(b)
    (ours * weights).sum().backward()
    (theirs * torch.cat([weights, weights])).sum().backward()
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-11}
    torch.testing.assert_close(ours, theirs[:3], **close)
    torch.testing.assert_close(a.grad, b.grad[:3], **close)
    torch.testing.assert_close(2 * joint.weight.grad, plain.weight.grad, **close)
    torch.testing.assert_close(joint.running_var, plain.running_var, **close)
