"""The recipe of `train contrast`: image and cloud networks from pairs of target points, without labels (S3).

    python -m depth_perception train contrast --bag drive_1 drive_2 --out out/contrast --minutes 10
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception import model
from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.geometry.grid import Grid
from depth_perception.losses.contrast import contrast
from depth_perception.losses.depth_distribution import depth_distribution
from depth_perception.losses.occupancy import occupancy
from depth_perception.networks.bev_cloud import BevCloud, BevCloudConfig
from depth_perception.networks.bev_image import BevImage, BevImageConfig
from depth_perception.networks.load import build, entry, weights
from depth_perception.samples.bev_batches import BevSampleConfig, Layout, held_out
from depth_perception.samples.bev_frames import BevFrame, BevFrameConfig, BevFrames
from depth_perception.train import bev, bev_training
from depth_perception.train.bev_training import Recipe
from depth_perception.train.device import home, onto
from depth_perception.train.fit import Budget, FitConfig, History, Validation
from depth_perception.train.retrieval import embedded, retrieval

NETWORKS = ("bev_image", "bev_cloud")
SHOWN_PAIRS = 256  # targets of the report's picture
MOST_APART = (5.0, 2.0)  # degrees and metres; with clouds turned by more places tell hardly anything


@dataclass(frozen=True)
class Config:
    """S3's pretraining: contrast * InfoNCE (claims 8, 9) + depth * cross-entropy of the depth distribution (claim 5), and
    ours for the cloud: hidden * error of what it says of the blocks that were hidden from it (losses.occupancy).

    temperature: tau. contrast 0 trains the depth distribution alone; with depth 0 no return teaches it, and contrast alone
    moves it, for what is compared was lifted by it.
    literal: only the features at target points are lifted, as claims 3 and 6 have it; otherwise all of them are, and the targets are read
    from the map. blank: images show nothing: what is then learned, positions alone tell.
    validate: the first share of every bag is held out and scored; the weights that find most targets again are the model.
    """

    height: int = 128
    width: int = 416
    canonical_focal_px: float = ranged(240.0, 1, 1e5)
    contrast: float = ranged(1.0, 0, 1e3)
    depth: float = ranged(1.0, 0, 1e3)
    hidden: float = ranged(1.0, 0, 1e3)
    temperature: float = ranged(0.07, 1e-3, 10)
    literal: bool = False
    blank: bool = False
    validate: float = ranged(0.1, 0, 0.5)
    validate_frames: int = ranged(32, 1, 1e6)  # type: ignore[assignment]
    image: BevImageConfig = field(default_factory=BevImageConfig)
    cloud: BevCloudConfig = field(default_factory=BevCloudConfig)
    frames: BevFrameConfig = field(default_factory=BevFrameConfig)
    samples: BevSampleConfig = field(default_factory=lambda: BevSampleConfig(apart_deg=15.0, apart_m=5.0))
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        check_ranges(self)
        if not (self.image.embedding == self.cloud.embedding > 0):
            raise BadInput(f"embedding: wanted one size above 0 for both sides, got {self.image.embedding} and {self.cloud.embedding}")
        if self.image.place != self.cloud.place:
            raise BadInput(f"place: wanted the same for both sides, got {self.image.place} and {self.cloud.place}")
        if self.image.place == "seen" and (self.samples.apart_deg > MOST_APART[0] or self.samples.apart_m > MOST_APART[1]):
            raise BadInput(f"place: seen compares places: wanted samples.apart_deg of at most {MOST_APART[0]:g} and apart_m of at most "
                           f"{MOST_APART[1]:g}, got {self.samples.apart_deg:g} and {self.samples.apart_m:g}")
        if self.image.grid != self.cloud.grid:
            raise BadInput(f"grid: wanted the same for both sides, got {self.image.grid} and {self.cloud.grid}")
        if not self.contrast and not self.depth:
            raise BadInput("contrast, depth: wanted one of them above 0, else nothing is learned")

    def layout(self) -> Layout:
        """What the networks want of a frame."""
        return bev.layout(self.image, height=self.height, width=self.width, canonical_focal_px=self.canonical_focal_px,
                          wider=[self.image.wider, self.cloud.wider])


def train(bags: Sequence[str | Path], out: str | Path, *, config: Config, budget: Budget, **how: Any) -> History:
    """A model directory of kind "contrast". init: one, whose networks it goes on with; how: as of train.bev_training.train."""

    def read(bags: Sequence[str | Path], config: Config, **options: Any) -> tuple[BevFrames, list[str]]:
        return bev.read(bags, config.frames, validate=config.validate, **options)

    recipe = Recipe(new_networks, read, {"pairs": True}, terms, validation, write, shown=shown)
    return bev_training.train(recipe, bags, out, config=config, budget=budget, **how)


def new_networks(config: Config, init: str | Path | None = None, depth: str | Path | None = None) -> tuple[Config, nn.ModuleDict]:
    """{"bev_image", "bev_cloud"}, fresh or those of a model of kind contrast, and the configuration that they have."""
    if init is not None and depth is not None:
        raise BadInput(f"--depth {depth}: wanted without --init, whose image side has its own depth")
    config.fit.check_init(init)
    if init is None:
        finish: Callable[[nn.Module], None] | None = None
        if depth is not None:
            image, finish = bev.with_depth(config.image, depth, height=config.height, width=config.width,
                                           canonical_focal_px=config.canonical_focal_px)
            config = replace(config, image=image)
        networks = nn.ModuleDict({"bev_image": BevImage(config.image), "bev_cloud": BevCloud(config.cloud)})
        if finish is not None:
            finish(networks["bev_image"])
        return config, networks
    start = bev.opened("--init", init, ("contrast",))
    config = taken(config, start, init)
    networks = nn.ModuleDict({"bev_image": BevImage(config.image), "bev_cloud": BevCloud(config.cloud)})
    for name in NETWORKS:
        bev.fill(networks[name], start.weights(name), option="--init")
    return config, networks


def taken(config: Config, start: model.Model, init: str | Path) -> Config:
    """A configuration with the networks of a model; BadInput where it asks for others."""
    sides = {}
    for name, field_name, default in (("bev_image", "image", BevImageConfig()), ("bev_cloud", "cloud", BevCloudConfig())):
        theirs: Any = build(name, start.networks[name]).config
        ours = getattr(config, field_name)
        if ours not in (default, theirs) and bev.on_depth_of(ours, theirs) != theirs:
            raise BadInput(f"--init {init}: its {name} network has {theirs}, the configuration asks for {ours}")
        sides[field_name] = theirs
    config = replace(config, **sides)
    size = (start.height, start.width, start.canonical_focal_px)
    if size != (config.height, config.width, config.canonical_focal_px):
        raise BadInput(f"--init {init}: its input is {start.width}x{start.height} at {start.canonical_focal_px:g} px, the configuration's "
                       f"{config.width}x{config.height} at {config.canonical_focal_px:g} px")
    return config


def terms(networks: nn.ModuleDict, data: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weighted terms of one batch."""
    out: dict[str, Tensor] = {}
    if not config.contrast:
        _, depth = networks["bev_image"].seen(data["image"])  # type: ignore[operator]
    else:
        image, cloud, depth, from_cloud = embedded(networks, data, literal=config.literal, blank=config.blank)
        out["contrast"] = config.contrast * contrast(image.flatten(0, 1).float(), cloud.flatten(0, 1).float(), data["target"].flatten(),
                                                     temperature=config.temperature)
        if config.hidden:
            told = networks["bev_cloud"].told(from_cloud)  # type: ignore[operator]
            out["hidden"] = config.hidden * occupancy(told.float(), data["pillars"][:, -told.shape[1]:], data["hidden"])
    if config.depth:
        out["depth"] = config.depth * depth_distribution(depth.float(), data["depth"])
    return out


def validation(networks: nn.ModuleDict, frames: Sequence[BevFrame], config: Config) -> Validation | None:
    """Scores of held-out frames: "missed" (1 - top1 of retrieval, the cloud turned and shifted as in training, or else positions would
    do), "top5", and the cross-entropy of the depth distribution.
    """
    if not frames:
        return None
    layout = config.layout()

    def scores(step: int) -> dict[str, float]:
        out = {"depth": depth_score(networks, frames, layout, most=config.validate_frames, blank=config.blank)}
        if config.contrast:
            found = retrieval(networks, frames, layout, most=config.validate_frames, literal=config.literal, blank=config.blank,
                              turned=(config.samples.apart_deg, config.samples.apart_m))
            out |= {"missed": 1 - found["top1"], "top5": found["top5"], "candidates": found["candidates"]}
        return {name: round(value, 5) for name, value in out.items()}

    return Validation(scores, "missed" if config.contrast else "depth")


@torch.no_grad()
def depth_score(networks: nn.ModuleDict, frames: Sequence[BevFrame], layout: Layout, *, most: int, blank: bool = False) -> float:
    """Mean cross-entropy of the depth distribution on frames as they are."""
    values = []
    for made in held_out(frames, layout, most=most):
        data = onto(home(networks), made)
        image = torch.full_like(data["image"], 0.5) if blank else data["image"]
        values.append(float(depth_distribution(networks["bev_image"].seen(image)[1], data["depth"])))  # type: ignore[operator]
    return sum(values) / len(values)


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame as the networks see it, for the report.

    Attributes:
        image: (H, W, 3) uint8 RGB; pixels: (M, 2) x, y of the targets in it.
        points: (N, 3) the cloud; at: (M, 2) the targets in it from above, metres, body frame. grid: of the maps.
        right: (M,) bool whether the image of a target finds its own cloud first.
        from_image, from_cloud: (C, R, S) features from above.
    """

    image: np.ndarray
    pixels: np.ndarray
    points: np.ndarray
    at: np.ndarray
    grid: Grid
    right: np.ndarray
    from_image: np.ndarray
    from_cloud: np.ndarray


@torch.no_grad()
def shown(networks: nn.ModuleDict, frames: Sequence[BevFrame], config: Config) -> Shown:
    """The first frame, its targets a metre apart."""
    frame, layout = frames[0], config.layout()
    networks.eval()
    data = onto(home(networks), next(iter(held_out(frames[:1], layout, most=1, pairs=SHOWN_PAIRS, apart_m=1.0))))
    real = data["target"][0] >= 0
    ours, theirs, *_ = embedded(networks, data, literal=config.literal, blank=config.blank)
    alike = F.normalize(ours[0, real], dim=1) @ F.normalize(theirs[0, real], dim=1).T
    image, grid = data["image"], layout.grid.coarser(2)
    above, _ = networks["bev_image"](torch.full_like(image, 0.5) if config.blank else image, data["polar"], data.get("heights"))
    places = (data["at_cloud"][0, real].cpu().numpy() + 1) / 2
    size = np.array([config.width, config.height])
    return Shown(
        (image[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy(), (data["at_pixel"][0, real].cpu().numpy() + 1) / 2 * size - 0.5,
        frame.points, places * np.array([grid.columns, grid.rows]) * grid.cell_m + np.array([grid.x_m, grid.y_m]), grid,
        (alike <= alike.diagonal()[:, None]).all(1).cpu().numpy(), above[0].float().cpu().numpy(),
        networks["bev_cloud"](data["pillars"])[0].float().cpu().numpy())


def write(networks: nn.ModuleDict, out: Path, config: Config, lineage: dict[str, Any]) -> model.Model:
    """Weights and manifest.json into `out`."""
    image, cloud = config.image, config.cloud
    depth = [1, len(image.depths), config.height // image.stride, config.width // image.stride]
    described = {
        "bev_image": {**entry(networks["bev_image"]), "inputs": image.inputs(config.height, config.width),
                      "outputs": {"features": image.features(), "depth": depth}},
        "bev_cloud": {**entry(networks["bev_cloud"]), "inputs": cloud.inputs(), "outputs": {"features": cloud.features()}},
    }
    written = model.Model(out, "contrast", described, config.height, config.width, config.canonical_focal_px, lineage)
    for name in NETWORKS:
        model.write_atomically(out / f"{name}.safetensors", weights(networks[name]))
    model.save_manifest(written)
    return written
