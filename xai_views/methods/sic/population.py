"""Predictions and scores of a SIC network for many samples, from their evidence vectors; matrix products only."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from xai_views.engine.predictions import Predictions
from xai_views.methods.sic.observation import logits
from xai_views.models import evidence
from xai_views.models.supports import Latents, Supports


def latent_vectors(model: Any, inputs: np.ndarray) -> np.ndarray:
    """Compute evidence vectors ``[N, p]`` of images ``[N, H, W, C]`` or signals in one forward pass without gradients."""
    import torch

    from xai_views.models import passes

    with torch.no_grad():
        x = model.module.encode(model.tensor(inputs))
        passes.count_forward(len(x))
        return model.module.latent(x).cpu().numpy()


def figures(model: Any, supports: Supports, z: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the columns of the population table for a support set.

    Parameters
    ----------
    model : Model
        A SIC network.
    supports : Supports
        The support set, see :func:`xai_views.methods.sic.support_sets.support_set`.
    z : ndarray
        ``[N, p]`` evidence vectors of the samples.
    label : ndarray
        ``[N]`` class of each, -1 = unknown.

    Returns
    -------
    dict
        ``logit [N, C]``, ``predicted``, ``confidence`` (sigmoid of the largest logit), ``margin`` (largest minus second),
        ``concentration`` (largest share of one support in the predicted class's evidence), ``distance`` (1 - best cosine
        with a support), ``right`` (1 = correct, 0 = error, -1 = no label).
    """
    score, logit = evidence.scores(z, supports.vectors), logits(model, supports, z)
    top = np.sort(logit, 1)
    predicted = logit.argmax(1)
    own = score * (supports.label[None] == predicted[:, None])
    total = own.sum(1)
    return {
        "logit": logit,
        "predicted": predicted,
        "confidence": evidence.probability(logit.max(1)),
        "margin": top[:, -1] - top[:, -2] if logit.shape[1] > 1 else top[:, -1],
        "concentration": own.max(1, initial=0) / np.where(total > 0, total, 1),
        "distance": 1 - evidence.cosines(z, supports.vectors).max(1, initial=0),
        "right": np.where(label < 0, -1, (predicted == label).astype(int)),
    }


def with_supports(model: Any, supports: Supports, own: Predictions) -> Predictions:
    """Return what a SIC network predicts with other supports for the samples of ``own``; no pass of the network."""
    assert own.latent is not None
    found = figures(model, supports, own.latent, own.label)
    return replace(
        own,
        logit=found["logit"],
        probability=model.probability(found["logit"]),
        concentration=found["concentration"],
    )


def accuracy(right: np.ndarray) -> float:
    """Share of correct predictions among the labelled samples; NaN without labels."""
    known = right[right >= 0]
    return float(known.mean()) if len(known) else float("nan")


def similarities(model: Any, supports: Supports, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Evidence ``[S]`` of each support for a sample ``z [1, p]``, and their cosines ``[S]``."""
    score = evidence.scores(z, supports.vectors)[0] / model.module.temperature
    return score, evidence.cosines(z, supports.vectors)[0]


def nearest_training(
    model: Any,
    supports: Supports,
    reference: np.ndarray,
    target: int,
    everything: bool = False,
    most: int = 12,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the training samples most similar to a vector that do not support a class yet.

    Parameters
    ----------
    model : Model
        A SIC network with cached vectors of its training samples.
    supports : Supports
        The current support set.
    reference : ndarray
        ``[p]`` evidence vector.
    target : int
        Class to support.
    everything : bool
        Whether to include samples of other classes.
    most : int
        Maximum number of samples.

    Returns
    -------
    rows, cosine : ndarray
        Rows of ``model.latents``, most similar first, and their cosines with ``reference``.
    """
    latents = model.latents
    pool = np.arange(len(latents.z)) if everything else latents.of_class(target)
    pool = pool[~np.isin(latents.index[pool], supports.index[supports.of_class(target)])]
    cosine = evidence.cosines(reference[None], latents.z[pool])[0]
    best = np.argsort(-cosine, kind="stable")[:most]
    return pool[best], cosine[best]


def typical_of(model: Any) -> evidence.Typical | None:
    """Return latent-space statistics of the training samples of ``model``; None without cached vectors."""
    return None if model.latents is None else _typical(model.latents)


@lru_cache(maxsize=16)
def _typical(latents: Latents) -> evidence.Typical:
    return evidence.typical(latents.z)
