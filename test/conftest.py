"""What several rooms' tests need: the real drive where it is at hand, a tiny model, and a DDS domain of this run's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depth_perception.model import Model, save_manifest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

# Nothing of a test may leave this machine, and tests that run side by side must not hear each other.
os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 90))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


@pytest.fixture(scope="session")
def kitti_folder(tmp_path_factory) -> Path:
    """The KITTI drive in its raw layout."""
    archive = SHARED / "kitti_2011_09_26_drive_0009_0-50.tar.xz"
    if not archive.is_file():
        pytest.skip(f"needs {archive}")
    folder = tmp_path_factory.mktemp("kitti")
    subprocess.run(["tar", "-xJf", archive, "-C", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def kitti_bag(kitti_folder) -> Path:
    """The KITTI drive as kitti2mcap writes it: a bare .mcap, 51 images and scans, GPS/IMU poses on /tf."""
    command = Path(sys.executable).parent / "kitti2mcap"
    if not command.is_file():
        pytest.skip(f"needs {command} (requirements/learn.txt)")
    bag = kitti_folder / "k.mcap"
    subprocess.run(
        [command, "--date", "2011_09_26", "--drive", "0009", "--kitti-dir", kitti_folder, "--output", bag, "--frames", "51"],
        check=True,
        capture_output=True,
    )
    return bag


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A model whose answers are plain arithmetic: depth = 5 + 40 * mean colour, forward motion = 10 * (mean neighbour - mean image)."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    def tensor(name, values):
        values = np.asarray(values, np.float32)
        return helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.ravel())

    def axes(name, values):
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    def save(path, nodes, inputs, output, constants):
        def info(name, shape):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(nodes, path.stem, [info(*i) for i in inputs], [info(*output)], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    node = helper.make_node
    save(
        folder / "depth.onnx",
        [
            node("ReduceMean", ["image", "channels"], ["grey"], keepdims=1),
            node("Mul", ["grey", "forty"], ["range"]),
            node("Add", ["range", "five"], ["depth"]),
        ],
        [("image", [1, 3, 32, 64])],
        ("depth", [1, 1, 32, 64]),
        [axes("channels", [1]), tensor("forty", 40.0), tensor("five", 5.0)],
    )
    save(
        folder / "pose.onnx",
        [
            node("Sub", ["image", "neighbour"], ["difference"]),
            node("ReduceMean", ["difference", "all"], ["mean"], keepdims=0),
            node("Mul", ["mean", "forward"], ["motion"]),
            node("Reshape", ["motion", "shape"], ["pose"]),
        ],
        [("image", [1, 3, 32, 64]), ("neighbour", [1, 3, 32, 64])],
        ("pose", [1, 6]),
        [axes("all", [0, 1, 2, 3]), tensor("forward", [0, 0, 0, 0, 0, 10.0]), axes("shape", [1, 6])],
    )
    save_manifest(Model(folder, "depth", {"depth": {}, "pose": {}}, height=32, width=64, canonical_focal_px=40.0))
    dark, bright = (np.full((1, 3, 32, 64), value, np.float32) for value in (0.25, 0.5))
    motion = np.zeros((1, 6), np.float32)
    motion[0, 5] = 10 * (0.25 - 0.5)
    np.savez(
        folder / "selftest.npz",
        **{
            "depth.0.in.image": dark,
            "depth.0.out": np.full((1, 1, 32, 64), 15, np.float32),
            "pose.0.in.image": dark,
            "pose.0.in.neighbour": bright,
            "pose.0.out": motion,
        },
    )
    return folder
