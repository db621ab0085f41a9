"""From bags to a model directory, as both recipes of S3 do it; what is particular to each is a `Recipe`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_perception import writable
from depth_perception.samples.bev_batches import BevBatches
from depth_perception.samples.bev_frames import BevFrame, BevFrames
from depth_perception.train import bev, pictures
from depth_perception.train.fit import Budget, History, Validation, fit
from depth_perception.train.identity import defaults, identity, read_by
from depth_perception.train.lineage import lineage
from depth_perception.train.logbook import Logbook
from depth_perception.train.stage import staged


@dataclass(frozen=True)
class Recipe:
    """Attributes:
    new_networks: configuration, --init, --depth -> the configuration that the networks have, and these.
    read: bags, configuration, options of `bev.read` -> frames, and sentences on bags that give nothing.
    batches: options of BevBatches. terms: networks, batch, configuration -> the weighted terms of the loss.
    validation: networks, held-out frames, configuration -> their scores; None where nothing is held out.
    write: networks, directory, configuration, lineage -> a model there, without its report.
    shown: networks, frames, configuration -> what the report shows of one of them.
    identity: further options that a resumed run must share, as --name: value. told: what else the lineage says of the frames.
    """

    new_networks: Callable[[Any, str | Path | None, str | Path | None], tuple[Any, nn.ModuleDict]]
    read: Callable[..., tuple[BevFrames, list[str]]]
    batches: dict[str, Any]
    terms: Callable[[nn.ModuleDict, dict[str, Tensor], Any], dict[str, Tensor]]
    validation: Callable[[nn.ModuleDict, Sequence[BevFrame], Any], Validation | None]
    write: Callable[[nn.ModuleDict, Path, Any, dict[str, Any]], object]
    shown: Callable[[nn.ModuleDict, Sequence[BevFrame], Any], object]
    identity: dict[str, Any] = field(default_factory=dict)
    told: Callable[[BevFrames], dict[str, Any]] = lambda frames: {}


def train(recipe: Recipe, bags: Sequence[str | Path], out: str | Path, *, config: Any, budget: Budget, batch: int = 4, seed: int = 0,
          init: str | Path | None = None, depth: str | Path | None = None, resume: bool = False, command: str = "",
          topics: Sequence[str] = (), draw: Callable[[Path, Any], None] | None = None,
          then: Callable[[Path, History], None] | None = None, **reading: Any) -> History:
    """Trains on bags and writes a model directory: weights, manifest, report/.

    depth: a model of `train depth`, which the image side is built upon (claim 4), instead of one that is learned from the beginning
    (claim 5). topics: image topics, for bags with several cameras (claim 14). draw: puts what `recipe.shown` says of a held-out frame, or
    else of the first one, into the report's folder. reading, then: as of train.depth.train.
    """
    writable.directory("--out", out)
    out = Path(out)
    torch.manual_seed(seed)
    config, networks = recipe.new_networks(config, init, depth)
    layout = config.layout()
    frames, warnings = recipe.read(bags, config, topics=topics, **reading)
    batches = BevBatches(frames.frames, layout, config.samples, batch=batch, seed=seed, **recipe.batches)
    origin = lineage(bags, command)
    options = {"--batch": batch, "--image-topic": list(topics), "--init": bev.weights_of(init), "--depth": bev.weights_of(depth),
               **read_by(reading), **recipe.identity}
    history = fit(
        networks, lambda step, data: recipe.terms(networks, data, config), batches, out=out, budget=budget, config=config.fit, seed=seed,
        resume=resume, identity=identity(origin, config, options), lacking=defaults(config), describe=batches.describe,
        validation=recipe.validation(networks, frames.held_out, config),
        logbook=lambda step: Logbook(out / "tensorboard", step=step))
    origin |= {"seed": seed, "batch": batch, "windows": len(frames.frames), "held_out": len(frames.held_out), **recipe.told(frames),
               "dropped": {name: count for name, count in frames.dropped.items() if count}, "warnings": warnings,
               "init": init and str(init), "depth": depth and str(depth), **history.lineage(), "recipe": asdict(config)}
    with staged(out) as stage:
        recipe.write(networks, stage, config, origin)
        pictures.curves(history, stage / "report")
        if draw is not None:
            draw(stage / "report", recipe.shown(networks, frames.held_out or frames.frames, config))
        if then is not None:
            then(stage, history)
    return history
