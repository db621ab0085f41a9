"""What is wrong with a bag, from its findings: one sentence each, with the number that shows it and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from depth_perception.geometry.edge_alignment import TURN_DEG, turned_sentence

SLOW_HZ = 5.0
LATE_S = 0.02  # between clocks; a car that turns by 20 degrees a second turns by 0.4 in that time
_GAIN, _CHANCE, _FOCAL = 1.1, 4.0, 0.04

POISON = frozenset({"black", "blurred", "frozen", "stamps_backwards", "wrong_extrinsics", "wrong_focal", "clock_offset", "clock_jump",
                    "frames", "no_camera_info", "topics"})
"""Kinds that make learning from a bag worse than not learning from it."""

Problem = dict[str, str]


def problems(findings: dict[str, Any]) -> list[Problem]:
    """Findings -> {kind, sentence, remedy} of everything that training or driving would miss or be misled by."""
    found = [*_topics(findings), *_calibration(findings), *_alignment(findings), *_clocks(findings), *_times(findings), *_images(findings)]
    return [{"kind": kind, "sentence": sentence, "remedy": remedy} for kind, sentence, remedy in found]


def _topics(findings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for obstacle in findings["obstacles"]:
        remedy = {"no_camera_info": "give --calibration", "topics": "name the topics with --image-topic, --info-topic, --points-topic"}
        yield obstacle["kind"], obstacle["sentence"], remedy.get(obstacle["kind"], "see what was skipped")
    for sentence in findings["disagreements"]:
        yield "disagreement", sentence, "find out which is right"
    chosen, frames = findings["chosen"], findings["frames"]
    if chosen and chosen["points"] is None:
        yield ("no_lidar", "no point cloud: depth gets no scale from LiDAR, and its accuracy cannot be measured",
               "learn with config/train/video.yaml")
    if frames and frames["count"] < 3:
        yield "few_frames", f"{frames['count']} frames: learning needs at least three in a row", "record longer"


def _calibration(findings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    camera, chosen, frames = findings["calibration"], findings["chosen"], findings["frames"]
    if camera is None:
        return
    if chosen["points"] and camera["T_camera_lidar"] is None:
        yield ("no_extrinsics", f"no transform between {camera['lidar_frame']} and {camera['frame_id']}: the scans cannot be used with the "
               "images", "record /tf_static, or give --calibration")
    if camera["T_base_camera"] is None:
        yield ("no_base", f"no transform between {camera['base_frame']} and {camera['frame_id']}: no bird's-eye view in the body frame",
               "record /tf_static, or give --calibration")
    if frames and chosen["points"] and camera["T_camera_lidar"] is not None and frames["with_scan"] < 0.9 * frames["count"]:
        yield ("unpaired", f"only {frames['with_scan']} of {frames['count']} frames have a scan that is close enough in time",
               "look at the gaps of the point cloud and at its clock")


def _alignment(findings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Turned or zoomed: whichever explains the picture better; a wrong one of the two makes the other look wrong too."""
    if _shuffled(findings):  # images beside scans of another time: of the calibration they tell nothing
        return
    found = findings["alignment"]
    turning = findings["time_offset"].get("lidar") or {}
    if found is not None:
        turned, zoomed, as_is = found["turned_score"], found["focal_score"], found["score"]
        wanted = (_GAIN + _CHANCE / found["outlines"] ** 0.5) * as_is  # a few outlines meet some edge or other when they are turned
        if zoomed >= max(turned, wanted) and abs(found["focal_factor"] - 1) > _FOCAL:
            yield ("wrong_focal", f"K looks like another camera's: the LiDAR's outlines meet {as_is:.2f} times the image's mean edge "
                   f"strength, but {zoomed:.2f} times with a focal length {found['focal_factor']:.2f} times as long",
                   "calibrate the camera")
            return
        if turned >= wanted and found["angle_deg"] > TURN_DEG:
            yield ("wrong_extrinsics", turned_sentence(found["turn_deg"], as_is, turned), "calibrate LiDAR against camera")
            return
    gain, sigma = turning.get("gain"), turning.get("gain_sigma", 0.0)
    if gain is not None and abs(gain - 1) > 0.15 + 3 * sigma:
        yield ("wrong_focal", f"K looks like another camera's: the camera sees turns {gain:.2f} times as large as the LiDAR does",
               "calibrate the camera")


def _clocks(findings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    found = {} if _shuffled(findings) else findings["time_offset"].get("lidar") or {}
    seconds = found.get("seconds")
    if seconds is not None and abs(seconds) > LATE_S + 3 * found["sigma_s"]:
        word = "early" if seconds > 0 else "late"
        yield ("clock_offset", f"the LiDAR's stamps are {1000 * abs(seconds):.0f} ms (standard deviation {1000 * found['sigma_s']:.0f}) "
               f"too {word} beside the camera's, by the turns that both saw",
               f"drive with scan_offset_s:={seconds:+.3f}; record with one clock "
               "(a spinning LiDAR that stamps the beginning of its sweep is half a sweep early)")


def _shuffled(findings: dict[str, Any]) -> bool:
    chosen = (findings["chosen"] or {}).values()
    return any(row["stamps"]["backwards"] > 0.02 * row["count"] for row in findings["topics"] if row["name"] in chosen and row["stamps"])


def _times(findings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    rows = {row["name"]: row for row in findings["topics"]}
    for name in dict.fromkeys(filter(None, (findings["chosen"] or {}).values())):
        row = rows[name]
        if row["gaps"]:
            longest = max(row["gaps"], key=lambda gap: gap["seconds"])
            others = f", the longest of {len(row['gaps'])}" if len(row["gaps"]) > 1 else ""
            yield ("gap", f"{name}: a gap of {longest['seconds']:.2f} s at {longest['at_s']:.2f} s{others}",
                   "no window is cut across it; look for what stalled")
        stamps = row["stamps"] or {}
        if stamps.get("backwards"):
            jumped = bool(stamps["jumps"])
            yield ("clock_jump" if jumped else "stamps_backwards",
                   f"{name}: {stamps['backwards']} of {row['count']} stamps go backwards, by up to {stamps['backwards_worst_s']:.3f} s "
                   f"(first at {stamps['backwards_at_s']:.2f} s)", "look at the driver's clock; record again")
        elif stamps.get("jumps"):
            jump = stamps["jumps"][0]
            yield ("clock_jump", f"{name}: its clock jumps by {jump['seconds']:+.2f} s at {jump['at_s']:.2f} s", "cut the bag there")
        if stamps and (spread := stamps["latency_s"]["p99"] - stamps["latency_s"]["median"]) > 0.5:
            yield ("late", f"{name}: some messages came {spread:.2f} s later than usual",
                   "harmless for learning; look at the recorder's disk")
        if stamps.get("repeated", 0) > 0.02 * row["count"]:
            yield ("stamps_repeated", f"{name}: {stamps['repeated']} of {row['count']} messages repeat the stamp before",
                   "look at the driver")
    image = (findings["chosen"] or {}).get("image")
    if image and (rate := rows[image]["rate_hz"]) and rate < SLOW_HZ:
        yield "slow", f"{image}: {rate:.1f} images a second are few for learning from neighbouring ones", "record at 10 Hz"


def _images(findings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    images, moved = findings["images"], findings["motion"]
    if images is None:
        return
    if images["black"] > 0.02:
        yield ("black", f"{100 * images['black']:.0f} % of the images show nothing (black or of one colour)",
               "look at the lens and the exposure")
    if images["blown_out"] > 0.1:
        yield "blown_out", f"{100 * images['blown_out']:.0f} % of the images are blown out (most pixels white)", "lower the exposure"
    if images["blurred"] > 0.1:
        yield "blurred", f"{100 * images['blurred']:.0f} % of the images are blurred", "look at the focus and the exposure time"
    standing = moved["standing_share"] if moved and moved["source"] != "images" else 0.0
    if images["repeated"] > max(0.02, standing) and images["black"] < 0.5:
        yield ("frozen", f"{100 * images['repeated']:.0f} % of the images show exactly what the one before showed",
               "the camera's driver hangs or sends twice")
