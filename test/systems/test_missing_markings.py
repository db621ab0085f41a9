"""A straight level road with dashes and a zebra crossing, driven down past what is wrong with them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from test_markings_system import LARGE as KITTI
from test_markings_system import blank, given_system, road

from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import camera, pose
from depth_perception.systems import marking_alignment, marking_evidence, marking_map, missing_markings
from depth_perception.systems.marking_classes import DASHED, SOLID, ZEBRA
from depth_perception.systems.marking_map import Config, MarkingMap
from depth_perception.systems.marking_verdicts import Criteria, by_area, compare_named, report_properties, unevenness
from depth_perception.systems.missing_markings import MissingMarkings, Pose
from depth_perception.systems.reference_map import Reference, ReferenceMap, parse, to_json

HALF = Calibration(camera.resize_K(KITTI.K, from_size=(375, 1242), to_size=(188, 621)), 621, 188, T_base_camera=KITTI.T_base_camera)
GROUND, DEPTH = road(HALF)


def rectangle(x0, x1, y0, y1):
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


BARS = [rectangle(22.0, 25.0, y, y + 0.5) for y in np.arange(-3.0, 3.0, 1.0)]
MAP = ReferenceMap(
    "map",
    (
        *(Reference(f"dash-{k}", DASHED, (rectangle(6.0 * k, 6.0 * k + 3, 1.6, 1.75),)) for k in range(1, 8)),
        *(Reference(f"line-{k}", SOLID, (rectangle(10.0 * k, 10.0 * k + 10, -1.75, -1.6),)) for k in range(5)),
        Reference("zebra", ZEBRA, tuple(BARS)),
    ),
)


def worn(xy, share, seed=0):
    """(N,) bool: which of (N, 2) places have kept their paint, in flakes of 8 x 5 cm."""
    cell = np.floor(xy / [0.08, 0.05]).astype(np.int64)
    return (np.abs(np.sin(cell[:, 0] * 12.9898 + cell[:, 1] * 78.233 + seed) * 43758.5453) % 1) >= share


def masked(where, *, missing=(), halved=(), flaked=()):
    """The true mask of the road from a car at (x, y, yaw)."""
    mask = np.zeros(DEPTH.shape, np.uint8)
    inside = np.flatnonzero((DEPTH > 0) & (DEPTH < 25))
    xy = marking_alignment.turned(where[2], GROUND.reshape(-1, 2)[inside].astype(np.float64)) + where[:2]
    for one in MAP.references:
        for ring in one.rings:
            low, high = ring.min(0), ring.max(0)
            on = ((xy > low) & (xy < high)).all(1)
            if one.id in missing:
                continue
            if one.id in halved:
                on &= xy[:, 0] > low[0] + 0.5 * (high[0] - low[0])
            if one.id in flaked:
                on[on] = worn(xy[on], 0.45)
            mask.ravel()[inside[on]] = one.kind
    return mask


def placed(where):
    return pose.from_rotation_vector(np.array([0, 0, where[2]]), np.array([where[0], where[1], 0.0]))


def driven(system, *, drift=0.0, start=(0.0, 0.0, 0.0), hidden=None, defects=None):
    """One pass; the pose's metres are too long by `drift`, and it begins off by `start`."""
    system.new_pass()
    outputs = []
    for k, x in enumerate(np.arange(0.0, 36.0, 1.0)):
        true = np.array([x, 0.1 * np.sin(0.3 * x), 0.01 * np.cos(0.3 * x)])
        mask, depth = masked(true, **(defects or {})), DEPTH
        if hidden is not None:
            mask, depth = hidden(true, mask, depth)
        given = marking_alignment.compose(np.array(start), true * [1 + drift, 1, 1])
        frame = replace(blank(HALF), stamp_ns=k * 100_000_000)
        seen = given_system().given(frame, mask, depth=depth)
        outputs.append(system.step(seen, Pose(placed(given), frame.stamp_ns, "map")))
    return outputs


def states(system):
    return {one.id: one.state for one in system.verdicts()}


def test_all_is_well_on_a_good_road():
    system = MissingMarkings(MAP)
    driven(system)
    found = {one.id: one for one in system.verdicts()}
    seen = [one for one in found.values() if one.state != "unseen"]
    assert len(seen) >= 11 and {one.state for one in seen} == {"intact"}
    assert min(one.ratio for one in seen) > 0.9
    assert found["dash-2"].passes == 1 and 0.3 < found["dash-2"].confidence <= 0.5


def test_defects_are_told_apart_over_drifting_passes():
    system = MissingMarkings(MAP)
    defects = {"missing": ("dash-3", "line-2"), "halved": ("dash-4", "line-3"), "flaked": ("dash-5", "zebra")}
    wanted = {"dash-3": "missing", "line-2": "missing", "dash-4": "broken", "line-3": "broken", "dash-5": "worn", "zebra": "worn"}
    for drift, start in ((0.02, (0.1, 0.1, 0.003)), (-0.02, (-0.15, 0.05, -0.003))):
        outputs = driven(system, drift=drift, start=start, defects=defects)
        assert sum(bool(output.said) for output in outputs) == 0
        assert abs(outputs[-1].pose[1] - 0.1 * np.sin(0.3 * 35)) < 0.12  # odometry is 0.7 m off along the road by then
    found = states(system)
    assert {name: found[name] for name in wanted} == wanted
    others = {state for name, state in found.items() if name not in wanted}
    assert others <= {"intact", "unseen"}
    by_id = {one.id: one for one in system.verdicts()}
    assert by_id["dash-3"].ratio < 0.05 and 0.35 < by_id["dash-4"].ratio < 0.65 and 0.4 < by_id["dash-5"].ratio < 0.7
    assert by_id["dash-3"].passes == 2 and by_id["dash-3"].confidence > 0.6


def test_what_a_car_hides_is_unseen_not_missing():
    def hidden(true, mask, depth):
        # A car 1.4 m high always stands over the dashes.
        y = GROUND[..., 1] + true[1]
        behind = (y > 1.0) & (GROUND[..., 0] > 4.0)
        return np.where(behind, np.uint8(0), mask), np.where(behind, np.float32(4.5), depth)

    system = MissingMarkings(MAP)
    driven(system, hidden=hidden)
    found = states(system)
    assert {found[f"dash-{k}"] for k in range(1, 8)} == {"unseen"}
    assert found["line-1"] == "intact"


def test_no_verdicts_and_why():
    seen = given_system().given(blank(HALF), masked(np.zeros(3)), depth=DEPTH)
    here = Pose(np.eye(4), seen.stamp_ns, "map")
    for why, output in (
        ("the reference map is empty", MissingMarkings(ReferenceMap("map", ())).step(seen, here)),
        ("no pose in 'map'", MissingMarkings(MAP).step(seen, None)),
        ("the map is in frame 'map', the pose in 'odom'", MissingMarkings(MAP).step(seen, replace(here, frame="odom"))),
        ("stale", MissingMarkings(MAP).step(seen, replace(here, stamp_ns=seen.stamp_ns + 10**9))),
        ("what hides the road is not known", MissingMarkings(MAP).step(replace(seen, depth=None), here)),
        ("no road is seen", MissingMarkings(MAP).step(replace(seen, plane=np.zeros(3)), here)),
    ):
        assert output.verdicts == () and len(output.said) == 1 and why in output.said[0]


def test_another_streets_map_gives_no_verdicts():
    beside = [replace(one, rings=tuple(ring + np.array([0.0, 2.2]) for ring in one.rings)) for one in MAP.references if one.kind == DASHED]
    other = ReferenceMap("map", tuple(beside))
    system = MissingMarkings(other)
    outputs = driven(system)
    assert all("pose or map are wrong" in output.said[0] for output in outputs if output.said)
    assert sum(bool(output.said) for output in outputs) > 30
    assert set(states(system).values()) == {"unseen"}


def test_a_model_may_compare_instead():
    asked = []

    def compare(observed, reference, cell_m):
        asked.append((observed.shape, reference.shape, np.isnan(observed[~reference]).all(), cell_m))
        return "broken", 1.0

    system = MissingMarkings(MAP, compare=compare)
    driven(system)
    asked.clear()
    found = [one for one in system.verdicts() if one.state != "unseen"]
    assert len(asked) == len(found) and all(shape == other and outside for shape, other, outside, _ in asked)
    assert {one.state for one in found} == {"broken"}


def test_evidence_goes_on_in_another_process():
    defects = {"missing": ("dash-3",)}
    first = MissingMarkings(MAP)
    driven(first, defects=defects)
    kept = marking_evidence.packed(first)
    second = MissingMarkings(MAP)
    marking_evidence.recall(kept, second)
    assert str(second.verdicts()) == str(first.verdicts()) == str(second.told())
    driven(second, defects=defects)
    found = {one.id: one for one in second.verdicts()}
    assert (found["dash-3"].state, found["dash-3"].passes) == ("missing", 2)
    with pytest.raises(BadInput, match="that of another map"):
        marking_evidence.recall(kept, MissingMarkings(ReferenceMap("map", MAP.references[:-1])))
    fresh = MissingMarkings(MAP)
    with pytest.raises(BadInput, match="wanted that of a report"):
        marking_evidence.recall(kept[:-100], fresh)
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    with pytest.raises(BadInput, match="wanted that of a report"):
        marking_evidence.recall(array.getvalue(), fresh)
    assert {one.state for one in fresh.verdicts()} == {"unseen"}


def flaky(observed, reference, cell_m):
    """A stranger's comparison."""
    return ("worn", 0.5) if np.nanmean(observed[reference]) > 0.5 else ("gone", 0.5)


def silent(observed, reference, cell_m):
    """One that says nothing."""


def test_a_comparison_is_found_by_its_name():
    observed, reference = np.ones((2, 8), np.float32), np.ones((2, 8), bool)
    compare = compare_named(f"{__name__}:flaky")
    assert compare(observed, reference, 0.1) == ("worn", 0.5)
    with pytest.raises(BadInput, match=r"wanted one of intact, worn, broken, missing, unseen and a confidence .*, got 'gone'"):
        compare(np.zeros_like(observed), reference, 0.1)
    with pytest.raises(BadInput, match=r"compare .*: TypeError: .* \(it said None\)"):
        compare_named(f"{__name__}:silent")(observed, reference, 0.1)
    for name in ("nothing", "no.such_module:compare", f"{__name__}:MAP"):
        with pytest.raises(BadInput, match=r"wanted MODULE:FUNCTION"):
            compare_named(name)


def test_a_report_says_what_was_found():
    system = MissingMarkings(MAP)
    driven(system, defects={"missing": ("dash-3",)})
    text = to_json("map", MAP.references, properties=report_properties(system.verdicts()))
    assert '"verdict": "missing", "ratio": 0.0' in text
    assert len(parse(text).references) == len(MAP.references)  # a report is a map, too


def test_criteria():
    reference = np.ones((3, 100), bool)
    compare = by_area(Criteria())
    gone = np.ones((3, 100), np.float32)
    gone[:, 40:80] = 0
    assert compare(gone, reference, 0.05)[0] == "broken"
    assert unevenness(gone, reference, 0.05, 0.4) > 0.8
    flakes = (np.random.default_rng(0).random((3, 100)) > 0.4).astype(np.float32)
    assert compare(flakes, reference, 0.05)[0] == "worn"
    assert compare(np.full((3, 100), 0.6, np.float32), reference, 0.05)[0] == "worn"
    assert compare(np.full((3, 100), 0.1, np.float32), reference, 0.05)[0] == "missing"
    state, sure = compare(np.full((3, 100), 0.95, np.float32), reference, 0.05)
    unsure = compare(np.full((3, 100), 0.78, np.float32), reference, 0.05)[1]
    assert state == "intact" and sure > 0.8 > unsure >= 0.5


def test_what_is_told_while_driving_is_what_the_verdicts_are():
    system = MissingMarkings(MAP)
    for k, x in enumerate(np.arange(0.0, 30.0, 1.0)):
        seen = given_system().given(replace(blank(HALF), stamp_ns=k), masked(np.array([x, 0, 0]), missing=("dash-3",)), depth=DEPTH)
        system.step(seen, Pose(placed((x, 0, 0)), k, "map"))
        assert [one.id for one in system.told()] == [one.id for one in MAP.references]
    assert {one.id: (one.state, one.passes) for one in system.told()} == {one.id: (one.state, one.passes) for one in system.verdicts()}
    assert {one.id: one.state for one in system.told()}["dash-3"] == "missing"
    system.configure(missing_markings.Config(criteria=Criteria(missing_below=0.0, intact_above=0.0)))
    assert "missing" not in {one.state for one in system.told()}


def test_faded_paint_is_worn():
    system = MissingMarkings(MAP)
    system.new_pass()
    for k, x in enumerate(np.arange(0.0, 30.0, 1.0)):
        seen = given_system().given(replace(blank(HALF), stamp_ns=k), masked(np.array([x, 0, 0])), depth=DEPTH)
        faded = (GROUND[..., 0] + x > 18) & (GROUND[..., 0] + x < 21) & (GROUND[..., 1] > 0)
        system.step(replace(seen, confidence=np.where(faded, 0.5, 0.95).astype(np.float32)), Pose(placed((x, 0, 0)), k, "map"))
    found = states(system)
    assert found["dash-3"] == "worn" and found["dash-2"] == found["dash-4"] == "intact"


def test_a_map_grows_no_larger_than_memory_should_hold(monkeypatch):
    built = MarkingMap(Config(cell_m=0.05, reach_m=11.0, aside_m=4.0))
    monkeypatch.setattr(marking_map, "MOST_TILES", 3)
    seen = given_system().given(blank(HALF), masked(np.array([0.0, 0.0, 0.0])), depth=DEPTH)
    assert built.add(seen, placed((0.0, 0.0, 0.0)))
    for _ in range(2):
        with pytest.raises(BadInput, match="map: it has all 3 pieces"):
            built.add(seen, placed((100.0, 0.0, 0.0)))
    assert built.add(seen, placed((0.0, 0.0, 0.0))), "where it is mapped already"
    assert built.images == 2


@pytest.mark.parametrize("passes", [1, 2])
def test_a_map_made_from_good_passes_is_the_true_one(passes):
    built = MarkingMap(Config(cell_m=0.05, reach_m=11.0, aside_m=4.0))
    for number in range(passes):
        if number:
            built.new_pass()
        for x in np.arange(0.0, 30.0, 2.0):
            seen = given_system().given(blank(HALF), masked(np.array([x, 0.0, 0.0])), depth=DEPTH)
            # The second pass' odometry is wrong by 2 %, and begins 15 cm beside the first.
            assert built.add(seen, placed((x * (1 + 0.02 * number), 0.15 * number, 0.0)))
    found = built.references()
    for true in (one for one in MAP.references if one.id in ("dash-2", "dash-3", "dash-5", "zebra")):
        nearest = min((one for one in found if one.kind == true.kind), key=lambda one: np.linalg.norm(one.box[0] - true.box[0]))
        np.testing.assert_allclose(nearest.box[0], true.box[0], atol=0.25)
        np.testing.assert_allclose(nearest.box[1], true.box[1], atol=0.3)
        assert len(nearest.rings) == len(true.rings)
        assert abs(nearest.area_m2 - true.area_m2) < 0.15 * true.area_m2
    lines = [one for one in found if one.kind == SOLID]
    assert len(lines) >= 3 and max(one.box[1][0] for one in lines) <= 12.5


def test_a_marking_too_large_for_a_raster_is_refused():
    """Degrees taken for metres, or a bend of kilometres in one piece: no node may run out of memory over a file."""
    far = Reference("far", SOLID, (rectangle(0.0, 3000.0, 0.0, 3000.0),))
    with pytest.raises(BadInput, match="map: marking 'far' lies in a rectangle of 3000 x 3000 m"):
        MissingMarkings(ReferenceMap("map", (far,)))
