"""The Clustering Module: a one-layer auto-encoder whose code is a softmax over clusters.

Source: Boubekki, Kampffmeyer, Brefeld and Jenssen, Joint optimization of an autoencoder for clustering and embedding (Machine
Learning 110, 2021), implemented from its description. E1 + E2 + E3 equals the loss of soft k-means; the prior E4 keeps
clusters from becoming empty. The decoder's weights are the centroids.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.pca import components
from xai_views.errors import MethodError

#: Number of principal components of composite features that the module is fitted on.
DIMENSIONS = 32
#: Dirichlet prior per row of a batch: alpha = 1 + PRIOR * rows, so that its effect does not depend on the batch size.
PRIOR = 0.1


@dataclass(eq=False)
class Module:
    """A fitted Clustering Module.

    Attributes
    ----------
    weight, bias : Tensor
        ``[D, K]`` and ``[K]``: the code is ``softmax(x weight + bias)``.
    centroids : Tensor
        ``[K, D]``: the decoder.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    centroids: torch.Tensor

    def code(self, rows: torch.Tensor) -> torch.Tensor:
        """Soft assignment ``[m, K]`` of rows ``[m, D]``."""
        return torch.softmax(rows @ self.weight + self.bias, 1)


def terms(
    rows: torch.Tensor, gamma: torch.Tensor, centroids: torch.Tensor, alpha: float | torch.Tensor = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Compute the four terms of the loss, E1 to E4, summed over the rows.

    E1 + E2 + E3 = sum_i sum_k gamma_ik |x_i - mu_k|^2 for every gamma whose rows sum to 1.

    Parameters
    ----------
    rows : Tensor
        ``[m, D]``.
    gamma : Tensor
        ``[m, K]``.
    centroids : Tensor
        ``[K, D]``.
    alpha : float or Tensor
        Concentration of the Dirichlet prior on the mean code, one value or ``[K]``; in the latter case alphas and shares are
        both sorted, so that the numbering of clusters does not matter.
    """
    length = centroids.square().sum(1)
    e1 = (rows - gamma @ centroids).square().sum()
    e2 = (length * (gamma * (1 - gamma)).sum(0)).sum()
    gram, joint = centroids @ centroids.T, gamma.T @ gamma
    e3 = (gram * joint).diagonal().sum() - (gram * joint).sum()
    share = (gamma.mean(0) + 1e-10).log().sort().values
    prior = torch.as_tensor(alpha, dtype=rows.dtype, device=rows.device).expand(len(share)).sort().values
    return e1, e2, e3, ((1 - prior) * share).sum()


def bayes(centroids: torch.Tensor) -> Module:
    """Return the module whose code is the posterior of a Gaussian mixture: these centres, covariance I / 2, equal weights."""
    return Module(2 * centroids.T, -centroids.square().sum(1), centroids.clone())


def fit(
    rows: torch.Tensor,
    start: torch.Tensor,
    *,
    seed: int = 0,
    epochs: int = 60,
    batch: int = 256,
    rate: float = 1e-2,
    prior: float = PRIOR,
) -> Module:
    """Fit the module with Adam, starting from the Bayes posterior of given centroids; weights are averaged over a last epoch.

    Parameters
    ----------
    rows : Tensor
        ``[m, D]``. The covariance is fixed, so the scale of the rows matters.
    start : Tensor
        ``[K, D]`` initial centroids.
    seed : int
        Random seed of the order of the rows.
    epochs, batch, rate : int, int, float
        Epochs, batch size and learning rate.
    prior : float
        Strength of the prior: alpha = 1 + prior * rows of the batch; 0 disables it.

    Raises
    ------
    MethodError
        When dimensions do not fit.
    """
    if rows.ndim != 2 or start.ndim != 2 or rows.shape[1] != start.shape[1]:
        raise MethodError(
            f"centroids of shape {list(start.shape)} do not fit rows of shape {list(rows.shape)}; give [K, D] and [m, D]."
        )
    generator = torch.Generator().manual_seed(seed)
    first = bayes(start)
    parameters = [p.clone().requires_grad_() for p in (first.weight, first.bias, first.centroids)]
    optimiser = torch.optim.Adam(parameters, lr=rate, eps=1e-3)
    mean, steps = [torch.zeros_like(p) for p in parameters], 0
    with torch.enable_grad():
        for epoch in range(epochs + 1):
            for own in torch.randperm(len(rows), generator=generator).split(batch):
                x = rows[own.to(rows.device)]
                gamma = torch.softmax(x @ parameters[0] + parameters[1], 1)
                loss = torch.stack(terms(x, gamma, parameters[2], 1 + prior * len(x))).sum() / len(x)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                if epoch == epochs:
                    steps += 1
                    mean = [m + (p.detach() - m) / steps for m, p in zip(mean, parameters, strict=True)]
    return Module(*mean)


def fit_features(features: Features, k: int, seed: int = 0, most: int = 4096) -> tuple[torch.Tensor, Module]:
    """Fit the module to composite features.

    It uses at most ``DIMENSIONS`` principal components, scaled so that the mean squared distance to the centroids of the initial
    k-means is 1: with a fixed covariance the scale determines how soft the code is. This scaling is our choice.

    Parameters
    ----------
    features : Features
        The data.
    k : int
        Number of clusters.
    seed : int
        Random seed of k-means and of the order of the rows.
    most : int
        Maximum number of training rows, drawn at random.

    Returns
    -------
    code : Tensor
        ``[n, K, *grid]``.
    module : Module
        Operates on scaled principal components.
    """
    start = kmeans(features, k, seed=seed)
    axes = components(features, max(start.k, DIMENSIONS))
    rows = axes.scores().movedim(1, -1).flatten(0, -2)
    unit = max(start.inertia / len(rows), features.noise, torch.finfo(rows.dtype).tiny) ** 0.5
    rows, centres = rows / unit, axes.project(start.centroids) / unit
    generator = torch.Generator().manual_seed(seed)
    sample = rows
    if len(rows) > most:
        sample = rows[torch.randperm(len(rows), generator=generator)[:most].to(rows.device)]
    module = fit(sample, centres, seed=seed)
    return module.code(rows).reshape(features.n, *features.grid, -1).movedim(-1, 1), module
