"""What TensorRT cannot run is named when a network is exported, not when a vehicle compiles it."""

import pytest
import torch
from torch import nn
from variants import trained

import depth_perception.export as exporting
from depth_perception.export import export


class Scattering(nn.Module):
    """The network's own answer, through an operator that TensorRT has not: a scatter that adds."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, *images):
        answer = self.network(*images)
        places = torch.arange(answer.shape[-1]).expand_as(answer)
        return torch.zeros_like(answer).scatter_add(-1, places, answer)


def test_a_lacking_operator_is_named_and_the_others_are_known_to_be_there(tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT's own parser: tensorrt-rtx is not installed")
    trained(tmp_path / "m")
    plain = export(tmp_path / "m").lineage["export"]["variants"]["fp32"]
    assert {name: found["tensorrt_lacks"] for name, found in plain.items()} == {"depth": [], "pose": []}

    form, said = exporting.driving_form, []
    monkeypatch.setattr(exporting, "driving_form", lambda network: Scattering(form(network)))
    found = export(tmp_path / "m", tell=said.append).lineage["export"]["variants"]["fp32"]["depth"]["tensorrt_lacks"]
    assert len(found) == 1 and "ScatterElements" in found[0]
    assert any(sentence.startswith("warning: depth.onnx: TensorRT cannot run ScatterElements") for sentence in said)


def test_without_the_package_nothing_is_claimed(tmp_path, monkeypatch):
    trained(tmp_path / "m")
    monkeypatch.setattr(exporting.tensorrt_package, "packages", lambda: [])
    found = export(tmp_path / "m").lineage["export"]["variants"]["fp32"]
    assert found["depth"]["tensorrt_lacks"] is None
