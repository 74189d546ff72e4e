"""Controls for what is read from clusters: the same network with random weights, and clusters of the raw signal."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ...errors import MethodError

WINDOW_S = 0.04  # of raw windows, as long as a step of the shallowest tap of the shipped network
SAMPLED = 20_000  # windows that k-means sees


def untrained(model: Any, seed: int = 0) -> Any:
    """The model's architecture with fresh random weights, as a model of its own.

    Parameters
    ----------
    model : Model
        Whose layers all know how to draw their weights (``reset_parameters``).
    seed : int
        Of the draw.

    Raises
    ------
    MethodError
        When no layer of the network can be drawn anew.
    """
    from copy import deepcopy
    from dataclasses import replace

    import torch

    module = deepcopy(model.module)
    drawn = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
                drawn += 1
    if not drawn:
        raise MethodError(
            f"no layer of {model.name!r} can be drawn anew (none has reset_parameters); give another model as the control."
        )
    sha256 = hashlib.sha256(f"untrained {seed} {model.sha256}".encode()).hexdigest()
    return replace(model, name=f"{model.name}, random weights", sha256=sha256, module=module)


def raw_shares(signal: np.ndarray, length: np.ndarray, rate: float, k: int, seed: int = 0) -> np.ndarray:
    """Shares of clusters of the raw signal: k-means of what the leads show in short windows, without any network.

    Parameters
    ----------
    signal : ndarray
        ``[n, lead, time]`` in mV.
    length : ndarray
        ``[n]`` steps that are signal.
    rate : float
        Hz.
    k, seed : int
        Clusters, and where k-means starts.

    Returns
    -------
    ndarray
        ``[n, K]`` float64; rows sum to 1.
    """
    from sklearn.cluster import KMeans

    width = max(1, round(WINDOW_S * rate))
    cells = signal.shape[2] // width
    windows = (
        signal[:, :, : cells * width].reshape(*signal.shape[:2], cells, width).mean(3).transpose(0, 2, 1)
    )
    inside = (np.arange(cells) + 0.5) * width < np.asarray(length)[:, None]
    rows = np.flatnonzero(inside.ravel())
    chosen = np.random.default_rng(seed).permutation(rows)[:SAMPLED]
    flat = windows.reshape(-1, windows.shape[2])
    found = KMeans(min(k, len(chosen)), n_init=1, random_state=seed).fit(flat[chosen])
    labels = np.where(inside.ravel(), found.predict(flat), -1).reshape(inside.shape)
    counts = np.stack([(labels == c).sum(1) for c in range(k)], 1).astype(float)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)
