"""evaluation.objects: average precision of hand-made worlds, exactly."""

import numpy as np
import pytest

from depth_perception.evaluation.objects import ObjectsScore, average_precision
from depth_perception.geometry.boxes import Box3D


def box(x, y=0.0, *, score=1.0, label="car", yaw=0.0):
    return Box3D(label, score, np.array([x, y, 0.8]), np.array([4.0, 2.0, 1.5]), yaw)


def scored(*frames):
    score = ObjectsScore()
    for frame in frames:
        score.add(*frame[:2], needless=frame[2] if len(frame) > 2 else ())
    return score.result()


@pytest.mark.parametrize("right, truths, wanted", [
    ([True, True], 2, 1.0),
    ([True], 2, 40 / 90),  # precision 1 to recall 0.5: steps 0.11 to 0.50 of 0.11 to 1.00
    ([False, True], 1, 0.2),  # precision r/2 at recall r: sum of (0.005 k - 0.1) over k = 21..100, over 90 steps and 0.9
    ([True, False], 1, 80.5 / 81),  # as in nuScenes, the last precision, 0.5, counts at recall 1
    ([False], 1, 0.0), ([], 3, 0.0), ([], 0, np.nan), ([False], 0, np.nan)])
def test_average_precision(right, truths, wanted):
    assert average_precision(np.array(right, bool), truths) == pytest.approx(wanted, nan_ok=True)


def test_all_found():
    result = scored(([box(10), box(30, 3, label="truck", score=0.5)], [box(10), box(30, 3, label="truck")]), ([], []))
    assert (result["map"], result["map_iou_0.5"], result["centre_m"], result["frames"], result["truths"]) == (1, 1, 0, 2, 2)
    assert result["per_class"]["car"]["ap_at_m"] == {"0.5": 1, "1": 1, "2": 1, "4": 1}
    assert np.isnan(result["per_class"]["cyclist"]["ap"])  # there is none: not a zero in the mean
    assert [result["per_range"][name]["map"] for name in ("0-20", "20-40")] == [1, 1] and np.isnan(result["per_range"]["40+"]["map"])
    assert result["per_range"]["0-20"]["per_class"]["car"] == {"ap": 1.0, "truths": 1}


def test_thresholds_and_errors():
    result = scored(([box(10.7), box(30, yaw=0.1)], [box(10), box(30, yaw=np.pi * 2 - 0.1)]))
    car = result["per_class"]["car"]
    # At 0.5 m, the first is wrong: precision r at recall r up to one half, the sum of (0.01 k - 0.1) over k = 11..50.
    assert car["ap_at_m"] == {"0.5": pytest.approx(8.2 / 81, abs=1e-4), "1": 1, "2": 1, "4": 1}
    assert car["centre_m"] == pytest.approx(0.35) and car["yaw_deg"] == pytest.approx(np.degrees(0.1), abs=1e-3)
    assert result["per_range"]["0-20"]["centre_m"] == pytest.approx(0.7) and result["per_range"]["20-40"]["centre_m"] == 0


def test_the_surer_takes_what_is_true_and_the_other_is_wrong():
    # Both are nearer than 4 m to the one car: the surer has it, the other is a mistake behind it.
    at = scored(([box(11, score=0.9), box(10, score=0.8)], [box(10)]))["per_class"]["car"]["ap_at_m"]
    assert at["4"] == pytest.approx(80.5 / 81, abs=1e-4)
    assert at["0.5"] == pytest.approx(0.2)  # there, the surer is the mistake


def test_the_nearest_true_one_is_taken():
    result = scored(([box(10.4, score=0.9), box(11, score=0.8)], [box(10), box(11)]))
    assert result["map"] == pytest.approx(1.0) and result["centre_m"] == pytest.approx(0.2)


def test_scores_count_over_all_frames():
    sure, unsure = ([box(10, score=0.9)], [box(10)]), ([box(50, score=0.95)], [])
    assert scored(sure, unsure)["map"] == pytest.approx(0.2)
    assert scored(sure, ([box(50, score=0.1)], []))["map"] == pytest.approx(80.5 / 81, abs=1e-4)


def test_another_class_is_not_it():
    assert scored(([box(10, label="truck")], [box(10)]))["map"] == 0


def test_what_need_not_be_found_is_no_mistake():
    result = scored(([box(10, score=0.5), box(20, score=0.9)], [box(10)], [box(20.3)]))
    assert result["map"] == 1 and result["truths"] == 1
    # But somewhere else it is one.
    assert scored(([box(10, score=0.5), box(30, score=0.9)], [box(10)], [box(20)]))["map"] == pytest.approx(0.2)


def test_what_nobody_labelled_is_no_mistake_and_what_is_true_is_found_there():
    score = ObjectsScore()
    found = [box(10, score=0.5), box(30, 9, score=0.9), box(20, 8, score=0.8)]
    score.add(found, [box(10), box(20, 7.8)], known=lambda each: each.centre[1] < 5)
    result = score.result()
    assert result["map"] == 1 and result["per_class"]["car"]["found"] == 2
    told = ObjectsScore()
    told.add(found, [box(10), box(20, 7.8)])
    assert told.result()["map"] < 0.7


def test_a_range_is_not_charged_for_another():
    result = scored(([box(10, score=0.5), box(35, score=0.9), box(20.2, score=0.8)], [box(10), box(19.8)]))
    assert result["per_range"]["0-20"]["map"] == 1  # what lies at 20.2 m is the car at 19.8
    assert result["per_range"]["20-40"]["truths"] == 0
    assert result["map"] < 1


def test_overlap():
    result = scored(([box(12)], [box(10)]))  # a third of both
    assert result["map_iou_0.5"] == 0 and result["per_class"]["car"]["ap_at_m"]["4"] == 1
    assert scored(([box(10.9)], [box(10)]))["map_iou_0.5"] == 1
