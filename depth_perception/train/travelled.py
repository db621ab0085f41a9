"""How far the camera travelled between two images, by the odometry of the bag: what gives metres to a car without LiDAR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_perception.bag import FrameReader, poses
from depth_perception.frame import BadInput
from depth_perception.geometry import pose
from depth_perception.samples import Drives


def travelled(reader: FrameReader, source: str | None = None) -> Callable[[int, int], float]:
    """(stamp, stamp) ns -> metres that the camera moved between them; NaN where the odometry does not say (bag.poses.Poses.at).

    source: as for `bag.poses.find`. The poses are the moving frame's; where the bag's static TF knows the camera in it, the camera's
    own way is measured (it swings out in a bend), else the frame's.
    """
    found = poses.find(reader.bag, source, whose="velocity", option="velocity_source")
    T_frame_camera = reader.tree.between(found.frame, reader.calibration.frame_id)
    places = found.poses if T_frame_camera is None else found.poses @ T_frame_camera
    seen = poses.Poses(places, found.stamps_ns, found.frame, found.source)

    def between(first_ns: int, last_ns: int) -> float:
        T, inside = seen.at(np.array([first_ns, last_ns], np.int64))
        if not inside.all():
            return float("nan")
        return float(np.linalg.norm((pose.inverse(T[0]) @ T[1])[:3, 3]))

    return between


def untold(drives: Drives) -> str | None:
    """What looks wrong where the odometry tells the way of less than half of the newest drive's windows.

    BadInput where it tells none: the term would be 0 throughout, teach nothing, and look in every curve as if all were learned.
    """
    drive = drives.drives[-1]
    windows = [i for which, i in drives.windows + drives.held_out if drives.drives[which] is drive]
    told = sum(bool(np.isfinite(drive.travelled_m[i : i + 2]).any()) for i in windows)
    if not told:
        raise BadInput(f"{drive.name}: velocity: the odometry says in none of {len(windows)} windows how far the camera went; wanted poses "
                       f"by the camera's clock, at least one in {poses.GAP_NS / 1e9:g} s")
    said = f"{drive.name}: velocity: the odometry says in {told} of {len(windows)} windows how far the camera went; the others teach none"
    return said if 2 * told < len(windows) else None
