import cv2
import numpy as np
from test_markings_system import LARGE, blank, given_system, painted

from depth_perception.report import markings as pictures
from depth_perception.systems.marking_classes import DASHED, STOP
from depth_perception.systems.marking_verdicts import Verdict
from depth_perception.systems.palette import COLOURS
from depth_perception.systems.reference_map import Reference

SQUARE = np.array([(0.0, 0), (4, 0), (4, 1), (0, 1)])


def seen():
    mask, depth = painted(LARGE, (DASHED, 7.0, 10.0, 1.6, 1.75), (STOP, 9.0, 9.5, -3.0, -0.2))
    return given_system().given(blank(LARGE), mask, depth=depth)


def test_the_overlay_colours_paint_and_nothing_else():
    output = seen()
    picture = pictures.over_image(blank(LARGE).image, output)
    assert picture.shape == (375, 1242, 3)
    assert picture[output.mask == STOP].any(1).all()
    far = cv2.dilate(output.mask, np.ones((9, 9), np.uint8)) == 0
    x, y, width, height = (int(v) for v in output.instances[0].box_px)
    assert picture[y + height, x + width // 2].any()  # the box
    assert (picture[far].any(1)).mean() < 0.01


def test_from_above_the_left_is_left_and_ahead_is_up():
    picture = pictures.from_above(seen().instances, ahead_m=20, aside_m=10, pixel_m=0.1)
    assert picture.shape == (200, 200, 3)
    assert picture[200 - 85, 100 - 17].tolist() == list(COLOURS["dashed line"])  # 8.5 m ahead, 1.7 m to the left
    assert picture[200 - 92, 100 + 15].tolist() == list(COLOURS["stop line"])
    assert picture[50, 50].tolist() == [40, 40, 40]


def test_verdicts_have_their_colours_and_counts():
    references = [Reference("a", DASHED, (SQUARE,)), Reference("b", DASHED, (SQUARE + np.array([10.0, 0]),))]
    verdicts = [Verdict("a", "missing", 0.0, 0.9, 1.0, 2, 0.0)]
    picture = pictures.verdict_map(references, verdicts, pixel_m=0.1)
    below = picture[24:]
    assert tuple(below[25, 40]) == pictures.VERDICT_COLOURS["missing"]
    assert tuple(below[25, 140]) == pictures.VERDICT_COLOURS["unseen"]
    assert pictures.verdict_map([], []).shape[2] == 3


def test_saved_ids_are_ids(tmp_path):
    ids = np.arange(6, dtype=np.uint8).reshape(2, 3)
    pictures.save(tmp_path / "m.png", ids)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_UNCHANGED), ids)
