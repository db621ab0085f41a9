"""The latency table counts what it says it counts, and takes anybody's ONNX file."""

import json
import sys

import pytest
import torch
from torch import nn

from bench import latency
from depth_perception.export.onnx_file import write_onnx


class Peer(nn.Module):
    """3x3 convolution of stride 2 and a product: 8 * 16 * 4 * 27 + 8 * 16 * 4 * 4 multiplications on 32x16 pixels."""

    def __init__(self):
        super().__init__()
        self.conv, self.line = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Linear(4, 4, bias=False)

    def forward(self, image):
        return self.line(self.conv(image).permute(0, 2, 3, 1))


@pytest.fixture
def peer(tmp_path):
    write_onnx(Peer().eval(), tmp_path / "peer.onnx", inputs={"image": [1, 3, 16, 32]}, outputs={"y": [1, 8, 16, 4]})
    return tmp_path / "peer.onnx"


def test_multiplications_and_parameters_are_counted(peer):
    assert latency.macs(peer) == 8 * 16 * 4 * 27 + 8 * 16 * 4 * 4
    assert latency.parameters(peer) == 4 * 27 + 16


def test_all_of_one_size_take_turns(peer, monkeypatch, capsys, tmp_path):
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", ["latency", "--width", "nano", "--finest", "1", "--size", "64x32", "--rounds", "2", "--peer",
                                      f"theirs={peer}", "--json", str(tmp_path / "out.json")])
    latency.main()
    said = capsys.readouterr().out
    assert "student nano, finest 1" in said and "theirs" in said and "32x16" in said
    rows = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [(row["size"], row["network"]) for row in rows] == [("64x32", "student nano, finest 1"), ("32x16", "theirs")]
    assert all(0 < row["min_ms"] <= row["median_ms"] for row in rows)
