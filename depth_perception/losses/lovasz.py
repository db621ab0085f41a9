"""The Lovasz-softmax loss: a convex surrogate of one minus the mean IoU (S4-c; Berman et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor


def lovasz_softmax(probabilities: Tensor, labels: Tensor, *, ignore: int = 255) -> Tensor:
    """Mean over the classes that are in `labels` of the Lovasz extension of the Jaccard loss, over all pixels of the batch: () tensor.

    probabilities: (B, C, H, W), summing to one over C; labels: (B, H, W) int64 ids. A pixel of id `ignore` counts nowhere.
    """
    classes = probabilities.shape[1]
    flat = probabilities.permute(0, 2, 3, 1).reshape(-1, classes)
    wanted = labels.reshape(-1)
    valid = wanted != ignore
    flat, wanted = flat[valid], wanted[valid]
    losses = []
    for name in range(classes):
        here = (wanted == name).to(flat.dtype)
        if not here.any():
            continue
        errors, order = (here - flat[:, name]).abs().sort(descending=True)
        losses.append(errors @ _gradient(here[order]))
    return torch.stack(losses).mean() if losses else 0 * probabilities.sum()


def _gradient(here: Tensor) -> Tensor:
    """Gradient of the Lovasz extension with respect to sorted errors (algorithm 1 of the paper); here: (P,) 1 where the class is."""
    total = here.sum()
    intersection = total - here.cumsum(0)
    union = total + (1 - here).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
