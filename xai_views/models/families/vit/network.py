"""A small vision transformer: class token, optional registers, patches; every block is ``blocks.N``."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Multi-head self-attention with torch's fused kernel.

    Parameters
    ----------
    dim, heads : int
        Width of a token; ``heads`` divides it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is not divisible by {heads} heads; choose a multiple")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens ``[N, T, D]`` to tokens ``[N, T, D]``."""
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    """One transformer block with pre-normalisation: attention, then a two-layer network per token.

    Parameters
    ----------
    dim, heads : int
        Width of a token and number of attention heads.
    ratio : int
        Hidden width of the two-layer network, as a multiple of ``dim``.
    """

    def __init__(self, dim: int, heads: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, ratio * dim), nn.GELU(), nn.Linear(ratio * dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens ``[N, T, D]`` to tokens ``[N, T, D]``."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def _stem(channels: int, dim: int, patch: int) -> nn.Sequential:
    """Build convolutions with stride 2 whose last map has one cell per patch; each doubles the width."""
    steps = patch.bit_length() - 1
    if patch < 2 or patch != 1 << steps:
        raise ValueError(
            f"convolutions with stride 2 cannot make patches of {patch} pixels; use a power of 2"
        )
    widths = [channels, *(dim >> (steps - 1 - i) for i in range(steps))]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class ViT(nn.Module):
    """Vision transformer (Dosovitskiy et al., ICLR 2021) that classifies from its class token.

    The tokens are: class token, ``registers`` learned tokens that represent no patch (Darcet et al., ICLR 2024),
    then the patches row by row. ``prefix`` is the number of tokens before the patches.

    Parameters
    ----------
    channels, classes : int
        Channels of the image and number of logits.
    size : (int, int)
        Height and width of the image; ``patch`` divides both.
    patch, dim, depth, heads : int
        Side of a patch, width of a token, number of blocks and of attention heads.
    registers : int
        Number of registers.
    stem : {"patch", "convolutions"}
        How a patch becomes a token: one linear map, or a few small convolutions, with which a transformer needs
        fewer training images (Xiao et al., NeurIPS 2021).

    Raises
    ------
    ValueError
        When patches do not tile the image, heads do not divide the width, or a number is too small.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        size: tuple[int, int],
        patch: int = 8,
        dim: int = 96,
        depth: int = 6,
        heads: int = 3,
        registers: int = 0,
        stem: str = "patch",
    ) -> None:
        super().__init__()
        h, w = size
        if min(h, w, patch, dim, depth, heads) < 1 or registers < 0 or h % patch or w % patch:
            raise ValueError(
                f"patches of {patch} do not tile {h}x{w} pixels, or a number is too small; change them"
            )
        self.prefix = 1 + registers
        self.grid = (h // patch, w // patch)
        if stem not in ("patch", "convolutions"):
            raise ValueError(f"the stem {stem!r} is not known; choose 'patch' or 'convolutions'")
        self.patch_embed = (
            nn.Conv2d(channels, dim, patch, patch) if stem == "patch" else _stem(channels, dim, patch)
        )
        self.prefix_tokens = nn.Parameter(torch.randn(1, self.prefix, dim) * 0.02)
        self.position = nn.Parameter(torch.randn(1, self.grid[0] * self.grid[1], dim) * 0.02)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Return tokens ``[N, prefix + patches, dim]`` of images ``[N, C, H, W]`` in [0, 1], before the first block."""
        patches = self.patch_embed(x * 2 - 1).flatten(2).transpose(1, 2) + self.position
        return torch.cat([self.prefix_tokens.expand(len(x), -1, -1), patches], 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised class token ``[N, dim]`` after the last block."""
        x = self.tokens(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``[N, C, H, W]`` in [0, 1] to logits ``[N, classes]``."""
        return self.head(self.features(x))
