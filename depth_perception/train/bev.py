"""What both recipes of S3 share: bags -> frames, what the networks want of them, and pretrained weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from depth_perception import model
from depth_perception.bag import Bag, FrameReader
from depth_perception.bag.labels import labels
from depth_perception.frame import BadInput
from depth_perception.networks.bev_image import BevImageConfig
from depth_perception.networks.load import build
from depth_perception.networks.student import Student
from depth_perception.samples.bev_batches import Layout
from depth_perception.samples.bev_frames import BevFrameConfig, BevFrames
from depth_perception.train.leave_end import but_the_end

_HEADS = ("project.", "tell.")  # they help to pretrain, and do not drive


def read(bags: Sequence[str | Path], config: BevFrameConfig, *, validate: float, topics: Sequence[str] = (), labelled: bool = False,
         scans: bool = True, source: str | None = None, **reading: Any) -> tuple[BevFrames, list[str]]:
    """The frames of bags, each of its cameras in `topics` a drive of its own (claim 14), and sentences on bags that give nothing.

    labelled, source: wants labels, see bag.labels.labels. scans: see BevFrames. BadInput when no bag gives anything.
    """
    frames, warnings = BevFrames(config, validate=validate, labelled=labelled, scans=scans), []
    last: BadInput | None = None
    for bag in bags:
        cameras = [topic for topic in topics if topic in Bag(bag).topics] if topics else [None]
        if not cameras:
            raise BadInput(f"bag {bag}: has no image topic {' or '.join(topics)}")
        for camera in cameras:
            name = f"bag {bag}" + (f" {camera}" if camera and len(cameras) > 1 else "")
            reader = FrameReader(bag, pairing="nearest", image_topic=camera, **reading)
            known = labels(reader, source) if labelled else None
            try:
                frames.add(but_the_end(reader, reader, config.leave_end) if config.leave_end else reader, name=name, labels=known)
            except BadInput as reason:  # one bag without a LiDAR ends no training of a fleet
                last = reason
                warnings.append(str(reason))
    if not frames.frames and last is not None:
        raise last
    for sentence in warnings:
        print(f"warning: {sentence}", file=sys.stderr)
    dropped = {reason: count for reason, count in frames.dropped.items() if count}
    if dropped:
        print("left out: " + ", ".join(f"{count} {reason}" for reason, count in dropped.items()), flush=True)
    return frames, warnings


def with_depth(image: BevImageConfig, path: str | Path, *, height: int, width: int, canonical_focal_px: float
               ) -> tuple[BevImageConfig, Callable[[nn.Module], None]]:
    """The image side on the depth network of a model of `train depth`, which `--depth` gave, and what fills it (S3 claim 4)."""
    given = opened("--depth", path, ("depth",))
    words = given.networks.get("depth", {})
    network = build("depth", words)
    if not isinstance(network, Student):
        raise BadInput(f"--depth {path}: wanted a student, its depth network is a {words.get('class')}")
    if (given.height, given.width, given.canonical_focal_px) != (height, width, canonical_focal_px):
        raise BadInput(f"--depth {path}: its input is {given.width}x{given.height} at {given.canonical_focal_px:g} px, the configuration's "
                       f"{width}x{height} at {canonical_focal_px:g} px")
    return (replace(image, backbone="student", student=network.config),
            lambda side: fill(side.student, given.weights("depth"), option="--depth"))


def on_depth_of(ours: Any, theirs: Any) -> Any:
    """A network's configuration with the backbone of another one: --init decides about that, too."""
    if isinstance(ours, BevImageConfig):
        return replace(ours, backbone=theirs.backbone, student=theirs.student, frozen=theirs.frozen)
    return ours


def layout(image: BevImageConfig, *, height: int, width: int, canonical_focal_px: float, classes: tuple[str, ...] = (),
           wider: Sequence[tuple[int, ...]] = ()) -> Layout:
    """What networks with this image side want of a frame. wider: of the pyramids that read the map from above; none: the image's."""
    deepest = 2 ** (image.layers[-1] + 1)
    if height % deepest or width % deepest or min(height, width) < deepest:
        raise BadInput(f"network input: wanted sides divisible by {deepest}, got {width}x{height}")
    halved = 1 + max(len(each) for each in wider or [image.wider])  # from pillars to the map, and once for each of `wider`
    if image.grid.rows % 2**halved or image.grid.columns % 2**halved:
        raise BadInput(f"grid: wanted rows and columns divisible by {2**halved}, for the networks halve them {halved} times, "
                       f"got {image.grid.rows}x{image.grid.columns}")
    return Layout(height, width, canonical_focal_px, image.depths, image.stride, image.grid, image.fusion == "height", classes)


def fill(network: nn.Module, file: Path, *, option: str, prefix: str = "") -> None:
    """A network's weights from a file, under `prefix` there; heads of the contrast that only one of both has are left as they are."""
    try:
        found = {name.removeprefix(prefix): value for name, value in load_file(file).items() if name.startswith(prefix)}
        wanted = {name for name in network.state_dict() if not name.startswith(_HEADS)}
        missing, unknown = network.load_state_dict({name: value for name, value in found.items() if name in network.state_dict()},
                                                   strict=False), set(found) - set(network.state_dict())
        lacking = wanted & set(missing.missing_keys) | {name for name in unknown if not name.startswith(_HEADS)}
        if lacking:
            raise BadInput(f"{option} {file}: does not fit {type(network).__name__}: {sorted(lacking)[0]}")
    except (RuntimeError, SafetensorError, OSError) as error:
        raise BadInput(f"{option} {file}: does not fit {type(network).__name__}: {str(error).splitlines()[0]}") from error


def weights_of(path: str | Path | None) -> dict[str, str] | None:
    """Identities of the weights of a model directory; None for None."""
    return None if path is None else {name: model.sha256(found.weights(name)) for found in (model.load(path),) for name in found.networks}


def opened(option: str, path: str | Path, kinds: tuple[str, ...]) -> model.Model:
    """A model directory of one of these kinds, which `option` gave."""
    found = model.load(path)
    if found.kind not in kinds:
        raise BadInput(f"{option} {path}: wanted a model of kind {' or '.join(kinds)}, it is of kind {found.kind}")
    return found
