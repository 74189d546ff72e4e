"""One merge tree over many small clusters: any K is a cut of it, with nested regions and stable ids.

Centroids are merged by weighted Ward costs ``n_i n_j / (n_i + n_j) |mu_i - mu_j|^2``; the inertia of a cut is that of the leaves
plus the costs of the merges, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...errors import MethodError
from .features import Features
from .kmeans import Clustering


@dataclass(eq=False)
class Tree:
    """The merges of a clustering.

    Attributes
    ----------
    leaves : Clustering
        Where it starts.
    features : Features
        What was clustered.
    costs : list of float
        Rise of the inertia by each merge, in order.
    ids : ndarray
        ``[k0, k0]``: row K - 1 gives the id of every leaf in the cut with K clusters.
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
        """Inertia of the cut with ``k`` clusters: of the leaves plus the costs of the merges."""
        return self.leaves.inertia + float(sum(self.costs[: self.k0 - k]))

    def cut(self, k: int) -> Clustering:
        """The partition with ``k`` clusters.

        Cutting at k + 1 splits one cluster of the cut at k: its larger part keeps the id, the smaller one gets id k.

        Raises
        ------
        MethodError
            When ``k`` is not between 1 and the number of leaves.
        """
        if not 1 <= k <= self.k0:
            raise MethodError(f"a cut with {k} clusters is not possible; the tree has 1 to {self.k0}.")
        ids = torch.from_numpy(self.ids[k - 1]).to(self.leaves.labels.device)
        labels = ids[self.leaves.labels]
        weight = self.leaves.counts.to(self.leaves.centroids[0])
        counts = torch.zeros(k, dtype=weight.dtype, device=weight.device).index_add_(0, ids, weight)
        centroids = []
        for m in self.leaves.centroids:
            total = m.new_zeros(k, m.shape[1]).index_add_(0, ids, m * weight[:, None])
            centroids.append(total / counts.clamp_min(1)[:, None])
        distances = self.features.distances(centroids)
        return Clustering(labels, centroids, counts.long(), self.inertia(k), 0, distances)


def build(leaves: Clustering, features: Features) -> Tree:
    """Merge the clusters of a clustering, the cheapest pair first, until one is left.

    Parameters
    ----------
    leaves : Clustering
        The clusters to merge, each with at least one position. Their centroids are replaced by the means of their positions,
        without which the identity of the inertias would not hold.
    features : Features
        What was clustered.
    """
    means, counts = features.means(leaves.labels, leaves.k)
    distances = features.distances(means)
    inertia = float(distances.gather(1, leaves.labels[:, None]).double().sum())
    leaves = Clustering(leaves.labels, means, counts.long(), inertia, leaves.iterations, distances)
    mu = torch.cat(means, 1).double().cpu().numpy()
    costs, merges = _merges(mu, counts.double().cpu().numpy())
    return Tree(leaves, features, costs, _ids(leaves.k, counts.cpu().numpy(), merges))


def _merges(mu: np.ndarray, n: np.ndarray) -> tuple[list[float], list[tuple[int, int]]]:
    """Costs and pairs ``(kept, gone)`` of leaves that stand for the merged clusters."""
    mu, n = mu.copy(), n.astype(float).copy()
    alive = np.ones(len(mu), bool)
    costs, merges = [], []
    for _ in range(len(mu) - 1):
        at = np.flatnonzero(alive)
        square = (mu[at] ** 2).sum(1)
        d2 = np.maximum(square[:, None] + square[None] - 2 * mu[at] @ mu[at].T, 0)
        cost = n[at][:, None] * n[at][None] / np.maximum(n[at][:, None] + n[at][None], 1e-300) * d2
        cost[np.tril_indices(len(at))] = np.inf
        i, j = np.unravel_index(cost.argmin(), cost.shape)
        a, b = int(at[i]), int(at[j])
        costs.append(float(cost[i, j]))
        merges.append((a, b))
        mu[a] = (n[a] * mu[a] + n[b] * mu[b]) / max(n[a] + n[b], 1e-300)
        n[a] += n[b]
        alive[b] = False
    return costs, merges


def _ids(k0: int, n: np.ndarray, merges: list[tuple[int, int]]) -> np.ndarray:
    """Undo the merges from the last to the first; the larger part keeps its id, the smaller gets the next one."""
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
