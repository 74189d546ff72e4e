"""A trained network together with what is needed to ask it: classes, input, card, supports."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from ..errors import ModelError
from .supports import Latents, Supports


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
        Maps ``[N, C, H, W]`` in [0, 1] to logits ``[N, classes]``.
    classes : list of str
        Class names.
    channels : int
        1 (grey) or 3 (RGB).
    size : (int, int) or None
        Height and width that the network was trained on; None when any size will do.
    card : dict
        Origin, command, metrics, licence.
    supports : Supports or None
        Support samples of a SIC network.
    latents : Latents or None
        Evidence vectors of the training set of a SIC network.
    """

    name: str
    sha256: str
    module: nn.Module
    classes: list[str]
    channels: int = 3
    size: tuple[int, int] | None = None
    card: dict = field(default_factory=dict)
    supports: Supports | None = None
    latents: Latents | None = None

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)
        if self.size is None and self.supports is not None and len(self.supports):
            self.size = tuple(self.supports.image.shape[1:3])  # maps of image and supports share their pixels

    def __repr__(self) -> str:
        size = "any size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return f"Model({self.name!r}, {len(self.classes)} classes, {self.channels} channel(s), {size})"

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    def to(self, device: str | torch.device) -> Model:
        """Move the network in place and return self."""
        self.module.to(device)
        return self

    def probability(self, logit: np.ndarray) -> np.ndarray:
        """Probabilities ``[..., classes]`` of logits, in their dtype: softmax, or sigmoid where classes are asked apart."""
        x = np.asarray(logit, np.float64)
        if self.supports is not None:  # SIC asks every class by itself
            return (1 / (1 + np.exp(-x))).astype(logit.dtype)
        e = np.exp(x - x.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(logit.dtype)

    def check(self, images: np.ndarray) -> None:
        """Raise a one-sentence :class:`ModelError` unless ``images`` is ``[N, H, W, C]`` as the network expects."""
        want = f"[N, {'H, W' if self.size is None else f'{self.size[0]}, {self.size[1]}'}, {self.channels}]"
        if images.ndim != 4:
            raise ModelError(
                f"model {self.name!r} got images of shape {list(images.shape)} and expects {want}; add the missing "
                "dimension, for instance images[None]."
            )
        n, h, w, c = images.shape
        if c != self.channels:
            first = " (channels first? use images.transpose(0, 2, 3, 1))" if h == self.channels else ""
            raise ModelError(
                f"model {self.name!r} expects {self.channels} channel(s) and got images of shape {[n, h, w, c]}{first}; "
                "convert grey to RGB or RGB to grey before asking it."
            )
        if self.size is not None and (h, w) != tuple(self.size):
            raise ModelError(
                f"model {self.name!r} was trained on {self.size[0]}x{self.size[1]} pixels and got {h}x{w}; resize the "
                "images, for instance open_samples(..., size=...)."
            )
        if images.dtype != np.uint8:
            low, high = float(images.min(initial=0)), float(images.max(initial=0))
            if not np.isfinite([low, high]).all():
                raise ModelError(
                    f"model {self.name!r} got images with values that are not finite; replace them, for instance with "
                    "numpy.nan_to_num."
                )
            if low < 0 or high > 1:
                raise ModelError(
                    f"model {self.name!r} expects uint8 images or floats in [0, 1] and got {images.dtype} in "
                    f"[{low:.3g}, {high:.3g}]; divide by the largest possible value."
                )

    def tensor(self, images: np.ndarray) -> torch.Tensor:
        """Images ``[N, H, W, C]`` (uint8, or float in [0, 1]) as a tensor ``[N, C, H, W]`` on the model's device.

        Raises
        ------
        ModelError
            In one sentence, when shape, channels, range or size do not fit.
        """
        images = np.asarray(images)
        self.check(images)
        scale = 255 if images.dtype == np.uint8 else 1
        like = next(self.module.parameters(), torch.zeros(()))
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        return x.to(like.device, like.dtype) / scale
