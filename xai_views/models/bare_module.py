"""A user's module as a ``Model``: its input and output are found by running it once."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from xai_views import kinds
from xai_views.errors import ModelError
from xai_views.kinds.signal_schema import lead_name
from xai_views.models.foreign import class_names, logits_of, natural_size, normalisation, wrap
from xai_views.models.model import Model


def module_sha256(module: nn.Module) -> str:
    """Return the content key of a module: its text form, settings, forward code and the bytes of its state."""
    digest = hashlib.sha256(f"{type(module).__qualname__} {module!r}".encode())
    for said in _settings(module):
        digest.update(said.encode())
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(str((value.dtype, tuple(value.shape))).encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _settings(module: nn.Module) -> Iterator[str]:
    """Yield what the text and state of a module may not show: numbers and words among its attributes, and its own forward.

    Without it, a network redefined in a notebook with the same weights would get the cached results of the old one.
    """
    for path, part in module.named_modules():
        for name, value in sorted(vars(part).items()):
            if not name.startswith("_") and name != "training" and _plain(value):
                yield f"{path}.{name}={value!r}"
        code = getattr(type(part).forward, "__code__", None)
        if code is not None and not type(part).__module__.startswith("torch."):
            consts = [c for c in code.co_consts if _plain(c)]
            yield f"{path} {code.co_code.hex()} {code.co_names} {consts!r}"


def _plain(value: Any) -> bool:
    """Return whether a value prints without a memory address."""
    if isinstance(value, tuple | list):
        return all(_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str)


def _leads(leads: Sequence[str], channels: int) -> tuple[str, ...]:
    """Return the standard names of the leads; () when none are given."""
    if leads and len(leads) != channels:
        raise ModelError(
            f"{len(leads)} lead names were given for {channels} channels; name each channel once."
        )
    return tuple(lead_name(x) for x in leads)


def own_model(
    module: nn.Module,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    size: tuple[int, ...] | None = None,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rate: float | None = None,
    leads: Sequence[str] = (),
    kind: str | None = None,
) -> Model:
    """Return a module as a ``Model``; parameters as for :func:`xai_views.open_model`.

    Raises
    ------
    ModelError
        With a one-sentence message, when it cannot be run, or does not match the arguments.
    """
    own = module.eval()
    if mean is not None or std is not None or normalisation(own) is not None:
        module = wrap(own, mean, std)
    taken = kinds.get(kind) if kind else kinds.of_size(size)
    sizes = [size] if size else [None, natural_size(own)] if natural_size(own) else [None]
    for size in sizes:  # a network that accepts any size takes this one; a transformer may need its own
        shape = taken.example(channels, size)
        out, said = _asked(module, shape)
        if not said:
            break
    else:
        raise ModelError(
            f"{type(own).__name__} could not be run on {taken.plural} of shape {shape} ({said}); give open_model its "
            "channels= and size=."
        )
    if not isinstance(out, torch.Tensor):
        if mean is None and normalisation(own) is None:
            warnings.warn(
                f"{type(own).__name__} gets images in [0, 1] without normalisation; give open_model mean= and std= if it was "
                "trained with one.",
                stacklevel=3,
            )
        module = wrap(own, mean, std)
        with torch.no_grad():
            out = logits_of(out, type(own).__name__)
    if out.ndim != 2:
        raise ModelError(
            f"{type(own).__name__} returned {list(out.shape)} and should return logits [N, classes]; wrap it in such a module."
        )
    n = out.shape[1]
    names = [str(c) for c in classes] if classes is not None else class_names(own, n)
    names = names or [f"class {i}" for i in range(n)]
    if len(names) != n:
        raise ModelError(
            f"{len(names)} class names were given and {type(own).__name__} has {n} logits; give {n} names."
        )
    return Model(
        name or type(own).__name__,
        module_sha256(module),
        module,
        names,
        channels,
        size,
        rate=rate,
        leads=_leads(leads, channels),
        kind=taken.key,
    )


def _asked(module: nn.Module, shape: Sequence[int]) -> tuple[Any, str]:
    """Return the output of a module for a black image, and the error message when it failed."""
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    try:
        with torch.no_grad():
            return module(torch.zeros(*shape, device=like.device, dtype=like.dtype)), ""
    except Exception as e:  # noqa: BLE001 - any error of a third-party module becomes one sentence
        return None, f"{type(e).__name__}: {e}".partition("\n")[0][:120]
