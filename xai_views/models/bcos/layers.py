"""B-cos linear and convolution layers, the logit layer and the six-channel input encoding.

Source: Boehle, Fritz, Schiele, "B-cos Networks: Alignment is All We Need for Interpretability" (CVPR 2022) and
"B-cos Alignment for Inherently Interpretable CNNs and Vision Transformers" (TPAMI 2024).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from xai_views.models.bcos.mode import Detachable

LINEAR_EPS = 1e-12
CONV_EPS = 1e-6


def add_inverse(x: torch.Tensor) -> torch.Tensor:
    """Append ``1 - x`` as additional channels: ``[N, C, *size]`` in [0, 1] becomes ``[N, 2C, *size]``.

    Every pixel then has the same total brightness, black is not "nothing", and the direction of a pixel's vector
    encodes its colour.
    """
    return torch.cat([x, 1 - x], dim=1)


def _alignment(layer: Detachable, lin: torch.Tensor, norm: torch.Tensor, b: float) -> torch.Tensor:
    """Scale linear responses by ``|cos|^(b-1)``; the scale is constant in explanation mode."""
    if b == 1:
        return lin
    cos = layer.frozen(lin).abs() / layer.frozen(norm)
    if b == 2:
        return cos * lin
    return (cos + 1e-6).pow(b - 1) * lin


def _check_sizes(b: float, max_out: int) -> None:
    if b < 1:
        raise ValueError(f"a B-cos layer got b={b}; b must be at least 1 (2 is usual).")
    if max_out < 1:
        raise ValueError(f"a B-cos layer got max_out={max_out}; it must be at least 1.")


class BcosLinear(Detachable):
    """``|cos(a, w)|^(b-1) * w^ . a`` for every row ``w`` of the weight, without bias.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last dimension before and after.
    b : float
        Exponent; 2 is usual, 1 is a linear layer with unit-norm rows.
    max_out : int
        Number of candidates per output; the largest linear response is selected before the scaling.
    """

    def __init__(self, in_features: int, out_features: int, b: float = 2, max_out: int = 1) -> None:
        super().__init__()
        _check_sizes(b, max_out)
        self.in_features, self.out_features, self.b, self.max_out = in_features, out_features, b, max_out
        self.weight = nn.Parameter(torch.empty(out_features * max_out, in_features))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        lin = F.linear(a, self.weight / self.weight.norm(dim=1, keepdim=True))
        if self.max_out > 1:
            lin = lin.unflatten(-1, (self.out_features, self.max_out)).amax(-1)
        norm = torch.linalg.vector_norm(a, dim=-1, keepdim=True) + LINEAR_EPS
        return _alignment(self, lin, norm, self.b)

    def extra_repr(self) -> str:
        """Return the sizes for the module's text form."""
        return f"{self.in_features}, {self.out_features}, b={self.b}, max_out={self.max_out}"


class BcosConv2d(Detachable):
    """B-cos transform of every patch: a convolution without bias, scaled by ``|cos|^(b-1)``.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size, stride, padding, dilation : int or (int, int)
        As in :class:`torch.nn.Conv2d`; padding uses zeros, which count in the patch norm.
    groups : int
        Groups; the patch norm is taken over the channels of the group.
    b, max_out
        As in :class:`BcosLinear`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size=3,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        b: float = 2,
        max_out: int = 1,
    ) -> None:
        super().__init__()
        _check_sizes(b, max_out)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{in_channels} -> {out_channels} channels cannot be split into {groups} groups; use a common divisor."
            )
        pair = nn.modules.utils._pair
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = pair(kernel_size), pair(stride)
        self.padding, self.dilation = pair(padding), pair(dilation)
        self.b, self.max_out = b, max_out
        self.weight = nn.Parameter(
            torch.empty(out_channels * max_out, in_channels // groups, *self.kernel_size)
        )
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """Map ``[N, C, H, W]`` to ``[N, out_channels, H', W']``."""
        weight = self.weight / self.weight.flatten(1).norm(dim=1)[:, None, None, None]
        lin = F.conv2d(a, weight, None, self.stride, self.padding, self.dilation, self.groups)
        if self.max_out > 1:
            lin = lin.unflatten(1, (self.out_channels, self.max_out)).amax(2)
        return lin if self.b == 1 else _alignment(self, lin, self._patch_norm(a), self.b)

    def _patch_norm(self, a: torch.Tensor) -> torch.Tensor:
        """Return the norm of every patch, ``[N, 1 or out_channels, H', W']``; in explanation mode outside the graph."""
        a = self.frozen(a)
        energy = a.square().unflatten(1, (self.groups, -1)).sum(2)
        pooled = self.dilation == (1, 1) and all(
            2 * p <= k for p, k in zip(self.padding, self.kernel_size, strict=True)
        )
        if pooled:  # pooling can pad by at most half a kernel
            area = self.kernel_size[0] * self.kernel_size[1]
            total = F.avg_pool2d(energy, self.kernel_size, self.stride, self.padding) * area
        else:
            ones = energy.new_ones(self.groups, 1, *self.kernel_size)
            total = F.conv2d(energy, ones, None, self.stride, self.padding, self.dilation, self.groups)
        norm = (total + CONV_EPS).sqrt()
        return norm if self.groups == 1 else norm.repeat_interleave(self.out_channels // self.groups, dim=1)

    def extra_repr(self) -> str:
        """Return the sizes for the module's text form."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, b={self.b}, "
            f"max_out={self.max_out}"
        )


class BcosConv1d(BcosConv2d):
    """B-cos transform of every stretch of a signal: :class:`BcosConv2d` in one dimension.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size, stride, padding, dilation : int
        In steps, as in :class:`torch.nn.Conv1d`.
    groups, b, max_out
        As in :class:`BcosConv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        b: float = 2,
        max_out: int = 1,
    ) -> None:
        sizes = ((1, kernel_size), (1, stride), (0, padding), (1, dilation))
        super().__init__(in_channels, out_channels, *sizes, groups, b, max_out)

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """Map ``[N, C, T]`` to ``[N, out_channels, T']``."""
        return super().forward(a[:, :, None])[:, :, 0]


class LogitLayer(nn.Module):
    """``x / temperature + bias``: linear except for the only bias that a B-cos network may have.

    Parameters
    ----------
    temperature : float, optional
        Divisor, 1 by default.
    bias : float, optional
        Constant added to every logit; 0 by default.
    """

    def __init__(self, temperature: float | None = None, bias: float | None = None) -> None:
        super().__init__()
        self.temperature = 1.0 if temperature is None else float(temperature)
        self.bias = 0.0 if bias is None else float(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift; any shape."""
        return x / self.temperature + self.bias
