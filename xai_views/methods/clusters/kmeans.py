"""k-means on factored features: k-means++ with squared distances, batched restarts, empty clusters seeded again.

Lloyd's algorithm as on the explicit data matrix: the same labels and inertia, without building the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from ...errors import MethodError
from .features import Centroids, Features

#: Positions that restarts are tried on when the grid is large; the best start then runs on all of them.
SAMPLE = 4096


@dataclass(eq=False)
class Clustering:
    """A partition of positions.

    Attributes
    ----------
    labels : Tensor
        ``[n, *grid]`` int64.
    centroids : list of Tensor
        Blocks ``[K, C'_l]`` in the internal basis of the features.
    counts : Tensor
        ``[K]`` positions of each cluster.
    inertia : float
        Sum of squared distances to the own centroid.
    iterations : int
        Steps of Lloyd's algorithm.
    distances : Tensor
        ``[n, K, *grid]`` squared distances.
    """

    labels: torch.Tensor
    centroids: Centroids
    counts: torch.Tensor
    inertia: float
    iterations: int
    distances: torch.Tensor

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.counts)


def assign(features: Features, centroids: Centroids, iterations: int = 0) -> Clustering:
    """Give every position to its nearest centroid."""
    distances = features.distances(centroids)
    best, labels = distances.min(1)
    counts = torch.bincount(labels.flatten(), minlength=len(centroids[0]))
    return Clustering(labels, centroids, counts, float(best.double().sum()), iterations, distances)


def ordered(found: Clustering) -> Clustering:
    """The same clusters with ids by size, the largest 0."""
    order = torch.argsort(found.counts, descending=True, stable=True)
    return renumbered(found, order)


def renumbered(found: Clustering, order: torch.Tensor) -> Clustering:
    """The same clusters; the new id i is the old id ``order[i]``."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return Clustering(
        place[found.labels], [m[order] for m in found.centroids], found.counts[order], found.inertia, found.iterations,
        found.distances[:, order],
    )  # fmt: skip


def plus_plus(rows: torch.Tensor, k: int, restarts: int, generator: torch.Generator) -> torch.Tensor:
    """k-means++ seeds ``[restarts, k, D]`` from rows ``[m, D]``: each drawn with its squared distance to those before."""
    m = len(rows)
    square = rows.square().sum(1)
    chosen = torch.randint(m, (restarts, 1), generator=generator).to(rows.device)
    nearest = None
    for _ in range(k - 1):
        last = rows[chosen[:, -1]]
        d2 = (square - 2 * last @ rows.T + last.square().sum(1, keepdim=True)).clamp_min_(0)
        nearest = d2 if nearest is None else torch.minimum(nearest, d2)
        # Rounding leaves a little distance between equal rows; what is that near counts as taken.
        weight = torch.where(
            nearest <= 1e-6 * square.max().clamp_min(1e-30), torch.zeros_like(nearest), nearest
        )
        weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, torch.ones_like(weight))
        total = weight.double().cumsum(1)
        draw = torch.rand(restarts, 1, generator=generator, dtype=torch.float64).to(total) * total[:, -1:]
        chosen = torch.cat([chosen, torch.searchsorted(total, draw).clamp_max_(m - 1)], 1)
    return rows[chosen]


def _lloyd_rows(
    rows: torch.Tensor, start: torch.Tensor, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lloyd's algorithm on explicit rows ``[m, D]`` for several starts ``[r, k, D]`` at once; centroids and inertia ``[r]``."""
    square = rows.square().sum(1)
    centres, before = start, None
    for _ in range(iterations):
        d2 = square - 2 * centres @ rows.T + centres.square().sum(2)[..., None]
        best, labels = d2.min(1)
        if before is not None and torch.equal(labels, before):
            break
        before = labels
        one = torch.nn.functional.one_hot(labels, start.shape[1]).to(rows)
        counts = one.sum(1)[..., None]
        centres = torch.where(counts > 0, one.transpose(1, 2) @ rows / counts.clamp_min(1), centres)
    return centres, best.clamp_min(0).sum(1)


def _reseed(features: Features, found: Clustering) -> Centroids | None:
    """Centroids in which every empty cluster sits on the position farthest from its centroid; None when none is empty."""
    empty = torch.nonzero(found.counts == 0).flatten()
    if not len(empty):
        return None
    best = found.distances.min(1).values.flatten()
    far = best.topk(min(len(empty), len(best)))
    useful = far.indices[far.values > 1e-6]
    if not len(useful):
        return None  # fewer different positions than clusters: the rest stays empty
    seeds = features.split(features.rows(useful))
    out = [m.clone() for m in found.centroids]
    for m, s in zip(out, seeds, strict=True):
        m[empty[: len(useful)]] = s
    return out


def lloyd(features: Features, start: Centroids, iterations: int = 100, tolerance: float = 1e-6) -> Clustering:
    """Lloyd's algorithm from given centroids; labels belong to the returned centroids.

    Parameters
    ----------
    features : Features
        The data.
    start : list of Tensor
        Blocks ``[K, C'_l]``.
    iterations : int
        At most so many steps.
    tolerance : float
        Ends when the inertia falls by less than this share of it, or when no label changes.
    """
    found = assign(features, start)
    for step in range(1, iterations + 1):
        seeds = _reseed(features, found)
        if seeds is None:
            means, counts = features.means(found.labels, found.k)
            seeds = [
                torch.where((counts > 0)[:, None], m, old)
                for m, old in zip(means, found.centroids, strict=True)
            ]
        after = assign(features, seeds, step)
        if torch.equal(after.labels, found.labels):
            return after
        fell, found = found.inertia - after.inertia, after
        if 0 <= fell <= tolerance * max(found.inertia, 1e-30) and bool((found.counts > 0).all()):
            break
    return found


def kmeans(
    features: Features,
    k: int,
    *,
    init: Centroids | None = None,
    restarts: int = 5,
    iterations: int = 100,
    tolerance: float = 1e-6,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Clustering:
    """Cluster all positions of all images jointly.

    Parameters
    ----------
    features : Features
        The data; never built explicitly beyond a sample of the positions.
    k : int
        Number of clusters.
    init : list of Tensor, optional
        Blocks ``[k, C'_l]`` to start from; ids are then kept.
    restarts : int
        Starts by k-means++ with squared distances, run in one batch (on a sample where the grid is large); the best goes on.
    iterations, tolerance
        See :func:`lloyd`.
    seed : int
        Equal seeds give equal results on the CPU.
    progress : callable, optional
        ``progress(done, total)``; may raise to stop.

    Returns
    -------
    Clustering
        With ids by size, the largest 0. There are fewer than ``k`` clusters when there are fewer different positions.

    Raises
    ------
    MethodError
        When ``k`` is not between 1 and the number of positions.
    """
    if not 1 <= k <= features.positions:
        raise MethodError(
            f"{k} clusters of {features.positions} positions are not possible; choose 1 to {features.positions}."
        )
    if init is not None:
        return lloyd(features, init, iterations, tolerance)
    generator = torch.Generator().manual_seed(seed)
    if features.positions <= SAMPLE:
        index = torch.arange(features.positions)
    else:
        index = torch.randperm(features.positions, generator=generator)[:SAMPLE].sort().values
    rows = features.rows(index.to(features.weights.device))
    starts = plus_plus(rows, k, max(1, restarts), generator)
    centres, inertia = _lloyd_rows(rows, starts, iterations)
    if progress is not None:
        progress(1, 2)
    found = lloyd(features, features.split(centres[int(inertia.argmin())]), iterations, tolerance)
    if progress is not None:
        progress(2, 2)
    found = ordered(found)
    filled = int((found.counts > 0).sum())
    return found if filled == k else _without_empty(found, filled)


def _without_empty(found: Clustering, filled: int) -> Clustering:
    """Drop clusters without a position; ids are by size, so these are the last."""
    return Clustering(
        found.labels, [m[:filled] for m in found.centroids], found.counts[:filled], found.inertia, found.iterations,
        found.distances[:, :filled],
    )  # fmt: skip


def elbow(
    features: Features, low: int = 3, high: int = 10, offset: int = 0, seed: int = 0
) -> tuple[int, list[tuple[int, float, float]]]:
    """Number of clusters at the flattest step of the inertia.

    For K from ``low`` to ``high`` the inertia I_K is computed; rho_K = (I_{K+1} - I_K) / I_K; K* is where rho is largest.
    The authors' code returns K* - 1 and holds notes with other offsets; here the offset is a parameter and 0 by default.

    Returns
    -------
    k : int
        K* + offset, at least 1.
    table : list of (int, float, float)
        K, inertia and rho (nan for the last).
    """
    most = min(high, features.positions)
    sizes = list(range(min(low, most), most + 1))
    inertia = [kmeans(features, k, restarts=3, seed=seed).inertia for k in sizes]
    rho = [(b - a) / a if a > 0 else 0.0 for a, b in pairwise(inertia)]
    best = sizes[max(range(len(rho)), key=rho.__getitem__)] if rho else sizes[0]
    table = list(zip(sizes, inertia, [*rho, float("nan")], strict=True))
    return max(1, best + offset), table
