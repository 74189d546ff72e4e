"""Residual network of 12-lead records: data, loss, metrics per class and difficulty, clusters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import param
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.models.checkpoint import save
from xai_views.models.families.resnet1d.network import HEADS
from xai_views.training.clusters import add_clusters
from xai_views.training.data import SignalSet
from xai_views.training.figures import logits, per_class, scores
from xai_views.training.recipe import Run, TrainingRecipe, epoch_generator


class EcgRecipe(TrainingRecipe):
    """Residual network of ECG records, with the clusters that all records share."""

    key, family, method = "ecg", "resnet1d", "ecg_clusters"
    takes: ClassVar = ("signal",)

    epochs = param.Integer(8, bounds=(1, None), doc="number of epochs")
    batch = param.Integer(32, bounds=(1, None), doc="batch size")
    weight_decay = param.Number(1e-3, bounds=(0, None), doc="weight decay of AdamW")
    stem = param.Integer(16, bounds=(1, None), doc="channels of the first convolution")
    blocks = param.List([[24, 4], [40, 4], [56, 2], [80, 2]], doc="width and stride of each block")
    kernel = param.Integer(17, bounds=(1, None), doc="length of the convolutions in steps, odd")
    head = param.Selector(
        default="gap", objects=list(HEADS), doc="input of the linear layer: mean over time, or all steps"
    )
    gain = param.Number(1.25, bounds=(1, None), doc="largest factor by which records are scaled up or down")
    dropped = param.Number(0.06, bounds=(0, 1), doc="probability that a lead is muted in training")

    def title(self, samples: str) -> str:
        """Return the name of the network for people."""
        return f"1-D ResNet on {samples.upper() if samples == 'ecg' else samples} records"

    def prepared(self, data: SignalSet) -> tuple[EcgRecipe, SignalSet]:
        """Set the augmentation of the records to that of the recipe."""
        return self, replace(data, gain=self.gain, dropped=self.dropped)

    def architecture(self, data: SignalSet) -> dict[str, Any]:
        """Return the entry ``architecture`` of a card."""
        _, leads, steps = data.images.shape
        return {
            "family": self.family,
            "channels": leads,
            "size": [steps],
            "classes": len(data.classes),
            "stem": self.stem,
            "blocks": [list(b) for b in self.blocks],
            "kernel": self.kernel,
            "head": self.head,
            "rate": data.rate,
            "leads": list(data.leads),
        }

    def batches(self, data: SignalSet, epoch: int, device: str) -> Iterator[tuple]:
        """Yield records with random gain and some muted leads, their targets, and whether classes are mutually exclusive."""
        g = epoch_generator(self.seed, epoch)
        order = torch.randperm(len(data.images), generator=g)
        for i in range(self.batches_per_epoch(data)):
            index = order[i * self.batch : (i + 1) * self.batch]
            x = data.augmented(index, g)
            yield x.to(device), torch.from_numpy(data.targets[index.numpy()]).to(device), data.several

    def loss(self, module: nn.Module, batch: tuple) -> torch.Tensor:
        """Return the cross entropy of the one class, or of each class separately when there may be several."""
        x, target, several = batch
        logit = module(x)
        return (
            F.binary_cross_entropy_with_logits(logit, target) if several else F.cross_entropy(logit, target)
        )

    def validate(self, module: nn.Module, data: SignalSet, test: SignalSet) -> dict[str, Any]:
        """Return the accuracy, or the area under the curve when there are several classes."""
        return scores(logits(module, test.images, 64), test, data.several)

    def finish(self, run: Run) -> dict[str, Any]:
        """Compute metrics per class and difficulty; write weights, card, and the clusters of the training records."""
        test, several = run.test, run.data.several
        logit = logits(run.module, test.images, 64)
        metrics: dict[str, Any] = scores(logit, test, several)
        if not several:
            metrics["per_class"] = per_class(logit, test.label, test.classes, test.difficulty, test.levels)
            known = test.label[test.label >= 0]
            metrics["chance"] = round(float(np.bincount(known).max() / len(known)), 4)
        save(run.out, run.module, None, None, run.card | {"multi_label": several, "metrics": metrics})
        add_clusters(run.out, run.data, run.quiet)
        return metrics
