"""What a surface mirrors: how much of its light, and which, by a ray that leaves it again. One bounce."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depth_perception.world import light
from depth_perception.world.appearance import Appearance
from depth_perception.world.flicker import FlickerAt
from depth_perception.world.ground_colour import wetness
from depth_perception.world.mesh import Material
from depth_perception.world.points import Points
from depth_perception.world.street import Street
from depth_perception.world.surface import albedo
from depth_perception.world.texture import Noise
from depth_perception.world.tracer import Tracer

LEAST = 0.04  # share of light below which no ray is worth it
WATER = 0.02
# Share mirrored when looked at straight on, per unit of gloss.
STRAIGHT = {Material.PAINT: 0.14, Material.GLASS: 0.11, Material.WALL: 0.13, Material.CURTAIN: 0.35}


def reflectance(seen: Points, gloss: np.ndarray, street: Street, noise: Noise) -> np.ndarray:
    """(N,) share 0..1 of the mirrored light in what surface points send back (Schlick 1994)."""
    slant = (1 - np.clip(seen.graze, 0, 1)) ** 5
    share = np.zeros(len(gloss), np.float32)
    for material, straight in STRAIGHT.items():
        on = seen.material == material
        share[on] = (np.minimum(straight * gloss[on], 1) + (1 - straight) * slant[on]) * (gloss[on] > 0.2)
    road = np.flatnonzero((seen.material == Material.GROUND) & (seen.normal[:, 2] > 0.9))
    wet = wetness(street, seen.coords[road, 0], seen.coords[road, 1], noise)
    share[road] = wet * (WATER + (1 - WATER) * slant[road])
    return np.where(share > LEAST, share, 0).astype(np.float32)


def mirrored(
    tracer: Tracer,
    street: Street,
    seen: Points,
    direction: np.ndarray,
    look: Appearance,
    noise: Noise,
    *,
    pixel: float,
    flicker: FlickerAt | None = None,
) -> np.ndarray:
    """(N, 3) light that reaches surface points from where they mirror; direction: (N, 3) unit, camera to point; pixel: radians."""
    cosine = -np.einsum("ij,ij->i", direction, seen.normal)
    away = direction + 2 * cosine[:, None] * seen.normal
    out = light.sky(away, look, noise)
    hits = tracer.cast(seen.points + np.float32(0.005) * seen.normal, away)
    # The image of a thing is as coarse as the whole way of the light.
    there = hits.seen(away, pixel)
    there = replace(there, blur=there.blur + seen.blur[hits.index])
    colour, gloss, _ = albedo(there, street, noise)
    sunlit = ~tracer.blocked(hits.points + np.float32(0.03) * hits.normal, light.sun_direction(look), 150.0)
    open_sky = np.ones(len(colour), np.float32)
    soft = hits.material == Material.LEAF
    shaded = light.lit(colour, gloss, hits.normal, away[hits.index], soft, sunlit.astype(np.float32), open_sky, look, noise)
    if flicker is not None:
        shaded *= flicker.factor(hits.points)[:, None]
    out[hits.index] = light.hazed(shaded, hits.t[hits.index], look)
    return out
