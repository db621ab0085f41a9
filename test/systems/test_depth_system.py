"""systems.depth with a perfect network of the wrong scale: the truth comes out, in metres, in the image's view."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import CALIBRATION, SIZE, frame, true_depth

from depth_perception.frame import BadInput, Scan
from depth_perception.geometry import pose
from depth_perception.systems.depth import Config, Depth, road_of_scan, scan_in_view
from depth_perception.systems.network_input import focal_ratio, prepare

NETWORK = (48, 96)
CANONICAL = 30.0
RATIO = focal_ratio(CALIBRATION, height=NETWORK[0], canonical_focal_px=CANONICAL)


def system(truth, *, wrong_by=1.0, config=None):
    answer = (truth / RATIO / wrong_by)[None, None].astype(np.float32)

    def infer(image):
        assert image.shape == (1, 3, *NETWORK)
        assert image.dtype == np.float32
        return {"depth": answer}

    return Depth(infer, height=NETWORK[0], width=NETWORK[1], canonical_focal_px=CANONICAL, config=config or Config())


def test_focal_ratio_is_the_camera_s_focal_length_over_the_network_s():
    assert pytest.approx(120 * 48 / 96 / 30) == RATIO


@pytest.mark.parametrize("wrong_by", [0.4, 1.0, 2.5])
def test_one_scan_makes_a_network_of_any_scale_metric(wrong_by):
    output = system(true_depth(size=NETWORK), wrong_by=wrong_by).step(frame())
    assert output.depth.shape == SIZE
    assert output.depth.dtype == np.float32
    assert output.scale.value == pytest.approx(wrong_by, rel=0.02)
    assert output.scale.inliers > 500
    near = (true_depth() < 15) & np.isfinite(output.depth)
    np.testing.assert_allclose(output.depth[near], true_depth()[near], rtol=0.08)


def test_without_a_scan_the_network_s_metres_stand():
    output = system(true_depth(size=NETWORK)).step(frame(with_scan=False))
    assert output.scale.value == 1.0
    assert output.scale.inliers == 0
    np.testing.assert_allclose(output.depth[70, 50], true_depth()[70, 50], rtol=0.05)


def test_no_lidar_point_is_copied_into_the_depth():
    """The network says 10 m everywhere and the LiDAR sees road and wall: the depth stays one constant."""
    depth = system(np.full(NETWORK, 10.0)).step(frame()).depth
    np.testing.assert_allclose(depth, depth[0, 0], rtol=1e-6)


def test_what_is_farther_than_the_range_is_none():
    truth = true_depth(150.0, size=NETWORK)
    depth = system(truth, config=Config(max_depth_m=100.0)).step(frame(with_scan=False)).depth
    assert np.isnan(depth[:30]).all()
    assert np.isfinite(depth[70:]).all()


def test_a_network_that_says_nan_gives_none_and_no_confidence():
    truth = true_depth(size=NETWORK).copy()
    truth[10:20, 10:20] = np.nan
    output = system(truth).step(frame())
    assert np.isnan(output.depth[30, 30])
    assert output.confidence[30, 30] == 0
    assert np.isfinite(output.depth[80, 150])


def test_confidence_is_low_at_an_edge_and_falls_with_distance():
    truth = np.full(NETWORK, 10.0)
    truth[:, 48:] = 30.0
    confidence = system(truth).step(frame(with_scan=False)).confidence
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    edge, near, far = confidence[40, 95], confidence[40, 20], confidence[40, 170]
    assert edge < 0.1
    assert near == pytest.approx(1 / (1 + (10 / 60) ** 2), rel=0.01)
    assert far == pytest.approx(1 / (1 + (30 / 60) ** 2), rel=0.01)


def test_prepare_keeps_colours_and_order():
    image = np.zeros((375, 1242, 3), np.uint8)
    image[..., 0], image[..., 2] = 255, 51
    ready = prepare(image, height=128, width=416)
    assert ready.shape == (1, 3, 128, 416)
    np.testing.assert_allclose(ready[0].mean((1, 2)), [1.0, 0.0, 0.2], atol=1e-6)


def test_prepare_averages_instead_of_picking_pixels():
    """Stripes one pixel wide, shrunk three times: picking leaves full contrast, averaging an area exactly a third, ours half."""
    stripes = np.zeros((384, 1248, 3), np.uint8)
    stripes[::2] = 255
    np.testing.assert_allclose(np.abs(prepare(stripes, height=128, width=416) - 0.5), 0.25, atol=0.002)


def test_a_scan_counts_from_the_next_image_on_but_the_first_at_once():
    """The network's scale changes from one image to the next; the answer follows one image later, whoever calls catch_up."""
    def run(catch_up):
        scale, truth = iter([1.0, 1.0, 1.5, 1.5, 1.5]), true_depth(size=NETWORK) / RATIO
        depth = Depth(lambda image: {"depth": (truth / next(scale))[None, None].astype(np.float32)},
                      height=NETWORK[0], width=NETWORK[1], canonical_focal_px=CANONICAL)
        values = []
        for i in range(5):
            values.append(depth.step(frame(stamp_ns=i * 100_000_000)).scale.value)
            if catch_up:
                depth.catch_up()
        return values

    values = run(True)
    assert values == run(False)
    assert values[0] == pytest.approx(1.0, rel=0.02)
    assert values[2] == pytest.approx(1.0, rel=0.02)
    assert values[3] > 1.05
    assert values[4] > values[3]


def test_confidence_falls_where_the_previous_depth_tells_another_world():
    """A metre driven: the road agrees, a wall that came along with the car does not. Both were seen, what is new was not."""
    walls, metre = iter((20.0, 19.0)), pose.from_rotation_vector(np.zeros(3), np.array([0, 0, 1.0]))
    agreeing = moving(lambda: next(walls)).step(frame(with_scan=False), metre).confidence
    alone = moving(lambda: 19.0, steps=0).step(frame(with_scan=False), metre).confidence
    np.testing.assert_allclose(agreeing[10:30, 20:170], alone[10:30, 20:170], rtol=1e-3)
    along = moving(lambda: 19.0).step(frame(with_scan=False), metre).confidence
    # 19 m now, 20 m expected there before, 19 m said.
    np.testing.assert_allclose(along[10:30, 20:170], alone[10:30, 20:170] * np.exp(-(1 / 39) / 0.1), rtol=1e-3)
    np.testing.assert_allclose(along[88, 20:170], alone[88, 20:170], rtol=0.15)


def test_a_scale_that_has_just_been_found_is_no_disagreement():
    truth = true_depth(size=NETWORK)
    depth = system(truth, wrong_by=1.5)
    depth.step(frame(with_scan=False))
    output = depth.step(frame(stamp_ns=1), np.eye(4))
    assert output.scale.value == pytest.approx(1.5, rel=0.02)
    alone = system(truth, wrong_by=1.5).step(frame(stamp_ns=1))
    np.testing.assert_allclose(output.confidence[:, 2:-2], alone.confidence[:, 2:-2], rtol=1e-3, atol=1e-6)


def moving(wall, *, steps=1):
    """Depth of a network that says the truth of a wall that is asked for image by image, after `steps` images."""
    ratio = focal_ratio(CALIBRATION, height=NETWORK[0], canonical_focal_px=CANONICAL)
    system = Depth(lambda image: {"depth": (true_depth(wall(), size=NETWORK) / ratio)[None, None].astype(np.float32)},
                   height=NETWORK[0], width=NETWORK[1], canonical_focal_px=CANONICAL)
    for _ in range(steps):
        system.step(frame(with_scan=False))
    return system


def test_a_scan_shows_the_road_to_those_who_measure_by_it():
    depth = system(np.full(NETWORK, 10.0))
    depth.step(frame())
    depth.catch_up()
    np.testing.assert_allclose(depth.road, [0, 1 / 1.5, 0], atol=0.01)
    depth.step(frame(stamp_ns=1, with_scan=False))
    depth.catch_up()
    assert depth.road is None
    depth.step(frame(stamp_ns=2))
    depth.reset()
    assert depth.road is None


@pytest.mark.parametrize("beams", [16, 32, 64, 128])
def test_every_beam_is_among_the_returns_that_are_picked(beams):
    """A spinning LiDAR's order: all beams of a column, then the next column. Here beam b sees what is 5 + b metres away, in its own row."""
    column, beam = (index.ravel() for index in np.meshgrid(np.arange(2000), np.arange(beams), indexing="ij"))
    u, v, z = 20 + 0.07 * column, 1 + beam * (SIZE[0] - 2) / beams, 5.0 + beam
    x, y = (u - CALIBRATION.K[0, 2]) / CALIBRATION.K[0, 0] * z, (v - CALIBRATION.K[1, 2]) / CALIBRATION.K[1, 1] * z
    points = pose.transform(pose.inverse(CALIBRATION.T_camera_lidar), np.column_stack([x, y, z])).astype(np.float32)
    seen = replace(frame(), scan=Scan(points, 0))
    for wanted in (8000, 4000, len(points) // 2, len(points)):
        sparse, _ = scan_in_view(seen, SIZE if beams < 100 else (192, 384), points=wanted)
        assert np.unique(np.rint(sparse[np.isfinite(sparse)])).tolist() == (5 + np.arange(beams)).tolist()


def test_the_road_is_right_whatever_order_a_lidar_fires_in():
    """32 beams, +15 to -16 degrees, walls 6 m aside and 20 m ahead: every eighth return is of four beams, one of which sees road."""
    T_base_lidar = CALIBRATION.T_base_camera @ CALIBRATION.T_camera_lidar
    azimuth, elevation = np.meshgrid(np.linspace(-np.pi, np.pi, 2000, endpoint=False), np.deg2rad(np.arange(15, -17, -1)), indexing="ij")
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1).reshape(-1, 3)
    forward, left, up = T_base_lidar[:3, :3] @ rays.T
    with np.errstate(divide="ignore"):
        to_road = np.where(up < 0, -T_base_lidar[2, 3] / up, np.inf)
        to_wall = np.minimum(20 / np.abs(forward), 6 / np.abs(left))
    points = (rays * np.minimum(to_road, to_wall)[:, None]).astype(np.float32)
    assert len(points) // Config.scan_points == 8
    np.testing.assert_allclose(road_of_scan(replace(frame(), scan=Scan(points, 0)), SIZE), [0, 1 / 1.5, 0], atol=0.005)


def test_the_network_s_own_size_holds_all_that_it_knows():
    truth, seen = true_depth(size=NETWORK), frame(with_scan=False)
    large, small = (system(truth, config=Config(size=size)).step(seen) for size in ("image", "network"))
    np.testing.assert_array_equal(large.depth, small.depth)
    np.testing.assert_array_equal(large.confidence, small.confidence)
    assert small.cut.shape == small.network_confidence.shape == NETWORK
    calibration = small.network_calibration
    assert (calibration.height, calibration.width) == NETWORK
    # The point that a pixel's middle looks at is the same: half the focal length, half the way from the image's corner.
    np.testing.assert_allclose(calibration.K[0, 0] * 2, CALIBRATION.K[0, 0])
    np.testing.assert_allclose((calibration.K[:2, 2] + 0.5) * 2, CALIBRATION.K[:2, 2] + 0.5)
    with pytest.raises(BadInput, match=r"depth\.size: wanted image or network, got 'small'"):
        Config(size="small")
