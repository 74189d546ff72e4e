"""Merge tree over many small clusters: cuts of it give any K, with nested regions and stable ids.

Centroids are merged by weighted Ward costs ``n_i n_j / (n_i + n_j) |mu_i - mu_j|^2``; the inertia of a cut is exactly that of
the leaves plus the costs of the merges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import Clustering, described
from xai_views.errors import MethodError


@dataclass(eq=False)
class Tree:
    """Merge tree of a clustering.

    Attributes
    ----------
    leaves : Clustering
        Initial clustering.
    features : Features
        The clustered features.
    costs : list of float
        Increase of the inertia by each merge, in order.
    ids : ndarray
        ``[k0, k0]``: row K - 1 holds the id of every leaf in the cut with K clusters.
    """

    leaves: Clustering
    features: Features
    costs: list[float]
    ids: np.ndarray

    @property
    def k0(self) -> int:
        """Number of leaves."""
        return self.leaves.k

    def inertia(self, k: int) -> float:
        """Inertia of the cut with ``k`` clusters: that of the leaves plus the costs of the merges."""
        return self.leaves.inertia + float(sum(self.costs[: self.k0 - k]))

    def cut(self, k: int) -> Clustering:
        """Return the partition with ``k`` clusters.

        Cutting at k + 1 splits one cluster of the cut at k: the larger part keeps its id, the smaller part gets id k.

        Raises
        ------
        MethodError
            When ``k`` is not between 1 and the number of leaves.
        """
        if not 1 <= k <= self.k0:
            raise MethodError(f"a cut with {k} clusters was requested; request 1 to {self.k0}.")
        ids = torch.from_numpy(self.ids[k - 1]).to(self.leaves.labels.device)
        labels = ids[self.leaves.labels]
        weight = self.leaves.counts.to(self.leaves.centroids[0])
        counts = torch.zeros(k, dtype=torch.long, device=ids.device).index_add_(0, ids, self.leaves.counts)
        centroids = []
        for m in self.leaves.centroids:
            total = m.new_zeros(k, m.shape[1]).index_add_(0, ids, m * weight[:, None])
            centroids.append(total / counts.to(total)[:, None])
        return Clustering(labels, centroids, counts, self.inertia(k), 0, self.features)


def build(leaves: Clustering, features: Features) -> Tree:
    """Merge the clusters of a clustering, the cheapest pair first, until one remains.

    Parameters
    ----------
    leaves : Clustering
        The clusters to merge, each with at least one position. Their centroids are replaced by the means of their
        positions, which the identity of the inertias requires.
    features : Features
        The clustered features.
    """
    leaves = described(features, leaves.labels, leaves.iterations)
    costs, merges = _merges(
        torch.cat(leaves.centroids, 1).double().cpu().numpy(), leaves.counts.cpu().numpy()
    )
    return Tree(leaves, features, costs, _ids(leaves.k, leaves.counts.cpu().numpy(), merges))


def _merges(mu: np.ndarray, n: np.ndarray) -> tuple[list[float], list[tuple[int, int]]]:
    """Costs and pairs ``(kept, gone)`` of merges, by the update of Lance and Williams; a leaf represents its merged cluster."""
    n = n.astype(float)
    # differences, not products: costs of close clusters would be lost to rounding
    d2 = np.stack([((mu - row) ** 2).sum(1) for row in mu])
    cost = n[:, None] * n / (n[:, None] + n) * d2
    np.fill_diagonal(cost, np.inf)
    costs, merges = [], []
    for _ in range(len(mu) - 1):
        a, b = (int(i) for i in np.unravel_index(cost.argmin(), cost.shape))
        least = cost[a, b]
        costs.append(float(least))
        merges.append((a, b))
        merged = ((n[a] + n) * cost[a] + (n[b] + n) * cost[b] - n * least) / (n[a] + n[b] + n)
        merged[~np.isfinite(cost[a]) | ~np.isfinite(cost[b])] = np.inf
        cost[a], cost[:, a] = merged, merged
        cost[b], cost[:, b] = np.inf, np.inf
        n[a] += n[b]
    return costs, merges


def _ids(k0: int, n: np.ndarray, merges: list[tuple[int, int]]) -> np.ndarray:
    """Undo the merges from last to first; the larger part keeps its id, the smaller part gets the next one."""
    members: dict[int, list[int]] = {leaf: [leaf] for leaf in range(k0)}
    parts = []
    for a, b in merges:
        parts.append((list(members[a]), list(members[b])))
        members[a] = members[a] + members.pop(b)
    ids = np.zeros((k0, k0), np.int64)
    for k, (one, two) in enumerate(reversed(parts), 1):
        ids[k] = ids[k - 1]
        smaller = two if n[one].sum() >= n[two].sum() else one
        ids[k, smaller] = k
    return ids
