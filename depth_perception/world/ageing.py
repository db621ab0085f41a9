"""What years and weather do to a road's paint: worn, faded, wet, shadowed and patched roads, and how much paint is left where."""

from __future__ import annotations

from dataclasses import replace
from enum import IntFlag

import numpy as np

from depth_perception.frame import BadInput
from depth_perception.world.street import Ageing, Street
from depth_perception.world.texture import Noise, edge, hashed

VISIBLE = 0.25  # least share of paint left at which a marking is still one
BLOCK_S, BLOCK_D = 11.0, 2.9  # metres of road that have at most one repair


class Aged(IntFlag):
    """What may have happened to a road.

    Attributes:
        WORN: paint rubbed off in spots, most where wheels roll.
        FADED: paint thinned everywhere, by stretches.
        WET: darkened by water, and mirroring.
        SHADOWED: under the shade of leaves, poles and gantries.
        PATCHED: repaired: dark patches and tar over asphalt and paint.
    """

    WORN = 1
    FADED = 2
    WET = 4
    SHADOWED = 8
    PATCHED = 16


NEW = Aged(0)
WORDS = {"worn": Aged.WORN, "faded": Aged.FADED, "wet": Aged.WET, "shadowed": Aged.SHADOWED, "patched": Aged.PATCHED}


def asked(text: str) -> Aged:
    """ "worn,wet" -> the flags; BadInput for another word."""
    found = NEW
    for word in filter(None, text.split(",")):
        if word not in WORDS:
            raise BadInput(f"road: wanted some of {','.join(WORDS)}, got {word!r}")
        found |= WORDS[word]
    return found


def aged(street: Street, what: Aged, rng: np.random.Generator) -> Street:
    """The street years later; as it is where nothing is asked for. Always as many draws: one word more changes nothing else."""
    if not what:
        return street
    worn, faded, wet, shadowed, patched = rng.uniform([0.2, 0.1, 0.05, 0.4, 0.2], [0.65, 0.5, 0.3, 0.8, 0.55])
    ageing = Ageing(
        worn=float(worn) if Aged.WORN in what else 0.0,
        faded=float(faded) if Aged.FADED in what else 0.0,
        shadowed=float(shadowed) if Aged.SHADOWED in what else 0.0,
        patched=float(patched) if Aged.PATCHED in what else 0.0,
    )
    look = street.look
    if Aged.WET in what:
        look = replace(look, wet=max(look.wet, float(wet)))
    if Aged.PATCHED in what:
        look = replace(look, cracks=max(look.cracks, float(patched) + 0.3))
    return replace(street, look=look, ageing=ageing)


def left(street: Street, s: np.ndarray, d: np.ndarray, noise: Noise, *, blur: np.ndarray) -> np.ndarray:
    """(N,) float32 share 0..1 of the paint that years have left at road coordinates; blur: (N,) metres that a pixel covers."""
    ageing, share = street.ageing, np.ones(len(s), np.float32)
    if ageing is None:
        return share
    if ageing.worn:
        lane = street.road.lane_width
        track = np.abs(np.mod(np.abs(d), lane) - 0.5 * lane)
        rolled = np.exp(-((track - 0.78) ** 2) / 0.15)
        grain = 0.75 * noise.at(noise.cloud, d, s, texel=0.012) + 0.5 * noise.at(noise.fine, s, d, texel=0.012, blur=blur)
        stretch = 0.5 * noise.at(noise.cloud, s, d * 0.3, texel=0.15)
        share *= np.clip(0.5 + 2.5 * (grain + 1.15 - 1.7 * ageing.worn - 0.7 * ageing.worn * rolled - stretch * ageing.worn), 0, 1)
    if ageing.faded:
        stretch = 0.5 + 0.3 * noise.at(noise.cloud, d, s, texel=0.12)
        share *= 1 - ageing.faded * np.clip(stretch + 0.25, 0.2, 1)
    if ageing.patched:
        share *= 1 - repaired(ageing, s, d, blur=blur)
    return share.astype(np.float32)


def repaired(ageing: Ageing, s: np.ndarray, d: np.ndarray, *, blur: np.ndarray) -> np.ndarray:
    """(N,) share 0..1 of a pixel that lies on a repair: rectangles of fresh asphalt, and tar along and across the road."""
    block_s, block_d = np.floor(s / BLOCK_S), np.floor((d + 0.7) / BLOCK_D)
    pick, place, size = hashed(block_s, block_d + 131), hashed(block_s + 977, block_d), hashed(block_s, block_d + 4001)
    along = 0.5 * (1.0 + 5.0 * size) - np.abs(s - (block_s + 0.3 + 0.4 * place) * BLOCK_S)
    across = 0.5 * (0.5 + 2.0 * place) - np.abs(d + 0.7 - (block_d + 0.35 + 0.3 * size) * BLOCK_D)
    patch = np.minimum(edge(along, blur), edge(across, np.minimum(blur, 0.05))) * (pick < 0.7 * ageing.patched)
    stripe = np.floor(s / 7.0)
    here = hashed(stripe + 31)
    tar = edge(0.06 - np.abs(s - (stripe + 0.2 + 0.6 * here) * 7.0 - 0.25 * np.sin(2.1 * d + 6 * here)), blur) * (here < ageing.patched)
    return np.maximum(patch, tar).astype(np.float32)


def shade(ageing: Ageing, points: np.ndarray, sun: np.ndarray, noise: Noise) -> np.ndarray:
    """(N,) float32 share 0..1 of the sun that leaves, poles and gantries let through to (N, 3) points, world frame; sun: (3,) to it."""
    slope = sun[:2] / max(float(sun[2]), 0.3)
    x, y = (points[:, k] - points[:, 2] * slope[k] for k in (0, 1))
    crowns = np.clip(0.5 + 3.0 * (noise.at(noise.cloud, x, y, texel=0.11) + 1.2 * ageing.shadowed - 0.7), 0, 1)
    leaves = np.clip(0.5 + 4.0 * (noise.at(noise.cloud, y, x, texel=0.03) + 0.45), 0, 1)
    bars = np.abs(np.mod(0.8 * x + 0.6 * y, 17.0) - 8.0) < 0.25 + 0.6 * hashed(np.floor((0.8 * x + 0.6 * y) / 17.0))
    return (1 - 0.92 * np.maximum(crowns * leaves, bars)).astype(np.float32)
