"""Time between two clocks, from turns alone: exact curves, noise, and what cannot be told."""

import numpy as np
import pytest

from depth_perception.inspection.clocks import offset


def heading(t):
    return 0.5 * np.sin(1.3 * t) + 0.2 * np.sin(3.1 * t + 1)


def turns(*, noise=0.0, seconds=20, scale=1.0, gain=1.0):
    stamps = np.arange(0, seconds, 0.1)
    turned = gain * np.diff(scale * heading(stamps)) + np.random.default_rng(0).normal(0, noise, len(stamps) - 1)
    return stamps[:-1], stamps[1:], turned


@pytest.mark.parametrize("late_s", [0.0, 0.013, 0.04, -0.11, 0.25])
@pytest.mark.parametrize("rate", [10, 100])
def test_a_known_shift_is_found_between_the_samples_too(late_s, rate):
    at = np.arange(-1, 21, 1 / rate)
    found = offset(*turns(gain=1.2), at + late_s, heading(at))
    assert found.seconds == pytest.approx(-late_s, abs=0.001)
    assert found.gain == pytest.approx(1.2, abs=0.02) and found.correlation > 0.999 and found.sigma_s < 0.005


def test_the_deviation_covers_the_error_under_noise():
    at = np.arange(-1, 21, 0.1)
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        starts, ends, turned = turns()
        found = offset(starts, ends, turned + rng.normal(0, 0.01, len(turned)), at, heading(at))
        errors.append(found.seconds / found.sigma_s)
    assert np.abs(errors).max() < 3.5 and np.mean(np.square(errors)) < 2


def test_wrong_turns_of_the_camera_do_not_decide():
    at = np.arange(-1, 21, 0.1)
    starts, ends, turned = turns()
    turned[::11] += 0.2
    assert offset(starts, ends, turned, at + 0.04, heading(at)).seconds == pytest.approx(-0.04, abs=0.005)


def test_what_cannot_be_told_is_not():
    at = np.arange(-1, 21, 0.1)
    straight = offset(*turns(scale=0.002), at, 0.002 * heading(at))
    assert "the car hardly turns (what both see varies by 0.07 degrees a second" in straight
    other = np.cumsum(np.random.default_rng(1).normal(0, 0.05, len(at)))
    assert "cannot be told" in offset(*turns(), at, other)
    assert "only 9 pairs" in offset(*turns(seconds=1), at[:-95], heading(at[:-95]))
    opposite = offset(*turns(), at, -heading(at))
    assert isinstance(opposite, str)


def test_a_gap_of_the_other_takes_no_part():
    at = np.arange(-1, 21, 0.1)
    known = heading(at)
    known[80:120] = np.nan
    found = offset(*turns(), at + 0.04, known)
    assert found.seconds == pytest.approx(-0.04, abs=0.001) and found.steps < 160
