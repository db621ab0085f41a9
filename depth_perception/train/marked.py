"""Road pictures with and without masks, from bags and from folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth_perception import decode
from depth_perception.bag import Bag, FrameReader, guess_topics
from depth_perception.bag.reader import is_storage
from depth_perception.frame import BadInput, Calibration
from depth_perception.systems.palette import Palette
from depth_perception.train.leave_end import but_the_end

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".webp")
TRUTH = "/truth/markings"


@dataclass(frozen=True, eq=False)
class Marked:
    """name: bag and stamp, or file. image: (H, W, 3) uint8 RGB; mask: (H, W) uint8 class ids, None = unlabelled."""

    name: str
    image: np.ndarray
    mask: np.ndarray | None = None
    calibration: Calibration | None = None


def labelled(path: str | Path, *, palette: Palette | None = None, truth: str = TRUTH, leave_end: float = 0.0, **reading: Any
             ) -> Iterator[Marked]:
    """Pictures with their masks: of a bag with a topic `truth` of masks (mono8 ids), or of a folder with images/ and masks/.

    A mask bears its image's name and size, as class ids in one channel or as colours of `palette` in three. `calibration.yaml` beside
    the two says where the camera looks; without it the horizon is guessed. leave_end: this share of a bag's time, or of a folder's files by
    name, its end, is not even read. BadInput names what does not fit.
    """
    path, palette = Path(path), palette or Palette()
    if _is_folder(path):
        if not (path / "images").is_dir() or not (path / "masks").is_dir():
            raise BadInput(f"{path}: wanted a bag, or a folder with images/ and masks/")
        calibration = calibration_of(path)
        masks = {file.stem: file for file in _files(path / "masks")}
        for file in _files(path / "images", leave_end):
            if file.stem not in masks:
                raise BadInput(f"{file}: has no mask of its name in {path / 'masks'}")
            image = _image(file)
            yield Marked(str(file), image, _mask(masks[file.stem], image, palette), calibration)
        return
    masks_at = dict(_masks(path, truth, palette))
    came = False
    for each, stamp, rectified in _frames(path, leave_end, **reading):
        if stamp in masks_at:
            if masks_at[stamp].shape != each.image.shape[:2]:
                raise BadInput(f"{each.name}: its mask in {truth} is {_size(masks_at[stamp])}, the image {_size(each.image)}")
            came = True
            yield replace(each, mask=rectified(masks_at[stamp]))
    if not came:
        raise BadInput(f"bag {path}: none of its {len(masks_at)} masks in {truth} has an image of the same stamp")


def unlabelled(path: str | Path, *, leave_end: float = 0.0, **reading: Any) -> Iterator[Marked]:
    """Pictures of a bag (a vehicle's or a roadside camera's, which may lack a CameraInfo), of a folder, or one; BadInput where none is."""
    path = Path(path)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        yield Marked(str(path), _image(path))
        return
    if _is_folder(path):
        calibration = calibration_of(path)
        for file in _files(path / "images" if (path / "images").is_dir() else path, leave_end):
            yield Marked(str(file), _image(file), None, calibration)
        return
    for each, _, _ in _frames(path, leave_end, **reading):
        yield each


def _is_folder(path: Path) -> bool:
    if not path.exists():
        raise BadInput(f"{path}: wanted a bag or a folder of images, there is nothing")
    return path.is_dir() and not any(map(is_storage, path.iterdir()))


def _files(folder: Path, leave_end: float = 0.0) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise BadInput(f"{folder}: wanted images ({', '.join(SUFFIXES)}), there is none")
    return files[:len(files) - int(leave_end * len(files))]


def _image(file: Path) -> np.ndarray:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise BadInput(f"{file}: cannot be read as an image")
    return np.ascontiguousarray(image[..., ::-1])


def _mask(file: Path, image: np.ndarray, palette: Palette) -> np.ndarray:
    mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.dtype != np.uint8:
        raise BadInput(f"{file}: wanted an 8-bit mask, it is {'no image' if mask is None else mask.dtype}")
    if mask.shape[:2] != image.shape[:2]:
        raise BadInput(f"{file}: wanted a mask of its image's size {_size(image)}, got {_size(mask)}")
    return palette.classes_of(mask if mask.ndim == 2 else mask[..., 2::-1], name=str(file))


def calibration_of(folder: Path) -> Calibration | None:
    """Of the camera of a folder's images: its calibration.yaml, where it has one."""
    file = folder / "calibration.yaml"
    if not file.is_file():
        return None
    calibration, rectifier = decode.read_calibration(file)
    if not rectifier.is_identity:
        raise BadInput(f"{file}: has a lens's distortion: wanted rectified images in a folder, they are taken as they are")
    return calibration


def _masks(path: Path, truth: str, palette: Palette) -> Iterator[tuple[int, np.ndarray]]:
    bag = Bag(path)
    if truth not in bag.topics:
        raise BadInput(f"bag {path}: has no masks in {truth}: is it a simulated drive with its truth?")
    for _, type_name, _, raw in bag.messages([truth]):
        message = bag.decode(type_name, raw)
        if message.encoding not in ("mono8", "8UC1"):
            raise BadInput(f"bag {path}: {truth}: wanted mono8 class ids, got {message.encoding!r}")
        mask = np.ascontiguousarray(decode.image(message)[..., 0])
        yield decode.stamp_ns(message.header), palette.classes_of(mask, name=f"bag {path}: {truth}")


def _frames(path: Path, leave_end: float = 0.0, **reading: Any) -> Iterator[tuple[Marked, int, Callable[[np.ndarray], np.ndarray]]]:
    """(picture, stamp in nanoseconds, what makes a mask of the image as it comes one of the picture); the LiDAR is not even read."""
    try:
        reader = FrameReader(path, scans=False, **reading)
    except BadInput:
        if reading.get("calibration"):
            raise
        topics = {name: topic for name, topic in reading.items() if name in ("image_topic", "info_topic")}
        for each, stamp in uncalibrated(path, leave_end=leave_end, **topics):
            yield each, stamp, lambda mask: mask
        return
    for frame in but_the_end(reader, reader, leave_end) if leave_end else reader:
        yield Marked(f"bag {path} at {frame.stamp_ns} ns", frame.image, None, frame.calibration), frame.stamp_ns, reader.rectified_labels


def uncalibrated(path: Path, image_topic: str | None = None, leave_end: float = 0.0, info_topic: str | None = None
                 ) -> Iterator[tuple[Marked, int]]:
    """Images of a bag as they are, of a camera that nobody has calibrated, and their stamps in nanoseconds."""
    bag = Bag(path)
    topic = guess_topics(bag, image_topic=image_topic, info_topic=info_topic, needs_points=False).image
    came = False
    last_ns = bag.end_ns - round(leave_end * (bag.end_ns - bag.start_ns))
    for _, type_name, log_ns, raw in bag.messages([topic]):
        if leave_end and log_ns >= last_ns:
            break
        message = bag.decode(type_name, raw)
        image = (decode.compressed_image if type_name.endswith("CompressedImage") else decode.image)(message)
        stamp = decode.stamp_ns(message.header)
        came = True
        yield Marked(f"bag {path} at {stamp} ns", image), stamp
    if not came:
        raise BadInput(f"bag {path}: no image in {topic}")


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
