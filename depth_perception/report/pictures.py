"""Arrays -> pictures that a person recognises. All images are (H, W, 3) uint8 RGB."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from depth_perception.model import write_atomically


def colour_depth(depth: np.ndarray, *, near_m: float = 3.0, far_m: float = 80.0) -> np.ndarray:
    """(H, W) metres -> colours by the logarithm: bright is near, black is none. The scale is fixed, so pictures compare."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log(far_m / np.clip(depth, near_m, far_m)) / np.log(far_m / near_m)
    index = np.nan_to_num(share * 255, nan=0).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(index, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    colours[~np.isfinite(depth)] = 0
    return colours


def draw_sparse(image: np.ndarray, depth: np.ndarray, *, radius: int = 1) -> np.ndarray:
    """Coloured dots of a sparse (H, W) depth over an image."""
    out = np.ascontiguousarray(image).copy()
    colours = colour_depth(depth)
    for v, u in np.argwhere(np.isfinite(depth))[::3]:
        cv2.circle(out, (int(u), int(v)), radius, colours[v, u].tolist(), -1)
    return out


def from_above(
    points: np.ndarray,
    *,
    ahead_m: float = 40.0,
    behind_m: float = 10.0,
    aside_m: float = 20.0,
    pixel_m: float = 0.1,
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """(N, >=3) body-frame points seen from above, x up, coloured by height; reference points beneath in grey; the car is the white box."""
    size = (round((ahead_m + behind_m) / pixel_m), round(2 * aside_m / pixel_m))
    out = np.full((*size, 3), 16, np.uint8)

    def place(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        row = np.floor((ahead_m - p[:, 0]) / pixel_m).astype(int)
        column = np.floor((aside_m - p[:, 1]) / pixel_m).astype(int)
        inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
        return row[inside], column[inside], inside

    if reference is not None:
        row, column, _ = place(reference)
        out[row, column] = 90
    order = np.argsort(points[:, 2])
    row, column, inside = place(points[order])
    low = np.quantile(points[:, 2], 0.05) if len(points) else 0.0
    index = (np.clip((points[order][inside, 2] - low) / 3.0, 0, 1) * 255).astype(np.uint8)
    out[row, column] = cv2.cvtColor(cv2.applyColorMap(index[:, None], cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)[:, 0]
    top, left = round(ahead_m / pixel_m), round((aside_m - 0.9) / pixel_m)
    cv2.rectangle(out, (left, top - 20), (left + round(1.8 / pixel_m), top + 20), (255, 255, 255), 1)
    return out


def grid_picture(cells: np.ndarray, *, enlarge: int = 2) -> np.ndarray:
    """(rows along y, columns along x) occupancy -> x up, y left: grey unknown, white free, black occupied."""
    shade = np.where(cells < 0, 128, 255 - cells.astype(np.int16) * 255 // 100).astype(np.uint8)
    turned = np.rot90(shade[:, :], 1)[:, ::-1]
    return cv2.resize(np.repeat(turned[..., None], 3, 2), None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_NEAREST)


def trajectories(paths: dict[str, np.ndarray], title: str) -> np.ndarray:
    """Name -> (N, 3) positions in metres, drawn x against y in one plot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 5), dpi=110)
    for name, path in paths.items():
        axes.plot(path[:, 0], path[:, 1], label=name)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("x, m")
    axes.set_ylabel("y, m")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.canvas.draw()
    out = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    pyplot.close(figure)
    return out


def save(path: Path, image: np.ndarray) -> None:
    """Writes an RGB image as PNG or JPEG (by its name), whole or not at all."""
    ok, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))
    assert ok, path
    write_atomically(path, data.tobytes())
