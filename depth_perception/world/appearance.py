"""Light, weather and the camera's own character: everything that changes a picture without moving anything in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Appearance:
    """How a drive looks.

    Attributes:
        sun: azimuth and elevation, degrees, azimuth from the first heading to the left.
        sunlight, skylight: strengths; sun_warmth: 0 white .. 1 orange.
        zenith, horizon: linear sky colours; sky: brightness of the sky itself against the light that it gives.
        clouds: 0 none .. 1 overcast; cloud_size: relative.
        haze: metres at which two thirds of the contrast are gone.
        target: mean of the picture that the automatic exposure aims at, 0..1.
        gamma, contrast, saturation: the tone curve; white: gain of red and blue against green.
        vignette: darkening in the corners, 0..1; blur: spread of the lens' point, pixels of a 1242-pixel picture;
        sharpen: strength of the camera's sharpening; noise: spread of the pixel noise, 0..255; jpeg: quality 1..100, 0 = none.
    """

    sun: tuple[float, float] = (55.0, 42.0)
    sunlight: float = 2.6
    sun_warmth: float = 0.25
    skylight: float = 0.9
    zenith: tuple[float, float, float] = (0.16, 0.34, 0.72)
    horizon: tuple[float, float, float] = (0.68, 0.80, 0.92)
    sky: float = 1.5
    clouds: float = 0.35
    cloud_size: float = 1.0
    haze: float = 900.0
    target: float = 0.40
    gamma: float = 2.1
    contrast: float = 1.05
    saturation: float = 1.05
    white: tuple[float, float] = (1.0, 1.0)
    vignette: float = 0.12
    blur: float = 0.55
    sharpen: float = 0.3
    noise: float = 1.5
    jpeg: int = 0


def random_appearance(rng: np.random.Generator) -> Appearance:
    """Domain randomisation: hard sun to overcast, haze, dusk, and many cameras."""
    weather = rng.choice(["sun", "sun", "mixed", "overcast", "dusk"])
    azimuth = float(rng.uniform(-180, 180))
    look = {
        "sun": {
            "sun": (azimuth, rng.uniform(18, 65)),
            "sunlight": rng.uniform(1.8, 4.5),
            "skylight": rng.uniform(0.45, 1.1),
            "clouds": rng.uniform(0, 0.5),
            "haze": rng.uniform(400, 2500),
        },
        "mixed": {
            "sun": (azimuth, rng.uniform(20, 60)),
            "sunlight": rng.uniform(0.6, 1.8),
            "skylight": rng.uniform(0.9, 1.4),
            "clouds": rng.uniform(0.4, 0.9),
            "haze": rng.uniform(250, 1500),
        },
        "overcast": {
            "sun": (azimuth, 60.0),
            "sunlight": rng.uniform(0.0, 0.25),
            "skylight": rng.uniform(1.0, 1.5),
            "clouds": 1.0,
            "haze": rng.uniform(150, 900),
            "zenith": (0.62, 0.65, 0.70),
            "horizon": (0.80, 0.82, 0.85),
        },
        "dusk": {
            "sun": (azimuth, rng.uniform(6, 16)),
            "sunlight": rng.uniform(1.0, 3.0),
            "skylight": rng.uniform(0.5, 0.9),
            "clouds": rng.uniform(0, 0.6),
            "haze": rng.uniform(300, 1500),
            "sun_warmth": rng.uniform(0.5, 1.0),
            "zenith": (0.22, 0.30, 0.50),
            "horizon": (0.90, 0.68, 0.50),
        },
    }[str(weather)]
    look.setdefault("sun_warmth", float(rng.uniform(0.0, 0.4)))
    tint = rng.uniform(0.8, 1.2, 3)
    look.setdefault("zenith", tuple(np.array([0.16, 0.34, 0.72]) * tint * rng.uniform(0.7, 1.3)))
    look.setdefault("horizon", tuple(np.clip(np.array([0.68, 0.80, 0.92]) * rng.uniform(0.8, 1.3), 0, 1.4)))
    return Appearance(
        **look,
        sky=float(rng.uniform(1.0, 2.8)),
        cloud_size=float(rng.uniform(0.5, 2.0)),
        target=float(rng.uniform(0.30, 0.50)),
        gamma=float(rng.uniform(1.7, 2.5)),
        contrast=float(rng.uniform(0.85, 1.3)),
        saturation=float(rng.uniform(0.55, 1.35)),
        white=(float(rng.uniform(0.88, 1.14)), float(rng.uniform(0.86, 1.14))),
        vignette=float(rng.uniform(0, 0.35)),
        blur=float(rng.uniform(0.3, 1.1)),
        sharpen=float(rng.uniform(0, 0.8)),
        noise=float(rng.uniform(0.3, 5.0)),
        jpeg=int(rng.choice([0, 0, 0, 60, 80, 92])),
    )


def harsh(look: Appearance, rng: np.random.Generator) -> Appearance:
    """The same weather seen by a poor camera: dim or glaring, flat, tinted, soft, noisy and compressed."""
    return replace(
        look,
        target=float(rng.choice([rng.uniform(0.22, 0.30), rng.uniform(0.50, 0.62)])),
        contrast=float(rng.uniform(0.65, 0.85)),
        saturation=float(rng.uniform(0.2, 0.7)),
        white=(float(rng.uniform(0.72, 1.3)), float(rng.uniform(0.7, 1.3))),
        haze=float(min(look.haze, rng.uniform(150, 500))),
        vignette=float(rng.uniform(0.2, 0.6)),
        blur=float(rng.uniform(0.6, 1.3)),
        sharpen=0.0,
        noise=float(rng.uniform(3.0, 6.0)),
        jpeg=int(rng.choice([0, 35, 50, 65])),
    )
