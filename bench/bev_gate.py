"""What `bev.min_confidence` buys: how many of the cloud's points stand where nothing is, and how much of what is there it still shows.

    python -m bench.bev_gate --bag drive.mcap [--model DIR] [--json out/bench/bev_gate.json]

Things stand 0.4 to 2 m over the scan's ground, nearer than 20 m; all is seen from above, as a costmap sees it. A ghost is a point of the
cloud there without a LiDAR return of a thing within 1 m. Coverage is the share of the things' returns in the camera's view with such a
point of the cloud within 0.5 m. Means over the images; docs/nav2.md has the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception import model as models
from depth_perception.bag import FrameReader
from depth_perception.evaluation.offline import systems
from depth_perception.frame import Frame
from depth_perception.geometry import lidar, pose
from depth_perception.geometry.ground import plane as ground_plane
from depth_perception.model import as_json, write_atomically
from depth_perception.systems.bev import Bev, Config
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.odometry import OdometryOutput

GATES = (0.0, 0.3, 0.4, 0.5, 0.7)
LOW_M, HIGH_M, NEAR_M = 0.4, 2.0, 20.0
GHOST_M, COVERED_M = 1.0, 0.5


def scored(bag: str, model: models.Model, gates: tuple[float, ...] = GATES) -> list[dict[str, float]]:
    """A row for each gate: {"min_confidence", "ghosts", "coverage", "images"}; images: those with a scan."""
    drive = systems(model)
    drive.bev = None
    clouds = {gate: Bev(Config(min_confidence=gate)) for gate in gates}
    shares: dict[float, list[tuple[float, float]]] = {gate: [] for gate in gates}
    for frame in FrameReader(bag, pairing="latest"):
        seen = drive.at_image_time(frame)
        depth, odometry = None, None
        for output in drive.step(frame):
            if isinstance(output, DepthOutput):
                depth = output
            elif isinstance(output, OdometryOutput):
                odometry = output
        assert depth is not None
        for gate, bev in clouds.items():
            points = bev.step(frame, depth, odometry).points[:, :3]
            if seen.scan is not None and seen.calibration.T_camera_lidar is not None and seen.calibration.T_base_camera is not None:
                shares[gate].append(compared(points, seen))
    return [{"min_confidence": gate, "ghosts": mean([ghosts for ghosts, _ in rows]), "coverage": mean([covered for _, covered in rows]),
             "images": len(rows)} for gate, rows in shares.items()]


def compared(points: np.ndarray, frame: Frame) -> tuple[float, float]:
    """Shares of ghosts among a cloud's points (N, 3), body frame, metres, and of a frame's things that are covered; NaN of none."""
    assert frame.scan is not None
    calibration = frame.calibration
    in_camera = lidar.in_camera(frame.scan, calibration)
    returns = pose.transform(calibration.T_base_camera, in_camera)
    ground = ground_plane(returns)
    pixels = in_camera @ calibration.K.T
    u, v = pixels[:, :2].T / np.maximum(pixels[:, 2], 1e-6)
    in_view = (in_camera[:, 2] > 0.5) & (u >= 0) & (u < calibration.width) & (v >= 0) & (v < calibration.height)
    things, from_above = standing(returns, ground), np.array([1.0, 1.0, 0.0])
    ours, theirs, seen = (each * from_above for each in (points[standing(points, ground)], returns[things], returns[things & in_view]))
    ghosts = np.mean(nearest(ours, theirs) > GHOST_M) if len(ours) else np.nan
    covered = np.mean(nearest(seen, ours) <= COVERED_M) if len(seen) else np.nan
    return float(ghosts), float(covered)


def mean(shares: list[float]) -> float:
    """Of those that are numbers; NaN when none is."""
    known = [share for share in shares if np.isfinite(share)]
    return round(float(np.mean(known)), 3) if known else float("nan")


def standing(points: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """(N,) which of (N, 3) points belong to things."""
    height = points[:, 2] - (ground[0] * points[:, 0] + ground[1] * points[:, 1] + ground[2])
    return (height > LOW_M) & (height < HIGH_M) & (np.hypot(points[:, 0], points[:, 1]) < NEAR_M)


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) metres from each of (N, 3) points to the nearest of (M, 3) others; infinity of none."""
    import open3d as o3d

    if not len(others):
        return np.full(len(points), np.inf)
    ours, theirs = (o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.asarray(each, np.float64))) for each in (points, others))
    return np.asarray(ours.compute_point_cloud_distance(theirs))


def main() -> int:
    """Prints the table, writes --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", required=True)
    parser.add_argument("--model", help="model directory (default: the shipped student)")
    parser.add_argument("--json", default="out/bench/bev_gate.json")
    args = parser.parse_args()
    rows = scored(args.bag, models.load(args.model or models.shipped()))
    print("| `bev.min_confidence` | ghosts | coverage |\n|---|---|---|")
    for row in rows:
        print(f"| {row['min_confidence']} | {row['ghosts']:.0%} | {row['coverage']:.0%} |")
    made: dict[str, Any] = {"name": "bev_gate", "bag": Path(args.bag).name, "results": rows}
    write_atomically(Path(args.json), as_json(made))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
