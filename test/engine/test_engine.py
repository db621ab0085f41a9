"""engine: one call, known arithmetic; a file that is no network is named."""

import json
import shutil

import numpy as np
import pytest

from depth_perception import model as models
from depth_perception.engine import Engine, load
from depth_perception.frame import BadInput


def test_arithmetic_of_the_tiny_model(tiny_model):
    engine = Engine(tiny_model / "depth.onnx")
    assert engine.inputs == {"image": [1, 3, 32, 64]}
    image = np.zeros((1, 3, 32, 64), np.float32)
    image[:, :, 4, 7] = 0.3
    depth = engine(image=image)["depth"]
    assert depth.shape == (1, 1, 32, 64)
    np.testing.assert_allclose(depth[0, 0, 4, 7], 17.0, rtol=1e-6)
    np.testing.assert_allclose(np.delete(depth.ravel(), 4 * 64 + 7), 5.0)


def test_no_network(tmp_path):
    (tmp_path / "depth.onnx").write_bytes(b"not a network")
    with pytest.raises(BadInput, match=r"depth\.onnx: ONNX Runtime cannot load it"):
        Engine(tmp_path / "depth.onnx")


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "copy")


def test_a_model_s_engine_is_proven_before_it_is_given(tiny_model):
    assert load(models.load(tiny_model), "pose").outputs == {"pose": [1, 6]}


def test_another_network_of_the_same_shape_is_refused(copy):
    with np.load(copy / "selftest.npz") as stored:
        changed = {key: stored[key] * (1.01 if key == "depth.0.out" else 1.0) for key in stored.files}
    np.savez(copy / "selftest.npz", **{key: value.astype(np.float32) for key, value in changed.items()})
    with pytest.raises(BadInput, match=r"self-test: depth\.onnx answers depth off by 0\.0"):
        load(models.load(copy), "depth")
    load(models.load(copy), "pose")


def test_a_manifest_of_another_size_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"height": 64}))
    with pytest.raises(BadInput, match=r"takes image \[1, 3, 32, 64\], its manifest says \[1, 3, 64, 64\]"):
        load(models.load(copy), "depth")


def test_a_model_without_a_self_test_is_refused(copy):
    (copy / "selftest.npz").unlink()
    with pytest.raises(BadInput, match=r"selftest\.npz is missing; run"):
        load(models.load(copy), "depth")
