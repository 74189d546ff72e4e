"""Ablation requests and cached observations of the methods on activation clusters."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch

from xai_views.contract.method import PREDICTED
from xai_views.engine.kept import Kept

__all__ = ["FINE_TOLERANCE", "LEAVES", "PREDICTED", "SMALL_GRID", "Ablation", "Observed"]

#: Number of leaves of the merge tree, and the maximum K.
LEAVES = 32
#: On grids with more positions than a trial of k-means, the leaves stop when their inertia falls by less than this share, after
#: an iteration or two; ``benchmarks/activations.py slider`` measures the time saved and the loss.
FINE_TOLERANCE = 2e-3
#: Above this many positions independent k-means is not computed beside the nested clusters.
SMALL_GRID = 4096
_KEPT = 12  # cached clusterings per image, for slider movements


@dataclass(frozen=True)
class Ablation:
    """Removal of some clusters, or of all others; created from a request by :meth:`of`.

    Attributes
    ----------
    clusters : tuple of int
        Cluster ids; -1 matches no cluster.
    keep : bool
        Whether to remove all clusters except these.
    fill : str
        On the feature map "mean" (of the rest), "zero" or "data" (mean of the data set's activations, from the codebook); on
        the image "blur", "mean" or "zero".
    where : str
        "latent" (last feature map) or "input" (image).
    """

    clusters: tuple[int, ...]
    keep: bool = False
    fill: str = "mean"
    where: str = "latent"

    @classmethod
    def of(cls, ask: Any) -> Self | None:
        """Return the ablation requested by ``ablated``, ``keep``, ``fill`` and ``where``; None if there is none."""
        return cls(ask.ablated, ask.keep, ask.fill, ask.where) if ask.ablated else None


@dataclass(eq=False)
class Observed:
    """Outputs of the network for one image.

    Attributes
    ----------
    logit : ndarray
        ``[classes]``.
    activations : dict
        ``[1, C, *grid]`` by tap, on the CPU.
    size : (int, int)
        Height and width of the image.
    last : Tensor
        ``[1, C, *grid]``: the feature map that the head reads, or the deepest tap if the head is not linear in it.
    gradients : dict
        ``[C, *grid]`` gradient of a class's logit at ``last``, by class; only if the head is not linear.
    answers : dict
        ``[classes]`` logits of ablations that needed a pass.
    """

    logit: np.ndarray
    activations: dict[str, torch.Tensor]
    size: tuple[int, ...]
    last: torch.Tensor
    gradients: dict[int, torch.Tensor] = field(default_factory=dict)
    answers: dict[Hashable, np.ndarray] = field(default_factory=dict)
    kept: Kept = field(default_factory=lambda: Kept(_KEPT))

    @property
    def nbytes(self) -> int:
        """Size in bytes, cached clusterings included (estimated)."""
        tensors = [*self.activations.values(), self.last, *self.gradients.values()]
        held = sum(t.numel() * t.element_size() for t in tensors)
        return 2 * held + self.logit.nbytes * (1 + len(self.answers))

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the cached value of a key, or compute it; the least recently used value is dropped first."""
        return self.kept.once(key, make)
