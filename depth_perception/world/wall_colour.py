"""Colours of buildings and walls. Each: points, their (N, 10) styles and noise -> (N, 3) albedo, (N,) gloss."""

from __future__ import annotations

import numpy as np

from depth_perception.world.points import Points
from depth_perception.world.texture import Noise, edge, hashed, joints


def wall(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """A facade: plaster, brick or panels, windows, doors, shop fronts."""
    u, v, top = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.15)
    pitch, floor, wide, high, kind, ground = style[:, 3:9].T
    seed = np.floor(style[:, 9] * 1e4)
    colour = (
        style[:, :3]
        * (1 + 0.10 * noise.at(noise.cloud, u + seed, v, texel=0.04) + 0.05 * noise.at(noise.fine, u, v + seed, texel=0.02, blur=blur))[
            :, None
        ]
    )
    brick = np.flatnonzero(kind == 1)
    if len(brick):
        row = np.floor(v[brick] / 0.08)
        joint = np.maximum(
            joints(v[brick], pitch=0.08, width=0.013, blur=blur[brick]),
            joints(u[brick] + 0.12 * np.mod(row, 2), pitch=0.24, width=0.013, blur=blur[brick]),
        )
        tone = 0.8 + 0.4 * hashed(row, np.floor((u[brick] + 0.12 * np.mod(row, 2)) / 0.24), seed[brick])
        fade = np.clip(0.12 / blur[brick], 0, 1)
        colour[brick] *= (1 + (tone - 1) * fade)[:, None]
        colour[brick] = colour[brick] * (1 - 0.6 * joint)[:, None] + 0.6 * joint[:, None] * 0.38
    panel = np.flatnonzero((kind == 2) | (kind == 3))
    if len(panel):
        k = np.where(kind[panel] == 2, floor[panel], 0.22)
        colour[panel] *= (1 - 0.25 * joints(v[panel], pitch=k, width=0.03, blur=blur[panel]))[:, None]
    colour *= (1 - 0.35 * np.exp(-np.maximum(v, 0) / 0.35) * (seed % 3 != 0))[:, None]  # a darker plinth
    storey = np.floor(v / floor)
    first = storey <= 0
    shop = first & (ground == 1)
    column = np.floor(u / pitch)
    shop_pitch = pitch * 1.6
    column = np.where(shop, np.floor(u / shop_pitch), column)
    x = np.where(shop, u - (column + 0.5) * shop_pitch, u - (column + 0.5) * pitch)
    half_w = np.where(shop, 0.42 * shop_pitch, 0.5 * wide * pitch)
    y = v - (storey + 0.52) * floor
    half_h = np.where(shop, 0.38 * floor, 0.5 * high * floor)
    pick = hashed(column, storey, seed)
    exists = (pick < np.where(ground == 2, 0.55, 0.94)) & ((storey + 1) * floor < top + 0.2) & (v > 0) & (p.graze > -1)
    exists &= ~(first & (ground == 2) & (pick > 0.2))
    inside = edge(half_w - np.abs(x), blur) * edge(half_h - np.abs(y), blur) * exists
    frame = edge(half_w + 0.09 - np.abs(x), blur) * edge(half_h + 0.09 - np.abs(y), blur) * exists
    trim = np.where(hashed(seed, seed + 1) < 0.6, 0.7, 0.15)[:, None]
    colour = colour * (1 - 0.85 * frame[:, None]) + 0.85 * frame[:, None] * trim
    shutters = (hashed(seed, seed + 5) < 0.25) & ~shop
    flap = edge(0.35 - np.abs(np.abs(x) - half_w - 0.42), blur) * edge(half_h - np.abs(y), blur) * exists * shutters
    tint = np.stack([hashed(seed, seed + k) for k in (11, 12, 13)], 1) * 0.3 + 0.03
    tint = 0.4 * tint + 0.6 * tint.mean(1, keepdims=True)
    colour = colour * (1 - flap[:, None]) + flap[:, None] * tint
    pane = np.where(pick < 0.2, 0.32, np.where(pick < 0.5, 0.09, 0.03))  # curtain, half light, dark room
    pane = pane + 0.1 * (edge(0.02 - np.abs(x), blur) + edge(0.02 - np.abs(y - 0.2 * half_h), blur)) * ~shop
    blind = (y > half_h * (1 - 1.6 * hashed(storey, column, seed + 3))) & (pick > 0.55) & (pick < 0.8)
    pane = np.where(blind, 0.42, pane)
    colour = colour * (1 - inside[:, None]) + inside[:, None] * pane[:, None] * [1, 1, 1.06]
    board = edge(0.28 - np.abs(v - floor * 1.02), blur) * (ground == 1)
    colour = colour * (1 - board[:, None]) + board[:, None] * (
        0.04 + 0.4 * np.stack([hashed(np.floor(u / 9), seed + k) for k in (21, 22, 23)], 1)
    )
    door = edge(0.5 - np.abs(x), blur) * edge(1.05 - np.abs(v - 1.05), blur) * first * (hashed(column, seed + 9) < 0.22) * ~shop
    colour = colour * (1 - door[:, None]) + door[:, None] * (tint * 0.8 + 0.02)
    return colour, (0.75 * inside * ~blind * (1 - door)).astype(np.float32)


def roof(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Tiles."""
    u, v, _ = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.1)
    tile = style[:, 3]
    row = np.floor(v / tile)
    joint = np.maximum(
        joints(v, pitch=tile, width=0.05, blur=blur), 0.6 * joints(u + 0.5 * tile * np.mod(row, 2), pitch=tile * 0.7, width=0.03, blur=blur)
    )
    tone = (
        1
        + 0.12 * noise.at(noise.cloud, u, v, texel=0.03)
        + 0.25 * (hashed(row, np.floor(u / tile / 0.7)) - 0.5) * np.clip(tile / blur, 0, 1)
    )
    return style[:, :3] * (tone * (1 - 0.4 * joint))[:, None], np.zeros(len(u), np.float32)


def masonry(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Bricks, planks or concrete slabs."""
    u, v, _ = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.15)
    kind, pitch = style[:, 3], np.maximum(style[:, 4], 0.05)
    tone = (
        1
        + 0.15 * noise.at(noise.cloud, p.points[:, 0] + p.points[:, 1], v, texel=0.03)
        + 0.1 * noise.at(noise.fine, u, v, texel=0.015, blur=blur)
    )
    row = np.floor(v / 0.08)
    shift = u + 0.12 * np.mod(row, 2)
    brick = np.maximum(joints(v, pitch=0.08, width=0.013, blur=blur), joints(shift, pitch=0.24, width=0.013, blur=blur))
    shade = (0.85 + 0.3 * hashed(row, np.floor(shift / 0.24)) - 1) * np.clip(0.12 / blur, 0, 1) + 1
    plank = joints(u, pitch=pitch, width=0.2 * pitch, blur=blur)
    slab = joints(u, pitch=np.maximum(pitch, 1.0), width=0.03, blur=blur)
    tone = tone * np.where(kind == 0, shade * (1 - 0.25 * brick), np.where(kind == 1, 1 - 0.65 * plank, 1 - 0.3 * slab))
    return style[:, :3] * tone[:, None], np.zeros(len(u), np.float32)


def bare(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """One colour: no joints, no grain, no window."""
    return style[:, :3].copy(), np.zeros(len(style), np.float32)


def curtain(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """A facade of coated glass between thin posts and floors."""
    u, v, _ = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.15)
    frame = np.maximum(joints(u, pitch=style[:, 3], width=0.06, blur=blur), joints(v, pitch=style[:, 4], width=0.12, blur=blur))
    return style[:, :3] * (1 - frame[:, None]) + 0.25 * frame[:, None], (1 - frame).astype(np.float32)
