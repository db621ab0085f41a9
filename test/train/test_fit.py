"""The training loop: budget, schedule, checkpoints, and an honest end."""

import copy
import errno
import math
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from depth_perception.frame import BadInput
from depth_perception.train.checkpoint import Snapshot, load_checkpoint
from depth_perception.train.distributed import World
from depth_perception.train.fit import CHECKPOINT, FREE, Budget, FitConfig, History, Validation, fit, one_cycle

CONFIG = FitConfig(threads=1, device="cpu", checkpoint_s=0.0, snapshot_every=1, learning_rate=0.05)


def line() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"line": nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))})


def make(step):
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(step))
    return {"x": x, "y": x[:, :1] * 3 - x[:, 1:] + 1}


def terms_of(networks, stop_at=None, broken_at=(), before=lambda networks, step: None):
    def terms(step, batch):
        if step == stop_at:
            raise KeyboardInterrupt
        before(networks, step)
        error = (networks["line"](batch["x"]) - batch["y"]).square().mean()
        return {"fit": error, "other": error * (math.nan if step in broken_at else 0.1)}

    return terms


def run(tmp_path, steps, **options):
    networks = line()
    resume, describe = options.pop("resume", False), options.pop("describe", None)
    config = replace(CONFIG, snapshot_every=options.pop("snapshot_every", 1))
    history = fit(networks, terms_of(networks, **options), make, out=tmp_path, budget=Budget(steps=steps), config=config, resume=resume,
                  describe=describe)
    return networks, history


def test_it_learns_and_counts(tmp_path):
    _, history = run(tmp_path, 300)
    assert history.step == 300 == len(history.rows) and history.rows[-1]["step"] == 300
    assert history.mean(20)["fit"] < 0.2 * history.rows[0]["fit"]


def test_resumed_weights_equal_uninterrupted_ones(tmp_path):
    whole, _ = run(tmp_path / "whole", 6)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 6, stop_at=3)
    assert load_checkpoint(tmp_path / "cut" / CHECKPOINT, seed=0, identity={})[2].step == 3
    resumed, history = run(tmp_path / "cut", 6, resume=True)
    assert history.step == 6 and [row["step"] for row in history.rows] == [1, 2, 3, 4, 5, 6]
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_statistics_that_are_kept_are_used_and_never_change(tmp_path):
    """Through a score and a recovery too, which look at networks in eval mode and give them back."""
    networks, config = line(), replace(CONFIG, keep_statistics=True, validate_every=3)
    norm, seen = networks["line"][1], []
    norm.running_mean.fill_(0.7)
    norm.running_var.fill_(2.5)
    before, weight = copy.deepcopy(dict(norm.named_buffers())), norm.weight.detach().clone()

    def note(networks, step):
        norm_now = networks["line"][1]
        seen.append((networks["line"].training, norm_now.training))

    fit(networks, terms_of(networks, broken_at=(5,), before=note), make, out=tmp_path, budget=Budget(steps=12), config=config,
        validation=Validation(lambda step: {"fit": float(step)}, "fit"))
    asked_alone = [each for each in seen if not each[0]]  # by the recovery: which of the batch is it
    assert len(asked_alone) == 16 and {each for each in seen if each[0]} == {(True, False)} and len(seen) == 12 + 16
    networks, plain = line(), line()
    fit(networks, terms_of(networks), make, out=tmp_path / "kept", budget=Budget(steps=12), config=replace(CONFIG, keep_statistics=True))
    fit(plain, terms_of(plain), make, out=tmp_path / "plain", budget=Budget(steps=12), config=CONFIG)
    assert norm.running_mean.tolist() == before["running_mean"].tolist() and norm.running_var.tolist() == before["running_var"].tolist()
    assert not torch.equal(networks["line"][1].weight, weight), "what they are multiplied by is learned"
    assert networks["line"][1].running_mean.abs().max() == 0 and plain["line"][1].running_mean.abs().max() > 0


def test_a_term_that_is_not_finite_is_named_and_the_run_goes_on(tmp_path, capsys):
    networks, history = run(tmp_path, 30, broken_at=(12,), describe=lambda step, places: f"bag x at {list(places)[:1]}")
    (recovery,) = history.recoveries
    assert recovery["step"] == 12 and "the term 'other' became nan at step 12, on bag x at [0]" in recovery["sentence"]
    assert recovery["sentence"] in capsys.readouterr().err
    assert history.rate == 0.5 and history.rows[12] == {"step": 13} and history.step == 30
    assert all(x.isfinite().all() for x in networks.state_dict().values())
    assert history.rows[-1]["fit"] < history.rows[0]["fit"]


def test_the_weights_go_back_to_the_last_good_state(tmp_path):
    begun_with, spoilt = {}, []

    def spoil(networks, step):
        begun_with[step] = networks["line"][0].weight.detach().clone()
        if step == 7 and not spoilt:
            spoilt.append(step)
            with torch.no_grad():
                next(networks.parameters()).fill_(float("nan"))

    _, history = run(tmp_path, 9, before=spoil, snapshot_every=2)
    assert [recovery["step"] for recovery in history.recoveries] == [7]
    assert torch.equal(begun_with[8], begun_with[6])  # the last snapshot was taken after 6 steps


def test_a_gradient_that_is_no_number_is_noticed(tmp_path):
    networks = line()

    def terms(step, batch):
        x = networks["line"](batch["x"])
        return {"root": (x * 0).clamp(min=0).sqrt().sum() if step == 3 else x.square().mean()}  # 0, whose gradient is 0 / 0

    history = fit(networks, terms, make, out=tmp_path, budget=Budget(steps=6), config=CONFIG)
    assert "the gradient of the terms root became nan at step 3" in history.recoveries[0]["sentence"]
    assert history.step == 6 and all(p.isfinite().all() for p in networks.parameters())


def test_a_loss_that_explodes_is_noticed(tmp_path):
    networks = line()

    def terms(step, batch):
        error = (networks["line"](batch["x"]) - batch["y"]).square().mean()
        return {"calm": 0 * error + 0.5, "wild": error * (1e4 if 40 <= step < 43 or step == 60 else 1)}

    history = fit(networks, terms, make, out=tmp_path, budget=Budget(steps=70), config=replace(CONFIG, learning_rate=1e-4))
    (recovery,) = history.recoveries  # one high step at 60 is no explosion
    assert recovery["step"] == 42 and "the term 'wild' explodes" in recovery["sentence"] and "3 steps in a row" in recovery["sentence"]


def test_too_many_recoveries_end_it_and_say_why(tmp_path):
    with pytest.raises(BadInput, match=r"'other' became nan at step 8.*3 times before: try a smaller fit.learning_rate"):
        run(tmp_path, 30, broken_at=(2, 4, 6, 8))


def test_the_best_weights_are_kept(tmp_path):
    kept = {}

    def scores(step):
        kept[step] = networks["line"][0].weight.detach().clone()
        assert not networks.training and not torch.is_grad_enabled()
        return {"score": {0: 4.0, 2: 3.0, 4: 1.0, 6: math.nan, 8: 2.0, 9: 1.5}[step]}

    networks = line()
    config = replace(CONFIG, validate_every=2)
    history = fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=9), config=config,
                  validation=Validation(scores, "score"))
    assert history.best == {"step": 4, "score": 1.0} and history.scores[-1] == {"step": 9, "score": 1.5}
    assert torch.equal(networks["line"][0].weight, kept[4]) and not torch.equal(kept[4], kept[9])


def test_a_start_that_training_makes_worse_is_kept(tmp_path):
    networks = line()
    start = networks["line"][0].weight.detach().clone()
    history = fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=3), config=CONFIG,
                  validation=Validation(lambda step: {"score": float(step)}, "score"))
    assert history.best == {"step": 0, "score": 0.0} and torch.equal(networks["line"][0].weight, start)


def test_the_best_weights_survive_a_cut(tmp_path):
    def scores(step):
        return {"score": 1.0 if step == 2 else 2.0}

    ends = []
    for name, cut in (("whole", None), ("cut", 5)):
        networks = line()
        options = {"out": tmp_path / name, "budget": Budget(steps=8), "config": replace(CONFIG, validate_every=2),
                   "validation": Validation(scores, "score")}
        if cut:
            with pytest.raises(KeyboardInterrupt):
                fit(networks, terms_of(networks, stop_at=cut), make, **options)
            networks = line()
        ends.append((fit(networks, terms_of(networks), make, resume=bool(cut), **options), networks))
    assert ends[0][0].scores == ends[1][0].scores and ends[1][0].best == {"step": 2, "score": 1.0}
    assert torch.equal(ends[0][1]["line"][0].weight, ends[1][1]["line"][0].weight)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    run(tmp_path, 2)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("depth_perception.model.os.fsync", full)
    with pytest.raises(BadInput, match=r"the disk is full.*the model are as they were"):
        run(tmp_path, 4)
    assert (tmp_path / CHECKPOINT).read_bytes() == before and [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]


def test_resume_says_what_is_wrong(tmp_path):
    with pytest.raises(BadInput, match="no checkpoint"):
        run(tmp_path, 5, resume=True)
    run(tmp_path, 2)
    networks = line()
    with pytest.raises(BadInput, match="--seed 0, got 5"):
        fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=4), config=CONFIG, seed=5, resume=True)
    with pytest.raises(BadInput, match=r"trained with --bag None, got \['a'\]"):
        fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=4), config=CONFIG, resume=True, identity={"--bag": ["a"]})
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes()[:500])
    with pytest.raises(BadInput, match="cannot be read"):
        run(tmp_path / "half", 5, resume=True)
    other = nn.ModuleDict({"line": nn.Linear(2, 1)})
    with pytest.raises(BadInput, match="another network"):
        fit(other, terms_of(other), make, out=tmp_path, budget=Budget(steps=4), config=CONFIG, resume=True)


def test_it_ends_at_the_target(tmp_path):
    networks = line()
    config = FitConfig(threads=1, learning_rate=0.05, target=1e3)
    history = fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=500), config=config)
    assert history.step == 50


def test_a_bad_loss_never_reaches_the_weights(tmp_path):
    """The gradient is there before the loss is judged: both come from the device in one piece."""
    seen = {}
    networks = line()

    def terms(step, batch):
        seen[step] = [x.detach().clone() for x in networks["line"].parameters()]
        error = (networks["line"](batch["x"]) - batch["y"]).square().mean()
        return {"fit": error, "wild": error.detach() * math.inf if step == 3 else 0 * error}

    history = fit(networks, terms, make, out=tmp_path, budget=Budget(steps=5), config=CONFIG)
    assert [each["step"] for each in history.recoveries] == [3] and history.rows[3] == {"step": 4}
    assert all(torch.equal(a, b) for a, b in zip(seen[3], seen[4], strict=True))  # a snapshot was taken after every step
    assert not all(torch.equal(a, b) for a, b in zip(seen[2], seen[3], strict=True))


def test_moments_from_a_file_lie_in_memory_as_their_parameters_do():
    """A GPU's fused step refuses anything else."""
    network = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3)}).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters())
    network["conv"](torch.rand(1, 3, 5, 5)).sum().backward()
    optimiser.step()
    taken = Snapshot.of(network, optimiser)
    moments = {name: value.contiguous() for name, value in taken.moments.items()}
    assert moments["0.exp_avg"].stride() != taken.moments["0.exp_avg"].stride()
    Snapshot(taken.weights, moments).restore(network, optimiser)
    state = optimiser.state[network["conv"].weight]
    assert state["exp_avg"].stride() == network["conv"].weight.stride() and torch.equal(state["exp_avg"], moments["0.exp_avg"])
    assert float(state["step"]) == 1


def test_only_training_passes_are_compiled(tmp_path, monkeypatch):
    compiled = []

    def compile(forward):
        compiled.append(0)

        def fast(*inputs):
            compiled[-1] += 1
            return forward(*inputs)

        return fast

    monkeypatch.setattr(torch, "compile", compile)
    networks = line()
    networks["fixed"] = nn.Linear(2, 2).requires_grad_(False)
    names = list(networks.state_dict())

    def scores(step):
        networks["line"](make(0)["x"])
        return {"score": 1.0}

    fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=4), config=replace(CONFIG, compile=True, validate_every=1),
        validation=Validation(scores, "score"))
    assert compiled == [4] and list(networks.state_dict()) == names
    networks.train()["line"](make(0)["x"])
    assert compiled == [4]  # as it was
    with pytest.raises(BadInput, match=r"fit\.compile: wanted one process, got 2"):
        fit(line(), terms_of(line()), make, out=tmp_path, budget=Budget(steps=1), config=replace(CONFIG, compile=True), world=World(0, 2))


def test_what_cannot_be_compiled_says_so(tmp_path, monkeypatch):
    def compile(forward):
        def fast(*inputs):
            raise torch._dynamo.exc.TorchDynamoException("no compiler\nand more")

        return fast

    monkeypatch.setattr(torch, "compile", compile)
    networks = line()
    with pytest.raises(BadInput, match=r"cannot compile Sequential on this machine \(no compiler\); leave it off"):
        fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=1), config=replace(CONFIG, compile=True))
    assert networks["line"](make(0)["x"]).shape == (16, 1)


def test_what_only_says_where_and_how_fast_is_free_to_change():
    assert {each.name for each in fields(FitConfig)} >= set(FREE) >= {"device", "loaders", "compile", "threads"}


def test_precision_is_checked(tmp_path):
    with pytest.raises(BadInput, match="float32 or bfloat16"):
        fit(line(), terms_of(line()), make, out=tmp_path, budget=Budget(steps=1), config=FitConfig(precision="int3"))


def test_budget_ends_at_what_comes_first():
    assert Budget(steps=10).progress(5, 1e9) == 0.5
    assert Budget(minutes=2).progress(10**9, 60) == 0.5
    assert Budget(steps=10, minutes=2).progress(2, 90) == 0.75
    assert Budget(steps=10, minutes=2).progress(10, 0) == 1
    for bad in ({}, {"steps": 0}, {"minutes": -1.0}):
        with pytest.raises(BadInput, match="budget"):
            Budget(**bad)


def test_one_cycle_climbs_and_falls_to_zero():
    assert one_cycle(0.1, 0.1) == pytest.approx(1)
    assert one_cycle(0.05, 0.1) == pytest.approx(0.52)
    assert one_cycle(0.55, 0.1) == pytest.approx(0.5)
    assert one_cycle(1.0, 0.1) == pytest.approx(0)


def test_history_means_each_term_where_it_is():
    history = History(rows=[{"step": 1, "a": 100.0}, {"step": 2, "a": 1.0, "b": 5.0}, {"step": 3, "a": 3.0}])
    assert history.mean(2) == {"a": 2.0, "b": 5.0}
