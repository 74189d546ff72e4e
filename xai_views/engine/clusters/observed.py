"""What the methods on activation clusters are asked, and what they keep of one image."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch

from xai_views.contract.method import PREDICTED
from xai_views.engine.kept import Kept

__all__ = ["FINE_TOLERANCE", "LEAVES", "PREDICTED", "SMALL_GRID", "Ablation", "Observed"]

#: Clusters that the merge tree starts from; the K slider ends there.
LEAVES = 32
#: On grids of more positions than restarts are tried on, the leaves end when their inertia falls by less than this share, which
#: is after a step or two; ``benchmarks/activations.py slider`` says what that saves and what it costs.
FINE_TOLERANCE = 2e-3
#: Beyond this many positions the figure of an independent k-means is not computed beside the nested one.
SMALL_GRID = 4096
_KEPT = 12  # clusterings of one image kept for the next movement of a slider


@dataclass(frozen=True)
class Ablation:
    """Some clusters taken away, or all others: what an ask says of it, see :meth:`of`.

    Attributes
    ----------
    clusters : tuple of int
        Ids; -1 stands for nothing.
    keep : bool
        Take away all but these.
    fill : str
        In latent space "mean" (of the rest), "zero" or "data" (mean of the data set's activations, as far as the codebook
        knows it); in input space "blur", "mean" or "zero".
    where : str
        "latent" or "input".
    """

    clusters: tuple[int, ...]
    keep: bool = False
    fill: str = "mean"
    where: str = "latent"

    @classmethod
    def of(cls, ask: Any) -> Self | None:
        """What an ask wants to be taken away by ``ablated``, ``keep``, ``fill`` and ``where``; None when nothing."""
        return cls(ask.ablated, ask.keep, ask.fill, ask.where) if ask.ablated else None


@dataclass(eq=False)
class Observed:
    """What the network said about one image.

    Attributes
    ----------
    logit : ndarray
        ``[classes]``.
    activations : dict
        ``[1, C, *grid]`` by tap, on the CPU.
    size : (int, int)
        Height and width of the image.
    last : Tensor
        ``[1, C, *grid]``: the activation that the head reads, or the deepest tap when the head is not linear in it.
    gradients : dict
        ``[C, *grid]`` gradient of a class' logit at ``last``, by class; only where the head is not linear.
    answers : dict
        ``[classes]`` logits after ablations that needed a pass.
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
        """Bytes held, the clusterings that a slider goes back to included."""
        tensors = [*self.activations.values(), self.last, *self.gradients.values()]
        held = sum(t.numel() * t.element_size() for t in tensors)
        return 2 * held + self.logit.nbytes * (1 + len(self.answers))

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what was made for this key before, or make it; the least recently used goes first."""
        return self.kept.once(key, make)
