"""What the tests of typed and sized exports share: a small trained model that has something to round, and a simulated drive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from depth_perception import decode
from depth_perception.__main__ import main
from depth_perception.bag import Bag, Writer, messages
from depth_perception.frame import Scan
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.train import depth as recipe
from depth_perception.train.fit import History

CONFIG = recipe.Config(height=64, width=96, student=StudentConfig(channels=(8, 32, 32, 64, 64)),
                       pose=PoseNetConfig(channels=(16, 32, 32, 32, 32)))
TRIPLET = replace(CONFIG.pose, form="triplet")


def trained(path: Path, **changes) -> dict[str, torch.nn.Module]:
    """A model directory with weights and running statistics that are not the fresh ones, and its networks."""
    config = replace(CONFIG, **changes)
    torch.manual_seed(1)
    networks = recipe.new_networks(config).train()
    with torch.no_grad():
        for head in (m for m in networks["depth"].modules() if type(m).__name__ == "DisparityHead"):
            head.conv.weight.normal_(std=0.1)  # an answer that depends on the image
        for _ in range(3):
            networks["depth"](torch.rand(2, 3, config.height, config.width))
            networks["pose"](*torch.rand(len(config.pose.inputs), 2, 3, config.height, config.width))
    recipe.write(networks.eval(), path, config, History(rows=[{"step": 1, "distance": 1.0}]), {"command": "test"})
    return networks


def drive(path: Path) -> Path:
    """A simulated drive of 20 small images with LiDAR."""
    options = ["--seconds", "2", "--seed", "3", "--width", "192", "--height", "96", "--lidar-columns", "180", "--lidar-rings", "16"]
    assert main(["simulate", *options, "--no-truth", "--out", str(path)]) == 0
    return path


def with_a_second_camera(source: Path, out: Path) -> Path:
    """A drive with all of its images upside down as another camera's, /second/image, and with every other point as another LiDAR's."""
    bag = Bag(source)
    with Writer(out) as new:
        for topic, kind, log_ns, raw in bag.messages():
            new.write(topic, bag.decode(kind, raw), log_ns)
            message = bag.decode(kind, raw)
            if topic == "/camera/image":
                message.data = np.ascontiguousarray(message.data.reshape(message.height, -1)[::-1]).ravel()
                new.write("/second/image", message, log_ns)
            elif topic == "/camera/camera_info":
                new.write("/second/camera_info", message, log_ns)
            elif topic == "/lidar/points":
                scan = decode.scan(message)
                new.write("/second/points", messages.points(Scan(scan.points[::2], scan.stamp_ns, frame_id=scan.frame_id)), log_ns)
    return out


def without_camera_info(source: Path, out: Path) -> Path:
    """A drive that does not say what its camera is."""
    bag = Bag(source)
    with Writer(out) as new:
        for topic, kind, log_ns, raw in bag.messages():
            if topic != "/camera/camera_info":
                new.write(topic, bag.decode(kind, raw), log_ns)
    return out
