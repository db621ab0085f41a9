"""Marking masks lie where the markings are."""

import numpy as np
import pytest

from depth_perception.geometry import camera as pinhole
from depth_perception.geometry import pose
from depth_perception.world.appearance import Appearance
from depth_perception.world.paint import Line, Marking, Paint, Patch, coverage
from depth_perception.world.sensors import Camera, photograph
from depth_perception.world.texture import Noise
from depth_perception.world.tracer import Tracer

PAINT = Paint(
    (Line(0.0, 0.2, 3.0, 6.0), Line(-3.2, 0.15, 0.0, 0.0)),
    (
        Patch(Marking.STOP, 12.0, -1.75, 0.5, 3.0),
        Patch(Marking.ZEBRA, 16.0, 0.0, 3.0, 6.0, variant=0.5),
        Patch(Marking.ARROW, 8.0, -1.75, 4.0, 1.5),
        Patch(Marking.TEXT, 22.0, -1.75, 3.0, 2.4, text="BUS"),
    ),
    np.full(3, 0.8, np.float32),
    0.0,
)


def classes(road, s, d):
    fine = np.full(1, 0.01)
    kind, _ = coverage(PAINT, road, np.array([s], float), np.array([d], float), blur_s=fine, blur_d=fine)
    return Marking(kind[0])


@pytest.mark.parametrize(
    ("s", "d", "kind"),
    [
        (1.0, 0.0, Marking.DASHED),
        (2.9, 0.05, Marking.DASHED),
        (3.5, 0.0, Marking.BACKGROUND),
        (10.0, 0.0, Marking.DASHED),
        (1.0, 0.2, Marking.BACKGROUND),
        (5.0, -3.2, Marking.SOLID),
        (12.0, -1.0, Marking.STOP),
        (12.4, -1.0, Marking.BACKGROUND),
        (16.0, -2.75, Marking.ZEBRA),
        (16.0, -2.25, Marking.BACKGROUND),
        (7.0, -1.75, Marking.ARROW),
        (9.9, -2.4, Marking.BACKGROUND),
        (1.0, -1.0, Marking.BACKGROUND),
    ],
)
def test_class_at_a_point_of_the_road(street_of, s, d, kind):
    assert classes(street_of().road, s, d) == kind


def test_text_fills_part_of_its_box(street_of):
    s, d = (v.ravel() for v in np.meshgrid(np.linspace(20.6, 23.4, 60), np.linspace(-2.9, -0.6, 60)))
    fine = np.full(len(s), 0.01)
    kind, _ = coverage(PAINT, street_of().road, s, d, blur_s=fine, blur_d=fine)
    assert 0.15 < (kind == Marking.TEXT).mean() < 0.7


def test_lines_stop_at_side_streets(street_of):
    road = street_of(crossings=np.array([[30.0, 4.0]])).road
    assert classes(road, 30.0, -3.2) == Marking.BACKGROUND and classes(road, 40.0, -3.2) == Marking.SOLID


def test_mask_pixels_back_project_onto_the_markings(street_of):
    street = street_of(paint=PAINT)
    calibration = Camera(620, 188, mount=1.6, forward=0.0).calibration(None)
    seen = photograph(Tracer(street.mesh), street, calibration, calibration.T_base_camera, Appearance(), Noise(0))
    points = pose.transform(
        calibration.T_base_camera, pinhole.rays(calibration.K, height=188, width=620).astype(float) * seen.depth[..., None]
    )
    near = np.nan_to_num(seen.depth, nan=99.0) < 25
    solid = points[(seen.markings == Marking.SOLID) & near]
    stop = points[(seen.markings == Marking.STOP) & near]
    assert len(solid) > 200 and np.abs(solid[:, 1] + 3.2).max() < 0.075 + 0.06
    assert len(stop) > 50 and np.abs(stop[:, 0] - 12.0).max() < 0.25 + 0.2
    assert set(np.unique(seen.markings)) == set(range(7))
    on_line = seen.light[(seen.markings == Marking.STOP) & near].mean()
    assert on_line > 1.5 * seen.light[(seen.markings == 0) & near & (np.abs(points[..., 1]) < 3)].mean(), "paint is brighter than asphalt"
