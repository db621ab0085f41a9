"""Colours of the ground: asphalt with its wear, slabs, grass, earth, and the markings on the road."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from depth_perception.world import ageing
from depth_perception.world.kerb import in_gutter, stones
from depth_perception.world.paint import coverage
from depth_perception.world.points import Points
from depth_perception.world.street import COVERS, GroundLook, Street
from depth_perception.world.texture import Noise, edge, hashed, joints


def ground(p: Points, street: Street, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) albedo and (N,) uint8 marking class of the ground along the road."""
    road, look = street.road, street.look
    s, d = p.coords[:, 0], p.coords[:, 1]
    blur, long = p.blur, p.blur / np.maximum(p.graze, 0.01)
    away = np.abs(d)
    crossing = road.in_crossing(s)
    cover = np.zeros(len(s), np.int64)
    for side, (starts, kinds) in zip((-1, 1), look.cover, strict=True):
        on = d * side > 0
        cover[on] = kinds[np.clip(np.searchsorted(starts, s[on], side="right") - 1, 0, len(kinds) - 1)]
    street_asphalt = (away < road.half) | crossing
    kerb = (away >= road.half) & (away < road.half + look.kerb.width) & ~crossing & (road.kerb > 0 or look.kerb.flush)
    walk = (away < road.edge) & ~street_asphalt & ~kerb
    strip = walk & (away > road.half + look.kerb.width) & (away < road.half + look.strip)
    colour = np.empty((len(s), 3), np.float32)

    def fill(mask: np.ndarray, paint: Callable[[np.ndarray], np.ndarray]) -> None:
        index = np.flatnonzero(mask)
        if len(index):
            colour[index] = paint(index)

    def asphalt(i: np.ndarray) -> np.ndarray:
        return _asphalt(s[i], d[i], look, road.lane_width, noise, blur[i], long[i])

    def slabs(i: np.ndarray) -> np.ndarray:
        k = look.slab
        joint = np.maximum(joints(s[i], pitch=k, width=0.02, blur=long[i]), joints(d[i] + 0.11, pitch=k, width=0.02, blur=blur[i]))
        tone = 1 + 0.16 * (hashed(np.floor(s[i] / k), np.floor((d[i] + 0.11) / k)) - 0.5) * np.clip(k / long[i], 0, 1)
        tone = tone * (
            1 + 0.10 * noise.at(noise.cloud, s[i], d[i], texel=0.03) + 0.07 * noise.at(noise.fine, s[i], d[i], texel=0.008, blur=long[i])
        )
        return look.pavement * (tone * (1 - 0.45 * joint))[:, None]

    def grass(i: np.ndarray) -> np.ndarray:
        return grassland(s[i], d[i], look.grass, noise, long[i])

    def earth(i: np.ndarray) -> np.ndarray:
        tone = 1 + 0.2 * noise.at(noise.cloud, s[i], d[i], texel=0.04) + 0.2 * noise.at(noise.fine, s[i], d[i], texel=0.015, blur=long[i])
        return look.earth * tone[:, None]

    def meadow(i: np.ndarray) -> np.ndarray:
        return grass(i) * [1.5, 1.25, 0.9] * (1 + 0.15 * np.sin(d[i] * 5.0) * np.clip(0.6 / long[i], 0, 1))[:, None]

    fill(street_asphalt, asphalt)
    fill(kerb, lambda i: stones(look.kerb, look.kerb.tone, look.pavement, s[i], d[i], noise, long[i]))
    fill(walk & ~strip, slabs)
    fill(strip, grass)
    beyond = ~street_asphalt & ~kerb & ~walk
    for k, paint in enumerate((grass, slabs, asphalt, earth, meadow)):
        assert COVERS[k]
        fill(beyond & (cover == k), paint)
    laid = in_gutter(look.kerb, away, road.half, blur) * ~crossing
    i = np.flatnonzero(laid)
    colour[i] += laid[i, None] * (stones(look.kerb, look.kerb.gutter_tone, look.pavement, s[i], d[i], noise, long[i]) - colour[i])
    if road.kerb > 0:  # dirt in the gutter
        colour *= (1 - 0.25 * np.exp(-np.abs(away - road.half + 0.1) / 0.12) * (away < road.half) * ~crossing)[:, None]
    if street.ageing is not None and street.ageing.patched:
        i = np.flatnonzero(street_asphalt)
        colour[i] *= (1 - 0.45 * ageing.repaired(street.ageing, s[i], d[i], blur=blur[i]))[:, None]
    kind = np.zeros(len(s), np.uint8)
    near = np.flatnonzero(away < road.half)
    if len(near):
        # On a surface seen at a slant a pixel is long along the view and narrow across it; the road runs along the view.
        kind[near], share = coverage(street.paint, road, s[near], d[near], blur_s=long[near], blur_d=blur[near])
        on = share > 0
        i = near[on]
        mix = (share[on] * paint_left(street, s[i], d[i], noise, long[i]))[:, None]
        colour[i] = colour[i] * (1 - mix) + street.paint.colour * mix
    if look.wet > 0:
        colour *= (1 - 0.55 * wetness(street, s, d, noise))[:, None]
    return colour, kind


def paint_left(street: Street, s: np.ndarray, d: np.ndarray, noise: Noise, blur: np.ndarray) -> np.ndarray:
    """(N,) share 0..1 of its paint that a painted place still has; blur: (N,) metres along the road that a pixel covers."""
    worn = noise.at(noise.cloud, s, d, texel=0.02) * 0.6 + noise.at(noise.fine, s, d, texel=0.01, blur=blur) * 0.6
    share = np.clip(1.25 - 1.1 * street.paint.wear + worn * street.paint.wear - 0.25, 0.12, 1)
    return share if street.ageing is None else share * ageing.left(street, s, d, noise, blur=blur)


def wetness(street: Street, s: np.ndarray, d: np.ndarray, noise: Noise) -> np.ndarray:
    """(N,) 0 dry .. 1 under water, at road coordinates: puddles between the kerbs."""
    if street.look.wet <= 0:
        return np.zeros(len(s), np.float32)
    level = NormalDist().inv_cdf(1 - min(street.look.wet, 0.99))
    return np.clip(0.5 + 4.0 * (noise.at(noise.cloud, d, s, texel=0.06) - level), 0, 1) * (np.abs(d) < street.road.half)


def _asphalt(s: np.ndarray, d: np.ndarray, look: GroundLook, lane: float, noise: Noise, blur: np.ndarray, long: np.ndarray) -> np.ndarray:
    tone = 1 + 0.16 * look.stains * noise.at(noise.cloud, s * 0.5, d, texel=0.05)
    tone += 0.35 * look.rough * noise.at(noise.fine, s, d, texel=0.006, blur=long) + 0.12 * noise.at(
        noise.fine, s, d, texel=0.04, blur=long
    )
    track = np.mod(np.abs(d), lane) - 0.5 * lane
    tone -= 0.12 * look.stains * np.exp(-((np.abs(track) - 0.78) ** 2) / 0.08) + 0.10 * look.stains * np.exp(-(track**2) / 0.12)
    if look.cracks > 0.15:
        ridge = np.abs(noise.at(noise.cloud, s, d, texel=0.025) + 0.25 * noise.at(noise.fine, s, d, texel=0.05))
        tone -= 0.5 * look.cracks * edge(0.035 - ridge, np.maximum(3 * blur, 0.02)) * np.clip(0.08 / long, 0, 1)
        block_s, block_d = np.floor(s / 9.0), np.floor(d / 2.3)
        pick = hashed(block_s, block_d + 77)
        fs, fd = s / 9.0 - block_s, d / 2.3 - block_d
        patch = (pick < 0.16 * look.cracks) & (fs > 0.2) & (fs < 0.2 + 3 * pick) & (fd > 0.1) & (fd < 0.9)
        tone = tone - 0.28 * patch
        tone -= 0.35 * look.cracks * edge(0.02 - np.abs(d - 0.03 * noise.at(noise.cloud, s, s * 0, texel=0.1) - 0.12), blur)
    cell = np.floor(s / 17.0)
    pick = hashed(cell)
    radius = np.hypot(s - (cell + 0.2 + 0.6 * pick) * 17.0, d - (pick * 6.1 % 1.0 - 0.5) * 2.4 * lane * 0.6)
    cover = edge(0.33 - radius, blur)
    tone = tone * (1 - cover * (0.55 + 0.2 * np.sin(radius * 60)) * (pick < 0.6))
    return look.asphalt * np.clip(tone, 0.2, 2)[:, None]


def grassland(x: np.ndarray, y: np.ndarray, colour: np.ndarray, noise: Noise, blur: np.ndarray) -> np.ndarray:
    """(N, 3) albedo of grass at x, y metres."""
    value = (
        1
        + 0.22 * noise.at(noise.cloud, x, y, texel=0.09)
        + 0.30 * noise.at(noise.fine, x, y, texel=0.012, blur=blur)
        + 0.2 * noise.at(noise.fine, x, y, texel=0.1, blur=blur)
    )
    dry = np.clip(0.5 + 0.5 * noise.at(noise.cloud, y, x, texel=0.05), 0, 1)[:, None]
    return value[:, None] * (colour * (1 - 0.45 * dry) + 0.45 * dry * np.array([0.20, 0.16, 0.07]))
