"""The true map agrees with the true masks, and damage does what the fates say."""

import itertools

import numpy as np
import pytest

from depth_perception.frame import Frame
from depth_perception.geometry import camera, polygons, pose
from depth_perception.systems.markings import Markings
from depth_perception.world.paint import Line, Marking, Paint, Patch, coverage
from depth_perception.world.passes import Passes, Patrol, drifted, glimpse
from depth_perception.world.reference import Damage, Fate, damaged, fates, true_map
from depth_perception.world.sensors import Camera
from depth_perception.world.tracer import Tracer

WHITE = np.ones(3, np.float32)
PAINT = Paint(
    (Line(0.0, 0.15, 3.0, 6.0), Line(-3.4, 0.12, 0.0, 0.0)),
    (
        Patch(Marking.ZEBRA, 30.0, 0.0, 3.0, 6.0, variant=0.5),
        Patch(Marking.STOP, 22.0, -1.75, 0.5, 3.2),
        Patch(Marking.ARROW, 18.0, -1.75, 4.0, 1.5, variant=3.0),
        Patch(Marking.TEXT, 40.0, -1.75, 3.0, 2.0, text="BOX"),
    ),
    WHITE, 0.0,
)


def test_pieces_are_what_coverage_paints(street_of):
    street = street_of(paint=PAINT, crossings=np.array([[50.0, 4.0]]))
    pieces = true_map(street.road, PAINT)
    rng = np.random.default_rng(0)
    s, d = rng.uniform(0, 70, 60_000), rng.uniform(-3.5, 3.5, 60_000)
    thin = np.full(len(s), 0.002)
    kind, _ = coverage(PAINT, street.road, s, d, blur_s=thin, blur_d=thin)
    mapped = np.zeros(len(s), bool)
    for piece in pieces:
        inside = polygons.inside(piece.rings, np.column_stack([s, d]))  # the road is straight: s, d are x, y
        assert (kind[inside] > 0).mean() > 0.97 if inside.sum() > 50 else True
        mapped |= inside
    assert mapped[kind > 0].mean() > 0.985
    assert min(polygons.area(piece.rings) for piece in pieces) > 0
    assert len({piece.id for piece in pieces}) == len(pieces)
    names = {piece.id.split("-")[0] for piece in pieces}
    assert names == {"dash", "line", "zebra", "stop", "arrow", "text"}
    letters = next(piece for piece in pieces if piece.kind == Marking.TEXT)
    assert any(polygons.area([ring]) < 0 for ring in letters.rings)  # the holes of B and O
    # The side street, 1.5 m wider each way, cuts the line.
    line = sorted(piece.s for piece in pieces if piece.kind == Marking.SOLID and 40 <= piece.s[0] < 60)
    assert line[0] == (40.0, 44.5) and line[1] == (55.5, 60.0)


def test_damage_takes_away_what_the_fates_say(street_of):
    street = street_of(paint=PAINT)
    pieces = true_map(street.road, PAINT)
    dash = {piece.s: piece for piece in pieces if piece.kind == Marking.DASHED}
    said = {piece.id: Fate() for piece in pieces}
    said[dash[0.0, 3.0].id] = Fate("missing", (0.0, 1.0))
    said[dash[9.0, 12.0].id] = Fate("broken", (0.2, 0.6))
    said[dash[18.0, 21.0].id] = Fate("worn", worn=0.4)
    zebra = next(piece for piece in pieces if piece.kind == Marking.ZEBRA)
    said[zebra.id] = Fate("broken", (0.0, 0.5))
    paint = damaged(PAINT, pieces, said)

    def left(piece, *, blur=0.002):
        rng = np.random.default_rng(1)
        s, d = rng.uniform(*piece.s, 20_000), rng.uniform(*piece.d, 20_000)
        thin = np.full(len(s), blur)
        on = coverage(PAINT, street.road, s, d, blur_s=thin, blur_d=thin)[0] > 0
        kind, _ = coverage(paint, street.road, s, d, blur_s=thin, blur_d=thin)
        return (kind[on] > 0).mean(), kind, s, d

    assert left(dash[0.0, 3.0])[0] == 0
    share, kind, s, _ = left(dash[9.0, 12.0])
    assert abs(share - 0.6) < 0.02
    assert not kind[(s > 9.65) & (s < 10.75)].any() and kind[(s > 10.85) & (s < 11.9)].all()
    assert abs(left(dash[18.0, 21.0])[0] - 0.6) < 0.08
    assert left(dash[27.0, 30.0])[0] == 1
    _, kind, _, d = left(zebra)
    assert not kind[d < -0.1].any() and kind[d > 0.1].any()  # across the road: its longer side
    assert said[dash[9.0, 12.0].id].left == pytest.approx(0.6)


def test_flakes_average_out_far_away():
    pieces = true_map_of_a_line()
    damage = Damage(pieces, {piece.id: Fate("worn", worn=0.4) for piece in pieces})
    s, d = np.random.default_rng(0).uniform(0, 50, 5000), np.random.default_rng(1).uniform(-0.05, 0.05, 5000)
    near, far = damage.left(0, s, d, np.full(5000, 0.01)), damage.left(0, s, d, np.full(5000, 1.0))
    assert set(np.unique(near)) == {0, 1} and abs(near.mean() - 0.6) < 0.03
    np.testing.assert_allclose(far, 0.6)


def true_map_of_a_line():
    from depth_perception.world.road import random_road

    road = random_road(np.random.default_rng(0), length=60, lanes=(1, 1), lane_width=3, parking=0, sidewalk=2, kerb=0.1, bend=0.003,
                       turns=0.0, crossing_every=0, hilly=0.01)
    return true_map(road, Paint((Line(0.0, 0.12, 0.0, 0.0),), (), WHITE, 0.0))


def test_fates_are_drawn_from_the_seed():
    pieces = true_map_of_a_line()
    one, again, other = (fates(np.random.default_rng(seed), pieces, share=0.2) for seed in (1, 1, 2))
    assert one == again != other
    assert {fate.state for fate in one.values()} == {"intact", "worn", "broken", "missing"}


def test_ground_polygons_of_true_masks_agree_with_the_true_map_to_centimetres(street_of):
    street = street_of(paint=PAINT, hills=np.array([[0.02, 0.01, 0.3, 0.6]]))
    calibration = Camera(1242, 375).calibration(None)
    T_world_base = street.road.place(7.5, -1.75, on_slope=True)
    mask, depth = glimpse(Tracer(street.mesh), street, calibration, T_world_base @ calibration.T_base_camera)
    frame = Frame(np.zeros((375, 1242, 3), np.uint8), 0, calibration)
    output = Markings(lambda **_: {}, height=8, width=8).given(frame, mask, depth=depth, T_odom_base=T_world_base)
    whole = [one for one in output.instances if one.ground is not None and one.box_px[1] + one.box_px[3] < 374 and one.area_m2 > 0.1]
    near = [one for one in whole if one.ground[0][:, 0].max() < 17.5]
    pieces = [piece for piece in true_map(street.road, PAINT) if piece.kind in (Marking.DASHED, Marking.STOP, Marking.ARROW)]
    checked = set()
    for one in near:
        centre = polygons.smallest_box(one.odom[0][:, :2])
        piece = min((p for p in pieces if p.kind == one.kind), default=None,
                    key=lambda p: np.linalg.norm(polygons.smallest_box(p.rings[0])[0] - centre[0]))
        if piece is None:
            continue
        true = polygons.smallest_box(np.concatenate(piece.rings))
        np.testing.assert_allclose(centre[0], true[0], atol=0.05)
        np.testing.assert_allclose(centre[1], true[1], atol=0.15)  # a pixel is 9 cm long at 12 m
        assert abs(one.area_m2 - polygons.area(piece.rings)) < 0.2 * polygons.area(piece.rings)  # the stop line is four rows of pixels
        heights = street.road.height(one.odom[0][:, 0], one.odom[0][:, 1])
        np.testing.assert_allclose(one.odom[0][:, 2], heights, atol=0.03)
        checked.add(piece.kind)
    assert checked == {Marking.DASHED, Marking.STOP, Marking.ARROW}


def test_passes_differ_in_traffic_not_in_the_road():
    patrol = Patrol(seed=3, seconds=0.4, rate=5.0, camera=Camera(104, 32))
    passes = Passes(patrol)
    first, again, second = (list(passes.glimpses(number)) for number in (0, 0, 1))
    assert len(first) == 2
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.markings, other.markings)
        np.testing.assert_array_equal(one.T_world_base, other.T_world_base)
    assert not np.array_equal(first[0].depth, second[0].depth)
    assert {fate.state for fate in passes.fates.values()} == {"intact", "worn", "broken", "missing"}


def test_drift_is_a_share_of_the_way():
    steps = [pose.from_rotation_vector(np.array([0, 0, 0.0]), np.array([1.0, 0, 0]))] * 50
    true = list(itertools.accumulate([np.eye(4), *steps], lambda a, b: a @ b))
    for seed in range(5):
        wrong = drifted(true, np.random.default_rng(seed), share=0.02)
        np.testing.assert_array_equal(wrong[0], true[0])
        assert 0.8 < np.linalg.norm(wrong[-1][:2, 3] - true[-1][:2, 3]) < 1.2  # 2 % of 50 m
    assert camera.rays(np.eye(3), height=1, width=1).shape == (1, 1, 3)
