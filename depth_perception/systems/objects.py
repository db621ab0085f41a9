"""Objects: an image, a scan, or both -> boxes in the body frame (S3 [0005]-[0010]), by the network that serves what has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import cv2
import numpy as np

from depth_perception.frame import BadInput, Calibration, Frame, Scan, check_ranges, ranged
from depth_perception.geometry import boxes as boxes3d
from depth_perception.geometry import frustum, ground, lidar, pillars, pose
from depth_perception.geometry.boxes import Box3D
from depth_perception.geometry.grid import Grid
from depth_perception.geometry.polar import polar
from depth_perception.systems.network_input import Prepare, focal_ratio, prepare
from depth_perception.systems.odometry import T_BODY_OPTICAL

Infer = Callable[..., dict[str, np.ndarray]]
MODALITIES = ("both", "image", "cloud")
# Two of a class nearer than this, from middle to middle, are one: half the width of such a thing, or little more.
APART_M = {"car": 1.5, "truck": 2.0, "pedestrian": 0.4, "cyclist": 0.6}
NEEDS = {"both": "an image and a scan", "image": "an image", "cloud": "a scan"}
SAYS = {
    "both": "objects come from image and cloud",
    "image": "objects come from the image alone",
    "cloud": "objects come from the cloud alone",
}


@dataclass(frozen=True)
class Config:
    """Attributes:
    modality: what objects are found in: auto: in both where both are there and the model has a network for it, else in what is there.
    min_score: less sure ones are left out.
    max_objects: the surest so many stay.
    max_scan_age_s: a scan farther from the image in time does not count: the LiDAR is silent.
    max_image_age_s: after so long without an image the camera is silent, and scans are looked at by themselves.
    ground_m: z of the road in the body frame, where no scan has shown it yet, metres.
    """

    modality: Literal["auto", "both", "image", "cloud"] = "auto"
    min_score: float = ranged(0.3, 0.001, 1)
    max_objects: int = ranged(100, 1, 1000)
    max_scan_age_s: float = ranged(0.25, 0.01, 10)
    max_image_age_s: float = ranged(0.3, 0.01, 10)
    ground_m: float = ranged(0.0, -10, 10)

    def __post_init__(self) -> None:
        if self.modality not in ("auto", *MODALITIES):
            raise BadInput(f"objects modality: wanted auto, {', '.join(MODALITIES)}, got {self.modality!r}")
        check_ranges(self)


@dataclass(frozen=True, eq=False)
class ObjectsOutput:
    """Attributes:
    boxes: the surest first, body frame.
    modality: both, image or cloud: what they were found in.
    said: sentences on what has changed since the last output: a sensor that has fallen silent, or is back; and, the first time, that
        nobody knows how high the camera stands over the road.
    features: (C, R, S) float32 the network's map from above, on `grid`, whose body is `T_base_view`'s view.
    ground: (3,) plane of the road in the body frame, as a scan shows it or has shown it (geometry.ground).
    calibration: of the camera, on the body that the boxes are in: its own where nobody knows its place.
    timing_ms: pre, engine, post.
    """

    stamp_ns: int
    boxes: tuple[Box3D, ...]
    modality: str
    said: tuple[str, ...]
    features: np.ndarray
    grid: Grid
    T_base_view: np.ndarray
    ground: np.ndarray
    calibration: Calibration
    timing_ms: dict[str, float] = field(default_factory=dict)

    @property
    def base_frame(self) -> str:
        """Name of the body frame."""
        return self.calibration.base_frame

    def feature_points(self) -> np.ndarray:
        """(R * S, 3 + C) float32: x, y, z on the road of each cell's middle, metres, body frame, and its features."""
        centres = self.grid.centres().reshape(-1, 2)
        points = pose.transform(self.T_base_view, np.column_stack([centres, np.zeros(len(centres), np.float32)]))
        points[:, 2] = ground.level(self.ground, points)
        return np.column_stack([points, self.features.reshape(len(self.features), -1).T]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Network:
    """A network and what its manifest says of it."""

    infer: Infer
    grid: Grid
    depths: np.ndarray
    classes: tuple[str, ...]
    inputs: dict[str, list[int]]
    camera_m: float | None  # how high the cameras stood over the road that it learned from

    @property
    def sees_image(self) -> bool:
        return "image" in self.inputs

    @property
    def sees_cloud(self) -> bool:
        return "pillars" in self.inputs


class Objects:
    """`step(frame)`: boxes of what the frame holds; `step_scan(scan, calibration)` while the camera is silent.

    Args:
        infers: some of both, image and cloud -> what answers as an Engine does, when called with the inputs that its manifest lists
            (image, polar, heights, pillars): `heat` (1, K, R, S) 0..1, `boxes` (1, 8, R, S) as of geometry.boxes.encode, `features`
            (1, C, R, S).
        described: network name -> its entry in the manifest: config (grid, depths, classes), inputs, and camera_m, metres, where it is
            known: how high the cameras stood over the road that it learned from.
        height, width: of the image as the networks see it. canonical_focal_px: see `network_input.focal_ratio`.
        prepare: `network_input.prepare`, or what does the same elsewhere.
    Raises:
        BadInput: networks that are none of objects.
    """

    def __init__(
        self,
        infers: Mapping[str, Infer],
        described: Mapping[str, Mapping[str, Any]],
        *,
        height: int,
        width: int,
        canonical_focal_px: float,
        config: Config = Config(),
        prepare: Prepare = prepare,
    ) -> None:
        self._config = config
        self.use(infers, described, height=height, width=width, canonical_focal_px=canonical_focal_px, prepare=prepare)

    def use(
        self,
        infers: Mapping[str, Infer],
        described: Mapping[str, Mapping[str, Any]],
        *,
        height: int,
        width: int,
        canonical_focal_px: float,
        prepare: Prepare = prepare,
    ) -> None:
        """Takes other networks, from the next frame on. Raises BadInput, and keeps those it has."""
        if not infers or set(infers) - set(MODALITIES):
            raise BadInput(f"objects: wanted a model with networks named {', '.join(MODALITIES)}, got {', '.join(infers) or 'none'}")
        networks = {name: _network(name, infer, described[name]) for name, infer in infers.items()}
        self._networks, self._prepare = networks, prepare
        self._height, self._width, self._canonical_focal_px = height, width, canonical_focal_px
        self.reset()

    def configure(self, config: Config) -> None:
        """Takes another configuration from the next frame on."""
        self._config = config

    def reset(self) -> None:
        """As if nothing had been seen."""
        self._ground: np.ndarray | None = None
        self._last: str | None = None
        self._road_said = False
        self._polar: dict[str, tuple[Calibration, np.ndarray]] = {}

    @property
    def modalities(self) -> tuple[str, ...]:
        """What this model has networks for."""
        return tuple(self._networks)

    def step(self, frame: Frame, network_input: np.ndarray | None = None) -> ObjectsOutput:
        """One image and, where it has one, its scan. network_input: the image as `prepare` made it for another system of this size.

        Raises BadInput when no network serves what is there.
        """
        calibration, T_view_base = _view(frame.calibration)
        # A network of the image alone asks a scan, too, where the road is.
        points, silent = self._points(frame.scan, calibration, frame.stamp_ns)
        if not self._wants_cloud():
            silent = ""
        placed = frame.calibration.T_base_camera is not None
        return self._found(frame.stamp_ns, calibration, T_view_base, frame.image, points, silent, network_input, placed=placed)

    def step_scan(self, scan: Scan, calibration: Calibration) -> ObjectsOutput:
        """One scan without an image; calibration: the camera's, for where the LiDAR stands. Raises BadInput like `step`."""
        calibration, T_view_base = _view(calibration)
        points, why = self._points(scan, calibration, scan.stamp_ns)
        if points is None:
            raise BadInput(f"objects: no image, and {why}")
        return self._found(scan.stamp_ns, calibration, T_view_base, None, points, "the camera is silent", None, placed=True)

    def _wants_cloud(self) -> bool:
        return self._config.modality != "image" and bool({"both", "cloud"} & set(self._networks))

    def _points(self, scan: Scan | None, view: Calibration, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """(N, 3) points of a scan in the view's body frame; or None, and why they are of no use."""
        if scan is None:
            return None, "the LiDAR is silent"
        if view.T_camera_lidar is None:
            return None, "TF does not say where the LiDAR stands"
        age_s = abs(stamp_ns - scan.stamp_ns) * 1e-9
        if age_s > self._config.max_scan_age_s:
            return None, f"the LiDAR is silent, its last scan is {age_s:.2f} s old"
        assert view.T_base_camera is not None
        # In the body frame at once, instead of by way of the camera: a scan has a hundred thousand points.
        points = lidar.in_camera(scan, replace(view, T_camera_lidar=view.T_base_camera @ view.T_camera_lidar))
        grid = next(iter(self._networks.values())).grid
        if not (grid.cells(points) < grid.outside).any():
            return None, "the scan has no return where objects are looked for"
        return points, ""

    def _chosen(self, *, image: bool, points: bool, silent: str) -> str:
        there = {"both": image and points, "image": image, "cloud": points}
        asked = self._config.modality
        wanted = MODALITIES if asked == "auto" else (asked,)
        for name in wanted:
            if there[name] and name in self._networks:
                return name
        if asked != "auto" and asked not in self._networks:
            raise BadInput(f"objects: wanted a model of {asked}, this one has {', '.join(self._networks)}")
        if asked != "auto":
            raise BadInput(f"objects: wanted {NEEDS[asked]} for the modality {asked}, but {silent or 'there is none'}")
        what = "an image" if image else "a scan"
        raise BadInput(f"objects: {silent or f'there is only {what}'}, and there is no network for {what} alone "
                       f"(the model has {', '.join(self._networks)})")

    def _found(self, stamp_ns: int, view: Calibration, T_view_base: np.ndarray, image: np.ndarray | None, points: np.ndarray | None,
               silent: str, network_input: np.ndarray | None, *, placed: bool) -> ObjectsOutput:
        started = time.perf_counter()
        config = self._config
        modality = self._chosen(image=image is not None, points=points is not None, silent=silent)
        network = self._networks[modality]
        arrays: dict[str, np.ndarray] = {}
        if points is not None:
            self._ground = pillars.ground_of(points)
        plane, unsure = self._road(network, placed=placed)
        if network.sees_image:
            assert image is not None
            ready = network_input is not None and network_input.shape[-2:] == (self._height, self._width)
            arrays["image"] = network_input if ready else self._prepare(image, height=self._height, width=self._width)  # type: ignore[assignment]
            arrays |= self._seen_from_above(modality, network, view, plane)
        if network.sees_cloud:
            assert points is not None
            arrays["pillars"] = pillars.pillars(points, network.grid, ground=plane)[None]
        prepared = time.perf_counter()
        answer = network.infer(**arrays)
        inferred = time.perf_counter()
        output_grid = network.grid.coarser(2)
        T_base_view = pose.inverse(T_view_base)
        found = found_in(answer["heat"][0], answer["boxes"][0], output_grid, classes=network.classes, ground=plane,
                         min_score=config.min_score, most=config.max_objects)
        said = (() if modality == self._last else self._says(modality, silent)) + unsure
        self._last = modality
        done = time.perf_counter()
        timing = {"pre": (prepared - started) * 1e3, "engine": (inferred - prepared) * 1e3, "post": (done - inferred) * 1e3}
        on_body = replace(view, T_base_camera=T_base_view @ view.T_base_camera)
        return ObjectsOutput(stamp_ns, tuple(box.moved(T_base_view) for box in found), modality, said, answer["features"][0], output_grid,
                             T_base_view, _turned(plane, T_view_base), on_body, timing)

    def _road(self, network: _Network, *, placed: bool) -> tuple[np.ndarray, tuple[str, ...]]:
        """(3,) plane of the road in the view's body, and what is to be said of it, once. placed: whether the camera's place is known."""
        if self._ground is not None:
            return self._ground, ()
        level = self._config.ground_m
        if placed or level:
            return np.array([0.0, 0.0, level]), ()
        if network.camera_m is None:
            sentence = "nobody says how high the camera stands over the road: z counts from the road, not from the camera"
        else:
            sentence = f"nobody says how high the camera stands over the road: {network.camera_m:g} m are assumed, as in training"
        said = () if self._road_said else (sentence,)
        self._road_said = True
        return np.array([0.0, 0.0, -(network.camera_m or 0.0)]), said

    def _says(self, modality: str, silent: str) -> tuple[str, ...]:
        if modality == "both" or not silent:
            return () if self._last is None else (f"{SAYS[modality]} now",)
        return (f"{silent}: {SAYS[modality]}",)

    def _seen_from_above(self, modality: str, network: _Network, view: Calibration, plane: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs that a camera's place decides; kept as long as it is the same camera."""
        depths = network.depths * focal_ratio(view, height=self._height, canonical_focal_px=self._canonical_focal_px)
        known = self._polar.get(modality)
        if known is None or not _same(known[0], view):
            made = polar(view, height=self._height, width=self._width, depths=depths, grid=network.grid.coarser(2))[None]
            self._polar[modality] = known = (view, made)
        arrays = {"polar": known[1]}
        if "heights" in network.inputs:
            shape = network.inputs["heights"]
            stride = self._width // shape[-1]
            found = frustum.heights(view, height=self._height, width=self._width, stride=stride, depths=depths, ground=plane)
            arrays["heights"] = found.reshape(shape)
        return arrays


def found_in(heat: np.ndarray, boxes: np.ndarray, grid: Grid, *, classes: tuple[str, ...], ground: np.ndarray | None = None,
             min_score: float, most: int) -> tuple[Box3D, ...]:
    """(K, R, S) heat 0..1 and (8, R, S) boxes on `grid` -> the surest first; of two that are nearer than APART_M, the surer."""
    peak = np.stack([cv2.dilate(each, np.ones((3, 3), np.uint8)) for each in heat.astype(np.float32, copy=False)])
    kind, row, column = np.nonzero((heat >= peak) & (heat >= min_score))
    score = heat[kind, row, column]
    # Twice as many, for some of them are the same thing twice.
    order = np.argsort(-score, kind="stable")[: 2 * most]
    kind, row, column, score = kind[order], row[order], column[order], score[order]
    centres, sizes, yaw = boxes3d.decode(row * grid.columns + column, boxes[:, row, column].T, grid, ground=ground)
    apart = np.array([APART_M.get(name, 0.5) for name in classes])[kind]
    kept: list[int] = []
    for i in range(len(order)):
        near = np.hypot(*(centres[kept, :2] - centres[i, :2]).T) < apart[i]
        if not (near & (kind[kept] == kind[i])).any():
            kept.append(i)
    return tuple(Box3D(classes[kind[i]], float(score[i]), centres[i], sizes[i], float(yaw[i])) for i in kept[:most])


def _network(name: str, infer: Infer, described: Mapping[str, Any]) -> _Network:
    try:
        config = described["config"]
        grid, inputs = Grid(**config["grid"]), {key: list(shape) for key, shape in described["inputs"].items()}
        high = described.get("camera_m")
        network = _Network(infer, grid, np.array(config["depths"], np.float64), tuple(config["classes"]), inputs,
                           None if high is None else float(high))
        heat = described.get("outputs", {}).get("heat")
    except (KeyError, TypeError, ValueError) as error:
        said = f"objects: network {name} is described without grid, depths, classes or inputs ({error}); is the model one of objects?"
        raise BadInput(said) from None
    if unknown := set(network.classes) - set(boxes3d.CLASSES):
        raise BadInput(f"objects: network {name} knows {', '.join(sorted(unknown))}: wanted classes of {', '.join(boxes3d.CLASSES)}")
    output = grid.coarser(2)
    for what, got, wanted in (("heat", heat, [1, len(network.classes), output.rows, output.columns]),
                              ("pillars", inputs.get("pillars"), [1, pillars.CHANNELS, grid.rows, grid.columns])):
        if got is not None and list(got) != wanted:
            raise BadInput(f"objects: network {name} has {what} of shape {list(got)}, its grid and classes {wanted}")
    return network


def _view(calibration: Calibration) -> tuple[Calibration, np.ndarray]:
    """The camera on a body that looks its way, as in training, and (4, 4) T_view_base; one whose place is unknown is its own body."""
    if calibration.T_base_camera is None:
        return replace(calibration, T_base_camera=T_BODY_OPTICAL, base_frame=f"{calibration.frame_id}_body"), np.eye(4)
    T_view_base = frustum.facing(calibration.T_base_camera)
    return replace(calibration, T_base_camera=T_view_base @ calibration.T_base_camera), T_view_base


def _same(a: Calibration, b: Calibration) -> bool:
    return (a.width, a.height) == (b.width, b.height) and np.array_equal(a.K, b.K) and np.array_equal(a.T_base_camera, b.T_base_camera)  # type: ignore[arg-type]


def _turned(plane: np.ndarray, T_view_base: np.ndarray) -> np.ndarray:
    """A plane of the view, in the body frame: the same level, its slopes turned."""
    return np.append(plane[:2] @ T_view_base[:2, :2], plane[2])
