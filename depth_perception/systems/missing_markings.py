"""Missing markings: what the reference map has and the road has no more, over several passes (S4-i, steps 401-403).

Every reference is a raster of cells. Each image asks of each cell: do I see the road there, and is it painted? A cell behind a car, outside
the image or too far to tell says nothing. What is painted over what was visible, cell by cell and pass by pass, is the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.geometry import polygons
from depth_perception.systems import marking_alignment
from depth_perception.systems.marking_verdicts import Compare, Criteria, Verdict, by_area, ratio_of, unevenness
from depth_perception.systems.marking_view import GRAIN, painted_points, project, road_free
from depth_perception.systems.markings import MarkingsOutput
from depth_perception.systems.reference_map import Reference, ReferenceMap

EDGE, EDGE_M = 0.25, 0.05  # share of a marking's width, and metres at most, that are not asked at its edges
END, END_M = 0.1, 0.15  # share of its length, and metres at most, that are not asked at its ends: odometry is least sure along the road
ACROSS_M = (-0.04, 0.04)  # how far a marking may lie beside its place on the map
CLEARLY = 0.15  # share of its area by which another place must show more paint
MOST_CELLS = 5_000_000  # of one reference: those of its whole rectangle are looked at


@dataclass(frozen=True)
class Config:
    """Attributes:
    reach_m: cells farther ahead than this are not asked.
    from_m: a cell counts as seen when it was seen from here, or often enough from farther.
    max_pose_age_s: a pose older than this, against the image, is stale.
    hides_m: what stands higher over the road than this hides it.
    pixels: a marking must be as many pixels wide to be asked about.
    new_pass_s: a gap in time that begins a new pass.
    alignment, criteria: see there.
    """

    reach_m: float = ranged(16.0, 3, 100)
    from_m: float = ranged(10.0, 1, 100)
    max_pose_age_s: float = ranged(0.15, 0, 10)
    hides_m: float = ranged(0.15, 0.02, 2)
    pixels: float = ranged(1.5, 0.5, 20)
    new_pass_s: float = ranged(20.0, 0.5, 3600)
    alignment: marking_alignment.Config = field(default_factory=marking_alignment.Config)
    criteria: Criteria = field(default_factory=Criteria)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the car is, as localisation or odometry says: (4, 4) frame <- body, when, and in which frame."""

    T_map_base: np.ndarray
    stamp_ns: int
    frame: str


@dataclass(frozen=True, eq=False)
class DefectsOutput:
    """Attributes:
    verdicts: of the references that this image saw something of.
    said: why there is no verdict, a sentence each; empty when all is well.
    pose: (3,) x, y, yaw of the car on the map, held to the markings; None without a pose.
    """

    stamp_ns: int
    verdicts: tuple[Verdict, ...]
    said: tuple[str, ...] = ()
    pose: np.ndarray | None = None


class _Look:
    """One image as cells of the map ask it."""

    def __init__(self, seen: MarkingsOutput, where: np.ndarray, config: Config) -> None:
        assert seen.depth is not None
        self._seen, self._where, self._reach_m = seen, where, config.reach_m
        self._free = road_free(seen.depth, seen.plane, seen.calibration, hides_m=config.hides_m)

    def at(self, xy: np.ndarray, farthest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N, 2) places on the map, metres, each to be seen from nearer than (N,) `farthest` -> (N,) how much the view of each counts (0:
        it is not visible), whether it is painted, and how sure that is."""
        calibration = self._seen.calibration
        pixels, z = project(marking_alignment.turned(-self._where[2], xy - self._where[:2]), calibration, self._seen.plane)
        inside = (z > 0.5) & (z < self._reach_m) & (z < farthest) & (pixels >= 0).all(1)
        inside &= (pixels[:, 0] < calibration.width) & (pixels[:, 1] < calibration.height)
        u, v = np.where(inside[:, None], pixels, 0).T
        weight = np.where(inside & self._free[v // GRAIN, u // GRAIN], (5.0 / np.maximum(z, 0.5)) ** 3, 0.0)  # pixels: z across, z^2 along
        return weight, self._seen.mask[v, u] > 0, self._seen.confidence[v, u]


@dataclass(frozen=True, eq=False)
class _Raster:
    """Cells of one reference: (rows, columns) bool which should be painted, columns along it; first: of its cells among all."""

    cells: np.ndarray
    cell_m: float
    first: int


class MissingMarkings:
    """`step(output, pose)` gathers evidence; `verdicts()` judges the whole map by what all passes saw.

    Args:
        reference_map: what should be there.
        compare: a model that compares what is seen with the reference, instead of the area's criteria; see marking_verdicts.Compare.
    Raises:
        BadInput: a marking that is too large for a raster of its own.
    """

    def __init__(self, reference_map: ReferenceMap, config: Config = Config(), compare: Compare | None = None) -> None:
        self.map = reference_map
        self._config = config
        self._compare = compare
        self._rasters: list[_Raster] = []
        points: list[np.ndarray] = []
        owners: list[np.ndarray] = []
        for k, one in enumerate(reference_map.references):
            raster, xy = _raster(one, sum(map(len, points)))
            self._rasters.append(raster)
            points.append(xy)
            owners.append(np.full(len(xy), k))
        self._xy = np.concatenate(points) if points else np.zeros((0, 2))
        self._owner = np.concatenate(owners).astype(np.int64) if owners else np.zeros(0, np.int64)
        self._shared = _shared(reference_map.references, self._xy, self._owner)
        shapes = [(polygons.thickness(one.rings), *one.box[1], one.box[2]) for one in reference_map.references]
        self._shape = np.array(shapes).reshape(-1, 4)
        self._centre = np.array([one.box[0] for one in reference_map.references]).reshape(-1, 2)
        self._visible, self._painted, self._strength = (np.zeros(len(self._xy)) for _ in range(3))
        self._passes = np.zeros(len(self._rasters), np.int64)
        self._seen_now = np.zeros(len(self._rasters), bool)
        self._last_ns: int | None = None
        self._told: dict[int, Verdict] = {}
        self.alignment = marking_alignment.Alignment(reference_map.references, config.alignment)

    def configure(self, config: Config) -> None:
        """Takes another configuration; the evidence stays."""
        self._config, self.alignment.config = config, config.alignment
        self._told.clear()

    def use(self, compare: Compare | None) -> None:
        """Compares by another model from now on, or (None) by the area's criteria; the evidence stays."""
        self._compare = compare
        self._told.clear()

    def evidence(self) -> dict[str, np.ndarray]:
        """What all passes have seen, cell by cell and reference by reference: what `recall` goes on from."""
        return {"visible": self._visible, "painted": self._painted, "strength": self._strength, "passes": self._passes}

    def recall(self, evidence: dict[str, np.ndarray]) -> None:
        """Takes earlier evidence about this very map to what there is; BadInput when it is none."""
        own = self.evidence()
        for name, values in own.items():
            given = evidence.get(name)
            if given is None or given.shape != values.shape or given.dtype != values.dtype or not (given >= 0).all():
                raise BadInput(f"evidence: wanted {name} {values.dtype} {values.shape}, got {None if given is None else given.shape}")
        for name, values in own.items():
            values += evidence[name]
        self._told.clear()

    def forget(self) -> None:
        """All evidence."""
        for values in self.evidence().values():
            values[:] = 0
        self.new_pass()
        self._told.clear()

    def new_pass(self) -> None:
        """The car comes again: the pose starts anew, the evidence stays. Called by itself after a gap in time."""
        self._seen_now[:] = False
        self._last_ns = None
        self.alignment.reset()

    def step(self, seen: MarkingsOutput, pose_now: Pose | None) -> DefectsOutput:
        """One image's evidence, and the verdicts on what it saw."""
        why = self._why_not(seen, pose_now)
        if why is not None:
            return DefectsOutput(seen.stamp_ns, (), (why,))
        assert pose_now is not None and seen.depth is not None
        if self._last_ns is not None and not 0 <= seen.stamp_ns - self._last_ns < self._config.new_pass_s * 1e9:
            self.new_pass()
        self._last_ns = seen.stamp_ns
        painted = painted_points(seen, reach_m=self._config.reach_m)
        where = self.alignment.step(pose_now.T_map_base, painted)
        if self.alignment.fit < self._config.alignment.fits:
            said = f"{self.alignment.fit:.0%} of the paint that is seen lies on the map's: pose or map are wrong here"
            return DefectsOutput(seen.stamp_ns, (), (said,), where)
        asked = self._gather(seen, where)
        return DefectsOutput(seen.stamp_ns, tuple(self._verdict(k) for k in asked), (), where)

    def verdicts(self) -> list[Verdict]:
        """Of the whole map."""
        return [self._verdict(k) for k in range(len(self._rasters))]

    def told(self) -> list[Verdict]:
        """`verdicts` once a second, for maps of thousands: what no image has seen since the last call is as it was then."""
        for k in set(range(len(self._rasters))) - self._told.keys():
            self._told[k] = self._verdict(k)
        return [self._told[k] for k in range(len(self._rasters))]

    def crops(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        """What a comparing model sees of a reference: observed (rows, columns) float32, NaN = never visible; reference bool; cell_m."""
        raster = self._rasters[index]
        cells = slice(raster.first, raster.first + int(raster.cells.sum()))
        observed = np.full(raster.cells.shape, np.nan, np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            observed[raster.cells] = np.where(self._visible[cells] >= self._least(), self._painted[cells] / self._visible[cells], np.nan)
        return observed, raster.cells, raster.cell_m

    def _least(self) -> float:
        """What the views of a cell must amount to."""
        return (5.0 / self._config.from_m) ** 3

    def _why_not(self, seen: MarkingsOutput, pose_now: Pose | None) -> str | None:
        if not self._rasters:
            return "the reference map is empty"
        if pose_now is None:
            return f"no pose in {self.map.frame!r}, the map's frame"
        if pose_now.frame != self.map.frame:
            return f"the map is in frame {self.map.frame!r}, the pose in {pose_now.frame!r}"
        age = abs(seen.stamp_ns - pose_now.stamp_ns) * 1e-9
        if age > self._config.max_pose_age_s:
            return f"the pose is {age:.2f} s off the image: stale"
        if seen.depth is None:
            return "no depth: what hides the road is not known"
        return None if seen.plane.any() else "no road is seen"

    def _gather(self, seen: MarkingsOutput, where: np.ndarray) -> np.ndarray:
        """Adds what an image says of each cell; gives the references that it saw."""
        config = self._config
        near = np.flatnonzero(np.hypot(*(self._centre - where[:2]).T) < config.reach_m + 3 + 0.5 * self._shape[:, 1])
        near = near[self._certain(near, where)]
        if not len(near):
            return near
        of_these = [np.arange(r.first, r.first + int(r.cells.sum())) for r in (self._rasters[k] for k in near)]
        cells = np.concatenate(of_these)
        look = _Look(seen, where, config)
        body = marking_alignment.turned(-where[2], self._xy[cells] - where[:2])
        cells = cells[~self._shared[cells] & (body[:, 0] > 0) & (body[:, 0] < config.reach_m + 3)]
        wide = self._shape[self._owner[cells], 0] * seen.calibration.K[0, 0] / config.pixels
        shift = self._beside(look, cells, wide)
        weight, paint, sure = look.at(self._xy[cells] + shift[self._owner[cells]], wide)
        self._visible[cells] += weight
        self._painted[cells] += weight * paint
        self._strength[cells] += weight * paint * sure
        found = np.unique(self._owner[cells[weight > 0]])
        self._passes[found] += ~self._seen_now[found]
        self._seen_now[found] = True
        for k in found.tolist():
            self._told.pop(k, None)
        return found

    def _beside(self, look: _Look, cells: np.ndarray, wide: np.ndarray) -> np.ndarray:
        """(references, 2) metres: the step to either side at which clearly more of a reference is painted than where the map has it.

        The pose is right for the street; a single thin line may still lie some centimetres beside its map.
        """
        yaw = self._shape[:, 3] + np.pi / 2
        aside = np.column_stack([np.cos(yaw), np.sin(yaw)])
        owner, best, most = self._owner[cells], np.zeros(aside.shape), np.zeros(0)
        for step in (0.0, *ACROSS_M):
            weight, paint, _ = look.at(self._xy[cells] + step * aside[owner], wide)
            painted = np.bincount(owner, weight * paint, minlength=len(aside))
            if step == 0.0:
                most = painted + CLEARLY * np.bincount(owner, weight, minlength=len(aside))
                continue
            better = painted > most
            best, most = np.where(better[:, None], step * aside, best), np.where(better, painted, most)
        return best

    def _certain(self, near: np.ndarray, where: np.ndarray) -> np.ndarray:
        """(N,) bool: the pose is exact enough to lay cells of these references onto the image: half a width across, some percents along."""
        ahead = marking_alignment.turned(-where[2], self._centre[near] - where[:2])
        yaw = self._shape[near, 3] - where[2]
        P = self.alignment.covariance
        # Error of a point at (x, y): (ex - y eyaw, ey + x eyaw).
        J = np.zeros((len(near), 2, 3))
        J[:, 0, 0] = J[:, 1, 1] = 1
        J[:, 0, 2], J[:, 1, 2] = -ahead[:, 1], np.clip(ahead[:, 0], 0, self._config.reach_m)
        errors = J @ P @ J.transpose(0, 2, 1)
        along = np.column_stack([np.cos(yaw), np.sin(yaw)])
        across = np.column_stack([-np.sin(yaw), np.cos(yaw)])
        thick, length, width = self._shape[near, 0], self._shape[near, 1], self._shape[near, 2]
        error_along = np.sqrt(np.einsum("ni,nij,nj->n", along, errors, along))
        error_across = np.sqrt(np.einsum("ni,nij,nj->n", across, errors, across))
        return (error_along < 0.05 + 0.07 * length) & (error_across < 0.05 + 0.5 * np.minimum(thick, width))

    def _verdict(self, k: int) -> Verdict:
        criteria, one = self._config.criteria, self.map.references[k]
        observed, reference, cell_m = self.crops(k)
        raster = self._rasters[k]
        cells = slice(raster.first, raster.first + int(reference.sum()))
        countable = ~self._shared[cells]
        seen = float((self._visible[cells] >= self._least()).sum() / max(countable.sum(), 1))
        ratio, passes = ratio_of(observed, reference), int(self._passes[k])
        if seen < criteria.least_seen:
            return Verdict(one.id, "unseen", ratio, 0.0, seen, passes, 0.0)
        state, confidence = (self._compare or by_area(criteria))(observed, reference, cell_m)
        if self._compare is None and state == "intact" and self._fades(cells):
            state = "worn"
        # Of one pass half is believed, of two three quarters, ...
        confidence *= seen * (1 - 0.5**passes)
        return Verdict(one.id, state, ratio, confidence, seen, passes, unevenness(observed, reference, cell_m, criteria.piece_m))

    def _fades(self, cells: slice) -> bool:
        """Whether paint is seen with less confidence than paint on this map usually is."""
        usual = self._strength.sum() / max(self._painted.sum(), 1e-9)
        here = self._strength[cells].sum() / max(self._painted[cells].sum(), 1e-9)
        return bool(here < self._config.criteria.faded_below * usual)


def _raster(one: Reference, first: int) -> tuple[_Raster, np.ndarray]:
    """The cells of a reference, and (N, 2) where the painted ones lie."""
    cell = float(np.clip(polygons.thickness(one.rings) / 3, 0.03, 0.1))
    centre, size, yaw = one.box
    if np.prod(size / cell) > MOST_CELLS:
        raise BadInput(f"map: marking {one.id!r} lies in a rectangle of {size[0]:.0f} x {size[1]:.0f} m: wanted it in smaller pieces")
    columns, rows = (max(int(np.ceil(edge / cell)), 1) for edge in size)
    across, along = np.meshgrid((np.arange(rows) + 0.5) / rows - 0.5, (np.arange(columns) + 0.5) / columns - 0.5, indexing="ij")
    xy = marking_alignment.turned(yaw, np.column_stack([along.ravel() * size[0], across.ravel() * size[1]])) + centre
    # Cells near an edge would be lost to the pose's last centimetres.
    margin = min(EDGE * polygons.thickness(one.rings), EDGE_M)
    cells = np.abs(along.ravel() * size[0]) <= 0.5 * size[0] - min(END * size[0], END_M)
    for step in ((0.0, 0.0), (margin, 0.0), (-margin, 0.0), (0.0, margin), (0.0, -margin)):
        cells &= polygons.inside(one.rings, xy + marking_alignment.turned(yaw, np.array([step])))
    if not cells.any():  # a sliver between the cells' centres
        cells[np.argmin(np.linalg.norm(xy - np.concatenate(one.rings).mean(0), axis=1))] = True
    return _Raster(cells.reshape(rows, columns), cell, first), xy[cells]


def _shared(references: Sequence[Reference], xy: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(N,) bool: cells that lie in another reference, too: paint there is no proof."""
    shared = np.zeros(len(xy), bool)
    if not len(xy):
        return shared
    order = np.argsort(xy[:, 0])
    x = xy[order, 0]
    for k, one in enumerate(references):
        corners = np.concatenate(one.rings)
        low, high = corners.min(0), corners.max(0)
        near = order[np.searchsorted(x, low[0]) : np.searchsorted(x, high[0])]
        near = near[(owner[near] != k) & (xy[near, 1] > low[1]) & (xy[near, 1] < high[1])]
        if len(near):
            shared[near] |= polygons.inside(one.rings, xy[near])
    return shared
