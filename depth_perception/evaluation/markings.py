"""Scores of marking masks: IoU per class and how far confidence can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception import engine
from depth_perception.frame import BadInput
from depth_perception.model import Model
from depth_perception.systems import markings_input
from depth_perception.systems.marking_classes import CLASSES
from depth_perception.systems.palette import IGNORE, Palette
from depth_perception.train.marked import TRUTH, Marked, labelled

BINS = 15


class MarkingScore:
    """Counts over many masks; what is IGNORE in the truth counts nowhere.

    miou: mean IoU of the classes that the truth holds, the background among them. per_class: IoU of those by name. paint: IoU of paint
    against no paint. ece: expected calibration error (Guo et al. 2017), |accuracy - confidence| by bins of confidence, weighted by pixels,
    of what the confidence is of: paint or no paint, of whatever class; ece_paint: of the pixels that are paint by the truth or by the mask,
    since the road is mostly background and that is easy to be sure of.
    """

    def __init__(self) -> None:
        self.confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)  # truth, answer
        self._bins = np.zeros((2, BINS, 3))  # all and paint; pixels, summed confidence, right ones
        self.frames = 0

    def add(self, mask: np.ndarray, confidence: np.ndarray, truth: np.ndarray) -> None:
        """mask, truth: (H, W) uint8 class ids; confidence: (H, W) 0..1."""
        if not mask.shape == confidence.shape == truth.shape:
            raise BadInput(f"markings: mask {mask.shape}, confidence {confidence.shape} and truth {truth.shape} differ in size")
        counts = truth != IGNORE
        mask, confidence, truth = mask[counts], confidence[counts], truth[counts]
        n = len(CLASSES)
        self.confusion += np.bincount(truth.astype(np.int64) * n + mask, minlength=n * n).reshape(n, n)
        paint = (truth > 0) | (mask > 0)
        for k, part in enumerate((np.ones_like(paint), paint)):
            sure, right = confidence[part].astype(np.float64), ((mask > 0) == (truth > 0))[part]
            index = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
            for j, weights in enumerate((None, sure, right)):
                self._bins[k, :, j] += np.bincount(index, weights, minlength=BINS)
        self.frames += 1

    def result(self) -> dict[str, Any]:
        """{"miou", "per_class", "paint", "ece", "ece_paint", "frames"}; BadInput when nothing was scored."""
        if not self.confusion.any():
            raise BadInput("evaluate markings: no pixel with a true class")
        right = np.diag(self.confusion)
        true, answered = self.confusion.sum(1), self.confusion.sum(0)
        ious = right / np.maximum(true + answered - right, 1)
        paint = self.confusion[1:, 1:].sum() / max(self.confusion.sum() - self.confusion[0, 0], 1)
        per_class = {name: round(float(iou), 5) for name, iou, count in zip(CLASSES, ious, true, strict=True) if count}
        return {"miou": round(float(np.mean(list(per_class.values()))), 5), "per_class": per_class, "paint": round(float(paint), 5),
                "ece": _ece(self._bins[0]), "ece_paint": _ece(self._bins[1]), "frames": self.frames}


def _ece(bins: np.ndarray) -> float:
    pixels, sure, right = bins.T
    return round(float(np.abs(right - sure).sum() / max(pixels.sum(), 1)), 5)


def evaluate(paths: Iterable[str | Path], model: Model, *, palette: Palette | None = None, truth: str = TRUTH, threads: int = 2,
             **reading: Any) -> dict[str, Any]:
    """Scores a model of kind "markings" on labelled bags or folders (train.marked), by the very masks that drive."""
    predict = Predictor(model, threads=threads)
    score = MarkingScore()
    for path in paths:
        for each in labelled(path, palette=palette, truth=truth, **reading):
            assert each.mask is not None
            score.add(*predict(each), each.mask)
    return score.result()


class Predictor:
    """`predictor(marked)` -> mask (H, W) uint8 and confidence (H, W) float32 of a picture."""

    def __init__(self, model: Model, *, threads: int = 2) -> None:
        if model.kind != "markings":
            raise BadInput(f"--model {model.path}: wanted a model of markings, it is one of {model.kind}")
        self.model = model
        self.infer = engine.load(model, "markings", threads=threads)

    def __call__(self, each: Marked) -> tuple[np.ndarray, np.ndarray]:
        image = markings_input.prepare(each.image, each.calibration, height=self.model.height, width=self.model.width)
        height, width = each.image.shape[:2]
        return markings_input.restore(self.infer(image=image)["logits"], each.calibration, image_height=height, image_width=width)
