"""A residual network of 12-lead records: data, loss, figures per class and difficulty, clusters."""

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
    """A residual network of ECG records, with the clusters that all records share."""

    key, family, method = "ecg", "resnet1d", "ecg_clusters"
    takes: ClassVar = ("signal",)

    epochs = param.Integer(8, bounds=(1, None), doc="passes over the records")
    batch = param.Integer(32, bounds=(1, None), doc="records in a step")
    weight_decay = param.Number(1e-3, bounds=(0, None), doc="weight decay of AdamW")
    stem = param.Integer(16, bounds=(1, None), doc="channels of the first convolution")
    blocks = param.List([[24, 4], [40, 4], [56, 2], [80, 2]], doc="width and stride of each block")
    kernel = param.Integer(17, bounds=(1, None), doc="length of the convolutions in steps, odd")
    head: Any = param.Selector(
        default="gap", objects=list(HEADS), doc="what the linear layer reads: a mean, or all steps"
    )
    gain = param.Number(1.25, bounds=(1, None), doc="records are multiplied or divided by up to this")
    dropped = param.Number(0.06, bounds=(0, 1), doc="probability of a lead to be silent in training")

    def title(self, samples: str) -> str:
        """Name of the network for people."""
        return f"1-D ResNet on {samples.upper() if samples == 'ecg' else samples} records"

    def prepared(self, data: SignalSet) -> tuple[EcgRecipe, SignalSet]:
        """The records are disturbed as the recipe says."""
        return self, replace(data, gain=self.gain, dropped=self.dropped)

    def architecture(self, data: SignalSet) -> dict[str, Any]:
        """The entry ``architecture`` of a card."""
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
        """Records of random gain with some silent leads, their targets, and whether these exclude each other."""
        g = epoch_generator(self.seed, epoch)
        order = torch.randperm(len(data.images), generator=g)
        for i in range(self.batches_per_epoch(data)):
            index = order[i * self.batch : (i + 1) * self.batch]
            x = data.augmented(index, g)
            yield x.to(device), torch.from_numpy(data.targets[index.numpy()]).to(device), data.several

    def loss(self, module: nn.Module, batch: tuple) -> torch.Tensor:
        """Cross entropy of the one class, or of each class apart where there may be several."""
        x, target, several = batch
        logit = module(x)
        return (
            F.binary_cross_entropy_with_logits(logit, target) if several else F.cross_entropy(logit, target)
        )

    def validate(self, module: nn.Module, data: SignalSet, test: SignalSet) -> dict[str, Any]:
        """Accuracy, or the area under the curve where there are several classes."""
        return scores(logits(module, test.images, 64), test, data.several)

    def finish(self, run: Run) -> dict[str, Any]:
        """Figures per class and difficulty, weights, card, and the clusters of the training records."""
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
