"""What recipes of this package share: batches of shuffled samples, cross entropy, a checkpoint with a card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import param
import torch
import torch.nn.functional as F
from torch import nn

from xai_views.contract.recipe import Recipe
from xai_views.errors import SamplesError
from xai_views.models.checkpoint import build, save
from xai_views.training.data import SignalSet, TrainingSet, fingerprint
from xai_views.training.figures import figures, logits
from xai_views.training.loop import fit


@dataclass
class Run:
    """A fitted network on its way into a checkpoint folder.

    Attributes
    ----------
    module : nn.Module
        What the card's architecture describes, on the CPU.
    data, test : TrainingSet
        What it was fitted on, and what its figures are of.
    out : Path
        The folder.
    card : dict
        What is known so far.
    device : str
        Where it was trained.
    quiet : bool
        No progress bar.
    """

    module: Any
    data: Any
    test: Any
    out: Path
    card: dict[str, Any]
    device: str = "cpu"
    quiet: bool = False


class TrainingRecipe(Recipe):
    """A recipe whose batches are samples in a new order in every epoch, fitted with cross entropy."""

    method: ClassVar[str] = "nave"

    batch = param.Integer(64, bounds=(1, None), doc="samples in a step")

    def title(self, samples: str) -> str:
        """Name of the network for people."""
        return f"{self.key} on {samples}"

    def fits(self, data: TrainingSet, samples: str) -> None:
        """Raise a one-sentence :class:`SamplesError` unless the recipe is for such samples."""
        kind = "signal" if isinstance(data, SignalSet) else "image"
        if kind not in self.takes:
            raise SamplesError(
                f"{samples!r} holds {'records' if kind == 'signal' else 'images'} and {self.key} is a network of "
                f"{'images' if kind == 'signal' else 'records'}; see 'xai-views train --help' for others."
            )

    def prepared(self, data: Any) -> tuple[TrainingRecipe, Any]:
        """The recipe and the training set as they are used: what does not apply to these samples is left away."""
        return self, data

    def architecture(self, data: Any) -> dict[str, Any]:
        """The entry ``architecture`` of a card: what the family builds a network of."""
        raise NotImplementedError

    def build(self, data: TrainingSet) -> nn.Module:
        """The network with random weights."""
        return build(self.architecture(data))

    def network(self, module: nn.Module) -> nn.Module:
        """What is kept of the module that was fitted."""
        return module

    def batches_per_epoch(self, data: TrainingSet) -> int:
        """Batches of an epoch."""
        return max(1, len(data.images) // self.batch)

    def batches(self, data: Any, epoch: int, device: str) -> Iterator[tuple]:
        """Augmented samples and the class distribution that their targets leave open."""
        return shuffled(data, self.batch, self.seed, epoch, device)

    def loss(self, module: Any, batch: tuple) -> torch.Tensor:
        """Cross entropy."""
        return F.cross_entropy(module(batch[0]), batch[1])

    def validate(self, module: Any, data: Any, test: Any) -> dict[str, Any]:  # noqa: ARG002
        """Accuracy on the test samples."""
        return figures(logits(self.network(module), test.images).argmax(1), test.label)

    def stamp(self, data: TrainingSet) -> str:
        """What must be equal for a run to be resumed: the recipe, the architecture and the samples."""
        return fingerprint(data, self.key, self.values(), self.architecture(data))

    def finish(self, run: Run) -> dict[str, Any]:
        """Evaluate, and write weights and card."""
        metrics = figures(logits(run.module, run.test.images).argmax(1), run.test.label)
        save(run.out, run.module, None, None, run.card | {"metrics": metrics})
        return metrics


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Random numbers of one epoch, so that a resumed run draws what an uninterrupted one would have drawn."""
    return torch.Generator().manual_seed(seed * 100_003 + epoch)


def shuffled(
    data: TrainingSet, batch: int, seed: int, epoch: int, device: str | torch.device
) -> Iterator[tuple]:
    """Batches of one epoch: augmented samples and the class distribution that their targets leave open."""
    g = epoch_generator(seed, epoch)
    order = torch.randperm(len(data.images), generator=g)
    for i in range(max(1, len(order) // batch)):
        index = order[i * batch : (i + 1) * batch]
        targets = torch.from_numpy(data.targets[index.numpy()])
        yield data.augmented(index, g).to(device), (targets / targets.sum(1, keepdim=True)).to(device)


def fitted(
    recipe: TrainingRecipe,
    data: TrainingSet,
    test: TrainingSet,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    quiet: bool = False,
) -> tuple[nn.Module, list[dict]]:
    """Fit a network by a recipe.

    Parameters
    ----------
    recipe : TrainingRecipe
        What to do.
    data : TrainingSet
        Samples and targets.
    test : TrainingSet
        For the curves only: nothing is selected by them.
    device : str
        Where to train.
    folder : Path, optional
        Where progress is kept for resuming.
    quiet : bool
        No progress bar.

    Returns
    -------
    module, curves : nn.Module, list of dict
        The network in evaluation mode, and an entry for each epoch.

    Raises
    ------
    ModelError
        When ``folder`` holds the progress of another run.
    """
    torch.manual_seed(recipe.seed)
    module = recipe.build(data).to(device)
    curves = fit(
        module,
        lambda epoch: recipe.batches(data, epoch, device),
        lambda batch: recipe.loss(module, batch),
        epochs=recipe.epochs,
        steps=recipe.batches_per_epoch(data),
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        folder=folder,
        stamp=recipe.stamp(data),
        validate=lambda: recipe.validate(module, data, test),
        label=recipe.key,
        quiet=quiet,
    )
    return recipe.network(module).eval(), curves
