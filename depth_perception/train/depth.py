"""The recipe of `train depth`: depth and pose from video and a few measured distances (S1; with S5's student by default).

    python -m depth_perception train depth --bag drive.mcap --out out/student --minutes 25
    python -m depth_perception train depth --network s1 --bag drive.mcap --out out/tiny --steps 20 --batch 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depth_perception import model
from depth_perception.bag import frames
from depth_perception.frame import BadInput
from depth_perception.losses import distance, photometric, smoothness, static_mask
from depth_perception.losses.motion import inverse, motion
from depth_perception.losses.reconstruction import inverse_warp
from depth_perception.networks.depth import DepthNet, DepthNetConfig
from depth_perception.networks.load import build, entry, load_weights, weights
from depth_perception.networks.pose import PoseNet, PoseNetConfig
from depth_perception.networks.student import Student, StudentConfig
from depth_perception.samples import Batches, Drives, SampleConfig, full_view
from depth_perception.train import pictures
from depth_perception.train.fit import Budget, FitConfig, History, fit
from depth_perception.train.lineage import lineage

NETWORKS = ("student", "s1")
MASKS = ("moved", "unchanged", "voted", "none")
MATCHES = ("matching", "difference")
SMOOTHS = ("edge_aware", "literal", "literal_relative")


@dataclass(frozen=True)
class Config:
    """S1's total loss (claim 5): match * (M . L_match) + smooth * L_smooth + distance * L_dist, and ours for the pose network:
    motion * losses.distance.carried, with the motion measured from LiDAR points followed through the images (no labels either).
    A photometric loss alone needs hours to teach a fresh pose network which way the car drives; 0 leaves S1 as it is.

    mask: M of losses.static_mask. distance_mode: one of losses.distance; "depth" is the working default, which the modes that need
    a motion fall back to on steps without neighbours. match_mode, smooth_mode: losses.photometric and losses.smoothness; the first
    of each is the default, the others are S1's simple and literal forms.
    match_every: the photometric terms on every so many steps (they cost most and the distances are the stronger signal).
    match_strides: they are computed on images so many times smaller, and averaged: the coarse ones see large motions, the fine
    ones make them exact.
    coarse: weight of the coarser scales' distance loss.
    """

    network: str = "student"
    height: int = 128
    width: int = 416
    canonical_focal_px: float = 240.0
    match: float = 1.0
    smooth: float = 1e-3
    distance: float = 1.0
    motion: float = 1.0
    distance_mode: str = "depth"
    coarse: float = 0.3
    match_mode: str = "matching"
    smooth_mode: str = "edge_aware"
    alpha: float = 0.85
    mask: str = "voted"
    match_every: int = 2
    match_strides: tuple[int, ...] = (2, 4, 8)
    student: StudentConfig = field(default_factory=StudentConfig)
    s1: DepthNetConfig = field(default_factory=DepthNetConfig)
    pose: PoseNetConfig = field(default_factory=PoseNetConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        known = {"network": NETWORKS, "mask": MASKS, "match_mode": MATCHES, "smooth_mode": SMOOTHS, "distance_mode": distance.MODES}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise BadInput(f"{name}: wanted one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.height % 32 or self.width % 32 or min(self.height, self.width) < 32:
            raise BadInput(f"network input: wanted sides divisible by 32, got {self.width}x{self.height}")


def train(bags: Sequence[str | Path], out: str | Path, *, config: Config, budget: Budget, batch: int = 8, seed: int = 0,
          init: str | Path | None = None, init_pose: str | Path | None = None, resume: bool = False, command: str = "") -> History:
    """Trains on bags and writes a model directory: weights, manifest, report/ (`export` adds the ONNX files)."""
    out = Path(out)
    torch.manual_seed(seed)
    drives = Drives(config.samples)
    for bag in bags:
        drives.add(frames(bag, pairing="nearest"), name=f"bag {bag}")
    networks = new_networks(config, init)
    if init_pose is not None:
        networks["pose"] = new_networks(config, init_pose)["pose"]
    batches = Batches(drives, height=config.height, width=config.width, batch=batch, seed=seed)
    history = fit(
        networks,
        lambda step, data: terms(networks, data, config),
        lambda step: batches(step, pairs=step % config.match_every == 0),
        out=out, budget=budget, config=config.fit, seed=seed, resume=resume,
    )
    origin = {**lineage(bags, command), "seed": seed, "batch": batch, "windows": len(drives.windows), "init": init and str(init),
              "init_pose": init_pose and str(init_pose)}
    write(networks, out, config, history, origin)
    report(networks, drives, out / "report", config, history)
    return history


def new_networks(config: Config, init: str | Path | None = None) -> nn.ModuleDict:
    """{"depth", "pose"}: fresh, or from a model directory whose classes and configs then count."""
    if init is None:
        depth: nn.Module = Student(config.student) if config.network == "student" else DepthNet(config.s1)
        return nn.ModuleDict({"depth": depth, "pose": PoseNet(config.pose)})
    start = model.load(init)
    networks = nn.ModuleDict()
    for name in ("depth", "pose"):
        networks[name] = build(name, start.networks[name])
        load_weights(networks[name], start.weights(name))
    return networks


def terms(networks: nn.ModuleDict, data: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weighted terms of one batch (samples.Batches). Everything runs in canonical metres, images and motion alike."""
    ratio = (data["K"][:, 1, 1] / config.canonical_focal_px).view(-1, 1, 1, 1)
    truth = data["depth"] / ratio
    depths = networks["depth"](data["image"])
    if "target" not in data:
        return {"distance": config.distance * _distance(depths, truth, data["K"], config)}

    B, N = data["neighbours"].shape[:2]
    T = _motions(networks["pose"], data["image"], data["neighbours"])
    measured = data["motions"].flatten(0, 1).clone()
    measured[:, :3, 3] /= ratio.view(-1, 1).repeat_interleave(N, 0)
    pair = {"predicted": T.view(B, N, 4, 4)[:, 0], "measured_motion": measured.view(B, N, 4, 4)[:, 0]}
    out = {"distance": config.distance * _distance(depths, truth, data["K"], config, pair)}
    if config.motion:
        carried = distance.carried(truth.repeat_interleave(N, 0), data["K"].repeat_interleave(N, 0), predicted=T, measured_motion=measured)
        out["motion"] = config.motion * carried
    matches = []
    for stride in config.match_strides:
        target, others, K, depth = _smaller(data, depths[0], stride)
        matches.append(_match(depth, target, others, K, T, config))
        if stride == min(config.match_strides):
            out["smooth"] = config.smooth * _smooth(depth, target, config)
    out["match"] = config.match * torch.stack(matches).mean()
    return out


def _motions(pose: nn.Module, image: Tensor, neighbours: Tensor) -> Tensor:
    """(B, 3, H, W) and its (B, 2, 3, H, W) previous and next images -> (2 B, 4, 4) T_neighbour_image.

    The network always sees the earlier image first, as when driving; asked both ways round it would first have to learn to tell
    forward from backward. The motion to the previous image is the inverse of what it says.
    """
    previous, following = neighbours.unbind(1)
    T_image_previous, T_following_image = motion(pose(torch.cat([previous, image]), torch.cat([image, following]))).chunk(2)
    return torch.stack([inverse(T_image_previous), T_following_image], 1).flatten(0, 1)


def _match(depth: Tensor, target: Tensor, others: Tensor, K: Tensor, T: Tensor, config: Config) -> Tensor:
    """M . L_match: the best of the neighbours' reconstructions per pixel, where any sees it and the mask counts it."""
    B, N = others.shape[:2]
    rebuilt, inside = inverse_warp(
        neighbour=others.flatten(0, 1), depth=depth.repeat_interleave(N, 0), K=K.repeat_interleave(N, 0), T_neighbour_image=T)
    loss = _likeness(rebuilt, target.repeat_interleave(N, 0), config)
    loss = torch.where(inside, loss, torch.full_like(loss, 10.0)).view(B, N, *loss.shape[2:])
    seen = inside.view(B, N, *loss.shape[2:]).any(1, keepdim=True)
    counts = seen & _mask(loss, target, others, config)
    least = loss.amin(1, keepdim=True)
    return torch.where(counts, least, torch.zeros_like(least)).sum() / counts.sum().clamp(min=1)


def _likeness(a: Tensor, b: Tensor, config: Config) -> Tensor:
    return photometric.difference(a, b) if config.match_mode == "difference" else photometric.matching(a, b, alpha=config.alpha)


def _smooth(depth: Tensor, image: Tensor, config: Config) -> Tensor:
    if config.smooth_mode == "edge_aware":
        return smoothness.edge_aware(depth, image)
    return smoothness.literal(depth, relative=config.smooth_mode == "literal_relative").mean()


def _distance(depths: list[Tensor], truth: Tensor, K: Tensor, config: Config, pair: dict[str, Tensor] | None = None) -> Tensor:
    """L_dist of the finest depth, plus the coarser ones' at the truth's pixels. pair: motions to the previous image."""
    total = _one_distance(depths[0], truth, K, config, pair)
    for coarse in depths[1:]:
        total = total + config.coarse * _one_distance(F.interpolate(coarse, truth.shape[2:], mode="nearest"), truth, K, config, pair)
    return total


def _one_distance(estimate: Tensor, truth: Tensor, K: Tensor, config: Config, pair: dict[str, Tensor] | None) -> Tensor:
    if config.distance_mode == "signed":
        return distance.signed(estimate, truth)
    if config.distance_mode == "camera3d":
        return distance.camera3d(estimate, truth, K, None if pair is None else pair["predicted"])
    if config.distance_mode == "reprojected" and pair is not None:
        return distance.reprojected(estimate, truth, K, pair["predicted"])
    if config.distance_mode == "posed" and pair is not None:
        return distance.posed(estimate, truth, K, **pair)
    return distance.depth(estimate, truth)


def _smaller(data: dict[str, Tensor], depth: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Target, neighbours, K and depth at 1 / stride of the size."""
    target, others, K = data["target"], data["others"], data["K"]
    if stride == 1:
        return target, others, K, depth
    K = K / stride
    K[:, :2, 2] += 0.5 / stride - 0.5
    K[:, 2, 2] = 1
    small = F.avg_pool2d(others.flatten(0, 1), stride).unflatten(0, others.shape[:2])
    return F.avg_pool2d(target, stride), small, K, F.avg_pool2d(depth, stride)


@torch.no_grad()
def _mask(loss: Tensor, target: Tensor, others: Tensor, config: Config) -> Tensor:
    """M of claim 4, (B, 1, h, w) bool."""
    if config.mask == "unchanged":
        return static_mask.unchanged(target, others)
    if config.mask == "voted":
        return static_mask.voted(target, others)
    if config.mask == "none":
        return torch.ones_like(loss[:, :1], dtype=torch.bool)
    B, N = others.shape[:2]
    still = _likeness(others.flatten(0, 1), target.repeat_interleave(N, 0), config)
    return static_mask.moved(loss, still.view(B, N, *still.shape[2:]))


def write(networks: nn.ModuleDict, out: Path, config: Config, history: History, lineage: dict[str, Any]) -> model.Model:
    """Weights and manifest.json into `out`."""
    image, pose = [1, 3, config.height, config.width], [1, 6]
    described = {
        "depth": {**entry(networks["depth"]), "inputs": {"image": image}, "outputs": {"depth": [1, 1, config.height, config.width]}},
        "pose": {**entry(networks["pose"]), "inputs": {"image": image, "neighbour": image}, "outputs": {"pose": pose}},
    }
    lineage = {**lineage, "steps": history.step, "minutes": round(history.elapsed_s / 60, 2),
               "losses": {name: round(value, 5) for name, value in history.mean().items()}, "recipe": asdict(config)}
    written = model.Model(out, "depth", described, config.height, config.width, config.canonical_focal_px, lineage)
    for name, network in networks.items():
        model.write_atomically(out / f"{name}.safetensors", weights(network))
    model.save_manifest(written)
    return written


@torch.no_grad()
def report(networks: nn.ModuleDict, drives: Drives, out: Path, config: Config, history: History, *, count: int = 4) -> None:
    """The training curve and a few depth pictures, spread over the drives."""
    pictures.curve(history.rows, out / "curve.png")
    for place in range(count):
        which, i = drives.windows[place * (len(drives.windows) - 1) // max(count - 1, 1)]
        drive = drives.drives[which]
        view = full_view(drive.images[i].shape[:2], height=config.height, width=config.width)
        image, K = view.image(drive.images[i]), view.K(drive.K)
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        estimate = networks["depth"](tensor)[0][0, 0].numpy() * K[1, 1] / config.canonical_focal_px
        pictures.depth(image, estimate, view.depth(drive.points[i], drive.K), out / f"depth_{place}.png")

