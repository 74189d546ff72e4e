"""Other ways from positions to clusters than k-means; all answer with the same :class:`Clustering`."""

from __future__ import annotations

import torch

from ...errors import MethodError, nearest
from .features import Features
from .kmeans import Clustering, assign, kmeans, plus_plus

ASSIGNERS = ("k-means", "pca", "agglomerative", "clustering module")
#: Positions that agglomerative clustering may link; beyond, a sample is linked and the rest goes to the nearest mean.
MOST_LINKED = 4096


def cluster(features: Features, k: int, assigner: str = "k-means", seed: int = 0) -> Clustering:
    """Cluster all positions.

    Parameters
    ----------
    features : Features
        The data.
    k : int
        Number of clusters.
    assigner : {"k-means", "pca", "agglomerative", "clustering module"}
        "pca": the component with the largest absolute score; "agglomerative": Ward linkage; "clustering module": the one-layer
        auto-encoder of Boubekki et al. with a softmax code.
    seed : int
        Of random starts.

    Returns
    -------
    Clustering
        Ids by size. Centroids are the means of the clusters, distances those to them, also where the labels were found otherwise.

    Raises
    ------
    MethodError
        For another assigner or an impossible k.
    """
    if assigner not in ASSIGNERS:
        raise MethodError(f"assigner {assigner!r} is not known; there is {nearest(assigner, ASSIGNERS)}.")
    if assigner == "k-means":
        return kmeans(features, k, seed=seed)
    if not 1 <= k <= features.positions:
        raise MethodError(
            f"{k} clusters of {features.positions} positions are not possible; choose 1 to {features.positions}."
        )
    if k == 1:
        return kmeans(features, 1, seed=seed)
    maker = {"pca": _pca, "agglomerative": _agglomerative, "clustering module": _module}[assigner]
    return from_labels(features, maker(features, k, seed))


def from_labels(features: Features, labels: torch.Tensor) -> Clustering:
    """Describe a partition that was found otherwise: means, counts, inertia; ids by size, none empty."""
    flat = labels.flatten()
    order = torch.argsort(torch.bincount(flat), descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    labels = place[labels]
    k = int(labels.max()) + 1
    means, counts = features.means(labels, k)
    distances = features.distances(means)
    inertia = float(distances.gather(1, labels[:, None]).double().sum())
    return Clustering(labels, means, counts.long(), inertia, 0, distances)


def _grid(features: Features, flat: torch.Tensor) -> torch.Tensor:
    return flat.reshape(features.n, *features.grid)


def _sample(features: Features, most: int, seed: int) -> torch.Tensor:
    if features.positions <= most:
        return torch.arange(features.positions)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(features.positions, generator=generator)[:most].sort().values


def _pca(features: Features, k: int, seed: int) -> torch.Tensor:
    """Label = the component with the largest absolute score; components of a sample where the grid is large."""
    rows = features.rows(_sample(features, MOST_LINKED, seed))
    mean = rows.mean(0)
    _, _, axes = torch.linalg.svd((rows - mean).double(), full_matrices=False)
    axes = axes[:k].to(rows)
    scores = features.scores(features.split(axes)) - (axes @ mean).reshape(1, -1, *[1] * features.rank)
    return scores.abs().argmax(1)


def _agglomerative(features: Features, k: int, seed: int) -> torch.Tensor:
    """Ward linkage of scikit-learn; of a sample where the grid is large, the rest by nearest mean."""
    from sklearn.cluster import AgglomerativeClustering

    index = _sample(features, MOST_LINKED, seed)
    rows = features.rows(index)
    found = torch.from_numpy(AgglomerativeClustering(k).fit_predict(rows.cpu().numpy()))
    if len(index) == features.positions:
        return _grid(features, found)
    one = torch.nn.functional.one_hot(found, k).to(rows)
    means = one.T @ rows / one.sum(0)[:, None]
    return assign(features, features.split(means)).labels


def _module(features: Features, k: int, seed: int, epochs: int = 60, batch: int = 256) -> torch.Tensor:
    """The hard assignment of the Clustering Module."""
    weight, bias, _ = fit_module(
        features.rows(_sample(features, 4 * MOST_LINKED, seed)), k, seed, epochs, batch
    )
    scores = features.scores(features.split(weight.T)) + bias.reshape(1, -1, *[1] * features.rank)
    return scores.argmax(1)


def module_loss(
    x: torch.Tensor, gamma: torch.Tensor, mu: torch.Tensor, alpha: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The four terms of the Clustering Module for rows ``[m, D]``, codes ``[m, K]`` and centroids ``[K, D]``.

    E1 + E2 + E3 = sum_i sum_k gamma_ik |x_i - mu_k|^2, the loss of soft k-means. Source: Boubekki et al., Joint optimization
    of an autoencoder for clustering and embedding (Machine Learning, 2021).
    """
    e1 = (x - gamma @ mu).square().sum()
    length = mu.square().sum(1)
    e2 = (length * (gamma * (1 - gamma)).sum(0)).sum()
    gram, joint = mu @ mu.T, gamma.T @ gamma
    off = 1 - torch.eye(len(mu), dtype=mu.dtype, device=mu.device)
    e3 = -(off * gram * joint).sum()
    e4 = (1 - alpha) * gamma.mean(0).clamp_min(1e-12).log().sum()
    return e1, e2, e3, e4


def fit_module(
    rows: torch.Tensor, k: int, seed: int = 0, epochs: int = 60, batch: int = 256
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fit the Clustering Module: ``gamma = softmax(x W + b)``, reconstruction ``gamma M``.

    Starts from k-means++ seeds after one step of k-means, with W the pseudo-inverse of the seeds.

    Returns
    -------
    W, b, M : Tensor
        ``[D, K]``, ``[K]``, ``[K, D]``.
    """
    generator = torch.Generator().manual_seed(seed)
    start = plus_plus(rows, k, 1, generator)[0]
    nearest_seed = torch.cdist(rows, start).argmin(1)
    one = torch.nn.functional.one_hot(nearest_seed, k).to(rows)
    mu = (one.T @ rows / one.sum(0).clamp_min(1)[:, None]).clone().requires_grad_()
    weight = torch.linalg.pinv(mu.detach()).clone().requires_grad_()
    bias = torch.zeros(k, dtype=rows.dtype).requires_grad_()
    optimiser = torch.optim.Adam([weight, bias, mu], lr=5e-3)
    m = len(rows)
    with torch.enable_grad():
        for _ in range(epochs):
            order = torch.randperm(m, generator=generator)
            for i in range(0, m, batch):
                x = rows[order[i : i + batch]]
                gamma = torch.softmax(x @ weight + bias, 1)
                # A flat prior keeps clusters from dying, as with the authors' Dirichlet of alpha above 1.
                loss = sum(module_loss(x, gamma, mu, alpha=1.0 + 0.1 * len(x))) / len(x)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return weight.detach(), bias.detach(), mu.detach()
