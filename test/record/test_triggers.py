"""What fires, when, and how often."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.frame import BadInput
from depth_perception.record.triggers import Acceleration, Config, Novelty, Rising


def test_a_threshold_fires_when_it_is_reached_and_not_while_it_lasts():
    trigger = Rising("a speed", "m/s", 5.0, 10.0)
    values = [0, 4.9, 5.0, 6, 4, 5.5, 4, 7]
    fired = [(at, said) for at, value in enumerate(values) if (said := trigger.see(value, at * 3.0))]
    assert fired == [(2, "a speed of 5.00 m/s, at least 5"), (7, "a speed of 7.00 m/s, at least 5")], "one within 10 s of it is left out"


def test_novelty_learns_what_is_usual():
    rng = np.random.default_rng(0)
    trigger = Novelty(5.0, 0.0)
    assert [trigger.see(value, at) for at, value in enumerate(rng.normal(0.2, 0.02, 500))] == [None] * 500
    assert trigger.see(0.45, 500.0) == f"depth residual of 0.450, where it was {trigger._mean - 0.02 * (0.45 - trigger._mean) / 0.98:.3f}"
    for at in range(400):  # a new kind of road becomes usual
        trigger.see(rng.normal(0.45, 0.02), 501.0 + at)
    assert trigger.see(0.46, 1000.0) is None
    assert trigger.see(math.nan, 1001.0) is None


def test_novelty_waits_until_it_knows_something():
    trigger = Novelty(3.0, 0.0)
    assert [trigger.see(value, 0.0) for value in (0.0, 1.0) * 10] == [None] * 20


@given(st.floats(-50, 50), st.floats(-1, 1))
def test_a_steady_curve_accelerates_sideways(speed, yaw_rate):
    acceleration = Acceleration()
    assert acceleration.of((speed, 0.0, 0.0), yaw_rate, 1.0) is None
    assert acceleration.of((speed, 0.0, 0.0), yaw_rate, 1.1) == pytest.approx(abs(speed * yaw_rate))


def test_braking_is_seen_and_a_pause_is_not():
    acceleration = Acceleration()
    acceleration.of((10.0, 0.0, 0.0), 0.0, 1.0)
    assert acceleration.of((9.0, 0.0, 0.0), 0.0, 1.2) == pytest.approx(5.0)
    assert acceleration.of((0.0, 0.0, 0.0), 0.0, 9.0) is None


def test_doors():
    with pytest.raises(BadInput, match=r"stall_s: wanted a number from 0 to 3600, got -1"):
        Config(stall_s=-1.0)
