"""Pictures of road markings: over the camera's image, from above, and against the reference map in the colours of its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from depth_perception.geometry import polygons
from depth_perception.model import write_atomically
from depth_perception.systems.marking_instances import Instance
from depth_perception.systems.marking_verdicts import Verdict
from depth_perception.systems.markings import MarkingsOutput
from depth_perception.systems.palette import COLOURS, overlay
from depth_perception.systems.reference_map import Reference

VERDICT_COLOURS = {
    "intact": (60, 190, 90), "worn": (250, 200, 40), "broken": (255, 120, 20), "missing": (235, 30, 40), "unseen": (110, 110, 110),
}


def over_image(image: np.ndarray, output: MarkingsOutput) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the mask in its colours, and each instance's outline and box."""
    out = overlay(np.ascontiguousarray(image), output.mask)
    for one in output.instances:
        colour = COLOURS[one.name]
        rings = [np.rint(ring * 8).astype(np.int32) for ring in one.pixels]
        cv2.polylines(out, rings, True, colour, 1, cv2.LINE_AA, 3)
        x, y, width, height = one.box_px
        cv2.rectangle(out, (x - 1, y - 1), (x + width, y + height), tuple(v // 2 for v in colour), 1)
    return out


def from_above(found: Sequence[Instance], *, ahead_m: float = 30.0, aside_m: float = 10.0, pixel_m: float = 0.05) -> np.ndarray:
    """Markings on the road, body frame, x up, y left, in their class' colours; the car stands at the lower edge."""
    out = np.full((round(ahead_m / pixel_m), round(2 * aside_m / pixel_m), 3), 40, np.uint8)
    for one in found:
        if one.ground is not None:
            # Picture rows run against x, columns against y.
            seen = [np.column_stack([aside_m - ring[:, 1], ahead_m - ring[:, 0]]) for ring in one.ground]
            _draw(out, seen, COLOURS[one.name], pixel_m)
    return out


def verdict_map(references: Sequence[Reference], verdicts: Sequence[Verdict], *, pixel_m: float = 0.05, most_px: int = 4000) -> np.ndarray:
    """The reference map from above, x to the right, y up, each marking in its verdict's colour, with a legend of how many there are."""
    if not references:
        return np.full((60, 300, 3), 40, np.uint8)
    corners = np.concatenate([ring for one in references for ring in one.rings])
    low, high = corners.min(0) - 2, corners.max(0) + 2
    pixel_m = max(pixel_m, float((high - low).max()) / most_px)
    out = np.full((round((high[1] - low[1]) / pixel_m), round((high[0] - low[0]) / pixel_m), 3), 40, np.uint8)
    state = {one.id: one.state for one in verdicts}
    for one in references:
        seen = [np.column_stack([ring[:, 0] - low[0], high[1] - ring[:, 1]]) for ring in one.rings]
        _draw(out, seen, VERDICT_COLOURS[state.get(one.id, "unseen")], pixel_m)
    legend = np.full((24, max(out.shape[1], 560), 3), 40, np.uint8)
    for k, (name, colour) in enumerate(VERDICT_COLOURS.items()):
        count = sum(state.get(one.id, "unseen") == name for one in references)
        cv2.putText(legend, f"{name} {count}", (6 + 110 * k, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    out = np.pad(out, ((0, 0), (0, legend.shape[1] - out.shape[1]), (0, 0)), constant_values=40)
    return np.concatenate([legend, out])


def save(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W) uint8 ids as they are or (H, W, 3) uint8 RGB, as PNG, whole or not at all."""
    ok, data = cv2.imencode(".png", picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1]))
    assert ok, path
    write_atomically(path, data.tobytes())


def _draw(picture: np.ndarray, rings: Sequence[np.ndarray], colour: tuple[int, int, int], pixel_m: float) -> None:
    inside = np.zeros(picture.shape[:2], np.uint8)
    polygons.fill(inside, rings, 1, corner=(0.0, 0.0), cell=pixel_m)
    picture[inside > 0] = colour
