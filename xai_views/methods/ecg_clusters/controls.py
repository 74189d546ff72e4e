"""The control for what is read from clusters: the same network with random weights."""

from __future__ import annotations

import hashlib
from typing import Any

from xai_views.errors import MethodError


def untrained(model: Any, seed: int = 0) -> Any:
    """The model's architecture with fresh random weights, as a model of its own.

    Parameters
    ----------
    model : Model
        Whose layers all know how to draw their weights (``reset_parameters``).
    seed : int
        Of the draw.

    Raises
    ------
    MethodError
        When no layer of the network can be drawn anew.
    """
    from copy import deepcopy
    from dataclasses import replace

    import torch

    module = deepcopy(model.module)
    drawn = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
                drawn += 1
    if not drawn:
        raise MethodError(
            f"no layer of {model.name!r} can be drawn anew (none has reset_parameters); give another model as the control."
        )
    sha256 = hashlib.sha256(f"untrained {seed} {model.sha256}".encode()).hexdigest()
    return replace(model, name=f"{model.name}, random weights", sha256=sha256, module=module)
