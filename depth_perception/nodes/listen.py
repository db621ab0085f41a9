"""A few seconds of a running car as a bag: what `setup-car --live` looks at."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor

from depth_perception.frame import BadInput
from depth_perception.nodes.recorder_topics import LARGE

_STARTS_S = 20.0


def listen(folder: Path, *, seconds: float) -> tuple[Path, dict[str, str]]:
    """Records everything on the graph for so long, with `recorder_node`.

    The process's environment says which domain, and which transport profile.

    Returns:
        the bag, in `folder`, and topic -> publisher of images and clouds that are offered and from which nothing came.
    Raises:
        BadInput: nobody publishes anything, or the recorder gave up.
    """
    bag = folder / "heard"
    command = [sys.executable, "-m", "depth_perception.nodes.recorder_node", "--ros-args", "--log-level", "error",
               "-p", f"path:={bag}", "-p", f"duration_s:={seconds:.1f}", "-p", "end_on_error:=true"]
    context = rclpy.Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    node = rclpy.create_node("setup_car", context=context)
    executor.add_node(node)
    offered: dict[str, str] = {}
    with (folder / "said").open("w+") as said:
        recorder = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            end = time.monotonic() + seconds + _STARTS_S
            while recorder.poll() is None and time.monotonic() < end:
                executor.spin_once(timeout_sec=0.2)
                for topic, _ in node.get_topic_names_and_types():
                    for publisher in node.get_publishers_info_by_topic(topic):
                        if publisher.topic_type in LARGE:
                            offered[topic] = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
        finally:
            if recorder.poll() is None:
                recorder.terminate()
            code = recorder.wait(10)
            executor.shutdown()
            node.destroy_node()
            rclpy.shutdown(context=context)
        said.seek(0)
        lines = said.read().strip().splitlines()
    if code or not bag.is_dir():
        raise BadInput(f"--live: the recorder ended with code {code}: {lines[-1] if lines else 'it did not say why'}")
    from depth_perception.bag import Bag

    try:
        heard = {topic for topic, (_, count) in Bag(bag).topics.items() if count}
    except BadInput:
        heard = set()
    return bag, {topic: name for topic, name in offered.items() if topic not in heard}
