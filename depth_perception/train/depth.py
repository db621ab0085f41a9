"""The recipe of `train depth`: depth and pose from video and a few measured distances (S1, S5's student by default; S2 by its weights).

    python -m depth_perception train depth --bag drive.mcap --out out/student --minutes 25
    python -m depth_perception train depth --network s1 --bag drive.mcap --out out/tiny --steps 20 --batch 2
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_perception import model, writable
from depth_perception.bag import Bag, FrameReader
from depth_perception.frame import BadInput
from depth_perception.geometry.edge_alignment import EdgeAlignment
from depth_perception.networks.depth import DepthNet
from depth_perception.networks.frozen import FrozenEncoder
from depth_perception.networks.load import build, entry, load_weights, weights
from depth_perception.networks.offset import OffsetNet
from depth_perception.networks.pose import PoseNet, PoseNetConfig
from depth_perception.networks.residual import ResidualNet
from depth_perception.networks.student import Student
from depth_perception.networks.teacher import Teacher
from depth_perception.samples import Batches, Drives, NothingToLearn, unpacked
from depth_perception.train import depth_scores, pictures
from depth_perception.train.depth_config import Config
from depth_perception.train.depth_terms import terms
from depth_perception.train.device import chosen
from depth_perception.train.distributed import World
from depth_perception.train.fit import Budget, History, Validation, fit
from depth_perception.train.identity import defaults, identity, read_by
from depth_perception.train.leave_end import but_the_end
from depth_perception.train.lineage import lineage
from depth_perception.train.logbook import Logbook
from depth_perception.train.stage import staged
from depth_perception.train.travelled import travelled, untold

__all__ = ["Budget", "Config", "History", "Recipe", "new_networks", "read", "report", "terms", "train", "write"]

DRIVES = ("depth", "pose")
HELPERS = ("residual", "offset")  # they help to learn, begin fresh and end with the training
AT_RANDOM = "at random"
_SEES = {"pair": "two images", "triplet": "three images"}
_NETWORKS = {Student: "student", DepthNet: "s1", Teacher: "teacher"}


@dataclass(frozen=True)
class Recipe:
    """What a recipe that builds on this one does in its own way.

    terms, validation: as `depth_terms.terms` and `depth_scores.validation`. identity: what more a resumed run must share with the one
    before, by the option that says it. lineage: what more the manifest tells.
    """

    terms: Callable[[nn.ModuleDict, dict[str, Tensor], Any], dict[str, Tensor]] = terms
    validation: Callable[[nn.ModuleDict, Drives, Any, list[Logbook]], Validation | None] = depth_scores.validation
    identity: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)


def train(bags: Sequence[str | Path], out: str | Path, *, config: Config, budget: Budget, batch: int = 8, seed: int = 0,
          init: str | Path | None = None, init_pose: str | Path | None = None, resume: bool = False, command: str = "",
          topics: Sequence[str] = (), then: Callable[[Path, History], None] | None = None, world: World | None = None,
          recipe: Recipe | None = None, **reading: Any) -> History:
    """Trains on bags and writes a model directory: weights, manifest, report/; checkpoints and tensorboard/ while it runs.

    topics: image topics, for bags with several cameras: each one that a bag has is a drive of its own. reading: further options of
    bag.FrameReader. then: called with the directory in which the new model is complete but for what is added now (its export),
    before it takes the place of the last one. A run that ends in any other way leaves the last model as it was.
    world: the processes that train together; `batch` is the joint one, and only the first process writes.
    """
    out, world, recipe = Path(out), world or World(), recipe or Recipe(terms)
    if batch < world.size:
        raise BadInput(f"--batch: wanted at least one window for each of {world.size} processes, got {batch}")
    writable.directory("--out", out)
    if config.keep_init and init is None:
        raise BadInput(f"keep_init: {config.keep_init:g} of --init's weights cannot be kept without --init")
    on_gpu = chosen(config.fit.device).type == "cuda"
    torch.manual_seed(seed)
    networks = new_networks(config, init, init_pose)
    pose_is = pose_began(config, init, init_pose)
    if world.first and isinstance(networks["depth"], Teacher) and init is None:
        print(f"{config.teacher.encoder} begins with the weights of: {networks['depth'].encoder_weights}", flush=True)
    places = world.share(batch)
    drives, warnings = read(bags, config, topics=topics, batch=batch, places=places, aloud=world.first, **reading)
    if pose_is == AT_RANDOM:
        warnings.append("the pose network is at random, for no term teaches it and neither --init nor --init-pose has one that was taught: "
                        "the model's odometry will not know how the camera moves (--init-pose models/student gives it the shipped one)")
        if world.first:
            print(f"warning: {warnings[-1]}", file=sys.stderr)
    if world.gather((drives.windows, drives.held_out)).count((drives.windows, drives.held_out)) < world.size:
        raise BadInput("--bag: wanted the same bags for every process, they find different windows in them")
    batches = Batches(drives, height=config.height, width=config.width, batch=batch, seed=seed, places=places)
    origin = world.tell(lambda: lineage(bags, command)) | {"processes": world.size}
    options = {"--batch": batch, "--image-topic": list(topics), "--init": init and model.sha256(Path(init) / "depth.safetensors"),
               **read_by(reading)}
    same = identity(origin, config, options) | recipe.identity
    logbooks: list[Logbook] = []

    def logbook(step: int) -> Logbook:
        logbooks.append(Logbook(out / "tensorboard", step=step))
        return logbooks[-1]

    history = fit(
        networks,
        lambda step, data: recipe.terms(networks, data, config),
        lambda step: (batches.packed if on_gpu else batches)(step, pairs=config.pairs_at(step)), unpack=unpacked if on_gpu else None,
        out=out, budget=budget, config=config.fit, seed=seed, resume=resume, identity=same, lacking=defaults(config),
        validation=recipe.validation(networks, drives, config, logbooks), describe=batches.describe, logbook=logbook,
        world=world, fresh=HELPERS,
    )
    if not world.first:
        return history
    if config.keep_init and init is not None:
        _lean(networks["depth"], new_networks(config, init, init_pose)["depth"], config.keep_init)
        if scored := recipe.validation(networks, drives, config, []):
            with torch.no_grad():
                history.leaned = {"step": (history.best or history.scores[-1])["step"], **scored.scores(history.step)}
    origin |= {"seed": seed, "batch": batch, "windows": len(drives.windows), "held_out": len(drives.held_out),
               "dropped": dict(drives.dropped), "warnings": warnings, "init": init and str(init), "init_pose": init_pose and str(init_pose),
               "pose": pose_is, **recipe.lineage}
    if isinstance(networks["depth"], Teacher) and init is None:
        origin["encoder_weights"] = networks["depth"].encoder_weights
    with staged(out) as stage:
        write(networks, stage, config, history, origin)
        report(networks, drives, stage / "report", config, history)
        if then is not None:
            then(stage, history)
    return history


def pose_began(config: Config, init: str | Path | None, init_pose: str | Path | None) -> str:
    """What the model's lineage says of its pose network: "learned" here, "given", or AT_RANDOM, here or in the model that gives it."""
    if config.teaches_pose:
        return "learned"
    source = init_pose or init
    return AT_RANDOM if source is None or model.load(source).lineage.get("pose") == AT_RANDOM else "given"


@torch.no_grad()
def _lean(network: nn.Module, start: nn.Module, share: float) -> None:
    """Moves weights and statistics back by a share of their way from where they started (Wortsman et al. 2022, weight-space ensembles)."""
    for now, before in zip(network.state_dict().values(), start.state_dict().values(), strict=True):
        if now.is_floating_point():
            now.lerp_(before.to(now.device), share)


def read(bags: Sequence[str | Path], config: Config, *, topics: Sequence[str] = (), batch: int = 1, places: range = range(1),
         aloud: bool = True, **reading: Any) -> tuple[Drives, list[str]]:
    """The drives of bags, and sentences on what looks wrong in them (printed if `aloud`).

    places: of the places of a batch, those that windows will be drawn for here; with `samples.by_stretch` the others' are not kept.
    """
    drives, warnings = Drives(config.samples, validate=config.validate, needs_scan=config.needs_scan), []
    nothing: NothingToLearn | None = None
    for bag in bags:
        cameras = [topic for topic in topics if topic in Bag(bag).topics] if topics else [None]
        if not cameras:
            raise BadInput(f"bag {bag}: has no image topic {' or '.join(topics)}")
        for camera in cameras:
            name = f"bag {bag}" + (f" {camera}" if camera and len(cameras) > 1 else "")
            reader = FrameReader(bag, pairing="nearest", image_topic=camera, **reading)
            metres = travelled(reader, config.velocity_source or None) if config.velocity else None
            alignment = EdgeAlignment()
            frames = alignment.watching(reader)
            if config.samples.leave_end:
                frames = but_the_end(frames, reader, config.samples.leave_end)
            try:
                drives.add(frames, name=name, travelled=metres)
            except NothingToLearn as reason:  # a parked car's bag ends no training of a fleet
                nothing = reason
                warnings.append(str(reason))
                continue
            if metres is not None and (said := untold(drives)):
                warnings.append(said)
            if config.samples.by_stretch:
                stretches = drives.stretches(batch)
                drives.keep(index for place in places for index in stretches[place])
            if said := alignment.warning():
                warnings.append(f"{name}: {said}")
    if not drives.windows and nothing is not None:
        raise nothing
    for sentence in warnings if aloud else ():
        print(f"warning: {sentence}", file=sys.stderr)
    if drives.dropped and aloud:
        print("windows left out: " + ", ".join(f"{count} {reason}" for reason, count in drives.dropped.most_common()), flush=True)
    return drives, warnings


def new_networks(config: Config, init: str | Path | None = None, init_pose: str | Path | None = None) -> nn.ModuleDict:
    """{"depth", "pose"}: fresh, or from a model directory that has what the config asks for; init_pose: where the pose network is from.

    Beside them what only helps to learn: "residual" where it reconstructs, "offset" where alignment has a weight, "frozen", a copy of this
    depth network, where style has one.
    """
    config.fit.check_init(init)
    depth: nn.Module
    if config.network == "teacher":
        depth = Teacher(config.teacher)
        if init is None:
            depth.pretrain()
    else:
        depth = Student(config.student) if config.network == "student" else DepthNet(config.s1)
    networks = nn.ModuleDict({"depth": depth, "pose": PoseNet(config.pose)})
    if config.reconstruction == "residual":
        networks["residual"] = ResidualNet(config.residual)
    if config.alignment:
        networks["offset"] = OffsetNet(config.offset)
    if init is not None:
        _fill(networks, "--init", init, DRIVES if init_pose is None else ("depth",))
    if init_pose is not None:
        _fill(networks, "--init-pose", init_pose, ("pose",))
    if config.style:
        networks["frozen"] = FrozenEncoder(networks["depth"])
    networks["pose"].requires_grad_(config.teaches_pose)  # else weight decay and its batch norms would change what nothing teaches
    return networks


def _fill(networks: nn.ModuleDict, option: str, init: str | Path, names: Sequence[str]) -> None:
    """Takes networks of a model directory, which `option` gave."""
    start = model.load(init)
    for name in names:
        if name not in start.networks:
            raise BadInput(f"{option} {init}: wanted a model with a {name} network, it has {', '.join(start.networks) or 'none'}")
        theirs, ours = build(name, start.networks[name]), networks[name]
        default: Any = type(ours)().config
        if type(theirs) is not type(ours):
            raise BadInput(f"{option} {init}: its {name} network is a {type(theirs).__name__}, the configuration asks for a "
                           f"{type(ours).__name__}; give --network {_NETWORKS.get(type(theirs), 'student')}")
        if isinstance(ours, PoseNet):
            same_form(option, start, ours.config.form)
            default = PoseNetConfig(form=ours.config.form)
        if ours.config not in (default, theirs.config):
            raise BadInput(f"{option} {init}: its {name} network has {theirs.config}, the configuration asks for {ours.config}")
        load_weights(theirs, start.weights(name))
        networks[name] = theirs


def same_form(option: str, of: model.Model, form: str) -> None:
    """BadInput where the pose network of a model, which `option` gave, is shown another number of images than `form` says."""
    theirs = of.networks.get("pose", {}).get("config", {}).get("form", "pair")  # manifests older than triplets do not say it
    if theirs != form:
        raise BadInput(f"{option} {of.path}: its pose network sees {_SEES.get(theirs, theirs)}, the configuration asks for one that sees "
                       f"{_SEES[form]}; give --config with `pose: {{form: {theirs}}}`, or --init-pose with a model whose network does")


def write(networks: nn.ModuleDict, out: Path, config: Config, history: History, lineage: dict[str, Any]) -> model.Model:
    """Weights and manifest.json of what drives into `out`."""
    image, pose = [1, 3, config.height, config.width], networks["pose"].config
    described = {
        "depth": {**entry(networks["depth"]), "inputs": {"image": image}, "outputs": {"depth": [1, 1, config.height, config.width]}},
        "pose": {**entry(networks["pose"]), "inputs": dict.fromkeys(pose.inputs, image), "outputs": {"pose": pose.output}},
    }
    lineage = {**lineage, **history.lineage(), "recipe": asdict(config)}
    written = model.Model(out, "depth", described, config.height, config.width, config.canonical_focal_px, lineage)
    for name in DRIVES:
        model.write_atomically(out / f"{name}.safetensors", weights(networks[name]))
    model.save_manifest(written)
    return written


def report(networks: nn.ModuleDict, drives: Drives, out: Path, config: Config, history: History, *, count: int = 4) -> None:
    """The curves, and a few depth pictures of held-out frames, else spread over the drives. (`commands.train` makes the page.)"""
    pictures.curves(history, out)
    windows = drives.held_out or drives.at_hand
    for place, picture in enumerate(depth_scores.panels(networks, drives, config, windows=windows, count=count)):
        pictures.save(picture, out / f"depth_{place}.png")
