"""The end of a drive, kept apart as a small bag: nobody learns from it, and every later model is scored on it."""

from __future__ import annotations

import shutil
from pathlib import Path

from depth_perception.bag import Bag, guess_topics
from depth_perception.frame import BadInput
from depth_perception.record import metadata
from depth_perception.record.kept import Kept
from depth_perception.record.mcap_file import Channel
from depth_perception.record.split_bag import SplitBag

GAP_S = 1.0  # what lies between what is learned from and what is scored: neighbours look alike
_TF = {"tf2_msgs/msg/TFMessage", "sensor_msgs/msg/CameraInfo", "nav_msgs/msg/Odometry"}


def hold_out(bag_path: str | Path, out: Path, *, share: float, image_topic: str | None = None, points_topic: str | None = None) -> Path:
    """Writes the last `share` of a bag's time, less GAP_S at its beginning, into the new bag `out`; whole or not at all.

    Camera, LiDAR, calibration, transforms and odometry; what is latched comes along from wherever it was said.
    """
    bag = Bag(bag_path)
    chosen = guess_topics(bag, image_topic=image_topic, points_topic=points_topic)
    duration = bag.end_ns - bag.start_ns
    begin = bag.end_ns - int(share * duration) + min(int(GAP_S * 1e9), int(0.1 * share * duration))
    # Some recorders lose the QoS of TF static.
    owed = bag.latched | {name for name in bag.topics if f"/{name}".endswith("/tf_static")}
    wanted = {name for name in (chosen.image, chosen.camera_info, chosen.points) if name}
    wanted |= {name for name, (kind, _) in bag.topics.items() if kind in _TF} | owed & set(bag.topics)
    partial = out.with_name(f".{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    kept, channels, count = Kept(), {}, 0
    new = SplitBag(partial, kept=kept)
    for topic, kind, log_ns, raw in bag.messages(sorted(wanted)):
        latched = topic in owed
        if topic not in channels:
            profile = metadata.profile(reliable=True, latched=latched)
            channels[topic] = Channel(topic, kind, bag.definition(kind), metadata.as_yaml([profile]))
        if log_ns < begin:
            kept.see(channels[topic], raw, latched=latched)
        else:
            count += topic == chosen.image
            new.write(channels[topic], raw, log_ns, latched=latched)
    if count < 3:
        new.abandon()
        shutil.rmtree(partial)
        raise BadInput(f"{bag_path}: wanted at least three images in its last {share:.0%} ({share * duration * 1e-9:.1f} s), got {count}")
    new.close()
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return out
