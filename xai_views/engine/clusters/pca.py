"""Principal components of factored features on all positions; the covariance matrix is never built."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from xai_views.engine.clusters.features import Features

#: Up to this many dimensions (or rows) a dense decomposition is fast.
DENSE = 96


@dataclass(eq=False)
class Components:
    """Principal components.

    Attributes
    ----------
    axes : Tensor
        ``[k, D']`` orthonormal rows in the internal basis, by decreasing variance.
    variance : Tensor
        ``[k]``: sum of the squared scores over the rows.
    mean : Tensor
        ``[D']``.
    total : float
        Sum of the squared distances of the rows to the mean.
    features : Features
        The decomposed features.
    """

    axes: torch.Tensor
    variance: torch.Tensor
    mean: torch.Tensor
    total: float
    features: Features

    def scores(self) -> torch.Tensor:
        """Return the scores ``[n, k, *grid]`` of every position."""
        middle = (self.axes @ self.mean).reshape(1, -1, *[1] * self.features.rank)
        return self.features.scores(self.features.split(self.axes)) - middle

    def project(self, centroids: list[torch.Tensor]) -> torch.Tensor:
        """Return the scores ``[K, k]`` of centroids."""
        return (torch.cat(self.features.drop(centroids), 1) - self.mean) @ self.axes.T


def components(features: Features, k: int) -> Components:
    """Compute the first ``k`` principal components of all rows; fewer if there are fewer dimensions or rows.

    Parameters
    ----------
    features : Features
        The data.
    k : int
        Number of components.
    """
    dims = sum(b.values.shape[1] for b in features.blocks)
    n = features.positions
    zeros = torch.zeros((n,), dtype=torch.long, device=features.weights.device)
    mean = torch.cat(features.means(zeros.reshape(features.n, *features.grid), 1)[0], 1)[0]
    total = float(features.square.double().sum() - n * mean.double().square().sum())
    k = min(k, dims, n)
    if (
        total <= n * features.noise
    ):  # all rows are equal: any axes are valid, and Lanczos iterations would fail
        return Components(torch.eye(k, dims).to(mean), mean.new_zeros(k), mean, 0.0, features)
    if min(dims, n) <= max(DENSE, 4 * k):
        values, axes = _dense(features.explicit() - mean, k)
    else:
        values, axes = _iterated(features, mean, dims, k)
    return Components(axes, values, mean, max(0.0, total), features)


def _dense(rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    _, s, axes = torch.linalg.svd(rows.double(), full_matrices=False)
    return s[:k].square().to(rows), axes[:k].to(rows)


def _iterated(features: Features, mean: torch.Tensor, dims: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lanczos iterations with the covariance applied as scores of a vector, then the adjoint."""
    pieces = features._pieces(1)

    def covariance(vector: np.ndarray) -> np.ndarray:
        v = torch.from_numpy(np.ascontiguousarray(vector.reshape(1, -1))).to(mean)
        maps = features.scores(features.split(v)) - (v @ mean).reshape(1, 1, *[1] * features.rank)
        maps = maps.reshape(features.n, 1, *features._shape)
        parts = [
            w * sum(b.sums(maps[piece], piece) for piece in pieces)
            for w, b in zip(features.weights, features.blocks, strict=True)
        ]
        out = torch.cat(parts, 1)[0] - maps.sum() * mean
        return out.double().cpu().numpy()

    single = mean.dtype == torch.float32
    operator = LinearOperator((dims, dims), matvec=covariance, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(dims)
    try:
        values, axes = eigsh(operator, k, v0=start, tol=1e-6 if single else 1e-12)
    except ArpackNoConvergence:
        return _dense(features.explicit() - mean, k)
    order = np.argsort(values)[::-1]
    to = lambda a: torch.from_numpy(np.ascontiguousarray(a)).to(mean)  # noqa: E731
    return to(values[order].clip(0)), to(axes[:, order].T)
