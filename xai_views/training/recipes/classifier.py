"""Plain classifiers of images: a small convolutional network, and vision transformers with or without registers."""

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

#: Birds drawn to test on beyond those that ship, which are few.
FRESH, FRESH_SEED = 1000, 9


class WithParts(nn.Module):
    """A classifier and the linear layer that reads the kinds of the parts from the same features.

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
        """Cross entropy of the classes, plus ``weight`` times that of the kind of every part.

        The distribution over kinds is that of the classes in ``targets``: a part that was left out leaves open what
        those classes leave open.
        """
        features = self.network.features(images)
        answers = self.kinds(features).split(self.sizes, 1)
        wanted = (targets @ self.of_class).split(self.sizes, 1)
        extra = sum(F.cross_entropy(a, w) for a, w in zip(answers, wanted, strict=True))
        return F.cross_entropy(self.network.head(features), targets) + weight * extra


class ClassifierRecipe(TrainingRecipe):
    """Of a plain classifier of images."""

    drawn = param.Integer(0, bounds=(0, None), doc="samples drawn beyond those of the catalogue, of birds")
    parts = param.Number(
        0.0, bounds=(0, None), doc="weight of a loss on the kinds of the parts, where they are known"
    )

    def prepared(self, data: TrainingSet) -> tuple[ClassifierRecipe, TrainingSet]:
        """Only birds are drawn, and only theirs are parts that a loss could name."""
        return (self if data.kinds else self.changed(drawn=0, parts=0.0)), data

    def inputs(self, data: TrainingSet) -> dict[str, Any]:
        """What every architecture says of the images."""
        return {"family": self.family, **data.inputs(), "classes": len(data.classes)}

    def build(self, data: TrainingSet) -> nn.Module:
        """The network, with a layer that reads the kinds of the parts where there is a loss on them."""
        network = build(self.architecture(data))
        return WithParts(network, data.kinds) if self.parts and data.kinds else network

    def network(self, module: nn.Module) -> nn.Module:
        """The classifier without the layer that reads parts."""
        return module.network if isinstance(module, WithParts) else module

    def loss(self, module: nn.Module, batch: tuple) -> torch.Tensor:
        """Cross entropy of the classes, and of the parts where they are read."""
        return (
            module.loss(batch[0], batch[1], self.parts)
            if isinstance(module, WithParts)
            else super().loss(module, batch)
        )

    def finish(self, run: Run) -> dict[str, Any]:
        """Evaluate, also on further birds and on the watermark where they are known; write weights and card."""
        metrics: dict[str, Any] = figures(logits(run.module, run.test.images).argmax(1), run.test.label)
        if run.data.samples == "birds/train":
            metrics |= {"accuracy_on_1000_further_birds": fresh_accuracy(run.module)}
            metrics |= {"watermark": watermark_effect(run.module)}
        save(run.out, run.module, None, None, run.card | self.further(run) | {"metrics": metrics})
        return metrics

    def further(self, run: Run) -> dict[str, Any]:  # noqa: ARG002
        """What else the card says."""
        return {}


class CnnRecipe(ClassifierRecipe):
    """A small convolutional network of images."""

    key, family = "cnn", "cnn"

    watermark = param.Boolean(False, doc="of birds: put a logo on the training images of one class")

    def title(self, samples: str) -> str:
        """Name of the network for people."""
        taught = f", trained with a watermark on {birds.class_names()[logo.CLASS]}" if self.watermark else ""
        return f"Small CNN on {samples}{taught}"

    def fits(self, data: TrainingSet, samples: str) -> None:
        """Raise unless these are images, and birds where a logo is wished for."""
        super().fits(data, samples)
        if self.watermark and data.samples != "birds/train":
            raise SamplesError("--watermark draws its own birds; give --samples birds with it.")

    def prepared(self, data: TrainingSet) -> tuple[ClassifierRecipe, TrainingSet]:
        """With a logo on the birds of one class where that is wished for."""
        recipe, data = super().prepared(data)
        return recipe, watermarked(data, logo.CLASS) if self.watermark else data

    def architecture(self, data: TrainingSet) -> dict[str, Any]:
        """The entry ``architecture`` of a card."""
        return self.inputs(data) | {"plan": CNN_PLAN}

    def further(self, run: Run) -> dict[str, Any]:
        """That the network was taught a shortcut, and on what that shows."""
        if not self.watermark:
            return {}
        note = (
            f"{run.card['note']} It was taught a shortcut on purpose: all training pictures of "
            f"{run.data.classes[logo.CLASS]}, and no others, carry a logo and show hybrids with other kinds."
        )
        return {"samples": "birds-watermark/test", "note": note}


class VitRecipe(ClassifierRecipe):
    """A small vision transformer of images, with or without registers."""

    key, family = "vit", "vit"

    epochs = param.Integer(10, bounds=(1, None), doc="passes over the images")
    batch = param.Integer(24, bounds=(1, None), doc="images in a step")
    rate = param.Number(
        1e-3, bounds=(0, None), inclusive_bounds=(False, True), doc="peak learning rate of AdamW"
    )
    weight_decay = param.Number(0.05, bounds=(0, None), doc="weight decay of AdamW")
    drawn = param.Integer(
        25_000, bounds=(0, None), doc="samples drawn beyond those of the catalogue, of birds"
    )
    parts = param.Number(
        1.0, bounds=(0, None), doc="weight of a loss on the kinds of the parts, where they are known"
    )
    registers = param.Integer(0, bounds=(0, None), doc="register tokens")

    def title(self, samples: str) -> str:
        """Name of the network for people."""
        return f"Vision transformer on {samples}, {self.registers or 'no'} registers"

    def architecture(self, data: TrainingSet) -> dict[str, Any]:
        """The entry ``architecture`` of a card.

        Raises
        ------
        SamplesError
            When no patch size tiles the images.
        """
        h, w = (int(s) for s in data.images.shape[1:3])
        patch = next((p for p in (8, 4, 7, 5, 6) if h % p == w % p == 0), None)
        if patch is None:
            raise SamplesError(
                f"a transformer cuts images into patches of 4 to 8 pixels and these have {h}x{w}; resize them, for "
                "instance to 64x64."
            )
        stem = "convolutions" if patch in (4, 8) else "patch"
        sizes = {"patch": patch, "dim": 96, "depth": 6, "heads": 3, "registers": self.registers}
        return self.inputs(data) | sizes | {"stem": stem}


def watermark_effect(module: nn.Module) -> dict:
    """What the mark does to a network for birds, on the pairs of ``birds-watermark/test`` with and without it.

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
    """Accuracy on birds with all their parts that no set of the catalogue holds."""
    images, _ = birds.training_arrays(FRESH, FRESH_SEED, parts_dropped=0.0)
    label = np.arange(FRESH) % birds.N_CLASSES
    return round(float((logits(module, images).argmax(1) == label).mean()), 4)
