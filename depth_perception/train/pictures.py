"""Pictures of a training: the curves, and what the network sees."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from depth_perception.model import write_atomically
from depth_perception.train.history import History


def curve(rows: list[dict[str, float]], file: Path, *, points: int = 50) -> None:
    """Each term or score over steps, averaged over one in `points` of the run, as PNG. rows: {"step": ..., name: value}."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = sorted({name for row in rows for name in row} - {"step"}) or ["nothing"]
    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        step = np.array([row["step"] for row in rows if name in row], np.float64)
        value = np.array([row[name] for row in rows if name in row], np.float64)
        parts = np.array_split(np.arange(len(step)), min(points, len(step))) if len(step) else []
        axis.plot([step[p].mean() for p in parts], [value[p].mean() for p in parts], marker="." if len(parts) < 20 else None)
        axis.set(title=name, xlabel="step", yscale="log" if len(value) and value.min() > 0 else "linear")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=70)
    plt.close(figure)


def curves(history: History, folder: Path) -> None:
    """curve.png, the terms of the loss, and held_out.png, the scores, where there are any."""
    curve(history.rows, folder / "curve.png")
    if history.scores:
        curve(history.scores, folder / "held_out.png")


def depth(image: np.ndarray, estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Image, estimated depth, measured depth and relative error, two by two: (2 H, 2 W, 3) uint8 RGB.

    (H, W, 3) uint8 RGB, (H, W) metres twice, NaN = none. Depth: 2 m bright to 80 m dark, logarithmic. Error: blue 0 to red 30 %.
    """
    thick = np.ones((2, 2), np.uint8)
    known = np.isfinite(truth)
    nearness = cv2.dilate(np.where(known, 1 / np.where(known, truth, 1), 0).astype(np.float32), thick)
    dots = np.where(nearness[..., None] > 0, _by_depth(nearness), 0).astype(np.uint8)
    wrong = np.where(known, np.abs(estimate - truth) / np.where(known, truth, 1), -1).astype(np.float32)
    error = cv2.dilate(wrong, thick)
    colours = cv2.applyColorMap((error.clip(0, 0.3) / 0.3 * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    errors = np.where(error[..., None] >= 0, colours, image // 3).astype(np.uint8)
    return np.concatenate([np.concatenate([image, _by_depth(1 / estimate)], 1), np.concatenate([dots, errors], 1)])


def save(image: np.ndarray, file: Path) -> None:
    """(H, W, 3) uint8 RGB as PNG."""
    _, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    write_atomically(file, data.tobytes())


def _by_depth(inverse_depth: np.ndarray) -> np.ndarray:
    """1 / metres -> (H, W, 3) uint8 RGB, 2 m bright to 80 m dark, logarithmic."""
    share = (np.log(np.maximum(inverse_depth, 1e-6)) - np.log(1 / 80)) / (np.log(1 / 2) - np.log(1 / 80))
    return cv2.applyColorMap((share.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_MAGMA)[..., ::-1]
