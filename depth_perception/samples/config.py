"""What is kept of a drive, and what a random view of it looks like."""

from __future__ import annotations

from dataclasses import dataclass

from depth_perception.frame import check_ranges, ranged


@dataclass(frozen=True)
class SampleConfig:
    """Which windows of a drive are used, and what a random view of one looks like.

    min_motion_m: a window whose camera moves less than this towards both neighbours stands still and is dropped (0 keeps all); the
    motion is the bag's odometry where given, else measured by LiDAR points followed through the images. min_flow_px: the same where
    neither says anything: the median shift of corners, pixels of the stored image. min_contrast: an image whose grey levels deviate
    by less (of 255) shows nothing (a black or covered camera), and its windows are dropped.
    leave_end: this share of every bag's time, its end, is not even read: somebody else scores on it.
    zoom: smallest share of the view that is cut out; it teaches other focal lengths. zoom_share: how many views zoom at all; the
    others keep at least `full_zoom` of the view. aspect: random stretch. colour, pair_colour: how many views (windows with
    neighbours) are recoloured at all; motion is learned from what stays the same, so those are spared. The colour ranges are
    half-widths around 1 (or 0).
    views: each window is shown in so many random views, in turn, and what is computed of a view may be kept; 0: a new one every time.
    by_stretch: every bag is cut into as many stretches as a batch has places, and each place draws from its own stretches alone. A
    process of several then keeps only the stretches of its places in memory; without it, each keeps everything.
    """

    storage_height: int = ranged(176, 16, 4096)  # type: ignore[assignment]
    max_points: int = ranged(20000, 1, 1e9)  # type: ignore[assignment]
    max_gap_s: float = ranged(0.35, 0.001, 60)
    leave_end: float = ranged(0.0, 0, 0.9)
    min_motion_m: float = ranged(0.05, 0, 10)
    min_flow_px: float = ranged(0.25, 0, 100)
    min_contrast: float = ranged(3.0, 0, 128)
    zoom: float = ranged(0.6, 0.05, 1)
    zoom_share: float = ranged(0.5, 0, 1)
    full_zoom: float = ranged(0.92, 0.05, 1)
    aspect: float = ranged(0.06, 0, 1)
    flip: float = ranged(0.5, 0, 1)
    colour: float = ranged(0.8, 0, 1)
    pair_colour: float = ranged(0.3, 0, 1)
    brightness: float = ranged(0.25, 0, 3)
    contrast: float = ranged(0.3, 0, 3)
    gamma: float = ranged(0.3, 0, 3)
    saturation: float = ranged(0.6, 0, 3)
    hue_deg: float = ranged(25.0, 0, 180)
    cast: float = ranged(0.12, 0, 3)
    grey: float = ranged(0.1, 0, 1)
    exposure: float = ranged(0.04, 0, 3)
    light: float = ranged(0.5, 0, 3)
    light_share: float = ranged(0.4, 0, 1)
    blur: float = ranged(0.3, 0, 1)
    noise: float = ranged(8.0, 0, 255)
    noise_share: float = ranged(0.4, 0, 1)
    views: int = ranged(0, 0, 1e6)  # type: ignore[assignment]
    by_stretch: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
