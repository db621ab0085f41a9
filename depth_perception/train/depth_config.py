"""The configuration of `train depth`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.losses import distance
from depth_perception.losses.voxel_density import VoxelGrid
from depth_perception.networks.depth import DepthNetConfig
from depth_perception.networks.offset import OffsetNetConfig
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.residual import ResidualNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.networks.teacher import TeacherConfig
from depth_perception.samples import SampleConfig
from depth_perception.train.fit import FitConfig

NETWORKS = ("student", "s1", "teacher")
MASKS = ("moved", "unchanged", "voted", "none")
AGREEMENTS = ("weighted", "agreeing")
MATCHES = ("matching", "difference")
SMOOTHS = ("edge_aware", "inverse_depth", "literal", "literal_relative")
RECONSTRUCTIONS = ("inverse_warp", "residual")


@dataclass(frozen=True)
class Config:
    """S1's total loss (claim 5): match * (M . L_match) + smooth * L_smooth + distance * L_dist, and ours for the pose network:
    motion * losses.distance.carried, with the motion measured from LiDAR points followed through the images (no labels either).
    A photometric loss alone needs hours to teach a fresh pose network which way the car drives; 0 leaves S1 as it is.
    With distance and motion at 0, bags need no LiDAR: learning from video alone. velocity: weight of losses.distance.travelled, which
    gives such learning its metres from the bag's odometry; velocity_source: its topic, or PARENT:CHILD of the bag's TF; "" finds it.

    reconstruction: S1 step 1025, the plain inverse warp, or `residual`: retouched by a small network that is trained along and left
    out of the model. mask: M of losses.static_mask; joined by "+" with what two views' depths say (losses.agreement), e.g. moved+weighted:
    `weighted` counts a pixel by 1 - disagreement, `agreeing` one that disagrees by less than `disagreement`.
    distance_mode: one of losses.distance; "depth" is the working default, which the modes that need a motion fall back to on steps
    without neighbours. distance_as: the distances are depth z, or range, along the ray, as the text has them; distance_reduction: mean
    over the measured pixels, or the text's sum. match_mode, smooth_mode:
    losses.photometric and losses.smoothness; the first of each is the default, the others are S1's simple and literal forms, and
    S2's (inverse_depth, claim 10).
    match_every: the photometric terms on every so many steps (they cost most and the distances are the stronger signal); never, where
    no term asks for neighbours.
    match_strides: they are computed on images so many times smaller, and averaged: the coarse ones see large motions, the fine
    ones make them exact.
    coarse: weight of the coarser scales' distance loss.
    pose: the pose network; `form: triplet` shows it the previous image, the image and the next one at once (S5, [0084]), `pair` two of them
    at a time (S1).

    S2's total (claim 1) is L_ph + style L_st + smooth L_sm + alignment L_dfa + density L_vd, L_ph and L_sm the two above. A term of
    weight 0 is not computed. The pair is an image and its next one. both_learn: the depth network learns from both, as the claims have
    it, or from the image alone: the step takes a quarter less, but then density lets bare walls drift. alignment_stage: the depth
    encoder's stage whose outputs are F^D, at 1 / 2^(stage + 1). style_weights: of content, style and total variation;
    style_stages: how many of the frozen encoder's stages are compared. density_stride: every so many pixels of a row and column is a
    point of the cloud. alignment_relative, density_literal, density_contrary: losses.feature_alignment, losses.voxel_density; what
    departs from the text there, and why.
    keep_init: the depth network that is saved lies so far back on the way to --init's: 0 as trained, 1 as it was. What few drives alone
    have taught is worse on other roads; halfway is better on both.
    validate: the first share of every bag is held out and scored, and the weights that score best are the model; 0: the last ones are.
    validate_frames: at most so many held-out frames are scored.
    """

    network: str = "student"
    height: int = 128
    width: int = 416
    canonical_focal_px: float = ranged(240.0, 1, 1e5)
    match: float = ranged(1.0, 0, 1e3)
    smooth: float = ranged(1e-3, 0, 1e3)
    distance: float = ranged(1.0, 0, 1e3)
    motion: float = ranged(1.0, 0, 1e3)
    velocity: float = ranged(0.0, 0, 1e3)
    velocity_source: str = ""
    distance_mode: str = "depth"
    distance_as: str = "z"
    distance_reduction: str = "mean"
    coarse: float = ranged(0.3, 0, 1e3)
    reconstruction: str = "inverse_warp"
    match_mode: str = "matching"
    smooth_mode: str = "edge_aware"
    alpha: float = ranged(0.85, 0, 1)
    mask: str = "voted"
    match_every: int = ranged(2, 1, 1e12)  # type: ignore[assignment]
    match_strides: tuple[int, ...] = (2, 4, 8)
    disagreement: float = ranged(0.2, 0, 1)
    both_learn: bool = True
    style: float = ranged(0.0, 0, 1e3)
    style_weights: tuple[float, ...] = (1.0, 1.0, 0.1)
    style_stages: int = ranged(3, 1, 5)  # type: ignore[assignment]
    alignment: float = ranged(0.0, 0, 1e3)
    alignment_stage: int = ranged(2, 0, 4)  # type: ignore[assignment]
    alignment_relative: bool = True
    density: float = ranged(0.0, 0, 1e3)
    density_grid: VoxelGrid = field(default_factory=VoxelGrid)
    density_eps: float = ranged(1e-4, 1e-12, 1)
    density_stride: int = ranged(2, 1, 16)  # type: ignore[assignment]
    density_literal: bool = False
    density_contrary: float = ranged(1.0, 0, 1)
    keep_init: float = ranged(0.0, 0, 1)
    validate: float = ranged(0.1, 0, 0.5)
    validate_frames: int = ranged(32, 1, 1e6)  # type: ignore[assignment]
    student: StudentConfig = field(default_factory=StudentConfig)
    s1: DepthNetConfig = field(default_factory=DepthNetConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    pose: PoseNetConfig = field(default_factory=PoseNetConfig)
    residual: ResidualNetConfig = field(default_factory=ResidualNetConfig)
    offset: OffsetNetConfig = field(default_factory=OffsetNetConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        check_ranges(self)
        known = {"network": NETWORKS, "match_mode": MATCHES, "smooth_mode": SMOOTHS, "distance_mode": distance.MODES,
                 "reconstruction": RECONSTRUCTIONS, "distance_as": ("z", "range"), "distance_reduction": ("mean", "sum")}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise BadInput(f"{name}: wanted one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if not set(self.masks) <= {*MASKS, *AGREEMENTS}:
            raise BadInput(f"mask: wanted one of {', '.join((*MASKS, *AGREEMENTS))}, or some joined by +, got {self.mask!r}")
        if "none" in self.masks and len(self.masks) > 1:
            raise BadInput(f"mask: wanted none alone, or others joined by +, got {self.mask!r}")
        if len(self.style_weights) != 3 or not min(self.style_weights) >= 0:
            raise BadInput(f"style_weights: wanted three of at least 0, of content, style and total variation, got {self.style_weights}")
        if self.height % 32 or self.width % 32 or min(self.height, self.width) < 32:
            raise BadInput(f"network input: wanted sides divisible by 32, got {self.width}x{self.height}")
        if not self.match_strides or any(s < 1 or self.height % s or self.width % s or self.height // s < 2 for s in self.match_strides):
            raise BadInput(f"match_strides: wanted some that divide {self.width}x{self.height}, got {self.match_strides}")

    @property
    def needs_scan(self) -> bool:
        """Whether anything is learned from LiDAR."""
        return self.distance > 0 or self.motion > 0

    def pairs_at(self, step: int) -> bool:
        """Whether a step's windows come with their neighbours."""
        return not self.distance or (self.learns_from_pairs and step % self.match_every == 0)

    @property
    def learns_from_pairs(self) -> bool:
        """Whether any term asks for neighbours."""
        return self.smooth > 0 or self.teaches_pose

    @property
    def teaches_pose(self) -> bool:
        """Whether any term reaches the pose network: smoothness and distances alone do not."""
        weights = (self.match, self.motion, self.velocity, self.style, self.alignment, self.density)
        return any(weights) or (self.distance > 0 and self.distance_mode in distance.WITH_MOTION)

    @property
    def masks(self) -> tuple[str, ...]:
        """The parts of `mask`."""
        return tuple(self.mask.split("+"))

    @property
    def needs_agreement(self) -> bool:
        """Whether the mask asks what two views' depths say."""
        return not set(self.masks).isdisjoint(AGREEMENTS)

    @property
    def needs_following(self) -> bool:
        """Whether anything asks for the depth of the next image too."""
        return self.alignment > 0 or self.density > 0 or self.needs_agreement

    @property
    def plain(self) -> Config:
        """S1's share of it, by which held-out frames are scored: a match that means the same with and without S2's terms."""
        mask = "+".join(part for part in self.masks if part not in AGREEMENTS) or "none"
        return replace(self, mask=mask, style=0.0, alignment=0.0, density=0.0)
