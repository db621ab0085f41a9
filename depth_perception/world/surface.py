"""The colour of every surface point: linear albedo by material, before any light falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.world.mesh import Material
from depth_perception.world.paint import coverage
from depth_perception.world.street import COVERS, Street
from depth_perception.world.texture import Noise, edge, hashed, joints


@dataclass(frozen=True, eq=False)
class Points:
    """What N rays hit: points (N, 3) world metres, coords (N, 3), normal (N, 3), material (N,), style (N,),
    blur (N,) metres per pixel across the ray, graze (N,) cosine between the ray and the normal."""

    points: np.ndarray
    coords: np.ndarray
    normal: np.ndarray
    material: np.ndarray
    style: np.ndarray
    blur: np.ndarray
    graze: np.ndarray

    def at(self, index: np.ndarray) -> Points:
        """The points of an index."""
        return Points(self.points[index], self.coords[index], self.normal[index], self.material[index], self.style[index], self.blur[index], self.graze[index])


def albedo(hit: Points, street: Street, noise: Noise) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 3) linear albedo, (N,) gloss 0..1 and (N,) uint8 marking class of surface points."""
    n = len(hit.material)
    colour = street.styles[hit.style, :3].copy()
    gloss, kind = np.zeros(n, np.float32), np.zeros(n, np.uint8)
    for material, shade in ((Material.WALL, _wall), (Material.ROOF, _roof), (Material.PLAIN, _plain), (Material.PAINT, _paint), (Material.GLASS, _glass),
                            (Material.WHEEL, _wheel), (Material.LEAF, _leaf), (Material.SIGN, _sign), (Material.MASONRY, _masonry)):
        index = np.flatnonzero(hit.material == material)
        if len(index):
            colour[index], gloss[index] = shade(hit.at(index), street.styles[hit.style[index]], noise)
    index = np.flatnonzero(hit.material == Material.GROUND)
    if len(index):
        colour[index], kind[index] = _ground(hit.at(index), street, noise)
    index = np.flatnonzero(hit.material == Material.FIELD)
    if len(index):
        p = hit.at(index)
        colour[index] = _grass(p.points[:, 0], p.points[:, 1], street.look.grass, noise, p.blur)
    return np.clip(colour, 0.004, 0.95), gloss, kind


def _grass(x: np.ndarray, y: np.ndarray, colour: np.ndarray, noise: Noise, blur: np.ndarray) -> np.ndarray:
    value = 1 + 0.22 * noise.at(noise.cloud, x, y, texel=0.09) + 0.30 * noise.at(noise.fine, x, y, texel=0.012, blur=blur) + 0.2 * noise.at(noise.fine, x, y, texel=0.1, blur=blur)
    dry = np.clip(0.5 + 0.5 * noise.at(noise.cloud, y, x, texel=0.05), 0, 1)[:, None]
    return value[:, None] * (colour * (1 - 0.45 * dry) + 0.45 * dry * np.array([0.20, 0.16, 0.07]))


def _ground(p: Points, street: Street, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
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
    kerb = (away >= road.half) & (away < road.half + 0.16) & ~crossing & (road.kerb > 0)
    walk = (away < road.edge) & ~street_asphalt & ~kerb
    strip = walk & (away > road.half + 0.16) & (away < road.half + look.strip)
    colour = np.empty((len(s), 3), np.float32)

    def fill(mask: np.ndarray, paint) -> None:  # type: ignore[no-untyped-def]
        index = np.flatnonzero(mask)
        if len(index):
            colour[index] = paint(index)

    def asphalt(i: np.ndarray) -> np.ndarray:
        return _asphalt(s[i], d[i], look, road.lane_width, noise, blur[i], long[i])

    def slabs(i: np.ndarray) -> np.ndarray:
        k = look.slab
        joint = np.maximum(joints(s[i], pitch=k, width=0.02, blur=long[i]), joints(d[i] + 0.11, pitch=k, width=0.02, blur=blur[i]))
        tone = 1 + 0.16 * (hashed(np.floor(s[i] / k), np.floor((d[i] + 0.11) / k)) - 0.5) * np.clip(k / long[i], 0, 1)
        tone = tone * (1 + 0.10 * noise.at(noise.cloud, s[i], d[i], texel=0.03) + 0.07 * noise.at(noise.fine, s[i], d[i], texel=0.008, blur=long[i]))
        return look.pavement * (tone * (1 - 0.45 * joint))[:, None]

    def grass(i: np.ndarray) -> np.ndarray:
        return _grass(s[i], d[i], look.grass, noise, long[i])

    def earth(i: np.ndarray) -> np.ndarray:
        tone = 1 + 0.2 * noise.at(noise.cloud, s[i], d[i], texel=0.04) + 0.2 * noise.at(noise.fine, s[i], d[i], texel=0.015, blur=long[i])
        return look.earth * tone[:, None]

    def meadow(i: np.ndarray) -> np.ndarray:
        return grass(i) * [1.5, 1.25, 0.9] * (1 + 0.15 * np.sin(d[i] * 5.0) * np.clip(0.6 / long[i], 0, 1))[:, None]

    fill(street_asphalt, asphalt)
    fill(kerb, lambda i: look.pavement * 1.15 * (1 - 0.4 * joints(s[i], pitch=1.0, width=0.02, blur=long[i]))[:, None])
    fill(walk & ~strip, slabs)
    fill(strip, grass)
    beyond = ~street_asphalt & ~kerb & ~walk
    for k, paint in enumerate((grass, slabs, asphalt, earth, meadow)):
        assert COVERS[k]
        fill(beyond & (cover == k), paint)
    if road.kerb > 0:  # dirt in the gutter
        colour *= (1 - 0.25 * np.exp(-np.abs(away - road.half + 0.1) / 0.12) * (away < road.half) * ~crossing)[:, None]
    kind = np.zeros(len(s), np.uint8)
    near = np.flatnonzero(away < road.half)
    if len(near):
        # On a surface seen at a slant a pixel is long along the view and narrow across it; the road runs along the view.
        kind[near], share = coverage(street.paint, road, s[near], d[near], blur_s=long[near], blur_d=blur[near])
        on = share > 0
        i = near[on]
        worn = noise.at(noise.cloud, s[i], d[i], texel=0.02) * 0.6 + noise.at(noise.fine, s[i], d[i], texel=0.01, blur=long[i]) * 0.6
        left = np.clip(1.25 - 1.1 * street.paint.wear + worn * street.paint.wear - 0.25, 0.12, 1)
        mix = (share[on] * left)[:, None]
        colour[i] = colour[i] * (1 - mix) + street.paint.colour * mix
    return colour, kind


def _asphalt(s: np.ndarray, d: np.ndarray, look, lane: float, noise: Noise, blur: np.ndarray, long: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    tone = 1 + 0.16 * look.stains * noise.at(noise.cloud, s * 0.5, d, texel=0.05)
    tone += 0.35 * look.rough * noise.at(noise.fine, s, d, texel=0.006, blur=long) + 0.12 * noise.at(noise.fine, s, d, texel=0.04, blur=long)
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


def _wall(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    u, v, top = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.15)
    pitch, floor, wide, high, kind, ground = style[:, 3:9].T
    seed = np.floor(style[:, 9] * 1e4)
    colour = style[:, :3] * (1 + 0.10 * noise.at(noise.cloud, u + seed, v, texel=0.04) + 0.05 * noise.at(noise.fine, u, v + seed, texel=0.02, blur=blur))[:, None]
    brick = np.flatnonzero(kind == 1)
    if len(brick):
        row = np.floor(v[brick] / 0.08)
        joint = np.maximum(joints(v[brick], pitch=0.08, width=0.013, blur=blur[brick]), joints(u[brick] + 0.12 * np.mod(row, 2), pitch=0.24, width=0.013, blur=blur[brick]))
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
    colour = colour * (1 - board[:, None]) + board[:, None] * (0.04 + 0.4 * np.stack([hashed(np.floor(u / 9), seed + k) for k in (21, 22, 23)], 1))
    door = edge(0.5 - np.abs(x), blur) * edge(1.05 - np.abs(v - 1.05), blur) * first * (hashed(column, seed + 9) < 0.22) * ~shop
    colour = colour * (1 - door[:, None]) + door[:, None] * (tint * 0.8 + 0.02)
    return colour, (0.75 * inside * ~blind * (1 - door)).astype(np.float32)


def _roof(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    u, v, _ = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.1)
    tile = style[:, 3]
    row = np.floor(v / tile)
    joint = np.maximum(joints(v, pitch=tile, width=0.05, blur=blur), 0.6 * joints(u + 0.5 * tile * np.mod(row, 2), pitch=tile * 0.7, width=0.03, blur=blur))
    tone = 1 + 0.12 * noise.at(noise.cloud, u, v, texel=0.03) + 0.25 * (hashed(row, np.floor(u / tile / 0.7)) - 0.5) * np.clip(tile / blur, 0, 1)
    return style[:, :3] * (tone * (1 - 0.4 * joint))[:, None], np.zeros(len(u), np.float32)


def _plain(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    x, y, z = p.coords.T
    tone = 1 + (0.06 + 0.5 * style[:, 3]) * noise.at(noise.fine, x + y, z, texel=0.02, blur=p.blur)
    return style[:, :3] * tone[:, None], np.full(len(x), 0.03, np.float32)


def _paint(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    x, _, z = p.coords.T
    colour = style[:, :3].copy()
    dirt = np.clip(0.5 - z, 0, 0.5)[:, None]
    colour = colour * (1 - dirt) + dirt * 0.12
    seam = edge(0.008 - np.abs(np.mod(x + 0.55, 1.05) - 0.525), p.blur) * (np.abs(x) < 1.1)
    colour *= (1 - 0.6 * seam)[:, None]
    return np.where((z < 0.34)[:, None], 0.03, colour), np.where(z < 0.34, 0.05, 0.35 + 0.3 * style[:, 3]).astype(np.float32)


def _glass(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    u, v, length = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.2)
    pillar = np.maximum(edge(0.045 - np.minimum(u, 1 - u) * length, blur), edge(0.06 - np.minimum(v * 1.3, 1 - v), blur * 2))
    colour = style[:, :3] * (1 - pillar[:, None]) + style[:, 3:6] * 0.8 * pillar[:, None]
    seats = (np.abs(np.mod(u * length, 0.9) - 0.45) < 0.2) & (v < 0.55)
    colour += (0.03 * seats * (1 - pillar))[:, None]
    return colour, (0.9 - 0.5 * pillar).astype(np.float32)


def _wheel(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    a, b, _ = p.coords.T
    r = np.hypot(a, b)
    spokes = 0.6 + 0.4 * (np.cos(5 * np.arctan2(b, a)) > 0)
    colour = np.where((r < 0.66)[:, None], style[:, 3:4] * spokes[:, None] + np.zeros(3), style[:, :3])
    return colour, np.where(r < 0.66, 0.2, 0.0).astype(np.float32)


def _leaf(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    x, y, z = p.points.T
    steep = np.abs(p.normal)
    top, side = steep[:, 2] > steep[:, :2].max(1), steep[:, 0] > steep[:, 1]
    a, b = np.where(top | ~side, x, y), np.where(top, y, z) + 0.37 * np.where(side, x, y)
    tone = 0.85 + 0.5 * style[:, 3] * (noise.at(noise.fine, a, b, texel=0.025, blur=p.blur) + 0.8 * noise.at(noise.fine, b, a, texel=0.12, blur=p.blur))
    warm = 0.10 * noise.at(noise.cloud, a, b, texel=0.03)[:, None] * np.array([1.0, 0.3, 0.0])
    return style[:, :3] * np.clip(tone, 0.12, 2.2)[:, None] * (1 + warm), np.zeros(len(x), np.float32)


def _sign(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
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


def _masonry(p: Points, style: np.ndarray, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    u, v, _ = p.coords.T
    blur = p.blur / np.maximum(p.graze, 0.15)
    kind, pitch = style[:, 3], np.maximum(style[:, 4], 0.05)
    tone = 1 + 0.15 * noise.at(noise.cloud, p.points[:, 0] + p.points[:, 1], v, texel=0.03) + 0.1 * noise.at(noise.fine, u, v, texel=0.015, blur=blur)
    row = np.floor(v / 0.08)
    shift = u + 0.12 * np.mod(row, 2)
    brick = np.maximum(joints(v, pitch=0.08, width=0.013, blur=blur), joints(shift, pitch=0.24, width=0.013, blur=blur))
    shade = (0.85 + 0.3 * hashed(row, np.floor(shift / 0.24)) - 1) * np.clip(0.12 / blur, 0, 1) + 1
    plank = joints(u, pitch=pitch, width=0.2 * pitch, blur=blur)
    slab = joints(u, pitch=np.maximum(pitch, 1.0), width=0.03, blur=blur)
    tone = tone * np.where(kind == 0, shade * (1 - 0.25 * brick), np.where(kind == 1, 1 - 0.65 * plank, 1 - 0.3 * slab))
    return style[:, :3] * tone[:, None], np.zeros(len(u), np.float32)
