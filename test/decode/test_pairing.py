"""decode.pairing: which scan an image takes, and which ones are let go."""

import weakref

import numpy as np
import pytest

from depth_perception import decode
from depth_perception.frame import Scan


def test_pairing_takes_the_newest_scan_that_is_not_later():
    scans = [Scan(np.zeros((0, 3), np.float32), stamp) for stamp in (100, 300, 200, 400)]
    pairing = decode.Pairing(max_delay_ns=50)
    for scan in scans:
        pairing.add(scan)
    assert pairing.newest_before(99) is None
    assert pairing.newest_before(250) is scans[2]
    assert pairing.newest_before(251) is None
    assert pairing.newest_before(300) is scans[1]
    assert pairing.newest_before(320) is scans[1]
    pairing.reset()
    assert pairing.newest_before(320) is None


@pytest.mark.parametrize("hz", [5, 10, 100])
def test_an_image_that_is_late_finds_its_scan_whatever_the_rate_of_the_lidar(hz):
    pairing, period_ns = decode.Pairing(150_000_000), 1_000_000_000 // hz
    for i in range(3 * hz):
        pairing.add(Scan(np.zeros((0, 3), np.float32), i * period_ns))
        wanted = (i - hz) * period_ns
        if wanted >= 0:  # an image of a second ago
            assert pairing.newest_before(wanted).stamp_ns == wanted


def test_while_no_image_asks_old_scans_are_forgotten():
    pairing, alive = decode.Pairing(150_000_000), []
    for i in range(100):
        scan = Scan(np.zeros((0, 3), np.float32), i * 100_000_000)
        alive.append(weakref.ref(scan))
        pairing.add(scan)
    assert sum(scan() is not None for scan in alive) == 12  # at 10 Hz
    for _ in range(1000):  # a clock that stands still
        pairing.add(Scan(np.zeros((0, 3), np.float32), 100 * 100_000_000))
    assert not any(scan() is not None for scan in alive[:-1])


def test_scans_that_are_too_old_for_an_image_are_let_go_but_the_newest():
    scans = {stamp: Scan(np.zeros((0, 3), np.float32), stamp) for stamp in (100, 200, 300, 400)}
    alive = {stamp: weakref.ref(scan) for stamp, scan in scans.items()}
    pairing = decode.Pairing(max_delay_ns=50)
    for scan in scans.values():
        pairing.add(scan)
    assert pairing.newest_before(310) is scans[300] and pairing.newest is scans[400]
    del scan, scans
    assert [stamp for stamp, scan in alive.items() if scan() is not None] == [300, 400]
    assert pairing.newest_before(345).stamp_ns == 300  # a later image may still want it
    assert pairing.newest_before(900) is None and pairing.newest.stamp_ns == 400  # a LiDAR alone is seen without images
    assert alive[300]() is None and alive[400]() is not None
