"""Colours of marking masks (S4-g): from a mask as people draw it to class ids, and from class ids to pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from depth_perception.frame import BadInput
from depth_perception.systems.marking_classes import CLASSES

IGNORE = 255
Colour = tuple[int, int, int]
# S4-g: a line is red, a zebra crossing pink, what is no marking black; the others are ours.
COLOURS: dict[str, Colour] = {
    "background": (0, 0, 0), "solid line": (255, 0, 0), "dashed line": (255, 160, 0), "stop line": (255, 255, 0),
    "zebra crossing": (255, 192, 203), "arrow": (0, 200, 0), "text": (0, 120, 255)}
GREY: Colour = (128, 128, 128)


@dataclass(frozen=True)
class Palette:
    """RGB colour -> class id; several colours may mean one class. IGNORE: pixels that neither teach nor count."""

    ids: dict[Colour, int] = field(
        default_factory=lambda: {colour: CLASSES.index(name) for name, colour in COLOURS.items()} | {GREY: IGNORE})

    def classes_of(self, mask: np.ndarray, *, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB colours, or (H, W) uint8 class ids -> (H, W) uint8 class ids. BadInput names an unknown colour or id."""
        if mask.ndim == 2:
            unknown = set(np.unique(mask).tolist()) - {*range(len(CLASSES)), IGNORE}
            if unknown:
                raise BadInput(f"{name}: wanted class ids 0 to {len(CLASSES) - 1} or {IGNORE}, got {min(unknown)}")
            return mask
        packed = (mask[..., 0].astype(np.uint32) << 16) | (mask[..., 1].astype(np.uint32) << 8) | mask[..., 2]
        found, place = np.unique(packed, return_inverse=True)
        colours = [((int(c) >> 16) & 255, (int(c) >> 8) & 255, int(c) & 255) for c in found]
        for colour in colours:
            if colour not in self.ids:
                raise BadInput(f"{name}: the colour {colour} is not in the palette, which has {', '.join(map(str, self.ids))}")
        return np.array([self.ids[colour] for colour in colours], np.uint8)[place].reshape(mask.shape[:2])


def read_palette(path: str | Path) -> Palette:
    """A YAML file: class name (or `ignore`) -> [r, g, b], or a list of such. BadInput."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"palette {path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict) or not values:
        raise BadInput(f"palette {path}: wanted class names with colours, got {values!r}")
    known = {name: index for index, name in enumerate(CLASSES)} | {"ignore": IGNORE}
    ids: dict[Colour, int] = {}
    for name, given in values.items():
        if name not in known:
            raise BadInput(f"palette {path}: unknown class {name!r}; known are {', '.join(known)}")
        several = given if isinstance(given, list) and given and isinstance(given[0], list) else [given]
        for colour in several:
            if not (isinstance(colour, list) and len(colour) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in colour)):
                raise BadInput(f"palette {path}: {name}: wanted [r, g, b] of 0 to 255, got {colour!r}")
            red, green, blue = colour
            if ids.setdefault((red, green, blue), known[name]) != known[name]:
                raise BadInput(f"palette {path}: the colour {colour} means two classes")
    return Palette(ids)


def coloured(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8 class ids -> (H, W, 3) uint8 RGB in COLOURS; what is not a class is grey."""
    table = np.full((256, 3), GREY, np.uint8)
    table[: len(CLASSES)] = [COLOURS[name] for name in CLASSES]
    return table[mask]


def overlay(image: np.ndarray, mask: np.ndarray, *, strength: float = 0.6) -> np.ndarray:
    """(H, W, 3) uint8 RGB image with the markings of an (H, W) mask coloured in."""
    out = image.copy()
    on = mask > 0
    out[on] = ((1 - strength) * image[on] + strength * coloured(mask)[on]).astype(np.uint8)
    return out
