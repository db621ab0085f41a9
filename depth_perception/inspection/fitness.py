"""What a bag is fit for: each training, evaluation and driving, with the numbers that decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

YES, LIMITS, NO = "yes", "with limits", "no"
_FEW_WINDOWS, _FEW_SCANS = 100, 50

Said = Iterator[tuple[str, str]]
Check = Callable[[dict[str, Any]], Said]


def fitness(findings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Findings -> purpose -> {verdict: yes, with limits or no; reasons: sentences, what decided first}."""
    return {purpose: _judge(checks, findings) for purpose, checks in PURPOSES.items()}


def _judge(checks: tuple[Check, ...], findings: dict[str, Any]) -> dict[str, Any]:
    said = [each for check in checks for each in check(findings)]
    for verdict in (NO, LIMITS):
        if any(each == verdict for each, _ in said):
            # What is in the way first; what is merely a limit does not matter then.
            return {"verdict": verdict, "reasons": [sentence for each, sentence in said if each == verdict]}
    return {"verdict": YES, "reasons": [sentence for _, sentence in said]}


def _problem(findings: dict[str, Any], *kinds: str) -> Iterator[str]:
    """Sentence and remedy of the problems of these kinds."""
    for problem in findings["problems"]:
        if problem["kind"] in kinds:
            yield f"{problem['sentence']}: {problem['remedy']}"


def _images(findings: dict[str, Any]) -> Said:
    """There is a calibrated camera, and it shows something."""
    for sentence in _problem(findings, "topics", "no_camera_info", "frames"):
        yield NO, sentence
    images = findings["images"]
    if images is None:
        return
    for kind, most in (("black", 0.5), ("blurred", 0.5), ("repeated", 0.5), ("blown_out", 0.8)):
        for sentence in _problem(findings, "frozen" if kind == "repeated" else kind):
            yield (NO if images[kind] > most else LIMITS), sentence
    if not list(_problem(findings, "black", "blurred", "frozen", "blown_out")):
        yield YES, f"{images['looked_at']} images that show something"


def _pictures(findings: dict[str, Any]) -> Said:
    """A camera, calibrated or not: where the road begins in its images can be guessed."""
    said = list(_images(findings))
    uncalibrated = list(_problem(findings, "no_camera_info"))
    for each, sentence in said:
        yield (LIMITS if sentence in uncalibrated else each), sentence


def _stamps(findings: dict[str, Any]) -> Said:
    for row in findings["topics"]:
        if row["name"] in (findings["chosen"] or {}).values() and row["stamps"]:
            share = row["stamps"]["backwards"] / row["count"]
            for sentence in _problem(findings, "stamps_backwards"):
                if sentence.startswith(f"{row['name']}:"):
                    yield (NO if share > 0.02 else LIMITS), sentence
    for sentence in _problem(findings, "clock_jump", "gap"):
        yield LIMITS, sentence


def _focal(findings: dict[str, Any]) -> Said:
    for sentence in _problem(findings, "wrong_focal"):
        yield NO, sentence


def _in_a_row(findings: dict[str, Any]) -> Said:
    """Three images in a row."""
    windows = findings["windows"]
    if windows is None:
        return
    count = windows["in_a_row"]
    if count < 1:
        yield NO, f"{windows['images']} images, but not three in a row within 0.35 s steps: record at 10 Hz"
    elif count < _FEW_WINDOWS:
        yield LIMITS, f"only {count} windows of three images in a row (a minute at 10 Hz has 600): use it among other bags"
    else:
        yield YES, f"{count} windows of three images in a row"


def _moves(findings: dict[str, Any]) -> Said:
    moved = findings["motion"]
    if moved is None:
        if findings["images"] is not None:
            yield LIMITS, "whether the car moves cannot be told: look at the pictures"
        return
    share, source = moved["standing_share"], moved["source"]
    sentence = f"the car stands in {100 * share:.0f} % of the time (by {source})"
    if share > 0.95:
        yield NO, f"{sentence}: nothing can be learned from motion"
    elif share > 0.5:
        yield LIMITS, f"{sentence}: only the rest teaches"
    else:
        yield YES, sentence


def _slow(findings: dict[str, Any]) -> Said:
    for sentence in _problem(findings, "slow"):
        yield LIMITS, sentence


def _lidar(findings: dict[str, Any]) -> Said:
    """A LiDAR, beside the images in time and in space."""
    for sentence in _problem(findings, "no_lidar", "no_extrinsics", "wrong_extrinsics"):
        yield NO, sentence
    frames, camera = findings["frames"], findings["calibration"]
    if frames is None or camera is None or camera["T_camera_lidar"] is None or not findings["chosen"]["points"]:
        return
    share = frames["with_scan"] / frames["count"]
    sentence = f"{100 * share:.0f} % of the images have a scan within 0.15 s"
    yield (NO if share < 0.1 else LIMITS if share < 0.9 else YES), sentence
    if 0 < frames["with_scan"] < _FEW_SCANS and frames["count"] == frames["of"]:
        yield LIMITS, f"only {frames['with_scan']} scans: use it among other bags"
    found = findings["alignment"]
    if found is None:
        yield LIMITS, "whether the extrinsics are right cannot be told (too few outlines in view): look at the pictures"
    elif not list(_problem(findings, "wrong_extrinsics", "wrong_focal")):
        yield YES, f"the LiDAR's outlines meet {found['score']:.2f} times the image's mean edge strength (1 is chance)"
    for sentence in _problem(findings, "clock_offset"):
        yield (NO if abs(findings["time_offset"]["lidar"]["seconds"]) > 0.1 else LIMITS), sentence


def _metres(findings: dict[str, Any]) -> Said:
    """Metres for who learns from video."""
    if "odometry" not in findings["time_offset"]:
        yield LIMITS, "no odometry: depth comes without a scale (with one, set `velocity: 1.0`)"


def _labels(findings: dict[str, Any]) -> Said:
    if findings["labels"]:
        yield YES, f"labels on {', '.join(findings['labels'])}"
    else:
        yield LIMITS, "no labelled boxes in the bag: good for pretraining, not for fine-tuning"


def _poses(findings: dict[str, Any]) -> Said:
    """Something to measure the odometry against."""
    if "odometry" in findings["time_offset"]:
        yield YES, f"reference poses from {findings['time_offset']['odometry']['source']}"
    elif (findings["chosen"] or {}).get("points"):
        yield LIMITS, "no one reference pose in the bag: name one with --reference, or kiss-icp, which follows the LiDAR"
    else:
        yield NO, "no odometry, moving TF or LiDAR to measure against: give a pose file with --reference"
    moved = findings["motion"]
    if moved and moved["path_m"] is not None and moved["path_m"] < 100:
        yield LIMITS, f"only {moved['path_m']:.0f} m driven: drift per 100 m cannot be measured"


def _drives(findings: dict[str, Any]) -> Said:
    if findings["chosen"] and findings["chosen"]["points"] is None:
        yield LIMITS, "no LiDAR: depth keeps the model's own scale"
    for sentence in _problem(findings, "no_extrinsics", "wrong_extrinsics", "no_base", "clock_offset", "stamps_backwards", "unpaired"):
        yield LIMITS, sentence
    if not findings["problems"] and findings["sync"] is not None:
        yield YES, f"{100 * findings['sync']['share_causal']:.0f} % of the images find a scan that came before them, within 0.15 s"


_SEEN: tuple[Check, ...] = (_images, _focal, _stamps)
_VIDEO: tuple[Check, ...] = (*_SEEN, _in_a_row, _slow, _moves)
PURPOSES: dict[str, tuple[Check, ...]] = {
    "train depth": (*_SEEN, _lidar, _in_a_row, _moves),
    "train depth, video.yaml": (*_VIDEO, _metres),
    "train depth, robust.yaml": _VIDEO,
    "train student": (*_SEEN, _lidar),
    "contrast": (*_SEEN, _lidar),
    "objects": (*_SEEN, _lidar, _labels),
    "markings": (_pictures,),
    "evaluate depth": (*_SEEN, _lidar),
    "evaluate odometry": (*_VIDEO, _poses),
    "drive": (_images, _focal, _slow, _drives),
}
