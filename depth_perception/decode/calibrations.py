"""The camera: from CameraInfo and static transforms, or from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml

from depth_perception.frame import BadInput, Calibration, as_transform
from depth_perception.geometry import pose
from depth_perception.geometry.distortion import Rectifier
from depth_perception.geometry.pose import FrameTree

_KEYS = ("width", "height", "K", "D", "distortion_model", "P", "camera_frame", "lidar_frame", "base_frame", "T_base_camera",
         "T_camera_lidar", "tf")
_WELL_KNOWN_BASE = "base_link"  # REP 105
_LINK_KEYS = ("parent", "child", "translation", "rotation")


def transforms(msg: Any, tree: FrameTree) -> None:
    """Adds every link of a tf2_msgs/TFMessage to `tree`; BadInput, when all others are in, for the first that is no rigid motion, has
    no name or closes a loop."""
    bad: BadInput | None = None
    for link in msg.transforms:
        try:
            _add_link(link, tree)
        except BadInput as error:
            bad = bad or error
    if bad is not None:
        raise bad


def _add_link(link: Any, tree: FrameTree) -> None:
    parent, child = link.header.frame_id, link.child_frame_id
    if not parent or not child:
        raise BadInput(f"TF: wanted two frame names, got {parent!r} -> {child!r}")
    t, q = link.transform.translation, link.transform.rotation
    tree.add(parent, child, _motion(f"TF {parent} -> {child}", [t.x, t.y, t.z], [q.x, q.y, q.z, q.w]))


def calibration(info: Any, tree: FrameTree | None = None, *, lidar_frame: str | None = None, base_frame: str | None = None) -> Calibration:
    """sensor_msgs/CameraInfo and static transforms -> the camera of the rectified image (see `Rectifier`).

    What TF does not connect is None. The body frame is `base_frame`; without one `base_link` where the tree has it, else
    the topmost frame above the camera, a guess: TF comes piece by piece, and the next may hang another frame above it.
    Raises BadInput when the size or K cannot be a camera's.
    """
    return _calibration(Rectifier(info), info.header.frame_id.lstrip("/"), tree, lidar_frame, base_frame)


def camera_key(info: Any) -> tuple[Any, ...]:
    """Everything in a CameraInfo but its stamp: while it stays the same, so do Calibration and Rectifier."""
    roi = info.roi
    return (info.header.frame_id, info.width, info.height, info.distortion_model, tuple(info.d), tuple(info.k), tuple(info.p),
            info.binning_x, info.binning_y, roi.x_offset, roi.y_offset, roi.width, roi.height)


def _calibration(rectifier: Rectifier, camera: str, tree: FrameTree | None, lidar: str | None, base: str | None) -> Calibration:
    tree = FrameTree() if tree is None else tree
    named, base = bool(base), (base or _base_above(tree, camera)).lstrip("/")
    T_base_camera = None if base == camera else tree.between(base, camera)
    T_camera_lidar = None if lidar is None else tree.between(camera, lidar)
    is_guess = not named and base != _WELL_KNOWN_BASE
    return Calibration(rectifier.K, rectifier.width, rectifier.height, camera, T_base_camera, T_camera_lidar, base, is_guess)


def _base_above(tree: FrameTree, camera: str) -> str:
    return _WELL_KNOWN_BASE if _WELL_KNOWN_BASE in tree or tree.root(camera) == camera else tree.root(camera)


def completed(given: Calibration, tree: FrameTree, *, lidar_frame: str | None) -> Calibration:
    """A calibration with the extrinsics that it lacks from TF, as far as TF connects its frames."""
    T_base_camera, T_camera_lidar = given.T_base_camera, given.T_camera_lidar
    if T_base_camera is None and given.base_frame != given.frame_id:
        T_base_camera = tree.between(given.base_frame, given.frame_id)
    if T_camera_lidar is None and lidar_frame is not None:
        T_camera_lidar = tree.between(given.frame_id, lidar_frame)
    return replace(given, T_base_camera=T_base_camera, T_camera_lidar=T_camera_lidar)


def disagreement(name: str, T_tf: np.ndarray, T_given: np.ndarray, *, metres: float = 0.02, degrees: float = 0.5) -> str | None:
    """One sentence when two opinions on a transform, (4, 4) each, lie farther apart than this; None when they agree."""
    apart = pose.inverse(T_tf) @ T_given
    distance, angle = float(np.linalg.norm(apart[:3, 3])), float(np.rad2deg(np.linalg.norm(pose.log_so3(apart[:3, :3]))))
    if distance <= metres and angle <= degrees:
        return None
    return f"{name}: TF and what was given differ by {distance * 100:.1f} cm and {angle:.2f} degrees; what was given is used"


def disagreements(from_tf: Calibration, given: Calibration, *, share: float = 0.01, **thresholds: float) -> list[str]:
    """One sentence for each thing in which CameraInfo and TF differ from a calibration that was given instead of them.

    share: of the focal length and of the image's size, up to which K is the same; thresholds: those of `disagreement`.
    """
    out = []
    if (from_tf.width, from_tf.height) != (given.width, given.height):
        out.append(f"image size: CameraInfo says {from_tf.width}x{from_tf.height}, what was given {given.width}x{given.height}")
    else:
        (fx, fy, cx, cy), mine = ((K[0, 0], K[1, 1], K[0, 2], K[1, 2]) for K in (from_tf.K, given.K))
        apart = np.abs(np.subtract(mine, (fx, fy, cx, cy))) / (fx, fy, given.width, given.height)
        if apart.max() > share:
            numbers = " ".join(f"{name} {value:.1f}" for name, value in zip(("fx", "fy", "cx", "cy"), (fx, fy, cx, cy), strict=True))
            differs = f"differ by {apart.max() * 100:.1f} %"
            out.append(f"K: CameraInfo ({numbers}) and what was given ({' '.join(f'{value:.1f}' for value in mine)}) {differs}")
    for name in ("T_base_camera", "T_camera_lidar"):
        T_tf, T_given = getattr(from_tf, name), getattr(given, name)
        if T_tf is not None and T_given is not None and (sentence := disagreement(name, T_tf, T_given, **thresholds)):
            out.append(sentence)
    return out


def read_calibration(path: str | Path) -> tuple[Calibration, Rectifier]:
    """A YAML file -> the camera and what rectifies its images.

    Keys (width, height and K are needed, the rest as known):
        width, height: image size, pixels.
        K: 9 numbers row by row (or 3 rows of 3), or {fx, fy, cx, cy}.
        D, distortion_model: as in CameraInfo; left out for a rectified image. P: 12 numbers, as in CameraInfo.
        camera_frame, lidar_frame, base_frame: frame names (camera, lidar, base_link).
        T_base_camera, T_camera_lidar: 4 rows of 4, metres; or instead
        tf: a list of {parent, child, translation: [x, y, z], rotation: [x, y, z, w]} that connects the three frames.
    Raises BadInput naming the file and the key.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: wanted a calibration file, but {(error.strerror or str(error)).lower()}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return _from_file(values)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def _from_file(values: Any) -> tuple[Calibration, Rectifier]:
    _check_keys("calibration", values, _KEYS)
    if missing := [key for key in ("width", "height", "K") if key not in values]:
        raise BadInput(f"calibration: {', '.join(missing)} missing")
    K = values["K"]
    if isinstance(K, dict):
        _check_keys("K", K, ("fx", "fy", "cx", "cy"))
        K = [K.get("fx"), 0, K.get("cx"), 0, K.get("fy"), K.get("cy"), 0, 0, 1]
    for key in ("width", "height"):
        if type(values[key]) is not int:
            raise BadInput(f"{key}: wanted whole pixels, got {values[key]!r}")
    names = {key: values.get(key, default) for key, default in
             (("camera_frame", "camera"), ("lidar_frame", "lidar"), ("base_frame", "base_link"), ("distortion_model", "plumb_bob"))}
    for key, name in names.items():
        if not isinstance(name, str) or not name:
            raise BadInput(f"{key}: wanted a name, got {name!r}")
    info = SimpleNamespace(width=values["width"], height=values["height"], k=_numbers("K", K, 9), d=_numbers("D", values.get("D", [])),
                           p=_numbers("P", values.get("P", [0] * 12), 12), distortion_model=names["distortion_model"],
                           binning_x=0, binning_y=0, roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0))
    tree = FrameTree()
    for key, target, source in (("T_base_camera", "base_frame", "camera_frame"), ("T_camera_lidar", "camera_frame", "lidar_frame")):
        if values.get(key) is not None:
            tree.add(names[target], names[source], as_transform(key, _numbers(key, values[key], 16).reshape(4, 4)))
    links = values.get("tf") or []
    if not isinstance(links, list):
        raise BadInput(f"tf: wanted a list of links, got {type(links).__name__}")
    for link in links:
        _check_keys("tf link", link, _LINK_KEYS)
        if missing := [key for key in _LINK_KEYS if key not in link]:
            raise BadInput(f"tf link: {', '.join(missing)} missing")
        tree.add(str(link["parent"]), str(link["child"]), _motion(f"tf {link['parent']} -> {link['child']}",
                 _numbers("translation", link["translation"], 3), _numbers("rotation", link["rotation"], 4)))
    rectifier = Rectifier(info)
    return _calibration(rectifier, names["camera_frame"], tree, names["lidar_frame"], names["base_frame"]), rectifier


def _motion(name: str, translation: Any, rotation: Any) -> np.ndarray:
    try:
        return as_transform(name, pose.from_quaternion(np.asarray(translation, np.float64), np.asarray(rotation, np.float64)))
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None


def _numbers(name: str, values: Any, count: int | None = None) -> np.ndarray:
    try:
        numbers = np.asarray(values, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise BadInput(f"{name}: wanted numbers, got {values!r}") from None
    if (count is not None and len(numbers) != count) or not np.isfinite(numbers).all():
        raise BadInput(f"{name}: wanted {'' if count is None else f'{count} '}finite numbers, got {values!r}")
    return numbers


def _check_keys(name: str, values: Any, known: tuple[str, ...]) -> None:
    if not isinstance(values, dict):
        raise BadInput(f"{name}: wanted keys {', '.join(known)}, got {type(values).__name__}")
    if unknown := [key for key in values if key not in known]:
        raise BadInput(f"{name}: unknown key {unknown[0]!r}, known are {', '.join(known)}")
