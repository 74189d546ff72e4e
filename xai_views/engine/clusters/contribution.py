"""Contribution of each cluster to a logit: exact if the head is linear in the last feature map, first order otherwise."""

from __future__ import annotations

import torch

from xai_views.contract import grids
from xai_views.models.heads import Head


def overlap(n_from: int, n_to: int, like: torch.Tensor) -> torch.Tensor:
    """Share ``[n_to, n_from]`` of each new cell covered by each old cell; rows sum to 1."""
    return torch.tensor(grids.overlap(n_from, n_to)).to(like)


def membership(
    labels: torch.Tensor, grid: tuple[int, ...], k: int, like: torch.Tensor | None = None
) -> torch.Tensor:
    """Share of the area of every cell covered by each cluster.

    Parameters
    ----------
    labels : Tensor
        ``[n, *G]`` ids on any grid, finer or coarser than the cells.
    grid : tuple of int
        Number of cells per axis.
    k : int
        Number of clusters.
    like : Tensor, optional
        Tensor whose dtype and device are used; default float32.

    Returns
    -------
    Tensor
        ``[n, k, *grid]``; sums to 1 over the clusters.
    """
    like = torch.zeros((), device=labels.device) if like is None else like
    # torch's one_hot returns int64 with clusters last, which would be copied twice
    one = like.new_zeros(len(labels), k, *labels.shape[1:]).scatter_(1, labels[:, None], 1)
    if len(grid) == 1:
        return one @ overlap(one.shape[2], grid[0], like).T
    rows, columns = (overlap(one.shape[2 + i], grid[i], like) for i in (0, 1))
    return rows @ one @ columns.T


def cluster_contribution(last: torch.Tensor, labels: torch.Tensor, head: Head, k: int) -> torch.Tensor:
    """Exact contribution of each cluster to each logit: with the bias they sum to the logit.

    Parameters
    ----------
    last : Tensor
        ``[n, C, *grid]`` map that the linear head reads.
    labels : Tensor
        ``[n, *G]`` cluster ids, on any grid.
    head : Head
        Of kind "gap" or "flatten".
    k : int
        Number of clusters.

    Returns
    -------
    Tensor
        ``[n, Q, k]``.
    """
    share = membership(labels, tuple(last.shape[2:]), k, last)
    return torch.einsum("nqp,nkp->nqk", head.parts(last).flatten(2), share.flatten(2))


def gradient_contribution(
    activation: torch.Tensor, gradient: torch.Tensor, labels: torch.Tensor, k: int
) -> torch.Tensor:
    """Gradient times activation, summed over each cluster: a first-order approximation; :func:`residual` gives its error.

    Parameters
    ----------
    activation : Tensor
        ``[n, C, *grid]``.
    gradient : Tensor
        ``[n, T, C, *grid]`` gradients of T logits.
    labels : Tensor
        ``[n, *G]`` cluster ids.
    k : int
        Number of clusters.

    Returns
    -------
    Tensor
        ``[n, T, k]``.
    """
    share = membership(labels, tuple(activation.shape[2:]), k, activation)
    parts = (gradient * activation[:, None]).sum(2).flatten(2)
    return torch.einsum("ntp,nkp->ntk", parts, share.flatten(2))


def residual(logits: torch.Tensor, bias: torch.Tensor, contribution: torch.Tensor) -> torch.Tensor:
    """Residual ``[n, T]``: logits minus bias ``[T]`` minus the sum of contributions ``[n, T, k]``."""
    return logits - bias - contribution.sum(2)
