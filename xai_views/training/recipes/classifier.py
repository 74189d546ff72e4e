"""Plain image classifiers: a small convolutional network, and vision transformers with or without registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import param
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.errors import SamplesError
from xai_views.models.checkpoint import build, save
from xai_views.models.families.cnn.network import CNN_PLAN
from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds import watermark as logo
from xai_views.training.data import TrainingSet, watermarked
from xai_views.training.figures import figures, logits
from xai_views.training.recipe import Run, TrainingRecipe

#: Number of birds drawn for testing in addition to the shipped ones, which are few.
FRESH, FRESH_SEED = 1000, 9


class WithParts(nn.Module):
    """A classifier, and a linear layer that predicts the variants of the parts from the same features.

    Parameters
    ----------
    network : nn.Module
        Has ``features(x)`` and ``head``.
    kinds : sequence of ndarray
        As in :class:`~xai_views.training.data.TrainingSet`.
    """

    of_class: torch.Tensor

    def __init__(self, network: Any, kinds: tuple[np.ndarray, ...]) -> None:
        super().__init__()
        self.network: Any = network
        self.sizes = [k.shape[1] for k in kinds]
        self.kinds = nn.Linear(network.head.in_features, sum(self.sizes))
        self.register_buffer("of_class", torch.from_numpy(np.concatenate(kinds, 1)), persistent=False)

    def loss(self, images: torch.Tensor, targets: torch.Tensor, weight: float) -> torch.Tensor:
        """Return the cross entropy of the classes, plus ``weight`` times that of the variant of every part.

        The target over variants follows from the classes in ``targets``: a removed part leaves the same
        ambiguity as those classes.
        """
        features = self.network.features(images)
        answers = self.kinds(features).split(self.sizes, 1)
        wanted = (targets @ self.of_class).split(self.sizes, 1)
        extra = sum(F.cross_entropy(a, w) for a, w in zip(answers, wanted, strict=True))
        return F.cross_entropy(self.network.head(features), targets) + weight * extra


class ClassifierRecipe(TrainingRecipe):
    """Base of the plain image classifiers."""

    drawn = param.Integer(0, bounds=(0, None), doc="birds drawn in addition to those of the catalogue")
    parts = param.Number(
        0.0, bounds=(0, None), doc="weight of the loss on the variants of the parts, when they are known"
    )

    def prepared(self, data: TrainingSet) -> tuple[ClassifierRecipe, TrainingSet]:
        """Drop the parameters that need birds when the samples are not birds."""
        return (self if data.kinds else self.changed(drawn=0, parts=0.0)), data

    def inputs(self, data: TrainingSet) -> dict[str, Any]:
        """Return the entries on images that every architecture has."""
        return {"family": self.family, **data.inputs(), "classes": len(data.classes)}

    def build(self, data: TrainingSet) -> nn.Module:
        """Build the network, with a layer that predicts the variants of the parts when the recipe has a loss on them."""
        network = build(self.architecture(data))
        return WithParts(network, data.kinds) if self.parts and data.kinds else network

    def network(self, module: nn.Module) -> nn.Module:
        """Return the classifier without the layer that predicts parts."""
        return module.network if isinstance(module, WithParts) else module

    def loss(self, module: nn.Module, batch: tuple) -> torch.Tensor:
        """Return the cross entropy of the classes, plus that of the parts when they are predicted."""
        return (
            module.loss(batch[0], batch[1], self.parts)
            if isinstance(module, WithParts)
            else super().loss(module, batch)
        )

    def finish(self, run: Run) -> dict[str, Any]:
        """Evaluate, also on additional birds and on the watermark when available; write weights and card."""
        metrics: dict[str, Any] = figures(logits(run.module, run.test.images).argmax(1), run.test.label)
        if run.data.samples == "birds/train":
            metrics |= {"accuracy_on_1000_further_birds": fresh_accuracy(run.module)}
            metrics |= {"watermark": watermark_effect(run.module)}
        save(run.out, run.module, None, None, run.card | self.further(run) | {"metrics": metrics})
        return metrics

    def further(self, run: Run) -> dict[str, Any]:  # noqa: ARG002
        """Return additional entries of the card."""
        return {}


class CnnRecipe(ClassifierRecipe):
    """Small convolutional network of images."""

    key, family = "cnn", "cnn"

    watermark = param.Boolean(False, doc="for birds: add a logo to the training images of one class")

    def title(self, samples: str) -> str:
        """Return the name of the network for people."""
        taught = f", trained with a watermark on {birds.class_names()[logo.CLASS]}" if self.watermark else ""
        return f"Small CNN on {samples}{taught}"

    def fits(self, data: TrainingSet, samples: str) -> None:
        """Raise unless the samples are images, and birds when a logo is requested."""
        super().fits(data, samples)
        if self.watermark and data.samples != "birds/train":
            raise SamplesError("--watermark draws its own birds; use it with --samples birds.")

    def prepared(self, data: TrainingSet) -> tuple[ClassifierRecipe, TrainingSet]:
        """Add a logo to the birds of one class when requested."""
        recipe, data = super().prepared(data)
        return recipe, watermarked(data, logo.CLASS) if self.watermark else data

    def architecture(self, data: TrainingSet) -> dict[str, Any]:
        """Return the entry ``architecture`` of a card."""
        return self.inputs(data) | {"plan": CNN_PLAN}

    def further(self, run: Run) -> dict[str, Any]:
        """Return the note that the network was taught a shortcut, and the samples that show it."""
        if not self.watermark:
            return {}
        note = (
            f"{run.card['note']} It was taught a shortcut on purpose: in training, every picture of "
            f"{run.data.classes[logo.CLASS]} (and no other) carried a logo, and its birds were hybrids with other classes."
        )
        return {"samples": "birds-watermark/test", "note": note}


class VitRecipe(ClassifierRecipe):
    """Small vision transformer of images, with or without registers."""

    key, family = "vit", "vit"

    epochs = param.Integer(10, bounds=(1, None), doc="number of epochs")
    batch = param.Integer(24, bounds=(1, None), doc="batch size")
    rate = param.Number(
        1e-3, bounds=(0, None), inclusive_bounds=(False, True), doc="peak learning rate of AdamW"
    )
    weight_decay = param.Number(0.05, bounds=(0, None), doc="weight decay of AdamW")
    drawn = param.Integer(25_000, bounds=(0, None), doc="birds drawn in addition to those of the catalogue")
    parts = param.Number(
        1.0, bounds=(0, None), doc="weight of the loss on the variants of the parts, when they are known"
    )
    registers = param.Integer(0, bounds=(0, None), doc="number of register tokens")

    def title(self, samples: str) -> str:
        """Return the name of the network for people."""
        return f"Vision transformer on {samples}, {self.registers or 'no'} registers"

    def architecture(self, data: TrainingSet) -> dict[str, Any]:
        """Return the entry ``architecture`` of a card.

        Raises
        ------
        SamplesError
            When no patch size tiles the images.
        """
        h, w = (int(s) for s in data.images.shape[1:3])
        patch = next((p for p in (8, 4, 7, 5, 6) if h % p == w % p == 0), None)
        if patch is None:
            raise SamplesError(
                f"a transformer cuts images into patches of 4 to 8 pixels, which do not tile {h}x{w} pixels; resize them, for "
                "instance to 64x64."
            )
        stem = "convolutions" if patch in (4, 8) else "patch"
        sizes = {"patch": patch, "dim": 96, "depth": 6, "heads": 3, "registers": self.registers}
        return self.inputs(data) | sizes | {"stem": stem}


def watermark_effect(module: nn.Module) -> dict:
    """Measure the effect of the mark on a bird network, on the pairs of ``birds-watermark/test`` with and without it.

    Returns
    -------
    dict
        ``class``; shares ``others_with_mark_called_class`` and ``others_without_mark_called_class`` of the pictures
        of other classes that have a marked twin; ``accuracy_with_mark`` and ``accuracy_without_mark`` of the class;
        ``pictures`` of each kind.
    """
    test = logo.arrays()
    predicted = logits(module, test["image"]).argmax(1)
    marked = (test["part"] == logo.PARTS.index(logo.PART)).any((1, 2))
    own = test["label"] == logo.CLASS
    twin = np.isin(test["name"], [n.removesuffix("-marked") for n in test["name"][marked]])

    def share(chosen: np.ndarray) -> float:
        return round(float((predicted[chosen] == logo.CLASS).mean()), 4)

    return {
        "class": f"bird {logo.CLASS:02d}",
        "others_with_mark_called_class": share(~own & marked),
        "others_without_mark_called_class": share(~own & twin),
        "accuracy_with_mark": share(own & marked),
        "accuracy_without_mark": share(own & twin),
        "pictures": {"of_class": int((own & marked).sum()), "of_others": int((~own & marked).sum())},
    }


def fresh_accuracy(module: nn.Module) -> float:
    """Return the accuracy on newly drawn birds with all their parts, which are in no set of the catalogue."""
    images, _ = birds.training_arrays(FRESH, FRESH_SEED, parts_dropped=0.0)
    label = np.arange(FRESH) % birds.N_CLASSES
    return round(float((logits(module, images).argmax(1) == label).mean()), 4)
