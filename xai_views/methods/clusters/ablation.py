"""Taking clusters away, in the last map or in the image, and sharing the change fairly among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ...errors import MethodError, nearest
from ...models.heads import Head

FILLS = ("mean", "zero", "data")
INPUT_FILLS = ("blur", "mean", "zero")
MOST_PLAYERS = 10
BLUR = 0.08  # standard deviation of the blur, as a share of the longer side


def ablate(
    last: torch.Tensor,
    membership: torch.Tensor,
    clusters: Sequence[int],
    fill: str = "mean",
    mean: torch.Tensor | None = None,
) -> torch.Tensor:
    """Replace the activations of some clusters; a cell that belongs to them in part is replaced in part.

    Parameters
    ----------
    last : Tensor
        ``[n, C, *grid]``.
    membership : Tensor
        ``[n, K, *grid]`` shares of the clusters in each cell.
    clusters : sequence of int
        What is taken away.
    fill : {"mean", "zero", "data"}
        Mean of what remains (zero when nothing does), zero, or ``mean``.
    mean : Tensor, optional
        ``[C]`` mean of a data set, for "data".

    Raises
    ------
    MethodError
        For another fill, or "data" without its mean.
    """
    if fill not in FILLS:
        raise MethodError(f"fill {fill!r} is not known in latent space; there is {nearest(fill, FILLS)}.")
    if fill == "data" and mean is None:
        raise MethodError("fill 'data' needs the mean of a data set; fit a codebook first, or choose 'mean'.")
    gone = membership[:, list(clusters)].sum(1, keepdim=True).clamp(0, 1)
    stays = 1 - gone
    axes = tuple(range(2, last.ndim))
    if fill == "zero":
        value = torch.zeros_like(last[:, :, :1].flatten(2)[:, :, :1])
    elif fill == "data":
        value = mean.to(last)[None, :, None]
    else:
        value = ((last * stays).sum(axes) / stays.sum(axes).clamp_min(1e-12))[..., None]
    value = value.reshape(*value.shape[:2], *[1] * len(axes))
    return last * stays + value * gone


def shapley(value: Callable[[torch.Tensor], torch.Tensor], players: int) -> torch.Tensor:
    """Exact Shapley values of a game whose coalitions are valued in one batch.

    Parameters
    ----------
    value : callable
        ``value(present [2^K, K] bool) -> [2^K, ...]``.
    players : int
        K, at most 10.

    Returns
    -------
    Tensor
        ``[K, ...]``; they sum to the value of all minus the value of none.

    Raises
    ------
    MethodError
        For more players.
    """
    if players > MOST_PLAYERS:
        raise MethodError(
            f"exact Shapley values of {players} clusters need {2**players} coalitions; choose K of at most {MOST_PLAYERS}."
        )
    codes = torch.arange(2**players)
    present = (codes[:, None] >> torch.arange(players)) & 1 == 1
    v = value(present)
    size = present.sum(1)
    out = []
    for i in range(players):
        without = codes[~present[:, i]]
        s = size[without]
        weight = torch.tensor(
            [
                math.factorial(int(a)) * math.factorial(players - int(a) - 1) / math.factorial(players)
                for a in s
            ],
            dtype=v.dtype,
        )
        gain = v[without + (1 << i)] - v[without]
        out.append(torch.tensordot(weight.to(v.device), gain, 1))
    return torch.stack(out)


def latent_shapley(
    last: torch.Tensor, membership: torch.Tensor, head: Head, fill: str = "mean"
) -> torch.Tensor:
    """Exact Shapley values of the clusters for every logit; only the head is asked, 2^K times in one batch an image.

    Returns
    -------
    Tensor
        ``[n, Q, K]``; for "zero" and a linear head they are the contributions.

    Raises
    ------
    MethodError
        For more than 10 clusters, or a head that is not linear.
    """
    if not head.exact:
        raise MethodError(
            "exact Shapley values need a linear head after the last map; this network has none."
        )
    k = membership.shape[1]
    out = []
    for a, m in zip(last, membership, strict=True):
        sums = torch.einsum("cp,kp->kc", a.flatten(1), m.flatten(1))
        parts = torch.einsum("qp,kp->kq", head.parts(a[None])[0].flatten(1), m.flatten(1))
        area = m.flatten(1).sum(1)
        unit = _unit(head, a, m)

        def value(present: torch.Tensor, sums=sums, parts=parts, area=area, unit=unit) -> torch.Tensor:
            on = present.to(parts)
            kept = on @ parts
            if fill == "zero":
                return kept
            mean = (on @ sums) / (on @ area).clamp_min(1e-12)[:, None]
            return kept + torch.einsum("sk,kqc,sc->sq", 1 - on, unit, mean)

        out.append(shapley(value, k).T)
    return torch.stack(out)


def _unit(head: Head, a: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    """``[K, Q, C]``: what one unit of each channel, put everywhere in a cluster, adds to each logit."""
    weight = head.weight.to(a)
    share = m.flatten(1)
    if head.kind == "gap":
        return (share.sum(1) / share.shape[1])[:, None, None] * weight
    return torch.einsum("qcp,kp->kqc", weight.flatten(2), share)


def input_ablation(images: np.ndarray, mask: np.ndarray, fill: str = "blur") -> np.ndarray:
    """Blur or fill a region of images.

    Parameters
    ----------
    images : ndarray
        ``[N, H, W, C]`` uint8 or float.
    mask : ndarray
        ``[N, H, W]`` bool, True where the image is replaced.
    fill : {"blur", "mean", "zero"}
        A Gaussian blur, the mean colour of the rest (of the image when nothing is left), or zero.

    Returns
    -------
    ndarray
        Of the same shape and dtype.

    Raises
    ------
    MethodError
        For another fill.
    """
    from scipy.ndimage import gaussian_filter

    if fill not in INPUT_FILLS:
        raise MethodError(f"fill {fill!r} is not known in the image; there is {nearest(fill, INPUT_FILLS)}.")
    out = images.astype(np.float64)
    for image, gone in zip(out, mask, strict=True):
        if not gone.any():
            continue
        if fill == "blur":
            sigma = BLUR * max(image.shape[:2])
            image[gone] = gaussian_filter(image, (sigma, sigma, 0))[gone]
        elif fill == "mean":
            image[gone] = image[~gone].mean(0) if (~gone).any() else image.mean((0, 1))
        else:
            image[gone] = 0
    return np.rint(out).astype(images.dtype) if images.dtype.kind in "iu" else out.astype(images.dtype)
