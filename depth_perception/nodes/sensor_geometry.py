"""The camera's calibration and where camera and LiDAR stand: from a file, or from CameraInfo and TF. Needs no ROS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from depth_perception import decode
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.geometry.pose import FrameTree
from depth_perception.nodes.input_config import EXTRINSICS, Config
from depth_perception.systems.odometry import T_BODY_OPTICAL


class SensorGeometry:
    """Grows with the messages that come; what the user gives (Config) goes before what they say. One thread at a time.

    Attributes:
        info: the newest CameraInfo; None before the first.
        lidar_frame: the frame of the scans; None before the first.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._fixed = decode.read_calibration(config.calibration) if config.calibration else None
        self._tree, self._tree_version = FrameTree(), 0
        self.info: Any = None
        self.lidar_frame: str | None = None
        self._made: tuple[tuple[Any, ...], Calibration, decode.Rectifier] | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether the camera's calibration is a file's."""
        return self._fixed is not None

    @property
    def is_known(self) -> bool:
        """Whether the camera's calibration is known: from a file, or because a CameraInfo has come."""
        return self.is_fixed or self.info is not None

    def add_transforms(self, message: Any) -> None:
        """A message of TF static; BadInput for links that cannot be used, after the others were taken."""
        try:
            decode.transforms(message, self._tree)
        finally:
            self._tree_version += 1

    def calibration(self) -> tuple[Calibration, decode.Rectifier]:
        """The camera's calibration, made anew only when its CameraInfo, TF or the LiDAR's frame has changed. Raises BadInput."""
        camera = () if self._fixed else decode.camera_key(self.info)
        key, before = (camera, self._tree_version, self.lidar_frame), self._made
        if before is None or before[0] != key:
            if self._fixed is not None:
                calibration, rectifier = self._fixed
                calibration = decode.completed(calibration, self._tree, lidar_frame=self.lidar_frame)
            else:
                given = {name: T for name in EXTRINSICS if (T := self._config.transform(name)) is not None}
                calibration = replace(self._from_messages(), **given)
                # Its map takes ten milliseconds, and some publish TF static ten times a second.
                rectifier = before[2] if before is not None and before[0][0] == camera else decode.Rectifier(self.info)
            self._made = before = (key, calibration, rectifier)
        return before[1], before[2]

    def without_camera(self, lidar_frame: str) -> Calibration:
        """Where the LiDAR stands as TF has it, while no camera is known: of one that nobody looks through, in the body's middle.

        Raises BadInput where nothing says where the LiDAR stands.
        """
        body = self._config.base_frame or ("base_link" if "base_link" in self._tree else self._tree.root(lidar_frame))
        T_base_lidar = np.eye(4) if body == lidar_frame else self._tree.between(body, lidar_frame)
        if T_base_lidar is None:
            raise BadInput(self._tree.gap(body, lidar_frame) or f"points: TF does not say where {lidar_frame} is")
        # Only the way from the LiDAR to the body counts.
        T_camera_lidar = pose.inverse(T_BODY_OPTICAL) @ T_base_lidar
        return Calibration(np.diag([100.0, 100.0, 1.0]), 100, 100, "none", T_BODY_OPTICAL, T_camera_lidar, body)

    def findings(self) -> list[str]:
        """Sentences about extrinsics: missing ones, and those that TF and the user tell differently."""
        if self._fixed is not None:
            return self._missing_in_file() + self._disagreements_with_file(self._fixed[0])
        if self.info is None:
            return []
        try:
            from_tf = self._from_messages()
        except BadInput as error:
            return [str(error)]
        found: list[str | None] = []
        links = [("T_base_camera", from_tf.base_frame, from_tf.frame_id), ("T_camera_lidar", from_tf.frame_id, self.lidar_frame)]
        for name, target, source in links:
            told, given = getattr(from_tf, name), self._config.transform(name)
            if source is None:
                continue
            if told is not None and given is not None:
                found.append(decode.disagreement(f"input.{name}", told, given))
            elif told is None and given is None and target != source:
                found.append(self._tree.gap(target, source))
        return [sentence for sentence in found if sentence]

    def _missing_in_file(self) -> list[str]:
        """What neither the calibration file nor TF tells."""
        now = self.calibration()[0]
        links = [(now.T_base_camera, now.base_frame, now.frame_id), (now.T_camera_lidar, now.frame_id, self.lidar_frame)]
        gaps = [self._tree.gap(target, source) for T, target, source in links if T is None and source is not None]
        return [sentence for sentence in gaps if sentence]

    def _disagreements_with_file(self, given: Calibration) -> list[str]:
        """What CameraInfo, once there is a good one, and TF tell differently."""
        if self.info is None:
            return []
        try:
            return decode.disagreements(self._from_messages(), given)
        except BadInput:
            return []

    def _from_messages(self) -> Calibration:
        """What CameraInfo and TF say."""
        return decode.calibration(self.info, self._tree, lidar_frame=self.lidar_frame, base_frame=self._config.base_frame or None)
