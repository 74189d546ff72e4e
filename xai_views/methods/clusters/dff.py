"""Deep Feature Factorization: the closest peer, on one layer, beside k-means and PCA on the same activations.

Source: Collins, Achanta and Suesstrunk (ECCV 2018): non-negative factors of one layer's activations. Channels are made
non-negative by subtracting each channel's minimum.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from .features import Features
from .kmeans import kmeans
from .measures import ari


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of one layer.

    Attributes
    ----------
    maps : ndarray
        ``[n, k, *grid]`` non-negative.
    concepts : ndarray
        ``[k, C]``, in the layer's own offset.
    explained : float
        Explained variance ``1 - |V - V'|^2 / |V - mean|^2``.
    seconds : float
        Wall time of the factorization.
    """

    maps: np.ndarray
    concepts: np.ndarray
    explained: float
    seconds: float

    @property
    def labels(self) -> np.ndarray:
        """``[n, *grid]``: the strongest factor at each position, each scaled to its own largest value."""
        top = self.maps.max(axis=tuple(i for i in range(self.maps.ndim) if i != 1), keepdims=True)
        return (self.maps / np.maximum(top, 1e-12)).argmax(1)


def dff(activation: torch.Tensor, k: int, seed: int = 0, iterations: int = 200) -> Factors:
    """Factor activations ``[n, C, *grid]`` of one layer into ``k`` non-negative maps and concepts, jointly over n images."""
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    n, c = activation.shape[:2]
    v = activation.detach().cpu().double().movedim(1, -1).reshape(-1, c).numpy()
    v = np.nan_to_num(v)
    offset = v.min(0)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NMF(k, init="random", random_state=seed, max_iter=iterations)
        w = model.fit_transform(v - offset)
    seconds = time.perf_counter() - start
    rebuilt = w @ model.components_ + offset
    total = float(((v - v.mean(0)) ** 2).sum())
    explained = 1 - float(((v - rebuilt) ** 2).sum()) / total if total > 0 else 0.0
    maps = np.moveaxis(w.reshape(n, *activation.shape[2:], k), -1, 1)
    return Factors(maps, model.components_ + offset, explained, seconds)


def compare(activation: torch.Tensor, k: int, seed: int = 0, seeds: int = 5) -> dict[str, dict[str, float]]:
    """k-means, DFF and PCA on the same layer and K.

    Returns
    -------
    dict
        By method: ``explained`` (of the activations around their mean), ``seconds``, ``stability`` (mean ARI of the label maps of
        ``seeds`` seeds with the first) and, for "dff", ``agreement`` with k-means (ARI). On centred data with K components
        nothing explains more than PCA.
    """
    c = activation.shape[1]
    v = activation.detach().cpu().double().movedim(1, -1).reshape(-1, c)
    centred = v - v.mean(0)
    total = float(centred.square().sum()) or 1.0
    start = time.perf_counter()
    values = torch.linalg.svdvals(centred)
    pca = {
        "explained": float(values[:k].square().sum()) / total,
        "seconds": time.perf_counter() - start,
        "stability": 1.0,
    }
    features = Features.of([activation.double()])
    start = time.perf_counter()
    ours = kmeans(features, min(k, features.positions), seed=seed)
    seconds = time.perf_counter() - start
    labels = ours.labels.flatten()
    one = torch.nn.functional.one_hot(labels, ours.k).double()
    means = one.T @ v / one.sum(0).clamp_min(1)[:, None]
    explained = 1 - float((v - means[labels]).square().sum()) / total
    others = [kmeans(features, min(k, features.positions), seed=seed + i).labels for i in range(1, seeds)]
    stable = float(np.mean([ari(ours.labels.numpy(), o.numpy()) for o in others])) if others else 1.0
    peer = dff(activation, k, seed)
    again = [dff(activation, k, seed + i).labels for i in range(1, seeds)]
    return {
        "k-means": {"explained": explained, "seconds": seconds, "stability": stable},
        "dff": {
            "explained": peer.explained,
            "seconds": peer.seconds,
            "stability": float(np.mean([ari(peer.labels, a) for a in again])) if again else 1.0,
            "agreement": ari(ours.labels.numpy(), peer.labels),
        },
        "pca": pca,
    }
