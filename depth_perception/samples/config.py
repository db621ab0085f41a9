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

    storage_height: int = 176
    max_points: int = 20000
    max_gap_s: float = 0.35
    leave_end: float = ranged(0.0, 0, 0.9)
    min_motion_m: float = ranged(0.05, 0, 10)
    min_flow_px: float = ranged(0.25, 0, 100)
    min_contrast: float = ranged(3.0, 0, 128)
    zoom: float = 0.6
    zoom_share: float = 0.5
    full_zoom: float = 0.92
    aspect: float = 0.06
    flip: float = 0.5
    colour: float = 0.8
    pair_colour: float = 0.3
    brightness: float = 0.25
    contrast: float = 0.3
    gamma: float = 0.3
    saturation: float = 0.6
    hue_deg: float = 25.0
    cast: float = 0.12
    grey: float = 0.1
    exposure: float = 0.04
    light: float = 0.5
    light_share: float = 0.4
    blur: float = 0.3
    noise: float = 8.0
    noise_share: float = 0.4
    views: int = ranged(0, 0, 1e6)  # type: ignore[assignment]
    by_stretch: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
