"""Light that changes while the car drives by: exposure that hunts and jumps, shade and spots of light that wander."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depth_perception.geometry import pose
from depth_perception.world.appearance import Appearance
from depth_perception.world.light import sun_direction
from depth_perception.world.texture import Noise

NOTICEABLE = 1.2  # ratio of linear light from image to image that counts as flicker: about a tenth in the picture
LAMPS = np.array([[3.6, 0.6, 0.7], [3.6, -0.6, 0.7]])  # where the car's lamps sit, body frame, metres


class Flicker:
    """One drive's changes of light, a function of place and time.

    Global, as stops: an automatic exposure that hunts after a jump, sun between trees, the edges of tunnels. Local, as factors at a place:
    the shade of leaves in the wind and of hurrying clouds, the car's own pulsing lamps, and spots of light that glide along the road.
    """

    def __init__(
        self, rng: np.random.Generator, look: Appearance, noise: Noise, T_world_base: Callable[[float], np.ndarray], *, seconds: float
    ) -> None:
        self._noise, self._pose = noise, T_world_base
        sun = sun_direction(look)
        self._slope = sun[:2] / max(float(sun[2]), 0.5)
        # Shade takes away the sun and leaves the sky; an overcast sky hides less, but thick clouds do hide it.
        self._shade = float(np.clip(look.sunlight / (look.sunlight + look.skylight), 0.45, 0.75))
        turn = rng.uniform(0, 2 * np.pi, 2)
        self._cloud_speed = rng.uniform(14, 22) * np.array([np.cos(turn[0]), np.sin(turn[0])])
        self._leaf_speed = rng.uniform(1.0, 3.0) * np.array([np.cos(turn[1]), np.sin(turn[1])])
        self._sway = rng.uniform(0.15, 0.4), rng.uniform(0.8, 1.6)
        self._pulse = rng.uniform(0.8, 2.0), rng.uniform(0, 6.28), rng.uniform(0.5, 1.0)
        self._spots = [
            tuple(float(rng.uniform(*span)) for span in ((0, 40), (-14, -6), (-5, 5), (0, 2), (1.0, 2.2), (0.9, 2.0))) for _ in range(5)
        ]
        self._exposure = _exposure(rng, seconds)

    def stops(self, t: float) -> float:
        """How much more (or less) light reaches the film at t seconds, powers of two."""
        return float(np.interp(t, *self._exposure))

    def at(self, points: np.ndarray, t: float) -> np.ndarray:
        """(N,) float32 factors on the light at (N, 3) places, world frame, metres."""
        x, y = (points[:, k] - points[:, 2] * self._slope[k] for k in (0, 1))
        cloud = self._patches(x, y, self._cloud_speed * t, texel=0.16, level=1.3)
        reach, hertz = self._sway
        leaves = self._patches(x, y, self._leaf_speed * t + reach * np.sin(2 * np.pi * hertz * t), texel=0.035, level=0.8)
        crowns = self._patches(x, y, np.zeros(2), texel=0.11, level=0.7)
        factor = (1 - self._shade * cloud) * (1 - self._shade * leaves * crowns)
        T_base_world = pose.inverse(self._pose(t))
        local = pose.transform(T_base_world, points.astype(np.float64))
        return (factor * self._beams(local, t) * self._glides(local, t)).astype(np.float32)

    def instant(self, t: float, *, step: float) -> FlickerAt:
        """The flicker of the image at t seconds, the images being `step` seconds apart."""
        return FlickerAt(self, t, step)

    def _patches(self, x: np.ndarray, y: np.ndarray, shift: np.ndarray, *, texel: float, level: float) -> np.ndarray:
        return np.clip(0.5 + 2.0 * (self._noise.at(self._noise.cloud, x - shift[0], y - shift[1], texel=texel) - level), 0, 1)

    def _beams(self, local: np.ndarray, t: float) -> np.ndarray:
        hertz, phase, strength = self._pulse
        light = np.zeros(len(local))
        for lamp in LAMPS:
            away = local - lamp
            far = np.linalg.norm(away, axis=1)
            sideways = np.hypot(away[:, 1] / 0.22, (away[:, 2] + 0.05 * away[:, 0]) / 0.10) / np.maximum(away[:, 0], 0.1)
            light += (away[:, 0] > 0.1) * np.exp(-0.5 * sideways**2) / (1 + (far / 18) ** 2)
        return 1 + strength * (0.5 + 0.5 * np.sin(2 * np.pi * hertz * t + phase)) * light

    def _glides(self, local: np.ndarray, t: float) -> np.ndarray:
        light = np.zeros(len(local))
        for start, speed, side, height, size, strength in self._spots:
            centre = np.array([4.0 + np.mod(start + speed * t, 40.0), side, height])
            light += strength * np.exp(-0.5 * (((local - centre) / size) ** 2).sum(1))
        return 1 + light


@dataclass(frozen=True, eq=False)
class FlickerAt:
    """Flicker at one image. t: its time, seconds; step: seconds to the image before and the one after."""

    flicker: Flicker
    t: float
    step: float

    def factor(self, points: np.ndarray) -> np.ndarray:
        """(N,) float32 factors on the light at (N, 3) places, world frame, metres."""
        return self.flicker.at(points, self.t)

    def noticeable(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool: whether the light there is clearly another one at the image before or after."""
        before, now, after = (np.log(self.flicker.at(points, self.t + way)) for way in (-self.step, 0.0, self.step))
        return np.maximum(np.abs(now - before), np.abs(now - after)) > np.log(NOTICEABLE)


def _exposure(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and stops."""
    t = np.arange(-1.0, seconds + 1.0, 0.01)
    stops = np.zeros(len(t))
    at = rng.uniform(0, 1.0)
    while at < seconds:  # hunting after a jump
        after = np.maximum(t - at, 0)
        stops += rng.uniform(0.25, 0.6) * np.exp(-after / 0.6) * np.sin(2 * np.pi * rng.uniform(1.2, 2.5) * after)
        at += rng.uniform(1.2, 3.0)
    k = 0
    while k < len(t):  # sun between trees
        n = int(100 * rng.uniform(0.3, 1.2))
        stops[k : k + n] += rng.uniform(-0.35, 0.35)
        k += n
    for _ in range(1 + int(seconds / 8)):  # under a bridge and out again
        begin, long = rng.uniform(0, seconds), rng.uniform(0.4, 1.0)
        stops -= rng.uniform(0.6, 1.1) * np.clip(np.minimum(t - begin, begin + long - t) / 0.1, 0, 1)
    return t, stops
