"""nodes.parameters: descriptions come from the docstrings, so that no parameter is without one."""

import dataclasses

import pytest

pytest.importorskip("rclpy")

from depth_perception.nodes import inputs
from depth_perception.nodes.parameters import descriptions
from depth_perception.systems import bev, depth, odometry, scale


@pytest.mark.parametrize("config", [inputs.Config, depth.Config, odometry.Config, bev.Config, scale.Config])
def test_every_parameter_is_described(config):
    said = descriptions(config)
    assert set(said) >= {field.name for field in dataclasses.fields(config)}
    assert all(len(text) > 10 for text in said.values())


def test_two_names_on_one_line_share_a_sentence():
    assert descriptions(scale.Config)["near_m"] == "returns used, metres."
