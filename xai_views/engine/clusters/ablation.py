"""Remove clusters from the last feature map or from the image, and compute exact Shapley values of the clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from xai_views.errors import MethodError, nearest
from xai_views.models.heads import Head

FILLS = ("mean", "zero", "data")
INPUT_FILLS = ("blur", "mean", "zero")
MOST_PLAYERS = 10
_TINY = 1e-12
BLUR = 0.08  # standard deviation of the blur, as a share of the longer side


def ablate(
    last: torch.Tensor,
    membership: torch.Tensor,
    clusters: Sequence[int],
    fill: str = "mean",
    mean: torch.Tensor | None = None,
) -> torch.Tensor:
    """Replace the activations of some clusters; a cell that belongs to them partly is replaced partly.

    Parameters
    ----------
    last : Tensor
        ``[n, C, *grid]``.
    membership : Tensor
        ``[n, K, *grid]`` share of each cluster in each cell. The part of a cell that belongs to no cluster (the padding of a
        signal) is kept and does not count in means.
    clusters : sequence of int
        Clusters to remove.
    fill : {"mean", "zero", "data"}
        Replacement: mean of the remaining clusters (zero if none remains), zero, or ``mean``.
    mean : Tensor, optional
        ``[C]`` mean over a data set, for "data".

    Raises
    ------
    MethodError
        For an unknown fill, "data" without a mean, or an unknown cluster.
    """
    _check(fill, mean, last.shape[1])
    k = membership.shape[1]
    wrong = [c for c in clusters if not 0 <= c < k]
    if wrong:
        raise MethodError(
            f"cluster {wrong[0]} was given and the clusters are 0 to {k - 1}; choose one of those."
        )
    gone = membership[:, sorted(set(clusters))].sum(1, keepdim=True).clamp(0, 1)
    stays = 1 - gone
    stays = stays * (stays > 16 * torch.finfo(last.dtype).eps)  # treat rounding residue as zero
    axes = tuple(range(2, last.ndim))
    if fill == "zero":
        return last * stays
    others = [c for c in range(k) if c not in set(clusters)]
    left = membership[:, others].sum(1, keepdim=True)
    rest = (last * left).sum(axes) / left.sum(axes).clamp_min(_TINY)
    value = mean.to(last)[None] if fill == "data" and mean is not None else rest
    return last * stays + value.reshape(*value.shape, *[1] * len(axes)) * (1 - stays)


def _check(fill: str, mean: torch.Tensor | None, channels: int) -> None:
    if fill not in FILLS:
        raise MethodError(f"fill {fill!r} is not known for feature maps; choose {nearest(fill, FILLS)}.")
    if fill != "data":
        return
    if mean is None:
        raise MethodError(
            "fill 'data' needs the mean of a data set and none was given; fit a codebook first, or choose 'mean'."
        )
    if tuple(mean.shape) != (channels,):
        raise MethodError(
            f"a mean of shape {list(mean.shape)} was given for fill 'data' and the map has {channels} channels; give one "
            "per channel."
        )


def shapley(value: Callable[[torch.Tensor], torch.Tensor], players: int) -> torch.Tensor:
    """Compute exact Shapley values of a game; all coalitions are evaluated in one batch.

    Source: Shapley, A Value for n-Person Games (1953).

    Parameters
    ----------
    value : callable
        ``value(present [2^K, K] bool) -> [2^K, ...]``; row i holds the players whose bits are set in i.
    players : int
        Number of players K, at most 10.

    Returns
    -------
    Tensor
        ``[K, ...]``; they sum to the value of the full coalition minus that of the empty one.

    Raises
    ------
    MethodError
        For more than 10 players.
    """
    if players > MOST_PLAYERS:
        raise MethodError(
            f"exact Shapley values of {players} clusters need {2**players} coalitions; choose K of at most {MOST_PLAYERS}."
        )
    codes = torch.arange(2**players)
    present = (codes[:, None] >> torch.arange(players)) & 1 == 1
    v = value(present)
    orders = [
        math.factorial(s) * math.factorial(players - s - 1) / math.factorial(players) for s in range(players)
    ]
    size = present.sum(1)
    out = []
    for i in range(players):
        without = codes[~present[:, i]]
        weight = v.new_tensor([orders[s] for s in size[without].tolist()])
        gain = v[(without + (1 << i)).to(v.device)] - v[without.to(v.device)]
        out.append(torch.tensordot(weight, gain, 1))
    return torch.stack(out) if out else v.new_zeros(0, *v.shape[1:])


def latent_shapley(
    last: torch.Tensor,
    membership: torch.Tensor,
    head: Head,
    fill: str = "mean",
    mean: torch.Tensor | None = None,
    targets: Sequence[int] | None = None,
) -> torch.Tensor:
    """Compute exact Shapley values of the clusters with the head alone, for all 2^K coalitions of an image at once.

    The value of a coalition is the logit after :func:`ablate` removed the other clusters. Because the head is linear, this is a
    sum over pairs of a removed and a remaining cluster, and no ablated map is built.

    Parameters
    ----------
    last, membership, fill, mean
        As in :func:`ablate`.
    head : Head
        Of kind "gap" or "flatten".
    targets : sequence of int, optional
        Indices of T logits; by default all.

    Returns
    -------
    Tensor
        ``[n, T, K]``; for "zero" they equal the contributions.

    Raises
    ------
    MethodError
        For more than 10 clusters, a head that is not linear, or an unknown fill.
    """
    _check(fill, mean, last.shape[1])
    if not head.exact:
        raise MethodError(
            "exact Shapley values need a linear head after the last feature map and this network has none; set shapley=False."
        )
    if targets is not None:
        head = Head(head.kind, head.tap, head.weight[list(targets)], head.bias[list(targets)])
    k = membership.shape[1]
    games = [_game(a, m, head, fill, mean) for a, m in zip(last, membership, strict=True)]
    return torch.stack([shapley(game, k).T for game in games])


def _game(
    a: torch.Tensor, m: torch.Tensor, head: Head, fill: str, mean: torch.Tensor | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Value function of coalitions ``[S, K]`` of the clusters ``m [K, *grid]`` of one map: ``[S, Q]`` logits without bias."""
    parts = torch.einsum("qp,kp->kq", head.parts(a[None])[0].flatten(1), m.flatten(1))
    if fill == "zero":
        return lambda present: present.to(parts) @ parts
    if fill == "data" and mean is not None:
        alone = _spread(head, m, mean.to(a)[None])[:, 0]
        return lambda present: present.to(parts) @ parts + (1 - present.to(parts)) @ alone
    pairs = _spread(head, m, torch.einsum("cp,kp->kc", a.flatten(1), m.flatten(1))).flatten(0, 1)
    area = m.flatten(1).sum(1)

    def value(present: torch.Tensor) -> torch.Tensor:
        on = present.to(parts)
        both = (1 - on)[:, :, None] * on[:, None, :] / (on @ area).clamp_min(_TINY)[:, None, None]
        return on @ parts + both.flatten(1) @ pairs

    return value


def _spread(head: Head, m: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """``[K, V, Q]``: contribution to each logit of each of the ``vectors [V, C]`` placed everywhere in a cluster."""
    weight, share = head.weight.to(vectors), m.flatten(1)
    if head.kind == "gap":
        return share.mean(1)[:, None, None] * (vectors @ weight.T)
    return torch.einsum("kqc,vc->kvq", torch.einsum("qcp,kp->kqc", weight.flatten(2), share), vectors)


def input_ablation(images: np.ndarray, mask: np.ndarray, fill: str = "blur") -> np.ndarray:
    """Blur or fill a region of each image.

    Parameters
    ----------
    images : ndarray
        ``[N, H, W, C]`` uint8 or float.
    mask : ndarray
        ``[N, H, W]`` bool, True where the image is replaced.
    fill : {"blur", "mean", "zero"}
        Gaussian blur, mean colour of the rest (of the image if nothing remains), or zero.

    Returns
    -------
    ndarray
        Edited images of the same shape and dtype.

    Raises
    ------
    MethodError
        For an unknown fill, or a mask of another shape.
    """
    from scipy.ndimage import gaussian_filter

    if fill not in INPUT_FILLS:
        raise MethodError(f"fill {fill!r} is not known for images; choose {nearest(fill, INPUT_FILLS)}.")
    images, mask = np.asarray(images), np.asarray(mask, bool)
    if images.ndim != 4 or mask.shape != images.shape[:3]:
        raise MethodError(
            f"a mask of shape {list(mask.shape)} was given for images of shape {list(images.shape)}; give [N, H, W], one "
            "per pixel."
        )
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
