"""The plain loop and our reader make the same batches, and the bench would say so if they did not."""

import json
import sys

import numpy as np
import pytest
import torch

from bench import batches
from depth_perception.geometry import camera


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_both_ways_give_the_same_batches(short_bag):
    made = batches.race(str(short_bag), height=32, width=64, batch=4, rounds=1, epochs=10)
    found = made["differences"]
    assert found["image"] <= batches.MOST_GREY
    assert found["K"] < 1e-4
    assert found["same_depth"] > batches.LEAST_SAME_DEPTH
    assert {row["who"] for row in made["results"]} == {"plain", "decode", "read", "cut", "augmented"}
    assert {(row["windows"], row["batches"]) for row in made["results"]} == {(19, 5)}, "nine tenths of 22 windows, by fours"
    assert set(made["ratio"]) == {"first_epoch", "later_epochs", "later_epochs_augmented", "10_epochs", "epochs_until_4"}


def test_a_batch_of_other_windows_or_of_another_scale_is_told():
    rng = np.random.default_rng(0)
    one = {name: torch.from_numpy(rng.random((2, *shape), np.float32)) for name, shape in
           (("image", (3, 8, 16)), ("neighbours", (2, 3, 8, 16)), ("depth", (1, 8, 16)), ("K", (3, 3)))}
    one["depth"][0, 0, 0, 0] = float("nan")
    assert batches.differences(one, one) == {"image": 0.0, "K": 0.0, "same_depth": 1.0}
    assert batches.differences(one, one | {"neighbours": one["neighbours"].flip(1)})["image"] > 0.5
    assert batches.differences(one, one | {"depth": one["depth"] * 1.01})["same_depth"] == pytest.approx(1 / 256), "none is none"
    ratio = {"later_epochs": 5.0}
    held = {"image": 0.0, "K": 0.0, "same_depth": 1.0}
    assert all(batches.verdict({"ratio": ratio, "differences": held}).values())
    for name, value in (("image", 0.1), ("K", 1.0), ("same_depth", 0.5)):
        assert list(batches.verdict({"ratio": ratio, "differences": held | {name: value}}).values()) == [False, True]
    assert list(batches.verdict({"ratio": {"later_epochs": 3.9}, "differences": held}).values()) == [True, False]


def test_k_of_the_plain_loop_is_that_of_the_geometry():
    K = np.array([[721.5, 0, 609.6], [0, 721.5, 172.9], [0, 0, 1]])
    np.testing.assert_allclose(batches.scaled(K, 1242, 375, 416, 128), camera.resize_K(K, from_size=(375, 1242), to_size=(128, 416)))


def test_of_two_returns_in_a_pixel_the_nearer_one_counts():
    K = np.array([[10.0, 0, 4], [0, 10.0, 3], [0, 0, 1]])
    points = np.array([[0, 0, 20.0], [0, 0, 5], [0, 0, -5], [1, 0, 10], [100, 0, 1]], np.float32)
    depth = batches.sparse_depth(points, np.eye(4), K, height=6, width=8)
    assert np.argwhere(np.isfinite(depth)).tolist() == [[3, 4], [3, 5]]
    assert depth[3, 4:6].tolist() == [5, 10]


@pytest.mark.parametrize("ratio", [5.0, 3.0])
def test_the_bench_writes_what_it_prints_and_fails_with_its_verdict(short_bag, tmp_path, monkeypatch, capsys, ratio):
    row = {"who": "plain", "epoch_s": 2.0, "cpu_s": 1.5, "ms_per_batch": 20.0, "windows": 19, "batches": 5}
    raced = {"results": [row], "ratio": {"first_epoch": 0.5, "later_epochs": ratio, "epochs_until_4": None},
             "differences": {"image": 0.0, "K": 0.0, "same_depth": 1.0}}
    asked = []
    monkeypatch.setattr(batches, "race", lambda bag, **options: asked.append((bag, options)) or raced)
    monkeypatch.setattr(sys, "argv", ["batches", "--bag", str(short_bag), "--size", "64x32", "--batch", "4", "--rounds", "1",
                                      "--train-steps", "0", "--out", str(tmp_path)])
    assert batches.main() == (ratio < 4)
    assert asked == [(str(short_bag), {"height": 32, "width": 64, "batch": 4, "rounds": 1, "epochs": 100})]
    said, made = capsys.readouterr().out.splitlines(), json.loads((tmp_path / "batches.json").read_text())
    assert {"name", "machine", "versions", "commit", "verdict"} <= set(made)
    assert {name: made[name] for name in raced} == raced
    assert "plain           2.000         1.500       20.00" in said
    assert f"{'held' if ratio > 4 else 'NOT HELD'}: at least 4 times as fast once the bag is read" in said
