"""Labelled and unlabelled road pictures -> batches for `train markings`: views cut and recoloured, rare classes drawn more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.samples.colour import recolour
from depth_perception.samples.config import SampleConfig

IGNORE = 255


@dataclass(frozen=True)
class ViewConfig:
    """What a view of a picture looks like, and which are drawn.

    height, width: of a view, pixels. zoom: smallest and largest share of the picture's sides that it shows; a share of
    height / (the network's height) is the scale at which the network drives. aspect: random stretch, a half-width in logarithms.
    flip: how many are mirrored. rare: how many source views are drawn for a class, every class alike, with a pixel of it inside; the
    others come from anywhere. panels: how many source views get the back of a truck or the like, striped and lettered and no marking
    (simulated cars are plain, real ones have plates, chevrons and glints). shadow: how many get a shadow's edge; look: their
    recolouring. The target's views stay as they are, so the network will see them; target_look: how many are shaded and recoloured all
    the same, for a teacher who sees them as they are.
    """

    height: int = ranged(128, 32, 2048)  # type: ignore[assignment]
    width: int = ranged(256, 32, 4096)  # type: ignore[assignment]
    zoom: tuple[float, float] = (0.4, 0.8)
    aspect: float = ranged(0.25, 0, 1)
    flip: float = ranged(0.5, 0, 1)
    rare: float = ranged(0.5, 0, 1)
    panels: float = ranged(0.4, 0, 1)
    shadow: float = ranged(0.3, 0, 1)
    target_look: float = ranged(0.0, 0, 1)
    look: SampleConfig = field(default_factory=lambda: SampleConfig(
        colour=0.9, brightness=0.4, contrast=0.4, gamma=0.4, saturation=0.8, hue_deg=20.0, cast=0.15, grey=0.15, light=0.6, light_share=0.5,
        blur=0.4, noise=10.0, noise_share=0.5))

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.height % 16 or self.width % 16:
            raise BadInput(f"view: wanted sides divisible by 16, got {self.width}x{self.height}")
        if len(self.zoom) != 2 or not 0.05 <= self.zoom[0] <= self.zoom[1] <= 1:
            raise BadInput(f"view.zoom: wanted a smallest and a largest share within 0.05 and 1, got {self.zoom}")


@dataclass(eq=False)
class Pictures:
    """Pictures of one domain in memory, all (h, w, 3) uint8 RGB of one size; masks: (h, w) uint8 ids, none for a target domain."""

    images: list[np.ndarray] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)

    def add(self, image: np.ndarray, mask: np.ndarray | None = None) -> None:
        """One more. Either all have a mask or none."""
        self.images.append(image)
        if mask is not None:
            self.masks.append(mask)

    def frequencies(self, classes: int) -> np.ndarray:
        """(classes,) share of each class among the labelled pixels."""
        counts = np.zeros(classes)
        for mask in self.masks:
            counts += np.bincount(mask.ravel(), minlength=256)[:classes]
        return counts / max(counts.sum(), 1)

    def holding(self, classes: int, *, least: int = 12) -> dict[int, list[int]]:
        """Marking class -> the pictures with so many pixels of it; classes that no picture holds are left out."""
        out: dict[int, list[int]] = {}
        for index, mask in enumerate(self.masks):
            counts = np.bincount(mask.ravel(), minlength=256)[:classes]
            for name in np.flatnonzero(counts[1:] >= least) + 1:
                out.setdefault(int(name), []).append(index)
        return out


class MarkingBatches:
    """`batches(step)` -> image (B, 3, H, W) 0..1 and labels (B, H, W) int64 of the source, and, where there is one, target (B, 3, H, W),
    and, with target_look, plain (B, 3, H, W), the same views of the target as they are.

    The same for the same seed and step.
    """

    def __init__(self, source: Pictures, target: Pictures | None, *, classes: int, config: ViewConfig, batch: int, seed: int) -> None:
        self.source, self.target, self.config, self.batch, self.seed = source, target, config, batch, seed
        self.holding = source.holding(classes)

    def __call__(self, step: int) -> dict[str, Tensor]:
        views = [self._labelled(np.random.default_rng((self.seed, step, k, 1))) for k in range(self.batch)]
        out = {"image": _floats([image for image, _ in views]),
               "labels": torch.from_numpy(np.stack([labels for _, labels in views])).long()}
        if self.target is not None:
            rngs = [np.random.default_rng((self.seed, step, k, 2)) for k in range(self.batch)]
            plain = [self._unlabelled(rng, self.target) for rng in rngs]
            if self.config.target_look:
                out["plain"] = _floats(plain)
                plain = [self._changed(rng, view, look=self.config.target_look) for rng, view in zip(rngs, plain, strict=True)]
            out["target"] = _floats(plain)
        return out

    def frequencies(self, classes: int, *, steps: int = 24) -> np.ndarray:
        """(classes,) share of each class among the labels of the first steps' views."""
        counts = np.zeros(classes)
        for step in range(steps):
            for k in range(self.batch):
                _, labels = self._labelled(np.random.default_rng((self.seed, step, k, 1)))
                counts += np.bincount(labels.ravel(), minlength=256)[:classes]
        return counts / max(counts.sum(), 1)

    def _labelled(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        config, source = self.config, self.source
        inside: tuple[int, int] | None = None
        index = int(rng.integers(len(source.images)))
        if self.holding and rng.random() < config.rare:
            name = int(rng.choice(sorted(self.holding)))
            index = int(rng.choice(self.holding[name]))
            pixels = np.flatnonzero(source.masks[index] == name)
            row, column = divmod(int(pixels[rng.integers(len(pixels))]), source.masks[index].shape[1])
            inside = row, column
        M, flags = _cut(rng, source.images[index].shape[:2], config, inside)
        size = (config.width, config.height)
        image = cv2.warpAffine(source.images[index], M, size, flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        labels = cv2.warpAffine(source.masks[index], M, size, flags=flags | cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
                                borderValue=IGNORE)
        if rng.random() < config.panels:
            for _ in range(int(rng.integers(1, 4))):
                image, labels = panelled(rng, image, labels)
        return self._changed(rng, image, look=1.0), labels

    def _changed(self, rng: np.random.Generator, image: np.ndarray, *, look: float) -> np.ndarray:
        """By another light and another camera, for a share `look` of the views that are asked about."""
        if look < 1 and rng.random() >= look:
            return image
        if rng.random() < self.config.shadow:
            image = shaded(rng, image)
        if rng.random() < self.config.look.colour:
            (image,) = recolour(rng, [image], self.config.look)
        return image

    def _unlabelled(self, rng: np.random.Generator, target: Pictures) -> np.ndarray:
        image = target.images[int(rng.integers(len(target.images)))]
        M, flags = _cut(rng, image.shape[:2], self.config, None)
        return cv2.warpAffine(image, M, (self.config.width, self.config.height), flags=flags | cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)


def _cut(rng: np.random.Generator, size: tuple[int, int], config: ViewConfig, inside: tuple[int, int] | None) -> tuple[np.ndarray, int]:
    """(2, 3) from pixels of a random view to pixels of a picture of `size` (height, width), for cv2.warpAffine, and its flag."""
    share = np.exp(rng.uniform(*np.log(config.zoom)))
    stretch = np.exp(rng.uniform(-config.aspect, config.aspect) / 2)
    crop: np.ndarray = np.minimum(np.array(size) * share * [stretch, 1 / stretch], size)
    room = np.array(size) - crop
    corner = rng.uniform(0, room + 1e-9)
    if inside is not None:
        corner = np.clip(np.array(inside) - rng.uniform(0.1, 0.9, 2) * crop, 0, room)
    sy, sx = float(crop[0]) / config.height, float(crop[1]) / config.width
    # c' = (c + 0.5) s - 0.5, as in camera.resize_K
    oy, ox = corner + 0.5 * np.array([sy, sx]) - 0.5
    if rng.random() < config.flip:
        sx, ox = -sx, ox + sx * (config.width - 1)
    return np.array([[sx, 0, ox], [0, sy, oy]]), cv2.WARP_INVERSE_MAP


def panelled(rng: np.random.Generator, image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 and (H, W) uint8 ids with a plain panel in front of the road that bears stripes, letters or a plate: background."""
    height, width = labels.shape
    h, w = (int(rng.uniform(0.12, 0.55) * height), int(rng.uniform(0.08, 0.4) * width))
    top, left = int(rng.integers(height - h)), int(rng.integers(width - w))
    panel: np.ndarray = np.full((h, w, 3), rng.integers(0, 200, 3) if rng.random() < 0.4 else rng.integers(0, 200), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        colour = tuple(int(c) for c in np.clip(rng.integers(90, 256) + rng.integers(-40, 41, 3), 0, 255))
        x, y, thick, kind = int(rng.integers(w)), int(rng.integers(h)), int(rng.integers(1, 5)), rng.random()
        if kind < 0.3:
            cv2.line(panel, (x, y), (int(rng.integers(w)), int(rng.integers(h))), colour, thick)
        elif kind < 0.5:
            band, pitch = int(rng.integers(3, 12)), int(rng.integers(6, 16))
            for k in range(0, w, pitch):
                cv2.line(panel, (k, y), (k + band, y + band), colour, max(1, pitch // 3))
        elif kind < 0.75:
            letters = "".join(chr(int(c)) for c in rng.integers(48, 91, 5))
            cv2.putText(panel, letters, (x // 2, y), cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.2, 0.8)), colour, max(1, thick // 2))
        else:
            cv2.ellipse(panel, (x, y), (int(rng.integers(1, 10)), int(rng.integers(1, 5))), float(rng.uniform(0, 180)), 0, 360, colour, -1)
    image, labels = image.copy(), labels.copy()
    image[top : top + h, left : left + w] = panel
    labels[top : top + h, left : left + w] = 0
    return image, labels


def shaded(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 with the shadow of something beside the road: a soft-edged polygon, darker and a little bluer."""
    height, width = image.shape[:2]
    corners = np.stack([rng.uniform(-0.2, 1.2, 5) * width, rng.uniform(-0.2, 1.2, 5) * height], 1)
    order = np.argsort(np.arctan2(*(corners - corners.mean(0)).T))
    shape = np.zeros((height, width), np.float32)
    cv2.fillPoly(shape, [corners[order].astype(np.int32)], 1.0)
    shadow = cv2.GaussianBlur(shape, (0, 0), float(rng.uniform(0.6, 3.0)))
    dark = rng.uniform(0.25, 0.75)
    factor = 1 - shadow[..., None] * (1 - dark * np.array([1.0, 1.03, 1.1], np.float32))
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def _floats(images: Sequence[np.ndarray]) -> Tensor:
    """B (H, W, 3) uint8 -> (B, 3, H, W) float32 0..1, channels last in memory."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)
