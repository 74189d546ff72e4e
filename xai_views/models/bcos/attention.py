"""Self-attention and GELU that are linear in explanation mode (B-cos ViTs)."""

from __future__ import annotations

import torch
from torch import nn

from xai_views.models.bcos.layers import BcosLinear
from xai_views.models.bcos.mode import Detachable


class BcosSelfAttention(Detachable):
    """Multi-head self-attention: plain bias-free q, k, v; the output projection is a B-cos layer.

    In explanation mode queries and keys are constants; so is the attention matrix, and the value path is linear.

    Parameters
    ----------
    channels, heads : int
        Token size and number of heads; ``heads`` must divide ``channels``.
    b : float
        Exponent of the output projection.
    """

    def __init__(self, channels: int, heads: int = 4, b: float = 2) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be split over {heads} heads; use a divisor.")
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = BcosLinear(channels, channels, b)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens ``[N, T, C]`` to ``[N, T, C]``."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (self.frozen(q) @ self.frozen(k).transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))


class DetachableGELU(Detachable):
    """``gate(x) * x`` with the gate frozen in explanation mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply element-wise; any shape."""
        return self.frozen(0.5 * (1 + torch.erf(x / 2**0.5))) * x
