"""Depth against projected LiDAR (or true depth)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from depth_perception.frame import Frame
from depth_perception.geometry import lidar
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.train import metrics


def split_beams(frame: Frame) -> tuple[Frame, Frame]:
    """The frame with only the even beams of its scan, and with only the odd ones."""
    assert frame.scan is not None
    odd = lidar.beam_index(frame.scan) % 2 == 1
    return replace(frame, scan=_only(frame.scan, ~odd)), replace(frame, scan=_only(frame.scan, odd))


def _only(scan, keep):  # type: ignore[no-untyped-def]
    return replace(
        scan,
        points=scan.points[keep],
        **{name: None if getattr(scan, name) is None else getattr(scan, name)[keep] for name in ("intensity", "ring", "time_s")},
    )


class DepthScore:
    """Means over frames of the standard errors, within Garg's crop and 80 m.

    `metric`: the network alone. `median_scaled`: each frame scaled by the ratio of medians. `online_scaled`: with the vehicle's
    scale, fitted on the even beams and scored on the odd ones only. With the same scale, on all beams: `all_pixels`, and by confidence
    `confident_80_percent` (the least confident fifth left out), `confident_half` and `doubtful_half`.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, float]]] = {}
        self._points = 0

    def add(self, frame: Frame, system: Drive) -> DepthOutput | None:
        """Steps the systems on the frame's even beams and scores the depth; None (and nothing counted) without a scan in the image."""
        if frame.scan is None or frame.calibration.T_camera_lidar is None:
            return None
        even, odd = split_beams(frame)
        output = next(found for found in list(system.step(even)) if isinstance(found, DepthOutput))
        alone = output.in_view(output.network_metres)
        every = lidar.depth_image(frame.scan, frame.calibration)
        self.add_truth(alone, every)
        self._row("online_scaled", output.depth, lidar.depth_image(odd.scan, frame.calibration), median_scale=False)  # type: ignore[arg-type]
        truth = metrics.valid_depth(every, crop="garg")
        if truth.sum() >= 20:
            confidence = output.confidence
            fifth, half = np.quantile(confidence[truth], [0.2, 0.5])
            parts = {"all_pixels": truth, "confident_80_percent": confidence >= fifth, "confident_half": confidence >= half}
            for name, part in (parts | {"doubtful_half": confidence < half}).items():
                if (part & truth).any():
                    self._row(name, output.depth, np.where(part, every, np.nan), median_scale=False)
        return output

    def add_truth(self, alone: np.ndarray, truth: np.ndarray) -> None:
        """Scores a depth as it is and scaled by medians. (H, W) metres each, NaN = none."""
        self._points += int(metrics.valid_depth(truth, crop="garg").sum())
        self._row("metric", alone, truth, median_scale=False)
        self._row("median_scaled", alone, truth, median_scale=True)

    def add_published(self, depth: np.ndarray, frame: Frame) -> None:
        """Scores a depth image that a node has published against all beams."""
        if frame.scan is not None and frame.calibration.T_camera_lidar is not None:
            self._row("published", depth, lidar.depth_image(frame.scan, frame.calibration), median_scale=False)

    def _row(self, name: str, depth: np.ndarray, truth: np.ndarray, *, median_scale: bool) -> None:
        row = metrics.depth_errors(depth, truth, median_scale=median_scale, crop="garg")
        if row is not None:
            self._rows.setdefault(name, []).append(row)

    def result(self) -> dict[str, Any]:
        """Mean of each error over the frames."""
        means: dict[str, Any] = {
            name: {key: round(float(np.mean([row[key] for row in rows])), 5) for key in rows[0]} for name, rows in self._rows.items()
        }
        return means | {"frames": len(self._rows.get("metric", [])), "points": self._points}
