"""The end of a drive, kept apart as a small bag: nobody learns from it, and every later model is scored on it."""

from __future__ import annotations

import shutil
from pathlib import Path

from depth_perception.bag import Bag, guess_topics
from depth_perception.bag.topics import CAMERA_INFO
from depth_perception.frame import BadInput
from depth_perception.loop.parts import Truth
from depth_perception.record import metadata
from depth_perception.record.kept import Kept
from depth_perception.record.mcap_file import Channel
from depth_perception.record.split_bag import SplitBag

GAP_S = 1.0  # what lies between what is learned from and what is scored: neighbours look alike
_TF = {"tf2_msgs/msg/TFMessage", CAMERA_INFO, "nav_msgs/msg/Odometry"}


class NothingSaid(BadInput):
    """A stretch cannot judge, for nobody has said what is to be seen in it."""


def hold_out(bag_path: str | Path, out: Path, *, share: float, image_topic: str | None = None, info_topic: str | None = None,
             points_topic: str | None = None, calibrated: bool = False, scans: bool = True, truth: Truth | None = None,
             truth_topic: str | None = None) -> Path:
    """Writes the last `share` of a bag's time, less GAP_S at its beginning, into the new bag `out`; whole or not at all.

    Camera, LiDAR, calibration, transforms and odometry; what is latched comes along from wherever it was said. truth: comes along from
    `truth_topic`, and lies at its own topic then. NothingSaid when there is none. calibrated: by a file, so that no CameraInfo is needed;
    scans: False where images are all that is needed.
    """
    bag = Bag(bag_path)
    chosen = guess_topics(bag, image_topic=image_topic, info_topic=info_topic, points_topic=points_topic, needs_info=not calibrated,
                          needs_points=scans)
    told = labelled_topic(bag, truth, truth_topic) if truth is not None else ""
    duration = bag.end_ns - bag.start_ns
    begin = bag.end_ns - int(share * duration) + min(int(GAP_S * 1e9), int(0.1 * share * duration))
    # Some recorders lose the QoS of TF static.
    owed = bag.latched | {name for name in bag.topics if f"/{name}".endswith("/tf_static")}
    wanted = {name for name in (chosen.image, chosen.camera_info, chosen.points) if name}
    wanted |= {name for name, (kind, _) in bag.topics.items() if kind in _TF} | owed & set(bag.topics)
    if chosen.camera_info:  # another camera's beside it, and nobody could tell any more whose is whose
        wanted -= {name for name, (kind, _) in bag.topics.items() if kind == CAMERA_INFO and name != chosen.camera_info}
    if truth is not None:
        wanted = wanted - {truth.topic} | {told}
    partial = out.with_name(f".{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    kept, channels, count, said = Kept(), {}, 0, truth is None
    new = SplitBag(partial, kept=kept)
    for topic, kind, log_ns, raw in bag.messages(sorted(wanted)):
        latched = topic in owed
        if topic not in channels:
            profile = metadata.profile(reliable=True, latched=latched)
            name = truth.topic if truth is not None and topic == told else topic
            channels[topic] = Channel(name, kind, bag.definition(kind), metadata.as_yaml([profile]))
        if log_ns < begin:
            kept.see(channels[topic], raw, latched=latched)
        else:
            count += topic == chosen.image
            said = said or (truth is not None and topic == told and truth.says_something(bag.decode(kind, raw)))
            new.write(channels[topic], raw, log_ns, latched=latched)
    if count < 3 or not said:
        new.abandon()
        shutil.rmtree(partial)
        last = f"in its last {share:.0%} ({share * duration * 1e-9:.1f} s)"
        if count < 3:
            raise BadInput(f"{bag_path}: wanted at least three images {last}, got {count}")
        assert truth is not None
        raise NothingSaid(f"{bag_path}: wanted {truth.name} of something {last}, {told} has none")
    new.close()
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return out


def labelled_topic(bag: Bag, truth: Truth, topic: str | None = None) -> str:
    """Where a bag has its truth; NothingSaid when it has none."""
    wanted = topic or truth.topic
    kind, count = bag.topics.get(wanted, ("", 0))
    if kind not in truth.kinds or not count:
        raise NothingSaid(f"{bag.path}: has no {truth.name} in {wanted}")
    return wanted


def is_folder(path: str | Path) -> bool:
    """Whether this is a folder of pictures and masks, and no bag."""
    return (Path(path) / "images").is_dir() and (Path(path) / "masks").is_dir()


def hold_out_folder(folder: Path, out: Path, *, share: float) -> Path:
    """Copies the last `share` of a folder's pictures by name, and their masks (images/, masks/, calibration.yaml); whole or not at all."""
    masks = {file.stem for file in (folder / "masks").iterdir()}
    images = sorted(file for file in (folder / "images").iterdir() if file.stem in masks)
    chosen = images[len(images) - int(share * len(images)):]
    if not chosen:
        raise BadInput(f"{folder}: wanted at least one picture in its last {share:.0%}, it has {len(images)} in all")
    names = {file.stem for file in chosen}
    partial = out.with_name(f".{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    for kind in ("images", "masks"):
        (partial / kind).mkdir(parents=True)
        for file in (folder / kind).iterdir():
            if file.stem in names:
                shutil.copyfile(file, partial / kind / file.name)
    if (folder / "calibration.yaml").is_file():
        shutil.copyfile(folder / "calibration.yaml", partial / "calibration.yaml")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return out
