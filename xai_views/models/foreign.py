"""Adapter for networks from transformers, timm, torchvision or your own code, run on images in [0, 1].

None of those packages is imported: outputs and configurations are read by attribute names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from xai_views.errors import ModelError

#: Names of the outputs in transformers and torchvision, best first.
ANSWERS = ("logits", "image_embeds", "pooler_output", "out")
#: Where timm stores the training configuration of a network.
CONFIGURATIONS = ("pretrained_cfg", "default_cfg")


def _named(out: Any, name: str) -> Any:
    return out.get(name) if isinstance(out, Mapping) else getattr(out, name, None)


def _vector(value: Any) -> torch.Tensor | None:
    """Return ``[N, Q]`` of a tensor without positions (or ``[N, Q, 1, 1]``), else None."""
    if isinstance(value, torch.Tensor) and value.ndim >= 2 and all(n == 1 for n in value.shape[2:]):
        return value.flatten(1)
    return None


def logits_of(out: Any, who: str = "the network") -> torch.Tensor:
    """Return the tensor ``[N, Q]`` in the output of a network.

    Logits when present, or the first entry of a tuple; else the pooled vector of an encoder, so that its activations can
    be explored although it has no classes. A bare tensor is returned unchanged.

    Raises
    ------
    ModelError
        When there is no such tensor.
    """
    if isinstance(out, torch.Tensor):
        return out
    for name in ANSWERS:
        vector = _vector(_named(out, name))
        if vector is not None:
            return vector
    hidden = _named(out, "last_hidden_state")
    if isinstance(hidden, torch.Tensor) and hidden.ndim in (3, 4):
        return hidden.mean(1) if hidden.ndim == 3 else hidden.mean((2, 3))
    if isinstance(out, (tuple, list)) and len(out):
        vector = _vector(out[0])
        if vector is not None:
            return vector
    raise ModelError(
        f"{who} returned {type(out).__name__} without logits [N, classes]; wrap it in a module that returns them."
    )


class Foreign(nn.Module):
    """A third-party network that takes images in [0, 1] and returns a tensor; the network is ``net``.

    Parameters
    ----------
    net : nn.Module
        Maps normalised images ``[N, C, H, W]`` to logits, or to an output that :func:`logits_of` can read.
    mean, std : sequence of float
        Normalisation per channel, or one number for all channels.

    Raises
    ------
    ModelError
        When mean and std are not numbers, or a std is not positive.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        try:
            m, s = (torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in (mean, std))
        except (TypeError, ValueError, RuntimeError):
            raise ModelError(
                f"mean {mean!r} and std {std!r} must be numbers; give one per channel or one for all."
            ) from None
        if len({1, len(m), len(s)}) > 2 or not (torch.isfinite(m).all() and (s > 0).all()):
            raise ModelError(
                f"mean {m.tolist()} and std {s.tolist()} do not match; give one per channel, with std above 0."
            )
        self.net = net
        like = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(()))
        self.register_buffer("mean", m.to(like.device, like.dtype))
        self.register_buffer("std", s.to(like.device, like.dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``[N, C, H, W]`` (or signals ``[N, C, T]``) in [0, 1] to ``[N, Q]``."""
        shape = (-1, *[1] * (x.ndim - 2))
        return logits_of(
            self.net((x - self.mean.view(shape)) / self.std.view(shape)), type(self.net).__name__
        )


def _configurations(module: nn.Module) -> list[Mapping]:
    own = module.net if isinstance(module, Foreign) else module
    found = (getattr(own, name, None) for name in CONFIGURATIONS)
    return [
        c if isinstance(c, Mapping) else vars(c)
        for c in found
        if isinstance(c, Mapping) or hasattr(c, "__dict__")
    ]


def normalisation(module: nn.Module) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return mean and std that a timm network was trained with; None when not stored in the network."""
    for c in _configurations(module):
        if c.get("mean") is not None and c.get("std") is not None:
            return tuple(c["mean"]), tuple(c["std"])
    return None


def natural_size(module: nn.Module) -> tuple[int, int] | None:
    """Return the height and width that a network was built for (transformers, torchvision's ViT, timm), or None."""
    own = module.net if isinstance(module, Foreign) else module
    sizes = [getattr(getattr(own, "config", None), "image_size", None), getattr(own, "image_size", None)]
    sizes += [tuple(c["input_size"])[1:] for c in _configurations(own) if c.get("input_size")]
    for size in sizes:
        if isinstance(size, int) and not isinstance(size, bool) and size > 0:
            return size, size
        if isinstance(size, (tuple, list)) and len(size) == 2:
            return int(size[0]), int(size[1])
    return None


def class_names(module: nn.Module, n: int) -> list[str] | None:
    """Return the names of n classes from a configuration of transformers, or None."""
    own = module.net if isinstance(module, Foreign) else module
    names = getattr(getattr(own, "config", None), "id2label", None)
    if not isinstance(names, Mapping) or set(names) != set(range(n)):
        return None
    whole = [str(names[i]) for i in range(n)]
    short = [name.partition(",")[0] for name in whole]  # ImageNet names are lists of synonyms
    return short if len(set(short)) == n else whole


def wrap(
    module: nn.Module, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> nn.Module:
    """Wrap a network so that it takes images in [0, 1] and returns logits.

    Parameters
    ----------
    module : nn.Module
        A network of transformers, timm or torchvision, or your own.
    mean, std : sequence of float, optional
        Training normalisation, for images in [0, 1]; read from the network when stored there (timm), else no
        normalisation. transformers stores it in the image processor: ``processor.image_mean``, ``processor.image_std``.

    Returns
    -------
    nn.Module
        Its taps are those of ``module``, with ``net.`` before each path.

    Raises
    ------
    ModelError
        When only one of mean and std is given, or they are not numbers.
    """
    if (mean is None) != (std is None):
        raise ModelError("only one of mean and std was given; give both.")
    if mean is None or std is None:
        mean, std = normalisation(module) or ((0.0,), (1.0,))
    return Foreign(module, mean, std)
