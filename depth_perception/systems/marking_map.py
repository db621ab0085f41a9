"""The first reference map, from drives down a street whose markings are good: where most views of a place show paint, there is a marking.

Each image votes on a raster of the ground around the car, in the map's frame. The first pass is taken at its word; every further pass is
held to the map that the earlier ones made, so that their odometries' drifts do not smear lines. Places that a car hides do not vote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.geometry import polygons, tiles
from depth_perception.geometry.tiles import TILE
from depth_perception.systems import marking_alignment
from depth_perception.systems.marking_classes import CLASSES, TEXT, ZEBRA
from depth_perception.systems.marking_view import GRAIN, painted_points, project, road_free
from depth_perception.systems.markings import MarkingsOutput
from depth_perception.systems.reference_map import Reference

MOST_TILES = 800  # that are held at once, two megabytes each: with cells of 4 cm some three kilometres of street


@dataclass(frozen=True)
class Config:
    """Attributes:
    cell_m: of the raster. reach_m, aside_m: how far ahead of and beside the car an image votes.
    least_views: places seen by fewer images are not mapped. share: of the votes, weighted by nearness, that makes a marking.
    least_m2: smaller markings are noise. longest_m: longer ones are cut into pieces.
    together_m: bars of a zebra crossing and letters of a word that lie nearer than this are one marking.
    """

    cell_m: float = ranged(0.04, 0.01, 0.5)
    reach_m: float = ranged(14.0, 3, 60)
    aside_m: float = ranged(9.0, 1, 60)
    least_views: int = ranged(2, 1, 100)
    share: float = ranged(0.5, 0.05, 1)
    least_m2: float = ranged(0.06, 0, 10)
    longest_m: float = ranged(10.0, 1, 100)
    together_m: float = ranged(0.7, 0, 5)

    def __post_init__(self) -> None:
        check_ranges(self)


class MarkingMap:
    """`add(seen, T_map_base)` for every image, `new_pass()` between drives, then `references()`."""

    def __init__(self, config: Config = Config()) -> None:
        self._config = config
        # Tile -> (views, weight, weight by class), each (TILE, TILE, ...) float32.
        self._tiles: dict[tuple[int, int], np.ndarray] = {}
        self._alignment: marking_alignment.Alignment | None = None
        self.images = 0

    def new_pass(self) -> None:
        """The images to come are of another drive, held to what is mapped so far."""
        known = self.references()
        self._alignment = marking_alignment.Alignment(known) if known else None

    def add(self, seen: MarkingsOutput, T_map_base: np.ndarray) -> bool:
        """One image; whether it could vote: an image that does not fit the map so far, and one that shows no road, cannot.

        BadInput, and no vote, once the map is as large as memory should hold.
        """
        where = marking_alignment.planar(T_map_base)
        if self._alignment is not None:
            where = self._alignment.step(T_map_base, painted_points(seen, reach_m=self._config.reach_m))
            if self._alignment.fit < self._alignment.config.fits:
                return False
        if not seen.plane.any():
            return False
        config, cell = self._config, self._config.cell_m
        corners = np.array([(0, -1), (0, 1), (1, -1), (1, 1)]) * [config.reach_m, config.aside_m]
        corners = marking_alignment.turned(where[2], corners) + where[:2]
        low, high = (np.floor(each / cell).astype(np.int64) for each in (corners.min(0), corners.max(0)))
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        index = np.column_stack([x.ravel(), y.ravel()])
        body = marking_alignment.turned(-where[2], (index + 0.5) * cell - where[:2])
        index, body = (each[(body[:, 0] > 0) & (np.abs(body[:, 1]) < config.aside_m)] for each in (index, body))
        pixels, z = project(body, seen.calibration, seen.plane)
        inside = (z > 0.5) & (z < config.reach_m) & (pixels >= 0).all(1)
        inside &= (pixels[:, 0] < seen.calibration.width) & (pixels[:, 1] < seen.calibration.height)
        index, pixels, z = index[inside], pixels[inside], z[inside]
        if seen.depth is not None:
            free = road_free(seen.depth, seen.plane, seen.calibration, hides_m=0.15)[pixels[:, 1] // GRAIN, pixels[:, 0] // GRAIN]
            index, pixels, z = index[free], pixels[free], z[free]
        kind = seen.mask[pixels[:, 1], pixels[:, 0]]
        weight = ((5.0 / z) ** 3).astype(np.float32)
        tile, within = index // TILE, index % TILE
        keys = np.unique(tile, axis=0)
        if len(self._tiles) + len({(int(x), int(y)) for x, y in keys} - self._tiles.keys()) > MOST_TILES:
            size_m = config.cell_m * TILE
            raise BadInput(f"map: it has all {MOST_TILES} pieces of {size_m:.1f} x {size_m:.1f} m that it may have; map the rest by itself")
        for key in keys:
            at = np.flatnonzero((tile == key).all(1))
            votes = self._tiles.setdefault((int(key[0]), int(key[1])), np.zeros((TILE, TILE, 1 + len(CLASSES)), np.float32))
            votes[within[at, 1], within[at, 0], 0] += 1
            votes[within[at, 1], within[at, 0], 1 + kind[at]] += weight[at]
        self.images += 1
        return True

    def references(self) -> list[Reference]:
        """The map so far: markings class by class along x."""
        elected = {key: self._elected(votes) for key, votes in self._tiles.items()}
        found = []
        for kind in range(1, len(CLASSES)):
            of_kind = {key: tile == kind for key, tile in elected.items() if (tile == kind).any()}
            shapes = [rings for rings in self._shapes(of_kind, kind) if polygons.area(rings) >= self._config.least_m2]
            shapes.sort(key=lambda rings: tuple(rings[0].min(0)))
            name = CLASSES[kind].replace(" ", "-")
            found += [Reference(f"{name}-{number}", kind, tuple(rings)) for number, rings in enumerate(shapes)]
        return found

    def _elected(self, votes: np.ndarray) -> np.ndarray:
        """(TILE, TILE) class of each cell."""
        weight = votes[..., 1:].sum(-1)
        paint = votes[..., 2:].sum(-1)
        kind = votes[..., 2:].argmax(-1) + 1
        good = (votes[..., 0] >= self._config.least_views) & (paint >= self._config.share * weight) & (paint > 0)
        return np.where(good, kind, 0).astype(np.uint8)

    def _shapes(self, of_kind: tiles.Mask, kind: int) -> Iterator[list[np.ndarray]]:
        """Rings of every marking of a class, metres."""
        joined = None
        if kind in (ZEBRA, TEXT):
            joined = tiles.closed(of_kind, round(self._config.together_m / self._config.cell_m) // 2 * 2 + 1)
        for marking in tiles.pieces(of_kind, joined):
            for piece in self._cut(marking):
                low, high = piece.min(0), piece.max(0)
                picture = np.zeros((high - low + 1)[::-1], np.uint8)
                picture[piece[:, 1] - low[1], piece[:, 0] - low[0]] = 1
                # OpenCV's y points down, the map's up the rows: the same numbers, so outer rings run to the left already.
                yield [(corners + 0.5 + low) * self._config.cell_m for group in polygons.contours(picture) for corners, _ in group]

    def _cut(self, marking: np.ndarray) -> Iterator[np.ndarray]:
        """Pieces of a marking's cells (N, 2), none much longer than the longest, cut across its own direction."""
        centre, size, yaw = polygons.smallest_box(marking.astype(np.float64))
        pieces = int(np.ceil(size[0] * self._config.cell_m / (1.2 * self._config.longest_m)))
        if pieces <= 1:
            yield marking
            return
        along = (marking - centre) @ [np.cos(yaw), np.sin(yaw)]
        number = np.clip(((along / size[0] + 0.5) * pieces).astype(np.int64), 0, pieces - 1)
        for k in np.unique(number):
            yield from self._cut(marking[number == k])  # a bend's piece may be long as well
