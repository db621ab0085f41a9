import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.frame import BadInput
from depth_perception.geometry import polygons
from depth_perception.systems.marking_classes import CLASSES, DASHED, TEXT
from depth_perception.systems.reference_map import Origin, Reference, parse, read, to_json

SQUARE = np.array([(0.0, 0), (4, 0), (4, 4), (0, 4)])
HOLE = np.array([(1.0, 1), (1, 2), (3, 2), (3, 1)])
DASH = Reference("dash-1", DASHED, (SQUARE * [1, 0.05] + [10, 2],))
LETTERS = Reference("text-1", TEXT, (SQUARE, HOLE, SQUARE + np.array([10, 0])))


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "map.geojson"
    file.write_text(to_json("map", [DASH, LETTERS], properties={"dash-1": {"verdict": "worn"}}, by="a test"))
    found = read(file)
    assert found.frame == "map" and found.origin is None
    assert [(one.id, one.kind) for one in found.references] == [("dash-1", DASHED), ("text-1", TEXT)]
    for one, other in zip(found.references, (DASH, LETTERS), strict=True):
        assert abs(one.area_m2 - other.area_m2) < 1e-6
        assert len(one.rings) == len(other.rings)
    data = json.loads(file.read_text())
    assert data["by"] == "a test"
    assert data["features"][0]["properties"] == {"class": "dashed line", "area_m2": 0.8, "verdict": "worn"}
    assert data["features"][1]["geometry"]["type"] == "MultiPolygon"
    # RFC 7946: rings close, outer ones run to the left; the hole lies in the shape that has it.
    shapes = data["features"][1]["geometry"]["coordinates"]
    assert [len(shape) for shape in shapes] == [2, 1]
    assert shapes[0][0][0] == shapes[0][0][-1]
    assert polygons.area([np.array(shapes[0][0][:-1])]) > 0 > polygons.area([np.array(shapes[0][1][:-1])])


@given(st.floats(-80, 80), st.floats(-179, 179), st.floats(-360, 360))
@settings(max_examples=30, deadline=None)
def test_there_and_back_through_wgs84(lat, lon, heading):
    origin = Origin(lat, lon, heading)
    found = parse(to_json("odom", [DASH], origin=origin, on_earth=True))
    assert found.frame == "odom"
    np.testing.assert_allclose(found.references[0].rings[0], DASH.rings[0], atol=2e-3)


def test_an_origin_points_where_it_says():
    east = Origin(49.0, 8.4, 90.0).to_earth(np.array([(100.0, 0.0)]))[0]
    np.testing.assert_allclose(east[1], 49.0, atol=1e-9)
    assert 1.36e-3 < east[0] - 8.4 < 1.38e-3  # 73.2 km per degree there
    north = Origin(49.0, 8.4, 90.0).to_earth(np.array([(0.0, 100.0)]))[0]  # to the left of east
    assert 8.98e-4 < north[1] - 49.0 < 9.01e-4


def test_rings_may_run_either_way_round():
    text = to_json("map", [LETTERS])
    data = json.loads(text)
    for shape in data["features"][0]["geometry"]["coordinates"]:
        for ring in shape:
            ring.reverse()
    assert abs(parse(json.dumps(data)).references[0].area_m2 - 30) < 1e-6


def broken(**changes):
    feature = {"type": "Feature", "id": "a", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]},
               "properties": {"class": "arrow"}}
    return json.dumps({"type": "FeatureCollection", "frame": "map", "features": [{**feature, **changes}]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON"),
        ("[]", "wanted a GeoJSON FeatureCollection"),
        ('{"type": "FeatureCollection", "features": []}', 'wanted "frame"'),
        ('{"type": "FeatureCollection", "frame": "WGS84", "features": []}', "its coordinates are degrees"),
        ('{"type": "FeatureCollection", "frame": "map", "origin": {"lat": 95, "lon": 0}, "features": []}', "wanted a latitude"),
        ('{"type": "FeatureCollection", "frame": "map", "origin": 3, "features": []}', "origin: wanted"),
        (broken(properties={"class": "lane"}), "feature 0: class: wanted one of solid line"),
        (broken(id=None), "wanted an id"),
        (broken(geometry={"type": "Point", "coordinates": [0, 0]}), "wanted a Polygon or a MultiPolygon, got 'Point'"),
        (broken(geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]}), "at least three finite"),
        (broken(geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 0], ["x", 1]]]}), "at least three finite"),
        (broken(geometry={"type": "Polygon", "coordinates": []}), "its geometry is empty"),
        (broken(geometry={"type": "Polygon", "coordinates": [[[10**400, 0], [1, 0], [1, 1]]]}), "at least three finite"),
        (broken(geometry={"type": "Polygon", "coordinates": [[[1e300, 0], [1, 0], [1, 1]]]}), "at least three finite"),
        (broken(geometry=None), "wanted a Feature"),
        ("[" * 100_000, "it is no JSON"),
    ],
)
def test_doors(text, said):
    with pytest.raises(BadInput, match="map:") as error:
        parse(text)
    assert said in str(error.value)


def test_ids_are_unique():
    with pytest.raises(BadInput, match="feature 1: its id 'dash-1' is taken"):
        parse(to_json("map", [DASH, DASH]))


def test_files_that_are_none(tmp_path):
    with pytest.raises(BadInput, match="No such file"):
        read(tmp_path / "none.geojson")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(BadInput, match="it is no text"):
        read(tmp_path / "picture.png")
    with pytest.raises(BadInput, match="wanted an origin"):
        to_json("map", [], on_earth=True)


def test_an_empty_map_is_a_map():
    assert parse(to_json("map", [])).references == ()
    assert len(CLASSES) == 7
