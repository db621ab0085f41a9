"""How far the camera travelled between two images, by the odometry of the bag: what gives metres to a car without LiDAR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_perception.bag import FrameReader, poses
from depth_perception.frame import BadInput
from depth_perception.geometry import pose


def travelled(reader: FrameReader, source: str | None = None) -> Callable[[int, int], float]:
    """(stamp, stamp) ns -> metres that the camera moved between them; NaN before the first pose and after the last.

    source: as for `bag.poses.find`. The poses are the moving frame's; where the bag's static TF knows the camera in it, the camera's
    own way is measured (it swings out in a bend), else the frame's.
    """
    try:
        found = poses.find(reader.bag, source)
    except BadInput as error:
        raise BadInput(f"velocity: {error}") from error
    T_frame_camera = reader.tree.between(found.frame, reader.calibration.frame_id)
    places = found.poses if T_frame_camera is None else found.poses @ T_frame_camera
    seen = poses.Poses(places, found.stamps_ns, found.frame, found.source)

    def between(first_ns: int, last_ns: int) -> float:
        T, inside = seen.at(np.array([first_ns, last_ns], np.int64))
        if not inside.all():
            return float("nan")
        return float(np.linalg.norm((pose.inverse(T[0]) @ T[1])[:3, 3]))

    return between
