"""IoU and calibration of marking masks, counted by hand."""

import numpy as np
import pytest

from depth_perception.evaluation.markings import MarkingScore
from depth_perception.frame import BadInput


def scored(mask, truth, confidence=None):
    score = MarkingScore()
    mask, truth = np.array(mask, np.uint8), np.array(truth, np.uint8)
    score.add(mask, np.ones(mask.shape, np.float32) if confidence is None else np.array(confidence, np.float32), truth)
    return score.result()


def test_iou_by_class_and_their_mean_over_what_the_truth_holds():
    found = scored([[0, 0, 1, 1], [0, 4, 1, 5]], [[0, 0, 1, 1], [0, 4, 0, 4]])
    assert found["per_class"] == {"background": 0.75, "solid line": pytest.approx(2 / 3, abs=1e-5), "zebra crossing": 0.5}
    assert found["miou"] == pytest.approx((0.75 + 2 / 3 + 0.5) / 3, abs=1e-5)
    assert found["paint"] == pytest.approx(4 / 5), "an arrow for a zebra crossing is paint for paint"


def test_ignored_pixels_count_nowhere():
    assert scored([[0, 1]], [[0, 255]]) == scored([[0]], [[0]])


def test_calibration_is_the_gap_between_confidence_and_accuracy():
    truth, mask = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    mask[:3] = 1  # three in ten are wrong
    found = scored(mask, truth, np.full((10, 10), 0.9))
    assert found["ece"] == pytest.approx(0.2, abs=1e-4) and found["ece_paint"] == pytest.approx(0.9, abs=1e-4)
    assert scored(mask, truth, np.full((10, 10), 0.7))["ece"] == pytest.approx(0.0, abs=1e-4)


def test_calibration_is_of_paint_not_of_its_class():
    found = scored(np.full((4, 4), 5), np.full((4, 4), 4), np.full((4, 4), 0.9))
    assert found["miou"] == 0 and found["ece"] == found["ece_paint"] == pytest.approx(0.1, abs=1e-4)


def test_frames_add_up():
    score, zeros, ones = MarkingScore(), np.zeros((1, 2), np.uint8), np.ones((1, 2), np.uint8)
    score.add(zeros, np.ones((1, 2), np.float32), zeros)
    score.add(ones, np.ones((1, 2), np.float32), zeros)
    assert score.result()["per_class"] == {"background": 0.5} and score.result()["frames"] == 2


def test_other_sizes_and_nothing_to_score_are_refused():
    with pytest.raises(BadInput, match="differ in size"):
        MarkingScore().add(np.zeros((2, 2), np.uint8), np.zeros((2, 2)), np.zeros((2, 3), np.uint8))
    with pytest.raises(BadInput, match="no pixel"):
        MarkingScore().result()
