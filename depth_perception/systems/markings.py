"""Road markings: one image -> which pixels are which marking, how sure, and every marking as a polygon on the road (S4-f)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from depth_perception.frame import BadInput, Calibration, Frame, check_ranges, ranged
from depth_perception.geometry.grid import Grid
from depth_perception.systems import marking_instances, markings_input
from depth_perception.systems.marking_classes import CLASSES
from depth_perception.systems.marking_instances import Instance

Infer = Callable[..., dict[str, np.ndarray]]


@dataclass(frozen=True)
class Config:
    """Attributes:
    min_confidence: paint of less confidence is background; 0.5 keeps all that is named paint.
    least_px: smaller pieces are no markings.
    reach_m: farther markings are given in the image alone.
    ground_z_m: height of the road over the body's origin, for a road that neither depth nor scan shows.
    """

    min_confidence: float = ranged(0.5, 0, 1)
    least_px: int = ranged(12, 1, 100_000)
    reach_m: float = ranged(40.0, 1, 300)
    ground_z_m: float = ranged(0.0, -10, 10)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class MarkingsOutput:
    """Attributes:
    mask: (H, W) uint8 class ids (marking_classes.CLASSES), the image's size.
    confidence: (H, W) float32 0..1, the probability that it is paint, of any class, where the mask names one, else that it is none.
    plane: (3,) n of the road, n . X = 1, camera frame; zero: no road is known.
    depth: (H, W) metres of the same image, or None.
    T_odom_base: (4, 4) body -> odometry frame, or None.
    timing_ms: pre, engine, post.
    measured: `plane` is a scan's; it alone places markings, for no predicted depth of a road is as good.
    """

    stamp_ns: int
    mask: np.ndarray
    confidence: np.ndarray
    calibration: Calibration
    plane: np.ndarray
    depth: np.ndarray | None = None
    T_odom_base: np.ndarray | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    measured: bool = False

    @property
    def base_frame(self) -> str:
        """Name of the frame that the instances' `ground` is in."""
        return self.calibration.body_frame

    @cached_property
    def instances(self) -> list[Instance]:
        """Every marking. Worked out when somebody asks: the mask is on its way by then."""
        return marking_instances.instances(
            self.mask,
            self.confidence,
            self.calibration,
            plane=self.plane,
            depth=None if self.measured else self.depth,
            T_odom_base=self.T_odom_base,
            least_px=self.config.least_px,
            reach_m=self.config.reach_m,
        )

    def seen_from_above(self, grid: Grid) -> np.ndarray:
        """(grid.rows, grid.columns) uint8 class ids, body frame."""
        return marking_instances.seen_from_above(self.instances, grid)


class Markings:
    """`step(frame)`: the mask of one image, and where its markings lie.

    Args:
        infer: `infer(image=(1, 3, h, w)) -> {"logits": (1, classes, h', w')}`; an Engine or a test's truth.
        height, width: the network's input size.
    """

    def __init__(self, infer: Infer, *, height: int, width: int, config: Config = Config()) -> None:
        self._config = config
        self.use(infer, height=height, width=width)

    def use(self, infer: Infer, *, height: int, width: int) -> None:
        """Takes another network."""
        self._infer, self._height, self._width = infer, height, width

    def configure(self, config: Config) -> None:
        """Takes another configuration from the next image on."""
        self._config = config

    def reset(self) -> None:
        """Nothing is remembered from image to image."""

    def step(
        self, frame: Frame, depth: np.ndarray | None = None, T_odom_base: np.ndarray | None = None, plane: np.ndarray | None = None
    ) -> MarkingsOutput:
        """One image.

        Args:
            depth: (H, W) metres of this very image, NaN = none. T_odom_base: (4, 4) where the body is in the odometry frame.
            plane: (3,) n of the road as a scan shows it (`Depth.road`); without it, it is fitted to `depth`, else level ground.
        """
        calibration = frame.calibration
        size = {"image_height": calibration.height, "image_width": calibration.width}
        if depth is not None and depth.shape != (calibration.height, calibration.width):
            raise BadInput(f"depth: wanted the image's size {(calibration.height, calibration.width)}, got {depth.shape}")
        started = time.perf_counter()
        image = markings_input.prepare(frame.image, calibration, height=self._height, width=self._width)
        prepared = time.perf_counter()
        logits = self._infer(image=image)["logits"]
        inferred = time.perf_counter()
        if logits.shape[-3] != len(CLASSES):
            raise BadInput(f"markings network: wanted {len(CLASSES)} classes ({', '.join(CLASSES)}), got {logits.shape[-3]}")
        mask, confidence = markings_input.restore(logits, calibration, **size)
        mask[confidence < self._config.min_confidence] = 0
        return self._output(frame, mask, confidence, depth, T_odom_base, plane, (started, prepared, inferred))

    def given(
        self,
        frame: Frame,
        mask: np.ndarray,
        depth: np.ndarray | None = None,
        T_odom_base: np.ndarray | None = None,
        plane: np.ndarray | None = None,
    ) -> MarkingsOutput:
        """As `step`, for a mask (H, W) that is known already: true, drawn by hand, or another program's."""
        wanted = (frame.calibration.height, frame.calibration.width)
        if mask.shape != wanted or mask.dtype != np.uint8:
            raise BadInput(f"mask: wanted uint8 {wanted}, the image's size, got {mask.dtype} {mask.shape}")
        if mask.max(initial=0) >= len(CLASSES):
            raise BadInput(f"mask: wanted class ids 0..{len(CLASSES) - 1}, got {int(mask.max())}")
        now = time.perf_counter()
        return self._output(frame, mask, np.ones(wanted, np.float32), depth, T_odom_base, plane, (now, now, now))

    def _output(
        self,
        frame: Frame,
        mask: np.ndarray,
        confidence: np.ndarray,
        depth: np.ndarray | None,
        T_odom_base: np.ndarray | None,
        plane: np.ndarray | None,
        times: tuple[float, float, float],
    ) -> MarkingsOutput:
        measured = plane is not None
        if plane is None:
            plane = marking_instances.road_plane(frame.calibration, depth, mask, ground_z_m=self._config.ground_z_m)
        started, prepared, inferred = times
        post = time.perf_counter() - inferred
        timing = {"pre": (prepared - started) * 1e3, "engine": (inferred - prepared) * 1e3, "post": post * 1e3}
        return MarkingsOutput(
            frame.stamp_ns, mask, confidence, frame.calibration, plane, depth, T_odom_base, timing, self._config, measured
        )
