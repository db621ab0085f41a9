"""How a node does, in sentences: what /diagnostics says, from counts and thresholds. No ROS in here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from depth_perception.engine import Proven
from depth_perception.frame import check_ranges, ranged


@dataclass(frozen=True)
class Config:
    """Attributes:
    silence_s: a topic without a message for so long is named, with the reason, seconds; and systems that finish no image for so long.
    min_rate_hz: fewer depth images per second are a warning; 0: any rate will do.
    max_drop_share: a larger share of the images dropped since the last report is a warning.
    max_latency_ms: a larger median time from an image's arrival to its depth's publication is a warning.
    min_scale_inliers: fewer LiDAR returns that agree with the depth are a warning; 0: a car without LiDAR.
    max_scale_sigma: a more doubtful metric scale (standard deviation of its logarithm) is a warning.
    """

    silence_s: float = ranged(2.0, 0.1, 3600)
    min_rate_hz: float = ranged(0.0, 0, 1000)
    max_drop_share: float = ranged(0.5, 0, 1)
    max_latency_ms: float = ranged(500.0, 1, 100_000)
    min_scale_inliers: int = ranged(1, 0, 100_000)
    max_scale_sigma: float = ranged(0.4, 0.001, 10)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Counts:
    """What a node has counted since it was activated.

    Attributes:
    at_s: when this was counted, seconds of a clock that never jumps.
    images, dropped, frames: images that came, that were replaced by newer ones, that went through the systems.
    skipped: sentence -> how many messages could not be used because of it.
    """

    at_s: float
    images: int = 0
    dropped: int = 0
    frames: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def work_since(self, before: Counts) -> bool:
        """Whether the systems have finished an image since then, or fetched one: each that came and was not replaced."""
        return self.frames > before.frames or self.images - self.dropped > before.images - before.dropped


def findings(
    config: Config,
    before: Counts,
    now: Counts,
    *,
    worked: Counts,
    notes: list[str],
    latency_ms: float | None,
    scale_sigma: float,
    scale_inliers: int | None,
) -> list[str]:
    """What is not as it should be since the last report, the most telling first; empty: all is well.

    worked: when the systems were last seen to work, or had nothing to work with as no calibration had come.
    notes: sentences of the inputs (silent topics, missing links, disagreeing calibrations), which come first.
    latency_ms: median of the last images; None before the first.
    scale_inliers: LiDAR returns that agree with the depth; None where no depth runs.
    """
    found = list(notes)
    waiting, waited_s = now.images - worked.images, now.at_s - worked.at_s
    if waiting and waited_s > config.silence_s and not now.work_since(worked):
        found.append(f"{waiting} images came in {waited_s:.0f} s and not one was finished: the systems hang")
    if lately := now.skipped - before.skipped:
        sentence, count = lately.most_common(1)[0]
        found.append(f"{count} skipped: {sentence}")
    images, elapsed_s = now.images - before.images, now.at_s - before.at_s
    dropped, frames = now.dropped - before.dropped, now.frames - before.frames
    if frames and dropped > config.max_drop_share * images:
        found.append(f"{dropped} of {images} images dropped: they come faster than the systems work")
    if scale_inliers is not None and elapsed_s > 0 and frames / elapsed_s < config.min_rate_hz:
        found.append(f"{frames / elapsed_s:.1f} depth images a second, wanted {config.min_rate_hz:g}")
    if latency_ms is not None and latency_ms > config.max_latency_ms:
        found.append(f"latency of {latency_ms:.0f} ms, wanted {config.max_latency_ms:g}")
    if scale_inliers is None:
        return found
    if frames and scale_inliers < config.min_scale_inliers:
        found.append(
            f"{scale_inliers} LiDAR returns agree with the depth, wanted {config.min_scale_inliers}: "
            + ("the scale is that of earlier scans" if scale_inliers else "the scale is the network's own, or that of earlier scans")
        )
    elif frames and config.min_scale_inliers and scale_sigma > config.max_scale_sigma:
        found.append(f"the metric scale is doubtful: sigma {scale_sigma:.2f}, wanted {config.max_scale_sigma:g}")
    return found


def engine_values(engines: dict[str, Proven]) -> dict[str, str]:
    """What runs each network, and how its self-test went: the values of a diagnostic."""
    values = {"engine": next(iter(engines.values())).name} if engines else {}
    for network, engine in engines.items():
        proof = engine.proof
        values |= {
            f"{network}_engine": engine.name,
            f"{network}_precision": engine.precision,
            f"{network}_engine_key": engine.key[:16],
            f"{network}_selftest": f"off by {proof.difference:.2g}, allowed {proof.bound:g}",
            f"{network}_selftest_s": f"{proof.seconds:.3f}",
        }
    return values
