"""A drive past a painted wall, and tiny configurations that learn from it."""

from dataclasses import replace

import numpy as np

from depth_perception.frame import Calibration, Frame, Scan
from depth_perception.networks.depth import DepthNetConfig
from depth_perception.networks.offset import OffsetNetConfig
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.samples import Batches, Drives
from depth_perception.train.depth_config import Config
from depth_perception.train.fit import FitConfig

K = np.array([[120.0, 0, 95.5], [0, 130, 47.5], [0, 0, 1]])
S1 = Config(height=64, width=128, match_every=1, validate=0.0, student=StudentConfig(channels=(4, 4, 6, 4, 4)),
            s1=DepthNetConfig(channels=(4, 4, 6, 4, 4)), pose=PoseNetConfig(channels=(4, 4, 4, 4, 4)), offset=OffsetNetConfig(channels=6),
            fit=FitConfig(threads=1, device="cpu"))
S2 = replace(S1, velocity=1.0, style=0.01, alignment=0.01, density=0.01, mask="moved+weighted", reconstruction="residual")


def frames(count=14):
    """Frame i stands i * 0.25 m to the right in front of a wall 8 m away."""
    v, u = np.mgrid[:96, :192]
    for i in range(count):
        x, y = (u - 95.5) / 120 * 8 + i * 0.25, (v - 47.5) / 130 * 8
        paint = 0.5 + 0.2 * np.sin(2.3 * x + 0.8 * y) + 0.2 * np.cos(2.9 * y - 1.7 * x)
        points = np.stack([(u - 95.5) / 120 * 8, y, np.full_like(y, 8.0)], -1)[::3, ::3].reshape(-1, 3).astype(np.float32)
        image = np.repeat((paint[..., None] * 255).astype(np.uint8), 3, 2)
        yield Frame(image, i * 10**8, Calibration(K, 192, 96, T_camera_lidar=np.eye(4)), Scan(points, i * 10**8))


def batches(config=S1, *, batch=3, seed=0):
    """Its batches."""
    drives = Drives(config.samples, validate=config.validate)
    drives.add(frames(), travelled=lambda before, now: 0.25)
    return Batches(drives, height=config.height, width=config.width, batch=batch, seed=seed)
