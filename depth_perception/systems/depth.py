"""Depth: one image -> metric depth and confidence in the image's field of view."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import cv2
import numpy as np

from depth_perception.frame import BadInput, Calibration, Frame, check_ranges, ranged
from depth_perception.geometry import camera, lidar, road
from depth_perception.geometry.cross_view import disagreement
from depth_perception.systems import scale as scales
from depth_perception.systems.network_input import Prepare, focal_ratio, prepare

Infer = Callable[..., dict[str, np.ndarray]]


@dataclass(frozen=True)
class Config:
    """Attributes:
    max_depth_m: farther is no depth (NaN).
    edge_log: a relative step of depth between neighbours at which confidence has fallen to 1/e.
    range_m: distance at which confidence has fallen to one half; monocular error grows with distance.
    disagreement: of this depth and the previous image's (see geometry.cross_view), at which confidence has fallen to 1/e.
    scan_points: about so many returns of a scan, evenly picked, are compared with the depth.
    size: what is published: as large as the camera's image, or as the network's own, all that it knows in a tenth of the bytes.
    scale: how the metric scale is found.
    """

    max_depth_m: float = ranged(100.0, 1, 1000)
    edge_log: float = ranged(0.15, 0.001, 10)
    range_m: float = ranged(60.0, 1, 1000)
    disagreement: float = ranged(0.1, 0.001, 10)
    scan_points: int = ranged(8000, 100, 1_000_000)
    size: Literal["image", "network"] = "image"
    scale: scales.Config = field(default_factory=scales.Config)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.size not in ("image", "network"):
            raise BadInput(f"depth.size: wanted image or network, got {self.size!r}")


@dataclass(frozen=True, eq=False)
class DepthOutput:
    """Attributes:
    cut: (h, w) float32 metres at the network's own size, NaN = none: scaled, and cut at the range.
    network_metres: (h, w) float32, what the network says by itself, at its own size, before the scale and the range.
    scale: the scalar between the network's metres and metres, and how sure it is.
    network_input: (1, 3, h, w) float32, an array or what makes itself one, kept for the systems that look at the same image.
    timing_ms: pre, engine, post.
    previous: the previous image's (h, w) metres, at this image's scale, and T_previous_this, as far as the motion was known before this
        image; None: nobody knows.
    """

    cut: np.ndarray
    network_metres: np.ndarray
    scale: scales.Scale
    calibration: Calibration
    stamp_ns: int
    network_input: np.ndarray
    timing_ms: dict[str, float]
    config: Config = field(default_factory=Config)
    previous: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def metres(self) -> np.ndarray:
        """(h, w) float32, scaled, at the network's own size, however far."""
        return self.network_metres * np.float32(self.scale.value)

    @cached_property
    def depth(self) -> np.ndarray:
        """(H, W) float32 metres, NaN = none, the image's size and field of view."""
        return self.in_view(self.cut)

    @cached_property
    def confidence(self) -> np.ndarray:
        """(H, W) float32 0..1, the image's size."""
        return self.in_view(self.network_confidence)

    @cached_property
    def network_calibration(self) -> Calibration:
        """Of a camera whose image is as large as the network's."""
        height, width = self.cut.shape
        K = camera.resize_K(self.calibration.K, from_size=(self.calibration.height, self.calibration.width), to_size=(height, width))
        return replace(self.calibration, K=K, width=width, height=height)

    @cached_property
    def network_confidence(self) -> np.ndarray:
        """(h, w) float32 0..1: low at depth edges, where a smooth network must be wrong on one side, far away, and where the previous
        image's depth, moved here, is another one: something moves by itself, or one of the two is wrong.

        Worked out when somebody asks: the depth is on its way by then.
        """
        metres = self.metres
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(metres)
        window = np.ones((3, 3), np.uint8)
        step = cv2.dilate(log, window) - cv2.erode(log, window)
        doubt = step / self.config.edge_log
        if self.previous is not None:
            before, T_before_now = self.previous
            K = self.network_calibration.K
            doubt += np.nan_to_num(disagreement(metres, before, K, T_before_now)) / np.float32(self.config.disagreement)
        confidence = np.exp(-doubt) / (1 + (metres / self.config.range_m) ** 2)
        return np.nan_to_num(confidence, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)

    def in_view(self, values: np.ndarray) -> np.ndarray:
        """(h, w) float32 at the network's size -> (H, W) in the image's field of view."""
        return cv2.resize(values, (self.calibration.width, self.calibration.height), interpolation=cv2.INTER_LINEAR)


_NOTHING = np.empty(0, np.float32)


def _sees_a_scan(frame: Frame) -> bool:
    return frame.scan is not None and frame.calibration.T_camera_lidar is not None


def scan_in_view(frame: Frame, size: tuple[int, ...], *, points: int = Config.scan_points) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) LiDAR depth where a return falls into the image, NaN elsewhere, and K of that size.

    points: about so many of the scan's returns, evenly picked. A scalar needs thousands of witnesses, not a hundred thousand: the rest
    would only cost latency. At the network's own resolution the nearest return per pixel wins, so what it sees past an edge does not vote.
    """
    assert frame.scan is not None
    calibration, (height, width) = frame.calibration, size
    K = camera.resize_K(calibration.K, from_size=(calibration.height, calibration.width), to_size=(height, width))
    # Odd: where a LiDAR tells all its 16, 32, 64 or 128 beams of a column and then the next column, an even step would pick few of them.
    every = len(frame.scan.points) // points | 1
    return camera.z_buffer(K, lidar.in_camera(frame.scan, calibration, every=every), height=height, width=width), K


def road_of_scan(frame: Frame, size: tuple[int, ...]) -> np.ndarray | None:
    """(3,) n of the road as the frame's scan shows it at a network's size (geometry.road.in_scan); None without a scan or a road in it."""
    return road.in_scan(*scan_in_view(frame, size)) if _sees_a_scan(frame) else None


class Depth:
    """`step(frame)`: network depth times one metric scalar.

    Args:
        infer: `infer(image=(1, 3, h, w)) -> {"depth": (1, 1, h, w)}` in canonical metres; an Engine or a test's truth.
        height, width: the network's input size.
        canonical_focal_px: see `network_input.focal_ratio`.
        prepare: `network_input.prepare`, or what does the same elsewhere; it prepares for every system that looks at the image.
    """

    def __init__(
        self,
        infer: Infer,
        *,
        height: int,
        width: int,
        canonical_focal_px: float,
        config: Config = Config(),
        prepare: Prepare = prepare,
    ) -> None:
        self._config = config
        self._scale = scales.ScaleFilter(config.scale)
        self.use(infer, height=height, width=width, canonical_focal_px=canonical_focal_px, prepare=prepare)

    def use(self, infer: Infer, *, height: int, width: int, canonical_focal_px: float, prepare: Prepare = prepare) -> None:
        """Takes another network; its metres are its own, so the scale starts anew."""
        self._infer, self._prepare = infer, prepare
        self._height, self._width, self._canonical_focal_px = height, width, canonical_focal_px
        self.reset()

    def configure(self, config: Config) -> None:
        """Takes another configuration from the next image on; the scale found so far stays."""
        self._config = config
        self._scale.config = config.scale

    def reset(self) -> None:
        """Forgets the scale."""
        self._scale.reset()
        self._pending: tuple[Frame, np.ndarray] | None = None
        self._network_metres: np.ndarray | None = None
        self.road: np.ndarray | None = None  # n of the road as the scan shows it that was compared last; see geometry.road.in_scan

    def catch_up(self) -> scales.Scale | None:
        """Compares the last image's depth with its scan, for the images to come. `step` would do it first; a caller that has just sent
        the depth on its way does it now. Returns the new scale, or None when there was nothing to do."""
        if self._pending is None:
            return None
        (frame, network_metres), self._pending = self._pending, None
        if not _sees_a_scan(frame):
            self.road = None
            return self._scale.compare(_NOTHING, _NOTHING)
        sparse, K = scan_in_view(frame, network_metres.shape, points=self._config.scan_points)
        self.road = road.in_scan(sparse, K)
        hit = np.isfinite(sparse)
        return self._scale.compare(network_metres[hit], sparse[hit])

    def step(self, frame: Frame, T_previous_now: np.ndarray | None = None) -> DepthOutput:
        """One image to metric depth. T_previous_now: (4, 4) camera now -> camera at the previous image, metres, as known so far.

        The scale comes from the scans of earlier images, but for the first scan, which counts at once: depth never waits for a scan.
        """
        self.catch_up()
        started = time.perf_counter()
        image = self._prepare(frame.image, height=self._height, width=self._width)
        prepared = time.perf_counter()
        network_depth = self._infer(image=image)["depth"][0, 0]
        inferred = time.perf_counter()

        calibration = frame.calibration
        network_metres = network_depth * np.float32(
            focal_ratio(calibration, height=self._height, canonical_focal_px=self._canonical_focal_px)
        )
        scale = self._scale.predict(frame.stamp_ns)
        self._pending = (frame, network_metres)
        if not self._scale.measured and _sees_a_scan(frame):
            scale = self.catch_up() or scale
        metres = network_metres * np.float32(scale.value)
        cut = np.where((metres > 0) & (metres <= self._config.max_depth_m), metres, np.float32(np.nan))
        done = time.perf_counter()
        timing = {"pre": (prepared - started) * 1e3, "engine": (inferred - prepared) * 1e3, "post": (done - inferred) * 1e3}
        before, self._network_metres = self._network_metres, network_metres
        # At one scale: a scale that was just found out is nobody's disagreement.
        previous = None if before is None or T_previous_now is None else (before * np.float32(scale.value), T_previous_now)
        return DepthOutput(cut, network_metres, scale, calibration, frame.stamp_ns, image, timing, self._config, previous)
