"""The recipe of `train objects`: the three models of S3 that find things, from an image, a cloud or both ([0005]-[0010]).

    python -m depth_perception train objects --init out/contrast --bag labelled_1 labelled_2 --out out/objects --minutes 10
    python -m depth_perception train objects --modality image --bag drive --labels kitti/label_2 --out out/camera --steps 20
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depth_perception import model
from depth_perception.frame import BadInput, Calibration, check_ranges, ranged
from depth_perception.geometry import ground
from depth_perception.geometry.boxes import Box3D
from depth_perception.geometry.grid import Grid
from depth_perception.losses import centres
from depth_perception.losses.depth_distribution import depth_distribution
from depth_perception.networks.load import build, entry, weights
from depth_perception.networks.objects import MODALITIES, ObjectsNet, ObjectsNetConfig
from depth_perception.samples.bev_batches import BevSampleConfig, Layout, held_out
from depth_perception.samples.bev_frames import BevFrame, BevFrameConfig, BevFrames
from depth_perception.systems.objects import found_in
from depth_perception.train import bev, bev_training
from depth_perception.train.bev_training import Recipe
from depth_perception.train.device import home, onto
from depth_perception.train.fit import Budget, FitConfig, History, Validation

SHOWN_SCORE, SHOWN_BOXES = 0.3, 50  # of what the report's pictures show


@dataclass(frozen=True)
class Config:
    """Per modality: heat * focal loss of the centres + boxes * error of the boxes there + depth * cross-entropy of the depth distribution,
    where the labelled frames have a scan (0: labels alone). A model of the image learns from frames without one, too.

    modalities: the models that are trained, side by side; each has its own backbones, from --init or fresh.
    validate: the first share of every bag is held out and scored; the weights with the least loss there are the model.
    """

    height: int = 128
    width: int = 416
    canonical_focal_px: float = ranged(240.0, 1, 1e5)
    modalities: tuple[str, ...] = MODALITIES
    heat: float = ranged(1.0, 0, 1e3)
    boxes: float = ranged(2.0, 0, 1e3)
    box_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    depth: float = ranged(0.3, 0, 1e3)
    validate: float = ranged(0.1, 0, 0.5)
    validate_frames: int = ranged(32, 1, 1e6)  # type: ignore[assignment]
    network: ObjectsNetConfig = field(default_factory=ObjectsNetConfig)
    frames: BevFrameConfig = field(default_factory=BevFrameConfig)
    samples: BevSampleConfig = field(default_factory=BevSampleConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.modalities or set(self.modalities) - set(MODALITIES) or len(set(self.modalities)) < len(self.modalities):
            raise BadInput(f"modalities: wanted some of {', '.join(MODALITIES)}, each once, got {', '.join(self.modalities) or 'none'}")
        if self.samples.apart_deg or self.samples.apart_m:
            raise BadInput(f"samples.apart_deg, samples.apart_m: wanted 0, for labels lie in one map for image and cloud, got "
                           f"{self.samples.apart_deg:g} and {self.samples.apart_m:g}")
        if len(self.box_weights) != 8 or not min(self.box_weights) >= 0:
            raise BadInput(f"box_weights: wanted eight of at least 0, got {self.box_weights}")

    def layout(self) -> Layout:
        """What the networks want of a frame."""
        image = replace(self.network.image, grid=self.network.grid, depths=self.network.depths)
        wider = {"image": [self.network.image.wider], "cloud": [self.network.cloud.wider],
                 "both": [self.network.image.wider, self.network.cloud.wider]}
        return bev.layout(image, height=self.height, width=self.width, canonical_focal_px=self.canonical_focal_px,
                          classes=self.network.classes, wider=[each for name in self.modalities for each in wider[name]])


def train(bags: Sequence[str | Path], out: str | Path, *, config: Config, budget: Budget, labels: str | None = None,
          frames: int | None = None, **how: Any) -> History:
    """A model directory of kind "objects", with a network per modality, from labelled bags.

    labels: see bag.labels. frames: so many labelled frames, spread evenly; None: all. init: a model of `train contrast`, for the backbones,
    or of `train objects`, for everything that it has; how: as of train.bev_training.train.
    """

    def read(bags: Sequence[str | Path], config: Config, **options: Any) -> tuple[BevFrames, list[str]]:
        found, warnings = bev.read(bags, config.frames, validate=config.validate, labelled=True, scans=set(config.modalities) != {"image"},
                                   source=labels, **options)
        if frames is not None:
            found.fewer(frames)
        if not any(frame.labels for frame in found.frames):
            raise BadInput(f"--bag: wanted labelled things in view, there are none in all {len(found.frames)} frames to learn from")
        return found, warnings

    recipe = Recipe(new_networks, read, {"labels": True}, terms, validation, write, identity={"--labels": labels, "--frames": frames},
                    told=lambda found: {"labels": sum(len(frame.labels or ()) for frame in found.frames),
                                        "camera_m": round(float(np.median([_camera_m(frame) for frame in found.frames])), 3)},
                    shown=shown)
    return bev_training.train(recipe, bags, out, config=config, budget=budget, **how)


def new_networks(config: Config, init: str | Path | None = None, depth: str | Path | None = None) -> tuple[Config, nn.ModuleDict]:
    """{modality: network}, fresh or from a model of kind contrast or objects, and the configuration that they have."""
    if init is not None and depth is not None:
        raise BadInput(f"--depth {depth}: wanted without --init, whose image side has its own depth")
    finish: Callable[[nn.Module], None] | None = None
    if depth is not None:
        image, finish = bev.with_depth(config.network.image, depth, height=config.height, width=config.width,
                                       canonical_focal_px=config.canonical_focal_px)
        config = replace(config, network=replace(config.network, image=image))
    config.fit.check_init(init)
    start = None if init is None else bev.opened("--init", init, ("contrast", "objects"))
    if start is not None:
        config = _taken(config, start, init)
        new = [name for name in config.modalities if name not in start.networks]
        if config.fit.keep_statistics and new:  # its head, at least, is fresh
            raise BadInput(f"fit.keep_statistics: wanted --init with a model of train objects for {', '.join(new)}, got {init}")
    networks = nn.ModuleDict({name: ObjectsNet(replace(config.network, modality=name)) for name in config.modalities})
    if start is None:
        for network in networks.values():
            if finish is not None and "image" in network.config.backbones:  # type: ignore[operator, union-attr]
                finish(network.image)  # type: ignore[arg-type]
        return config, networks
    for name, network in networks.items():
        assert isinstance(network, ObjectsNet)
        if name in start.networks:
            bev.fill(network, start.weights(name), option="--init")
            continue
        for backbone in network.config.backbones:
            if start.kind == "contrast":
                bev.fill(getattr(network, backbone), start.weights(f"bev_{backbone}"), option="--init")
            elif backbone in start.networks:
                bev.fill(getattr(network, backbone), start.weights(backbone), option="--init", prefix=f"{backbone}.")
            else:
                raise BadInput(f"--init {init}: wanted a model for {name}, it is for {', '.join(start.networks)}")
    return config, networks


def _taken(config: Config, start: model.Model, init: str | Path | None) -> Config:
    """A configuration with the networks of a model; BadInput where it asks for others."""
    networks = {name: build(name, words).config for name, words in start.networks.items()}
    theirs: Any
    if start.kind == "contrast":
        image, cloud = networks["bev_image"], networks["bev_cloud"]
        theirs = replace(ObjectsNetConfig(), grid=image.grid, depths=image.depths, image=image, cloud=cloud,  # type: ignore[union-attr]
                         classes=config.network.classes, head=config.network.head)
    else:
        theirs = replace(next(iter(networks.values())), modality=ObjectsNetConfig().modality)  # type: ignore[type-var]
    ours = replace(config.network, image=bev.on_depth_of(config.network.image, theirs.image))
    default = ObjectsNetConfig(classes=config.network.classes, head=config.network.head)
    if theirs not in (config.network, ours) and config.network != default:
        raise BadInput(f"--init {init}: its networks have {theirs}, the configuration asks for {config.network}")
    size = (start.height, start.width, start.canonical_focal_px)
    if size != (config.height, config.width, config.canonical_focal_px):
        raise BadInput(f"--init {init}: its input is {start.width}x{start.height} at {start.canonical_focal_px:g} px, the configuration's "
                       f"{config.width}x{config.height} at {config.canonical_focal_px:g} px")
    return replace(config, network=theirs)


def terms(networks: nn.ModuleDict, data: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weighted terms of one batch: those of every modality added up."""
    out, seen = {}, data["in_view"]
    for name, network in networks.items():
        assert isinstance(network, ObjectsNet)
        shown = [data[each] for each in network.config.inputs(config.height, config.width)]
        heat, boxes, _, depth = network.with_depth(*shown)
        # Beside its view the image's model learns to say nothing; the others answer wherever the labels do.
        true, counts = (data["heat"] * seen, torch.ones_like(seen)) if name == "image" else (data["heat"], data["known"])
        out[f"{name}_heat"] = config.heat * centres.heat(heat.float(), true, counts)
        there = data["centres"] * (seen if name == "image" else counts)
        out[f"{name}_boxes"] = config.boxes * centres.boxes(boxes.float(), data["boxes"], there, weights=config.box_weights)
        if depth is not None and config.depth:
            out[f"{name}_depth"] = config.depth * depth_distribution(depth.float(), data["depth"])
    return out


def validation(networks: nn.ModuleDict, frames: Sequence[BevFrame], config: Config) -> Validation | None:
    """The terms on held-out frames as they are, and "loss", their sum without depth; that one chooses."""
    if not any(frame.labels for frame in frames):
        return None

    def scores(step: int) -> dict[str, float]:
        rows = [{name: float(value) for name, value in terms(networks, onto(home(networks), made), config).items()}
                for made in held_out(frames, config.layout(), most=config.validate_frames, labels=True)]
        mean = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        mean["loss"] = sum(value for name, value in mean.items() if not name.endswith("depth"))
        return {name: round(value, 5) for name, value in mean.items()}

    return Validation(scores, "loss")


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame, its labels, and what each model finds in it: for the report. Boxes and points in the frame's body, grid of the answers."""

    image: np.ndarray
    calibration: Calibration
    points: np.ndarray
    grid: Grid
    true: tuple[Box3D, ...]
    found: dict[str, tuple[Box3D, ...]]


@torch.no_grad()
def shown(networks: nn.ModuleDict, frames: Sequence[BevFrame], config: Config) -> Shown:
    """The first frame that has labels, else the first."""
    frame = next((each for each in frames if each.labels), frames[0])
    networks.eval()
    data = onto(home(networks), next(iter(held_out([frame], config.layout(), most=1, labels=True))))
    grid = config.network.grid.coarser(2)
    found = {}
    for name, network in networks.items():
        heat, boxes, _ = network(*(data[each] for each in network.config.inputs(config.height, config.width)))  # type: ignore[operator, union-attr]
        found[name] = found_in(heat[0].float().cpu().numpy(), boxes[0].float().cpu().numpy(), grid, classes=config.network.classes,
                               ground=frame.ground, min_score=SHOWN_SCORE, most=SHOWN_BOXES)
    height, width = frame.image.shape[:2]
    return Shown(frame.image, Calibration(frame.K, width, height, T_base_camera=frame.T_base_camera), frame.points, grid,
                 frame.labels or (), found)


def _camera_m(frame: BevFrame) -> float:
    """How high the camera stands over the road, metres."""
    at = frame.T_base_camera[:3, 3]
    return float(at[2] - ground.level(frame.ground, at))


def write(networks: nn.ModuleDict, out: Path, config: Config, lineage: dict[str, Any]) -> model.Model:
    """Weights and manifest.json into `out`."""
    # How high the cameras stood over the road: where a car's stands, a plain image does not say.
    high = {"camera_m": lineage["camera_m"]} if "camera_m" in lineage else {}
    described = {name: {**entry(network), **high, "inputs": network.config.inputs(config.height, config.width),  # type: ignore[operator, union-attr]
                        "outputs": network.config.outputs()} for name, network in networks.items()}  # type: ignore[operator, union-attr]
    written = model.Model(out, "objects", described, config.height, config.width, config.canonical_focal_px, lineage)
    for name, network in networks.items():
        model.write_atomically(out / f"{name}.safetensors", weights(network))
    model.save_manifest(written)
    return written
