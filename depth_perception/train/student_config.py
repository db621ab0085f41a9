"""The configuration of `train student`: that of `train depth`, and what the teacher's word counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.losses.approximation import DISPARITIES
from depth_perception.train import depth_config


@dataclass(frozen=True)
class ApproximationConfig:
    """Weights of S5 eq. 18 ([0129]); one of weight 0 is not computed. disparity_as: of losses.approximation.disparities.

    mixed: this share of a batch is images laid over each other, without distances: a function can be approximated anywhere, and what no
    street shows says how the teacher thinks (Beyer et al. 2022). keep_gb: with `samples.views`, so much memory of each process for what the
    teacher said; of further views it is asked again.
    """

    encoder: float = ranged(0.05, 0, 1e3)
    decoder: float = ranged(0.1, 0, 1e3)
    disparity: float = ranged(10.0, 0, 1e3)
    disparity_as: str = "sigmoid"
    mixed: float = ranged(0.0, 0, 1)
    keep_gb: float = ranged(8.0, 0, 1e4)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.disparity_as not in DISPARITIES:
            raise BadInput(f"approximation.disparity_as: wanted one of {', '.join(DISPARITIES)}, got {self.disparity_as!r}")

    @property
    def wanted(self) -> bool:
        """Whether the teacher is asked at all."""
        return max(self.encoder, self.decoder, self.disparity) > 0


@dataclass(frozen=True)
class Config(depth_config.Config):
    """S5 step 500: function approximation, and the terms of `train depth` by their weights (the text has the photometric one beside it).

    With approximation, a step has neighbours only where a term asks for them, every `match_every` steps: the teacher's word alone needs one
    image, and neither LiDAR nor motion.
    """

    approximation: ApproximationConfig = field(default_factory=ApproximationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network != "student":
            raise BadInput(f"network: `train student` trains a student, got {self.network!r}")
        if self.approximation.mixed and self.learns_from_pairs:
            raise BadInput(f"approximation.mixed: wanted 0 where a term asks for neighbours, which mixed images have none of; got "
                           f"{self.approximation.mixed:g}")

        if self.approximation.mixed and self.samples.views:
            raise BadInput(f"approximation.mixed: wanted 0 with samples.views, got {self.approximation.mixed:g}")

    def pairs_at(self, step: int) -> bool:
        """Whether a step's windows come with their neighbours."""
        if not self.approximation.wanted:
            return super().pairs_at(step)
        return self.learns_from_pairs and step % self.match_every == 0
