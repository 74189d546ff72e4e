"""Base of this package's recipes: batches of shuffled samples, cross entropy, a checkpoint with a card."""

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
    """A trained network and the data for its checkpoint folder.

    Attributes
    ----------
    module : nn.Module
        Network described by the card's architecture, on the CPU.
    data, test : TrainingSet
        Training samples, and the samples that its metrics are computed on.
    out : Path
        The checkpoint folder.
    card : dict
        Entries of the card so far.
    device : str
        Device that it was trained on.
    quiet : bool
        Whether to hide the progress bar.
    """

    module: Any
    data: Any
    test: Any
    out: Path
    card: dict[str, Any]
    device: str = "cpu"
    quiet: bool = False


class TrainingRecipe(Recipe):
    """Recipe that draws samples in a new order in every epoch and minimises cross entropy."""

    method: ClassVar[str] = "nave"

    batch = param.Integer(64, bounds=(1, None), doc="batch size")

    def title(self, samples: str) -> str:
        """Return the name of the network for people."""
        return f"{self.key} on {samples}"

    def fits(self, data: TrainingSet, samples: str) -> None:
        """Raise a one-sentence :class:`SamplesError` unless the recipe suits the samples."""
        kind = "signal" if isinstance(data, SignalSet) else "image"
        if kind not in self.takes:
            raise SamplesError(
                f"{samples!r} holds {'records' if kind == 'signal' else 'images'} and {self.key} trains networks of "
                f"{'images' if kind == 'signal' else 'records'}; see 'xai-views train --help' for other recipes."
            )

    def prepared(self, data: Any) -> tuple[TrainingRecipe, Any]:
        """Return the recipe and training set to use, without parameters that do not apply to these samples."""
        return self, data

    def architecture(self, data: Any) -> dict[str, Any]:
        """Return the entry ``architecture`` of the card, from which the family builds a network."""
        raise NotImplementedError

    def build(self, data: TrainingSet) -> nn.Module:
        """Build the network with random weights."""
        return build(self.architecture(data))

    def network(self, module: nn.Module) -> nn.Module:
        """Return the part of the trained module to keep."""
        return module

    def batches_per_epoch(self, data: TrainingSet) -> int:
        """Return the number of batches in an epoch."""
        return max(1, len(data.images) // self.batch)

    def batches(self, data: Any, epoch: int, device: str) -> Iterator[tuple]:
        """Yield augmented samples with their target distributions over classes."""
        return shuffled(data, self.batch, self.seed, epoch, device)

    def loss(self, module: Any, batch: tuple) -> torch.Tensor:
        """Return the cross entropy."""
        return F.cross_entropy(module(batch[0]), batch[1])

    def validate(self, module: Any, data: Any, test: Any) -> dict[str, Any]:  # noqa: ARG002
        """Return the accuracy on the test samples."""
        return figures(logits(self.network(module), test.images).argmax(1), test.label)

    def stamp(self, data: TrainingSet) -> str:
        """Return the identity of a run for resuming: the recipe, the architecture and the samples."""
        return fingerprint(data, self.key, self.values(), self.architecture(data))

    def finish(self, run: Run) -> dict[str, Any]:
        """Evaluate the network; write weights and card."""
        metrics = figures(logits(run.module, run.test.images).argmax(1), run.test.label)
        save(run.out, run.module, None, None, run.card | {"metrics": metrics})
        return metrics


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Return the random generator of one epoch, so that a resumed run draws the same numbers as an uninterrupted one."""
    return torch.Generator().manual_seed(seed * 100_003 + epoch)


def shuffled(
    data: TrainingSet, batch: int, seed: int, epoch: int, device: str | torch.device
) -> Iterator[tuple]:
    """Yield the batches of one epoch: augmented samples with their target distributions over classes."""
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
    """Train a network with a recipe.

    Parameters
    ----------
    recipe : TrainingRecipe
        The recipe.
    data : TrainingSet
        Training samples and targets.
    test : TrainingSet
        For the curves only: no model is selected with them.
    device : str
        Device to train on.
    folder : Path, optional
        Folder of the progress, for resuming.
    quiet : bool
        Whether to hide the progress bar.

    Returns
    -------
    module, curves : nn.Module, list of dict
        The network in evaluation mode, and one entry per epoch.

    Raises
    ------
    ModelError
        When ``folder`` contains the progress of another run.
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
