"""Logits of many samples, and the metrics in a card."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from xai_views.training.data import TrainingSet


@torch.no_grad()
def logits(module: nn.Module, given: np.ndarray, batch: int = 256) -> np.ndarray:
    """Return logits ``[N, classes]`` of images ``[N, H, W, C]`` uint8 or signals ``[N, leads, steps]`` in mV."""
    was = module.training
    module.eval()
    like = next(module.parameters())
    out = []
    for i in range(0, len(given), batch):
        part = torch.from_numpy(given[i : i + batch])
        x = part.permute(0, 3, 1, 2).to(like).div(255) if part.ndim == 4 else part.to(like)
        out.append(module(x).cpu())
    module.train(was)
    return torch.cat(out).numpy()


def balanced_accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    """Return the mean over classes of the recall."""
    return float(np.mean([(predicted[label == c] == c).mean() for c in np.unique(label)]))


def figures(predicted: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return accuracy and balanced accuracy over the samples with one known class (label >= 0), rounded to four digits."""
    predicted, label = predicted[label >= 0], label[label >= 0]
    return {
        "test_accuracy": round(float((predicted == label).mean()), 4),
        "test_balanced_accuracy": round(balanced_accuracy(predicted, label), 4),
    }


def scores(logit: np.ndarray, test: TrainingSet, several: bool) -> dict[str, float]:
    """Return accuracy and balanced accuracy; for several classes at once the mean area under the ROC curve.

    The mean is over the classes that some test samples have and others lack; without any the result is empty.
    """
    if not several:
        return figures(logit.argmax(1), test.label)
    from sklearn.metrics import roc_auc_score

    known = (test.targets.min(0) == 0) & (test.targets.max(0) == 1)
    if not known.any():
        return {}
    areas = [roc_auc_score(test.targets[:, c], logit[:, c]) for c in np.flatnonzero(known)]
    return {"test_auroc": round(float(np.mean(areas)), 4)}


def per_class(
    logit: np.ndarray,
    label: np.ndarray,
    classes: Sequence[str],
    difficulty: np.ndarray | None = None,
    levels: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Return the accuracy in each class, per difficulty when known; groups without samples are omitted."""
    right = logit.argmax(1) == label
    out = {}
    for c, title in enumerate(classes):
        of = label == c
        groups = {"all": of}
        if difficulty is not None:
            groups |= {n: of & (difficulty == d) for d, n in enumerate(levels)}
        out[title] = {n: round(float(right[g].mean()), 4) for n, g in groups.items() if g.any()}
    return out


def count(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters())
