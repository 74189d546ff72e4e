"""Bias-free normalisation layers whose scale can be frozen (B-cos networks v2)."""

from __future__ import annotations

import torch
from torch import nn

from xai_views.models.bcos.mode import Detachable


class UncentredBatchNorm2d(Detachable):
    """Divide every channel by its standard deviation over the batch; no mean is subtracted, no bias added.

    "Uncentred" refers to the output: the variance itself is the usual centred, biased one. Running statistics
    hold that biased variance; a running mean is not needed.

    Parameters
    ----------
    channels : int
        Number of channels C of the ``[N, C, *]`` input.
    momentum, eps : float
        As in :class:`torch.nn.BatchNorm2d`.
    gain : float
        Initial value of the learnt scale.
    """

    running_var: torch.Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5, gain: float = 1.0) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.full((channels,), float(gain)))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``[N, C, *]``; in training mode by the batch, else by the running variance."""
        if self.training:
            var = self.frozen(x).var(dim=(0, *range(2, x.ndim)), unbiased=False)
            with torch.no_grad():
                self.running_var.lerp_(var.detach().to(self.running_var.dtype), self.momentum)
        else:
            var = self.running_var
        return x * (self.weight / (var + self.eps).sqrt()).view(1, -1, *([1] * (x.ndim - 2)))


class UncentredBatchNorm1d(UncentredBatchNorm2d):
    """Uncentred batch norm for signals ``[N, C, T]``."""


class DetachableGroupNorm(Detachable):
    """Group norm without bias; the variance is constant in explanation mode, the mean stays (it is linear).

    Parameters
    ----------
    groups, channels : int
        ``groups`` must divide ``channels``.
    centred : bool
        Whether the mean is subtracted; the variance is the centred one either way.
    """

    def __init__(self, groups: int, channels: int, centred: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"{channels} channels cannot be split into {groups} groups; use a divisor.")
        self.groups, self.centred, self.eps = groups, centred, eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``[N, C, *]`` over each group of channels and all positions."""
        g = x.unflatten(1, (self.groups, -1)).flatten(2)
        mean = g.mean(2, keepdim=True)
        var = self.frozen(g.var(2, unbiased=False, keepdim=True))
        y = ((g - mean) if self.centred else g) / (var + self.eps).sqrt()
        return y.reshape(x.shape) * self.weight.view(1, -1, *([1] * (x.ndim - 2)))


class _ChannelNorm(Detachable):
    """Normalisation over the dimension of the channels."""

    dim: int

    def __init__(self, channels: int, centred: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.centred, self.eps = centred, eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise over the channels of every position."""
        mean = x.mean(self.dim, keepdim=True)
        var = self.frozen(x.var(self.dim, unbiased=False, keepdim=True))
        shape = [1] * x.ndim
        shape[self.dim] = -1
        return ((x - mean) if self.centred else x) / (var + self.eps).sqrt() * self.weight.view(shape)


class PositionNorm2d(_ChannelNorm):
    """Normalise the channel vector of every position of ``[N, C, H, W]``, without bias."""

    dim = 1


class DetachableLayerNorm(_ChannelNorm):
    """Normalise the last dimension of ``[..., C]``, without bias."""

    dim = -1
