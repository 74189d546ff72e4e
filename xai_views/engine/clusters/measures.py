"""Measures of partitions: agreement, purity, fragmentation, and explained variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from xai_views.engine.clusters.labels import connected

COHERENT_CELLS = 2  # a cluster whose median piece has at most this many cells is scattered


def ari(a: Any, b: Any) -> float:
    """Adjusted Rand index of two partitions of the same positions: 1 = identical, 0 = chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(np.asarray(a).ravel(), np.asarray(b).ravel()))


def effective_number(counts: Any) -> float:
    """Effective number of clusters: the number of equally large clusters with the same entropy, ``exp(H)``."""
    share = np.asarray(counts, np.float64)
    share = share[share > 0]
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def explained_variance(found: Any) -> float:
    """Share of the features' variance around their mean explained by a :class:`Clustering`: ``1 - inertia / total``."""
    features = found.features
    means, _ = features.means(found.labels * 0, 1)
    length = float(sum(m.double().square().sum() for m in means))
    total = float(features.square.double().sum()) - features.positions * length
    return 1 - found.inertia / total if total > features.noise * features.positions else 0.0


def crossing(labels: Any, truth: Any, k: int = 0) -> np.ndarray:
    """Count the positions of each cluster in each ground-truth part, ``[K, P]``.

    Parameters
    ----------
    labels, truth : array
        Ids of the same shape; positions with a negative truth are left out.
    k : int
        Number of clusters, including empty ones at the end; 0 = determined from the ids.
    """
    labels, truth = np.asarray(labels).astype(np.int64), np.asarray(truth).astype(np.int64)
    k, parts = k or int(labels.max(initial=0)) + 1, int(truth.max(initial=0)) + 1
    known = truth >= 0
    return np.bincount(labels[known] * parts + truth[known], minlength=k * parts).reshape(k, parts)


def purity(labels: Any, truth: Any, k: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """For each cluster, the ground-truth part that covers most of it, and the share covered.

    Parameters
    ----------
    labels, truth, k
        As in :func:`crossing`.

    Returns
    -------
    part, share : ndarray
        ``[K]``; part -1 and share 0 for a cluster without ground truth.
    """
    table = crossing(labels, truth, k)
    total = table.sum(1)
    part = np.where(total > 0, table.argmax(1), -1)
    return part, table.max(1) / np.maximum(total, 1)


def held(labels: Any, truth: Any, k: int = 0) -> np.ndarray:
    """Share of each ground-truth part inside each cluster, ``[K, P]``; 0 for a part that does not occur."""
    table = crossing(labels, truth, k)
    return table / np.maximum(table.sum(0), 1)


def mean_per_cluster(values: Any, labels: Any, k: int) -> np.ndarray:
    """Mean of a map over each cluster ``[k]``; 0 for an empty cluster."""
    labels = np.asarray(labels).ravel()
    counts = np.bincount(labels, minlength=k)[:k]
    sums = np.bincount(labels, np.asarray(values).ravel(), minlength=k)[:k]
    return sums / np.maximum(counts, 1)


def density(labels: Any, amounts: Any) -> np.ndarray:
    """Spread ``amounts [K]`` evenly over the positions of each cluster; the result sums to the total."""
    labels, amounts = np.asarray(labels), np.asarray(amounts, np.float64)
    counts = np.bincount(labels.ravel(), minlength=len(amounts))[: len(amounts)]
    return (amounts / np.maximum(counts, 1))[labels]


def ranks(values: Any) -> np.ndarray:
    """Percentile rank in [0, 1] of each value among all, with mean ranks for ties; puts an entropy into context."""
    from scipy.stats import rankdata

    values = np.asarray(values)
    return (rankdata(values.round(6)).reshape(values.shape) - 1) / max(values.size - 1, 1)


def best_overlap(labels: Any, mask: Any, pieces: bool = False) -> tuple[int, float]:
    """Find the region with the largest IoU with a mask, chosen with knowledge of the mask (an oracle).

    Parameters
    ----------
    labels : array
        Ids ``[rows, columns]`` (or of any shape where ``pieces`` is False), at least 0.
    mask : array
        Bool, of the same shape.
    pieces : bool
        Whether regions are the 4-connected pieces of the clusters instead of whole clusters.

    Returns
    -------
    cluster : int
        Id of the cluster that contains the region.
    iou : float
        IoU of the region with the mask; 0 for an empty mask.
    """
    labels, mask = np.asarray(labels), np.asarray(mask, bool)
    regions, owner = (
        connected(labels) if pieces else (labels.astype(np.int64), np.arange(labels.max(initial=0) + 1))
    )
    k = int(regions.max(initial=0)) + 1
    inside = np.bincount(regions[mask].ravel(), minlength=k)
    union = np.bincount(regions.ravel(), minlength=k) + mask.sum() - inside
    iou = inside / np.maximum(union, 1)
    best = int(iou.argmax())
    return int(owner[best]), float(iou[best])


def coherence(labels: Any) -> float:
    """Share of neighbouring positions (4-neighbours in an image) in the same cluster; 1 without neighbours."""
    labels = np.asarray(labels)
    equal = [(np.diff(labels, axis=axis) == 0).ravel() for axis in range(labels.ndim)]
    both = np.concatenate(equal)
    return float(both.mean()) if both.size else 1.0


def fragmentation(labels: Any) -> dict[str, float]:
    """Measure how scattered a partition ``[rows, columns]`` (or ``[time]``) is.

    Returns
    -------
    dict
        ``pieces`` (connected components), ``scattered`` (share of clusters whose median piece has at most 2 cells) and
        ``coherence``.
    """
    pieces, owner = connected(labels)
    size = np.bincount(pieces.ravel())
    scattered = [np.median(size[owner == c]) <= COHERENT_CELLS for c in np.unique(owner)]
    return {"pieces": len(size), "scattered": float(np.mean(scattered)), "coherence": coherence(labels)}


def outliers_in_one(norm: Any, labels: Any, share: float = 0.01) -> float:
    """Largest share of the highest norms (top ``share`` of the positions) that falls into one cluster."""
    norm, labels = np.asarray(norm), np.asarray(labels)
    count = max(1, round(share * norm.size))
    top = np.argsort(-norm.ravel(), kind="stable")[:count]
    return float(np.bincount(labels.ravel()[top]).max() / count)


def norm_figures(norm: Any, labels: Any) -> dict[str, float]:
    """Statistics of the norms of one layer's activations, with a partition of the same positions ``[rows, columns]``.

    Returns
    -------
    dict
        ``mean``, ``largest``, ``ratio`` (largest to median), ``outliers`` (see :func:`outliers_in_one`), and
        :func:`fragmentation`.
    """
    norm = np.asarray(norm)
    return {
        "mean": float(norm.mean()),
        "largest": float(norm.max()),
        "ratio": float(norm.max() / max(float(np.median(norm)), 1e-9)),
        "outliers": outliers_in_one(norm, labels),
        **fragmentation(labels),
    }


def compared(labels: Any, reference: Any, mask: Any = None) -> dict[str, float | None]:
    """Compare a partition with a reference partition of the same positions.

    Parameters
    ----------
    labels, reference : array
        Ids ``[rows, columns]``.
    mask : array, optional
        Mask of the object.

    Returns
    -------
    dict
        ``effective`` (:func:`effective_number` of the sizes), ``ari``, ``coherence``, ``pieces`` and ``truth``, the best IoU
        with the object (None without a mask).
    """
    found = fragmentation(labels)
    return {
        "effective": effective_number(np.bincount(np.asarray(labels).ravel())),
        "ari": ari(reference, labels),
        "coherence": found["coherence"],
        "pieces": found["pieces"],
        "truth": None if mask is None else best_overlap(labels, mask)[1],
    }
