"""Completion of a trained SIC network: evidence vectors, supports and their maps, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xai_views import kinds
from xai_views.engine.attribution.bcos import encoded, self_contributions
from xai_views.errors import ModelError
from xai_views.models import evidence
from xai_views.models.bare_module import module_sha256
from xai_views.models.families.sic.network import SIC
from xai_views.models.supports import Latents, Supports, select
from xai_views.training.data import in_bytes


@torch.no_grad()
def latents(model: SIC, images: np.ndarray, batch: int = 256) -> torch.Tensor:
    """Return evidence vectors ``[N, p]`` of ``images [N, H, W, C]`` uint8 or signals, in evaluation mode, on the CPU."""
    was = model.training
    model.eval()
    out = [model.latent(encoded(model, images[i : i + batch])).cpu() for i in range(0, len(images), batch)]
    model.train(was)
    return torch.cat(out)


def choose_supports(
    module: SIC, stored: Latents, images: np.ndarray, per_class: int, rule: str = "k-means"
) -> Supports:
    """Select supports by ``rule`` and compute their maps; ``images`` (or signals) have the order of ``stored``."""
    rows, label = select(stored, per_class, module.classes, rule)
    image = images[rows] if images.ndim == 4 else images[rows].astype(np.float32)
    return Supports(stored.z[rows], label, stored.index[rows], image, self_contributions(module, image))


def attach_supports(model, samples, per_class: int = 3, rule: str = "k-means"):
    """Set the supports of your own SIC network from labelled training samples; return the same model.

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
        When the network is not a SIC network, or the samples have no labels.
    """
    from xai_views.samples import inputs

    if not isinstance(model.module, SIC):
        raise ModelError(
            f"{model.name!r} is a {type(model.module).__name__}, but supports need a SIC network; train one with "
            "xai-views train sic."
        )
    if "label" not in samples:
        raise ModelError(
            "the samples have no labels, but supports are chosen per class; open them with labels."
        )
    image = inputs(samples, np.arange(samples.sizes["sample"]))
    model.check(image)
    image = image.astype(np.float32) if model.kind == "signal" else in_bytes(image)
    label = np.asarray(samples["label"].values)
    z = latents(model.module, image).numpy()
    model.latents = Latents(z, label, np.arange(len(z)), samples.attrs.get("title", ""))
    model.supports = choose_supports(model.module, model.latents, image, per_class, rule)
    model.module.set_supports(
        torch.from_numpy(model.supports.vectors), torch.from_numpy(model.supports.label)
    )
    model.size = kinds.get(model.kind).size_of(
        image
    )  # the maps of an image and of its supports have the same size
    model.sha256 = module_sha256(model.module)  # invalidates results computed with other supports
    return model


@torch.no_grad()
def calibrate(module: SIC, z: np.ndarray, supports: Supports, targets: np.ndarray) -> float:
    """Scale the evidence vectors by the factor that minimises cross entropy on the training images.

    The network is homogeneous: scaling its last gain scales every z and every score, and changes no cosine and no
    ranking. This is temperature scaling within the network.

    Returns
    -------
    float
        The applied factor.
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
