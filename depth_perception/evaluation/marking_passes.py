"""Drives in bags as what the markings systems see of them: masks, depth and poses, image by image."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from depth_perception import bag as bags
from depth_perception import decode, engine
from depth_perception.bag import poses as bag_poses
from depth_perception.evaluation.offline import _bits, _Images, depth_system
from depth_perception.frame import BadInput, Frame
from depth_perception.geometry import pose
from depth_perception.model import Model
from depth_perception.systems.depth import road_of_scan
from depth_perception.systems.marking_verdicts import STATES, Compare, Verdict, report_properties
from depth_perception.systems.markings import Config, Markings, MarkingsOutput
from depth_perception.systems.missing_markings import MissingMarkings, Pose
from depth_perception.systems.reference_map import ReferenceMap, to_json


def markings_system(model: Model, *, config: Config | None = None, threads: int = 2) -> Markings:
    """The system of a model of `train markings`, its engine proven; BadInput for a model of another kind."""
    if model.kind != "markings":
        raise BadInput(f"model {model.path}: wanted one of markings (`train markings` makes it), it is one of {model.kind}")
    return Markings(engine.load(model, "markings", threads=threads), height=model.height, width=model.width, config=config or Config())


@dataclass(frozen=True)
class Sources:
    """Where a bag's masks, depth and poses come from.

    Attributes:
        masks: topic of mono8 class ids, instead of a model. depth: topic of depth images, instead of a model. Both of the image as the
            camera sends it; `markings/mask` and `depth/image`, which nodes publish, are of the rectified one.
        poses: topic of odometry or poses, or PARENT:CHILD of TF; None: the only one that the bag has.
        frame: name of the frame that the poses are in; None: as they say.
    """

    masks: str | None = None
    depth: str | None = None
    poses: str | None = None
    frame: str | None = None

    def of(self, path: str | Path) -> tuple[bag_poses.Poses, str]:
        """A bag's poses and the name of their frame; BadInput when it has none, or they do not say."""
        known = bag_poses.find(bags.Bag(path), self.poses, whose="poses", option="--poses")
        name = self.frame if self.frame is not None else known.world
        if not name:
            raise BadInput(f"--frame: wanted the name of the frame that the poses of {path} are in, {known.source} does not say")
        return known, name


# At which a scan's road is looked for where no depth network says at what size it looks.
_SIZE = (128, 416)


def passed(
    path: str | Path, *, sources: Sources, markings_model: Model | None = None, depth_model: Model | None = None, **options: Any
) -> Iterator[tuple[Frame, MarkingsOutput, Pose | None]]:
    """Every image of a bag, as the node sees it: on the road that its scan shows, where it has one. No pose where the bag has none at that
    time. BadInput when masks or poses are nowhere."""
    if sources.masks is None and markings_model is None:
        raise BadInput("masks: wanted a markings model, or --masks with a topic of masks")
    reader = bags.FrameReader(path, pairing="latest", **options)
    known, world = sources.of(path)
    T_moving_base = _T_moving_base(known.frame, reader)
    system = markings_system(markings_model) if markings_model is not None and sources.masks is None else Markings(_none, height=1, width=1)
    masks = _Images(str(path), sources.masks, _bits, "--masks") if sources.masks else None
    depths = _Images(str(path), sources.depth, decode.depth_image, "--depth") if sources.depth else None
    depth_of: Callable[[Frame], np.ndarray] | None = None
    size = _SIZE if depth_model is None else (depth_model.height, depth_model.width)
    if depths is None and depth_model is not None:
        estimate = depth_system(depth_model)

        def depth_of(frame: Frame) -> np.ndarray:
            return estimate.step(frame).depth


    def straight(values: np.ndarray | None, topic: str | None) -> np.ndarray | None:
        """As the rectified image has it; what a node of ours said is that already."""
        if values is None or str(topic).endswith(("/markings/mask", "/depth/image")):
            return values
        return np.ascontiguousarray(reader.rectified_labels(values))

    for frame in tqdm(reader, desc=str(path), unit="frame", disable=not sys.stderr.isatty()):
        depth = straight(depths.at(frame.stamp_ns), sources.depth) if depths else depth_of(frame) if depth_of is not None else None
        at, inside = known.at(np.array([frame.stamp_ns], np.int64))
        here = Pose(at[0] @ T_moving_base, frame.stamp_ns, world) if inside[0] else None
        seen = {"depth": depth, "T_odom_base": None if here is None else here.T_map_base, "plane": road_of_scan(frame, size)}
        if masks is None:
            yield frame, system.step(frame, **seen), here
            continue
        mask = straight(masks.at(frame.stamp_ns), sources.masks)
        if mask is not None:
            yield frame, system.given(frame, mask, **seen), here
    for sentence in reader.report():
        print(f"{path}: skipped {sentence}", file=sys.stderr)


@dataclass(frozen=True)
class Judged:
    """What is left of a map's markings: a verdict each, the report as GeoJSON, and the counts and reasons in words."""

    verdicts: list[Verdict]
    geojson: str
    summary: str


def check(paths: Sequence[str | Path], known: ReferenceMap, sources: Sources, **options: Any) -> None:
    """BadInput for a map that cannot be compared, and for a bag without poses, with poses in another frame than the map's, or of something
    whose place on the body nobody knows."""
    MissingMarkings(known)
    for path in paths:
        poses, world = sources.of(path)
        if world != known.frame:
            raise BadInput(f"--map: is in frame {known.frame!r}, the poses of {path} in {world!r}; --frame names it where they are one")
        _T_moving_base(poses.frame, bags.FrameReader(path, pairing="latest", **options))


def judged(paths: Sequence[str | Path], known: ReferenceMap, *, sources: Sources, compare: Compare | None = None, **options: Any) -> Judged:
    """Every bag is one pass; `options` as of `passed`. The report of a map that has an origin is in WGS84."""
    reading = {name: value for name, value in options.items() if not name.endswith("_model")}
    check(paths, known, sources, **reading)
    missing = MissingMarkings(known, compare=compare)
    why: Counter[str] = Counter()
    for path in paths:
        missing.new_pass()
        for _, seen, here in passed(path, sources=sources, **options):
            why.update(missing.step(seen, here).said)
    verdicts = missing.verdicts()
    text = to_json(known.frame, known.references, properties=report_properties(verdicts), origin=known.origin,
                   on_earth=known.origin is not None)
    counts = Counter(one.state for one in verdicts)
    lines = [", ".join(f"{counts[state]} {state}" for state in STATES)]
    lines += [f"{count} images gave no verdict: {sentence}" for sentence, count in why.most_common(5)]
    return Judged(verdicts, text, "\n".join(lines))


def as_numbers(output: MarkingsOutput) -> list[dict[str, Any]]:
    """What `predict markings` writes of each instance: pixels, and metres in the body frame where the road is known."""

    def plain(rings: tuple[np.ndarray, ...] | None, digits: int) -> list[list[list[float]]] | None:
        return None if rings is None else [np.round(ring, digits).tolist() for ring in rings]

    return [
        {
            "class": one.name,
            "class_id": one.kind,
            "confidence": round(one.confidence, 4),
            "box_px": list(one.box_px),
            "polygon_px": plain(one.pixels, 2),
            "polygon_m": plain(one.ground, 3),
            "centre_m": None if one.centre is None else np.round(one.centre, 3).tolist(),
            "size_m": None if one.size is None else np.round(one.size, 3).tolist(),
            "yaw": round(one.yaw, 4),
            "area_m2": round(one.area_m2, 4),
        }
        for one in output.instances
    ]


def _none(**_: np.ndarray) -> dict[str, np.ndarray]:
    raise AssertionError("masks are given")


def _T_moving_base(moving: str, reader: bags.FrameReader) -> np.ndarray:
    """(4, 4) body -> the frame that the poses move."""
    base = reader.calibration.base_frame
    if moving.lstrip("/") == base.lstrip("/"):
        return np.eye(4)
    if moving in ("camera", reader.calibration.frame_id) and reader.calibration.T_base_camera is not None:
        return pose.inverse(reader.calibration.T_base_camera)
    T = reader.tree.between(moving, base)
    if T is None:
        raise BadInput(f"poses: they move {moving!r}, and {reader.tree.gap(moving, base)}")
    return T
