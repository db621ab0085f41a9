"""The Lovasz-softmax loss: a convex surrogate of one minus the mean IoU (S4-c; Berman et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor


def lovasz_softmax(probabilities: Tensor, labels: Tensor, *, ignore: int = 255) -> Tensor:
    """Mean over the classes that are in `labels` of the Lovasz extension of the Jaccard loss, over all pixels of the batch: () tensor.

    probabilities: (B, C, H, W), summing to one over C; labels: (B, H, W) int64 ids. A pixel of id `ignore` counts nowhere.
    """
    classes = probabilities.shape[1]
    flat = probabilities.permute(1, 0, 2, 3).reshape(classes, -1)
    wanted = labels.reshape(-1)
    here = (wanted == torch.arange(classes, device=labels.device)[:, None]).to(flat.dtype)
    # All classes are sorted at once, and nothing is left out on the way: a GPU is not waited for. Errors of zero come last and add nothing.
    errors, order = ((here - flat).abs() * (wanted != ignore)).sort(1, descending=True)
    losses = (errors * _gradient(here.gather(1, order))).sum(1)
    shown = here.any(1)
    return (losses * shown).sum() / shown.sum().clamp_min(1)


def _gradient(here: Tensor) -> Tensor:
    """Gradient of the Lovasz extension with respect to sorted errors (algorithm 1 of the paper); here: (C, P) 1 where the class is."""
    total = here.sum(1, keepdim=True)
    intersection = total - here.cumsum(1)
    union = total + (1 - here).cumsum(1)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:, :1], jaccard.diff(dim=1)], 1)
