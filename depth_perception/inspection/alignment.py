"""Whether the calibration fits the picture: the LiDAR's outlines against the image's edges, turned, and under other focal lengths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from depth_perception.geometry.edge_alignment import EdgeAlignment

_FACTORS = np.exp(np.linspace(np.log(0.6), np.log(1.7), 53))


def alignment(seen: EdgeAlignment) -> dict[str, Any] | None:
    """Frames that were collected -> the turn of the LiDAR and the factor of the focal length under which edges meet best, with scores
    (mean edge strength at the outlines, 1 is chance); None with too few outlines."""
    found = seen.offset()
    if found is None:
        return None
    turn, as_is, best = found
    scores = np.array([_score(seen, factor) for factor in _FACTORS])
    top = int(scores.argmax())
    return {"frames": len(seen.edges), "outlines": sum(map(len, seen.outlines)), "score": as_is, "turn_deg": turn.tolist(),
            "angle_deg": float(np.linalg.norm(turn)), "turned_score": best, "focal_factor": float(_FACTORS[top]),
            "focal_score": float(scores[top])}


def _score(seen: EdgeAlignment, factor: float) -> float:
    """The score as if both focal lengths were `factor` times as long."""
    Ks = [K * np.array([[factor, factor, 1], [1, factor, 1], [1, 1, 1]]) for K in seen.Ks]
    return replace(seen, Ks=Ks).score(np.zeros(3))
