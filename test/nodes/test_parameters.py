"""nodes.parameters: descriptions come from the docstrings, so that no parameter is without one."""

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from depth_perception.nodes import input_config
from depth_perception.nodes.parameters import descriptions
from depth_perception.systems import bev, depth, odometry, scale


@pytest.mark.parametrize("config", [input_config.Config, depth.Config, odometry.Config, bev.Config, scale.Config])
def test_every_parameter_is_described(config):
    said = descriptions(config)
    assert set(said) >= {field.name for field in dataclasses.fields(config)}
    assert all(len(text) > 10 for text in said.values())


def test_two_names_on_one_line_share_a_sentence():
    assert descriptions(scale.Config)["near_m"] == "returns used, metres."


def test_the_reference_is_what_the_code_declares():
    from depth_perception.nodes.parameter_reference import as_markdown

    written = (Path(__file__).resolve().parents[2] / "docs" / "parameters.md").read_text()
    assert written == as_markdown(), "run `python -m depth_perception.nodes.parameter_reference docs/parameters.md`"


def test_the_reference_holds_every_parameter_of_a_running_node(car):
    """The node's own list, but what rclpy declares itself."""
    from rcl_interfaces.srv import ListParameters

    from depth_perception.nodes.parameter_reference import as_markdown

    names = set(car.call(ListParameters, "~/list_parameters").result.names)
    own = {name for name in names if not name.startswith(("qos_overrides.", "use_sim_time", "start_type_description_service"))}
    page = as_markdown()
    assert len(own) > 80
    assert not [name for name in own if f"| `{name}` |" not in page]
