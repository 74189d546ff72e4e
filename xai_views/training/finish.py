"""From a fitted network to a checkpoint: evidence vectors, supports, their maps, figures, card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xai_views.engine.attribution.bcos import self_contributions
from xai_views.errors import ModelError
from xai_views.models import evidence
from xai_views.models.checkpoint import save
from xai_views.models.families.sic.network import SIC
from xai_views.models.model import size_of
from xai_views.models.own_module import module_sha256
from xai_views.models.supports import Latents, Supports, select
from xai_views.training.data import TrainingSet, in_bytes
from xai_views.training.sic import figures, latents


def choose_supports(
    module: SIC, stored: Latents, images: np.ndarray, per_class: int, rule: str = "k-means"
) -> Supports:
    """Select supports by ``rule`` and compute their maps; ``images`` (or signals) are in the order of ``stored``."""
    rows, label = select(stored, per_class, module.classes, rule)
    image = images[rows] if images.ndim == 4 else images[rows].astype(np.float32)
    return Supports(stored.z[rows], label, stored.index[rows], image, self_contributions(module, image))


def attach_supports(model, samples, per_class: int = 3, rule: str = "k-means"):
    """Give your own SIC network its supports from labelled training samples; returns the same model.

    Parameters
    ----------
    model : Model
        An opened SIC network.
    samples : xarray.Dataset
        Labelled training samples, images or signals, of the size that the network takes.
    per_class, rule
        As in :func:`xai_views.models.select`.

    Raises
    ------
    ModelError
        When the samples carry no labels.
    """
    from xai_views.samples import inputs

    if not isinstance(model.module, SIC):
        raise ModelError(
            f"{model.name!r} is a {type(model.module).__name__} and supports belong to a SIC network; train one with "
            "xai-views train sic."
        )
    if "label" not in samples:
        raise ModelError(
            "the samples carry no labels, and supports are chosen per class; open them with labels."
        )
    image = inputs(samples, np.arange(samples.sizes["sample"]))
    model.check(image)
    image = image.astype(np.float32) if model.of_signals else in_bytes(image)
    label = np.asarray(samples["label"].values)
    z = latents(model.module, image).numpy()
    model.latents = Latents(z, label, np.arange(len(z)), samples.attrs.get("title", ""))
    model.supports = choose_supports(model.module, model.latents, image, per_class, rule)
    model.module.set_supports(
        torch.from_numpy(model.supports.vectors), torch.from_numpy(model.supports.label)
    )
    model.size = size_of(image)  # maps of image and supports share their pixels
    model.sha256 = module_sha256(model.module)  # what was computed with other supports is not this model's
    return model


@torch.no_grad()
def calibrate(module: SIC, z: np.ndarray, supports: Supports, targets: np.ndarray) -> float:
    """Scale the evidence vectors by the factor with the least cross entropy on the training images.

    The network is homogeneous: scaling its last gain scales every z and every score, and changes no cosine and no
    ranking. This is temperature scaling inside the network.

    Returns
    -------
    float
        The factor that was applied.
    """
    score = evidence.scores(z, supports.vectors)
    best = (np.inf, 1.0)
    for factor in np.geomspace(0.5, 20, 60):
        logit = evidence.logits(
            score * factor, supports.label, module.classes, module.temperature, module.bias
        )
        loss = np.mean(np.logaddexp(0, logit) - targets * logit)
        best = min(best, (float(loss), float(factor)))
    gains: list[Any] = [m.weight for m in module.encoder.modules() if hasattr(m, "running_var")]
    gains[-1].mul_(best[1])
    return best[1]


def checkpoint(
    folder: Path,
    module: SIC,
    data: TrainingSet,
    test: tuple[np.ndarray, np.ndarray],
    per_class: int,
    card: dict,
    detail: Callable[[np.ndarray], dict] = lambda _: {},
) -> dict:
    """Select supports, calibrate, evaluate and write the checkpoint folder; returns the card's metrics.

    ``detail`` is given the test logits ``[M, classes]`` and says what else the card tells of them.
    """
    clean = np.flatnonzero(data.label >= 0) if data.label.ndim == 1 else np.arange(len(data.images))
    image = data.images[clean]
    label = data.label[clean]
    position = clean if data.index is None else data.index[clean]

    def observed() -> Latents:
        return Latents(
            latents(module, image).numpy(), label.astype(np.int64), position.astype(np.int64), data.samples
        )

    stored = observed()
    supports = choose_supports(module, stored, image, per_class)
    factor = calibrate(module, stored.z, supports, data.targets[clean])
    stored = observed()
    supports = choose_supports(module, stored, image, per_class)
    module.set_supports(torch.from_numpy(supports.vectors), torch.from_numpy(supports.label))
    z = latents(module, test[0]).numpy()
    logit = evidence.logits(
        evidence.scores(z, supports.vectors), supports.label, module.classes, module.temperature, module.bias
    )
    metrics = figures(logit.argmax(1), test[1]) | {"calibration_factor": round(factor, 3)} | detail(logit)
    save(
        folder, module, supports, replace(stored, z=stored.z.astype(np.float32)), card | {"metrics": metrics}
    )
    return metrics
