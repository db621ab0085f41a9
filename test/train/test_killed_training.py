"""kill -9 at a random moment, then --resume: the very weights of a run that nobody killed."""

import os
import random
import signal
import subprocess
import sys

import numpy as np

from depth_perception import model
from depth_perception.bag import Writer, messages
from depth_perception.frame import Calibration, Scan

STEPS = 40
SCRIPT = """
import sys
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.train import depth, fit
bag, out, resume = sys.argv[1:]
config = depth.Config(height=32, width=64, student=StudentConfig(channels=(4,) * 5), pose=PoseNetConfig(channels=(4,) * 5),
                      validate=0.2, fit=fit.FitConfig(threads=1, checkpoint_s=0, snapshot_every=2, validate_every=5))
honest = depth.terms
def terms(*args):
    print("step", flush=True)
    return honest(*args)
depth.terms = terms
depth.train([bag], out, config=config, budget=depth.Budget(steps=40), batch=2, seed=5, resume=resume == "resume")
"""
K = np.array([[60.0, 0, 47.5], [0, 60, 23.5], [0, 0, 1]])


def write_bag(path):
    """Sixteen images of a textured wall, 0.5 m apart, and its scans."""
    camera = Calibration(K, 96, 48, "camera")
    T_lidar_camera = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    v, u = np.mgrid[:48, :96]
    with Writer(path) as bag:
        bag.write("/tf_static", messages.transforms([("lidar", "camera", T_lidar_camera)], stamp_ns=0), 0)
        for i in range(16):
            stamp = 10**9 + i * 10**8
            x, y = (u - 47.5) / 60 * 8 + 0.5 * i, (v - 23.5) / 60 * 8
            image = np.repeat((127 + 60 * np.sin(2.3 * x + 0.8 * y) + 60 * np.cos(2.9 * y - 1.7 * x))[..., None], 3, 2).astype(np.uint8)
            wall = np.stack([np.full_like(x, 8.0), -(u - 47.5) / 60 * 8, -y], -1)[::2, ::2].reshape(-1, 3).astype(np.float32)
            bag.write("/points", messages.points(Scan(wall, stamp, frame_id="lidar")), stamp)
            bag.write("/camera_info", messages.camera_info(camera, stamp_ns=stamp), stamp)
            bag.write("/image", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
    return path


def start(bag, out, resume):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(bag), str(out), resume], stdout=subprocess.PIPE, text=True, env=environment)


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    bag = write_bag(tmp_path / "bag")
    whole = start(bag, tmp_path / "whole", "new")
    cut = start(bag, tmp_path / "cut", "new")
    kill_after = random.randrange(6, STEPS - 5)  # the first checkpoint is at step 2
    steps = 0
    for line in cut.stdout:
        steps += line.startswith("step")
        if steps == kill_after:
            cut.send_signal(signal.SIGKILL)
            break
    cut.communicate()
    assert cut.returncode == -signal.SIGKILL
    resumed = start(bag, tmp_path / "cut", "resume")
    assert resumed.communicate()[0].count("step") < STEPS and resumed.returncode == 0
    whole.communicate()
    assert whole.returncode == 0

    for name in ("depth.safetensors", "pose.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), f"killed at step {kill_after}"
    a, b = (model.load(tmp_path / name).lineage for name in ("whole", "cut"))
    assert a["best"] == b["best"] and a["last"] == b["last"] and a["held_out"] == 2
    assert not list((tmp_path / "cut").glob(".*"))  # nothing half-written is left
