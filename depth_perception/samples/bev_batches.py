"""Frames -> batches for S3, augmented on both sides so that what belongs together stays together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from depth_perception.frame import Calibration, check_ranges, ranged
from depth_perception.geometry import boxes, camera, frustum, pose
from depth_perception.geometry.grid import Grid
from depth_perception.geometry.pillars import pillars
from depth_perception.geometry.polar import polar
from depth_perception.samples.bev_frames import BevFrame, BevFrames, turn
from depth_perception.samples.colour import recolour
from depth_perception.samples.config import SampleConfig
from depth_perception.samples.targets import at_stride, thinned
from depth_perception.samples.view import full_view, random_view

MIRROR = np.diag([1.0, -1, 1, 1])  # the body's left is its right
MIRROR_CAMERA = np.diag([-1.0, 1, 1, 1])


@dataclass(frozen=True)
class BevSampleConfig:
    """How a frame looks from one step to the next.

    turn_deg, shift_m: the body is turned about z and shifted, both sides alike. apart_deg, apart_m: by so much more the cloud alone, so
    that where a target lies says little about which one it is; its places on both sides stay known. jitter_deg, jitter_m: deviations of
    the camera's place, as calibrations have them; the truth stays with the cloud. thin: the greatest share of the returns that is left
    out. hide: this share of the cloud is hidden from its network, in blocks of `hide_cells`, to be told from what is around.
    targets: so many per frame, at most one per cell. view: crop, flip and colour of the image (samples.SampleConfig).
    """

    turn_deg: float = ranged(10.0, 0, 180)
    shift_m: float = ranged(2.0, 0, 50)
    apart_deg: float = ranged(0.0, 0, 180)
    apart_m: float = ranged(0.0, 0, 50)
    jitter_deg: float = ranged(0.3, 0, 10)
    jitter_m: float = ranged(0.05, 0, 5)
    thin: float = ranged(0.5, 0, 0.99)
    hide: float = ranged(0.3, 0, 0.9)
    hide_cells: int = ranged(4, 1, 1000)  # type: ignore[assignment]
    targets: int = ranged(128, 2, 1e5)  # type: ignore[assignment]
    view: SampleConfig = field(default_factory=lambda: SampleConfig(zoom=0.7, full_zoom=0.9))

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Layout:
    """What the networks want: input size, focal length that their metres are of, depth bins (canonical), stride, grid of the pillars.

    heights: whether they ask for the height of every feature at every depth (fusion: height).
    """

    height: int
    width: int
    canonical_focal_px: float
    depths: tuple[float, ...]
    stride: int
    grid: Grid
    heights: bool = False
    classes: tuple[str, ...] = boxes.CLASSES


class BevBatches:
    """Random batches, the same for the same seed and step.

    image (B, 3, H, W) 0..1; polar (B, R, S, 2); pillars (B, C, rows, columns); depth (B, D, h, w) share of the returns per bin, at the
    networks' stride, zeros where none falls; heights (B, D, h, w) metres above the ground, where asked for.
    pairs: also at_image, at_cloud, at_pixel (B, M, 2): the targets' places in both maps and in the image, -1..1; ray (B, M, 5): x, y of
    the camera and of a canonical metre of depth along the target's ray, metres of the image's map, by the calibration, and how many of
    these it is to the road, at most the last bin; target (B, M) int64: their cell in the cloud's map, other ones for other frames,
    -1 = none; at_targets (B, 1, h, w): 1 for features with a target in them; hidden (B, 1, rows, columns): 1 for cells that the cloud's
    network must not see.
    labels: also heat (B, K, R, S), boxes (B, 8, R, S), centres (B, 1, R, S): 1 at centres, in_view (B, 1, R, S): 1 where the camera looks,
    known (B, 1, R, S): 1 where the labels tell.
    """

    def __init__(self, frames: Sequence[BevFrame], layout: Layout, config: BevSampleConfig, *, batch: int, seed: int,
                 pairs: bool = False, labels: bool = False, places: range | None = None) -> None:
        self.frames, self.layout, self.config, self.batch, self.seed = frames, layout, config, batch, seed
        self.pairs, self.labels = pairs, labels
        self.places = range(batch) if places is None else places
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def __call__(self, step: int) -> dict[str, Tensor]:
        made = []
        for k in self.places:
            rng = np.random.default_rng((self.seed, step, k))
            made.append(self.one(self.frames[self.frame_of(step * self.batch + k)], rng, place=k))
        return stacked(made)

    def frame_of(self, draw: int) -> int:
        """Every frame once per epoch, in an order that depends on the seed and the epoch alone."""
        epoch, position = divmod(draw, len(self.frames))
        order = self._order  # read once: two threads ask
        if order[0] != epoch:
            order = self._order = (epoch, np.random.default_rng((self.seed, 7, epoch)).permutation(len(self.frames)))
        return int(order[1][position])

    def describe(self, step: int, places: Sequence[int]) -> str:
        """The frames at some places of a step's batch in words: bags and stamps."""
        stamps: dict[str, list[int]] = {}
        for place in places:
            frame = self.frames[self.frame_of(step * self.batch + place)]
            stamps.setdefault(frame.name, []).append(frame.stamp_ns)
        return "; ".join(f"{name} at {', '.join(map(str, sorted(set(each))))} ns" for name, each in stamps.items())

    def one(self, frame: BevFrame, rng: np.random.Generator, *, place: int = 0) -> dict[str, np.ndarray]:
        """A random view of a frame, without the batch's axis."""
        config, layout = self.config, self.layout
        view = random_view(rng, frame.image.shape[:2], config.view, height=layout.height, width=layout.width, zoom=True)
        image = view.image(frame.image)
        if rng.random() < config.view.colour:
            image = recolour(rng, [image], config.view)[0]
        body = _random_turn(rng, config.turn_deg, config.shift_m)
        cloud = _random_turn(rng, config.apart_deg, config.apart_m) @ body
        if view.flip:
            body, cloud = body @ MIRROR, cloud @ MIRROR
        kept = frame.points[rng.random(len(frame.points)) >= rng.uniform(0, config.thin)]
        T = body @ frame.T_base_camera @ (MIRROR_CAMERA if view.flip else np.eye(4))
        shaken = T @ _jitter(rng, config.jitter_deg, config.jitter_m)
        out = made(frame, layout, image=image, K=view.K(frame.K), body=body, cloud=cloud, T_body_camera=T, shaken=shaken, points=kept,
                   pairs=self.pairs and (config.targets, place, rng), labels=self.labels)
        if self.pairs:
            out["hidden"] = _hidden(rng, layout.grid, config.hide, config.hide_cells)
        return out


def made(frame: BevFrame, layout: Layout, *, image: np.ndarray, K: np.ndarray, body: np.ndarray, cloud: np.ndarray,
         T_body_camera: np.ndarray, shaken: np.ndarray, points: np.ndarray, pairs: tuple[int, int, np.random.Generator] | bool = False,
         labels: bool = False) -> dict[str, np.ndarray]:
    """One view of a frame.

    Args:
        image: (H, W, 3) uint8 RGB of the network's size; K: of it.
        body, cloud: (4, 4) from the frame's body to the one that the image's map, or the cloud's, is drawn in; may mirror.
        T_body_camera: (4, 4) the (mirrored) camera in `body`; shaken: the same as the calibration has it.
        pairs: how many targets, the frame's place in its batch, and who draws them.
    """
    coarse = layout.grid.coarser(2)
    calibration = Calibration(K, layout.width, layout.height, T_base_camera=shaken)
    depths = np.array(layout.depths) * K[1, 1] / layout.canonical_focal_px
    in_cloud = pose.transform(cloud, points).astype(np.float32)
    out = {
        "image": image,
        "polar": polar(calibration, height=layout.height, width=layout.width, depths=depths, grid=coarse),
        "pillars": pillars(in_cloud, layout.grid, ground=_moved(frame.ground, cloud)),
    }
    in_body = pose.transform(body, points).astype(np.float32)
    in_camera = pose.transform(pose.inverse(T_body_camera), in_body)
    out["depth"] = measured(in_camera, K, depths, height=layout.height, width=layout.width, stride=layout.stride)
    if layout.heights:
        heights = frustum.heights(calibration, height=layout.height, width=layout.width, stride=layout.stride, depths=depths,
                                  ground=_moved(frame.ground, body))
        out["heights"] = heights.reshape(out["depth"].shape)
    if pairs:
        assert isinstance(pairs, tuple)
        out |= _pairs(frame, coarse, layout, body, cloud, T_body_camera, K, *pairs)
        pixels = (out["at_pixel"] + 1) / 2 * [layout.width, layout.height] - 0.5
        out["ray"] = _rays(pixels, shaken, K, ground=_moved(frame.ground, body), metre=float(K[1, 1]) / layout.canonical_focal_px,
                           most=layout.depths[-1])
    if labels:
        out |= _labels(frame, coarse, layout, body, out["polar"])
    return out


def held_out(frames: BevFrames | Sequence[BevFrame], layout: Layout, *, most: int, batch: int = 4, pairs: int = 0,
             labels: bool = False, apart_m: float = 0.0, turned: tuple[float, float] = (0.0, 0.0)) -> Iterator[dict[str, Tensor]]:
    """At most so many frames, spread evenly, as a driving car sees them, batch by batch; keys as of `BevBatches`.

    pairs: so many targets per frame, where it has as many; apart_m: at least so far from each other. turned: the cloud alone is turned and
    shifted at random by up to so many degrees and metres, always alike for the same frame.
    """
    each = frames.held_out if isinstance(frames, BevFrames) else frames
    places = np.unique(np.linspace(0, len(each) - 1, min(most, len(each))).round().astype(int))
    for first in range(0, len(places), batch):
        views = []
        for k, place in enumerate(places[first : first + batch]):
            frame = each[place]
            cloud = _random_turn(np.random.default_rng(frame.stamp_ns), *turned)
            view = full_view(frame.image.shape[:2], height=layout.height, width=layout.width)
            T = frame.T_base_camera
            if pairs and apart_m:
                # By all that `_pairs` asks of a target, or it would leave some of those out that are chosen here.
                found = _targets(frame, layout.grid.coarser(2), layout, np.eye(4), cloud, T, view.K(frame.K), edge=0.98)
                chosen = found.which[thinned(frame.at[found.which, :2], apart_m=apart_m, most=pairs,
                                             rng=np.random.default_rng(frame.stamp_ns), cells=found.cells)]
                frame = replace(frame, pixels=frame.pixels[chosen], at=frame.at[chosen])
            views.append(made(frame, layout, image=view.image(frame.image), K=view.K(frame.K), body=np.eye(4), cloud=cloud,
                              T_body_camera=T, shaken=T, points=frame.points, labels=labels,
                              pairs=pairs > 0 and (pairs, k, np.random.default_rng(frame.stamp_ns))))
        yield stacked(views)


def stacked(views: Sequence[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Views -> a batch; images become floats 0..1."""
    out = {name: torch.from_numpy(np.stack([view[name] for view in views])) for name in views[0]}
    image = out["image"].permute(0, 3, 1, 2).float().div_(255)
    return out | {"image": image.contiguous(memory_format=torch.channels_last)}


def measured(points: np.ndarray, K: np.ndarray, depths: np.ndarray, *, height: int, width: int, stride: int) -> np.ndarray:
    """(N, 3) camera-frame returns -> (D, h, w) float32: of those that fall into a feature's pixels, the share of each depth bin."""
    D, h, w = len(depths), height // stride, width // stride
    pixels, z = camera.project(K, points)
    log = np.log(depths)
    edges = np.concatenate([[1.5 * log[0] - 0.5 * log[1]], 0.5 * (log[1:] + log[:-1]), [1.5 * log[-1] - 0.5 * log[-2]]])
    keep = (z > np.exp(edges[0])) & (z < np.exp(edges[-1]))
    column, row = at_stride(pixels[keep], stride).T
    number = np.searchsorted(edges, np.log(z[keep])) - 1
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h) & (number >= 0) & (number < D)
    flat = (number[inside] * h + row[inside]) * w + column[inside]
    count = np.bincount(flat, minlength=D * h * w).reshape(D, h, w)
    return (count / np.maximum(count.sum(0), 1)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Targets:
    """Targets that can be paired: (M,) which of a frame's, cells: (M,) of the cloud's map; and of all N of the frame, their (N, 2) pixels

    in the view and places in both maps.
    """

    which: np.ndarray
    cells: np.ndarray
    pixels: np.ndarray
    at_image: np.ndarray
    at_cloud: np.ndarray


def _targets(frame: BevFrame, coarse: Grid, layout: Layout, body: np.ndarray, cloud: np.ndarray, T_body_camera: np.ndarray, K: np.ndarray,
             *, edge: float = 1.0) -> _Targets:
    """Those that the view shows and that lie on both maps, within `edge` of their half."""
    pixels, z = camera.project(K, pose.transform(pose.inverse(T_body_camera) @ body, frame.at))
    at_image, at_cloud = _places(frame.at, coarse, body), _places(frame.at, coarse, cloud)
    seen = (z > 0.5) & (pixels >= 0).all(1) & (pixels <= [layout.width - 1, layout.height - 1]).all(1)
    which = np.flatnonzero(seen & (np.abs(at_image) < edge).all(1) & (np.abs(at_cloud) < edge).all(1))
    return _Targets(which, coarse.cells(pose.transform(cloud, frame.at[which])), pixels, at_image, at_cloud)


def _pairs(frame: BevFrame, coarse: Grid, layout: Layout, body: np.ndarray, cloud: np.ndarray, T_body_camera: np.ndarray, K: np.ndarray,
           count: int, place: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    found = _targets(frame, coarse, layout, body, cloud, T_body_camera, K)
    ok, cells, pixels, at_image, at_cloud = found.which, found.cells, found.pixels, found.at_image, found.at_cloud
    order = rng.permutation(len(ok))
    _, first = np.unique(cells[order], return_index=True)
    chosen = order[rng.permutation(first)[:count]]
    target = np.full(count, -1, np.int64)
    target[: len(chosen)] = cells[chosen] + place * (coarse.outside + 1)
    places = np.zeros((3, count, 2), np.float32)
    places[0, : len(chosen)], places[1, : len(chosen)] = at_image[ok[chosen]], at_cloud[ok[chosen]]
    places[2, : len(chosen)] = (2 * pixels[ok[chosen]] + 1) / [layout.width, layout.height] - 1
    mask = np.zeros((1, layout.height // layout.stride, layout.width // layout.stride), np.float32)
    column, row = at_stride(pixels[ok[chosen]], layout.stride).T
    mask[0, row.clip(0, mask.shape[1] - 1), column.clip(0, mask.shape[2] - 1)] = 1
    return {"at_image": places[0], "at_cloud": places[1], "at_pixel": places[2], "target": target, "at_targets": mask}


def _rays(pixels: np.ndarray, T_body_camera: np.ndarray, K: np.ndarray, *, ground: np.ndarray, metre: float, most: float) -> np.ndarray:
    """(M, 2) pixels -> (M, 5) float32: x, y of the camera, and of what lies `metre` deep along their rays, seen from it; so often that
    to the ground z = a x + b y + c, `most` where it is farther or never met."""
    x, y, z = T_body_camera[:3, 3]
    dx, dy, dz = T_body_camera[:3, :3] @ np.linalg.solve(K, np.column_stack([pixels, np.ones(len(pixels))]).T) * metre
    above, falls = z - ground @ (x, y, 1.0), ground[0] * dx + ground[1] * dy - dz
    road = np.where(falls * most > above, above / np.maximum(falls, 1e-9), most)
    return np.column_stack([np.full_like(dx, x), np.full_like(dx, y), dx, dy, road]).astype(np.float32)


def _labels(frame: BevFrame, coarse: Grid, layout: Layout, body: np.ndarray, from_camera: np.ndarray) -> dict[str, np.ndarray]:
    rows, columns = coarse.rows, coarse.columns
    labels = [box.moved(body) for box in frame.labels or ()]
    cells, values = boxes.encode(labels, coarse, ground=_moved(frame.ground, body))
    heat = np.zeros((len(layout.classes), rows, columns), np.float32)
    told = np.zeros((boxes.CHANNELS, rows * columns), np.float32)
    centres = np.zeros(rows * columns, np.float32)
    y, x = np.mgrid[:rows, :columns]
    for box, cell, value in zip(labels, cells, values, strict=True):
        if cell == coarse.outside or box.label not in layout.classes:
            continue
        row, column = divmod(int(cell), columns)
        sigma = max(0.6, 0.25 * float(box.size[:2].mean()) / coarse.cell_m)
        around = np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2)).astype(np.float32)
        layer = heat[layout.classes.index(box.label)]
        np.maximum(layer, around, out=layer)
        told[:, cell], centres[cell] = value, 1
    seen = (np.abs(from_camera) <= 1).all(-1)
    return {"heat": heat, "boxes": told.reshape(-1, rows, columns), "centres": centres.reshape(1, rows, columns),
            "in_view": seen[None].astype(np.float32), "known": (seen | frame.around)[None].astype(np.float32)}


def _places(points: np.ndarray, grid: Grid, T: np.ndarray) -> np.ndarray:
    """(M, 3) points, metres -> (M, 2) float32 (x, y) = (column, row) in a grid's map, -1..1 from edge to edge."""
    row, column = grid.places(pose.transform(T, points).astype(np.float32))
    return np.column_stack([2 * column / grid.columns - 1, 2 * row / grid.rows - 1]).astype(np.float32)


def _random_turn(rng: np.random.Generator, most_deg: float, most_m: float) -> np.ndarray:
    x, y = rng.uniform(-1, 1, 2) * most_m
    return turn(np.radians(rng.uniform(-1, 1) * most_deg), x=x, y=y)


def _hidden(rng: np.random.Generator, grid: Grid, share: float, cells: int) -> np.ndarray:
    """(1, rows, columns) float32: 1 in blocks of cells x cells, so many of them."""
    blocks = rng.random((-(-grid.rows // cells), -(-grid.columns // cells))) < share
    return np.kron(blocks, np.ones((cells, cells)))[None, : grid.rows, : grid.columns].astype(np.float32)


def _jitter(rng: np.random.Generator, deg: float, metres: float) -> np.ndarray:
    return pose.from_rotation_vector(rng.normal(0, np.radians(deg), 3), rng.normal(0, metres, 3))


def _moved(ground: np.ndarray, T: np.ndarray) -> np.ndarray:
    """(3,) plane z = a x + b y + c in another frame, by (4, 4) T_other_this."""
    a, b, c = ground
    normal = T[:3, :3] @ (-a, -b, 1.0)
    above = T[:3, :3] @ (0.0, 0.0, c) + T[:3, 3]
    return np.array([-normal[0], -normal[1], normal @ above]) / normal[2]
