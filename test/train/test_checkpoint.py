"""A checkpoint holds a history of any length, exactly; one of before loads; what cannot be written is one sentence."""

import json
import math
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from depth_perception.frame import BadInput
from depth_perception.train.checkpoint import CHECKPOINT, Snapshot, load_checkpoint, save_checkpoint
from depth_perception.train.fit import History

# As `train student` makes them: steps with neighbours and without, and steps that were skipped.
TEACHER = {"encoder": 1 / 3, "decoder": 2 / 7, "disparity": 1e-9}
KINDS = (TEACHER, {"distance": math.pi, "match": 0.1, **TEACHER}, {}, {"distance": 1e300, **TEACHER})


def history(count):
    rows = [{"step": step + 1, **{name: value / (step + 1) for name, value in KINDS[step % 4].items()}} for step in range(count)]
    return History(step=count, rows=rows, scores=[{"step": 0, "score": 1.5}], best={"step": 0, "score": 1.5})


@pytest.fixture
def written(tmp_path):
    """Saves and loads a history."""
    network = nn.ModuleDict({"line": nn.Linear(2, 1)})
    snapshot = Snapshot.of(network, torch.optim.AdamW(network.parameters()))

    def there_and_back(history):
        save_checkpoint(tmp_path / CHECKPOINT, snapshot, None, history, seed=0, identity={})
        return load_checkpoint(tmp_path / CHECKPOINT, seed=0, identity={})[2]

    return there_and_back


@pytest.mark.parametrize("count", [0, 1, 9])
def test_rows_come_back_as_they_were_in_their_order(written, count):
    before = history(count)
    after = written(before)
    assert after == before
    assert [list(row.items()) for row in after.rows] == [list(row.items()) for row in before.rows]
    assert all(type(row["step"]) is int for row in after.rows)


def test_the_header_does_not_grow_with_the_steps(written, tmp_path):
    """It may have 100 MB, which 637 000 steps of `train student` exceeded as JSON."""
    sizes = []
    for count in (100, 10_000):
        written(history(count))
        sizes.append(struct.unpack("<Q", (tmp_path / CHECKPOINT).read_bytes()[:8])[0])
    assert sizes[1] - sizes[0] < 100


def test_a_checkpoint_of_before_loads(written, tmp_path):
    """Its rows are in its JSON."""
    written(before := history(5))
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        state = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith("rows.")}  # noqa: SIM118
    state["history"] |= {"rows": before.rows}
    del state["kinds"], state["history"]["leaned"]
    save_file(tensors, tmp_path / CHECKPOINT, metadata={"state": json.dumps(state)})
    assert load_checkpoint(tmp_path / CHECKPOINT, seed=0, identity={})[2] == before


def test_what_is_too_large_for_a_file_is_one_sentence(written, tmp_path):
    written(history(3))
    there = (tmp_path / CHECKPOINT).read_bytes()
    large = History(recoveries=[{"step": 0, "sentence": "x" * 101_000_000}])
    with pytest.raises(BadInput, match=r"checkpoint.safetensors: cannot be written \(.*\); the checkpoint before it and the model are as"):
        written(large)
    assert (tmp_path / CHECKPOINT).read_bytes() == there and [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]
