"""The summary of a rehearsed drive: counts, times, scores, pictures."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from depth_perception import bag as bags
from depth_perception import model as models
from depth_perception.bag.labels import labels as labels_of
from depth_perception.evaluation import odometry as odometry_evaluation
from depth_perception.evaluation import offline
from depth_perception.evaluation import reference as references
from depth_perception.evaluation.bev import BevScore
from depth_perception.evaluation.depth import DepthScore
from depth_perception.evaluation.objects import ObjectsScore
from depth_perception.evaluation.objects_offline import to_find
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.geometry.grid import Grid
from depth_perception.nodes.viewing import Viewing
from depth_perception.report import drive_page

SCORED = 60  # so many of a drive's depth images and clouds are kept, evenly spread, for scoring and pictures


def rehearse_and_score(args: argparse.Namespace, reading: dict[str, Any], viewing: Viewing) -> dict[str, Any]:
    """What `drive` and `demo` do: play, listen, score, draw. reading: keyword arguments of `bag.frames`. Returns the summary."""
    from depth_perception.nodes.rehearsal import observing, rehearse

    model = models.load(args.model or models.shipped())
    bag = bags.Bag(args.bag)
    topics = bags.guess_topics(bag, image_topic=args.image_topic, info_topic=args.info_topic, points_topic=args.points_topic,
                               needs_info=not args.calibration)
    image_type, images = bag.topics[topics.image]
    # Every door before the bag plays: its calibration, and the reference poses if they were named.
    reader = bags.FrameReader(args.bag, pairing="nearest", **reading)
    reference = _reference(args, reading)
    parameters = {"input.calibration": str(Path(args.calibration).resolve())} if args.calibration else _extrinsics(reader.calibration)
    parameters |= _systems(args) | {"depth.size": "image"}  # it is scored and drawn beside the camera's images
    car = getattr(args, "car", {})
    with (
        tempfile.TemporaryDirectory(prefix="depth_perception_") as folder,
        observing(Path(folder), keep_every=-(-images // SCORED), systems=args.systems) as observer,
    ):
        played_topics = {"image": topics.image, "camera_info": topics.camera_info, "points": topics.points}
        compressed = image_type.endswith("CompressedImage")
        inputs = {name: value for name, value in (car | parameters).items() if name.startswith("input.")}
        inputs["input.compressed"] = compressed
        viewers = viewing.start({name: topic for name, topic in played_topics.items() if topic}, inputs)
        with tqdm(total=images, desc="drive", unit="frame", disable=not sys.stderr.isatty()) as bar:

            def progress(done: int) -> None:
                viewing.check()
                bar.update(done - bar.n)

            played = rehearse(
                observer,
                str(args.bag),
                played_topics,
                compressed=compressed,
                model=str(model.path.resolve()),
                rate=args.rate,
                parameters=parameters,
                params_file=getattr(args, "config", None) or "",
                listeners=viewers,
                progress=progress,
            )
        summary = _figures(observer, played, topics.image)
        if not args.no_metrics:
            summary["metrics"] = _metrics(args, model, observer, reader, reference, reading)
        if args.out:
            drive_page.write(args, observer, summary, reader, reference)
    return summary


def _figures(observer: Any, played: Any, image_topic: str) -> dict[str, Any]:
    """Counts and times of what arrived."""
    status = observer.status
    sent = played.published.get(image_topic, 0)

    def percentiles(name: str) -> dict[str, float]:
        values = [row[name] for row in observer.latencies if name in row]
        return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 99)} if values else {}

    def system(name: str, received: int, expected: int) -> dict[str, Any]:
        return {"published": int(status.get(f"published_{name}", 0)), "received": received, "dropped": max(expected - received, 0)}

    depths = len(observer.depth_stamps)
    clouds, poses = (sent if f"published_{name}" in status else 0 for name in ("bev", "odometry"))
    return {
        "frames_in": sent,
        "depth": {
            **system("depth", depths, sent),
            "engine_ms": percentiles("engine"),
            "latency_ms": percentiles("total"),
            "scale": _last_scale(observer),
        },
        # The first image has no motion.
        "odometry": {**system("odometry", len(observer.trajectory), max(poses - 1, 0)), "latency_ms": percentiles("odometry_total")},
        "bev": {**system("bev", len(observer.cloud_stamps), clouds), "latency_ms": percentiles("bev_total")},
        **{name: _beside(name, status, received) for name, received in _heard_beside(observer).items()},
        "node": {
            "images": int(status.get("images", 0)),
            "dropped": int(status.get("dropped", 0)),
            "skipped": int(status.get("skipped", 0)),
            "sentences": [key.removeprefix("skipped: ") for key in status if key.startswith("skipped: ")],
        },
        "not_played": played.missing,
        "metrics": {},
        "rss_mb": float(status.get("rss_mb", "nan")),
        "start_to_active_s": float(status.get("start_to_active_s", "nan")),
        "engine": status.get("engine", ""),
    }


def _systems(args: argparse.Namespace) -> dict[str, Any]:
    """The node's parameters for `--systems` and the models of those beside the drive."""
    known = ("depth", "odometry", "bev", "objects", "markings")
    if unknown := [name for name in args.systems if name not in known]:
        raise BadInput(f"--systems: wanted some of {', '.join(known)}, got {unknown[0]!r}")
    if "depth" not in args.systems:
        raise BadInput("--systems: wanted depth among them, whose answers say when the bag is through")
    given = {"systems": " ".join(args.systems)}
    for kind in ("objects", "markings"):
        path = getattr(args, f"{kind}_model")
        if path and kind not in args.systems:
            raise BadInput(f"--{kind}-model: wanted {kind} among --systems, too")
        if kind in args.systems:
            given[f"{kind}.model"] = str(models.load(path or models.shipped(kind)).path.resolve())
    return given


def _heard_beside(observer: Any) -> dict[str, int]:
    """System beside the drive -> how many of its outputs arrived."""
    heard = {"objects": len(observer.objects), "markings": len(observer.mask_stamps)}
    return {name: count for name, count in heard.items() if f"published_{name}" in observer.status}


def _beside(name: str, status: dict[str, str], received: int) -> dict[str, Any]:
    """A system that takes the newest frame and misses those that come while it works."""
    return {
        "published": int(status[f"published_{name}"]),
        "received": received,
        "missed": int(status[f"{name}_missed"]),
        "latency_ms": {"p50": float(status.get(f"{name}_latency_ms_p50", "nan"))},
        "engine": status.get(f"{name}_engine", ""),
    }


def _last_scale(observer: Any) -> dict[str, float]:
    return {key: round(value, 4) for key, value in observer.scales[-1].items()} if observer.scales else {}


def _extrinsics(calibration: Calibration) -> dict[str, Any]:
    """Where TF cannot be played for want of tf2_msgs, the bag's extrinsics as parameters."""
    from depth_perception.nodes.optional import TFMessage

    known = {name: getattr(calibration, name) for name in ("T_base_camera", "T_camera_lidar")} if TFMessage is None else {}
    return {
        f"input.{name}": [float(v) for v in (*T[:3, 3], *pose.quaternion_from_matrix(T[:3, :3]))]
        for name, T in known.items()
        if T is not None
    }


def _reference(args: argparse.Namespace, reading: dict[str, Any]) -> references.Reference | str:
    """The reference poses, or why there are none; a reference that was named must be one."""
    try:
        return references.load(args.reference, args.bag, **reading)
    except BadInput as error:
        if args.reference is not None:
            raise
        return str(error)


def _metrics(
    args: argparse.Namespace,
    model: models.Model,
    observer: Any,
    reader: bags.FrameReader,
    reference: references.Reference | str,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Scores: depth by the offline evaluation and of the published images; odometry and cloud of what was published."""
    metrics: dict[str, Any] = {}
    try:
        metrics["depth"] = offline.depth([args.bag], model, **options)
    except BadInput as error:
        metrics["depth"] = {"not_scored": str(error)}
    depths, clouds = observer.kept("depth"), observer.kept("cloud")
    depth_score, bev_score = DepthScore(), BevScore()
    for frame in reader:
        if frame.stamp_ns in depths:
            depth_score.add_published(depths[frame.stamp_ns], frame)
        if frame.stamp_ns in clouds:
            bev_score.add(clouds[frame.stamp_ns], frame)
    metrics["depth"] |= {"published": depth_score.result().get("published", {})}
    metrics["bev"] = bev_score.result()
    if observer.objects:
        metrics["objects"] = _objects(observer, reader)
    try:
        if isinstance(reference, str) or not observer.trajectory:
            raise BadInput(reference if isinstance(reference, str) else "no odometry arrived")
        # odom begins at the first image that was looked at.
        stamps = [observer.depth_stamps[0], *(stamp for stamp, _ in observer.trajectory)]
        poses = [np.eye(4), *(T for _, T in observer.trajectory)]
        metrics["odometry"] = odometry_evaluation.score(stamps, poses, reference, reader.calibration, reader.tree)
    except BadInput as error:
        metrics["odometry"] = {"not_scored": str(error)}
    return metrics


def _objects(observer: Any, reader: bags.FrameReader) -> dict[str, Any]:
    """Scores of the published boxes, where the bag has true ones."""
    published, score, grid = dict(observer.objects), ObjectsScore(), Grid()
    try:
        true_of = labels_of(reader)
        for number, frame in enumerate(reader):
            if frame.stamp_ns in published and (true := true_of(frame, number)) is not None:
                needed, needless = to_find(true, frame, grid)
                score.add(published[frame.stamp_ns], needed, needless=needless)
    except BadInput as error:
        return {"not_scored": str(error)}
    return score.result()
