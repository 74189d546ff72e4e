"""Seeding and Lloyd's algorithm for several starts in parallel, on factored features."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from xai_views.engine.clusters.features import Centroids, Features


def seeds(features: Features, k: int, restarts: int, generator: torch.Generator) -> Centroids:
    """Greedy k-means++ for several restarts at once.

    Candidates are drawn in proportion to their squared distance to the previous seeds; the one with the lowest inertia is kept.

    Returns
    -------
    list of Tensor
        Blocks ``[restarts * k, C'_l]``.
    """
    m, device = features.positions, features.weights.device
    candidates = 2 + int(math.log(k))
    chosen = torch.randint(m, (restarts,), generator=generator)
    drawn, near = [chosen], None
    for _ in range(k):
        d2 = features.distances(features.split(features.rows(chosen))).movedim(1, 0).reshape(-1, m)
        d2 = torch.where(d2 > features.noise, d2, torch.zeros_like(d2)).reshape(restarts, -1, m)
        near = d2 if near is None else torch.minimum(near, d2)
        taken = near.sum(2).argmin(1)
        near = near[torch.arange(restarts, device=device), taken][:, None]
        if len(chosen) > restarts:
            drawn.append(chosen.reshape(restarts, -1)[torch.arange(restarts), taken.cpu()])
        if len(drawn) == k:
            break
        weight = near[:, 0].double()
        # fewer distinct positions than seeds: any position will do, its cluster is dropped at the end
        weight += (weight.sum(1, keepdim=True) == 0).double()
        total = weight.cumsum(1)
        share = torch.rand(restarts, candidates, generator=generator, dtype=torch.float64).to(device)
        # right: a position of weight 0 is never drawn
        chosen = torch.searchsorted(total, share * total[:, -1:], right=True).clamp_max(m - 1).cpu().flatten()
    return features.split(features.rows(torch.stack(drawn, 1).flatten()))


def refilled(features: Features, centroids: Centroids, best: torch.Tensor, counts: torch.Tensor) -> Centroids:
    """Move every empty centroid to a position far from its own centroid.

    Parameters
    ----------
    features : Features
        The data.
    centroids : list of Tensor
        Blocks ``[r * k, .]`` for r restarts.
    best : Tensor
        ``[r, m]`` squared distance of every position to its centroid.
    counts : Tensor
        ``[r, k]``.
    """
    out = [m.clone() for m in centroids]
    k = counts.shape[1]
    for r in torch.nonzero((counts == 0).any(1)).flatten().tolist():
        empty = torch.nonzero(counts[r] == 0).flatten()
        far = best[r].topk(min(len(empty), best.shape[1]))
        useful = far.indices[far.values > features.noise]
        for m, s in zip(out, features.split(features.rows(useful)), strict=True):
            m[r * k + empty[: len(useful)]] = s
    return out


def iterate(
    features: Features,
    start: Centroids,
    k: int,
    iterations: int,
    tolerance: float,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Centroids, torch.Tensor, torch.Tensor, int]:
    """Run Lloyd's algorithm for several starts in parallel; each stops on its own.

    Returns
    -------
    centroids : list of Tensor
        Blocks ``[r * k, .]``.
    labels : Tensor
        ``[n, r, *grid]``, for the returned centroids.
    inertia : Tensor
        ``[r]`` float64.
    iterations : int
        Number of iterations of the longest run.
    """
    runs, axes = len(start[0]) // k, [0, *range(2, 2 + features.rank)]
    current = [m.clone() for m in start]
    best, labels = features.nearest(current, runs)
    inertia = best.double().sum(axes)
    out, out_labels, out_inertia = [m.clone() for m in current], labels.clone(), inertia.clone()
    active = torch.arange(runs, device=labels.device)
    step = 0
    for step in range(1, iterations + 1):
        a = len(active)
        offset = torch.arange(a, device=labels.device).reshape(1, a, *[1] * features.rank) * k
        counts = torch.bincount((labels + offset).flatten(), minlength=a * k)
        filled = (counts > 0)[:, None]
        share = 1 / counts.clamp_min(1).to(features.weights)[:, None]
        sums = features.sums(labels, k, a)
        current = [torch.where(filled, m * share, old) for m, old in zip(sums, current, strict=True)]
        missing = (counts.reshape(a, k) == 0).any(1)
        if bool(missing.any()):
            flat = best.movedim(1, 0).reshape(a, -1)
            current = refilled(features, current, flat, counts.reshape(a, k))
        before, was = labels, inertia
        best, labels = features.nearest(current, a)
        inertia = best.double().sum(axes)
        done = (labels == before).movedim(1, 0).flatten(1).all(1)
        if tolerance > 0:
            # the remaining inertia is rounding, or the step hardly reduced it
            done |= inertia <= features.noise * features.positions
            done |= (was - inertia <= tolerance * was) & ~missing
        own = (active[:, None] * k + torch.arange(k, device=labels.device)).flatten()
        for m, new in zip(out, current, strict=True):
            m[own] = new
        out_labels[:, active], out_inertia[active] = labels, inertia
        if progress is not None:
            progress(step + 1, iterations + 2)
        if bool(done.all()):
            break
        if bool(done.any()):
            going = torch.nonzero(~done).flatten()
            rows = (going[:, None] * k + torch.arange(k, device=labels.device)).flatten()
            active, current = active[going], [m[rows] for m in current]
            best, labels, inertia = best[:, going], labels[:, going], inertia[going]
    return out, out_labels, out_inertia, step
