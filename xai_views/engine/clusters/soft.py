"""Soft assignments of positions to clusters, and how undecided they are.

An entropy means something only beside its temperature: it is returned, and shown wherever the entropy is.
"""

from __future__ import annotations

import math

import torch

from xai_views.engine.clusters.kmeans import Clustering
from xai_views.engine.clusters.pca import Components, components
from xai_views.errors import MethodError, nearest

KINDS = ("tempered", "gmm", "fuzzy", "clustering module")
#: Principal components that the mixture "gmm" is of: in many more dimensions every position is decided.
DIMENSIONS = 16


def soft(
    distances: torch.Tensor,
    kind: str = "tempered",
    temperature: float | None = None,
    proportions: torch.Tensor | None = None,
    dimensions: int = 1,
) -> tuple[torch.Tensor, float]:
    """Shares of the clusters at each position.

    Parameters
    ----------
    distances : Tensor
        ``[n, K, *grid]`` squared distances.
    kind : {"tempered", "gmm", "fuzzy", "clustering module"}
        ``softmax(-d2 / T)``; ``softmax(log pi - d2 / (2 T))``, an isotropic Gaussian mixture of variance T; proportional to
        ``1 / d2`` (fuzzy c-means with m = 2, free of scale); ``softmax(-d2 / T)`` with T = 1, the code from which the Clustering
        Module starts (covariance I / 2, equal weights), which depends on the scale of the features.
    temperature : float, optional
        T. Default: the mean smallest squared distance, divided by ``dimensions`` for "gmm"; 1 for "clustering module".
    proportions : Tensor, optional
        ``[K]`` for "gmm"; those of the hard assignment when not given.
    dimensions : int
        Effective dimensions for "gmm". With many, its entropy collapses to 0: :func:`shares` reduces them first.

    Returns
    -------
    shares : Tensor
        ``[n, K, *grid]``, sums to 1 over K.
    temperature : float
        The one that was used; 0 for "fuzzy".

    Raises
    ------
    MethodError
        For another kind or a temperature that is not above 0.
    """
    if kind not in KINDS:
        raise MethodError(f"soft assignment {kind!r} is not known; there is {nearest(kind, KINDS)}.")
    if temperature is not None and not (temperature > 0 and math.isfinite(temperature)):
        raise MethodError(
            f"a temperature of {temperature} is not possible; give a number above 0, or none for the default."
        )
    best, labels = distances.min(1)
    gap = distances - best[:, None]
    if kind == "fuzzy":
        # 1 / d2 over its largest value; where a position sits on centroids it belongs to those alone
        near = torch.where(distances > 0, best[:, None] / distances.clamp_min(_tiny(distances)), 1.0)
        near = torch.where(best[:, None] > 0, near, (distances == 0).to(near))
        return near / near.sum(1, keepdim=True), 0.0
    # The mean is above 0 unless every position sits on its centroid; then any temperature gives the hard assignment.
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
    """Shares of the clusters of a clustering; those of "gmm" from distances between principal components.

    Parameters
    ----------
    found : Clustering
        The clusters; the proportions of "gmm" are theirs.
    kind, temperature
        See :func:`soft`. The temperature of "gmm" is the variance of one principal component.
    axes : Components, optional
        Those of ``found.features`` for "gmm", where they are at hand; computed when not given.

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
    """Squared distances within the first principal components: what "gmm" is to be given when features are long.

    Parameters
    ----------
    found : Clustering
        The clusters.
    dimensions : int
        Components to keep, at most; fewer where there are fewer.
    axes : Components, optional
        Those of ``found.features``, where they are at hand.

    Returns
    -------
    distances : Tensor
        ``[n, K, *grid]``.
    dimensions : int
        How many were kept.
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
    """Entropy ``[n, *grid]`` over the logarithm of K: 0 = decided, 1 = all clusters equal; 0 for one cluster."""
    k = shares.shape[1]
    if k == 1:
        return torch.zeros_like(shares[:, 0])
    return (-torch.special.xlogy(shares, shares).sum(1) / math.log(k)).clamp(0, 1)


def margin(distances: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
    """How much nearer the own centroid is than the nearest other, free of temperature.

    Parameters
    ----------
    distances : Tensor
        ``[n, K, *grid]`` squared.
    labels : Tensor, optional
        ``[n, *grid]`` own clusters; the nearest when not given. In a cut of a tree some are not the nearest.

    Returns
    -------
    Tensor
        ``[n, *grid]`` in [0, 1]: ``1 - d_own / d_2`` of distances that are not squared, ``d_2`` that of the cluster which
        :func:`second` names. 0 where that one is as near or nearer; 1 for one cluster.
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
    """Id ``[n, *grid]`` of the second-best cluster; the only one where there is one.

    Parameters
    ----------
    distances : Tensor
        ``[n, K, *grid]`` squared.
    labels : Tensor, optional
        ``[n, *grid]`` own clusters, which need not be the nearest (in a cut of a tree some are not); then the nearest of the
        others is returned.
    """
    if distances.shape[1] == 1:
        return torch.zeros_like(distances[:, 0], dtype=torch.long)
    if labels is not None:
        return distances.scatter(1, labels[:, None], torch.inf).argmin(1)
    return distances.topk(2, 1, largest=False).indices[:, 1]
