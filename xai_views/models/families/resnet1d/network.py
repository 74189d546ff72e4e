"""Residual network for signals.

After Ribeiro et al., Automatic diagnosis of the 12-lead ECG using a deep neural network (Nature Communications 11,
2020, section Methods) and Lima et al. (2021): residual blocks with strides of 4 and two streams. Written from the
papers; widths are configurable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from xai_views.errors import ModelError

HEADS = ("gap", "flatten")


class Block(nn.Module):
    """Two convolutions and a shortcut that pools by ``stride`` and widens with a 1x1 convolution.

    Parameters
    ----------
    before, width : int
        Channels before and after.
    kernel : int
        Odd length in steps of both convolutions.
    stride : int
        Stride of the second convolution.
    """

    def __init__(self, before: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(before, width, kernel, padding=kernel // 2, bias=False)
        self.norm1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, kernel, stride, kernel // 2, bias=False)
        self.pool = nn.MaxPool1d(stride) if stride > 1 else nn.Identity()
        self.skip = nn.Conv1d(before, width, 1, bias=False) if before != width else nn.Identity()
        self.norm2 = nn.BatchNorm1d(width)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[N, before, T]`` to ``[N, width, T / stride]``."""
        y = self.conv2(self.act(self.norm1(self.conv1(x))))
        return self.act(self.norm2(y + self.skip(self.pool(x))))


class ResNet1d(nn.Module):
    """A stem, residual blocks and a linear head on signals.

    Parameters
    ----------
    leads, classes, steps : int
        Input ``[N, leads, steps]`` and number of logits.
    stem : int
        Channels of the first convolution.
    blocks : sequence
        Per block ``[width, stride]``.
    kernel : int
        Odd length in steps of all convolutions.
    head : {"gap", "flatten"}
        Mean over time, or all steps, before the linear layer.

    Raises
    ------
    ModelError
        When the strides do not divide the number of steps.
    """

    def __init__(
        self,
        leads: int,
        classes: int,
        steps: int,
        stem: int,
        blocks: Sequence[Sequence[int]],
        kernel: int,
        head: str,
    ) -> None:
        super().__init__()
        whole = 1
        for _, stride in blocks:
            whole *= stride
        if steps % whole:
            raise ModelError(
                f"the strides multiply to {whole}, which does not divide {steps} steps; pad the records to a multiple."
            )
        if head not in HEADS:
            raise ModelError(f"the head {head!r} is not known; choose one of {', '.join(map(repr, HEADS))}.")
        self.stem = nn.Sequential(
            nn.Conv1d(leads, stem, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(stem), nn.ReLU()
        )
        made, before = [], stem
        for width, stride in blocks:
            made.append(Block(before, width, kernel, stride))
            before = width
        self.blocks = nn.Sequential(*made)
        self.pool = nn.AdaptiveAvgPool1d(1) if head == "gap" else nn.Identity()
        self.flatten = nn.Flatten()
        self.head = nn.Linear(before * (1 if head == "gap" else steps // whole), classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map signals ``[N, leads, steps]`` in mV to logits ``[N, classes]``."""
        return self.head(self.flatten(self.pool(self.blocks(self.stem(x)))))
