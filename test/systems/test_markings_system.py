"""With perfect masks and depth, markings lie on the ground where they were painted, to centimetres."""

import numpy as np
import pytest
from worlds import CALIBRATION, SIZE, K, frame, true_depth

from depth_perception.frame import BadInput, Calibration, Frame
from depth_perception.geometry import camera, pose
from depth_perception.geometry.grid import Grid
from depth_perception.systems import marking_instances
from depth_perception.systems.marking_classes import CLASSES, DASHED, SOLID, STOP, ZEBRA
from depth_perception.systems.markings import Config, Markings
from depth_perception.systems.odometry import T_BODY_OPTICAL

WIDE, HIGH = 1242, 375
LARGE = Calibration(np.array([[720.0, 0, 620.5], [0, 720.0, 180.0], [0, 0, 1]]), WIDE, HIGH,
                    T_base_camera=pose.from_rotation_vector(np.zeros(3), np.array([0.5, 0.0, 1.5])) @ T_BODY_OPTICAL)


def road(calibration):
    """(H, W, 2) x, y in the body frame and (H, W) depth of a level road; NaN above the horizon."""
    rays = camera.rays(calibration.K, height=calibration.height, width=calibration.width)
    with np.errstate(divide="ignore"):
        z = np.where(rays[..., 1] > 0.01, calibration.T_base_camera[2, 3] / rays[..., 1], np.nan).astype(np.float32)
    return pose.transform(calibration.T_base_camera, rays * z[..., None])[..., :2], z


def painted(calibration, *rectangles):
    """Mask of (kind, x0, x1, y0, y1) on a level road, and its depth."""
    ground, depth = road(calibration)
    mask = np.zeros(depth.shape, np.uint8)
    for kind, x0, x1, y0, y1 in rectangles:
        mask[(ground[..., 0] > x0) & (ground[..., 0] < x1) & (ground[..., 1] > y0) & (ground[..., 1] < y1)] = kind
    return mask, depth


def blank(calibration):
    return Frame(np.zeros((calibration.height, calibration.width, 3), np.uint8), 7, calibration)


def given_system():
    return Markings(lambda **_: {}, height=32, width=64)


@pytest.mark.parametrize("with_depth", [True, False])
def test_polygons_lie_where_the_paint_is(with_depth):
    mask, depth = painted(LARGE, (DASHED, 7.0, 10.0, 1.6, 1.75), (STOP, 9.0, 9.5, -3.0, -0.2))
    output = given_system().given(blank(LARGE), mask, depth=depth if with_depth else None)
    dash, stop = output.instances
    assert [dash.kind, stop.kind] == [DASHED, STOP]
    np.testing.assert_allclose(dash.centre, [8.5, 1.675], atol=0.03)
    np.testing.assert_allclose(dash.size, [3.0, 0.15], atol=0.06)
    assert abs(dash.yaw) < 0.02
    assert abs(dash.area_m2 - 0.45) < 0.02
    np.testing.assert_allclose(stop.size, [2.8, 0.5], atol=0.06)
    assert abs(abs(stop.yaw) - np.pi / 2) < 0.02
    assert np.abs(dash.ground[0][:, 2]).max() < 0.01
    assert dash.confidence == 1.0


def test_depth_wins_where_the_road_is_not_level():
    # A road that falls by 5 %: level ground would put the dash elsewhere.
    slope = 0.05
    rays = camera.rays(LARGE.K, height=HIGH, width=WIDE)
    share = rays[..., 1] - slope  # the road at z ahead lies slope * z lower
    with np.errstate(divide="ignore"):
        z = np.where(share > 0.01, 1.5 / share, np.nan).astype(np.float32)
    ground = pose.transform(LARGE.T_base_camera, rays * z[..., None])
    mask = ((ground[..., 0] > 8) & (ground[..., 0] < 10) & (np.abs(ground[..., 1] - 1) < 0.1)).astype(np.uint8) * DASHED
    (with_depth,) = given_system().given(blank(LARGE), mask, depth=z).instances
    (without,) = given_system().given(blank(LARGE), mask).instances
    np.testing.assert_allclose(with_depth.centre, [9, 1], atol=0.05)
    np.testing.assert_allclose(with_depth.ground[0][:, 2], -slope * (with_depth.ground[0][:, 0] - 0.5), atol=0.02)
    assert without.centre[0] < 8


def test_the_odometry_frame_and_the_shared_grid():
    mask, depth = painted(LARGE, (ZEBRA, 8.0, 12.0, -2.0, 2.0))
    T = pose.from_rotation_vector(np.array([0, 0, np.pi / 2]), np.array([100.0, 50.0, 3.0]))
    output = given_system().given(blank(LARGE), mask, depth=depth, T_odom_base=T)
    (zebra,) = output.instances
    middle = zebra.odom[0][:, :2].mean(0)
    np.testing.assert_allclose(middle, [100 - zebra.ground[0][:, 1].mean(), 50 + zebra.ground[0][:, 0].mean()], atol=1e-6)
    seen = output.seen_from_above(Grid())
    centres = Grid().centres()
    inside = (centres[..., 0] > 8.4) & (centres[..., 0] < 11.6) & (np.abs(centres[..., 1]) < 1.6)
    outside = (centres[..., 0] < 7.5) | (centres[..., 0] > 12.8) | (np.abs(centres[..., 1]) > 2.6)
    assert (seen[inside] == ZEBRA).all() and not seen[outside].any()


def test_holes_are_kept_and_not_counted():
    mask, depth = painted(LARGE, (STOP, 7.0, 9.0, -1.0, 1.0), (0, 7.5, 8.5, -0.5, 0.5))
    (one,) = given_system().given(blank(LARGE), mask, depth=depth).instances
    assert len(one.pixels) == 2
    assert abs(one.area_m2 - 3.0) < 0.1


def test_far_and_tiny_pieces():
    mask, depth = painted(LARGE, (DASHED, 45.0, 60.0, 1.0, 1.8))
    mask[300, 600:605] = STOP
    (far,) = given_system().given(blank(LARGE), mask, depth=depth).instances
    assert far.kind == DASHED and far.ground is None and np.isnan(far.area_m2)


@pytest.mark.parametrize("with_depth", [True, False])
def test_of_a_line_beyond_the_reach_what_is_near_is_placed(with_depth):
    mask, depth = painted(LARGE, (SOLID, 7.0, 70.0, 1.0, 1.2))
    (one,) = given_system().given(blank(LARGE), mask, depth=depth if with_depth else None).instances
    assert one.ground is not None and one.box_px[1] < 200, "in the image it is whole"
    along = np.concatenate(one.ground)[:, 0]
    camera_x = marking_instances.body_of(LARGE)[0, 3]
    assert along.min() == pytest.approx(7.0, abs=0.3) and 38.0 < along.max() - camera_x <= 41.0
    assert one.size[0] == pytest.approx(along.max() - along.min(), abs=0.5)
    assert one.area_m2 == pytest.approx(0.2 * one.size[0], rel=0.25)


def test_lines_that_meet_far_away_are_placed_each_by_itself():
    mask, depth = painted(LARGE, (SOLID, 7.0, 70.0, -1.9, -1.7), (SOLID, 7.0, 70.0, 1.7, 1.9), (SOLID, 50.0, 52.0, -1.9, 1.9))
    right, left = sorted(given_system().given(blank(LARGE), mask, depth=depth).instances, key=lambda one: one.centre[1])
    assert (right.centre[1], left.centre[1]) == (pytest.approx(-1.8, abs=0.1), pytest.approx(1.8, abs=0.1))
    assert all(len(one.ground) == 1 and one.size[1] < 0.6 and 30 < one.size[0] < 36 for one in (right, left))


def test_an_island_in_a_marking_is_another_one_and_no_part_of_it():
    mask = np.zeros((HIGH, WIDE), np.uint8)
    mask[186:330, 400:800] = ZEBRA  # its far edge lies beyond the reach
    mask[230:320, 450:750] = 0
    mask[260:290, 550:650] = ZEBRA
    frame_, island = given_system().given(blank(LARGE), mask).instances
    assert len(frame_.pixels) == 2 and len(frame_.ground) == 2, "the frame and its hole"
    assert len(island.ground) == 1
    assert frame_.area_m2 + island.area_m2 == pytest.approx(area_of(mask), rel=0.05)


def area_of(mask):
    """What is painted within reach on a level road, m2, pixel by pixel."""
    down = (np.arange(HIGH) - LARGE.K[1, 2]) / LARGE.K[1, 1]
    with np.errstate(divide="ignore"):
        z = LARGE.T_base_camera[2, 3] / down
    near = (down > 0) & (z < 40)
    each = (z / LARGE.K[0, 0]) * (z / down / LARGE.K[1, 1])
    return float(((mask > 0).sum(1) * each)[near].sum())


def test_step_asks_the_network_and_restores_its_answer():
    asked = []

    def infer(image):
        asked.append(image.shape)
        logits = np.zeros((1, len(CLASSES), 16, 32), np.float32)
        logits[:, 0] = 2.0
        logits[:, STOP, 8:12] = 6.0
        return {"logits": logits}

    output = Markings(infer, height=32, width=64).step(frame())
    assert asked == [(1, 3, 32, 64)]
    assert output.mask.shape == output.confidence.shape == SIZE
    assert set(np.unique(output.mask)) == {0, STOP}
    assert {one.kind for one in output.instances} == {STOP}
    sure = output.confidence[output.mask == STOP]
    # Half way from stripe to road neither is sure.
    assert 0.4 <= sure.min() < 0.7 and sure.max() > 0.95
    picky = Markings(infer, height=32, width=64, config=Config(min_confidence=0.9)).step(frame())
    assert 0 < (picky.mask > 0).sum() < (output.mask > 0).sum()


def test_a_plane_that_is_given_is_used():
    n = marking_instances.flat_ground(CALIBRATION)
    np.testing.assert_allclose(n, [0, 1 / 1.5, 0], atol=1e-12)
    output = given_system().given(frame(), np.zeros(SIZE, np.uint8), plane=2 * n)
    np.testing.assert_allclose(output.plane, 2 * n)
    fitted = given_system().given(frame(), np.zeros(SIZE, np.uint8), depth=true_depth())
    np.testing.assert_allclose(fitted.plane, n, atol=0.03)
    assert K[0, 0] == CALIBRATION.K[0, 0]  # fitting scales a copy


def test_doors():
    system = given_system()
    with pytest.raises(BadInput, match=r"mask: wanted uint8 \(96, 192\)"):
        system.given(frame(), np.zeros((5, 5), np.uint8))
    with pytest.raises(BadInput, match=r"class ids 0\.\.6, got 9"):
        system.given(frame(), np.full(SIZE, 9, np.uint8))
    with pytest.raises(BadInput, match="depth: wanted the image's size"):
        system.step(frame(), depth=np.zeros((4, 4), np.float32))
    with pytest.raises(BadInput, match="wanted 7 classes"):
        Markings(lambda image: {"logits": np.zeros((1, 3, 4, 4), np.float32)}, height=8, width=8).step(frame())
    with pytest.raises(BadInput, match="reach_m"):
        Config(reach_m=0)
