"""What each cluster contributes to a logit: exact where the head is linear in the last map, first order elsewhere."""

from __future__ import annotations

import torch

from xai_views.contract import grids
from xai_views.models.heads import Head


def overlap(n_from: int, n_to: int, like: torch.Tensor) -> torch.Tensor:
    """Share ``[n_to, n_from]`` of each new cell that each old cell covers; rows sum to 1."""
    return torch.tensor(grids.overlap(n_from, n_to)).to(like)


def membership(
    labels: torch.Tensor, grid: tuple[int, ...], k: int, like: torch.Tensor | None = None
) -> torch.Tensor:
    """Share of every cell's area that each cluster covers.

    Parameters
    ----------
    labels : Tensor
        ``[n, *G]`` ids on any grid, finer or coarser than the cells.
    grid : tuple of int
        Cells per axis.
    k : int
        Number of clusters.
    like : Tensor, optional
        Gives dtype and device; float32 otherwise.

    Returns
    -------
    Tensor
        ``[n, k, *grid]``; sums to 1 over the clusters.
    """
    like = torch.zeros((), device=labels.device) if like is None else like
    # torch's one_hot makes int64 with the clusters last, which would be copied twice
    one = like.new_zeros(len(labels), k, *labels.shape[1:]).scatter_(1, labels[:, None], 1)
    if len(grid) == 1:
        return one @ overlap(one.shape[2], grid[0], like).T
    rows, columns = (overlap(one.shape[2 + i], grid[i], like) for i in (0, 1))
    return rows @ one @ columns.T


def cluster_contribution(last: torch.Tensor, labels: torch.Tensor, head: Head, k: int) -> torch.Tensor:
    """Exact share of each cluster in each logit: with the bias they sum to the logit.

    Parameters
    ----------
    last : Tensor
        ``[n, C, *grid]`` map that the linear head reads.
    labels : Tensor
        ``[n, *G]`` ids, on any grid.
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
    """Gradient times activation, summed over each cluster: first order, with a gap that :func:`residual` states.

    Parameters
    ----------
    activation : Tensor
        ``[n, C, *grid]``.
    gradient : Tensor
        ``[n, T, C, *grid]`` of T logits.
    labels : Tensor
        ``[n, *G]`` ids.
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
    """What contributions ``[n, T, k]`` and bias ``[T]`` leave open of logits ``[n, T]``."""
    return logits - bias - contribution.sum(2)
