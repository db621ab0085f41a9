"""Frames of bags for INT8: half of them to find the ranges of activations, the other half to see what rounding costs."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from depth_perception.bag import FrameReader
from depth_perception.engine import Engine
from depth_perception.frame import BadInput, Frame
from depth_perception.geometry import lidar
from depth_perception.systems.network_input import focal_ratio, prepare
from depth_perception.train import metrics

_MOST, _LEAST = 64, 8


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame of a bag.

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
    bags: their names. sha256: of the network inputs that were read from them, in their order.
    ranging, scoring: frames for the ranges of activations, and frames to score on, in turns over all bags.
    """

    bags: list[str]
    sha256: str
    ranging: list[Seen]
    scoring: list[Seen]


def read(bag: str | Path | Sequence[str | Path], *, height: int, width: int, canonical_focal_px: float, images: int = 2,
         reading: Mapping[str, Any] = MappingProxyType({}), tell: Callable[[str], None] = lambda sentence: None) -> Calibration:
    """Up to 64 frames, spread evenly over all bags, each with the `images` - 1 before it; BadInput when there are fewer than 8.

    bag: one or several. reading: topics and calibration, as for `FrameReader`. tell: hears which bag is being read.
    """
    bags = [bag] if isinstance(bag, str | Path) else list(bag)
    every = max(1, math.ceil(sum(_images_of(each, reading) for each in bags) / _MOST))
    digest, found, k = hashlib.sha256(), list[Seen](), -1
    for each in bags:
        tell(f"reading {each}")
        row = deque[np.ndarray](maxlen=images)  # a bag's own: its first image has none before it
        for frame in _reader(each, reading):
            k += 1  # over all bags, or one that is shorter than `every` would have no frame, however many such there are
            if -k % every >= images:
                continue
            row.append(prepare(frame.image, height=height, width=width))
            if len(row) == images and k % every == 0 and len(found) < _MOST:
                for image in reversed(row):
                    digest.update(image.tobytes())
                found.append(_seen(row, frame, focal_ratio(frame.calibration, height=height, canonical_focal_px=canonical_focal_px)))
    if len(found) < _LEAST:
        before = (images - 1) * len(bags)
        raise BadInput(f"--bag {' '.join(map(str, bags))}: wanted at least {_LEAST + before} images to calibrate INT8 with, "
                       f"got {len(found) + before}")
    return Calibration([Path(each).name for each in bags], digest.hexdigest(), found[::2], found[1::2])


def _reader(bag: str | Path, reading: Mapping[str, Any]) -> FrameReader:
    return FrameReader(bag, pairing="nearest", **reading)


def _images_of(bag: str | Path, reading: Mapping[str, Any]) -> int:
    """How many images a bag has. It is closed again: unpacked bags take room, and there may be many."""
    reader = _reader(bag, reading)
    return reader.bag.topics[reader.topics.image][1]


def _seen(row: Iterable[np.ndarray], frame: Frame, ratio: float) -> Seen:
    """row: prepared images, the last one the frame's own."""
    has_truth = frame.scan is not None and frame.calibration.T_camera_lidar is not None
    truth = lidar.depth_image(frame.scan, frame.calibration) if has_truth else None  # type: ignore[arg-type]
    return Seen(tuple(row), truth, ratio)


def cost(full: Path, rounded: Path, frames: list[Seen]) -> dict[str, float]:
    """What rounding does to a network on frames of bags.

    Returns:
        difference: mean |difference| of the answers over the mean of their size; for a depth, mean relative difference per pixel.
        abs_rel, abs_rel_fp32, abs_rel_loss: for a depth where a bag has LiDAR: mean `median_scaled` AbsRel of both and the relative
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
