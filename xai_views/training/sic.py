"""Training of SIC networks and of their black-box twins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from xai_views.engine.attribution.bcos import encoded
from xai_views.models.checkpoint import build
from xai_views.models.families.cnn.network import PLANS, PlainCNN
from xai_views.models.families.sic.network import SIC
from xai_views.training.classifier import count, epoch_generator, figures, logits, shuffled
from xai_views.training.data import TrainingSet, fingerprint
from xai_views.training.episodes import class_evidence, draw
from xai_views.training.loop import fit

#: Squared cosines lie in [0, 1]; as logits of the auxiliary loss they are multiplied by this.
SHARPNESS = 10.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run; it is written to the card.

    Attributes
    ----------
    latent : int
        Size p of the evidence vector.
    supports_per_class : int
        N_s at test time; in training the mean score of the temporary supports counts N_s times.
    temperature : float
        T.
    epochs, steps : int
        Epochs and batches per epoch.
    per_class, ways, extra : int
        Clean images per class in a batch, classes in a batch (0 = all), further queries.
    rate, weight_decay : float
        Peak learning rate and decay of AdamW.
    direction : float
        Weight of the auxiliary loss on squared cosines (0 = the paper's loss alone).
    seed : int
        Seed of weights and batches.
    twin_epochs : int
        Epochs of the black-box twin.
    """

    latent: int = 64
    supports_per_class: int = 3
    temperature: float = 10.0
    epochs: int = 30
    steps: int = 50
    per_class: int = 2
    ways: int = 0
    extra: int = 0
    rate: float = 3e-3
    weight_decay: float = 0.0
    direction: float = 5.0
    seed: int = 0
    twin_epochs: int = 10


RECIPES: dict[str, Recipe] = {
    "birds": Recipe(epochs=50, steps=50, per_class=2, extra=20, twin_epochs=10),
    "digits": Recipe(epochs=30, steps=40, per_class=10, latent=32, twin_epochs=15),
    "nuclei": Recipe(epochs=40, steps=15, per_class=32, latent=32, twin_epochs=30),
    "ecg": Recipe(epochs=30, steps=50, per_class=6, latent=32),
}


def architecture(data: TrainingSet, recipe: Recipe) -> dict:
    """The ``architecture`` entry of a card: what :func:`xai_views.models.checkpoint.build` needs."""
    plan = PLANS.get(data.samples.split("/")[0], PLANS["nuclei" if data.images.ndim == 4 else "ecg"])
    return {
        "family": "sic",
        **data.inputs(),
        "classes": len(data.classes),
        "plan": plan,
        "latent": recipe.latent,
        "temperature": recipe.temperature,
        "supports_per_class": recipe.supports_per_class,
    }


def stamp(data: TrainingSet, recipe: Recipe) -> str:
    """What must be equal for a run to be resumed: the recipe, the architecture and the images."""
    return fingerprint(data, asdict(recipe), architecture(data, recipe))


def episodes(data: TrainingSet, recipe: Recipe, device: torch.device, epoch: int) -> Iterator[tuple]:
    """Batches of one epoch: images, targets, label of the supports (the first images), number of supports."""
    g = epoch_generator(recipe.seed, epoch)
    label = torch.from_numpy(data.label)
    clean = [torch.nonzero(label == c)[:, 0] for c in range(len(data.classes))]
    rest = torch.nonzero(label < 0)[:, 0]
    targets = torch.from_numpy(data.targets)
    ways = recipe.ways or len(data.classes)
    for _ in range(recipe.steps):
        index, support_label = draw(clean, recipe.per_class, ways, g)
        if recipe.extra and len(rest):
            index = torch.cat([index, rest[torch.randint(len(rest), (recipe.extra,), generator=g)]])
        images = data.augmented(index, g)
        yield images.to(device), targets[index].to(device), support_label.to(device)


def episode_loss(model: SIC, batch: tuple, recipe: Recipe) -> torch.Tensor:
    """Loss of an episode, in which every image is explained by all the others.

    Binary cross entropy summed over classes, as in the paper up to the constant, plus ``direction`` times the cross
    entropy of the mean squared cosines. The second term is ours: it ranks classes by direction alone, so that a
    network whose evidence vectors are still short learns as fast as one whose vectors are long.
    """
    images, targets, support_label = batch
    z = model.latent(model.encode(images))
    n = len(support_label)
    own = torch.full((len(z),), -1, device=z.device)
    own[:n] = torch.arange(n, device=z.device)
    score = class_evidence(model.similarity(z, z[:n]), support_label, model.classes, own)
    logits = model.bias + recipe.supports_per_class / model.temperature * score
    answer = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()
    cosines = score / (z.norm(dim=1, keepdim=True) + 1e-6)
    direction = F.cross_entropy(cosines * SHARPNESS, targets / targets.sum(1, keepdim=True))
    return answer + recipe.direction * direction


@torch.no_grad()
def latents(model: SIC, images: np.ndarray, batch: int = 256) -> torch.Tensor:
    """Evidence vectors ``[N, p]`` of ``images [N, H, W, C]`` uint8 or signals, in evaluation mode, on the CPU."""
    was = model.training
    model.eval()
    out = [model.latent(encoded(model, images[i : i + batch])).cpu() for i in range(0, len(images), batch)]
    model.train(was)
    return torch.cat(out)


def _quick_validation(model: SIC, data: TrainingSet, recipe: Recipe, test: tuple[np.ndarray, np.ndarray]):
    """Accuracy with random temporary supports from the training set; cheap enough for every epoch."""
    g = torch.Generator().manual_seed(recipe.seed)
    label = torch.from_numpy(data.label)
    clean = [torch.nonzero(label == c)[:, 0] for c in range(len(data.classes))]
    index, support_label = draw(clean, recipe.supports_per_class, len(data.classes), g)

    def validate() -> dict:
        zs, z = latents(model, data.images[index.numpy()]), latents(model, test[0])
        with torch.no_grad():
            evidence = class_evidence(
                model.similarity(z.to(model.supports), zs.to(model.supports)),
                support_label.to(model.supports.device),
                model.classes,
            )
        return {"test_accuracy": round(float((evidence.argmax(1).cpu().numpy() == test[1]).mean()), 4)}

    return validate


def train_sic(
    data: TrainingSet,
    test: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    quiet: bool = False,
) -> tuple[SIC, list[dict], float]:
    """Fit a SIC; returns the network (without supports), its curves and the seconds this call took.

    Parameters
    ----------
    data : TrainingSet
        Images and targets.
    test : (ndarray, ndarray)
        Test images ``[M, H, W, C]`` uint8 and labels ``[M]``, for the curves only: nothing is selected by them.
    recipe : Recipe
        What to do.
    device : str
        Where to train.
    folder : Path, optional
        Where progress is kept for resuming.
    """
    start = time.monotonic()
    torch.manual_seed(recipe.seed)
    model: Any = build(architecture(data, recipe)).to(device)
    curves = fit(
        model,
        lambda epoch: episodes(data, recipe, torch.device(device), epoch),
        lambda batch: episode_loss(model, batch, recipe),
        epochs=recipe.epochs,
        steps=recipe.steps,
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        folder=folder,
        stamp=stamp(data, recipe),
        validate=_quick_validation(model, data, recipe, test),
        label="SIC",
        quiet=quiet,
    )
    return model, curves, time.monotonic() - start


def train_twin(
    data: TrainingSet,
    test: tuple[np.ndarray, np.ndarray],
    recipe: Recipe,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    quiet: bool = False,
) -> dict:
    """Fit the black-box twin on the same images; returns its figures for the card."""
    torch.manual_seed(recipe.seed)
    arch = architecture(data, recipe)
    model = PlainCNN(arch["channels"], arch["classes"], arch["plan"]).to(device)
    batch = 64
    fit(
        model,
        lambda epoch: shuffled(data, batch, recipe.seed, epoch, device),
        lambda pair: F.cross_entropy(model(pair[0]), pair[1]),
        epochs=recipe.twin_epochs,
        steps=max(1, len(data.images) // batch),
        rate=recipe.rate,
        folder=folder,
        stamp=stamp(data, recipe),
        validate=lambda: figures(logits(model, test[0]).argmax(1), test[1]),
        label="twin",
        quiet=quiet,
    )
    return figures(logits(model, test[0]).argmax(1), test[1]) | {
        "parameters": count(model),
        "recipe": "same widths, data and augmentation",
    }


def recipe_fields(recipe: Recipe) -> dict:
    """The recipe as a plain dict for the card."""
    return asdict(recipe)
