"""k-means on factored features: k-means++ with squared distances, batched restarts, empty clusters seeded again.

Lloyd's algorithm as on the explicit data matrix: the same labels and inertia, without building the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch

from xai_views.engine.clusters.features import Centroids, Features
from xai_views.engine.clusters.lloyd import iterate, seeds
from xai_views.errors import MethodError

#: Positions that restarts are tried on; on a larger grid the best of them goes on with all positions.
TRIAL = 4096
#: A trial of a restart ends when its inertia falls by less than this share, or than the tolerance if that is larger.
TRIAL_TOLERANCE = 1e-4
#: What the authors' code adds to the flattest step.
AUTHORS_OFFSET = -1


@dataclass(eq=False)
class Clustering:
    """A partition of positions.

    Attributes
    ----------
    labels : Tensor
        ``[n, *grid]`` int64.
    centroids : list of Tensor
        Blocks ``[K, .]``, see :mod:`xai_views.engine.clusters.features`.
    counts : Tensor
        ``[K]`` positions of each cluster, int64.
    inertia : float
        Sum of squared distances to the own centroid.
    iterations : int
        Steps of Lloyd's algorithm.
    features : Features
        What was clustered.
    """

    labels: torch.Tensor
    centroids: Centroids
    counts: torch.Tensor
    inertia: float
    iterations: int
    features: Features = field(repr=False)

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.counts)

    @cached_property
    def distances(self) -> torch.Tensor:
        """Squared distances ``[n, K, *grid]`` to all centroids; computed when first asked for."""
        return self.features.distances(self.centroids)


def assign(features: Features, centroids: Centroids, iterations: int = 0) -> Clustering:
    """Give every position to its nearest centroid, the first of equally near ones.

    Parameters
    ----------
    features : Features
        The data.
    centroids : list of Tensor
        Blocks ``[K, .]``.
    iterations : int
        What the result is to say.
    """
    best, labels = features.nearest(centroids)
    counts = torch.bincount(labels.flatten(), minlength=len(centroids[0]))
    return Clustering(labels[:, 0], centroids, counts, float(best.double().sum()), iterations, features)


def described(features: Features, labels: torch.Tensor, iterations: int = 0) -> Clustering:
    """A partition that was found otherwise, by the means of its parts: ids by size, none empty.

    Parameters
    ----------
    features : Features
        The data.
    labels : Tensor
        ``[n, *grid]`` ids from 0.
    iterations : int
        What the result is to say.
    """
    order = torch.argsort(torch.bincount(labels.flatten()), descending=True, stable=True)
    labels = torch.argsort(order)[labels]
    means, counts = features.means(labels, int(labels.max()) + 1)
    own = features.distances(means).gather(1, labels[:, None])
    return Clustering(labels, means, counts, float(own.double().sum()), iterations, features)


def renumbered(found: Clustering, order: torch.Tensor) -> Clustering:
    """The same clusters; the new id i is the old id ``order[i]``."""
    order = order.to(found.labels.device)
    labels, blocks = torch.argsort(order)[found.labels], [m[order] for m in found.centroids]
    return Clustering(labels, blocks, found.counts[order], found.inertia, found.iterations, found.features)


def lloyd(
    features: Features,
    start: Centroids,
    iterations: int = 100,
    tolerance: float = 1e-6,
    progress: Callable[[int, int], None] | None = None,
) -> Clustering:
    """Lloyd's algorithm from given centroids; labels belong to the returned centroids.

    Parameters
    ----------
    features : Features
        The data.
    start : list of Tensor
        Blocks ``[K, .]``.
    iterations : int
        At most so many steps.
    tolerance : float
        Ends when the inertia falls by less than this share of it, or when no label changes; 0: only then.
    progress : callable, optional
        ``progress(done, total)``; may raise to stop.
    """
    inside = features.drop(start)
    centroids, labels, inertia, steps = iterate(
        features, inside, len(inside[0]), iterations, tolerance, progress
    )
    counts = torch.bincount(labels.flatten(), minlength=len(inside[0]))
    return Clustering(labels[:, 0], centroids, counts, float(inertia[0]), steps, features)


def trial(features: Features, most: int = TRIAL) -> Features:
    """What restarts are tried on: all positions, or the same layers on a coarser grid of at most ``most`` positions.

    Many images in a few positions each are cheaper as explicit rows; those have one block, all layers side by side.
    """
    if features.positions <= most:
        return features
    scale = (most / features.positions) ** (1 / features.rank)
    coarse = features.on(tuple(max(1, math.floor(g * scale)) for g in features.grid))
    factored = sum(b.values.numel() for b in features.blocks)
    explicit = coarse.positions * sum(b.values.shape[1] for b in features.blocks)
    return coarse if factored <= explicit else Features.raw(coarse.explicit())


def kmeans(
    features: Features,
    k: int,
    *,
    init: Centroids | torch.Tensor | None = None,
    restarts: int = 5,
    iterations: int = 100,
    tolerance: float = 1e-6,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    on: Features | None = None,
) -> Clustering:
    """Cluster all positions of all images jointly.

    Parameters
    ----------
    features : Features
        The data, which is never built explicitly beyond a trial.
    k : int
        Number of clusters.
    init : list of Tensor or Tensor, optional
        Blocks ``[k, .]`` to start from, or ``[k]`` flat positions; ids are then kept, also of clusters that end up empty.
    restarts : int
        Starts by k-means++ with squared distances, run side by side (on a coarser grid where there are more than ``TRIAL``
        positions); the best goes on.
    iterations, tolerance, progress
        See :func:`lloyd`.
    seed : int
        Equal seeds give equal results on the CPU.
    on : Features, optional
        :func:`trial` of the features, where it is at hand.

    Returns
    -------
    Clustering
        With ids by size, the largest 0. There are fewer than ``k`` clusters when there are fewer different positions.

    Raises
    ------
    MethodError
        When ``k`` is not between 1 and the number of positions, or does not fit ``init``.
    """
    if not 1 <= k <= features.positions:
        raise MethodError(
            f"{k} clusters of {features.positions} positions are not possible; choose 1 to {features.positions}."
        )
    if init is not None:
        start = features.split(features.rows(init)) if isinstance(init, torch.Tensor) else init
        if len(start[0]) != k:
            raise MethodError(f"{k} clusters were asked for and the start has {len(start[0])}; give as many.")
        return lloyd(features, start, iterations, tolerance, progress)
    generator = torch.Generator().manual_seed(seed)
    on = trial(features) if on is None else on
    starts = seeds(on, k, max(1, restarts), generator)
    centroids, _, inertia, _ = iterate(on, starts, k, iterations, max(tolerance, TRIAL_TOLERANCE))
    best = slice(int(inertia.argmin()) * k, (int(inertia.argmin()) + 1) * k)
    start = [m[best] for m in centroids]
    if on is not features:
        # what a coarse grid can settle is settled there
        start, *_ = iterate(on, start, k, iterations, tolerance)
    if len(start) < len(features.blocks):
        start = features.split(start[0])
    if progress is not None:
        progress(1, iterations + 2)
    return tidy(lloyd(features, start, iterations, tolerance, progress))


def tidy(found: Clustering) -> Clustering:
    """Ids by size; empty clusters are dropped, and those whose centroids differ by rounding only are one."""
    centres = torch.cat(found.centroids, 1).double()
    length = centres.square().sum(1)
    d2 = length[:, None] + length - 2 * centres @ centres.T
    same = (d2 <= found.features.noise) & (found.counts > 0)
    first = same.to(torch.uint8).argmax(1)
    first[found.counts == 0] = torch.nonzero(found.counts == 0).flatten()
    if not torch.equal(first, torch.arange(found.k, device=first.device)):
        return described(found.features, first[found.labels], found.iterations)
    found = renumbered(found, torch.argsort(found.counts, descending=True, stable=True))
    filled = int((found.counts > 0).sum())
    blocks = [m[:filled] for m in found.centroids]
    return Clustering(
        found.labels, blocks, found.counts[:filled], found.inertia, found.iterations, found.features
    )


def elbow(
    features: Features,
    low: int = 3,
    high: int = 10,
    offset: int = 0,
    seed: int = 0,
    restarts: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, list[tuple[int, float, float]]]:
    """Number of clusters at the flattest step of the inertia.

    For K from ``low`` to ``high`` the inertia I_K is computed; rho_K = (I_{K+1} - I_K) / I_K; K* is where rho is largest.

    Parameters
    ----------
    features : Features
        The data.
    low, high : int
        Range of K; fewer where there are fewer positions.
    offset : int
        Added to K*. The authors' code returns K* - 1 (``AUTHORS_OFFSET``) and holds notes with other offsets.
    seed, restarts
        See :func:`kmeans`.
    progress : callable, optional
        ``progress(done, total)``; may raise to stop.

    Returns
    -------
    k : int
        K* + offset, at least 1 and at most ``high``.
    table : list of (int, float, float)
        K, inertia and rho (nan for the last).
    """
    most = min(high, features.positions)
    sizes = list(range(min(low, most), most + 1))
    on, inertia = trial(features), []
    for k in sizes:
        inertia.append(kmeans(features, k, restarts=restarts, seed=seed, on=on).inertia)
        if progress is not None:
            progress(len(inertia), len(sizes))
    # without inertia there is nothing left to explain: the step is flat
    nothing = features.noise * features.positions
    rho = [(b - a) / a if a > nothing else 0.0 for a, b in pairwise(inertia)]
    best = sizes[max(range(len(rho)), key=rho.__getitem__)] if rho else sizes[0]
    table = list(zip(sizes, inertia, [*rho, float("nan")], strict=True))
    return min(max(1, best + offset), most), table
