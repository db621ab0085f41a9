"""samples.SampleConfig at the door: shares are shares, and every size is one."""

from dataclasses import fields

import pytest

from depth_perception.frame import BadInput
from depth_perception.samples import SampleConfig


@pytest.mark.parametrize(("name", "value"), [
    ("zoom", 60.0), ("zoom", 0.0), ("full_zoom", 1.1), ("zoom_share", -1.0), ("flip", 50.0), ("colour", 1.5), ("pair_colour", -0.1),
    ("grey", 2.0), ("light_share", 2.0), ("blur", 2.0), ("noise_share", 2.0), ("max_points", 0), ("storage_height", 0), ("max_gap_s", 0.0),
    ("aspect", -1.0), ("noise", -1.0), ("brightness", -0.1), ("hue_deg", 400.0)])
def test_what_cannot_be_meant_is_named(name, value):
    with pytest.raises(BadInput, match=f"config.{name}: wanted a number from .*, got {value}"):
        SampleConfig(**{name: value})


def test_every_number_has_a_range_that_holds_its_default():
    without = [each.name for each in fields(SampleConfig) if "range" not in each.metadata]
    assert without == ["by_stretch"] and SampleConfig()
