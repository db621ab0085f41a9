"""Whether a camera and a LiDAR are mounted, in TF and CameraInfo, as they are on the car: sentences on what cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from depth_perception.bag import Bag, FrameReader
from depth_perception.bag.topics import Topics
from depth_perception.frame import BadInput, Calibration, Frame
from depth_perception.geometry import camera, lidar

_LOOKED_AT = 3
_LEAST_SHARE = 0.005  # of a scan's points in the image: a camera of 20 degrees still sees ten times as many of a full turn
_UPRIGHT = 0.7


def seen(path: str | Path | Bag, topics: Topics, *, calibration: str | None = None) -> list[Frame]:
    """The first frames that have a scan, paired as for driving or training; none where frames cannot be read."""
    try:
        reader = FrameReader(path.path if isinstance(path, Bag) else path, image_topic=topics.image, info_topic=topics.camera_info,
                             points_topic=topics.points, calibration=calibration, pairing="nearest")
        return list(islice((frame for frame in reader if frame.scan is not None), _LOOKED_AT))
    except BadInput:
        return []


def wrong(calibration: Calibration, frames: list[Frame]) -> Iterator[str]:
    """A camera frame that is not optical; a scan of which nothing, or next to nothing, falls into the image."""
    T = calibration.T_base_camera
    if T is not None and T[2, 2] > _UPRIGHT:
        yield (f"the camera's frame {calibration.frame_id} looks up (its z axis is {calibration.base_frame}'s): images are of optical "
               "frames, x right, y down, z ahead (REP 103); name the optical frame in the driver, or turn it in TF")
    elif T is not None and T[2, 1] > _UPRIGHT:
        yield f"the camera's frame {calibration.frame_id} stands upside down in TF: its y axis points up, and should point down"
    shares = [in_view(frame) for frame in frames if frame.calibration.T_camera_lidar is not None]
    if shares and max(shares) < _LEAST_SHARE:
        yield (f"{100 * max(shares):.1f} % of the scan's points fall into the image: the transform between {frames[0].scan.frame_id} and "  # type: ignore[union-attr]
               f"{calibration.frame_id} points elsewhere")


def in_view(frame: Frame) -> float:
    """The share of a scan's points that the camera should see."""
    assert frame.scan is not None
    if not len(frame.scan.points):
        return 0.0
    pixels, z = camera.project(frame.calibration.K, lidar.in_camera(frame.scan, frame.calibration))
    inside = (z > 0.5) & (pixels >= 0).all(1) & (pixels[:, 0] < frame.calibration.width) & (pixels[:, 1] < frame.calibration.height)
    return float(np.mean(inside))
