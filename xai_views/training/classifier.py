"""Training of plain classifiers: a small convolutional network, and vision transformers with or without registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.errors import SamplesError
from xai_views.models.checkpoint import build
from xai_views.models.families.cnn.network import CNN_PLAN
from xai_views.training.data import TrainingSet, fingerprint
from xai_views.training.loop import fit


@dataclass(frozen=True)
class ClassifierRecipe:
    """Everything that decides a training run; it is written to the card.

    Attributes
    ----------
    family : {"cnn", "vit"}
        Architecture.
    epochs, batch : int
        Passes over the images and images per step.
    rate, weight_decay : float
        Peak learning rate and decay of AdamW.
    drawn : int
        Birds drawn beyond those of the catalogue (of birds only).
    parts : float
        Weight of an auxiliary loss on the kinds of the parts, where the samples know them; its linear layer is
        dropped after training.
    registers : int
        Register tokens of a transformer.
    watermark : str
        Class whose training images carry a mark; "" for none.
    seed : int
        Seed of weights and batches.
    """

    family: str
    epochs: int = 12
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.0
    drawn: int = 0
    parts: float = 0.0
    registers: int = 0
    watermark: str = ""
    seed: int = 0


RECIPES: dict[str, ClassifierRecipe] = {
    "cnn": ClassifierRecipe("cnn"),
    "vit": ClassifierRecipe(
        "vit", epochs=10, batch=24, rate=1e-3, weight_decay=0.05, drawn=25_000, parts=1.0
    ),
}


def architecture(data: TrainingSet, recipe: ClassifierRecipe) -> dict:
    """The ``architecture`` entry of a card: what :func:`xai_views.models.checkpoint.build` needs.

    Raises
    ------
    SamplesError
        When no patch size tiles the images for a transformer.
    """
    h, w, channels = (int(s) for s in data.images.shape[1:])
    common = {"family": recipe.family, "channels": channels, "size": [h, w], "classes": len(data.classes)}
    if recipe.family == "cnn":
        return common | {"plan": CNN_PLAN}
    patch = next((p for p in (8, 4, 7, 5, 6) if h % p == w % p == 0), None)
    if patch is None:
        raise SamplesError(
            f"a transformer cuts images into patches of 4 to 8 pixels and these have {h}x{w}; resize them, for "
            "instance to 64x64."
        )
    stem = "convolutions" if patch in (4, 8) else "patch"
    sizes = {"patch": patch, "dim": 96, "depth": 6, "heads": 3, "registers": recipe.registers}
    return common | sizes | {"stem": stem}


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Random numbers of one epoch, so that a resumed run draws what an uninterrupted one would have drawn."""
    return torch.Generator().manual_seed(seed * 100_003 + epoch)


def shuffled(
    data: TrainingSet, batch: int, seed: int, epoch: int, device: str | torch.device
) -> Iterator[tuple]:
    """Batches of one epoch: augmented images and the class distribution that their targets leave open."""
    g = epoch_generator(seed, epoch)
    order = torch.randperm(len(data.images), generator=g)
    for i in range(max(1, len(order) // batch)):
        index = order[i * batch : (i + 1) * batch]
        targets = torch.from_numpy(data.targets[index.numpy()])
        yield data.augmented(index, g).to(device), (targets / targets.sum(1, keepdim=True)).to(device)


@torch.no_grad()
def logits(module: nn.Module, images: np.ndarray, batch: int = 256) -> np.ndarray:
    """Logits ``[N, classes]`` of ``images [N, H, W, C]`` uint8, in evaluation mode."""
    was = module.training
    module.eval()
    like = next(module.parameters())
    out = []
    for i in range(0, len(images), batch):
        x = torch.from_numpy(images[i : i + batch]).permute(0, 3, 1, 2).to(like).div(255)
        out.append(module(x).cpu())
    module.train(was)
    return torch.cat(out).numpy()


def balanced_accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    """Mean over classes of the share of right answers."""
    return float(np.mean([(predicted[label == c] == c).mean() for c in np.unique(label)]))


def figures(predicted: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Accuracy and balanced accuracy over the images with one known class (label >= 0), rounded to four digits."""
    predicted, label = predicted[label >= 0], label[label >= 0]
    return {
        "test_accuracy": round(float((predicted == label).mean()), 4),
        "test_balanced_accuracy": round(balanced_accuracy(predicted, label), 4),
    }


def count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters())


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


def train_classifier(
    data: TrainingSet,
    test: tuple[np.ndarray, np.ndarray],
    recipe: ClassifierRecipe,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    quiet: bool = False,
) -> tuple[nn.Module, list[dict]]:
    """Fit a classifier; returns the network and its curves.

    Parameters
    ----------
    data : TrainingSet
        Images and targets.
    test : (ndarray, ndarray)
        Test images ``[M, H, W, C]`` uint8 and labels ``[M]``, for the curves only: nothing is selected by them.
    recipe : ClassifierRecipe
        What to do.
    device : str
        Where to train.
    folder : Path, optional
        Where progress is kept for resuming.

    Raises
    ------
    ModelError
        When ``folder`` holds the progress of another run.
    """
    torch.manual_seed(recipe.seed)
    network = build(architecture(data, recipe)).to(device)
    trained: nn.Module = network
    loss: Callable = lambda pair: F.cross_entropy(network(pair[0]), pair[1])  # noqa: E731
    if recipe.parts and data.kinds:
        parts = WithParts(network, data.kinds).to(device)
        trained, loss = parts, lambda pair: parts.loss(pair[0], pair[1], recipe.parts)
    curves = fit(
        trained,
        lambda epoch: shuffled(data, recipe.batch, recipe.seed, epoch, device),
        loss,
        epochs=recipe.epochs,
        steps=max(1, len(data.images) // recipe.batch),
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        folder=folder,
        stamp=fingerprint(data, asdict(recipe), architecture(data, recipe)),
        validate=lambda: figures(logits(network, test[0]).argmax(1), test[1]),
        label=recipe.family,
        quiet=quiet,
    )
    return network.eval(), curves
