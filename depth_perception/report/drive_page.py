"""The report of a rehearsed drive: what counts most, curves over its time, its trajectory, its tables, and a few moments in pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception import bag as bags
from depth_perception.evaluation import reference as references
from depth_perception.geometry import lidar, pose
from depth_perception.report import charts, objects, page, pictures
from depth_perception.systems import palette
from depth_perception.systems.odometry import T_BODY_OPTICAL


def write(
    args: argparse.Namespace, observer: Any, summary: dict[str, Any], reader: bags.FrameReader, reference: references.Reference | str
) -> None:
    """Into `args.out`: pictures of a few moments, the trajectory, and report.html with all of it."""
    out = Path(args.out)
    depths, confidences, clouds, grids, masks = (observer.kept(name) for name in ("depth", "confidence", "cloud", "grid", "mask"))
    boxes = dict(observer.objects)
    stamps = sorted(set(depths) & set(clouds))
    chosen = set(stamps[:: max(len(stamps) // 4, 1)][1:5] or stamps[:1])
    start_ns = observer.depth_stamps[0] if observer.depth_stamps else 0
    moments: dict[str, list[tuple[Path, str]]] = {}
    for frame in reader:
        if frame.stamp_ns not in chosen:
            continue
        shown: list[tuple[Path, str]] = []
        moments[f"{(frame.stamp_ns - start_ns) * 1e-9:.1f} s after the first image"] = shown
        image = np.ascontiguousarray(frame.image)
        rows = [image, pictures.colour_depth(depths[frame.stamp_ns])]
        scan = None
        if frame.scan is not None and frame.calibration.T_camera_lidar is not None:
            rows.insert(1, pictures.draw_sparse(image, lidar.depth_image(frame.scan, frame.calibration)))
            T = T_BODY_OPTICAL if frame.calibration.T_base_camera is None else frame.calibration.T_base_camera
            scan = pose.transform(T, lidar.in_camera(frame.scan, frame.calibration))
        if frame.stamp_ns in confidences:
            grey = (np.asarray(confidences[frame.stamp_ns]) * 255).astype(np.uint8)
            rows.append(np.repeat(grey[..., None], 3, 2))
        name = f"{frame.stamp_ns}"
        pictures.save(out / f"depth_{name}.jpg", np.concatenate(rows))
        shown.append((out / f"depth_{name}.jpg", "image, LiDAR (if any), depth (bright is near), confidence"))
        pictures.save(out / f"bev_{name}.png", pictures.from_above(np.asarray(clouds[frame.stamp_ns]), reference=scan))
        shown.append((out / f"bev_{name}.png", "from above: camera-only cloud coloured by height, LiDAR grey, the car white"))
        if frame.stamp_ns in grids:
            pictures.save(out / f"grid_{name}.png", pictures.grid_picture(grids[frame.stamp_ns]))
            shown.append((out / f"grid_{name}.png", "occupancy grid: black occupied, white free, grey unknown"))
        if frame.stamp_ns in boxes:
            pictures.save(out / f"objects_{name}.jpg", objects.over_camera(image, frame.calibration, boxes[frame.stamp_ns]))
            shown.append((out / f"objects_{name}.jpg", "objects over the camera's image"))
        if frame.stamp_ns in masks:
            pictures.save(out / f"markings_{name}.jpg", palette.overlay(image, np.asarray(masks[frame.stamp_ns])))
            shown.append((out / f"markings_{name}.jpg", "road markings over the camera's image"))
    paths = _paths(observer, reference)
    if paths:
        pictures.save(out / "trajectory.png", pictures.trajectories(paths, "where the car went"))
    page.write(
        out / "report.html",
        title=f"Drive: {Path(args.bag).name}",
        subtitle=f"{' '.join(args.systems)} of {summary['frames_in']} images on {summary['engine'] or 'no engine'}",
        tiles=_tiles(summary, paths),
        tables=_tables(summary),
        charts=_charts(observer, paths, isinstance(reference, str)),
        pictures=[],
        moments=moments,
        summary=summary,
    )


def _paths(observer: Any, reference: references.Reference | str) -> dict[str, np.ndarray]:
    """(N, 3) positions of the odometry and of the reference, metres, both from the odometry's origin."""
    if not observer.trajectory:
        return {}
    paths = {"odometry": np.stack([T[:3, 3] for _, T in observer.trajectory])}
    if not isinstance(reference, str):
        # Shown from its own first pose, in the body's axes; a reference of another frame on the car starts elsewhere on it.
        seen = pose.inverse(reference.poses[0]) @ reference.poses
        paths[f"reference ({reference.source})"] = seen[:, [2, 0, 1], 3] * [1, -1, -1] if reference.frame == "camera" else seen[:, :3, 3]
    return paths


def _tiles(summary: dict[str, Any], paths: dict[str, np.ndarray]) -> list[tuple[str, str, str]]:
    """What counts most: name, figure, remark."""
    depth, metrics = summary["depth"], summary["metrics"]
    tiles = [("depth images", f"{depth['received']} of {summary['frames_in']}", f"{depth['dropped']} dropped")]
    if whole := depth["latency_ms"]:
        remark = f"99 %: {whole['p99']:.0f} ms; network {depth['engine_ms']['p50']:.0f} ms"
        tiles.append(("image to depth", f"{whole['p50']:.0f} ms", remark))
    if scale := depth["scale"]:
        remark = f"\u00b1 {scale['sigma']:.3f}, {scale['inliers']:.0f} of {scale['points']:.0f} returns"
        tiles.append(("scale", f"{scale['scale']:.3f}", remark))
    if scored := metrics.get("depth", {}).get("published"):
        tiles.append(("depth error", f"{100 * scored['abs_rel']:.1f} %", "AbsRel of the published images against LiDAR"))
    if paths:
        tiles.append(("driven", f"{np.linalg.norm(np.diff(paths['odometry'], axis=0), axis=1).sum():.0f} m", "by odometry"))
    tiles.append(("memory", f"{summary['rss_mb']:.0f} MB", f"{summary['start_to_active_s']:.1f} s from start to active"))
    return tiles


def _charts(observer: Any, paths: dict[str, np.ndarray], is_alone: bool) -> dict[str, list[str]]:
    """Curves over the drive's time."""
    start_ns = observer.depth_stamps[0] if observer.depth_stamps else 0

    def seconds(stamps: list[int]) -> list[float]:
        return [max(stamp - start_ns, 0) * 1e-9 for stamp in stamps]

    whole = {"to depth": "total", "to odometry": "odometry_total", "to cloud": "bev_total"}
    stages = {"decode": "decode", "prepare": "pre", "network": "engine", "depth after it": "post", "publish": "publish"}
    at, rows = seconds(observer.latency_stamps), observer.latencies
    latencies = []
    for curves, label in ((whole, "from an image's arrival"), (stages, "stages of a depth image")):
        known = {name: [row.get(key) for row in rows] for name, key in curves.items() if any(key in row for row in rows)}
        latencies.append(charts.lines(at, known, label=f"{label}, over the drive", unit="ms"))
    scale_at = seconds(observer.scale_stamps)
    scale = [
        charts.line(scale_at, [row[name] for row in observer.scales], label=label, unit=unit)
        for name, label, unit in (("scale", "scale of depth", "of the network's metres"), ("inliers", "LiDAR returns that agree", "count"))
    ]
    label = "depth images over the drive: the darker the more, red is a gap"
    counts, _ = np.histogram(observer.depth_stamps, bins=min(max(len(observer.depth_stamps) // 4, 1), 100))
    strip = f"<figure class=chart>{charts.strip(counts.tolist(), label=label, steady=True)}<figcaption>{label}</figcaption></figure>"
    against = "" if is_alone else " against the reference poses"
    where = f"where the car went by the camera's odometry{against}; from above, the dot is the start"
    return {
        "Latency": [*latencies, strip],
        "Scale": scale,
        "Trajectory": [charts.paths(paths, label=where)],
    }


def _tables(summary: dict[str, Any]) -> dict[str, list[list[Any]]]:
    """The figures a person looks for first."""
    counts: list[list[Any]] = [["", "in", "received", "dropped", "latency p50, ms", "p99, ms"]]
    for name in ("depth", "odometry", "bev"):
        row = summary[name]
        times = [row["latency_ms"].get(p, "") for p in ("p50", "p99")]
        counts.append([name, summary["frames_in"], row["received"], row["dropped"], *times])
    for name in ("objects", "markings"):
        if row := summary.get(name):
            counts.append([name, summary["frames_in"], row["received"], row["missed"], row["latency_ms"]["p50"], ""])
    tables = {"What came out": counts}
    lost = [["dropped for a newer one", summary["node"]["dropped"]], *([sentence, "skipped"] for sentence in summary["node"]["sentences"])]
    lost += [[f"{topic} was not played", f"{kind} is not installed"] for topic, kind in summary["not_played"].items()]
    tables["What was dropped, and why"] = [["", ""], *lost]
    depth = summary["metrics"].get("depth", {})
    rows = [[name, *values.values()] for name, values in depth.items() if isinstance(values, dict) and "abs_rel" in values]
    if rows:
        first = next(values for values in depth.values() if isinstance(values, dict) and "abs_rel" in values)
        tables["Depth"] = [["", *first.keys()], *rows]
    odometry = summary["metrics"].get("odometry", {})
    if "path_m" in odometry:
        tables["Odometry"] = [list(odometry.keys()), list(odometry.values())]
    by_range = summary["metrics"].get("bev", {}).get("by_range", {})
    if by_range:
        tables["Bird's-eye view, camera only"] = [
            ["range", *next(iter(by_range.values())).keys()],
            *([name, *row.values()] for name, row in by_range.items()),
        ]
    not_scored = [[name, row["not_scored"]] for name, row in summary["metrics"].items() if "not_scored" in row]
    if not_scored:
        tables["Not scored, and why"] = [["", ""], *not_scored]
    return tables
