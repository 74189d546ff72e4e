"""Deep Feature Factorization, a related method, compared with k-means and PCA on the same layer.

Source: Collins, Achanta and Suesstrunk (ECCV 2018): non-negative factors of one layer's activations, computed as in
pytorch-grad-cam: channels times positions, each channel minus its minimum, scikit-learn's NMF from a random start.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.measures import ari, best_overlap
from xai_views.engine.clusters.pca import components


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of one layer.

    Attributes
    ----------
    maps : ndarray
        ``[n, k, *grid]`` non-negative.
    concepts : ndarray
        ``[k, C]``, with the subtracted offset added back, so that a linear head can read them.
    explained : float
        Explained variance ``1 - |V - V'|^2 / |V - mean|^2``.
    seconds : float
        Wall time of the factorisation.
    """

    maps: np.ndarray
    concepts: np.ndarray
    explained: float
    seconds: float

    @property
    def scaled(self) -> np.ndarray:
        """Maps ``[n, k, *grid]``, each scaled to [0, 1] per image, as pytorch-grad-cam draws them."""
        axes = tuple(range(2, self.maps.ndim))
        low, high = self.maps.min(axes, keepdims=True), self.maps.max(axes, keepdims=True)
        return (self.maps - low) / np.maximum(high - low, 1e-7)

    @property
    def labels(self) -> np.ndarray:
        """``[n, *grid]``: index of the strongest scaled map at each position."""
        return self.scaled.argmax(1)


def dff(activation: torch.Tensor, k: int, seed: int = 0, iterations: int = 200) -> Factors:
    """Factor the activations of one layer into non-negative maps and concepts, jointly over n images.

    Parameters
    ----------
    activation : Tensor
        ``[n, C, *grid]``; may be negative.
    k : int
        Number of factors.
    seed : int
        Seed of the random start.
    iterations : int
        Maximum number of iterations (200 in pytorch-grad-cam).
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    n, c = activation.shape[:2]
    v = np.nan_to_num(activation.detach().cpu().movedim(1, 0).reshape(c, -1).numpy())
    offset = v.min(1, keepdims=True)
    start = time.perf_counter()
    with warnings.catch_warnings():
        # 200 iterations rarely converge; pytorch-grad-cam ignores this too
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NMF(k, init="random", random_state=seed, max_iter=iterations)
        w = model.fit_transform(v - offset)
    seconds = time.perf_counter() - start
    rebuilt = w @ model.components_ + offset
    maps = np.moveaxis(model.components_.reshape(k, n, *activation.shape[2:]), 0, 1)
    return Factors(maps, (w + offset).T, _explained(v, rebuilt), seconds)


def _explained(v: np.ndarray, rebuilt: np.ndarray) -> float:
    """Explained variance of channels times positions around the mean over positions."""
    v = v.astype(np.float64)
    total = float(((v - v.mean(1, keepdims=True)) ** 2).sum())
    return 1 - float(((v - rebuilt) ** 2).sum()) / total if total > 0 else 0.0


def compare(
    activation: torch.Tensor, k: int, seed: int = 0, seeds: int = 5, mask: Any = None
) -> dict[str, dict[str, float]]:
    """Compare k-means, DFF and PCA on the same layer and K.

    Parameters
    ----------
    activation : Tensor
        ``[n, C, *grid]``.
    k : int
        Number of clusters, factors, components.
    seed, seeds : int
        First seed, and number of seeds.
    mask : array, optional
        ``[n, *grid]`` bool mask of an object.

    Returns
    -------
    dict
        By method ("k-means", "dff", "pca"): ``explained`` (variance of the activations around their mean), ``seconds``,
        ``stability`` (mean ARI over pairs of seeds); for the first two ``agreement`` (ARI with each other) and, with a mask,
        ``iou`` of the best region. k-means clusters normalised positions and reconstructs each activation by its cluster
        mean. On centred data, PCA is the upper bound of the variance explained by K components.
    """
    v = np.nan_to_num(activation.detach().cpu().movedim(1, 0).reshape(activation.shape[1], -1).numpy())
    start = time.perf_counter()
    axes = components(Features.raw(torch.from_numpy(v.T.copy())), k)
    pca = {
        "explained": float(axes.variance.sum()) / axes.total if axes.total > 0 else 0.0,
        "seconds": time.perf_counter() - start,
        "stability": 1.0,
    }
    start = time.perf_counter()
    features = Features.of([activation.detach().cpu().nan_to_num()])
    ours = kmeans(features, min(k, features.positions), seed=seed)
    seconds = time.perf_counter() - start
    labels = ours.labels.flatten().numpy()
    one = np.eye(ours.k)[labels]
    means = v @ one / one.sum(0)
    again = [
        kmeans(features, min(k, features.positions), seed=seed + i).labels.numpy() for i in range(1, seeds)
    ]
    peer = dff(activation, k, seed)
    others = [dff(activation, k, seed + i).labels for i in range(1, seeds)]
    agreement = ari(labels, peer.labels)
    out = {
        "k-means": {
            "explained": _explained(v, means[:, labels]),
            "seconds": seconds,
            "stability": _stability([ours.labels.numpy(), *again]),
            "agreement": agreement,
        },
        "dff": {
            "explained": peer.explained,
            "seconds": peer.seconds,
            "stability": _stability([peer.labels, *others]),
            "agreement": agreement,
        },
        "pca": pca,
    }
    if mask is not None:
        out["k-means"]["iou"] = best_overlap(ours.labels.numpy(), mask)[1]
        out["dff"]["iou"] = best_overlap(peer.labels, mask)[1]
    return out


def _stability(maps: list[np.ndarray]) -> float:
    """Mean ARI over all pairs; 1 for a single map."""
    pairs = list(combinations(maps, 2))
    return float(np.mean([ari(a, b) for a, b in pairs])) if pairs else 1.0
