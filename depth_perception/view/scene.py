"""A drive as Rerun entities: each answer at the stamp of its image, in the frame it is in.

    world                         odometry's frame
      trajectory/0, 1, ...        where the car has been, in pieces
      car                         body frame, moved by odometry
        lidar, bev, grid, objects, polygons
        camera/image              pinhole, camera image; markings over it
        camera/depth              pinhole of the depth's own size
        camera/confidence
    map/defects                   in the frame of the reference map
    latency/NODE/STAGE, scale/NAME, log
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rerun as rr

from depth_perception.frame import Calibration
from depth_perception.geometry import camera, pose
from depth_perception.geometry.boxes import Box3D
from depth_perception.systems import palette
from depth_perception.view import smaller

TIMELINE = "stamp"
CAR, CAMERA = "world/car", "world/car/camera"
BOX_COLOURS = {"car": (26, 128, 255), "truck": (153, 77, 255), "pedestrian": (255, 77, 51), "cyclist": (255, 179, 26)}
DEFECT_COLOURS = {"worn": (255, 217, 26), "broken": (255, 128, 0), "missing": (255, 26, 26)}
FAR_M = 80.0
# A path that is sent anew with every step would be as the square of its length: a piece is, up to this many points, so far apart.
PIECE, STEP_M = 200, 0.5


class Scene:
    """Takes what a drive's nodes say and logs it into a recording. All frames and units are those of the outputs (docs/nodes.md)."""

    def __init__(self, recording: rr.RecordingStream) -> None:
        self._recording = recording
        self._camera: Calibration | None = None
        self._depth_camera: tuple[Calibration, tuple[int, ...]] | None = None
        self._path: list[np.ndarray] = []
        self._piece = 0
        recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        recording.log(CAR, rr.TransformAxes3D(1.5), static=True)

    def camera(self, stamp_ns: int, image: np.ndarray, calibration: Calibration) -> None:
        """(H, W, 3) uint8 RGB, rectified, and its camera. Where the camera stands is logged when it changes."""
        if self._camera is not calibration:
            self._camera = calibration
            if calibration.T_base_camera is not None:
                self._log(stamp_ns, CAMERA, _transform(calibration.T_base_camera))
            self._log(stamp_ns, f"{CAMERA}/image", _pinhole(calibration, (calibration.height, calibration.width)))
        self._log(stamp_ns, f"{CAMERA}/image", rr.EncodedImage(contents=smaller.jpeg(image), media_type="image/jpeg"))

    def depth(self, stamp_ns: int, depth: np.ndarray) -> None:
        """(H, W) metres, NaN = none, of the camera's image; it may be smaller than that (depth.size)."""
        png, step = smaller.depth_png(depth)
        if self._camera is not None and self._depth_camera != (self._camera, depth.shape):
            self._depth_camera = self._camera, depth.shape
            self._log(stamp_ns, f"{CAMERA}/depth", _pinhole(self._camera, depth.shape, step))
        self._log(stamp_ns, f"{CAMERA}/depth", rr.EncodedDepthImage(
            png, media_type="image/png", meter=smaller.UNITS_PER_M, colormap=rr.components.Colormap.Turbo,
            depth_range=(0.0, FAR_M * smaller.UNITS_PER_M)))

    def confidence(self, stamp_ns: int, confidence: np.ndarray) -> None:
        """(H, W) 0..1."""
        contents = smaller.confidence_jpeg(confidence)
        self._log(stamp_ns, f"{CAMERA}/confidence", rr.EncodedImage(contents=contents, media_type="image/jpeg"))

    def scan(self, stamp_ns: int, points: np.ndarray) -> None:
        """(N, >=3) LiDAR returns, body frame."""
        self._log(stamp_ns, f"{CAR}/lidar", rr.Points3D(smaller.thinned(points), colors=[(200, 200, 200)], radii=rr.Radius.ui_points(1.2)))

    def cloud(self, stamp_ns: int, points: np.ndarray) -> None:
        """(N, >=3) the camera's cloud, body frame, coloured by height."""
        few = smaller.thinned(points)
        self._log(stamp_ns, f"{CAR}/bev", rr.Points3D(few, colors=smaller.height_colours(few), radii=rr.Radius.ui_points(2.0)))

    def grid(self, stamp_ns: int, cells: np.ndarray, *, corner: tuple[float, float], cell_m: float) -> None:
        """(rows along y, columns along x) int8 occupancy as nav_msgs has it; corner: x, y of cell (0, 0)'s corner, body frame."""
        form = rr.components.ImageFormat(width=cells.shape[1], height=cells.shape[0], color_model="L", channel_datatype="U8")
        # The first row of a picture is its upper one.
        data = np.ascontiguousarray(cells[::-1]).tobytes()
        self._log(stamp_ns, f"{CAR}/grid", rr.GridMap(
            data=data, format=form, cell_size=cell_m, translation=[*corner, 0.0], opacity=0.5, colormap=rr.components.Colormap.RvizMap))

    def boxes(self, stamp_ns: int, boxes: Sequence[Box3D]) -> None:
        """Objects, body frame; none clears those before."""
        turned = [rr.Quaternion(xyzw=[0, 0, np.sin(box.yaw / 2), np.cos(box.yaw / 2)]) for box in boxes]
        self._log(stamp_ns, f"{CAR}/objects", rr.Boxes3D(
            centers=np.array([box.centre for box in boxes]).reshape(-1, 3), sizes=np.array([box.size for box in boxes]).reshape(-1, 3),
            quaternions=turned, colors=[BOX_COLOURS[box.label] for box in boxes],
            labels=[f"{box.label} {box.score:.2f}" for box in boxes], radii=rr.Radius.ui_points(1.5)))

    def mask(self, stamp_ns: int, mask: np.ndarray) -> None:
        """(H, W) uint8 class ids of the camera's image, drawn over it."""
        contents = smaller.markings_png(mask)
        self._log(stamp_ns, f"{CAMERA}/image/markings", rr.EncodedImage(contents=contents, media_type="image/png", draw_order=1.0))

    def polygons(self, stamp_ns: int, outlines: Sequence[tuple[str, np.ndarray]]) -> None:
        """Class and (N, 3) outline of each marking on the road, body frame."""
        self._log(stamp_ns, f"{CAR}/polygons", rr.LineStrips3D(
            [ring for _, ring in outlines], colors=[palette.COLOURS.get(name, palette.GREY) for name, _ in outlines],
            labels=[name for name, _ in outlines], show_labels=False, radii=rr.Radius.ui_points(1.5)))

    def defects(self, stamp_ns: int, outlines: Sequence[tuple[str, np.ndarray]], words: Sequence[str]) -> None:
        """Verdict and (N, 3) outline of each marking that is worn, broken or missing, in the map's frame; and in words."""
        self._log(stamp_ns, "map/defects", rr.LineStrips3D(
            [ring for _, ring in outlines], colors=[DEFECT_COLOURS.get(name, palette.GREY) for name, _ in outlines],
            radii=rr.Radius.ui_points(3.0)))
        for said in words:
            self._log(stamp_ns, "log", rr.TextLog(said, level="WARN"))

    def pose(self, stamp_ns: int, T_odom_base: np.ndarray) -> None:
        """(4, 4) where the car is; its path grows with it."""
        self._log(stamp_ns, CAR, _transform(T_odom_base))
        here = T_odom_base[:3, 3].astype(np.float32)
        if self._path and np.linalg.norm(here - self._path[-1]) < STEP_M:
            return
        if len(self._path) == PIECE:
            self._path, self._piece = self._path[-1:], self._piece + 1
        self._path.append(here)
        strip = rr.LineStrips3D([np.stack(self._path)], colors=[(255, 160, 40)], radii=rr.Radius.ui_points(3.0))
        self._log(stamp_ns, f"world/trajectory/{self._piece}", strip)

    def figures(self, stamp_ns: int, path: str, values: dict[str, float]) -> None:
        """Named numbers as time series below `path`: latency/NODE in ms, scale."""
        for name, value in values.items():
            self._log(stamp_ns, f"{path}/{name}", rr.Scalars([float(value)]))

    def said(self, stamp_ns: int, level: str, sentence: str) -> None:
        """A sentence for the log; level: INFO, WARN or ERROR."""
        self._log(stamp_ns, "log", rr.TextLog(sentence, level=level))

    def _log(self, stamp_ns: int, path: str, what: rr.AsComponents) -> None:
        self._recording.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))
        self._recording.log(path, what)


def _transform(T: np.ndarray) -> rr.Transform3D:
    return rr.Transform3D(translation=T[:3, 3], quaternion=rr.Quaternion(xyzw=pose.quaternion_from_matrix(T[:3, :3])))


def _pinhole(calibration: Calibration, size: tuple[int, ...], step: int = 1) -> rr.Pinhole:
    """The camera of every `step`-th pixel of its image made (height, width) = `size`."""
    K = camera.resize_K(calibration.K, from_size=(calibration.height, calibration.width), to_size=(size[0], size[1]))
    K[:2, 2] = (K[:2, 2] - step // 2) / step
    K[[0, 1], [0, 1]] /= step
    height, width = (-(-(length - step // 2) // step) for length in size)
    return rr.Pinhole(image_from_camera=K, resolution=[width, height], image_plane_distance=2.0)
