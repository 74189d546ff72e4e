"""The vector that stands for an input inside a network, and how it is taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xai_views.models.taps import capture
from xai_views.models.tracing import IN, ask, module_of


@dataclass(frozen=True)
class Reading:
    """Where a representation is read.

    Attributes
    ----------
    path : str
        Module path, ``path@in`` for what the module is given, "" for the network's answer.
    pooled : bool
        Whether it has positions, of which the mean is taken.
    """

    path: str = ""
    pooled: bool = False

    def __str__(self) -> str:
        if not self.path:
            return "the answer of the network"
        what = f"what {self.path.removesuffix(IN)!r} is given" if self.path.endswith(IN) else repr(self.path)
        return f"mean over positions of {what}" if self.pooled else what


@contextmanager
def _plain(x: torch.Tensor) -> Iterator[None]:
    """No graph and no rounding by autocast, whatever the caller is in the middle of."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        yield


def vectors(model: Any, x: torch.Tensor, reading: Reading) -> torch.Tensor:
    """Representations ``[N, d]`` float64, on the CPU, of inputs ``[N, C, *size]``; one pass."""
    with _plain(x):
        if reading.pooled:
            found = capture(model, x, [reading.path])[1][reading.path].flatten(2).mean(2)
        elif reading.path:
            kept: list[torch.Tensor] = []
            ask(model, x, [(reading.path, lambda t: kept.append(t.detach()))])
            found = kept[-1]
        else:
            found = ask(model, x)[0]
    return found.flatten(1).cpu().double()


def first_look(
    model: Any, x: torch.Tensor, tap: str = ""
) -> tuple[Reading, torch.Tensor, torch.Tensor | None]:
    """Find where the representation is read, on the way of one pass.

    Parameters
    ----------
    model : Model
        The network.
    x : Tensor
        ``[1, C, *size]`` one input.
    tap : str
        A layer with positions. "": what the linear layer at the end is given, of a SIC network what its supports are compared
        with; the answer itself where there is neither, or where the network gives no logits.

    Returns
    -------
    reading : Reading
        Where.
    vector : Tensor
        ``[d]`` float64, of the input.
    logit : Tensor or None
        ``[classes]`` where the network gives logits.

    Raises
    ------
    ModelError
        For a layer that does not exist or has no positions, and for an input that the network refuses.
    """
    gives_logits = "logits" in getattr(model, "outputs", ("logits",))
    given: dict[str, torch.Tensor] = {}
    made: dict[str, torch.Tensor] = {}  # in the order in which they run
    with _plain(x):
        if tap:
            answer, maps = capture(model, x, [tap])
            reading, found = Reading(tap, pooled=True), maps[tap].flatten(2).mean(2)
        else:
            answer, _ = ask(model, x, list(_watched(model, given, made)) if gives_logits else [])
            ends = [p for p, out in made.items() if out.shape == answer.shape and torch.equal(out, answer)]
            if not ends and getattr(model, "supports", None) is not None and "similarity" in given:
                ends = ["similarity"]
            reading, found = (Reading(ends[-1] + IN), given[ends[-1]]) if ends else (Reading(), answer)
    logit = answer[0].cpu() if gives_logits and answer.ndim == 2 else None
    return reading, found.flatten(1)[0].cpu().double(), logit


def _watched(model: Any, given: dict[str, torch.Tensor], made: dict[str, torch.Tensor]) -> Iterator[tuple]:
    """What to keep of the layers at which a network may end: vectors that they are given and make."""

    def keep(store: dict[str, torch.Tensor], path: str) -> Any:
        def take(t: torch.Tensor) -> None:
            store.pop(path, None)
            if t.ndim == 2:
                store[path] = t.detach().clone()

        return take

    for path, inner in module_of(model).named_modules():
        if isinstance(inner, nn.Linear) and path:
            yield path + IN, keep(given, path)
            yield path, keep(made, path)
    if getattr(model, "supports", None) is not None and hasattr(module_of(model), "similarity"):
        yield "similarity" + IN, keep(given, "similarity")
