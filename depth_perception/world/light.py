"""Light: sky, sun, haze, and the camera that turns it into a picture. Linear RGB until `develop`."""

from __future__ import annotations

import cv2
import numpy as np

from depth_perception.world.appearance import Appearance
from depth_perception.world.texture import Noise


def sun_direction(look: Appearance) -> np.ndarray:
    """(3,) float32 unit vector towards the sun, world frame."""
    azimuth, elevation = np.deg2rad(look.sun)
    return np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)], np.float32)


def sun_colour(look: Appearance) -> np.ndarray:
    """(3,) float32 linear light of the unshaded sun."""
    return (look.sunlight * np.array([1.0, 1 - 0.22 * look.sun_warmth, 1 - 0.55 * look.sun_warmth])).astype(np.float32)


def sky(direction: np.ndarray, look: Appearance, noise: Noise) -> np.ndarray:
    """(N, 3) unit directions, world frame -> (N, 3) float32 linear light of the sky there."""
    up = np.clip(direction[:, 2], 0, 1)
    t = np.sqrt(up)[:, None]
    colour = np.float32(look.horizon) * (1 - t) + np.float32(look.zenith) * t
    if look.clouds > 0.02:
        plane = direction[:, :2] / np.maximum(direction[:, 2:], 0.03)
        scale = 0.012 * look.cloud_size
        density = noise.at(noise.cloud, plane[:, 0], plane[:, 1], texel=scale) + 0.35 * noise.at(
            noise.cloud, plane[:, 1], plane[:, 0], texel=0.31 * scale
        )
        cover = np.clip((density + 2.2 * look.clouds - 1.1) * 0.9, 0, 1) * np.clip(up * 14, 0.25, 1)
        bright = 0.95 - 0.18 * np.clip(density, -1, 1.5)
        colour = colour * (1 - 0.9 * cover[:, None]) + (0.9 * cover * bright)[:, None] * (0.75 + 0.25 * np.float32(look.horizon))
    toward = np.clip(direction @ sun_direction(look), 0, 1)
    glow = look.sunlight * (0.22 * toward**12 + 0.6 * toward**180)
    return colour * np.float32(look.sky * min(look.skylight, 1.1)) + glow[:, None] * sun_colour(look) / max(look.sunlight, 0.1)


def lit(
    albedo: np.ndarray,
    gloss: np.ndarray,
    normal: np.ndarray,
    direction: np.ndarray,
    soft: np.ndarray,
    sunlit: np.ndarray,
    open_sky: np.ndarray,
    look: Appearance,
    noise: Noise,
) -> np.ndarray:
    """(N, 3) light that surface points send to the camera.

    normal: (N, 3) towards the viewer; direction: (N, 3) unit, camera to point; soft: (N,) bool, leaves (light passes through);
    sunlit, open_sky: (N,) 0..1.
    """
    sun = sun_direction(look)
    facing = normal @ sun
    facing = np.where(soft, 0.45 + 0.4 * facing, facing)
    ambient = look.skylight * (0.62 + 0.38 * normal[:, 2]) * (0.25 + 0.75 * open_sky)
    sky_tint = 0.5 + 0.5 * np.float32(look.horizon) / max(look.horizon)
    light = ambient[:, None] * sky_tint + (np.clip(facing, 0, 1) * sunlit)[:, None] * sun_colour(look)
    out = albedo * light
    shiny = np.flatnonzero(gloss > 0.01)
    if len(shiny):
        d, n = direction[shiny], normal[shiny]
        cosine = np.clip(-np.einsum("ij,ij->i", d, n), 0, 1)
        mirror = d + 2 * cosine[:, None] * n
        fresnel = gloss[shiny] * (0.05 + 0.75 * (1 - cosine) ** 4)
        seen = sky(mirror, look, noise)
        # Mirrors that look down or along the street see houses and asphalt, not sky.
        seen = np.where(mirror[:, 2:] > 0.05, seen / max(look.sky, 1.0), 0.18 * look.skylight)
        spark = gloss[shiny] * np.clip(mirror @ sun, 0, 1) ** 60 * sunlit[shiny] * 1.2
        out[shiny] = out[shiny] * (1 - fresnel[:, None]) + fresnel[:, None] * seen + spark[:, None] * sun_colour(look)
    return out


def hazed(light: np.ndarray, distance: np.ndarray, look: Appearance) -> np.ndarray:
    """(N, 3) light after `distance` metres of air."""
    clear = np.exp(-distance / look.haze)[:, None].astype(np.float32)
    return light * clear + (1 - clear) * np.float32(look.horizon) * np.float32(0.9 * min(look.sky, 1.6) * min(look.skylight, 1.1))


class Film:
    """The camera: automatic exposure, tone curve, lens and sensor. It remembers its exposure, as cameras do."""

    def __init__(self, look: Appearance, seed: int) -> None:
        self._look, self._rng = look, np.random.default_rng(seed)
        self._gain: float | None = None

    def develop(self, light: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 linear light -> (H, W, 3) uint8 RGB."""
        look, (height, width) = self._look, light.shape[:2]
        metered = float(np.minimum(light[int(0.4 * height) :: 4, ::4].mean(-1), 1.5).mean())
        wanted = look.target**look.gamma / max(metered, 1e-3) * 1.35
        self._gain = wanted if self._gain is None else 0.85 * self._gain + 0.15 * wanted
        gain = np.float32(self._gain) * np.float32([look.white[0], 1.0, look.white[1]])
        picture = light.astype(np.float32) * gain
        if look.vignette > 0:
            y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
            picture *= (1 - look.vignette * (0.6 * x * x + 0.4 * y * y))[..., None]
        np.clip(picture, 0, 1.6, out=picture)
        picture = np.asarray(cv2.pow(picture, 1.0 / look.gamma))
        grey = picture @ np.float32([0.3, 0.59, 0.11])
        picture = grey[..., None] + (picture - grey[..., None]) * np.float32(look.saturation)
        picture = (picture - 0.45) * np.float32(look.contrast) + np.float32(0.45)
        sigma = max(look.blur * width / 1242, 0.25)
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma))
        if look.sharpen > 0:
            picture = picture + np.float32(look.sharpen) * (picture - cv2.GaussianBlur(picture, (0, 0), 1.2))
        picture = picture * 255
        # The noise is drawn once per tile: a fresh picture of it costs more than the rest of the camera.
        tile = self._rng.standard_normal((128, 256), np.float32)
        grain = np.tile(tile, (height // 128 + 1, width // 256 + 2))
        shift = int(self._rng.integers(256))
        picture += np.float32(look.noise) * grain[:height, shift : shift + width, None]
        out = np.clip(picture, 0, 255).astype(np.uint8)
        if look.jpeg:
            coded = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, look.jpeg])[1]
            out = np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1])
        return out
