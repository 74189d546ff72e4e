"""Soft assignments of positions to clusters, and their uncertainty.

An entropy is meaningful only with its temperature, which is returned and shown with it.
"""

from __future__ import annotations

import math

import torch

from xai_views.engine.clusters.kmeans import Clustering
from xai_views.engine.clusters.pca import Components, components
from xai_views.errors import MethodError, nearest

KINDS = ("tempered", "gmm", "fuzzy", "clustering module")
#: Number of principal components of the mixture "gmm"; with many more, every assignment becomes certain.
DIMENSIONS = 16


def soft(
    distances: torch.Tensor,
    kind: str = "tempered",
    temperature: float | None = None,
    proportions: torch.Tensor | None = None,
    dimensions: int = 1,
) -> tuple[torch.Tensor, float]:
    """Compute the soft assignment: the share of each cluster at each position.

    Parameters
    ----------
    distances : Tensor
        ``[n, K, *grid]`` squared distances.
    kind : {"tempered", "gmm", "fuzzy", "clustering module"}
        ``softmax(-d2 / T)``; ``softmax(log pi - d2 / (2 T))``, an isotropic Gaussian mixture of variance T; proportional to
        ``1 / d2`` (fuzzy c-means with m = 2, scale-free); ``softmax(-d2 / T)`` with T = 1, the initial code of the Clustering
        Module (covariance I / 2, equal weights), which depends on the scale of the features.
    temperature : float, optional
        Temperature T. Default: mean smallest squared distance, divided by ``dimensions`` for "gmm"; 1 for
        "clustering module".
    proportions : Tensor, optional
        ``[K]`` mixture weights of "gmm"; by default those of the hard assignment.
    dimensions : int
        Effective dimensions for "gmm". With many, its entropy collapses to 0: :func:`shares` reduces them first.

    Returns
    -------
    shares : Tensor
        ``[n, K, *grid]``, sums to 1 over K.
    temperature : float
        The temperature used; 0 for "fuzzy".

    Raises
    ------
    MethodError
        For an unknown kind, or a temperature that is not above 0.
    """
    if kind not in KINDS:
        raise MethodError(f"soft assignment {kind!r} is not known; choose {nearest(kind, KINDS)}.")
    if temperature is not None and not (temperature > 0 and math.isfinite(temperature)):
        raise MethodError(
            f"a temperature of {temperature} was given; give a number above 0, or none for the default."
        )
    best, labels = distances.min(1)
    gap = distances - best[:, None]
    if kind == "fuzzy":
        # 1 / d2 relative to its maximum; a position that coincides with centroids belongs to those only
        near = torch.where(distances > 0, best[:, None] / distances.clamp_min(_tiny(distances)), 1.0)
        near = torch.where(best[:, None] > 0, near, (distances == 0).to(near))
        return near / near.sum(1, keepdim=True), 0.0
    # The mean is above 0 unless every position coincides with its centroid; then any temperature gives the hard assignment.
    mean = max(float(best.double().mean()), _tiny(distances) ** 0.5)
    default = {"tempered": mean, "gmm": mean / max(1, dimensions), "clustering module": 1.0}[kind]
    used = default if temperature is None else float(temperature)
    if kind != "gmm":
        return torch.softmax(-gap / used, 1), used
    if proportions is None:
        proportions = torch.bincount(labels.flatten(), minlength=distances.shape[1]) / labels.numel()
    prior = proportions.to(distances).clamp_min(1e-30).log().reshape(1, -1, *[1] * (distances.ndim - 2))
    return torch.softmax(prior - gap / (2 * used), 1), used


def _tiny(like: torch.Tensor) -> float:
    return torch.finfo(like.dtype).tiny


def shares(
    found: Clustering,
    kind: str = "tempered",
    temperature: float | None = None,
    axes: Components | None = None,
) -> tuple[torch.Tensor, float]:
    """Soft assignment of a clustering; for "gmm" from distances between principal components.

    Parameters
    ----------
    found : Clustering
        The clustering, which also gives the proportions of "gmm".
    kind, temperature
        See :func:`soft`. The temperature of "gmm" is the variance of one principal component.
    axes : Components, optional
        Components of ``found.features`` for "gmm", if already computed.

    Returns
    -------
    shares, temperature
        See :func:`soft`.
    """
    if kind != "gmm":
        return soft(found.distances, kind, temperature)
    distances, dimensions = projected(found, axes=axes)
    return soft(distances, kind, temperature, found.counts / found.counts.sum(), dimensions)


def projected(
    found: Clustering, dimensions: int = DIMENSIONS, axes: Components | None = None
) -> tuple[torch.Tensor, int]:
    """Squared distances in the first principal components, for "gmm" on features with many dimensions.

    Parameters
    ----------
    found : Clustering
        The clustering.
    dimensions : int
        Maximum number of components; fewer if fewer exist.
    axes : Components, optional
        Components of ``found.features``, if already computed.

    Returns
    -------
    distances : Tensor
        ``[n, K, *grid]``.
    dimensions : int
        Number of components kept.
    """
    axes = components(found.features, dimensions) if axes is None else axes
    scores, centres = axes.scores(), axes.project(found.centroids)
    large = axes.variance > found.features.noise
    kept = max(1, int(large.sum()))
    length = centres[:, :kept].square().sum(1).reshape(1, -1, *[1] * found.features.rank)
    inner = torch.einsum("kd,nd...->nk...", centres[:, :kept], scores[:, :kept])
    square = scores[:, :kept].square().sum(1, keepdim=True)
    return (square + length - 2 * inner).clamp_min_(0), kept


def entropy(shares: torch.Tensor) -> torch.Tensor:
    """Entropy ``[n, *grid]`` divided by log K: 0 = certain, 1 = all clusters equally likely; 0 for one cluster."""
    k = shares.shape[1]
    if k == 1:
        return torch.zeros_like(shares[:, 0])
    return (-torch.special.xlogy(shares, shares).sum(1) / math.log(k)).clamp(0, 1)


def margin(distances: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
    """Relative margin between the own centroid and the nearest other one; independent of temperature.

    Parameters
    ----------
    distances : Tensor
        ``[n, K, *grid]`` squared.
    labels : Tensor, optional
        ``[n, *grid]`` assigned clusters; the nearest by default. In a cut of a merge tree some are not the nearest.

    Returns
    -------
    Tensor
        ``[n, *grid]`` in [0, 1]: ``1 - d_own / d_2`` with unsquared distances and ``d_2`` that of the cluster from
        :func:`second`. 0 if that one is as near or nearer; 1 for one cluster.
    """
    if distances.shape[1] == 1:
        return torch.ones_like(distances[:, 0])
    if labels is None:
        own, other = distances.topk(2, 1, largest=False).values.clamp_min(0).unbind(1)
    else:
        own = distances.gather(1, labels[:, None])[:, 0].clamp_min(0)
        other = distances.scatter(1, labels[:, None], torch.inf).amin(1).clamp_min(0)
    ratio = (own / other.clamp_min(_tiny(distances))).sqrt()
    return torch.where(other > 0, (1 - ratio).clamp_min(0), torch.zeros_like(ratio))


def second(distances: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
    """Id ``[n, *grid]`` of the second-best cluster; 0 if there is only one.

    Parameters
    ----------
    distances : Tensor
        ``[n, K, *grid]`` squared.
    labels : Tensor, optional
        ``[n, *grid]`` assigned clusters, which need not be the nearest (in a cut of a merge tree some are not); then the
        nearest of the others is returned.
    """
    if distances.shape[1] == 1:
        return torch.zeros_like(distances[:, 0], dtype=torch.long)
    if labels is not None:
        return distances.scatter(1, labels[:, None], torch.inf).argmin(1)
    return distances.topk(2, 1, largest=False).indices[:, 1]
