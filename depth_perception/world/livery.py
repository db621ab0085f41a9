"""What is painted on the sides of lorries and on boards: canvas, panels, bands, chevrons and lettering."""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import cv2
import numpy as np

from depth_perception.world.points import Points
from depth_perception.world.styles import Styles
from depth_perception.world.texture import Noise, edge, joints

WORDS = (
    "NORDCARGO",
    "Spedition Mai",
    "TRANSLOG",
    "EUROFRACHT",
    "Milchhof",
    "OST-WEST",
    "frisch & kalt",
    "KRONBERG",
    "LTL 24",
    "Bau & Kies",
)
ROWS, COLUMNS = 32, 160  # pixels of a word


class Livery(IntEnum):
    """How a side is made. Styles of Material.LIVERY: colour; accent colour, kind, metres after which it repeats, word (-1 = none)."""

    CANVAS = 0
    PANELS = 1
    BANDS = 2
    CHEVRONS = 3
    SMOOTH = 4


def livery(
    styles: Styles, colour: np.ndarray, accent: np.ndarray | tuple[float, ...], kind: Livery, *, length: float = 10.0, word: int = -1
) -> int:
    """The style of a side; length: metres of it, over which a word is written; word: index into WORDS, -1 = none."""
    return styles.add(colour, *(float(v) for v in accent), float(kind), length, float(word))


def random_livery(rng: np.random.Generator, styles: Styles, kind: Livery, *, length: float) -> int:
    """A side as firms like it: white, dark or of one strong colour, mostly lettered."""
    strong = [(0.45, 0.02, 0.02), (0.02, 0.07, 0.35), (0.02, 0.18, 0.07), (0.60, 0.40, 0.02), (0.55, 0.15, 0.02), (0.03, 0.25, 0.40)]
    pale = [(0.78, 0.78, 0.76), (0.55, 0.56, 0.57), (0.70, 0.66, 0.55), (0.30, 0.31, 0.33)]
    ink = [(0.02, 0.02, 0.03), (0.80, 0.80, 0.78)]
    colour = np.array((strong if rng.random() < 0.45 else pale)[rng.integers(4)]) * rng.uniform(0.7, 1.1)
    accents = ink if colour.max() > 2 * colour.min() else [*strong, ink[0]] if colour.mean() > 0.25 else [ink[1]]
    accent = accents[rng.integers(len(accents))]
    return livery(styles, colour, accent, kind, length=length, word=int(rng.integers(len(WORDS))) if rng.random() < 0.75 else -1)


def livery_colour(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Points of Material.LIVERY, their (N, 10) styles and noise -> (N, 3) linear albedo, (N,) gloss."""
    u, v, top = p.coords.T
    accent, (kind, length, word) = style[:, 3:6], style[:, 6:9].T
    blur = p.blur / np.maximum(p.graze, 0.15)
    side = top > 0
    high = np.maximum(top, 0.05)
    tone = 1 + 0.05 * noise.at(noise.cloud, u, v, texel=0.03) + 0.03 * noise.at(noise.fine, u, v, texel=0.02, blur=blur)
    tone *= 1 - 0.35 * np.exp(-np.maximum(v, 0) / 0.3) * side * (high > 0.8)  # what the wheels throw up
    canvas = side & (kind == Livery.CANVAS)
    fold = noise.at(noise.cloud, u, 0.12 * v, texel=0.012)
    strap = joints(u, pitch=0.62, width=0.05, blur=blur) * (v < 0.4)
    tone = np.where(canvas, tone * (1 + 0.07 * fold) * (1 - 0.5 * strap), tone)
    panels = side & (kind == Livery.PANELS)
    tone = np.where(panels, tone * (1 - 0.35 * joints(u, pitch=1.25, width=0.02, blur=blur)), tone)
    colour = style[:, :3] * tone[:, None]
    band = side & (kind == Livery.BANDS) & (np.mod(v / high, 0.5) < 0.17)
    chevron = side & (kind == Livery.CHEVRONS) & (np.mod(u + v, 0.28) < 0.14)
    colour = np.where((band | chevron)[:, None], accent, colour)
    ink = np.zeros(len(u), np.float32)
    written = np.flatnonzero(side & (word >= 0))
    if len(written):
        at, over, b = np.mod(u[written], length[written]), length[written], blur[written]
        tall = np.minimum(0.42 * high[written], 0.17 * over)
        one = _ink(word[written], (at - 0.1 * over) / (5 * tall), (v[written] - 0.5 * high[written]) / tall, b / tall)
        small = 0.4 * tall
        other = np.mod(word[written] + 3, len(WORDS))
        two = _ink(other, (at - 0.5 * over) / (5 * small), (v[written] - 0.22 * high[written]) / small, b / small)
        ink[written] = np.maximum(one, two)
    colour = colour * (1 - ink[:, None]) + ink[:, None] * accent
    gloss = np.where(kind == Livery.SMOOTH, 0.65, np.where(kind == Livery.CANVAS, 0.12, 0.3)).astype(np.float32)
    return colour, gloss


def _ink(word: np.ndarray, x: np.ndarray, y: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """(N,) share of ink at x, y in 0..1 of a word from its lower left; blur: what a pixel covers of its height."""
    inside = edge(0.5 - np.abs(x - 0.5), blur) * edge(0.5 - np.abs(y - 0.5), blur)
    row = np.clip((1 - y) * ROWS, 0, ROWS - 1).astype(np.intp)
    column = np.clip(x * COLUMNS, 0, COLUMNS - 1).astype(np.intp)
    bitmaps = _bitmaps()
    which = word.astype(np.intp)
    far = np.clip(6 * blur - 0.5, 0, 1)
    return (inside * (bitmaps[which, row, column] * (1 - far) + bitmaps.mean((1, 2))[which] * far)).astype(np.float32)


@cache
def _bitmaps() -> np.ndarray:
    """(words, ROWS, COLUMNS) float32, 1 where ink is."""
    out = []
    for k, word in enumerate(WORDS):
        image = np.zeros((80, 46 * len(word) + 20), np.uint8)
        font = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SIMPLEX)[k % 3]
        cv2.putText(image, word, (6, 58), font, 1.9, 255, 6)
        columns = np.flatnonzero(image.any(0))
        cut = image[:, columns[0] : columns[-1] + 1]
        out.append(cv2.resize(cut, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    return np.stack(out)
