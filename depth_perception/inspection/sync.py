"""Each image against the scans around it, by their stamps."""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_DELAY_S = 0.15  # as bag.FrameReader pairs
_EDGES = np.round(np.arange(-0.15, 0.1501, 0.01), 3)
_AGES = np.round(np.arange(0.0, 0.3001, 0.01), 3)


def sync(image_ns: np.ndarray, scan_ns: np.ndarray) -> dict[str, Any] | None:
    """Stamps (N,) and (M,), int64 ns -> how far each image is from its nearest scan (scan minus image), and how old the newest scan is
    that came before it, which is what driving pairs with. None without either. Counts beside `edges_s`; what lies outside is in
    `beyond`."""
    if not len(image_ns) or not len(scan_ns):
        return None
    scans = np.sort(scan_ns)
    after = np.searchsorted(scans, image_ns, side="right")
    before = scans[np.maximum(after - 1, 0)]
    ages = np.where(after > 0, (image_ns - before) * 1e-9, np.inf)
    following = np.where(after < len(scans), (scans[np.minimum(after, len(scans) - 1)] - image_ns) * 1e-9, np.inf)
    nearest = np.where(ages <= following, -ages, following)
    return {"nearest": _histogram(nearest, _EDGES), "causal": _histogram(ages, _AGES),
            "share_nearest": float((np.abs(nearest) <= MAX_DELAY_S).mean()), "share_causal": float((ages <= MAX_DELAY_S).mean())}


def _histogram(values: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    counts = np.histogram(known, edges)[0]
    quantiles = [float(v) for v in np.quantile(known, (0.05, 0.5, 0.95))] if len(known) else [None] * 3
    return {"edges_s": edges.tolist(), "counts": counts.tolist(), "beyond": int(len(values) - counts.sum()),
            **dict(zip(("p5_s", "median_s", "p95_s"), quantiles, strict=True))}
