"""Small convolutional encoders: B-cos for images, B-cos for signals, and the black-box twin with the same widths.

A *plan* is a list of blocks, each ``[width, kernel, stride, pool]``: a convolution to ``width`` channels, a
normalisation, and an average (twin: maximum) pooling by ``pool`` (1 = none).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from xai_views.models.bcos import (
    BcosConv1d,
    BcosConv2d,
    UncentredBatchNorm1d,
    UncentredBatchNorm2d,
    add_inverse,
)

Plan = Sequence[Sequence[int]]

PLANS: dict[str, list[list[int]]] = {
    "birds": [[48, 5, 2, 1], [64, 3, 1, 2], [128, 3, 1, 2], [128, 3, 1, 1], [192, 3, 1, 1]],
    "digits": [[32, 3, 1, 1], [32, 3, 1, 2], [64, 3, 1, 2], [64, 3, 1, 1]],
    "nuclei": [[32, 5, 2, 1], [48, 3, 1, 2], [64, 3, 1, 2], [96, 3, 1, 1]],
    "ecg": [[32, 15, 1, 4], [48, 9, 1, 4], [64, 9, 1, 2], [96, 9, 1, 2], [128, 9, 1, 1], [128, 5, 1, 1]],
}
#: For :class:`PlainCNN` as a model of its own: 64x64 pixels become 8x8 cells.
CNN_PLAN: list[list[int]] = [[32, 3, 1, 2], [64, 3, 1, 2], [96, 3, 1, 2], [128, 3, 1, 1]]


def _blocks(width: int, plan: Plan, kinds: Sequence[type[nn.Module]], b: float) -> nn.Sequential:
    """Build the blocks of a plan, after ``width`` channels; ``kinds`` are convolution, normalisation and pooling."""
    conv, norm, pooling = kinds
    layers: list[nn.Module] = []
    for out, kernel, stride, pool in plan:
        layers += [conv(width, out, kernel, stride, kernel // 2, b=b), norm(out)]
        if pool > 1:
            layers.append(pooling(pool))
        width = out
    return nn.Sequential(*layers)


class BcosCNN(nn.Module):
    """B-cos convolutions with uncentred batch norm and average pooling, no activation function, no bias.

    Parameters
    ----------
    channels : int
        Channels of the image; the network's input has ``2 * channels`` (the image and its inverse).
    plan : sequence
        Blocks ``[width, kernel, stride, pool]``.
    b : float
        Exponent of the B-cos layers.
    """

    def __init__(self, channels: int, plan: Plan, b: float = 2) -> None:
        super().__init__()
        self.layers = _blocks(2 * channels, plan, (BcosConv2d, UncentredBatchNorm2d, nn.AvgPool2d), b)
        self.width = plan[-1][0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[N, 2C, H, W]`` to feature maps ``[N, width, h, w]``."""
        return self.layers(x)


class BcosCNN1d(nn.Module):
    """:class:`BcosCNN` for signals: blocks in one dimension, on an encoding of mV.

    Parameters
    ----------
    leads : int
        Leads of the signal; the network's input has ``2 * leads``.
    plan : sequence
        Blocks ``[width, kernel, stride, pool]``, in steps.
    scale : float
        The voltage, in mV, that is encoded half way between 0 mV and the end of the scale.
    b : float
        Exponent of the B-cos layers.
    """

    def __init__(self, leads: int, plan: Plan, scale: float = 0.25, b: float = 2) -> None:
        super().__init__()
        self.layers = _blocks(2 * leads, plan, (BcosConv1d, UncentredBatchNorm1d, nn.AvgPool1d), b)
        self.width, self.scale = plan[-1][0], scale

    def encode(self, signal: torch.Tensor) -> torch.Tensor:
        """Map mV ``[N, C, T]`` to ``u`` and ``1 - u`` in [0, 1], ``[N, 2C, T]``.

        Voltages are unbounded and may be negative, so they are squashed: ``u = (1 + v / (scale + |v|)) / 2``. As with
        images, every step of every lead then has the same total brightness, the line at 0 mV is grey rather than
        nothing, and a wave tilts the pair. A flat stretch can support a class: an absent P wave is a finding.
        """
        return add_inverse(0.5 + 0.5 * signal / (self.scale + signal.abs()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[N, 2C, T]`` to feature maps ``[N, width, t]``."""
        return self.layers(x)


class PlainCNN(nn.Module):
    """Black-box twin: the same plan with ordinary convolutions, batch norm, ReLU, max pooling and a linear head.

    The head reads only the mean of the last map, so a logit is a sum of contributions of positions.

    Parameters
    ----------
    channels, classes : int
        Channels of the image and number of logits.
    plan : sequence
        Blocks ``[width, kernel, stride, pool]``.
    """

    def __init__(self, channels: int, classes: int, plan: Plan) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels
        for out, kernel, stride, pool in plan:
            layers += [
                nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            if pool > 1:
                layers.append(nn.MaxPool2d(pool))
            width = out
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(width, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean ``[N, width]`` of the last map of images ``[N, C, H, W]`` in [0, 1]."""
        return self.layers(x * 2 - 1).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``[N, C, H, W]`` in [0, 1] to logits ``[N, classes]``."""
        return self.head(self.features(x))
