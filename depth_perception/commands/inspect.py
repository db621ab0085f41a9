"""What a bag holds, and what training or driving with it would miss."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception.bag import Bag, FrameReader

HELP = "what a bag holds: topics, rates, gaps, calibration, and what would be missed"
EXAMPLE = "python -m depth_perception inspect drive.mcap"

_GAP_PERIODS = 5.0
_SLOW_HZ = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bag, the topics where a guess is not enough, and where to write the findings."""
    parser.add_argument("bag", nargs="?", help="rosbag2 directory, .mcap or .db3 file")
    parser.add_argument("--bag", dest="bag_option", metavar="BAG", help="the same as an option")
    parser.add_argument("--image-topic", metavar="TOPIC", help="the camera (default: the only one)")
    parser.add_argument("--info-topic", metavar="TOPIC", help="its CameraInfo (default: the one beside it)")
    parser.add_argument("--points-topic", metavar="TOPIC", help="the LiDAR (default: the only one)")
    parser.add_argument("--calibration", metavar="YAML", help="calibration file instead of CameraInfo and TF")
    parser.add_argument("--json", metavar="PATH", help="write the findings to this file as well")


def run(args: argparse.Namespace) -> int:
    """Prints the findings; 0 as long as the bag can be opened."""
    from depth_perception.frame import BadInput
    from depth_perception.model import write_atomically

    path = args.bag or args.bag_option
    if not path:
        raise BadInput("bag: wanted a rosbag2 directory, an .mcap or a .db3 file, got none")
    findings = inspect(path, image_topic=args.image_topic, info_topic=args.info_topic, points_topic=args.points_topic,
                       calibration=args.calibration)
    print(as_text(findings))
    if args.json:
        write_atomically(Path(args.json), json.dumps(findings, indent=2) + "\n")
    return 0


def inspect(path: str | Path, **options: Any) -> dict[str, Any]:
    """Reads the whole bag once for its rates and once for its frames; options as for `bag.FrameReader`.

    Returns a dict that JSON can hold: bag, start_ns, end_ns, duration_s, topics, chosen, calibration, frames, skipped, warnings.
    """
    from depth_perception.bag import Bag, FrameReader
    from depth_perception.frame import BadInput

    bag = Bag(path)
    topics = _rates(bag)
    findings: dict[str, Any] = {
        "bag": str(path), "start_ns": bag.start_ns, "end_ns": bag.end_ns, "duration_s": (bag.end_ns - bag.start_ns) * 1e-9,
        "topics": topics, "chosen": None, "calibration": None, "frames": None, "skipped": list(bag.skipped), "warnings": []}
    try:
        reader = FrameReader(path, **options)
        findings["chosen"] = {"image": reader.topics.image, "camera_info": reader.topics.camera_info, "points": reader.topics.points}
        findings["calibration"] = _calibration(reader)
        findings["frames"], wrong = _frames(reader)
        findings["warnings"] += wrong
        findings["skipped"] = [sentence for sentence in reader.report() if sentence not in reader.disagreements]
        findings["warnings"] += reader.disagreements
    except BadInput as error:
        findings["warnings"].append(str(error))
    findings["warnings"] += _warnings(findings)
    return findings


def _rates(bag: Bag) -> list[dict[str, Any]]:
    """Count, rate and the largest gap of each topic, from log times."""
    from tqdm import tqdm

    seen: dict[str, list[int]] = {}  # first, last, count, largest gap, where it begins
    for topic, _, log_ns, _ in tqdm(bag.messages(), total=sum(count for _, count in bag.topics.values()), desc="reading", disable=None):
        if topic not in seen:
            seen[topic] = [log_ns, log_ns, 1, 0, log_ns]
            continue
        row = seen[topic]
        if log_ns - row[1] > row[3]:
            row[3], row[4] = log_ns - row[1], row[1]
        row[1], row[2] = log_ns, row[2] + 1
    rows = []
    for name, (type_name, _) in bag.topics.items():
        first, last, count, gap, at = seen.get(name, [bag.start_ns, bag.start_ns, 0, 0, bag.start_ns])
        rate = (count - 1) / ((last - first) * 1e-9) if last > first else None
        rows.append({"name": name, "type": type_name, "count": count, "rate_hz": rate,
                     "largest_gap_s": gap * 1e-9, "gap_at_s": (at - bag.start_ns) * 1e-9})
    return rows


def _calibration(reader: FrameReader) -> dict[str, Any]:
    camera = reader.calibration
    return {"width": camera.width, "height": camera.height, "K": camera.K.tolist(), "is_rectified": reader.is_rectified,
            "frame_id": camera.frame_id, "base_frame": camera.base_frame, "lidar_frame": reader.lidar_frame,
            "T_base_camera": None if camera.T_base_camera is None else camera.T_base_camera.tolist(),
            "T_camera_lidar": None if camera.T_camera_lidar is None else camera.T_camera_lidar.tolist()}


def _frames(reader: FrameReader) -> tuple[dict[str, Any], list[str]]:
    """Counts, and a sentence when the LiDAR's edges do not meet the image's."""
    from tqdm import tqdm

    from depth_perception.geometry.edge_alignment import EdgeAlignment

    alignment = EdgeAlignment()
    count = with_scan = points = 0
    for frame in tqdm(alignment.watching(reader), total=reader.bag.topics[reader.topics.image][1], desc="decoding", disable=None):
        count += 1
        if frame.scan is not None:
            with_scan += 1
            points += len(frame.scan.points)
    wrong = alignment.warning()
    return ({"count": count, "with_scan": with_scan, "points_per_scan": points / with_scan if with_scan else None},
            [wrong] if wrong else [])


def _warnings(findings: dict[str, Any]) -> list[str]:
    """One line for each thing that training or driving would miss."""
    out = []
    chosen, camera, frames = findings["chosen"], findings["calibration"], findings["frames"]
    rows = {row["name"]: row for row in findings["topics"]}
    if camera is not None:
        if chosen["points"] is None:
            out.append("no point cloud: depth gets no scale from LiDAR, and its accuracy cannot be measured")
        elif camera["T_camera_lidar"] is None:
            out.append(f"no transform between {camera['lidar_frame']} and {camera['frame_id']}: the scans cannot be used with the images")
        if camera["T_base_camera"] is None:
            out.append(f"no transform between {camera['base_frame']} and {camera['frame_id']}: no bird's-eye view in the body frame")
    if frames is not None and chosen["points"] and camera["T_camera_lidar"] is not None and frames["with_scan"] < 0.9 * frames["count"]:
        out.append(f"only {frames['with_scan']} of {frames['count']} frames have a scan that is close enough in time")
    for name in filter(None, (chosen or {}).values()):
        row = rows[name]
        if row["rate_hz"] and row["largest_gap_s"] > _GAP_PERIODS / row["rate_hz"]:
            out.append(f"{name}: a gap of {row['largest_gap_s']:.2f} s at {row['gap_at_s']:.2f} s")
    if chosen and (rate := rows[chosen["image"]]["rate_hz"]) and rate < _SLOW_HZ:
        out.append(f"{chosen['image']}: {rate:.1f} images a second are few for learning from neighbouring ones")
    if frames is not None and frames["count"] < 3:
        out.append(f"{frames['count']} frames: learning needs at least three in a row")
    return out


def as_text(findings: dict[str, Any]) -> str:
    """The findings for a reader."""
    lines = [f"{findings['bag']}: {findings['duration_s']:.1f} s, {sum(row['count'] for row in findings['topics'])} messages", ""]
    width = max(len(row["name"]) for row in findings["topics"])
    for row in findings["topics"]:
        rate = f"{row['rate_hz']:8.2f} Hz" if row["rate_hz"] else " " * 11
        lines.append(f"  {row['name']:{width}s} {row['count']:7d} {rate}  {row['type']}")
    if findings["chosen"]:
        lines += ["", *(f"{kind:12s} {name or 'none'}" for kind, name in findings["chosen"].items())]
    if camera := findings["calibration"]:
        K = camera["K"]
        state = "rectified" if camera["is_rectified"] else "distorted, rectified while reading"
        pinhole = f"fx {K[0][0]:.1f} fy {K[1][1]:.1f} cx {K[0][2]:.1f} cy {K[1][2]:.1f}"
        lines.append(f"calibration  {camera['width']}x{camera['height']} {pinhole}, {state}")
        for name, target, source in (("T_base_camera", camera["base_frame"], camera["frame_id"]),
                                     ("T_camera_lidar", camera["frame_id"], camera["lidar_frame"] or "lidar")):
            T = camera[name]
            at = "missing" if T is None else f"{source} stands at ({T[0][3]:.2f}, {T[1][3]:.2f}, {T[2][3]:.2f}) m of {target}"
            lines.append(f"extrinsics   {name}: {at}")
    if frames := findings["frames"]:
        points = f", {frames['points_per_scan']:.0f} points each" if frames["with_scan"] else ""
        lines.append(f"frames       {frames['count']}, {frames['with_scan']} of them with a scan{points}")
    lines += [f"skipped      {sentence}" for sentence in findings["skipped"]]
    lines += [f"warning      {sentence}" for sentence in findings["warnings"]]
    return "\n".join(lines)
