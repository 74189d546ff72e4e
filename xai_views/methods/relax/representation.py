"""The representation of an input in a network: where it is read, and how."""

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
        Module path, ``path@in`` for the input of the module, "" for the output of the network.
    pooled : bool
        Whether it has positions and is averaged over them.
    """

    path: str = ""
    pooled: bool = False

    def __str__(self) -> str:
        if not self.path:
            return "the output of the network"
        what = f"the input of {self.path.removesuffix(IN)!r}" if self.path.endswith(IN) else repr(self.path)
        return f"mean over positions of {what}" if self.pooled else what


@contextmanager
def _plain(x: torch.Tensor) -> Iterator[None]:
    """Disable gradients and autocast rounding, whatever mode the caller is in."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        yield


def vectors(model: Any, x: torch.Tensor, reading: Reading) -> torch.Tensor:
    """Compute representations ``[N, d]`` float64, on the CPU, of inputs ``[N, C, *size]`` in one pass."""
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
    """Find where the representation is read, in one pass.

    Parameters
    ----------
    model : Model
        The network.
    x : Tensor
        ``[1, C, *size]`` one input.
    tap : str
        A layer with positions. "": the input of the last linear layer, or of the similarity layer of a SIC network; the
        network's output where neither exists, or where the network has no logits.

    Returns
    -------
    reading : Reading
        Where the representation is read.
    vector : Tensor
        ``[d]`` float64 representation of the input.
    logit : Tensor or None
        ``[classes]`` logits, where the network has them.

    Raises
    ------
    ModelError
        For a layer that does not exist or has no positions, and for an input that does not fit the network.
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
    """Yield the possible last layers with callbacks that store the vectors they receive and return."""

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
