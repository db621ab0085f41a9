"""The stones along a road's edges: kerb and gutter, which from a car can look like a line that was painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_perception.world.texture import Noise, edge, joints

LIGHTEST = 0.65  # albedo of new granite; paint is lighter


@dataclass(frozen=True)
class Kerb:
    """width, gutter: metres of stones outside and inside of the road's edge. tone, gutter_tone: their albedo, as a multiple of the
    pavement's. stone: metres from joint to joint. weather: how unevenly they have aged, 0..1. flush: they lie there as well where
    the road has no step.
    """

    width: float = 0.16
    tone: float = 1.15
    gutter: float = 0.0
    gutter_tone: float = 1.0
    stone: float = 1.0
    weather: float = 0.0
    flush: bool = False


def random_kerb(rng: np.random.Generator) -> Kerb:
    """From narrow and dark to broad and nearly as light as paint, half of them with a gutter."""
    gutter = float(rng.uniform(0.12, 0.5)) if rng.random() < 0.5 else 0.0
    return Kerb(float(rng.uniform(0.08, 0.3)), float(rng.uniform(0.6, 2.2)), gutter, float(rng.uniform(0.5, 2.0)),
                float(rng.choice([0.25, 0.5, 1.0, 1.0, 3.0])), float(rng.uniform(0.05, 0.3)), bool(rng.random() < 0.4))


def stones(kerb: Kerb, tone: float, pavement: np.ndarray, s: np.ndarray, d: np.ndarray, noise: Noise, long: np.ndarray) -> np.ndarray:
    """(N, 3) albedo of kerb or gutter stones at road coordinates; long: (N,) metres along the road that a pixel covers."""
    weathered = 1 + kerb.weather * noise.at(noise.cloud, s, d, texel=0.03)
    joint = joints(s, pitch=kerb.stone, width=0.02, blur=long)
    return np.minimum(pavement * tone, LIGHTEST) * (weathered * (1 - 0.4 * joint))[:, None]


def in_gutter(kerb: Kerb, away: np.ndarray, half: float, blur: np.ndarray) -> np.ndarray:
    """(N,) share 0..1 of a pixel that is gutter. away: metres from the centreline; half: of the edge; blur: across, that a pixel covers."""
    return edge(away - (half - kerb.gutter), blur) * (away < half) * (kerb.gutter > 0)
