"""Agreement of clusters with the waves of the heartbeat: counts, enrichment, and mutual information against chance.

Source: Boubekki et al., arXiv 2509.15198 (abstract): clusters align with P, QRS, T and TP. Measures and chance level: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xai_views.errors import MethodError
from xai_views.samples.signals import LANDMARKS

PSEUDO = 0.5  # steps added to every cell, so that unseen combinations have finite odds (Haldane, Anscombe)
SHIFTS = 99


@dataclass(frozen=True, eq=False)
class Alignment:
    """Agreement of clusters with landmarks.

    Attributes
    ----------
    counts : ndarray
        ``[K, S]`` int64 steps of the signal; segments in the order of ``LANDMARKS``. Steps are not independent: all steps
        of one cell share a cluster.
    share : ndarray
        ``[K, S]`` float64 P(segment | cluster); NaN for a cluster without steps.
    log_odds : ndarray
        ``[K, S]`` float64, see :func:`log_odds`.
    nmi : float
        Normalised mutual information over the steps that belong to a segment ("none" left out).
    chance : ndarray
        ``[shifts]`` the same after a random circular time shift of each record's clusters, which keeps their rhythm.
    p : float
        ``(b + 1) / (shifts + 1)``: probability of an ``nmi`` this large by chance.
    used, left_out : int
        Number of records with a landmark, and without one.
    """

    counts: np.ndarray
    share: np.ndarray
    log_odds: np.ndarray
    nmi: float
    chance: np.ndarray
    p: float
    used: int
    left_out: int


def contingency(clusters: np.ndarray, ids: np.ndarray, k: int) -> np.ndarray:
    """Count the steps of a record in each cluster and segment.

    Parameters
    ----------
    clusters : ndarray
        ``[cells]`` cluster of every cell, -1 in padding; each cell covers an equal part of the record.
    ids : ndarray
        ``[time]`` index into :data:`xai_views.samples.signals.LANDMARKS`.
    k : int
        Number of clusters.

    Returns
    -------
    ndarray
        ``[K, S]`` int64; sums to the number of steps outside padding. Counts of several records may be added.

    Raises
    ------
    MethodError
        When an id is out of range or there are more cells than steps.
    """
    clusters, ids = _checked(clusters, ids, k)
    return _count(spread(clusters, len(ids)), ids, k)


def spread(clusters: np.ndarray, steps: int) -> np.ndarray:
    """Expand clusters ``[cells]`` to the steps ``[steps]`` of the signal: each step gets the cluster of its cell."""
    clusters = np.asarray(clusters)
    return clusters[np.arange(steps) * len(clusters) // steps]


def share(counts: np.ndarray) -> np.ndarray:
    """Compute P(segment | cluster) ``[K, S]`` float64 from counts; NaN for a cluster without steps."""
    counts = np.asarray(counts, np.float64)
    total = counts.sum(1, keepdims=True)
    return counts / np.where(total == 0, np.nan, total)


def log_odds(counts: np.ndarray, pseudo: float = PSEUDO) -> np.ndarray:
    """Enrichment: log2 of the odds of a segment inside a cluster over its odds outside the cluster.

    Parameters
    ----------
    counts : ndarray
        ``[K, S]`` steps.
    pseudo : float
        Steps added to all four cells of each odds ratio, so that unseen combinations have finite odds.

    Returns
    -------
    ndarray
        ``[K, S]`` float64; 0 = same odds as elsewhere, 1 = twice the odds.
    """
    a = np.asarray(counts, np.float64)
    row, column, total = a.sum(1, keepdims=True), a.sum(0, keepdims=True), a.sum()
    inside, outside = (
        (a + pseudo) / (row - a + pseudo),
        (column - a + pseudo) / (total - row - column + a + pseudo),
    )
    return np.log2(inside / outside)


def nmi(counts: np.ndarray) -> float:
    """Normalised mutual information of a contingency table: mutual information over the mean of both entropies, in [0, 1].

    Equals ``sklearn.metrics.normalized_mutual_info_score``; 0 when either side has only one value.
    """
    joint = np.asarray(counts, np.float64)
    joint = joint / max(joint.sum(), 1)
    sides = _entropy(joint.sum(0)) + _entropy(joint.sum(1))
    mutual = max(sides - _entropy(joint), 0.0)
    return float(min(2 * mutual / sides, 1.0)) if sides > 1e-12 else 0.0


def align(
    clusters: Sequence[np.ndarray],
    ids: Sequence[np.ndarray],
    k: int,
    shifts: int = SHIFTS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Alignment:
    """Compare the clusters of many records with their landmarks.

    Parameters
    ----------
    clusters : sequence of ndarray
        ``[cells]`` of each record, -1 in padding.
    ids : sequence of ndarray
        ``[time]`` of each record; records without any landmark (delineation failed) are left out and counted.
    k : int
        Number of clusters.
    shifts : int
        Random circular shifts behind ``chance``, in cells of signal; each record is shifted independently.
    seed : int
        Random seed of the shifts.
    progress : callable, optional
        ``progress(done, total)`` after each shift; may raise to stop.

    Raises
    ------
    MethodError
        In one sentence: different numbers of records, no record with landmarks, ids out of range.
    """
    if len(clusters) != len(ids):
        raise MethodError(
            f"clusters of {len(clusters)} records and landmarks of {len(ids)} were given; give both for the same records."
        )
    if shifts < 1:
        raise MethodError(f"{shifts} shifts were given; give at least 1 (default {SHIFTS}).")
    pairs = [_checked(c, i, k) for c, i in zip(clusters, ids, strict=True)]
    used = [(c, i) for c, i in pairs if i.any()]
    if not used:
        raise MethodError(
            f"none of the {len(pairs)} records has landmarks; give records in which P, QRS or T were found."
        )
    counts = np.sum([_count(spread(c, len(i)), i, k) for c, i in used], axis=0)
    found, chance = nmi(counts[:, 1:]), np.zeros(shifts)
    rng = np.random.default_rng(seed)
    for n in range(shifts):
        chance[n] = nmi(
            np.sum([_count(spread(_rolled(c, rng), len(i)), i, k) for c, i in used], axis=0)[:, 1:]
        )
        if progress is not None:
            progress(n + 1, shifts)
    p = ((chance >= found).sum() + 1) / (shifts + 1)
    return Alignment(
        counts, share(counts), log_odds(counts), found, chance, float(p), len(used), len(pairs) - len(used)
    )


def _rolled(clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift clusters circularly by a random number of cells; padding stays in place."""
    out, inside = clusters.copy(), clusters >= 0
    out[inside] = np.roll(clusters[inside], rng.integers(max(inside.sum(), 1)))
    return out


def _count(clusters: np.ndarray, ids: np.ndarray, k: int) -> np.ndarray:
    inside, s = clusters >= 0, len(LANDMARKS)
    return np.bincount(clusters[inside] * s + ids[inside], minlength=k * s).reshape(k, s)


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _checked(clusters: np.ndarray, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    clusters, ids = np.asarray(clusters).astype(np.int64), np.asarray(ids).astype(np.int64)
    if clusters.ndim != 1 or ids.ndim != 1 or not 0 < len(clusters) <= len(ids):
        raise MethodError(
            f"clusters of shape {list(clusters.shape)} and landmarks of shape {list(ids.shape)} were given; give [cells] "
            "and [time] of one record, with at least as many steps as cells."
        )
    if clusters.min() < -1 or clusters.max() >= k:
        raise MethodError(
            f"clusters have ids from {clusters.min()} to {clusters.max()}; give ids from -1 (padding) to {k - 1}."
        )
    if ids.min() < 0 or ids.max() >= len(LANDMARKS):
        raise MethodError(
            f"landmarks have ids from {ids.min()} to {ids.max()}; give indices of {', '.join(LANDMARKS)}."
        )
    return clusters, ids
