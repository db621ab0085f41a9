"""The recipe of `train markings`: labelled roads teach what markings are, unlabelled ones what they look like elsewhere (S4).

    python -m depth_perception train markings --source drawn_1 drawn_2 --target drive.mcap --out out/markings --minutes 10
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from depth_perception import model
from depth_perception.frame import BadInput
from depth_perception.networks.load import build, entry, load_weights, weights
from depth_perception.networks.markings import MarkingNet
from depth_perception.samples.markings import MarkingBatches, Pictures
from depth_perception.systems import markings_input
from depth_perception.systems.marking_classes import CLASSES
from depth_perception.systems.palette import Palette
from depth_perception.train.branches import Branches
from depth_perception.train.fit import Budget, History, fit
from depth_perception.train.identity import defaults, identity, read_by
from depth_perception.train.lineage import lineage
from depth_perception.train.logbook import Logbook
from depth_perception.train.marked import TRUTH, Marked, labelled, unlabelled
from depth_perception.train.marking_teacher import new_teacher
from depth_perception.train.marking_terms import terms
from depth_perception.train.markings_config import Config
from depth_perception.train.stage import staged

__all__ = ["Budget", "Config", "History", "pictures", "train"]

# Nothing of a marking depends on the focal length; a manifest has one all the same.
FOCAL_PX = 240.0


def train(source: Sequence[str | Path], target: Sequence[str | Path], out: str | Path, *, config: Config, budget: Budget, batch: int = 8,
          seed: int = 0, init: str | Path | None = None, resume: bool = False, command: str = "", palette: Palette | None = None,
          truth: str = TRUTH, image_topic: str | None = None, info_topic: str | None = None, calibration: str | Path | None = None,
          then: Callable[[Path, History], None] | None = None) -> History:
    """Trains and writes a model directory of kind "markings": weights, manifest, checkpoints and tensorboard/ while it runs.

    source: bags with masks in `truth`, or folders of images/ and masks/ (train.marked); target: bags or folders of images without any.
    calibration: YAML file instead of the bags' CameraInfo and TF.
    then: called with the directory in which the new model is complete but for its export. BadInput: no target but in mode `source`, a
    class that nothing shows, masks that do not fit.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out}: wanted a directory, it is a file")
    if config.mode != "source" and not target:
        raise BadInput(f"--target: mode {config.mode} compares with images of the target, and none are given; or take `mode: source`")
    torch.manual_seed(seed)
    network = new_network(config, init)
    reading: dict[str, Any] = {"image_topic": image_topic, "info_topic": info_topic, "calibration": calibration}
    how = {"leave_end": config.leave_end, **reading}
    ours = pictures((each for path in source for each in labelled(path, palette=palette, truth=truth, **how)), config)
    theirs = None if config.mode == "source" else pictures((each for path in target for each in unlabelled(path, **how)), config)
    if not ours.holding(len(CLASSES)):
        raise BadInput(f"--source: none of its {len(ours.images)} masks has a marking in it")
    batches = MarkingBatches(ours, theirs, classes=len(CLASSES), config=config.views, batch=batch, seed=seed)
    branches = Branches(mode=config.mode, statistics=config.statistics)
    balance = class_weights(ours.frequencies(len(CLASSES)), config.balance)
    bags = [*source, *(() if config.mode == "source" else target)]
    origin = lineage(bags, command)
    colours = None if palette in (None, Palette()) else [[*colour, of] for colour, of in palette.ids.items()]
    options = {"--batch": batch, "--init": init and model.sha256(Path(init) / "markings.safetensors"), **read_by(reading),
               "--mask-topic": None if truth == TRUTH else truth, "--palette": colours}
    same = identity(origin, config, options, bags="--source and --target")
    networks = nn.ModuleDict({"markings": network, **({"teacher": new_teacher(network)} if config.teacher else {})})
    history = fit(networks, lambda step, data: terms(networks, data, config, step=step, branches=branches, weights=balance, seed=seed),
                  batches, out=out, budget=budget, config=config.fit, seed=seed, resume=resume, identity=same, lacking=defaults(config),
                  logbook=lambda step: Logbook(out / "tensorboard", step=step))
    origin |= {"seed": seed, "batch": batch, "mode": config.mode, "init": init and str(init), "pictures": len(ours.images),
               "target_pictures": 0 if theirs is None else len(theirs.images)}
    with staged(out) as stage:
        write(corrected(network.folded(), ours, batches, config.prior), stage, config, history, origin)
        if then is not None:
            then(stage, history)
    return history


def pictures(marked: Iterable[Marked], config: Config) -> Pictures:
    """What training keeps of pictures: the network's own view of them and, where they are labelled, of their masks."""
    out = Pictures()
    size = (config.width, config.height)
    for each in marked:
        view = markings_input.prepare(each.image, each.calibration, height=config.height, width=config.width)[0]
        image = np.ascontiguousarray((view.transpose(1, 2, 0) * 255).round().astype(np.uint8))
        mask = None
        if each.mask is not None:
            mask = cv2.resize(markings_input.band(each.mask, each.calibration), size, interpolation=cv2.INTER_NEAREST_EXACT)
        out.add(image, mask)
    if sys.stdout.isatty():
        print(f"{len(out.images)} pictures")
    return out


def class_weights(frequencies: np.ndarray, power: float) -> torch.Tensor:
    """(C,) float32 weights frequency^-power with a mean of 1 over all pixels; classes that never occur weigh 1."""
    there = frequencies > 0
    raw = np.where(there, np.maximum(frequencies, 1e-5) ** -power, 0.0)
    raw = np.where(there, raw / (raw * frequencies).sum(), 1.0)
    return torch.from_numpy(raw.astype(np.float32))


def new_network(config: Config, init: str | Path | None = None) -> MarkingNet:
    """A fresh network, or that of a model directory with a target layer put back in."""
    config.fit.check_init(init)
    if init is None:
        return MarkingNet(config.network)
    start = model.load(init)
    if start.kind != "markings":
        raise BadInput(f"--init {init}: wanted a model of markings, it is one of {start.kind}")
    network = build("markings", start.networks["markings"])
    load_weights(network, start.weights("markings"))
    assert isinstance(network, MarkingNet)
    return network.unfolded(config.network.target)


@torch.no_grad()
def corrected(network: MarkingNet, source: Pictures, batches: MarkingBatches, strength: float) -> MarkingNet:
    """The network with the last biases moved from how often the views show a class to how often the pictures do (Config.prior)."""
    if strength:
        classes = len(CLASSES)
        roads, views = source.frequencies(classes), batches.frequencies(classes)
        there = (roads > 0) & (views > 0)
        shift = np.where(there, strength * np.log(np.where(there, roads, 1) / np.where(there, views, 1)), 0.0)
        assert network.last.bias is not None
        network.last.bias += torch.from_numpy(shift).to(network.last.bias)
    return network


def write(driving: MarkingNet, out: Path, config: Config, history: History, origin: dict[str, Any]) -> model.Model:
    """Weights and manifest.json of the network that drives, its target layer folded away (S4-e)."""
    described = {"markings": {**entry(driving), "inputs": {"image": [1, 3, config.height, config.width]},
                              "outputs": {"logits": [1, len(CLASSES), config.height // 2, config.width // 2]}}}
    origin = {**origin, "steps": history.step, "minutes": round(history.elapsed_s / 60, 2),
              "losses": {name: round(value, 5) for name, value in history.mean().items()}, "recoveries": history.recoveries,
              "recipe": asdict(config)}
    written = model.Model(out, "markings", described, config.height, config.width, FOCAL_PX, origin)
    model.write_atomically(out / "markings.safetensors", weights(driving))
    model.save_manifest(written)
    return written
