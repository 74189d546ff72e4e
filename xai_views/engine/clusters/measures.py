"""Figures of partitions: agreement, purity, fragmentation, and what they explain."""

from __future__ import annotations

from typing import Any

import numpy as np

COHERENT_CELLS = 2  # a cluster whose median piece is this small is scattered


def ari(a: Any, b: Any) -> float:
    """Adjusted Rand index of two partitions of the same positions: 1 = equal, 0 = chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(np.asarray(a).ravel(), np.asarray(b).ravel()))


def effective_number(counts: Any) -> float:
    """Number of equally large clusters whose sizes have the same entropy: ``exp(H)``."""
    share = np.asarray(counts, np.float64)
    share = share[share > 0]
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def explained_variance(found: Any) -> float:
    """Share of the spread of the features around their mean that a :class:`Clustering` explains: ``1 - inertia / total``."""
    features = found.features
    means, _ = features.means(found.labels * 0, 1)
    length = float(sum(m.double().square().sum() for m in means))
    total = float(features.square.double().sum()) - features.positions * length
    return 1 - found.inertia / total if total > features.noise * features.positions else 0.0


def purity(labels: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    """For each cluster the true part that covers most of it, and the share that it covers.

    Parameters
    ----------
    labels, truth : array
        Ids of one shape; positions with a negative truth are left out.

    Returns
    -------
    part, share : ndarray
        ``[K]``; part -1 and share 0 for a cluster of which nothing is known.
    """
    labels, truth = np.asarray(labels).astype(np.int64), np.asarray(truth).astype(np.int64)
    k, parts = int(labels.max(initial=0)) + 1, int(truth.max(initial=0)) + 1
    known = truth >= 0
    table = np.bincount(labels[known] * parts + truth[known], minlength=k * parts).reshape(k, parts)
    total = table.sum(1)
    part = np.where(total > 0, table.argmax(1), -1)
    return part, table.max(1) / np.maximum(total, 1)


def best_overlap(labels: Any, mask: Any, pieces: bool = False) -> tuple[int, float]:
    """The region with the largest intersection over union with a mask, chosen with knowledge of the mask (an oracle).

    Parameters
    ----------
    labels : array
        Ids ``[rows, columns]`` (or of any shape where ``pieces`` is False), at least 0.
    mask : array
        Of the same shape, bool.
    pieces : bool
        Whether the 4-connected pieces of the clusters are the regions, not the whole clusters.

    Returns
    -------
    cluster : int
        Id of the cluster that the region belongs to.
    iou : float
        Its intersection over union; 0 for an empty mask.
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
    """Share of neighbours along the axes (4-neighbours of an image) in the same cluster; 1 where there are none."""
    labels = np.asarray(labels)
    equal = [(np.diff(labels, axis=axis) == 0).ravel() for axis in range(labels.ndim)]
    both = np.concatenate(equal)
    return float(both.mean()) if both.size else 1.0


def connected(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of equal labels that are connected along the axes.

    Returns
    -------
    pieces : ndarray
        Of the shape of the labels, numbered from 0.
    owner : ndarray
        The label of each piece.
    """
    from skimage.measure import label

    labels = np.asarray(labels).astype(np.int64)
    # numbered from 1 on, because 0 would be a background
    pieces = label(labels - labels.min() + 1, background=0, connectivity=1) - 1
    owner = np.zeros(int(pieces.max()) + 1, np.int64)
    owner[pieces.ravel()] = labels.ravel()
    return pieces, owner


def fragmentation(labels: Any) -> dict[str, float]:
    """How scattered a partition ``[rows, columns]`` (or ``[time]``) is.

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
    """Largest share of the positions with the highest norms (the top ``share``) that falls into one cluster."""
    norm, labels = np.asarray(norm), np.asarray(labels)
    count = max(1, round(share * norm.size))
    top = np.argsort(-norm.ravel(), kind="stable")[:count]
    return float(np.bincount(labels.ravel()[top]).max() / count)
