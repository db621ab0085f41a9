"""The recipe of `train student`: a student that approximates a frozen teacher, beside the terms of `train depth` (S5 claim 8, eq. 18).

    python -m depth_perception train depth --network teacher --bag DRIVES --init-pose models/student --out out/teacher --minutes 25
    python -m depth_perception train student --teacher out/teacher --bag DRIVES --out out/student --minutes 25
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_perception import model
from depth_perception.frame import BadInput
from depth_perception.losses import approximation
from depth_perception.networks.load import build, load_weights
from depth_perception.networks.student import StudentConfig
from depth_perception.networks.teacher import Teacher
from depth_perception.samples import Drives, held_out
from depth_perception.train import depth, depth_scores, depth_terms
from depth_perception.train.compiled import compiled_pass
from depth_perception.train.device import home, onto
from depth_perception.train.fit import History, Validation
from depth_perception.train.logbook import Logbook
from depth_perception.train.student_config import ApproximationConfig, Config

__all__ = ["ApproximationConfig", "Config", "terms", "train"]

Stages = tuple[list[Tensor], list[Tensor], list[Tensor]]  # of the encoder, of the decoder, depths


def train(bags: Sequence[str | Path], out: str | Path, *, teacher: str | Path, config: Config, init: str | Path | None = None,
          init_pose: str | Path | None = None, **options: Any) -> History:
    """`train.depth.train` with a teacher: a model directory of `train depth --network teacher`.

    The student is the one that the teacher was made for (it is printed), unless the config asks for another one than the default, which
    must have its shapes. A training from nothing takes the teacher's pose network. BadInput: no teacher, or one for another student,
    another focal length or with a pose network of another form; `out` is the teacher's own directory.
    """
    taught = model.load(teacher)
    if Path(out).resolve() == Path(teacher).resolve():
        raise BadInput(f"--out {out}: wanted another directory than the teacher's, which the student would replace")
    network = _teacher(taught, teacher, config)
    theirs = network.config.student
    if config.student == StudentConfig():
        config = replace(config, student=theirs)
        print(f"the student is the teacher's: channels {list(theirs.channels)}, finest {theirs.finest}", flush=True)
    if _shapes(config.student, config.approximation) != _shapes(theirs, config.approximation):
        raise BadInput(f"--teacher {teacher}: it was made for {theirs}, the configuration asks for {config.student}")
    teaching = Teaching(network, compiled=config.fit.compile, keep_gb=config.approximation.keep_gb)
    sha = model.sha256(taught.weights("depth"))
    recipe = depth.Recipe(
        lambda networks, data, config: terms(networks, data, config, teaching),
        lambda networks, drives, config, logbooks: validation(networks, drives, config, logbooks, teaching),
        {"--teacher": sha}, {"teacher": {"path": str(teacher), "sha256": sha, "lineage": taught.lineage}})
    if init is None and init_pose is None:
        depth.same_form("--teacher", taught, config.pose.form)
        init_pose = teacher
    return depth.train(bags, out, config=config, init=init, init_pose=init_pose, recipe=recipe, **options)


class Teaching:
    """A frozen teacher, on the device of what it is shown; under autocast it computes as the student does. compiled: by torch.compile.

    What it says of a view that will come again (`samples.views`) is kept, as float16 in the machine's memory: 1.3 MB for the shipped
    student at 128x416, `keep_gb` in all. From the second time on a step costs what it costs without a teacher.
    """

    def __init__(self, teacher: Teacher, *, compiled: bool = False, keep_gb: float = 8.0) -> None:
        self.teacher = teacher.requires_grad_(False).eval()
        self._bridged = compiled_pass(teacher, teacher.bridged) if compiled else teacher.bridged
        self.kept: dict[tuple[int, ...], Stages] = {}
        self._room = keep_gb * 1e9

    @torch.no_grad()
    def __call__(self, image: Tensor, view: Tensor | None = None) -> Stages:
        """(B, 3, H, W) -> H of the encoder's and of the decoder's stages, and depths. view: as of `samples.Batches`."""
        if view is None:
            return self._say(image)
        views = [tuple(each) for each in view.tolist()]
        words = [self.kept[each] for each in views if each in self.kept]
        if len(words) < len(views):
            said = self._say(image)
            words = [_one(said, place) for place in range(len(views))]
            for each, word in zip(views, words, strict=True):
                size = sum(x.nbytes for maps in word for x in maps)
                if each not in self.kept and size <= self._room:
                    self.kept[each] = word
                    self._room -= size
        encoded, decoded, depths = ([torch.stack(maps).to(image) for maps in zip(*stages, strict=True)]
                                    for stages in zip(*words, strict=True))
        return encoded, decoded, depths

    def _say(self, image: Tensor) -> Stages:
        self._follow(image)
        return self._bridged(image)

    @torch.no_grad()
    def depth(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> the finest depth (B, 1, H, W), never compiled: held-out batches have their own size."""
        self._follow(image)
        return self.teacher(image)[0]  # type: ignore[no-any-return]

    def _follow(self, image: Tensor) -> None:
        if home(self.teacher) != image.device:
            self.teacher.to(image.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _one(said: Stages, place: int) -> Stages:
    """What is said of one image of a batch, as it is kept."""
    encoded, decoded, depths = ([x[place].to("cpu", torch.float16) for x in maps] for maps in said)
    return encoded, decoded, depths


class _Watched(nn.Module):
    """A student whose first answer is kept with all its stages: the terms of `train depth` and eq. 18 share one pass."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.seen: Stages | None = None

    def with_features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        depths, encoded, decoded = self.student.with_stages(image)  # type: ignore[operator]
        if self.seen is None:
            self.seen = encoded, decoded, depths
        return depths, encoded

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.with_features(image)[0]


def terms(networks: nn.ModuleDict, data: dict[str, Tensor], config: Config, teaching: Teaching) -> dict[str, Tensor]:
    """The weighted terms of one batch: those of `train depth` where it has neighbours or distances are learned from, and eq. 18's."""
    watched = _Watched(networks["depth"])
    out: dict[str, Tensor] = {}
    if config.approximation.mixed and config.approximation.wanted:
        data = mixed(data, config.approximation.mixed)
    if "target" in data or config.distance:
        out |= depth_terms.terms(nn.ModuleDict({**networks, "depth": watched}), data, config)
    if config.approximation.wanted:
        if watched.seen is None:
            watched(data["image"])
        assert watched.seen is not None
        ours = [[x[: len(data["image"])] for x in maps] for maps in watched.seen]  # a pair's second images come behind
        out |= _approximation(ours, teaching(data["image"], data.get("view")), config)
    return out


def mixed(data: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """A batch whose first places, this share of them, show their image under the next place's, from hardly to mostly; of those no distance
    is true."""
    image, depth = data["image"], data["depth"]
    count = round(share * len(image))
    strength = torch.linspace(0.2, 0.8, count, device=image.device).view(-1, 1, 1, 1)
    over = torch.lerp(image[:count], image.roll(-1, 0)[:count], strength)
    none = torch.full_like(depth[:count], torch.nan)
    return data | {"image": torch.cat([over, image[count:]]).contiguous(memory_format=torch.channels_last),
                   "depth": torch.cat([none, depth[count:]])}


def _approximation(ours: Sequence[list[Tensor]], theirs: Stages, config: Config) -> dict[str, Tensor]:
    weights, student = config.approximation, config.student
    out = {}
    if weights.encoder:
        out["encoder"] = weights.encoder * approximation.stages(ours[0], theirs[0])
    if weights.decoder:
        out["decoder"] = weights.decoder * approximation.stages(ours[1], theirs[1])
    if weights.disparity:
        out["disparity"] = weights.disparity * approximation.disparities(
            ours[2], theirs[2], min_depth=student.min_depth, max_depth=student.max_depth, form=weights.disparity_as)
    return out


def validation(networks: nn.ModuleDict, drives: Drives, config: Config, logbooks: list[Logbook], teaching: Teaching) -> Validation | None:
    """The scores of `train depth` with "abs_rel_to_teacher"; that one chooses where no distances are learned from."""
    ours = depth_scores.validation(networks, drives, config, logbooks)
    if ours is None or not config.approximation.wanted:
        return ours

    def scores(step: int) -> dict[str, float]:
        return ours.scores(step) | {"abs_rel_to_teacher": round(apart(networks["depth"], drives, config, teaching), 6)}

    return Validation(scores, ours.criterion if ours.criterion == "metric_abs_rel" else "abs_rel_to_teacher")


@torch.no_grad()
def apart(student: nn.Module, drives: Drives, config: Config, teaching: Teaching) -> float:
    """Mean of |x - z| / z over the held-out windows, x the student's finest depth and z the teacher's."""
    each = []
    for made in held_out(drives, height=config.height, width=config.width, most=config.validate_frames):
        image = onto(home(student), made)["image"]
        z = teaching.depth(image)
        each += ((student(image)[0] - z).abs() / z).mean((1, 2, 3)).tolist()
    return sum(each) / len(each)


def _teacher(taught: model.Model, name: str | Path, config: Config) -> Teacher:
    words = taught.networks.get("depth", {})
    if words.get("class") != "Teacher":
        raise BadInput(f"--teacher {name}: wanted a model of `train depth --network teacher`, its depth network is {words.get('class')}")
    if taught.canonical_focal_px != config.canonical_focal_px:
        raise BadInput(f"--teacher {name}: its metres are those of a focal length of {taught.canonical_focal_px:g} px, the "
                       f"configuration's of canonical_focal_px {config.canonical_focal_px:g}")
    network = build("depth", words)
    load_weights(network, taught.weights("depth"))
    assert isinstance(network, Teacher)
    return network


def _shapes(student: StudentConfig, weights: ApproximationConfig) -> tuple[object, ...]:
    """What of a student is compared with its teacher's maps."""
    widths = student.channels if weights.encoder or weights.decoder else ()
    return (widths, student.scales, student.finest, student.min_depth, student.max_depth)
