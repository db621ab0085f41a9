"""Colours of cars, plants and street furniture. Each: points, their (N, 10) styles and noise -> (N, 3) albedo, (N,) gloss."""

from __future__ import annotations

import numpy as np

from depth_perception.world.points import Points
from depth_perception.world.texture import Noise, edge, hashed


def plain(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """One colour, slightly uneven."""
    x, y, z = p.coords.T
    tone = 1 + (0.06 + 0.5 * style[:, 3]) * noise.at(noise.fine, x + y, z, texel=0.02, blur=p.blur)
    return style[:, :3] * tone[:, None], np.full(len(x), 0.03, np.float32)


def paint(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Car paint with seams and dirt."""
    x, _, z = p.coords.T
    colour = style[:, :3].copy()
    dirt = np.clip(0.5 - z, 0, 0.5)[:, None]
    colour = colour * (1 - dirt) + dirt * 0.12
    seam = edge(0.008 - np.abs(np.mod(x + 0.55, 1.05) - 0.525), p.blur) * (np.abs(x) < 1.1)
    colour *= (1 - 0.6 * seam)[:, None]
    return np.where((z < 0.34)[:, None], 0.03, colour), np.where(z < 0.34, 0.05, 0.35 + 0.3 * style[:, 3]).astype(np.float32)


def glass(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Car windows with their pillars."""
    u, v, length = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.2)
    pillar = np.maximum(edge(0.045 - np.minimum(u, 1 - u) * length, blur), edge(0.06 - np.minimum(v * 1.3, 1 - v), blur * 2))
    colour = style[:, :3] * (1 - pillar[:, None]) + style[:, 3:6] * 0.8 * pillar[:, None]
    seats = (np.abs(np.mod(u * length, 0.9) - 0.45) < 0.2) & (v < 0.55)
    colour += (0.03 * seats * (1 - pillar))[:, None]
    return colour, (0.9 - 0.5 * pillar).astype(np.float32)


def wheel(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Tyre and rim."""
    a, b, _ = p.coords.T
    r = np.hypot(a, b)
    spokes = 0.6 + 0.4 * (np.cos(5 * np.arctan2(b, a)) > 0)
    colour = np.where((r < 0.66)[:, None], style[:, 3:4] * spokes[:, None] + np.zeros(3), style[:, :3])
    return colour, np.where(r < 0.66, 0.2, 0.0).astype(np.float32)


def leaf(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Foliage, from the side it is seen from."""
    x, y, z = p.points.T
    steep = np.abs(p.normal)
    top, side = steep[:, 2] > steep[:, :2].max(1), steep[:, 0] > steep[:, 1]
    a, b = np.where(top | ~side, x, y), np.where(top, y, z) + 0.37 * np.where(side, x, y)
    tone = 0.85 + 0.5 * style[:, 3] * (
        noise.at(noise.fine, a, b, texel=0.025, blur=p.blur) + 0.8 * noise.at(noise.fine, b, a, texel=0.12, blur=p.blur)
    )
    warm = 0.10 * noise.at(noise.cloud, a, b, texel=0.03)[:, None] * np.array([1.0, 0.3, 0.0])
    return style[:, :3] * np.clip(tone, 0.12, 2.2)[:, None] * (1 + warm), np.zeros(len(x), np.float32)


def sign(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """The face of a traffic sign."""
    u, v, kind = p.coords.T
    r = np.hypot(u, v)
    red, dark, white = np.array([0.5, 0.02, 0.02]), 0.02, 0.75
    colour = style[:, :3].copy()
    kind = np.rint(kind)
    rim = (kind <= 2) & (r > 0.74)
    colour = np.where(rim[:, None], red, colour)
    bar = (np.abs(v) < 0.16) & (np.abs(u) < 0.6)
    glyph = (np.abs(np.mod(u * 2.2, 1) - 0.5) < 0.28) & (np.abs(v) < 0.32) & (np.abs(u) < 0.5)
    colour = np.where(((kind == 1) & glyph)[:, None], dark, colour)
    colour = np.where(((kind == 2) & (r <= 0.74))[:, None], np.where(bar[:, None], white, red), colour)
    arrow = ((np.abs(u) < 0.1) & (v < 0.3) & (v > -0.6)) | ((v > 0.2) & (np.abs(u) < 0.62 - v))
    colour = np.where(((kind >= 3) & (kind < 5) & arrow)[:, None], np.where(style[:, :1] > 0.4, dark, white), colour)
    rows = (hashed(np.floor((v + 1) * 4)) > 0.4) & (np.abs(u) < 0.7) & (np.abs(np.mod((v + 1) * 4, 1) - 0.5) < 0.25)
    colour = np.where(((kind == 5) & rows)[:, None], np.where(style[:, :1] > 0.4, dark, white), colour)
    return colour, np.full(len(u), 0.05, np.float32)
