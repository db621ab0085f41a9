"""Networks with several outputs, and with inputs that are no images, are proven as depth's is."""

import numpy as np
import pytest
import torch
from torch import nn

from depth_perception import model
from depth_perception.engine import Engine
from depth_perception.engine.selftest import prove, stored_frames
from depth_perception.export import proof
from depth_perception.export.onnx_file import write_onnx
from depth_perception.frame import BadInput

INPUTS = {"image": [1, 3, 32, 64], "cells": [1, 32], "pillars": [1, 5, 4, 6]}
OUTPUTS = {"pooled": [1, 3, 9], "raised": [1, 5, 4, 6]}
INDICES = {"cells": 9}


class Pooling(nn.Module):
    """The image's columns, summed into cells; pillars, raised by what the first cell holds."""

    def forward(self, image, cells, pillars):
        columns = image.reshape(1, 3, 32, 2, 32).sum((3, 4))
        pooled = torch.zeros(9, 3).index_add(0, cells[0], columns[0].T)
        return pooled.T[None], pillars + pooled[0, 0]


@pytest.fixture
def pooling(tmp_path):
    """(model, network) as `export` leaves them."""
    network, shown = Pooling(), proof.frames("pooling", INPUTS, INDICES)
    write_onnx(network, tmp_path / "pooling.onnx", inputs=INPUTS, outputs=OUTPUTS, indices=INDICES)
    np.savez(tmp_path / "selftest.npz", **proof.answers("pooling", network, shown, OUTPUTS))
    words = {"pooling": {"class": "Pooling", "config": {}, "inputs": INPUTS, "outputs": OUTPUTS, "indices": INDICES}}
    return model.Model(tmp_path, "objects", words, 32, 64, 100.0), network


def test_all_outputs_are_stored_and_proven(pooling):
    opened, network = pooling
    engine = Engine(opened.onnx("pooling"))
    assert prove(engine, opened, "pooling", inputs=engine.inputs).frames == proof.FRAMES
    for arrays, wanted in stored_frames(opened, "pooling", INPUTS):
        assert arrays["cells"].dtype == np.int64
        assert 0 <= arrays["cells"].min() < arrays["cells"].max() < 9
        cells = np.zeros((9, 3))
        np.add.at(cells, arrays["cells"][0], arrays["image"].reshape(3, 32, 64).sum(2).T)
        np.testing.assert_allclose(wanted["pooled"][0], cells.T, rtol=1e-5)
        np.testing.assert_allclose(wanted["raised"], arrays["pillars"] + wanted["pooled"][0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_engine_that_is_wrong_in_one_output_does_not_drive(pooling, name):
    opened, _ = pooling
    engine = Engine(opened.onnx("pooling"))
    with pytest.raises(BadInput, match=f"answers {name} off by"):
        prove(lambda **arrays: {key: got * (1.1 if key == name else 1) for key, got in engine(**arrays).items()}, opened, "pooling",
              inputs=engine.inputs)
    with pytest.raises(BadInput, match=f"answers {name} off by inf"):
        prove(lambda **arrays: {key: got for key, got in engine(**arrays).items() if key != name}, opened, "pooling", inputs=engine.inputs)


def test_an_engine_of_other_inputs_does_not_drive(pooling):
    opened, _ = pooling
    opened.networks["pooling"]["inputs"] = {**INPUTS, "pillars": [1, 5, 4, 8]}
    engine = Engine(opened.onnx("pooling"))
    with pytest.raises(BadInput, match=r"takes pillars \[1, 5, 4, 6\], its manifest says \[1, 5, 4, 8\]"):
        prove(engine, opened, "pooling", inputs=engine.inputs)
