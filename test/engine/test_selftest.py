"""engine.selftest: what passes, by how much, and that every other answer is refused with its size."""

import shutil

import numpy as np
import pytest

from depth_perception import model as models
from depth_perception.engine import BOUNDS, Engine
from depth_perception.engine.selftest import prove
from depth_perception.frame import BadInput


@pytest.fixture
def model(tiny_model):
    return models.load(tiny_model)


def off_by(engine, share, pixels=...):
    """The engine with all pixels, or some, off by a share of the largest value; the tiny model answers the stored frame evenly."""

    def run(**arrays):
        depth = engine(**arrays)["depth"].copy()
        depth[0, 0][pixels] += share * np.abs(depth).max()
        return {"depth": depth}

    return run


@pytest.mark.parametrize(("precision", "pixels"), [("fp32", (3, 5)), ("fp32", ...), ("fp16", (3, 5)), ("fp16", ...), ("int8", ...)])
def test_what_is_off_beyond_the_bound_is_refused_and_what_is_within_passes_with_its_size(model, precision, pixels):
    engine = Engine(model.onnx("depth"), device="cpu")
    bound = BOUNDS[precision]
    proof = prove(off_by(engine, 0.9 * bound, pixels), model, "depth", inputs=engine.inputs, precision=precision)
    assert (proof.difference, proof.bound, proof.frames) == (pytest.approx(0.9 * bound, rel=1e-3), bound, 1)
    for share in (1.1 * bound, -1.1 * bound, np.nan, np.inf):
        with pytest.raises(BadInput, match=r"self-test: depth\.onnx answers depth off by .* not the network that was trained"):
            prove(off_by(engine, share, pixels), model, "depth", inputs=engine.inputs, precision=precision)


def test_bounds_grow_as_precision_falls():
    assert 0 < BOUNDS["fp32"] < BOUNDS["fp16"] < BOUNDS["int8"] < 0.1


def test_an_answer_of_another_shape_is_refused(model):
    with pytest.raises(BadInput, match="off by inf"):
        prove(lambda image: {"depth": np.full((1, 1, 1, 1), 15, np.float32)}, model, "depth", inputs={"image": [1, 3, 32, 64]})


def test_an_unknown_precision_is_named(model):
    with pytest.raises(BadInput, match="precision: wanted one of fp32, fp16, int8, got 'fp8'"):
        prove(lambda image: {}, model, "depth", inputs={}, precision="fp8")


@pytest.fixture
def copy(tiny_model, tmp_path):
    return models.load(shutil.copytree(tiny_model, tmp_path / "copy"))


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"", lambda content: b"PK" + content[2:100]])
def test_a_damaged_file_of_stored_frames_proves_nothing(copy, damage):
    file = copy.path / "selftest.npz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BadInput, match=r"selftest\.npz cannot be read"):
        prove(lambda image: {}, copy, "depth", inputs={"image": [1, 3, 32, 64]})


def test_a_network_without_stored_frames_is_not_proven(copy):
    with np.load(copy.path / "selftest.npz") as stored:
        kept = {key: stored[key] for key in stored.files if key.startswith("pose.")}
    np.savez(copy.path / "selftest.npz", **kept)
    with pytest.raises(BadInput, match=r"selftest\.npz has no frame of depth"):
        prove(lambda image: {}, copy, "depth", inputs={"image": [1, 3, 32, 64]})
