"""The configuration of `train markings`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.networks.markings import MarkingNetConfig
from depth_perception.samples.markings import ViewConfig
from depth_perception.train.fit import FitConfig

MODES = ("siamese", "copy", "source")
STATISTICS = ("target", "joint")


@dataclass(frozen=True)
class Config:
    """S4-c: L_CE + lovasz L_Lovasz + mmd L_MMD.

    mode: how the second branch, which sees the target's images, learns (S4-d). `copy` is the text: before each step it takes the first
    one's weights and is not trained itself, so L_MMD's gradient reaches the source's side only. `siamese`: both are one network, and it
    reaches both sides. `source`: no second branch, what both are compared with.
    ramp: steps over which L_MMD's weight climbs, as 2 / (1 + exp(-10 p)) - 1 (Ganin et al. 2016): early features mean nothing yet.
    pixels: of each domain that L_MMD compares. balanced: half of them are paint, the source's by its labels and the target's by what the
    network holds for it, since roads differ in how much is painted and the distance of the means should not be about that. apart: paint
    is compared with paint and the rest with the rest, the mean of both distances, each by the spread of its own.
    statistics: those of batch norm. `joint`: both domains are normalised together, and the network drives by what both share (in `copy`
    the branches are two networks, and the first one's own, the source's, drive, as in `source`); `target`: each domain is normalised by
    its own, and the network drives by the target's.
    balance: a class weighs frequency^-balance in L_CE; the views are drawn evenly already (views.rare). entropy, pseudo: further terms
    on the target (0 as in the text): the entropy of its probabilities, and cross-entropy to the class that is more probable than `sure`,
    or, with `surest`, to that of the surest share of each class's pixels; both climb as L_MMD does. teacher: by whom: the network
    itself (0), or the exponential mean of its weights with this momentum (Tarvainen & Valpola 2017); with views.target_look it sees the
    views as they are, and the network sees them recoloured.
    prior: how far the driving network's logits are corrected for views showing more of rare classes than roads do: their biases get so
    many times log(share of the pictures / share of the views) (Saerens et al. 2002). 1 is Bayes' rule, 0 leaves them.
    leave_end: this share of every bag's time and of every folder's files by name, its end, is not even read: somebody else scores on it.
    height, width: of the network that drives; views are `views.height` x `views.width` at a like scale.
    """

    leave_end: float = ranged(0.0, 0, 0.9)
    height: int = 256
    width: int = 512
    mode: str = "siamese"
    lovasz: float = ranged(1.0, 0, 1e3)
    mmd: float = ranged(0.5, 0, 1e3)
    ramp: int = ranged(200, 0, 1e9)  # type: ignore[assignment]
    pixels: int = ranged(512, 8, 8192)  # type: ignore[assignment]
    balanced: bool = True
    apart: bool = False
    statistics: str = "joint"
    balance: float = ranged(0.0, 0, 1)
    prior: float = ranged(1.0, 0, 2)
    entropy: float = ranged(0.0, 0, 1e3)
    pseudo: float = ranged(0.0, 0, 1e3)
    sure: float = ranged(0.9, 0, 1)
    surest: float = ranged(0.0, 0, 1)
    teacher: float = ranged(0.0, 0, 0.9999)
    network: MarkingNetConfig = field(default_factory=MarkingNetConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, choices in {"mode": MODES, "statistics": STATISTICS}.items():
            if getattr(self, name) not in choices:
                raise BadInput(f"{name}: wanted one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.height % 32 or self.width % 32 or min(self.height, self.width) < 32:
            raise BadInput(f"network input: wanted sides divisible by 32, got {self.width}x{self.height}")
        if self.mode != "source" and not self.network.target:
            raise BadInput("network.target: wanted a width, the cross-domain loss compares the target layer's outcome, got 0")
        if self.fit.keep_statistics and self.statistics == "target":
            raise BadInput("statistics: wanted joint with fit.keep_statistics, which keeps those of --init, got target")
        if self.apart and not self.balanced:
            raise BadInput("apart: wanted balanced as well, it tells paint from the rest")
        if self.views.target_look and not self.teacher:
            raise BadInput("views.target_look: wanted a teacher as well (teacher: 0.99), who sees the target's views as they are")
        if self.teacher and (self.mode != "siamese" or not self.pseudo):
            raise BadInput(f"teacher: wanted mode siamese and pseudo above 0, got {self.mode} and {self.pseudo}")

    def climbed(self, step: int) -> float:
        """How much of the cross-domain terms' weights counts at a step, 0..1."""
        progress = min(1.0, step / self.ramp) if self.ramp else 1.0
        return 2 / (1 + exp(-10 * progress)) - 1

    def mmd_at(self, step: int) -> float:
        """Weight of L_MMD at a step."""
        return 0.0 if self.mode == "source" else self.mmd * self.climbed(step)
