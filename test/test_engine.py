"""engine: one call, known arithmetic; a file that is no network is named."""

import numpy as np
import pytest

from depth_perception.engine import Engine
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
    assert engine.last_ms > 0


def test_no_network(tmp_path):
    (tmp_path / "depth.onnx").write_bytes(b"not a network")
    with pytest.raises(BadInput, match=r"depth\.onnx: ONNX Runtime cannot load it"):
        Engine(tmp_path / "depth.onnx")
