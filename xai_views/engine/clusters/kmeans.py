"""k-means on factored features: k-means++ seeding, batched restarts, re-seeding of empty clusters.

Lloyd's algorithm with the labels and inertia of the explicit data matrix, which is never built.
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

#: Maximum number of positions for restarts; on a larger grid only the best restart continues with all positions.
TRIAL = 4096
#: A trial restart ends when its inertia falls by less than this share (or the tolerance, if larger).
TRIAL_TOLERANCE = 1e-4
#: Offset that the authors' code adds to the elbow.
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
        Sum of squared distances to the assigned centroids.
    iterations : int
        Number of iterations of Lloyd's algorithm.
    features : Features
        The clustered features.
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
        """Squared distances ``[n, K, *grid]`` to all centroids; computed on first use."""
        return self.features.distances(self.centroids)


def assign(features: Features, centroids: Centroids, iterations: int = 0) -> Clustering:
    """Assign every position to its nearest centroid; the first one if several are equally near.

    Parameters
    ----------
    features : Features
        The data.
    centroids : list of Tensor
        Blocks ``[K, .]``.
    iterations : int
        Number of iterations to report in the result.
    """
    best, labels = features.nearest(centroids)
    counts = torch.bincount(labels.flatten(), minlength=len(centroids[0]))
    return Clustering(labels[:, 0], centroids, counts, float(best.double().sum()), iterations, features)


def described(features: Features, labels: torch.Tensor, iterations: int = 0) -> Clustering:
    """Describe a given partition by the means of its parts, with ids in order of size and none empty.

    Parameters
    ----------
    features : Features
        The data.
    labels : Tensor
        ``[n, *grid]`` ids from 0.
    iterations : int
        Number of iterations to report in the result.
    """
    order = torch.argsort(torch.bincount(labels.flatten()), descending=True, stable=True)
    labels = torch.argsort(order)[labels]
    means, counts = features.means(labels, int(labels.max()) + 1)
    own = features.distances(means).gather(1, labels[:, None])
    return Clustering(labels, means, counts, float(own.double().sum()), iterations, features)


def renumbered(found: Clustering, order: torch.Tensor) -> Clustering:
    """Return the same clusters renumbered: new id i is old id ``order[i]``."""
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
    """Run Lloyd's algorithm from given centroids; the labels belong to the returned centroids.

    Parameters
    ----------
    features : Features
        The data.
    start : list of Tensor
        Blocks ``[K, .]``.
    iterations : int
        Maximum number of iterations.
    tolerance : float
        Stop when the inertia falls by less than this share, or when no label changes; 0: only the latter.
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
    """Return the features for trial restarts: all positions, or a coarser grid of at most ``most`` positions.

    For many images with few positions each, explicit rows are cheaper; they have one block with all layers side by side.
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
        The data; never built explicitly except for a trial.
    k : int
        Number of clusters.
    init : list of Tensor or Tensor, optional
        Blocks ``[k, .]`` to start from, or ``[k]`` flat positions; ids are then kept, even of empty clusters.
    restarts : int
        Number of k-means++ starts, run side by side (on a coarser grid if there are more than ``TRIAL`` positions); the best
        one continues.
    iterations, tolerance, progress
        See :func:`lloyd`.
    seed : int
        Random seed; equal seeds give equal results on the CPU.
    on : Features, optional
        Result of :func:`trial` for the features, if already computed.

    Returns
    -------
    Clustering
        Ids in order of size, the largest is 0. Fewer than ``k`` clusters if there are fewer distinct positions.

    Raises
    ------
    MethodError
        When ``k`` is not between 1 and the number of positions, or does not fit ``init``.
    """
    if not 1 <= k <= features.positions:
        raise MethodError(
            f"{k} clusters of {features.positions} positions were requested; request 1 to {features.positions}."
        )
    if init is not None:
        start = features.split(features.rows(init)) if isinstance(init, torch.Tensor) else init
        if len(start[0]) != k:
            raise MethodError(
                f"{k} clusters were requested and the start has {len(start[0])}; give the same number."
            )
        return lloyd(features, start, iterations, tolerance, progress)
    generator = torch.Generator().manual_seed(seed)
    on = trial(features) if on is None else on
    starts = seeds(on, k, max(1, restarts), generator)
    centroids, _, inertia, _ = iterate(on, starts, k, iterations, max(tolerance, TRIAL_TOLERANCE))
    best = slice(int(inertia.argmin()) * k, (int(inertia.argmin()) + 1) * k)
    start = [m[best] for m in centroids]
    if on is not features:
        # converge on the coarse grid first
        start, *_ = iterate(on, start, k, iterations, tolerance)
    if len(start) < len(features.blocks):
        start = features.split(start[0])
    if progress is not None:
        progress(1, iterations + 2)
    return tidy(lloyd(features, start, iterations, tolerance, progress))


def tidy(found: Clustering) -> Clustering:
    """Number ids by size, drop empty clusters, and merge clusters whose centroids differ by rounding only."""
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
    """Choose the number of clusters at the flattest step of the inertia (elbow).

    With the inertia I_K for K from ``low`` to ``high`` and rho_K = (I_{K+1} - I_K) / I_K, K* maximises rho.

    Parameters
    ----------
    features : Features
        The data.
    low, high : int
        Range of K; reduced if there are fewer positions.
    offset : int
        Added to K*. The authors' code returns K* - 1 (``AUTHORS_OFFSET``) and mentions other offsets.
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
    # zero inertia leaves nothing to explain: the step counts as flat
    nothing = features.noise * features.positions
    rho = [(b - a) / a if a > nothing else 0.0 for a, b in pairwise(inertia)]
    best = sizes[max(range(len(rho)), key=rho.__getitem__)] if rho else sizes[0]
    table = list(zip(sizes, inertia, [*rho, float("nan")], strict=True))
    return min(max(1, best + offset), most), table
