"""systems.scale: one scalar, found among lies, held between scans, never surer than its witnesses."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.systems.scale import Config, ScaleFilter, measure

SECOND = 1_000_000_000


def pairs(scale, *, count=2000, noise=0.05, liars=0.0, seed=0):
    rng = np.random.default_rng(seed)
    network = rng.uniform(4, 30, count)
    lidar = network * scale * np.exp(rng.normal(0, noise, count))
    wrong = rng.random(count) < liars
    lidar[wrong] = rng.uniform(3, 50, wrong.sum())
    return network, lidar


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 3.0))
def test_the_scale_is_found_among_thirty_percent_liars(scale):
    network, lidar = pairs(scale, liars=0.3)
    log, sigma, inliers, _ = measure(network, lidar, Config(far_m=1000.0))
    assert abs(log - np.log(scale)) < 0.02
    assert 1000 < inliers < 1900
    assert sigma < 0.05


def test_too_few_returns_measure_nothing():
    assert measure(*pairs(2.0, count=49), Config())[1] == np.inf
    assert measure(np.zeros(0), np.zeros(0), Config())[1:] == (np.inf, 0, 0)


def test_returns_that_agree_on_nothing_measure_nothing():
    rng = np.random.default_rng(1)
    assert measure(np.exp(rng.uniform(0, 8, 60)), np.full(60, 10.0), Config())[2] < 60


def test_the_filter_takes_the_first_scan_at_its_word_and_smooths_later_ones():
    scale = ScaleFilter()
    first = scale.step(*pairs(1.5), 0)
    assert abs(first.value - 1.5) < 0.02
    jump = scale.step(*pairs(2.0, seed=1), SECOND // 10)
    assert 1.5 < jump.value < 1.9


def test_without_scans_the_scale_stays_and_the_doubt_grows():
    scale = ScaleFilter()
    before = scale.step(*pairs(1.5), 0)
    after = scale.step(np.zeros(0), np.zeros(0), 20 * SECOND)
    assert after.value == before.value
    assert before.sigma < after.sigma <= Config().prior_sigma
    assert after.inliers == 0


def test_before_any_scan_the_network_s_own_metre_counts():
    fresh = ScaleFilter().step(np.zeros(0), np.zeros(0), 0)
    assert fresh.value == 1.0
    assert fresh.sigma == Config().prior_sigma


def test_one_frame_behind_a_truck_moves_the_scale_little():
    scale = ScaleFilter()
    for i in range(20):
        scale.step(*pairs(1.0, seed=i), i * SECOND // 10)
    assert scale.step(*pairs(3.0), 2 * SECOND).value < 1.2
