"""Frames -> training batches: an image, its neighbours and its sparse depth, augmented so that K stays exactly true.

`Drives` holds what training needs in memory: small uint8 images and the LiDAR points inside each view. `Batches` cuts random
views out of them. The same (seed, step) gives the same batch on any run, so a resumed training sees what it would have seen.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from depth_perception.frame import BadInput, Frame
from depth_perception.geometry import camera, lidar, pose
from depth_perception.geometry.registration import camera_motion


@dataclass(frozen=True)
class SampleConfig:
    """What a random view looks like.

    zoom: smallest share of the view that is cut out; it teaches other focal lengths. zoom_share: how many views zoom at all; the
    others keep at least `full_zoom` of the view. aspect: random stretch. colour, pair_colour: how many views (windows with
    neighbours) are recoloured at all; motion is learned from what stays the same, so those are spared. The colour ranges are
    half-widths around 1 (or 0).
    """

    storage_height: int = 176
    max_points: int = 20000
    max_gap_s: float = 0.35
    zoom: float = 0.6
    zoom_share: float = 0.5
    full_zoom: float = 0.92
    aspect: float = 0.06
    flip: float = 0.5
    colour: float = 0.8
    pair_colour: float = 0.3
    brightness: float = 0.25
    contrast: float = 0.3
    gamma: float = 0.3
    saturation: float = 0.6
    hue_deg: float = 25.0
    cast: float = 0.12
    grey: float = 0.1
    exposure: float = 0.04
    light: float = 0.5
    light_share: float = 0.4
    blur: float = 0.3
    noise: float = 8.0
    noise_share: float = 0.4


@dataclass(eq=False)
class Drive:
    """One continuous drive in memory.

    images: (N, h, w, 3) uint8 RGB; K: (3, 3) of these; points: per frame (M, 3) float32 inside the view, camera frame, metres,
    far ones first; stamps: (N,) int64 ns; motions: per frame (4, 4) T_this_previous measured from the previous frame's points
    (geometry.registration), NaN where that gave no answer.
    """

    images: list[np.ndarray]
    K: np.ndarray
    points: list[np.ndarray]
    stamps: list[int]
    motions: list[np.ndarray]


@dataclass
class Drives:
    """Drives and the places in them where a training window (previous, current, next, with a scan) can be cut."""

    config: SampleConfig = field(default_factory=SampleConfig)
    drives: list[Drive] = field(default_factory=list)
    windows: list[tuple[int, int]] = field(default_factory=list)

    def add(self, frames: Iterable[Frame], *, name: str = "frames") -> None:
        """Reads a drive once. BadInput when it has no window: three images in a row, the middle one with LiDAR points in view."""
        drive: Drive | None = None
        grey_before: np.ndarray = np.zeros((0, 0), np.uint8)
        rng = np.random.default_rng(0)
        for frame in frames:
            height, width = frame.image.shape[:2]
            h = min(height, self.config.storage_height)
            w = round(width * h / height)
            if drive is None:
                K = camera.resize_K(frame.calibration.K, from_size=(height, width), to_size=(h, w))
                drive = Drive([], K, [], [], [])
            elif drive.images[0].shape[:2] != (h, w):
                raise BadInput(f"{name}: wanted one image size in a drive, got {drive.images[0].shape[:2]} and then {(h, w)} (scaled)")
            drive.images.append(cv2.resize(frame.image, (w, h), interpolation=cv2.INTER_AREA))
            grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
            moved = camera_motion(grey_before, grey, drive.points[-1], frame.calibration.K) if drive.points else None
            drive.motions.append(np.full((4, 4), np.nan) if moved is None else moved)
            grey_before = grey
            drive.points.append(_points_in_view(frame, self.config.max_points, rng))
            drive.stamps.append(frame.stamp_ns)
        count = len(self.windows)
        if drive is not None:
            gap = self.config.max_gap_s * 1e9
            close = np.diff(drive.stamps) < gap
            self.windows += [(len(self.drives), i) for i in range(1, len(drive.images) - 1)
                             if close[i - 1] and close[i] and len(drive.points[i])]
            self.drives.append(drive)
        if len(self.windows) == count:
            scans = 0 if drive is None else sum(len(points) > 0 for points in drive.points)
            seen = f"{0 if drive is None else len(drive.images)} images, {scans} with LiDAR in view"
            raise BadInput(f"{name}: wanted three images in a row within {self.config.max_gap_s} s steps and a scan, got {seen}")


def _points_in_view(frame: Frame, limit: int, rng: np.random.Generator) -> np.ndarray:
    if frame.scan is None or frame.calibration.T_camera_lidar is None:
        return np.zeros((0, 3), np.float32)
    points = lidar.in_camera(frame.scan, frame.calibration)
    pixels, z = camera.project(frame.calibration.K, points)
    inside = (z > 0.5) & (pixels >= 0).all(1) & (pixels <= [frame.calibration.width - 1, frame.calibration.height - 1]).all(1)
    points = points[inside]
    if len(points) > limit:
        points = points[rng.choice(len(points), limit, replace=False)]
    # Far ones first: a plain assignment then leaves the nearest point in a pixel.
    return np.ascontiguousarray(points[np.argsort(-points[:, 2])], np.float32)


@dataclass(frozen=True)
class View:
    """A crop: source pixel = scale * pixel + offset, then mirrored if `flip`. Sizes in pixels, (x, y)."""

    scale: tuple[float, float]
    offset: tuple[float, float]
    flip: bool
    height: int
    width: int

    def K(self, K: np.ndarray) -> np.ndarray:
        """(3, 3) of the source -> (3, 3) of the view."""
        out = np.array(K, np.float64)
        for row in (0, 1):
            out[row] /= self.scale[row]
            out[row, 2] = (K[row, 2] - self.offset[row]) / self.scale[row]
        return camera.flip_K(out, width=self.width) if self.flip else out

    def image(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) -> (height, width, 3), bilinear."""
        sx, ox = self.scale[0], self.offset[0]
        if self.flip:
            sx, ox = -sx, ox + self.scale[0] * (self.width - 1)
        M = np.array([[sx, 0, ox], [0, self.scale[1], self.offset[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, M, (self.width, self.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def motion(self, T_b_a: np.ndarray) -> np.ndarray:
        """(4, 4) between two cameras -> the same between the two views: mirrored with them."""
        mirror = np.diag([-1.0, 1, 1, 1]) if self.flip else np.eye(4)
        return mirror @ T_b_a @ mirror

    def depth(self, points: np.ndarray, K: np.ndarray) -> np.ndarray:
        """(M, 3) camera-frame points, far ones first, and the source's K -> (height, width) float32 sparse depth, NaN = none."""
        if self.flip:
            points = points * np.array([-1, 1, 1], np.float32)
        pixels, z = camera.project(self.K(K).astype(np.float32), points)
        u, v = np.rint(pixels).astype(np.int32).T
        inside = (u >= 0) & (u < self.width) & (v >= 0) & (v < self.height)
        out = np.full((self.height, self.width), np.nan, np.float32)
        out[v[inside], u[inside]] = z[inside]
        return out


def random_view(rng: np.random.Generator, size: tuple[int, int], config: SampleConfig, *, height: int, width: int, zoom: bool) -> View:
    """A random crop of a source of `size` (height, width), for a network input of height x width."""
    smallest = config.zoom if zoom and rng.random() < config.zoom_share else config.full_zoom
    share = rng.uniform(smallest, 1.0)
    stretch = np.exp(rng.uniform(-config.aspect, config.aspect))
    crop = np.minimum([share * size[0] * np.sqrt(stretch), share * size[1] / np.sqrt(stretch)], size)  # height, width
    top, left = rng.uniform(0, np.array(size) - crop + 1e-9)
    scale = (crop[1] / width, crop[0] / height)
    # c' = (c + 0.5) s - 0.5, as in camera.resize_K
    offset = (left + 0.5 * scale[0] - 0.5, top + 0.5 * scale[1] - 0.5)
    return View(scale, offset, bool(rng.random() < config.flip), height, width)


def full_view(size: tuple[int, int], *, height: int, width: int) -> View:
    """The whole source (height, width) as a network input of height x width: what a driving car shows."""
    scale = (size[1] / width, size[0] / height)
    return View(scale, (0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5), False, height, width)


def recolour(rng: np.random.Generator, images: list[np.ndarray], config: SampleConfig) -> list[np.ndarray]:
    """Another camera, another light: one random look for all (H, W, 3) uint8 images of a window, a little exposure for each."""
    h, w = images[0].shape[:2]
    matrix = _hue_saturation(np.deg2rad(rng.uniform(-1, 1) * config.hue_deg), 1 + rng.uniform(-1, 1) * config.saturation)
    if rng.random() < config.grey:
        matrix = _hue_saturation(0.0, 0.0)
    brightness = np.exp(rng.uniform(-1, 1) * config.brightness)
    contrast = np.exp(rng.uniform(-1, 1) * config.contrast)
    gamma = np.exp(rng.uniform(-1, 1) * config.gamma)
    cast = np.exp(rng.uniform(-1, 1, 3) * config.cast)
    light = None
    if rng.random() < config.light_share:  # soft shadows and sun patches
        coarse = rng.uniform(-1, 1, (3, 7)).astype(np.float32) * config.light
        light = np.exp(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC))[..., None]
    sigma = rng.uniform(0.3, 1.1) if rng.random() < config.blur else 0.0
    noise = rng.uniform(1, config.noise) if rng.random() < config.noise_share else 0.0
    ramp = np.arange(256, dtype=np.float64)[:, None] / 255
    out = []
    for image in images:
        exposure = np.exp(rng.uniform(-1, 1) * config.exposure)
        curve = ((ramp * brightness * exposure * cast).clip(0, None) ** gamma - 0.45) * contrast + 0.45
        table = (curve.clip(0, 1) * 255 + 0.5).astype(np.uint8).reshape(1, 256, 3)
        image = cv2.LUT(cv2.transform(image, matrix), table)
        if light is not None:
            image = (image * light).clip(0, 255).astype(np.uint8)
        if sigma:
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        if noise:
            grain = rng.standard_normal((h, w), np.float32) * noise
            image = cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
        out.append(image)
    return out


def _hue_saturation(angle: float, saturation: float) -> np.ndarray:
    """(3, 3) colour matrix: rotation about the grey axis and scaling away from luma."""
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    c, s = np.cos(angle), np.sin(angle)
    a, b = (1 - c) / 3, s / np.sqrt(3)
    hue = np.array([[c + a, a - b, a + b], [a + b, c + a, a - b], [a - b, a + b, c + a]])
    return ((saturation * (np.eye(3) - grey) + grey) @ hue).astype(np.float32)


class Batches:
    """Random batches: `batches(step, pairs=True)` -> dict of tensors, the same for the same seed and step.

    image (B, 3, H, W) 0..1; K (B, 3, 3) float32 pixels of it; depth (B, 1, H, W) metres, NaN = none;
    with pairs also neighbours (B, 2, 3, H, W): previous and next, and target and others: the same images before recolouring,
    for photometric losses; and motions (B, 2, 4, 4), measured T_previous_image and T_next_image, metres, NaN = none.
    Views of pairs hardly zoom, since a pose network cannot tell rotation from focal length.
    """

    def __init__(self, drives: Drives, *, height: int, width: int, batch: int, seed: int) -> None:
        self.drives, self.height, self.width, self.batch, self.seed = drives, height, width, batch, seed

    def __call__(self, step: int, *, pairs: bool) -> dict[str, Tensor]:
        config = self.drives.config
        images, clean, Ks, depths, motions = [], [], [], [], []
        for k in range(self.batch):
            rng = np.random.default_rng((self.seed, step, k))
            which, i = self.drives.windows[self._window(step * self.batch + k)]
            drive = self.drives.drives[which]
            view = random_view(rng, drive.images[i].shape[:2], config, height=self.height, width=self.width, zoom=not pairs)
            chosen = [i, i - 1, i + 1] if pairs else [i]
            clean.append([view.image(drive.images[j]) for j in chosen])
            share = config.pair_colour if pairs else config.colour
            images.append(recolour(rng, clean[-1], config) if rng.random() < share else clean[-1])
            Ks.append(view.K(drive.K))
            depths.append(view.depth(drive.points[i], drive.K))
            motions.append([view.motion(pose.inverse(drive.motions[i])), view.motion(drive.motions[i + 1])])
        window = _tensor(images)
        out = {
            "image": window[:, 0].contiguous(memory_format=torch.channels_last),
            "K": torch.from_numpy(np.stack(Ks).astype(np.float32)),
            "depth": torch.from_numpy(np.stack(depths)[:, None]),
        }
        if pairs:
            before = _tensor(clean)
            out |= {"neighbours": window[:, 1:], "target": before[:, 0], "others": before[:, 1:],
                    "motions": torch.from_numpy(np.array(motions, np.float32))}
        return out

    def _window(self, draw: int) -> int:
        """Every window once per epoch, in an order that depends on the seed and the epoch alone."""
        count = len(self.drives.windows)
        epoch, position = divmod(draw, count)
        if getattr(self, "_order", (-1, None))[0] != epoch:
            self._order = (epoch, np.random.default_rng((self.seed, 7, epoch)).permutation(count))
        return int(self._order[1][position])


def _tensor(windows: list[list[np.ndarray]]) -> Tensor:
    """B windows of N (H, W, 3) uint8 images -> (B, N, 3, H, W) float32 0..1."""
    return torch.from_numpy(np.stack([np.stack(images) for images in windows])).permute(0, 1, 4, 2, 3).float().div_(255)


def ahead(make: Callable[[int], dict[str, Tensor]], start: int, *, depth: int = 3) -> Generator[dict[str, Tensor], None, None]:
    """make(start), make(start + 1), ... for ever, made by one thread up to `depth` batches ahead. Close the generator to stop it."""
    ready: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def work() -> None:
        step = start
        while not stop.is_set():
            try:
                item: object = make(step)
            except BaseException as error:  # handed to the caller, who raises it
                item = error
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException):
                return
            step += 1

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
