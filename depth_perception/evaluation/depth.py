"""Depth against projected LiDAR (or true depth), as a whole and by region."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from depth_perception.frame import Frame
from depth_perception.geometry import lidar
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.train import metrics

# Bits of a simulated drive's /truth/hard: why a pixel is hard to learn from video (world/hard.py says when each is set).
REGIONS = {"moving": 1, "flicker": 2, "reflecting": 4, "textureless": 8}


def region_masks(bits: np.ndarray) -> dict[str, np.ndarray]:
    """(H, W) uint8 bits -> (H, W) bools by name: REGIONS, `hard` with any bit, `easy` with none."""
    return {name: bits & bit > 0 for name, bit in REGIONS.items()} | {"hard": bits > 0, "easy": bits == 0}


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
    `regions`: `metric` and `median_scaled` of each region, every frame weighing as many pixels as the region has in it; the median
    scale is the whole frame's.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, float]]] = {}
        self._points = 0
        self._regions: dict[str, list[_RegionRow]] = {}

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

    def add_truth(self, alone: np.ndarray, truth: np.ndarray, bits: np.ndarray | None = None) -> None:
        """Scores a depth as it is and scaled by medians. (H, W) metres each, NaN = none; bits: (H, W) uint8 of REGIONS, if known."""
        valid = metrics.valid_depth(truth, crop="garg")
        self._points += int(valid.sum())
        if bits is not None:
            self._add_regions(alone, truth, valid, bits)
        self._row("metric", alone, truth, median_scale=False)
        self._row("median_scaled", alone, truth, median_scale=True)

    def _add_regions(self, alone: np.ndarray, truth: np.ndarray, valid: np.ndarray, bits: np.ndarray) -> None:
        if valid.sum() < 20:
            return
        depth = np.nan_to_num(alone, nan=metrics.MAX_DEPTH_M)
        scale = np.median(truth[valid]) / np.median(depth[valid])
        for name, inside in region_masks(bits).items():
            part = np.where(inside, truth, np.nan)
            errors = [metrics.depth_errors(depth * k, part, crop="garg") for k in (1.0, scale)]
            row = _RegionRow(int((inside & valid).sum()), int(valid.sum()), errors[0], errors[1])
            self._regions.setdefault(name, []).append(row)

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
        if self._regions:
            means["regions"] = {name: _region(rows) for name, rows in self._regions.items()}
        return means | {"frames": len(self._rows.get("metric", [])), "points": self._points}


class _RegionRow(NamedTuple):
    """One frame's region: its pixels, the frame's, and errors (None: too few pixels)."""

    points: int
    of: int
    metric: dict[str, float] | None
    median_scaled: dict[str, float] | None


def _region(rows: list[_RegionRow]) -> dict[str, Any]:
    """Errors of a region over the frames, weighted by its pixels; `share`: of all pixels with truth."""
    scored = [row for row in rows if row.metric is not None]
    weights = [row.points for row in scored]
    out: dict[str, Any] = {}
    for name in ("metric", "median_scaled") if scored else ():
        errors = [getattr(row, name) for row in scored]
        out[name] = {key: round(float(np.average([e[key] for e in errors], weights=weights)), 5) for key in errors[0]}
    share = sum(row.points for row in rows) / sum(row.of for row in rows)
    return out | {"share": round(share, 5), "points": sum(weights), "frames": len(scored)}
