"""What `predict objects` writes of a frame: its boxes as numbers, and drawn over the image and from above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depth_perception.evaluation.objects_offline import as_numbers
from depth_perception.frame import Frame
from depth_perception.geometry import lidar, pose
from depth_perception.model import as_json, write_atomically
from depth_perception.report import objects as pictures
from depth_perception.report.pictures import save
from depth_perception.systems.objects import ObjectsOutput

SUFFIXES = (".json", ".png", ".above.png")  # boxes, over the image, over cloud and features


def write(files: Sequence[Path], frame: Frame, output: ObjectsOutput) -> None:
    """Writes the three files of a frame, each whole or not at all."""
    numbers, over_image, above = files
    said = {"stamp_ns": output.stamp_ns, "frame": output.base_frame, "modality": output.modality}
    write_atomically(numbers, as_json(said | {"boxes": [as_numbers(box) for box in output.boxes]}))
    save(over_image, pictures.over_camera(frame.image, output.calibration, output.boxes))
    save(above, from_above(frame, output))


def from_above(frame: Frame, output: ObjectsOutput) -> np.ndarray:
    """(H, 2 W, 3) cloud and features side by side, the boxes over both, in the view that the network had."""
    calibration, points = output.calibration, np.zeros((0, 3), np.float32)
    T_view_base = pose.inverse(output.T_base_view)
    if frame.scan is not None and frame.calibration.T_camera_lidar is not None:
        assert calibration.T_base_camera is not None
        points = pose.transform(T_view_base @ calibration.T_base_camera, lidar.in_camera(frame.scan, frame.calibration))
    boxes = [box.moved(T_view_base) for box in output.boxes]
    cloud = pictures.over_cloud(points, boxes, output.grid, pixel_m=output.grid.cell_m / 8)
    return np.concatenate([cloud, pictures.over_features(output.features, boxes, output.grid, enlarge=8)], 1)
