"""A first guess of the motion between two images, refined on corners tracked from one to the other and the depth predicted there.

Where a scan shows the plane of the road, corners are also looked for on the strip of road that the car is about to drive, and they give the
step its length: the plane is known to a per cent, the predicted depth of the road to five or ten.

Where a rotation explains most of the picture, the car stands or nearly so, and depth is held to what was predicted (geometry.rest).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_perception.frame import Calibration, check_ranges, ranged
from depth_perception.geometry import camera, pose, rest, road, stored, tracking
from depth_perception.geometry.refine import AGREES, NEAR, Expected, Plane, Refined, refine

# The strip of road ends before what stands on it, for that has a shadow, and its distance is only predicted.
CLEARANCE = 0.8
BESIDE_M = 3.5  # how far to the side road is looked for where something stands ahead; farther out is a pavement


@dataclass(frozen=True)
class Config:
    """Attributes:
    corners: at most so many are tracked.
    min_corners: fewer tracked ones than this refine nothing.
    min_agreement: where less than this share of them agrees with the motion found, they are no corners of one world, and it is dropped.
    max_width: wider images are halved before tracking, pixels.
    pixel, road_pixel: standard deviation of a tracked corner, pixels; on the road, whose look changes faster, it is another.
    road_sigma: relative error of the depth predicted on the road, which carries the length of a step.
    elsewhere_sigma: the same for all else, where depth is only kept from being absurd.
    strip_corners: at most so many are tracked on the strip of road ahead, where a scan shows its plane; 0 leaves scans alone.
    min_strip_corners: fewer tracked ones than this, and the predicted depth of the road has to do.
    strip_pixel, strip_sigma: standard deviation of such a corner, pixels, and of its depth from the plane's, relative.
    height_sigma, tilt_sigma: how well a scan shows the plane: relative error of its distance, and radians.
    rest_share: where a rotation alone explains more than this share of the picture, the car stands or nearly so, and no depth is left free.
    rest_sigma, rest_doubt: there, relative error of the depth predicted off the road, and how many times more such points err than a
        tracked corner, for they err together.
    acceleration: how fast the velocity may change, m/s^2.
    first_rotation, first_translation: standard deviation of the first guess: radians, and a share of its length.
    doubt: points err together, by blur and by what moves among them: the standard deviations they give times this are given out.
    length_sigma: relative error of a step's length that all points share where no scan shows the road.
    """

    corners: int = ranged(600, 50, 5000)
    min_corners: int = ranged(12, 6, 1000)
    min_agreement: float = ranged(0.35, 0, 1)
    max_width: int = ranged(1600, 64, 20000)
    pixel: float = ranged(0.15, 0.01, 10)
    road_pixel: float = ranged(0.4, 0.01, 10)
    road_sigma: float = ranged(0.03, 1e-3, 10)
    elsewhere_sigma: float = ranged(10.0, 1e-3, 100)
    strip_corners: int = ranged(120, 0, 5000)
    min_strip_corners: int = ranged(8, 3, 1000)
    strip_pixel: float = ranged(0.25, 0.01, 10)
    strip_sigma: float = ranged(0.02, 1e-3, 10)
    height_sigma: float = ranged(0.01, 1e-4, 1)
    tilt_sigma: float = ranged(0.001, 1e-5, 1)
    rest_share: float = ranged(0.5, 0, 1)
    rest_sigma: float = ranged(0.5, 1e-3, 100)
    rest_doubt: float = ranged(4.0, 1, 100)
    acceleration: float = ranged(4.0, 0.01, 100)
    first_rotation: float = ranged(0.02, 1e-4, 1)
    first_translation: float = ranged(0.5, 0.01, 10)
    doubt: float = ranged(2.0, 0.1, 100)
    length_sigma: float = ranged(0.04, 0, 1)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class View:
    """One image as it is tracked: grey, its K, the depth predicted for it (h, w), metres, and (3,) n of the road where a scan showed it."""

    grey: np.ndarray
    K: np.ndarray
    depth: np.ndarray
    road: np.ndarray | None = None


class Refinement:
    """`start(view)` with an image that follows on nothing, then `step(view, ...)` image after image; views are made by `view(...)`."""

    def __init__(self, config: Config = Config()) -> None:
        self._config = config
        self.reset()

    def configure(self, config: Config) -> None:
        """Takes another configuration from the next image on."""
        self._config = config

    def reset(self) -> None:
        """Forgets the last image and the velocity."""
        self.start(None)

    def start(self, view: View | None) -> None:
        """An image that follows on nothing."""
        self._before = view
        self._motion: tuple[np.ndarray, np.ndarray, float] | None = None

    def view(self, image: np.ndarray, calibration: Calibration, depth: np.ndarray, road: np.ndarray | None = None) -> View:
        """(H, W, 3) uint8 RGB of this calibration, its depth (h, w) in metres, of any size, and n of the road (`road.in_scan`)."""
        grey = stored.grey(image)
        while grey.shape[1] > self._config.max_width and grey.shape[0] > 1:
            grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
        return View(grey, camera.resize_K(calibration.K, from_size=image.shape[:2], to_size=grey.shape), depth, road)

    def step(self, now: View | None, *, elapsed_s: float, T_previous_now: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The motion since the last view, refined from a first guess `T_previous_now` (4, 4), metres.

        Returns:
            (4, 4) T_previous_now, metres, and its (6, 6) covariance, T exp(error), translation and rotation in axes of the camera now;
            None when too little could be tracked, or images are of two sizes.
        """
        config, before, found = self._config, self._before, None
        if before is not None and now is not None and before.grey.shape == now.grey.shape:
            found = self._refined(before, now, elapsed_s, pose.inverse(T_previous_now))
        self._before, self._motion = now, None
        if found is None:
            return None
        refined, by_plane = found
        # The velocity is filtered by what the points say; what they have in common shows in no residual, and is added for the world.
        self._motion = (refined.T, refined.covariance[:3, :3], elapsed_s)
        covariance = config.doubt**2 * refined.covariance
        moved = refined.T[:3, 3]
        if not by_plane:
            covariance[:3, :3] += config.length_sigma**2 * np.outer(moved, moved)
        return pose.inverse(refined.T), covariance

    def _refined(self, before: View, now: View, elapsed_s: float, T_first: np.ndarray) -> tuple[Refined, bool] | None:
        """The motion, and whether its length is that of a plane shown by a scan."""
        config = self._config
        starts = [T_first]
        if self._motion is not None:
            T_last, _, last_s = self._motion
            starts.append(pose.fraction(T_last, elapsed_s / last_s))
        points = tracking.corners(before.grey, near=round(0.6 * config.corners), far=round(0.4 * config.corners), horizon=before.K[1, 2])
        depth, plane = _sampled(before.depth, points, before.grey.shape), road.fit(before.depth, _K_of(before.depth, before))
        usable = np.isfinite(depth) & (depth > 0)
        points, depth = points[usable], depth[usable]
        if len(points) < config.min_corners:
            return None
        rays = _rays(before.K, points)
        ahead = camera.project(before.K, pose.transform(starts[-1], rays * depth[:, None]))[0].astype(np.float32)
        there, found = tracking.follow(before.grey, now.grey, points, ahead)
        if found.sum() < config.min_corners:
            return None
        rays, depth, seen = rays[found], depth[found], _rays(now.K, there[found])[:, :2]
        on_road = road.on_road(plane, rays, depth)
        pixel = np.where(on_road, config.road_pixel, config.pixel)
        sigma = np.where(on_road, config.road_sigma, config.elsewhere_sigma)
        loose = np.full(len(rays), config.elsewhere_sigma)
        log_depth = np.log(depth)
        resting = self._resting(rays, seen, log_depth, on_road, pixel / now.K[0, 0], elapsed_s)
        if resting is not None:
            return resting, False
        expected = self._expected(T_first, elapsed_s)
        if before.road is not None and config.strip_corners > 0:
            known = Plane.known(before.road, height_log=config.height_sigma, tilt=config.tilt_sigma)
            K_depth = _K_of(before.depth, before)
            free_m = road.free_m(before.road, K_depth, before.depth, road.ahead(before.road, K_depth, starts[-1]))
            strip_rays, strip_seen = self._strip(before, now, before.road, starts[-1], free_m)
            # The strip of road ahead, or with a car on it what road there is beside; the predicted depth of the road has no say.
            beside = on_road & road.within(before.road, rays, starts[-1], half_width_m=BESIDE_M)
            if np.isfinite(free_m):
                beside &= ~road.within(before.road, rays, starts[-1], half_width_m=road.HALF_WIDTH_M)
            for more, held, pixel_more, sigma_more in (
                (len(strip_rays), np.zeros(len(rays), bool), config.strip_pixel, config.strip_sigma),
                (0, beside, config.road_pixel, config.road_sigma),
            ):
                on_plane = np.concatenate([held, np.ones(more, bool)])
                if on_plane.sum() < config.min_strip_corners:
                    continue
                by_plane = refine(
                    starts,
                    np.concatenate([rays, strip_rays[:more]]),
                    np.concatenate([seen, strip_seen[:more]]),
                    np.concatenate([log_depth, np.zeros(more)]),
                    pixel=np.concatenate([pixel, np.full(more, pixel_more)]) / now.K[0, 0],
                    depth_sigma=np.where(on_plane, sigma_more, np.concatenate([loose, np.zeros(more)])),
                    expected=expected,
                    plane=known,
                    on_plane=on_plane,
                )
                # Were it no road, but a car in front and its shadow, it would not move like the rest.
                if min(agreement(by_plane.weight[on_plane]), agreement(by_plane.weight[~on_plane])) >= config.min_agreement:
                    return by_plane, True
        refined = refine(starts, rays, seen, log_depth, pixel=pixel / now.K[0, 0], depth_sigma=sigma, expected=expected)
        return (refined, False) if agreement(refined.weight) >= config.min_agreement else None

    def _resting(
        self, rays: np.ndarray, seen: np.ndarray, log_depth: np.ndarray, on_road: np.ndarray, pixel: np.ndarray, elapsed_s: float
    ) -> Refined | None:
        """The motion where the picture shows no parallax; None where it does.

        No depth is free then, or it would follow what drives by. Held to what was predicted, neighbours err together, so each patch of the
        picture has one say, whatever it is full of, and that a small one.
        """
        config = self._config
        T, stayed = rest.rotation(rays, seen, pixel=pixel)
        if rest.share(stayed, rays) <= config.rest_share:
            return None
        # What is far shows no parallax however fast the car is: then the road tells.
        if rest.share(stayed[on_road], rays[on_road]) < config.min_agreement:
            return None
        votes = rest.votes(rays)
        found = refine(
            [T],
            rays,
            seen,
            log_depth,
            pixel=pixel,
            depth_sigma=np.where(on_road, config.road_sigma, config.rest_sigma),
            expected=self._expected(T, elapsed_s, resting=True),
            say=votes / votes.mean() * np.where(on_road, 1.0, 1 / config.rest_doubt**2),
            narrowing=NEAR,
        )
        return found if agreement(found.weight) >= config.min_agreement else None

    def _strip(self, before: View, now: View, n: np.ndarray, T: np.ndarray, free_m: float) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the strip of the road n ahead, as far as it is free: (M, 3) rays before and (M, 2) x/z, y/z now."""
        outline = road.ahead(n, before.K, T, far_m=float(np.clip(CLEARANCE * free_m, road.NEAR_M, road.FAR_M)))
        points, there = tracking.on_ground(
            before.grey, now.grey, outline, road.homography(n, before.K, T), count=self._config.strip_corners
        )
        rays = _rays(before.K, points)
        clear = road.on_road(n, rays, _sampled(before.depth, points, before.grey.shape), within_log=0.25)
        return rays[clear], _rays(now.K, there)[clear, :2]

    def _expected(self, T_first: np.ndarray, elapsed_s: float, *, resting: bool = False) -> Expected:
        """The rotation of the first guess; the translation of the last step, for a car's velocity changes slowly.

        resting: that the first guess does not go anywhere was seen, not guessed, and is held against the last step.
        """
        config = self._config
        length = float(np.linalg.norm(T_first[:3, 3]))
        information = np.zeros((6, 6))
        information[3:, 3:] = np.eye(3) / config.first_rotation**2
        if self._motion is None or resting:
            information[:3, :3] = np.eye(3) / (config.first_translation * length + 0.05) ** 2
        T = T_first.copy()
        if self._motion is not None:
            T_last, covariance, last_s = self._motion
            share = elapsed_s / last_s
            steady = np.linalg.inv(covariance * share**2 + np.eye(3) * (config.acceleration * elapsed_s**2) ** 2)
            # Two opinions of the translation, or only this one.
            both = information[:3, :3] + steady
            T[:3, 3] = np.linalg.solve(both, information[:3, :3] @ T_first[:3, 3] + steady @ T_last[:3, 3] * share)
            information[:3, :3] = both
        return Expected(T, information)


def agreement(weight: np.ndarray) -> float:
    """Share of points that agree with a motion, by their (N,) weights."""
    return float(np.mean(weight > AGREES)) if len(weight) else 1.0


def _rays(K: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(N, 2) pixels -> (N, 3) float64 directions, z = 1."""
    flat = (pixels - [K[0, 2], K[1, 2]]) / [K[0, 0], K[1, 1]]
    return np.concatenate([flat, np.ones((len(flat), 1))], 1)


def _K_of(depth: np.ndarray, view: View) -> np.ndarray:
    return camera.resize_K(view.K, from_size=view.grey.shape, to_size=depth.shape)


def _sampled(depth: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N,) float64 depth at (N, 2) pixels of an image of `size`; depth is (h, w) of the same view."""
    share = np.array([depth.shape[1] / size[1], depth.shape[0] / size[0]])
    at = ((pixels + 0.5) * share - 0.5).astype(np.float32)
    if len(at) == 0:
        return np.zeros(0)
    values = cv2.remap(
        depth.astype(np.float32), at[None, :, 0].copy(), at[None, :, 1].copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )[0]
    return np.asarray(values, np.float64)
