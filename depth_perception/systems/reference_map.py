"""The reference map: which markings a street should have, and where (S4-i, step 402). A GeoJSON FeatureCollection that any GIS opens.

{"type": "FeatureCollection", "frame": "map", "features": [
    {"type": "Feature", "id": "dash-12", "geometry": {"type": "Polygon", "coordinates": ...}, "properties": {"class": "dashed line"}}, ...]}

`frame` names the local frame whose x, y in metres the coordinates are (x ahead, y left, as TF has it). A map may have an `origin`
{"lat", "lon", "heading_deg"}: where on Earth that frame's zero lies and where its x axis points, clockwise from north. With
"frame": "WGS84" the coordinates are longitude and latitude, and `origin` with its "frame" says how to get back to metres.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.frame import BadInput
from depth_perception.geometry import polygons
from depth_perception.systems.marking_classes import CLASSES

WGS84 = "WGS84"
_FARTHEST = 1e8  # metres or degrees; beyond it no place is told from its neighbour
_A, _E2 = 6378137.0, 6.69437999014e-3


@dataclass(frozen=True)
class Origin:
    """Where a local frame lies on Earth: degrees, WGS84; heading: of its x axis, clockwise from north."""

    lat: float
    lon: float
    heading_deg: float = 0.0

    def __post_init__(self) -> None:
        if not (-89 <= self.lat <= 89 and -180 <= self.lon <= 180 and math.isfinite(self.heading_deg)):
            raise BadInput(f"origin: wanted a latitude within 89, a longitude within 180 and a heading in degrees, got {self}")

    def to_earth(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) metres of the local frame -> (N, 2) longitude, latitude, degrees. A tangent plane: centimetres within some kilometres."""
        per_north, per_east = self._metres_per_degree()
        h = math.radians(self.heading_deg)
        north, east = xy[:, 0] * math.cos(h) + xy[:, 1] * math.sin(h), xy[:, 0] * math.sin(h) - xy[:, 1] * math.cos(h)
        return np.column_stack([self.lon + east / per_east, self.lat + north / per_north])

    def to_local(self, lon_lat: np.ndarray) -> np.ndarray:
        """The way back."""
        per_north, per_east = self._metres_per_degree()
        h = math.radians(self.heading_deg)
        east, north = (lon_lat[:, 0] - self.lon) * per_east, (lon_lat[:, 1] - self.lat) * per_north
        return np.column_stack([north * math.cos(h) + east * math.sin(h), north * math.sin(h) - east * math.cos(h)])

    def _metres_per_degree(self) -> tuple[float, float]:
        s = 1 - _E2 * math.sin(math.radians(self.lat)) ** 2
        meridian, normal = _A * (1 - _E2) / s**1.5, _A / math.sqrt(s)
        return math.radians(meridian), math.radians(normal * math.cos(math.radians(self.lat)))


@dataclass(frozen=True, eq=False)
class Reference:
    """One marking that should be there: class id and rings (N, 2) float64 metres, see geometry.polygons."""

    id: str
    kind: int
    rings: tuple[np.ndarray, ...]

    @cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Centre (2,), size (2,) length >= width, yaw of the smallest rectangle."""
        return polygons.smallest_box(np.concatenate(self.rings))

    @cached_property
    def area_m2(self) -> float:
        """Painted area."""
        return abs(polygons.area(self.rings))


@dataclass(frozen=True, eq=False)
class ReferenceMap:
    """References in one local frame."""

    frame: str
    references: tuple[Reference, ...]
    origin: Origin | None = None


def read(path: str | Path) -> ReferenceMap:
    """A map from a file; BadInput with one sentence when it is none."""
    try:
        text = Path(path).read_text()
    except UnicodeDecodeError:
        raise BadInput(f"{path}: wanted a GeoJSON map of markings, it is no text") from None
    except OSError as error:
        raise BadInput(f"{path}: wanted a GeoJSON map of markings ({error.strerror})") from None
    return parse(text, str(path))


def parse(text: str, name: str = "map") -> ReferenceMap:
    """A map from GeoJSON; `name` stands in the sentences."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}: wanted GeoJSON, it is no JSON ({error})") from None
    if not isinstance(data, dict) or data.get("type") != "FeatureCollection" or not isinstance(data.get("features"), list):
        raise BadInput(f"{name}: wanted a GeoJSON FeatureCollection")
    frame, given = data.get("frame"), data.get("origin")
    if not isinstance(frame, str) or not frame:
        raise BadInput(f'{name}: wanted "frame", the name of the frame whose metres its coordinates are, as "map"')
    origin = None
    if given is not None:
        try:
            origin = Origin(float(given["lat"]), float(given["lon"]), float(given.get("heading_deg", 0.0)))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            if isinstance(error, BadInput):
                raise BadInput(f"{name}: {error}") from None
            raise BadInput(f'{name}: origin: wanted {{"lat", "lon", "heading_deg"}}, got {given}') from None
    on_earth = frame == WGS84
    if on_earth:
        if origin is None or not isinstance(given, dict) or not isinstance(given.get("frame"), str):
            raise BadInput(f'{name}: its coordinates are degrees: wanted "origin" with "frame", "lat", "lon" and "heading_deg" too')
        frame = given["frame"]
    references, known = [], set()
    for k, feature in enumerate(data["features"]):
        one = _reference(feature, f"{name}: feature {k}", origin if on_earth else None)
        if one.id in known:
            raise BadInput(f"{name}: feature {k}: its id {one.id!r} is taken")
        known.add(one.id)
        references.append(one)
    return ReferenceMap(frame, tuple(references), origin)


def _reference(feature: Any, name: str, origin: Origin | None) -> Reference:
    if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict) or not isinstance(feature.get("properties"), dict):
        raise BadInput(f"{name}: wanted a Feature with a geometry and properties")
    kind, geometry = feature["properties"].get("class"), feature["geometry"]
    if kind not in CLASSES[1:]:
        raise BadInput(f"{name}: class: wanted one of {', '.join(CLASSES[1:])}, got {kind!r}")
    if not isinstance(feature.get("id"), (str, int)):
        raise BadInput(f"{name}: wanted an id, a text or a number, got {feature.get('id')!r}")
    if geometry.get("type") not in ("Polygon", "MultiPolygon"):
        raise BadInput(f"{name}: wanted a Polygon or a MultiPolygon, got {geometry.get('type')!r}")
    coordinates = geometry.get("coordinates")
    shapes = [coordinates] if geometry["type"] == "Polygon" else coordinates
    rings = []
    try:
        for shape in shapes:
            for k, ring in enumerate(shape):
                rings.append(_ring(ring, origin, hole=k > 0))
    except (TypeError, ValueError, LookupError, OverflowError):
        raise BadInput(f"{name}: wanted rings of at least three finite x, y") from None
    if not rings:
        raise BadInput(f"{name}: wanted a polygon, its geometry is empty")
    return Reference(str(feature["id"]), CLASSES.index(kind), tuple(rings))


def _ring(ring: Any, origin: Origin | None, *, hole: bool) -> np.ndarray:
    points = np.array([corner[:2] for corner in ring], np.float64)
    if len(points) > 1 and (points[0] == points[-1]).all():
        points = points[:-1]
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not (np.abs(points) < _FARTHEST).all():
        raise ValueError
    points = points if origin is None else origin.to_local(points)
    # Older files have their rings either way round.
    return points[::-1] if (polygons.area([points]) > 0) == hole else points


def to_json(
    frame: str, references: Iterable[Reference], *, properties: Mapping[str, Mapping[str, Any]] | None = None,
    origin: Origin | None = None, on_earth: bool = False, **members: Any,
) -> str:
    """GeoJSON text; properties: id -> what is said of a reference besides its class; members: what else the collection says.

    on_earth: longitude and latitude instead of metres; wants `origin`.
    """
    if on_earth and origin is None:
        raise BadInput("map: wanted an origin, longitude and latitude of a local frame are not known without it")
    about: dict[str, Any] = {"frame": WGS84 if on_earth else frame, **members}
    if origin is not None:
        about["origin"] = {"lat": origin.lat, "lon": origin.lon, "heading_deg": origin.heading_deg, "frame": frame}
    features = [
        {
            "type": "Feature",
            "id": one.id,
            "geometry": _geometry(one, origin if on_earth else None),
            "properties": {"class": CLASSES[one.kind], "area_m2": round(one.area_m2, 3)} | dict((properties or {}).get(one.id, {})),
        }
        for one in references
    ]
    head = ", ".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in about.items())
    body = ",\n".join(json.dumps(feature, allow_nan=False) for feature in features)
    return f'{{"type": "FeatureCollection", {head}, "features": [\n{body}\n]}}\n'


def _geometry(one: Reference, origin: Origin | None) -> dict[str, Any]:
    shapes: list[list[np.ndarray]] = [[ring] for ring in one.rings if polygons.area([ring]) > 0]
    for hole in (ring for ring in one.rings if polygons.area([ring]) <= 0):
        home = next((shape for shape in shapes if polygons.inside(shape[:1], hole[:1])[0]), None)
        if home is not None:
            home.append(hole)

    def closed(ring: np.ndarray) -> list[list[float]]:
        points = np.round(ring, 4) if origin is None else np.round(origin.to_earth(ring), 9)
        return [*points.tolist(), points[0].tolist()]

    coordinates = [[closed(ring) for ring in shape] for shape in shapes]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}
