"""A trained network with everything needed to run it: classes, input, card, supports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from xai_views import kinds
from xai_views.models.stored import CLUSTERS
from xai_views.models.supports import Latents, Supports


@dataclass(eq=False)
class Model:
    """A network in evaluation mode whose parameters are frozen.

    Attributes
    ----------
    name : str
        Catalogue name, folder name or the class of the module.
    sha256 : str
        Content key of weights and supports.
    module : nn.Module
        Maps images ``[N, C, H, W]`` in [0, 1], signals ``[N, lead, time]`` in mV, or the input of another kind, to logits
        ``[N, classes]``.
    classes : list of str
        Class names.
    channels : int
        1 (grey) or 3 (RGB); number of leads of signals, number of features of tables.
    size : (int, int), (int,), (int, int, int) or None
        Height and width that the network was trained on; for signals the number of steps; for cine loops frames, height
        and width; None when any size is accepted.
    card : dict
        Origin, command, metrics, licence.
    supports : Supports or None
        Support samples of a SIC network.
    latents : Latents or None
        Evidence vectors of the training set of a SIC network.
    rate : float or None
        Steps per second (Hz) of signals; None when the network does not depend on it.
    leads : tuple of str
        Leads of signals, in order; () when unknown.
    kind : str
        Kind of input: "image", "signal", "cine" or "table"; by default derived from ``size``.
    outputs : frozenset of str
        Kinds of output: "logits", "embedding", "reconstruction", "heat map".
    prototypes : object or None
        Prototypes of a network that has them.
    path : Path or None
        Checkpoint folder that it was loaded from.
    """

    name: str
    sha256: str
    module: nn.Module
    classes: list[str]
    channels: int = 3
    size: tuple[int, ...] | None = None
    card: dict = field(default_factory=dict)
    supports: Supports | None = None
    latents: Latents | None = None
    rate: float | None = None
    leads: tuple[str, ...] = ()
    kind: str = ""
    outputs: frozenset[str] = frozenset({"logits", "embedding"})
    prototypes: Any = None
    path: Path | None = None

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)
        shown = self.supports.image if self.supports is not None and len(self.supports) > 0 else None
        if not self.kind and shown is not None and shown.ndim == 3:
            self.kind = "signal"
        self.kind = kinds.get(self.kind).key if self.kind else kinds.of_size(self.size).key
        if (
            self.size is None and shown is not None
        ):  # the maps of an image and of its supports have the same size
            self.size = kinds.get(self.kind).size_of(shown)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {len(self.classes)} classes, {kinds.get(self.kind).said(self)})"

    @property
    def parts(self) -> frozenset[str]:
        """Parts beside the weights: "supports", "latents", "prototypes", "codebook"."""
        held = {
            "supports": self.supports is not None,
            "latents": self.latents is not None,
            "prototypes": self.prototypes is not None,
            "codebook": self.path is not None and (self.path / CLUSTERS).is_dir(),
        }
        return frozenset(name for name, there in held.items() if there)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    def to(self, device: str | torch.device) -> Model:
        """Move the network in place and return self."""
        self.module.to(device)
        return self

    def probability(self, logit: np.ndarray) -> np.ndarray:
        """Return probabilities ``[..., classes]`` in the logits' dtype: softmax, or sigmoid for independently scored classes."""
        x = np.asarray(logit, np.float64)
        if self.supports is not None or self.card.get("multi_label"):  # every class is scored independently
            return (1 / (1 + np.exp(-x))).astype(logit.dtype)
        e = np.exp(x - x.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(logit.dtype)

    def check(self, given: np.ndarray) -> None:
        """Raise a one-sentence ``ModelError`` unless ``given [N, …]`` is as the network expects."""
        kinds.get(self.kind).check(self, given)

    def tensor(self, given: np.ndarray) -> torch.Tensor:
        """Convert samples to the tensor that the network takes, on its device and in its dtype.

        Parameters
        ----------
        given : ndarray
            Images ``[N, H, W, C]`` (uint8, or float in [0, 1]), which become ``[N, C, H, W]``; signals ``[N, lead, time]``
            in mV; or other arrays from :func:`xai_views.samples.inputs`.

        Raises
        ------
        ModelError
            With a one-sentence message, when shape, channels, range or size do not match.
        """
        given = np.asarray(given)
        self.check(given)
        like = next(self.module.parameters(), torch.zeros(()))
        return kinds.get(self.kind).tensor(given, like.device, like.dtype)
