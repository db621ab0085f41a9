"""Networks with several outputs, and with inputs that are no images, are proven as depth's is."""

import numpy as np
import pytest
from torch import nn

from depth_perception import model
from depth_perception.engine import Engine
from depth_perception.engine.selftest import prove, stored_frames
from depth_perception.export import proof
from depth_perception.export.onnx_file import write_onnx
from depth_perception.frame import BadInput

INPUTS = {"image": [1, 3, 32, 64], "cells": [1, 32], "pillars": [1, 5, 4, 6]}
OUTPUTS = {"taken": [1, 3, 32], "raised": [1, 5, 4, 6]}
INDICES = {"cells": 2048}


class Taking(nn.Module):
    """The image's pixels at some places; pillars, raised by what the first of them holds."""

    def forward(self, image, cells, pillars):
        taken = image.flatten(2)[:, :, cells[0]]
        return taken, pillars + taken[0, 0, 0]


@pytest.fixture
def taking(tmp_path):
    """(model, network) as `export` leaves them."""
    network, shown = Taking(), proof.frames("taking", INPUTS, INDICES)
    write_onnx(network, tmp_path / "taking.onnx", inputs=INPUTS, outputs=OUTPUTS, indices=INDICES)
    np.savez(tmp_path / "selftest.npz", **proof.answers("taking", network, shown, OUTPUTS))
    words = {"taking": {"class": "Taking", "config": {}, "inputs": INPUTS, "outputs": OUTPUTS, "indices": INDICES}}
    return model.Model(tmp_path, "objects", words, 32, 64, 100.0), network


def test_all_outputs_are_stored_and_proven(taking):
    opened, _ = taking
    engine = Engine(opened.onnx("taking"))
    assert prove(engine, opened, "taking", inputs=engine.inputs).frames == proof.FRAMES
    for arrays, wanted in stored_frames(opened, "taking", INPUTS):
        assert arrays["cells"].dtype == np.int64
        assert 0 <= arrays["cells"].min() < arrays["cells"].max() < 2048
        np.testing.assert_array_equal(wanted["taken"][0], arrays["image"].reshape(3, -1)[:, arrays["cells"][0]])
        np.testing.assert_allclose(wanted["raised"], arrays["pillars"] + wanted["taken"][0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_engine_that_is_wrong_in_one_output_does_not_drive(taking, name):
    opened, _ = taking
    engine = Engine(opened.onnx("taking"))
    with pytest.raises(BadInput, match=f"answers {name} off by"):
        prove(lambda **arrays: {key: got * (1.1 if key == name else 1) for key, got in engine(**arrays).items()}, opened, "taking",
              inputs=engine.inputs)
    with pytest.raises(BadInput, match=f"answers {name} off by inf"):
        prove(lambda **arrays: {key: got for key, got in engine(**arrays).items() if key != name}, opened, "taking", inputs=engine.inputs)


def test_an_engine_of_other_inputs_does_not_drive(taking):
    opened, _ = taking
    opened.networks["taking"]["inputs"] = {**INPUTS, "pillars": [1, 5, 4, 8]}
    engine = Engine(opened.onnx("taking"))
    with pytest.raises(BadInput, match=r"takes pillars \[1, 5, 4, 6\], its manifest says \[1, 5, 4, 8\]"):
        prove(engine, opened, "taking", inputs=engine.inputs)
