"""``open_model``: a catalogue name, a checkpoint folder, or your own module."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..errors import ModelError, nearest
from .checkpoint import PICKLES, load
from .model import Model


def module_sha256(module: nn.Module) -> str:
    """Content key of a module: how it prints and the bytes of its state."""
    digest = hashlib.sha256(f"{type(module).__qualname__} {module!r}".encode())
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(str((value.dtype, tuple(value.shape))).encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def open_model(
    spec: str | Path | nn.Module | Model,
    *,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    size: tuple[int, int] | None = None,
    name: str | None = None,
) -> Model:
    """Open a model.

    Parameters
    ----------
    spec : str, Path, nn.Module or Model
        A catalogue name (``"birds-sic"``), a checkpoint folder, or your own module, which maps images
        ``[N, C, H, W]`` in [0, 1] to logits ``[N, classes]``.
    classes : sequence of str, optional
        Class names of your own module; numbered when not given.
    channels, size : int, (int, int), optional
        Input of your own module; any size when ``size`` is not given.
    name : str, optional
        Name shown for your own module.

    Returns
    -------
    Model
        In evaluation mode, parameters frozen, on the CPU (or where your module is).

    Raises
    ------
    ModelError
        In one sentence when there is no such model or it cannot be read.
    """
    if isinstance(spec, Model):
        return spec
    if isinstance(spec, nn.Module):
        return _own(spec, classes, channels, size, name)
    from .. import catalogue

    shipped = catalogue.models()
    if str(spec) in shipped:
        return load(Path(shipped[str(spec)]))
    path = Path(spec).expanduser()
    if path.suffix in PICKLES:
        raise ModelError(
            f"{path.name!r} is a pickle, which can run code when opened; build the module yourself, load it with "
            "torch.load(weights_only=True) and give open_model the module."
        )
    if path.is_file():
        raise ModelError(f"{path.name!r} is a file; give open_model the checkpoint folder that holds it.")
    if not path.is_dir():
        raise ModelError(
            f"there is no model or folder {str(spec)!r}; the catalogue has {nearest(str(spec), shipped)}."
        )
    return load(path)


def _own(
    module: nn.Module,
    classes: Sequence[str] | None,
    channels: int,
    size: tuple[int, int] | None,
    name: str | None,
) -> Model:
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    shape = [1, channels, *(size or (64, 64))]
    module.eval()
    try:
        with torch.no_grad():
            out = module(torch.zeros(shape, device=like.device, dtype=like.dtype))
    except Exception as e:  # noqa: BLE001 - whatever a stranger's module raises becomes one sentence
        said = f"{type(e).__name__}: {e}".partition("\n")[0][:120]
        raise ModelError(
            f"{type(module).__name__} could not be asked with an image of shape {shape} ({said}); give open_model its "
            "channels= and size=."
        ) from None
    if not isinstance(out, torch.Tensor) or out.ndim != 2:
        got = list(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise ModelError(
            f"{type(module).__name__} returned {got} and logits [N, classes] are needed; wrap it."
        )
    n = out.shape[1]
    names = [str(c) for c in classes] if classes is not None else [f"class {i}" for i in range(n)]
    if len(names) != n:
        raise ModelError(
            f"{len(names)} class names were given and {type(module).__name__} has {n} logits; give {n}."
        )
    return Model(name or type(module).__name__, module_sha256(module), module, names, channels, size)
