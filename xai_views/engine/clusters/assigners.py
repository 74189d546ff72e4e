"""Clustering algorithms other than k-means, with the same result type :class:`Clustering`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import TRIAL, Clustering, assign, described, kmeans, trial
from xai_views.engine.clusters.module import fit_features
from xai_views.engine.clusters.pca import components
from xai_views.errors import MethodError, nearest

ASSIGNERS = ("k-means", "pca", "agglomerative", "clustering module")


def cluster(
    features: Features,
    k: int,
    assigner: str = "k-means",
    seed: int = 0,
    restarts: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Clustering:
    """Cluster all positions of all images jointly.

    Parameters
    ----------
    features : Features
        The data.
    k : int
        Number of clusters.
    assigner : {"k-means", "pca", "agglomerative", "clustering module"}
        "pca": the principal component with the largest absolute score; "agglomerative": Ward linkage of all positions (of a
        large grid: of a coarser one, with the other positions assigned to the nearest mean); "clustering module": the
        one-layer auto-encoder of Boubekki et al. with a softmax code.
    seed : int
        Random seed; not used by "pca" and "agglomerative".
    restarts, progress
        Options of k-means.

    Returns
    -------
    Clustering
        Ids in order of size, none empty: there may be fewer than ``k``. Centroids are the means of the clusters, and
        distances are to these means, whatever the algorithm.

    Raises
    ------
    MethodError
        For an unknown algorithm or an impossible k.
    """
    if assigner not in ASSIGNERS:
        raise MethodError(f"assigner {assigner!r} is not known; choose {nearest(assigner, ASSIGNERS)}.")
    if assigner == "k-means" or k == 1:
        return kmeans(features, k, seed=seed, restarts=restarts, progress=progress)
    if not 1 <= k <= features.positions:
        raise MethodError(
            f"{k} clusters of {features.positions} positions were requested; request 1 to {features.positions}."
        )
    if assigner == "pca":
        return described(features, components(features, k).scores().abs().argmax(1))
    if assigner == "agglomerative":
        return described(features, _agglomerative(features, k))
    return described(features, fit_features(features, k, seed)[0].argmax(1))


def _agglomerative(features: Features, k: int) -> torch.Tensor:
    """Ward linkage, cut at k clusters as in scikit-learn."""
    from scipy.cluster.hierarchy import linkage
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    on = trial(features, TRIAL)
    rows = on.explicit().double()
    m, length = len(rows), rows.square().sum(1)
    d2 = length[:, None] + length - 2 * rows @ rows.T
    pairs = d2[torch.ones_like(d2, dtype=torch.bool).triu_(1)].clamp_min_(0).sqrt_()
    merges = linkage(pairs.cpu().numpy(), "ward")[: m - k, :2].astype(int)
    # merge number i makes node m + i
    nodes = np.repeat(m + np.arange(m - k), 2)
    edges = coo_array((np.ones(len(nodes)), (nodes, merges.ravel())), shape=(2 * m, 2 * m))
    _, found = np.unique(connected_components(edges, directed=False)[1][:m], return_inverse=True)
    labels = torch.from_numpy(found).to(features.weights.device)
    if on is features:
        return labels.reshape(features.n, *features.grid)
    one = torch.nn.functional.one_hot(labels).double()
    means = one.T @ rows / one.sum(0)[:, None]
    return assign(features, features.split(means.to(features.weights))).labels
