"""Figures of partitions: agreement, purity, fragmentation, and what they explain."""

from __future__ import annotations

import numpy as np

COHERENT_CELLS = 2  # a cluster whose median piece is this small is scattered


def ari(a: np.ndarray, b: np.ndarray) -> float:
    """Adjusted Rand index of two partitions of the same positions: 1 = equal, 0 = chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(np.asarray(a).ravel(), np.asarray(b).ravel()))


def effective_number(counts: np.ndarray) -> float:
    """Number of equally large clusters with the same entropy of sizes."""
    share = np.asarray(counts, np.float64)
    share = share[share > 0] / max(share.sum(), 1e-300)
    return float(np.exp(-(share * np.log(share)).sum()))


def purity(labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cluster the true part that covers most of it, and the share that it covers.

    Parameters
    ----------
    labels, truth : ndarray
        Ids of one shape, at least 0.

    Returns
    -------
    part, share : ndarray
        ``[K]``; part -1 and share 0 for a cluster without positions.
    """
    k, parts = int(labels.max(initial=0)) + 1, int(truth.max(initial=0)) + 1
    flat = labels.ravel().astype(np.int64) * parts + truth.ravel()
    table = np.bincount(flat, minlength=k * parts).reshape(k, parts)
    total = table.sum(1)
    part = np.where(total > 0, table.argmax(1), -1)
    return part, table.max(1) / np.maximum(total, 1)


def best_overlap(labels: np.ndarray, mask: np.ndarray) -> tuple[int, float]:
    """The cluster with the largest intersection over union with a mask, chosen with knowledge of the mask (an oracle)."""
    mask = np.asarray(mask, bool)
    k = int(labels.max(initial=0)) + 1
    inside = np.bincount(labels[mask].ravel(), minlength=k)
    union = np.bincount(labels.ravel(), minlength=k) + mask.sum() - inside
    iou = inside / np.maximum(union, 1)
    return int(iou.argmax()), float(iou.max())


def coherence(labels: np.ndarray) -> float:
    """Share of 4-neighbours in the same cluster."""
    equal = [(labels[1:] == labels[:-1]).ravel(), (labels[:, 1:] == labels[:, :-1]).ravel()]
    both = np.concatenate(equal)
    return float(both.mean()) if both.size else 1.0


def fragmentation(labels: np.ndarray) -> dict[str, float]:
    """How scattered a partition ``[rows, columns]`` is.

    Returns
    -------
    dict
        ``pieces`` (4-connected components), ``scattered`` (share of clusters whose median piece has at most 2 cells) and
        ``coherence``.
    """
    from skimage.measure import label

    pieces = label(np.asarray(labels) + 1, connectivity=1)
    size = np.bincount(pieces.ravel())[1:]
    owner = np.zeros(len(size), np.int64)
    owner[pieces.ravel() - 1] = np.asarray(labels).ravel()
    scattered = [np.median(size[owner == c]) <= COHERENT_CELLS for c in np.unique(owner)]
    return {
        "pieces": len(size),
        "scattered": float(np.mean(scattered)),
        "coherence": coherence(np.asarray(labels)),
    }


def outliers_in_one(norm: np.ndarray, labels: np.ndarray, share: float = 0.01) -> float:
    """Largest share of the positions with the highest norms (the top ``share``) that falls into one cluster."""
    count = max(1, round(share * norm.size))
    top = np.argsort(-norm.ravel(), kind="stable")[:count]
    return float(np.bincount(labels.ravel()[top]).max() / count)
