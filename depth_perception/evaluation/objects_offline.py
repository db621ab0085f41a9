"""Bags through the objects system, without ROS: what `evaluate objects` prints and `predict objects` writes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from depth_perception import bag as bags
from depth_perception import engine
from depth_perception.bag.labels import labels as labels_of
from depth_perception.evaluation.objects import ObjectsScore
from depth_perception.frame import BadInput, Calibration, Frame
from depth_perception.geometry import camera, lidar, pose
from depth_perception.geometry.boxes import Box3D, beside, in_view, returns
from depth_perception.geometry.grid import Grid
from depth_perception.model import Model
from depth_perception.systems.objects import MODALITIES, Config, Objects

# A curve of precision needs the unsure ones, too.
MIN_SCORE, MOST = 0.05, 200
MIN_RETURNS = 3  # a box that the LiDAR hardly touches need not be found; simulated drives leave such out


def objects_system(model: Model, *, config: Config | None = None, threads: int = 2) -> Objects:
    """The system of a model of `train objects`, its engines proven; BadInput for a model of another kind or without that modality."""
    if model.kind != "objects":
        raise BadInput(f"model {model.path}: wanted one of objects (`train objects` makes it), it is one of {model.kind}")
    config = config or Config()
    if config.modality != "auto" and config.modality not in model.networks:
        raise BadInput(f"--modality {config.modality}: model {model.path} has {', '.join(model.networks)}")
    infers = {name: engine.load(model, name, threads=threads) for name in MODALITIES if name in model.networks}
    sizes: dict[str, Any] = {"height": model.height, "width": model.width, "canonical_focal_px": model.canonical_focal_px}
    return Objects(infers, model.networks, **sizes, config=config)


def objects(bag_paths: Sequence[str], model: Model, *, modalities: Sequence[str] = (), labels: str | None = None,
            min_returns: int = MIN_RETURNS, **options: Any) -> dict[str, Any]:
    """Scores of each modality over the labelled frames of bags; the first one's stand at the top, all under "per_modality".

    Where no label of a bag lies beside the image, as in KITTI's files, its labels tell of the image alone: what is found beside it is then
    no mistake.

    Args:
        modalities: of MODALITIES; none: all that the model has.
        labels: see `bag.labels`.
        min_returns: true boxes with fewer returns of the scan in them need not be found.
    """
    known = [name for name in MODALITIES if name in model.networks]
    systems = {name: objects_system(model, config=Config(modality=name, min_score=MIN_SCORE, max_objects=MOST))  # type: ignore[arg-type]
               for name in modalities or known or MODALITIES[:1]}
    scores = {name: ObjectsScore() for name in systems}
    grids = {name: Grid(**model.networks[name]["config"]["grid"]) for name in systems}
    needs_scan = set(systems) != {"image"}
    left_out: Counter[str] = Counter()
    for path in bag_paths:
        for system in systems.values():
            system.reset()
        reader = bags.FrameReader(path, pairing="nearest", **options)
        true_of = labels_of(reader, labels)
        waiting: list[tuple[str, Sequence[Box3D], list[Box3D], list[Box3D], Calibration]] = []
        around = False
        for number, frame in enumerate(tqdm(reader, desc=path, unit="frame", disable=not sys.stderr.isatty())):
            true = true_of(frame, number)
            why = "no labels" if true is None else _unusable(frame) if needs_scan else None
            if true is None or why is not None:
                left_out[str(why)] += 1
                continue
            for name, system in systems.items():
                needed, needless = to_find(true, frame, grids[name], min_returns=min_returns)
                waiting.append((name, system.step(frame).boxes, needed, needless, frame.calibration))
            around |= any(beside(box, frame.calibration) for box in true)
        for name, found, needed, needless, calibration in waiting:  # only the last frame has told where there are labels
            scores[name].add(found, needed, needless=needless, known=_known(calibration, around=around))
        for sentence in reader.report():
            print(f"{path}: skipped {sentence}", file=sys.stderr)
    results = {name: score.result() for name, score in scores.items()}
    first = next(iter(results))
    if results[first]["frames"] == 0:
        reasons = ", ".join(f"{count} with {why}" for why, count in left_out.most_common()) or "it has none"
        raise BadInput(f"evaluate objects: no frame of {', '.join(bag_paths)} can be scored: {reasons}")
    return results[first] | {"modality": first, "left_out": dict(left_out), "per_modality": results}


def to_find(true: Sequence[Box3D], frame: Frame, grid: Grid, *, min_returns: int = MIN_RETURNS) -> tuple[list[Box3D], list[Box3D]]:
    """True boxes that must be found: on the grid, their middle in the image, touched by the scan where there is one; and the others.

    The same for every modality, so that they compare.
    """
    calibration = frame.calibration
    if calibration.T_base_camera is None:
        raise BadInput(f"labels: wanted a camera whose place on the body is known, {calibration.frame_id}'s is not")
    points = None
    if frame.scan is not None and calibration.T_camera_lidar is not None:
        points = pose.transform(calibration.T_base_camera, lidar.in_camera(frame.scan, calibration))
    needed: list[Box3D] = []
    needless: list[Box3D] = []
    for box in true:
        on_grid = grid.cells(box.centre[None])[0] < grid.outside
        touched = points is None or returns(box, points) >= min_returns
        (needed if on_grid and touched and in_view(box, calibration) else needless).append(box)
    return needed, needless


def _known(calibration: Calibration, *, around: bool) -> Callable[[Box3D], bool]:
    """Whether labels tell what there is at a box: everywhere around the car, or within the image alone."""
    return lambda box: around or in_view(box, calibration)


def _unusable(frame: Frame) -> str | None:
    """Why a frame's scan is of no use, or None."""
    calibration = frame.calibration
    if frame.scan is None:
        return "no LiDAR scan"
    if calibration.T_camera_lidar is None:
        return "no transform between camera and LiDAR"
    pixels, z = camera.project(calibration.K, lidar.in_camera(frame.scan, calibration))
    seen = (z > 0) & (pixels >= 0).all(1) & (pixels <= np.array([calibration.width - 1, calibration.height - 1])).all(1)
    return None if seen.any() else "a scan that the camera does not see (they never overlap)"


def as_numbers(box: Box3D) -> dict[str, Any]:
    """What `predict objects` writes of a box."""
    return {"label": box.label, "score": round(box.score, 4), "centre": [round(float(v), 3) for v in box.centre],
            "size": [round(float(v), 3) for v in box.size], "yaw": round(box.yaw, 4)}
