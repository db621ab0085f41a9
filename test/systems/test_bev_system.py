"""systems.bev: road and wall seen from above."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import CALIBRATION, SIZE, T_BASE_CAMERA, T_BASE_LIDAR, frame, true_depth

from depth_perception.frame import BadInput, Scan
from depth_perception.geometry import pose
from depth_perception.systems.bev import FREE, OCCUPIED, UNKNOWN, Bev, Config, ground_plane
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.odometry import OdometryOutput
from depth_perception.systems.scale import Scale


def depth_output(wall_m=20.0, *, confidence=1.0):
    image = np.zeros((1, 3, 48, 96), np.float32)
    output = DepthOutput(true_depth(wall_m), true_depth(wall_m), Scale(1.0, 0.1), CALIBRATION, 0, image, {})
    vars(output)["confidence"] = np.full(SIZE, confidence, np.float32)
    return output


def odometry_output(x):
    T = pose.from_rotation_vector(np.zeros(3), np.array([x, 0.0, 0.0]))
    return OdometryOutput(T, np.zeros(6), np.zeros((6, 6)), np.zeros((6, 6)), np.eye(4), 0, 0.1, "base_link")


def at(output, x, y):
    column, row = int((x - output.origin[0]) / output.cell_m), int((y - output.origin[1]) / output.cell_m)
    return output.cells[row, column]


@pytest.mark.parametrize("source", ["camera", "lidar", "both"])
def test_the_wall_is_occupied_and_the_road_free(source):
    output = Bev(Config(source=source, stride=1)).step(frame(), depth_output(), None)
    assert output.base_frame == "base_link"
    wall = output.points[output.points[:, 2] > 0.5]
    np.testing.assert_allclose(wall[:, 0], 20.5, atol=0.15)
    road = output.points[(output.points[:, 0] < 15)]
    np.testing.assert_allclose(road[:, 2], 0.0, atol=0.05)
    # The LiDAR's returns on the wall stand a third of a metre apart, so one of any three cells holds one.
    assert OCCUPIED in [at(output, 20.5, y) for y in (-0.2, 0.0, 0.2)]
    assert at(output, 8.0, 0.0) == FREE
    assert at(output, -8.0, 0.0) == -1


def test_no_two_points_share_a_voxel():
    points = Bev(Config(stride=1)).step(frame(), depth_output(), None).points
    cubes = np.floor(points[:, :3] / 0.2).astype(int)
    assert len(np.unique(cubes, axis=0)) == len(points)


def test_doubtful_points_are_left_out():
    assert len(Bev().step(frame(), depth_output(confidence=0.1), None).points) == 0


def test_the_window_moves_old_points_with_the_car():
    bev = Bev(Config(stride=1, window=3, max_range_m=40.0))
    bev.step(frame(), depth_output(20.0), odometry_output(0.0))
    moved = bev.step(frame(), depth_output(17.0), odometry_output(3.0))  # the same wall, three metres nearer
    wall = moved.points[moved.points[:, 2] > 0.5]
    np.testing.assert_allclose(wall[:, 0], 17.5, atol=0.2)
    fresh = Bev(Config(stride=1)).step(frame(), depth_output(17.0), odometry_output(3.0))
    assert len(moved.points) > len(fresh.points)


def test_without_odometry_the_window_starts_anew():
    bev = Bev(Config(stride=1))
    bev.step(frame(), depth_output(20.0), odometry_output(0.0))
    alone = bev.step(frame(), depth_output(10.0), None)
    assert alone.points[:, 0].max() < 11


def test_ground_of_a_sloping_road_with_a_wall():
    rng = np.random.default_rng(0)
    xy = rng.uniform([2, -8], [30, 8], (4000, 2))
    z = 0.03 * xy[:, 0] - 0.3
    wall = np.column_stack([np.full(1000, 25.0), rng.uniform(-8, 8, 1000), rng.uniform(0.5, 4, 1000)])
    a, b, c = ground_plane(np.vstack([np.column_stack([xy, z]), wall]))
    assert a == pytest.approx(0.03, abs=0.01)
    assert b == pytest.approx(0.0, abs=0.01)
    assert c == pytest.approx(-0.3, abs=0.15)


@pytest.mark.parametrize("source", ["lidar", "both"])
def test_the_car_itself_is_no_obstacle(source):
    """Roof and rack 0.7 m from the LiDAR; a post 1.5 m from it and a level road; (x, y, z) in the body's frame."""
    x, y = np.meshgrid(np.arange(3.1, 20, 0.2), np.arange(-5.1, 5, 0.2))
    road = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    roof, post = np.array([[0.1, 0.7, 1.7], [-0.7, 0.1, 1.7]]), np.array([[0.1, 1.5, 1.7]])
    points = pose.transform(pose.inverse(T_BASE_LIDAR), np.vstack([road, roof, post])).astype(np.float32)
    seen = replace(frame(), scan=Scan(points, 0))

    def cells(**config):
        output = Bev(Config(source=source, **config)).step(seen, depth_output(confidence=0.0), None)
        return [at(output, *place) for place in ((0.1, 0.7), (-0.7, 0.1), (0.1, 1.5), (8.0, 0.0))]

    assert cells() == [UNKNOWN, UNKNOWN, OCCUPIED, FREE]
    assert cells(min_range_m=0.0) == [OCCUPIED, OCCUPIED, OCCUPIED, FREE]
    assert cells(min_range_m=2.0) == [UNKNOWN, UNKNOWN, UNKNOWN, FREE]


def test_unknown_source_is_refused():
    with pytest.raises(BadInput, match="camera, lidar or both, got 'radar'"):
        Bev(Config(source="radar"))  # type: ignore[arg-type]


def test_camera_points_stand_where_the_camera_is():
    points = Bev(Config(stride=1)).step(frame(), depth_output(), None).points
    assert points[:, 0].min() > T_BASE_CAMERA[0, 3]
