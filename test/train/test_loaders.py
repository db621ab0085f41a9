"""Processes that make batches: the very batches of the thread, their errors, and their end."""

import os
import signal
from contextlib import closing
from dataclasses import replace

import psutil
import pytest
import torch
from wall import S1, batches, frames

from depth_perception.frame import BadInput
from depth_perception.samples import SampleConfig, ahead
from depth_perception.train import depth as recipe
from depth_perception.train.fit import Budget, FitConfig


def take(count, make, start=0, **options):
    with closing(ahead(make, start, **options)) as made:
        return [next(made) for _ in range(count)]


def children():
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize("packed", [False, True])
def test_processes_make_the_batches_of_the_thread(packed):
    made = batches(replace(S1, samples=SampleConfig()))  # every augmentation

    def make(step):
        return (made.packed if packed else made)(step, pairs=step % 2 == 0)

    random = torch.get_rng_state()
    for ours, theirs in zip(take(7, make, 3), take(7, make, 3, loaders=2), strict=True):
        assert list(ours) == list(theirs)
        for name, x in ours.items():
            assert torch.equal(x.nan_to_num(), theirs[name].nan_to_num()) and torch.equal(x.isnan(), theirs[name].isnan()), name
            assert (x.stride(), x.dtype) == (theirs[name].stride(), theirs[name].dtype), name
    assert torch.equal(torch.get_rng_state(), random)


def test_they_share_what_the_batches_are_made_of_and_end_with_them():
    before = children()
    held = {"never pickled": lambda: 5.0}
    with closing(ahead(lambda step: {"x": torch.full((3,), held["never pickled"]() + step), "by": torch.tensor(os.getpid())}, 0,
                       loaders=2)) as made:
        some = [next(made) for _ in range(4)]
        assert len(children()) == len(before) + 2
    assert [batch["x"][0].item() for batch in some] == [5, 6, 7, 8] and len({batch["by"].item() for batch in some} - {os.getpid()}) == 2
    assert children() == before


@pytest.mark.parametrize("loaders", [0, 1])
def test_bad_input_comes_back_as_it_is(loaders):
    def make(step):
        if step == 2:
            raise BadInput("the drive is torn")
        return {"x": torch.tensor(step)}

    with pytest.raises(BadInput, match=r"^the drive is torn$"):
        take(3, make, loaders=loaders)
    assert not [each for each in children() if each.status() != psutil.STATUS_ZOMBIE]


def test_another_error_says_what_it_was():
    with pytest.raises(ZeroDivisionError, match="modulo by zero"):
        take(1, lambda step: {"x": torch.tensor(1 // step)}, loaders=1)


def test_a_process_that_is_killed_is_said():
    def make(step):
        if step == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"x": torch.tensor(step)}

    with pytest.raises(BadInput, match=r"fit\.loaders: one of 1 processes that make batches was killed"):
        take(2, make, loaders=1)


@pytest.fixture
def bag(tmp_path, monkeypatch):
    file = tmp_path / "wall.mcap"
    file.write_bytes(b"a bag")
    monkeypatch.setattr(recipe, "FrameReader", lambda path, **options: frames())
    return file


def test_the_weights_are_those_of_a_training_with_the_thread(bag, tmp_path):
    for loaders in (0, 2):
        config = replace(S1, validate=0.2, fit=FitConfig(threads=1, device="cpu", loaders=loaders, validate_every=2))
        assert recipe.train([bag], tmp_path / str(loaders), config=config, budget=Budget(steps=4), batch=2).step == 4
    for name in ("depth.safetensors", "pose.safetensors"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    history = recipe.train([bag], tmp_path / "0", config=config, budget=Budget(steps=5), batch=2, resume=True)  # by processes from now on
    assert history.step == 5


def test_a_budget_in_minutes_ends_them_too(bag, tmp_path):
    config = replace(S1, fit=FitConfig(threads=1, device="cpu", loaders=1))
    history = recipe.train([bag], tmp_path / "m", config=config, budget=Budget(minutes=0.02), batch=2)
    assert history.elapsed_s / 60 >= 0.02 and not children()
