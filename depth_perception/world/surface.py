"""The colour of every surface point: linear albedo by material, before any light falls on it."""

from __future__ import annotations

import numpy as np

from depth_perception.world import thing_colour, wall_colour
from depth_perception.world.ground_colour import grassland, ground
from depth_perception.world.livery import livery_colour
from depth_perception.world.mesh import Material
from depth_perception.world.points import Points
from depth_perception.world.street import Street
from depth_perception.world.texture import Noise

SHADES = {
    Material.WALL: wall_colour.wall,
    Material.ROOF: wall_colour.roof,
    Material.MASONRY: wall_colour.masonry,
    Material.PLAIN: thing_colour.plain,
    Material.PAINT: thing_colour.paint,
    Material.GLASS: thing_colour.glass,
    Material.WHEEL: thing_colour.wheel,
    Material.LEAF: thing_colour.leaf,
    Material.SIGN: thing_colour.sign,
    Material.BARE: wall_colour.bare,
    Material.CURTAIN: wall_colour.curtain,
    Material.LIVERY: livery_colour,
    Material.DRUM: livery_colour,
}


def albedo(hit: Points, street: Street, noise: Noise) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 3) linear albedo, (N,) gloss 0..1 and (N,) uint8 marking class of surface points."""
    n = len(hit.material)
    colour = street.styles[hit.style, :3].copy()
    gloss, kind = np.zeros(n, np.float32), np.zeros(n, np.uint8)
    for material, shade in SHADES.items():
        index = np.flatnonzero(hit.material == material)
        if len(index):
            colour[index], gloss[index] = shade(hit.at(index), street.styles[hit.style[index]], noise)
    index = np.flatnonzero(hit.material == Material.GROUND)
    if len(index):
        colour[index], kind[index] = ground(hit.at(index), street, noise)
    index = np.flatnonzero(hit.material == Material.FIELD)
    if len(index):
        p = hit.at(index)
        colour[index] = grassland(p.points[:, 0], p.points[:, 1], street.look.grass, noise, p.blur)
    return np.clip(colour, 0.004, 0.95), gloss, kind
