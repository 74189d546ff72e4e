"""SIC: similarity-based interpretable classification with support samples.

Source: Wolf et al., "SIC: Similarity-Based Interpretable Image Classification with Neural Networks" (ICCV 2025).
A logit is a bias plus the evidence of real training images, the support samples:
``logit_c = b + (1/T) * sum over supports s of class c of |z| cos^2(z, V_s)``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from xai_views.models.bcos import BcosLinear, Detachable, add_inverse

EPS = 1e-12


def class_bias(classes: int) -> float:
    """Return the bias of every logit: ``-log(max(classes - 1, 2))``; without evidence a class is improbable."""
    return -math.log(max(classes - 1, 2))


class Similarity(Detachable):
    """B-cos similarity (B = 2) of evidence vectors with support vectors: ``|z| cos^2(z, V)``, never negative."""

    def forward(self, z: torch.Tensor, supports: torch.Tensor) -> torch.Tensor:
        """Return scores ``[N, S]`` of ``z [N, p]`` with ``supports [S, p]``; 0 where either is the zero vector."""
        unit = supports / (supports.norm(dim=1, keepdim=True) + EPS)
        lin = z @ unit.T
        norm = z.norm(dim=1, keepdim=True) + EPS
        return self.frozen(lin).abs() / self.frozen(norm) * lin


class SIC(nn.Module):
    """Encoder, global average pooling, B-cos projection, ReLU, similarity with support vectors.

    Parameters
    ----------
    encoder : nn.Module
        Maps ``[N, 2C, *size]`` to feature maps ``[N, D, *grid]`` and has an attribute ``width`` = D. An optional method
        ``encode`` converts inputs to ``[N, 2C, *size]``; without it inputs are images, and inverse channels are appended.
    classes : int
        Number of classes.
    latent : int
        Size p of the evidence vector z.
    temperature : float
        T; evidence is score / T.

    Notes
    -----
    ``supports [S, p]`` and ``support_class [S]`` are buffers, so that checkpoints contain them.
    """

    def __init__(self, encoder: nn.Module, classes: int, latent: int = 64, temperature: float = 10.0) -> None:
        super().__init__()
        self.encoder, self.classes, self.temperature = encoder, classes, float(temperature)
        self.projection = BcosLinear(int(encoder.width), latent)  # type: ignore[arg-type]
        self.similarity = Similarity()
        self.bias = class_bias(classes)
        self.register_buffer("supports", torch.zeros(0, latent))
        self.register_buffer("support_class", torch.zeros(0, dtype=torch.long))

    def extra_repr(self) -> str:
        """Return the settings for the module's text form."""
        return f"classes={self.classes}, temperature={self.temperature}"

    @property
    def latent_size(self) -> int:
        """Size p of the evidence vector."""
        return self.projection.out_features

    def set_supports(self, vectors: torch.Tensor, classes: torch.Tensor) -> None:
        """Set ``vectors [S, p]`` of ``classes [S]`` as support vectors."""
        like = self.projection.weight
        self.supports = vectors.to(like)
        self.support_class = classes.to(like.device, torch.long)

    def encode(self, given: torch.Tensor) -> torch.Tensor:
        """Encode images ``[N, C, H, W]`` in [0, 1], or signals ``[N, C, T]`` in mV, for the encoder: ``[N, 2C, *size]``."""
        return getattr(self.encoder, "encode", add_inverse)(given)

    def latent(self, x: torch.Tensor) -> torch.Tensor:
        """Return evidence vectors ``z >= 0``, ``[N, p]``, of encoded inputs ``x [N, 2C, *size]``."""
        return F.relu(self.projection(self.encoder(x).mean(tuple(range(2, x.ndim)))))

    def scores(self, z: torch.Tensor) -> torch.Tensor:
        """Return the similarity ``[N, S]`` of ``z [N, p]`` with every support."""
        return self.similarity(z, self.supports)

    def logits(self, scores: torch.Tensor) -> torch.Tensor:
        """Return logits ``[N, classes]`` from scores ``[N, S]``: bias + sum of the evidence of a class's supports."""
        member = F.one_hot(self.support_class, self.classes).to(scores)
        return self.bias + scores @ member / self.temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``[N, classes]`` of images ``[N, C, H, W]`` in [0, 1], or signals ``[N, C, T]`` in mV."""
        return self.logits(self.scores(self.latent(self.encode(images))))
