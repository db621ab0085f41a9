"""Frames of a bag for INT8: half of them to find the ranges of activations, the other half to see what rounding costs."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_perception.bag import FrameReader
from depth_perception.engine import Engine
from depth_perception.frame import BadInput
from depth_perception.geometry import lidar
from depth_perception.systems.network_input import focal_ratio, prepare
from depth_perception.train import metrics

_MOST, _LEAST = 64, 8


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame of the bag.

    Attributes:
        images: it, and before it those that precede it in the bag, earliest first; (1, 3, h, w) float32, as the drive prepares them.
        truth: (H, W) metres of the LiDAR in the camera's image, NaN = none; None without a scan.
        ratio: canonical metres times this are metres.
    """

    images: tuple[np.ndarray, ...]
    truth: np.ndarray | None
    ratio: float

    def inputs(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """What a network sees whose inputs have these names: the last images, in the order of time."""
        names = list(names)
        return dict(zip(names, self.images[-len(names) :], strict=True))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Attributes:
    bag: its name. sha256: of the network inputs that were read from it, in their order.
    ranging, scoring: frames for the ranges of activations, and frames to score on, in turns over the whole bag.
    """

    bag: str
    sha256: str
    ranging: list[Seen]
    scoring: list[Seen]


def read(bag: str | Path, *, height: int, width: int, canonical_focal_px: float, images: int = 2) -> Calibration:
    """Up to 64 frames, spread evenly over the bag, each with the `images` - 1 before it; BadInput when there are fewer than 8."""
    reader = FrameReader(bag, pairing="nearest")
    every = max(1, reader.bag.topics[reader.topics.image][1] // _MOST)
    digest, found, row = hashlib.sha256(), list[Seen](), deque[np.ndarray](maxlen=images)
    for k, frame in enumerate(reader):
        if -k % every >= images:
            continue
        row.append(prepare(frame.image, height=height, width=width))
        if len(row) == images and k % every == 0 and len(found) < _MOST:
            for image in reversed(row):
                digest.update(image.tobytes())
            ratio = focal_ratio(frame.calibration, height=height, canonical_focal_px=canonical_focal_px)
            has_truth = frame.scan is not None and frame.calibration.T_camera_lidar is not None
            truth = lidar.depth_image(frame.scan, frame.calibration) if has_truth else None  # type: ignore[arg-type]
            found.append(Seen(tuple(row), truth, ratio))
    if len(found) < _LEAST:
        raise BadInput(f"--bag {bag}: wanted at least {_LEAST + images - 1} images to calibrate INT8 with, got {len(found) + images - 1}")
    return Calibration(Path(bag).name, digest.hexdigest(), found[::2], found[1::2])


def cost(full: Path, rounded: Path, frames: list[Seen]) -> dict[str, float]:
    """What rounding does to a network on frames of a bag.

    Returns:
        difference: mean |difference| of the answers over the mean of their size; for a depth, mean relative difference per pixel.
        abs_rel, abs_rel_fp32, abs_rel_loss: for a depth where the bag has LiDAR: mean `median_scaled` AbsRel of both and the relative
            worsening.
    """
    engines = [Engine(file, device="cpu") for file in (full, rounded)]
    differences, errors = [], []
    for seen in frames:
        (name, wanted), (_, got) = (next(iter(engine(**seen.inputs(engine.inputs)).items())) for engine in engines)
        if name != "depth":
            differences.append(float(np.abs(got - wanted).mean() / np.abs(wanted).mean()))
            continue
        differences.append(float(np.mean(np.abs(got / wanted - 1))))
        if seen.truth is not None:
            rows = [metrics.depth_errors(_in_view(depth * seen.ratio, seen.truth.shape), seen.truth, median_scale=True)
                    for depth in (wanted, got)]
            errors += [[row["abs_rel"] for row in rows if row is not None]]
    out = {"difference": float(np.mean(differences)), "frames": len(frames)}
    if scored := [pair for pair in errors if len(pair) == 2]:
        before, after = np.mean(scored, 0)
        out |= {"abs_rel_fp32": float(before), "abs_rel": float(after), "abs_rel_loss": float(after / before - 1)}
    return out


def _in_view(depth: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(depth[0, 0], shape[::-1], interpolation=cv2.INTER_LINEAR)
