"""A trained network together with what is needed to ask it: classes, input, card, supports."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from xai_views.errors import ModelError
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
        Maps images ``[N, C, H, W]`` in [0, 1], or signals ``[N, lead, time]`` in mV, to logits ``[N, classes]``.
    classes : list of str
        Class names.
    channels : int
        1 (grey) or 3 (RGB); of signals the number of leads.
    size : (int, int), (int,) or None
        Height and width that the network was trained on; of signals the number of steps, which is what makes it a
        network of signals; None when any size of image will do.
    card : dict
        Origin, command, metrics, licence.
    supports : Supports or None
        Support samples of a SIC network.
    latents : Latents or None
        Evidence vectors of the training set of a SIC network.
    rate : float or None
        Of signals: steps per second (Hz); None when it does not matter.
    leads : tuple of str
        Of signals: the leads in their order; () when unknown.
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

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False)
        if self.size is None and self.supports is not None and len(self.supports):
            self.size = size_of(self.supports.image)  # maps of image and supports share their pixels

    def __repr__(self) -> str:
        size = "any size" if self.size is None else "x".join(map(str, self.size))
        if self.of_signals:
            at = f" at {self.rate:g} Hz" if self.rate else ""
            return f"Model({self.name!r}, {len(self.classes)} classes, {self.channels} lead(s), {size} steps{at})"
        return f"Model({self.name!r}, {len(self.classes)} classes, {self.channels} channel(s), {size})"

    @property
    def of_signals(self) -> bool:
        """Whether the network is given signals rather than images."""
        return self.size is not None and len(self.size) == 1

    @property
    def kind(self) -> str:
        """What it is given: "image" or "signal"."""
        return "signal" if self.of_signals else "image"

    @property
    def outputs(self) -> frozenset[str]:
        """What it answers with."""
        return frozenset({"logits", "embedding"})

    @property
    def parts(self) -> frozenset[str]:
        """What it holds beside its weights: "supports", "latents"."""
        held = {"supports": self.supports is not None, "latents": self.latents is not None}
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
        """Probabilities ``[..., classes]`` of logits, in their dtype: softmax, or sigmoid where classes are asked apart."""
        x = np.asarray(logit, np.float64)
        if self.supports is not None or self.card.get("multi_label"):  # every class is asked by itself
            return (1 / (1 + np.exp(-x))).astype(logit.dtype)
        e = np.exp(x - x.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(logit.dtype)

    def check(self, given: np.ndarray) -> None:
        """Raise a one-sentence :class:`ModelError` unless images or signals are as the network expects."""
        if self.of_signals:
            check_signals(self, given)
        else:
            check_images(self, given)

    def tensor(self, given: np.ndarray) -> torch.Tensor:
        """Images or signals as the tensor that the network is given, on its device and in its dtype.

        Parameters
        ----------
        given : ndarray
            Images ``[N, H, W, C]`` (uint8, or float in [0, 1]), which become ``[N, C, H, W]``; or signals
            ``[N, lead, time]`` in mV.

        Raises
        ------
        ModelError
            In one sentence, when shape, channels, range or size do not fit.
        """
        given = np.asarray(given)
        self.check(given)
        like = next(self.module.parameters(), torch.zeros(()))
        if self.of_signals:
            return torch.from_numpy(np.ascontiguousarray(given)).to(like.device, like.dtype)
        x = torch.from_numpy(np.ascontiguousarray(given.transpose(0, 3, 1, 2)))
        return x.to(like.device, like.dtype) / (255 if given.dtype == np.uint8 else 1)


def size_of(given: np.ndarray) -> tuple[int, ...]:
    """Height and width of images ``[N, H, W, C]``, or number of steps of signals ``[N, lead, time]``."""
    return tuple(given.shape[1:3]) if given.ndim == 4 else (given.shape[2],)


def check_images(model: Model, images: np.ndarray) -> None:
    """Raise a one-sentence :class:`ModelError` unless ``images`` is ``[N, H, W, C]`` as the network expects."""
    want = f"[N, {'H, W' if model.size is None else f'{model.size[0]}, {model.size[1]}'}, {model.channels}]"
    if images.ndim != 4:
        raise ModelError(
            f"model {model.name!r} got images of shape {list(images.shape)} and expects {want}; add the missing "
            "dimension, for instance images[None]."
        )
    n, h, w, c = images.shape
    if c != model.channels:
        first = " (channels first? use images.transpose(0, 2, 3, 1))" if h == model.channels else ""
        raise ModelError(
            f"model {model.name!r} expects {model.channels} channel(s) and got images of shape {[n, h, w, c]}{first}; "
            "convert grey to RGB or RGB to grey before asking it."
        )
    if model.size is not None and (h, w) != tuple(model.size):
        raise ModelError(
            f"model {model.name!r} was trained on {model.size[0]}x{model.size[1]} pixels and got {h}x{w}; resize the "
            "images, for instance open_samples(..., size=...)."
        )
    if images.dtype != np.uint8:
        low, high = float(images.min(initial=0)), float(images.max(initial=0))
        if not np.isfinite([low, high]).all():
            raise ModelError(
                f"model {model.name!r} got images with values that are not finite; replace them, for instance with "
                "numpy.nan_to_num."
            )
        if low < 0 or high > 1:
            raise ModelError(
                f"model {model.name!r} expects uint8 images or floats in [0, 1] and got {images.dtype} in "
                f"[{low:.3g}, {high:.3g}]; divide by the largest possible value."
            )


def check_signals(model: Model, signals: np.ndarray) -> None:
    """Raise a one-sentence :class:`ModelError` unless ``signals`` is ``[N, lead, time]`` as the network expects."""
    expected = (model.size or (0,))[0]
    want = f"[N, {model.channels}, {expected}]"
    if signals.ndim != 3 or signals.dtype.kind not in "fiu":
        raise ModelError(
            f"model {model.name!r} got {signals.dtype} of shape {list(signals.shape)} and expects signals {want} in mV; "
            "open them with open_samples."
        )
    n, leads, steps = signals.shape
    if leads != model.channels:
        raise ModelError(
            f"model {model.name!r} expects {model.channels} lead(s) and got signals of shape {[n, leads, steps]}; choose "
            "leads with xai_views.samples.prepare."
        )
    if steps != expected:
        raise ModelError(
            f"model {model.name!r} was trained on {expected} steps and got {steps}; bring the records to it with "
            "xai_views.samples.prepare."
        )
    if not np.isfinite(signals).all():
        raise ModelError(
            f"model {model.name!r} got signals with values that are not finite; mark such leads as missing."
        )
