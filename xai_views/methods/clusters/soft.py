"""Soft assignments of positions to clusters, and how undecided they are.

An entropy means something only beside its temperature: it is returned, and shown wherever the entropy is.
"""

from __future__ import annotations

import math

import torch

from ...errors import MethodError, nearest

KINDS = ("tempered", "gmm", "fuzzy")


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
    kind : {"tempered", "gmm", "fuzzy"}
        ``softmax(-d2 / T)``; ``softmax(log pi - d2 / (2 T))``, an isotropic Gaussian mixture of variance T; or proportional to
        ``1 / d2`` (fuzzy c-means with m = 2, free of scale).
    temperature : float, optional
        T. Default: the mean smallest squared distance (divided by ``dimensions`` for "gmm").
    proportions : Tensor, optional
        ``[K]`` for "gmm"; those of the hard assignment when not given.
    dimensions : int
        Effective dimensions for "gmm": with many, its entropy collapses to 0; project first.

    Returns
    -------
    shares : Tensor
        ``[n, K, *grid]``, sums to 1 over K.
    temperature : float
        The one that was used; 0 for "fuzzy".

    Raises
    ------
    MethodError
        For another kind or a negative temperature.
    """
    if kind not in KINDS:
        raise MethodError(f"soft assignment {kind!r} is not known; there is {nearest(kind, KINDS)}.")
    if temperature is not None and not temperature > 0:
        raise MethodError(
            f"a temperature of {temperature} is not possible; give a number above 0, or none for the default."
        )
    best, labels = distances.min(1)
    if kind == "fuzzy":
        # 0 / 0 where a position sits on a centroid: then it belongs to that one.
        inverse = 1 / distances.clamp_min(torch.finfo(distances.dtype).tiny)
        on = distances <= 1e-12 * distances.amax(1, keepdim=True)
        inverse = torch.where(on.any(1, keepdim=True), on.to(inverse), inverse)
        return inverse / inverse.sum(1, keepdim=True), 0.0
    default = float(best.double().mean()) / (dimensions if kind == "gmm" else 1)
    used = float(temperature) if temperature else max(default, 1e-12)
    if kind == "tempered":
        return torch.softmax(-(distances - best[:, None]) / used, 1), used
    if proportions is None:
        k = distances.shape[1]
        proportions = torch.bincount(labels.flatten(), minlength=k).to(distances) / labels.numel()
    prior = proportions.clamp_min(1e-30).log().reshape(1, -1, *[1] * (distances.ndim - 2))
    return torch.softmax(prior - (distances - best[:, None]) / (2 * used), 1), used


def entropy(shares: torch.Tensor) -> torch.Tensor:
    """Entropy ``[n, *grid]`` over the logarithm of K: 0 = decided, 1 = all clusters equal; 0 for one cluster."""
    k = shares.shape[1]
    if k == 1:
        return torch.zeros_like(shares[:, 0])
    return (-torch.special.xlogy(shares, shares).sum(1) / math.log(k)).clamp(0, 1)


def margin(distances: torch.Tensor) -> torch.Tensor:
    """``1 - d_1 / d_2`` ``[n, *grid]`` of the two smallest distances (not squared): free of temperature; 1 for one cluster."""
    if distances.shape[1] == 1:
        return torch.ones_like(distances[:, 0])
    two = distances.topk(2, 1, largest=False).values.clamp_min(0).sqrt()
    return 1 - two[:, 0] / two[:, 1].clamp_min(torch.finfo(distances.dtype).tiny)


def second(distances: torch.Tensor) -> torch.Tensor:
    """Id ``[n, *grid]`` of the second-best cluster; the only one where there is one."""
    if distances.shape[1] == 1:
        return torch.zeros_like(distances[:, 0], dtype=torch.long)
    return distances.topk(2, 1, largest=False).indices[:, 1]
