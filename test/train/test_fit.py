"""The training loop: budget, schedule, checkpoints, and an honest end."""

import json
import math

import pytest
import torch
from torch import nn

from depth_perception.frame import BadInput
from depth_perception.train.fit import CHECKPOINT, Budget, FitConfig, History, fit, one_cycle

CONFIG = FitConfig(threads=1, checkpoint_s=0.0, learning_rate=0.05)


def line() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"line": nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))})


def make(step):
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(step))
    return {"x": x, "y": x[:, :1] * 3 - x[:, 1:] + 1}


def terms_of(networks, stop_at=None, broken_at=None):
    def terms(step, batch):
        if step == stop_at:
            raise KeyboardInterrupt
        error = (networks["line"](batch["x"]) - batch["y"]).square().mean()
        return {"fit": error, "other": error * (math.nan if step == broken_at else 0.1)}

    return terms


def run(tmp_path, steps, **options):
    networks = line()
    resume = options.pop("resume", False)
    history = fit(networks, terms_of(networks, **options), make, out=tmp_path, budget=Budget(steps=steps), config=CONFIG, resume=resume)
    return networks, history


def test_it_learns_and_counts(tmp_path):
    _, history = run(tmp_path, 300)
    assert history.step == 300 == len(history.rows) and history.rows[-1]["step"] == 300
    assert history.mean(20)["fit"] < 0.2 * history.rows[0]["fit"]


def test_resumed_weights_equal_uninterrupted_ones(tmp_path):
    whole, _ = run(tmp_path / "whole", 6)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 6, stop_at=3)
    assert json.loads((tmp_path / "cut" / CHECKPOINT / "state.json").read_text())["step"] == 3
    resumed, history = run(tmp_path / "cut", 6, resume=True)
    assert history.step == 6 and [row["step"] for row in history.rows] == [1, 2, 3, 4, 5, 6]
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_term_that_is_not_finite_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"'other' became nan at step 2"):
        run(tmp_path, 5, broken_at=2)


def test_resume_says_what_is_wrong(tmp_path):
    with pytest.raises(BadInput, match="no checkpoint"):
        run(tmp_path, 5, resume=True)
    run(tmp_path, 2)
    networks = line()
    with pytest.raises(BadInput, match="seed 0, got 5"):
        fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=4), config=CONFIG, seed=5, resume=True)
    other = nn.ModuleDict({"line": nn.Linear(2, 1)})
    with pytest.raises(BadInput, match="another network"):
        fit(other, terms_of(other), make, out=tmp_path, budget=Budget(steps=4), config=CONFIG, resume=True)


def test_it_ends_at_the_target(tmp_path):
    networks = line()
    config = FitConfig(threads=1, learning_rate=0.05, target=1e3)
    history = fit(networks, terms_of(networks), make, out=tmp_path, budget=Budget(steps=500), config=config)
    assert history.step == 50


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
