"""Windows of drives -> batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from depth_perception.frame import BadInput
from depth_perception.geometry import pose
from depth_perception.samples.colour import recolour
from depth_perception.samples.drives import Drive, Drives
from depth_perception.samples.view import View, full_view, random_view


@dataclass(frozen=True, eq=False)
class _Window:
    """One view of a window: images before recolouring and after it, (1 or 3, H, W, 3) uint8: the current one, previous and next."""

    clean: list[np.ndarray]
    images: list[np.ndarray]
    K: np.ndarray
    depth: np.ndarray
    motions: list[np.ndarray]
    travelled_m: list[float]


class Batches:
    """Random batches: `batches(step, pairs=True)` -> dict of tensors, the same for the same seed and step.

    places: makes only these of the batch's places 0..batch - 1, a process's share; B is their number.

    image (B, 3, H, W) 0..1; K (B, 3, 3) float32 pixels of it; depth (B, 1, H, W) metres, NaN = none;
    with pairs also neighbours (B, 2, 3, H, W): previous and next, and target and others: the same images before recolouring,
    for photometric losses; motions (B, 2, 4, 4), measured T_previous_image and T_next_image, metres, NaN = none; and
    travelled (B, 2), metres to the previous and to the next by the bag's odometry, NaN = none.
    Views of pairs hardly zoom, since a pose network cannot tell rotation from focal length.
    With `samples.views` also view (B, 4) int64: drive, frame, which of its views, with pairs or without. Two images of the same four are
    the same image.
    """

    def __init__(self, drives: Drives, *, height: int, width: int, batch: int, seed: int, places: range | None = None) -> None:
        self.drives, self.height, self.width, self.batch, self.seed = drives, height, width, batch, seed
        self.places = range(batch) if places is None else places
        self.stretches = drives.stretches(batch) if drives.config.by_stretch else []
        if not all(self.stretches):
            raise BadInput(f"samples.by_stretch: wanted at least one window for each of {batch} places of a batch, got "
                           f"{len(drives.windows)} windows in {len(drives.drives)} drives")
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def __call__(self, step: int, *, pairs: bool) -> dict[str, Tensor]:
        return unpacked(self.packed(step, pairs=pairs))

    def packed(self, step: int, *, pairs: bool) -> dict[str, Tensor]:
        """What `unpacked` makes the batch of, a quarter of its bytes: images are still uint8."""
        config = self.drives.config
        windows, shown, chosen, epochs = [], [], self.windows_of(step), self._epochs(step)
        for k in self.places:
            which, i = chosen[k]
            seed: tuple[int, ...] = (self.seed, step, k)
            if config.views:
                shown.append((which, i, epochs[k] % config.views, int(pairs)))
                seed = (self.seed, 9, *shown[-1])
            rng = np.random.default_rng(seed)
            drive = self.drives.drives[which]
            view = random_view(rng, drive.images[i].shape[:2], config, height=self.height, width=self.width, zoom=not pairs)
            clean = _images(drive, i, view, pairs=pairs)
            share = config.pair_colour if pairs else config.colour
            images = recolour(rng, clean, config) if rng.random() < share else clean
            windows.append(_window(drive, i, view, clean, images))
        return _packed(windows, pairs=pairs) | ({"view": torch.tensor(shown)} if shown else {})

    def windows_of(self, step: int) -> list[tuple[int, int]]:
        """The (drive, frame) of a step's batch."""
        if self.stretches:
            return [self.drives.windows[self._of_stretch(step, place)] for place in range(self.batch)]
        return [self.drives.windows[self._window(step * self.batch + k)] for k in range(self.batch)]

    def _epochs(self, step: int) -> list[int]:
        """How often each place's window of a step was drawn before."""
        if self.stretches:
            return [step // len(stretch) for stretch in self.stretches]
        return [(step * self.batch + k) // len(self.drives.windows) for k in range(self.batch)]

    def describe(self, step: int, places: Sequence[int]) -> str:
        """The frames at some places of a step's batch in words: bags and stamps."""
        stamps: dict[str, list[int]] = {}
        for place in places:
            which, i = self.windows_of(step)[place]
            drive = self.drives.drives[which]
            stamps.setdefault(drive.name, []).append(drive.stamps[i])
        return "; ".join(f"{name} at {', '.join(map(str, sorted(set(each))))} ns" for name, each in stamps.items())

    def _of_stretch(self, step: int, place: int) -> int:
        """Every window of a place's stretches once per epoch of theirs."""
        epoch, position = divmod(step, len(self.stretches[place]))
        return int(np.random.default_rng((self.seed, 8, epoch, place)).permutation(self.stretches[place])[position])

    def _window(self, draw: int) -> int:
        """Every window once per epoch, in an order that depends on the seed and the epoch alone."""
        count = len(self.drives.windows)
        epoch, position = divmod(draw, count)
        order = self._order  # read once: two threads ask
        if order[0] != epoch:
            order = self._order = (epoch, np.random.default_rng((self.seed, 7, epoch)).permutation(count))
        return int(order[1][position])


def held_out(drives: Drives, *, height: int, width: int, most: int, batch: int = 4) -> Iterator[dict[str, Tensor]]:
    """At most so many held-out windows, spread evenly, as they are: the full view, batch by batch, keys as of `Batches` with pairs."""
    places = np.unique(np.linspace(0, len(drives.held_out) - 1, min(most, len(drives.held_out))).round().astype(int))
    chosen = [drives.held_out[place] for place in places]
    for first in range(0, len(chosen), batch):
        windows = []
        for which, i in chosen[first : first + batch]:
            drive = drives.drives[which]
            view = full_view(drive.images[i].shape[:2], height=height, width=width)
            clean = _images(drive, i, view, pairs=True)
            windows.append(_window(drive, i, view, clean, clean))
        yield unpacked(_packed(windows, pairs=True))


def _images(drive: Drive, i: int, view: View, *, pairs: bool) -> list[np.ndarray]:
    return [view.image(drive.images[j]) for j in ([i, i - 1, i + 1] if pairs else [i])]


def _window(drive: Drive, i: int, view: View, clean: list[np.ndarray], images: list[np.ndarray]) -> _Window:
    motions = [view.motion(pose.inverse(drive.motions[i])), view.motion(drive.motions[i + 1])]
    travelled = [drive.travelled_m[i], drive.travelled_m[i + 1]]
    return _Window(clean, images, view.K(drive.K), view.depth(drive.points[i], drive.K), motions, travelled)


def unpacked(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch of `Batches.packed`, on whatever device that is."""
    images = _floats(packed["seen"])
    out = {"image": images[:, 0].contiguous(memory_format=torch.channels_last), "K": packed["K"], "depth": packed["depth"]}
    if "view" in packed:
        out["view"] = packed["view"]
    if "clean" in packed:
        clean = _floats(packed["clean"])
        out |= {"neighbours": images[:, 1:], "target": clean[:, 0], "others": clean[:, 1:],
                "motions": packed["motions"], "travelled": packed["travelled"]}
    return out


def _packed(windows: list[_Window], *, pairs: bool) -> dict[str, Tensor]:
    out = {
        "seen": _bytes([window.images for window in windows]),
        "K": torch.from_numpy(np.stack([window.K for window in windows]).astype(np.float32)),
        "depth": torch.from_numpy(np.stack([window.depth for window in windows])[:, None]),
    }
    if pairs:
        out |= {"clean": _bytes([window.clean for window in windows]),
                "motions": torch.from_numpy(np.array([window.motions for window in windows], np.float32)),
                "travelled": torch.from_numpy(np.array([window.travelled_m for window in windows], np.float32))}
    return out


def _bytes(windows: list[list[np.ndarray]]) -> Tensor:
    """B windows of N (H, W, 3) uint8 images -> (B, N, H, W, 3) uint8."""
    return torch.from_numpy(np.stack([np.stack(images) for images in windows]))


def _floats(images: Tensor) -> Tensor:
    """(B, N, H, W, 3) uint8 -> (B, N, 3, H, W) float32 0..1."""
    return images.permute(0, 1, 4, 2, 3).float().div_(255)
