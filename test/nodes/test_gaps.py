"""nodes.watch.Gaps: what was published and never taken."""

import pytest

pytest.importorskip("rclpy")

from depth_perception.nodes.watch import Gaps


@pytest.mark.parametrize(
    ("numbers", "missed"),
    [
        ((), 0),
        ((41,), 0),  # what came before we listened is nobody's loss
        ((5, 6, 7), 0),
        ((5, 8, 9, 20), 12),
        ((5, 6, 1, 2, 4), 1),  # the driver was started again
        ((600, 100, 601, 101, 602, 102), 0),  # two by turns
        ((5, 6, 50_000, 50_001, 50_003), 1),  # another publisher
        ((None, None), 0),  # this middleware has no numbers
    ],
)
def test_gaps_between_a_publishers_numbers(numbers, missed):
    gaps = Gaps()
    for number in numbers:
        gaps.see(number)
    assert gaps.missed == missed
