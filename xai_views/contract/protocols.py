"""Interface of models that methods rely on."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Model(Protocol):
    """A trained network with everything needed to run it; see :class:`xai_views.models.model.Model`."""

    name: str
    sha256: str
    kind: str
    classes: list[str]
    card: dict
    channels: int
    size: tuple[int, ...] | None
    rate: float | None
    leads: tuple[str, ...]
    outputs: frozenset[str]

    @property
    def parts(self) -> frozenset[str]:
        """Parts beside the weights: "supports", "latents", "prototypes", "codebook"."""
        ...

    @property
    def device(self) -> Any:
        """Device of its parameters."""
        ...

    def check(self, given: np.ndarray) -> None:
        """Raise a one-sentence ``ModelError`` unless ``given [N, …]`` is as the network expects."""
        ...

    def tensor(self, given: np.ndarray) -> Any:
        """Convert samples to the tensor that the network takes."""
        ...

    def probability(self, logit: np.ndarray) -> np.ndarray:
        """Return probabilities ``[..., classes]`` for logits."""
        ...
