"""Training of a residual network on 12-lead records: data, recipe, figures per class and difficulty, card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.models.checkpoint import build
from xai_views.training.classifier import epoch_generator, figures
from xai_views.training.data import disturbed
from xai_views.training.loop import fit
from xai_views.training.records import RATE, STEPS, Records


@dataclass(frozen=True)
class EcgRecipe:
    """Everything that decides a training run; it is written to the card.

    Attributes
    ----------
    epochs, batch : int
        Passes over the records and records per step.
    rate, weight_decay : float
        Peak learning rate and decay of AdamW.
    stem, blocks, kernel, head
        As in :class:`~xai_views.models.families.resnet1d.network.ResNet1d`.
    gain : float
        Records are multiplied by up to this factor, or divided by it.
    dropped : float
        Probability of a lead to be silent, so that muting one is nothing unheard of.
    seed : int
        Seed of weights and batches.
    """

    epochs: int = 8
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 1e-3
    stem: int = 16
    blocks: tuple[tuple[int, int], ...] = ((24, 4), (40, 4), (56, 2), (80, 2))
    kernel: int = 17
    head: str = "gap"
    gain: float = 1.25
    dropped: float = 0.06
    seed: int = 0


def architecture(data: Records, recipe: EcgRecipe) -> dict:
    """The ``architecture`` entry of a card."""
    return {
        "family": "resnet1d",
        "channels": len(data.leads),
        "size": [STEPS],
        "classes": len(data.classes),
        "stem": recipe.stem,
        "blocks": [list(b) for b in recipe.blocks],
        "kernel": recipe.kernel,
        "head": recipe.head,
        "rate": RATE,
        "leads": data.leads,
    }


def batches(data: Records, recipe: EcgRecipe, epoch: int, device: str) -> Iterator[tuple]:
    """Batches of one epoch: records of random gain with some silent leads, and their targets."""
    g = epoch_generator(recipe.seed, epoch)
    order = torch.randperm(len(data.signal), generator=g)
    for i in range(max(1, len(order) // recipe.batch)):
        index = order[i * recipe.batch : (i + 1) * recipe.batch].numpy()
        x = disturbed(data.signal[index], g, recipe.gain, recipe.dropped)
        yield x.to(device), torch.from_numpy(data.target[index]).to(device)


def loss_of(logit: torch.Tensor, target: torch.Tensor, several: bool) -> torch.Tensor:
    """Cross entropy of the one class, or of each class apart where there may be several."""
    return F.binary_cross_entropy_with_logits(logit, target) if several else F.cross_entropy(logit, target)


@torch.no_grad()
def logits(module: nn.Module, signal: np.ndarray, batch: int = 64) -> np.ndarray:
    """Logits ``[N, classes]`` of ``[N, leads, steps]`` in mV, in evaluation mode."""
    was = module.training
    module.eval()
    like = next(module.parameters())
    out = [
        module(torch.from_numpy(signal[i : i + batch].astype(np.float32)).to(like)).cpu()
        for i in range(0, len(signal), batch)
    ]
    module.train(was)
    return torch.cat(out).numpy()


def scores(logit: np.ndarray, data: Records) -> dict:
    """Accuracy and its balance; of several classes at once the mean area under the ROC curve.

    The mean is over the classes that some test records have and others lack; without any there is no figure.
    """
    if not data.several:
        return figures(logit.argmax(1), data.label)
    from sklearn.metrics import roc_auc_score

    known = (data.target.min(0) == 0) & (data.target.max(0) == 1)
    if not known.any():
        return {}
    areas = [roc_auc_score(data.target[:, c], logit[:, c]) for c in np.flatnonzero(known)]
    return {"test_auroc": round(float(np.mean(areas)), 4)}


def per_class(
    logit: np.ndarray,
    label: np.ndarray,
    classes: Sequence[str],
    difficulty: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> dict:
    """Share of right answers of each class, at each difficulty where that is known; none where there are no records."""
    right = logit.argmax(1) == label
    out = {}
    for c, title in enumerate(classes):
        of = label == c
        groups = {"all": of}
        if difficulty is not None:
            groups |= {n: of & (difficulty == d) for d, n in enumerate(names)}
        out[title] = {n: round(float(right[g].mean()), 4) for n, g in groups.items() if g.any()}
    return out


def train_ecg(
    data: Records,
    test: Records,
    recipe: EcgRecipe,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    quiet: bool = False,
) -> tuple[nn.Module, list[dict]]:
    """Fit the network; returns it and its curves. The test records are for the curves only: nothing is selected by them.

    Raises
    ------
    ModelError
        When ``folder`` holds the progress of another run.
    """
    torch.manual_seed(recipe.seed)
    network = build(architecture(data, recipe)).to(device)
    content = hashlib.sha256(repr((asdict(recipe), architecture(data, recipe))).encode())
    content.update(np.ascontiguousarray(data.signal[:: max(1, len(data.signal) // 64)]).tobytes())
    content.update(data.target.tobytes())
    curves = fit(
        network,
        lambda epoch: batches(data, recipe, epoch, device),
        lambda pair: loss_of(network(pair[0]), pair[1], data.several),
        epochs=recipe.epochs,
        steps=max(1, len(data.signal) // recipe.batch),
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        folder=folder,
        stamp=content.hexdigest(),
        validate=lambda: scores(logits(network, test.signal), test),
        label="ecg",
        quiet=quiet,
    )
    return network.eval(), curves
