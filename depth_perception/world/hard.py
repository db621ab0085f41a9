"""What is hard for depth that is learned from video, asked for in a word and said of every pixel."""

from __future__ import annotations

from enum import IntFlag

import numpy as np

from depth_perception.frame import BadInput


class Hard(IntFlag):
    """Reasons why a pixel breaks the assumption that a place looks the same from image to image; bits of /truth/hard.

    Attributes:
        MOVING: belongs to a thing that moves by itself, faster than 0.2 m/s.
        FLICKER: the light on this place is a fifth or more stronger or weaker, against its surroundings' exposure, than at the image before
            or after. Changes of exposure meet every pixel alike and set no bit; where a surface mirrors, REFLECTING is set instead.
        REFLECTING: a third or more of its light comes from what the surface mirrors; depth is the surface's.
        TEXTURELESS: on a bare wall, its light within 1 % of that of its four neighbours.
    """

    MOVING = 1
    FLICKER = 2
    REFLECTING = 4
    TEXTURELESS = 8


NONE = Hard(0)
WORDS = {"moving": Hard.MOVING, "flicker": Hard.FLICKER, "reflections": Hard.REFLECTING, "textureless": Hard.TEXTURELESS}


def asked(text: str) -> Hard:
    """ "moving,flicker" -> the flags; BadInput for another word."""
    found = NONE
    for word in filter(None, text.split(",")):
        if word not in WORDS:
            raise BadInput(f"hard: wanted some of {','.join(WORDS)}, got {word!r}")
        found |= WORDS[word]
    return found


def mask(*, moving: np.ndarray, flicker: np.ndarray, reflecting: np.ndarray, textureless: np.ndarray) -> np.ndarray:
    """(H, W) bools -> (H, W) uint8 bits."""
    bits = ((moving, Hard.MOVING), (flicker, Hard.FLICKER), (reflecting, Hard.REFLECTING), (textureless, Hard.TEXTURELESS))
    return sum((on.astype(np.uint8) * np.uint8(bit) for on, bit in bits), np.zeros(moving.shape, np.uint8))


def even(light: np.ndarray, bare: np.ndarray, tolerance: float = 0.01) -> np.ndarray:
    """(H, W) bool: bare pixels whose four neighbours are bare too and differ in light by `tolerance` of it at most.

    light: (H, W, 3) linear; bare: (H, W) bool.
    """
    grey = light.mean(-1)
    out = bare.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            same = np.roll(bare, step, axis) & (np.abs(np.roll(grey, step, axis) - grey) <= tolerance * grey)
            # What rolls in from the other border is no neighbour.
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, 1) if step > 0 else slice(-1, None)
            same[tuple(edge)] = True
            out &= same
    return out
