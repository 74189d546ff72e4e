"""SIC networks of images or records, and black-box twins of the image networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import param
import torch
import torch.nn.functional as F

from xai_views.models import evidence
from xai_views.models.checkpoint import save
from xai_views.models.families.cnn.network import PLANS, PlainCNN
from xai_views.models.families.sic.network import SIC
from xai_views.models.supports import Latents
from xai_views.training.clusters import add_clusters
from xai_views.training.data import SignalSet, TrainingSet
from xai_views.training.episodes import class_evidence, draw
from xai_views.training.figures import count, figures, logits, per_class
from xai_views.training.finish import calibrate, choose_supports, latents
from xai_views.training.loop import fit
from xai_views.training.recipe import Run, TrainingRecipe, epoch_generator, shuffled

#: Factor that turns squared cosines in [0, 1] into logits of the auxiliary loss.
SHARPNESS = 10.0


class SicRecipe(TrainingRecipe):
    """SIC network of images or records, whose logits are sums of evidence of training examples."""

    key, family, method = "sic", "sic", "sic"
    takes: ClassVar = ("image", "signal")
    presets: ClassVar = {
        "birds": {"epochs": 50, "steps": 50, "per_class": 2, "extra": 20, "twin_epochs": 10},
        "digits": {"epochs": 30, "steps": 40, "per_class": 10, "latent": 32, "twin_epochs": 15},
        "nuclei": {"epochs": 40, "steps": 15, "per_class": 32, "latent": 32, "twin_epochs": 30},
        "ecg": {"epochs": 30, "steps": 50, "per_class": 6, "latent": 32},
    }

    epochs = param.Integer(30, bounds=(1, None), doc="number of epochs")
    steps = param.Integer(50, bounds=(1, None), doc="episodes per epoch")
    latent = param.Integer(64, bounds=(1, None), doc="size of the evidence vector")
    supports_per_class = param.Integer(3, bounds=(1, None), doc="support samples per class")
    temperature = param.Number(
        10.0, bounds=(0, None), inclusive_bounds=(False, True), doc="divisor of the scores"
    )
    per_class = param.Integer(2, bounds=(2, None), doc="clean samples per class in an episode")
    ways = param.Integer(0, bounds=(0, None), doc="classes per episode, 0 = all")
    extra = param.Integer(0, bounds=(0, None), doc="additional queries per episode, when samples lack parts")
    direction = param.Number(
        5.0, bounds=(0, None), doc="weight of the loss on squared cosines, 0 = the paper's loss alone"
    )
    twin = param.Boolean(True, doc="for images: also train a black-box twin with the same widths")
    twin_epochs = param.Integer(10, bounds=(1, None), doc="number of epochs of the twin")
    batch = param.Integer(64, bounds=(1, None), doc="batch size of the twin")

    def title(self, samples: str) -> str:
        """Return the name of the network for people."""
        return f"SIC on {'ECG records' if samples == 'ecg' else samples}"

    def architecture(self, data: TrainingSet) -> dict[str, Any]:
        """Return the entry ``architecture`` of a card."""
        plan = PLANS.get(data.family, PLANS["nuclei" if data.images.ndim == 4 else "ecg"])
        return {
            "family": self.family,
            **data.inputs(),
            "classes": len(data.classes),
            "plan": plan,
            "latent": self.latent,
            "temperature": self.temperature,
            "supports_per_class": self.supports_per_class,
        }

    def batches_per_epoch(self, data: TrainingSet) -> int:  # noqa: ARG002
        """Return the number of episodes in an epoch."""
        return self.steps

    def batches(self, data: TrainingSet, epoch: int, device: str) -> Iterator[tuple]:
        """Yield episodes: samples, targets, and the labels of the supports, which come first."""
        g = epoch_generator(self.seed, epoch)
        label = torch.from_numpy(data.label)
        clean = [torch.nonzero(label == c)[:, 0] for c in range(len(data.classes))]
        rest = torch.nonzero(label < 0)[:, 0]
        targets = torch.from_numpy(data.targets)
        ways = self.ways or len(data.classes)
        for _ in range(self.steps):
            index, support_label = draw(clean, self.per_class, ways, g)
            if self.extra and len(rest):
                index = torch.cat([index, rest[torch.randint(len(rest), (self.extra,), generator=g)]])
            images = data.augmented(index, g)
            yield images.to(device), targets[index].to(device), support_label.to(device)

    def loss(self, module: SIC, batch: tuple) -> torch.Tensor:
        """Return the loss of an episode, in which every sample is explained by all the others.

        Binary cross entropy summed over classes, as in the paper up to a constant, plus ``direction`` times the cross
        entropy of the mean squared cosines. The second term is our extension: it ranks classes by direction alone, so that
        a network with short evidence vectors learns as fast as one with long vectors.
        """
        images, targets, support_label = batch
        z = module.latent(module.encode(images))
        n = len(support_label)
        own = torch.full((len(z),), -1, device=z.device)
        own[:n] = torch.arange(n, device=z.device)
        score = class_evidence(module.similarity(z, z[:n]), support_label, module.classes, own)
        logit = module.bias + self.supports_per_class / module.temperature * score
        answer = F.binary_cross_entropy_with_logits(logit, targets, reduction="none").sum(1).mean()
        cosines = score / (z.norm(dim=1, keepdim=True) + 1e-6)
        direction = F.cross_entropy(cosines * SHARPNESS, targets / targets.sum(1, keepdim=True))
        return answer + self.direction * direction

    @torch.no_grad()
    def validate(self, module: SIC, data: TrainingSet, test: TrainingSet) -> dict[str, Any]:
        """Return the accuracy with random temporary supports from the training set; cheap enough for every epoch."""
        g = torch.Generator().manual_seed(self.seed)
        label = torch.from_numpy(data.label)
        clean = [torch.nonzero(label == c)[:, 0] for c in range(len(data.classes))]
        index, support_label = draw(clean, self.supports_per_class, len(data.classes), g)
        like = module.supports
        zs, z = (latents(module, x).to(like) for x in (data.images[index.numpy()], test.images))
        found = class_evidence(module.similarity(z, zs), support_label.to(like.device), module.classes)
        return {"test_accuracy": round(float((found.argmax(1).cpu().numpy() == test.label).mean()), 4)}

    def finish(self, run: Run) -> dict[str, Any]:
        """Choose supports, calibrate, evaluate and write the checkpoint; then train the twin or fit clusters."""
        records = isinstance(run.data, SignalSet)  # their black box is trained by the recipe ecg
        twin: dict[str, Any] = {}
        if self.twin and not records:
            progress = run.out / "progress-twin"
            progress.mkdir(exist_ok=True)
            twin = train_twin(run.data, run.test, self, device=run.device, folder=progress, quiet=run.quiet)
        card = run.card | {"method": "ecg_clusters" if records else self.method, "twin": twin}
        metrics = checkpoint(run, self.supports_per_class, card)
        if records:
            add_clusters(run.out, run.data, run.quiet)
        return metrics


def checkpoint(run: Run, per_class_count: int, card: dict[str, Any]) -> dict[str, Any]:
    """Select supports, calibrate, evaluate and write the checkpoint folder; return the metrics for the card."""
    module, data, test = run.module, run.data, run.test
    clean = np.flatnonzero(data.label >= 0)
    image, label = data.images[clean], data.label[clean].astype(np.int64)
    position = (clean if data.index is None else data.index[clean]).astype(np.int64)
    stored = Latents(latents(module, image).numpy(), label, position, data.samples)
    supports = choose_supports(module, stored, image, per_class_count)
    factor = calibrate(module, stored.z, supports, data.targets[clean])
    stored = replace(stored, z=latents(module, image).numpy().astype(np.float32))
    supports = choose_supports(module, stored, image, per_class_count)
    module.set_supports(torch.from_numpy(supports.vectors), torch.from_numpy(supports.label))
    score = evidence.scores(latents(module, test.images).numpy(), supports.vectors)
    logit = evidence.logits(score, supports.label, module.classes, module.temperature, module.bias)
    metrics: dict[str, Any] = figures(logit.argmax(1), test.label) | {"calibration_factor": round(factor, 3)}
    if isinstance(data, SignalSet):
        metrics["per_class"] = per_class(logit, test.label, test.classes, test.difficulty, test.levels)
    save(run.out, module, supports, stored, card | {"metrics": metrics})
    return metrics


def train_twin(
    data: TrainingSet,
    test: TrainingSet,
    recipe: SicRecipe,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    quiet: bool = False,
) -> dict:
    """Train the black-box twin on the same images; return its metrics for the card."""
    torch.manual_seed(recipe.seed)
    arch = recipe.architecture(data)
    model = PlainCNN(arch["channels"], arch["classes"], arch["plan"]).to(device)
    fit(
        model,
        lambda epoch: shuffled(data, recipe.batch, recipe.seed, epoch, device),
        lambda pair: F.cross_entropy(model(pair[0]), pair[1]),
        epochs=recipe.twin_epochs,
        steps=max(1, len(data.images) // recipe.batch),
        rate=recipe.rate,
        folder=folder,
        stamp=recipe.stamp(data),
        validate=lambda: figures(logits(model, test.images).argmax(1), test.label),
        label="twin",
        quiet=quiet,
    )
    return figures(logits(model, test.images).argmax(1), test.label) | {
        "parameters": count(model),
        "recipe": "same widths, data and augmentation",
    }
