"""Pictures of a training: the curve, and what the network sees at its end."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from depth_perception.model import write_atomically


def curve(rows: list[dict[str, float]], file: Path) -> None:
    """Terms over steps, averaged over one in fifty of the run, as PNG. rows: {"step": ..., term: value}."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = sorted({name for row in rows for name in row} - {"step"})
    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        step = np.array([row["step"] for row in rows if name in row])
        value = np.array([row[name] for row in rows if name in row])
        parts = np.array_split(np.arange(len(step)), min(50, len(step)))
        axis.plot([step[p].mean() for p in parts], [value[p].mean() for p in parts])
        axis.set(title=name, xlabel="step", yscale="log" if value.min() > 0 else "linear")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=70)
    plt.close(figure)


def depth(image: np.ndarray, estimate: np.ndarray, truth: np.ndarray, file: Path) -> None:
    """Image, estimated depth and measured depth below each other as PNG. (H, W, 3) uint8 RGB, (H, W) metres twice, NaN = none."""
    dots = cv2.dilate(np.where(np.isfinite(truth), 1 / truth, 0).astype(np.float32), np.ones((2, 2), np.uint8))
    panels = [image[..., ::-1], _colour(1 / estimate), np.where(dots[..., None] > 0, _colour(dots), 0).astype(np.uint8)]
    _, data = cv2.imencode(".png", np.concatenate(panels))
    write_atomically(file, data.tobytes())


def _colour(inverse_depth: np.ndarray) -> np.ndarray:
    """1 / metres -> (H, W, 3) uint8 BGR, 2 m bright to 80 m dark, logarithmic."""
    share = (np.log(np.maximum(inverse_depth, 1e-6)) - np.log(1 / 80)) / (np.log(1 / 2) - np.log(1 / 80))
    return cv2.applyColorMap((share.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_MAGMA)
