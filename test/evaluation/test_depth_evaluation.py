"""evaluation.depth: beams that fit the scale never score it."""

import numpy as np
import pytest
from worlds import frame, true_depth

from depth_perception.evaluation.depth import DepthScore, split_beams
from depth_perception.systems.depth import Depth
from depth_perception.systems.drive import Drive


def test_beams_are_parted_without_loss():
    whole = frame()
    even, odd = split_beams(whole)
    assert len(even.scan.points) + len(odd.scan.points) == len(whole.scan.points)
    both = np.vstack([even.scan.points, odd.scan.points])
    np.testing.assert_array_equal(both[np.lexsort(both.T)], whole.scan.points[np.lexsort(whole.scan.points.T)])
    assert min(len(even.scan.points), len(odd.scan.points)) > 1000


def perfect_but(scale):
    answer = (true_depth() / scale)[None, None]
    return Drive(Depth(lambda image: {"depth": answer}, height=96, width=192, canonical_focal_px=120.0))


def test_a_perfect_network_of_half_the_scale():
    score = DepthScore()
    score.add(frame(), perfect_but(2.0))
    result = score.result()
    assert result["metric"]["abs_rel"] == pytest.approx(0.5, abs=0.01)
    assert result["median_scaled"]["abs_rel"] < 0.01
    assert result["online_scaled"]["abs_rel"] < 0.01
    assert (result["frames"], result["points"] > 500) == (1, True)


def test_without_a_scan_nothing_is_scored():
    score = DepthScore()
    assert score.add(frame(with_scan=False), perfect_but(1.0)) is None
    assert score.result()["frames"] == 0
