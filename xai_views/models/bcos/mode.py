"""Explanation mode: freeze input-dependent weights of a network at its current input.

A B-cos network computes ``W(x) x``. In explanation mode every factor through which ``W`` depends on ``x`` is cut from
the autograd graph, so that one vector-Jacobian product from a scalar gives exactly the row of ``W(x)`` that
produced it (Boehle et al., B-cos networks, 2022 and 2024).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import nn


class Detachable(nn.Module):
    """Module whose input-dependent factors can be cut from the graph; ``detached`` states whether they are."""

    detached: bool = False

    def frozen(self, factor: torch.Tensor) -> torch.Tensor:
        """Return ``factor``, cut from the graph when explanation mode is on."""
        return factor.detach() if self.detached else factor


@dataclass
class _Held:
    """Flags of a module before the first of ``count`` contexts entered the mode."""

    training: bool
    detached: bool | None
    count: int = 0


_held: WeakKeyDictionary[nn.Module, _Held] = WeakKeyDictionary()
_lock = threading.RLock()


@contextmanager
def explanation_mode(module: nn.Module) -> Iterator[nn.Module]:
    """Put ``module`` into evaluation and explanation mode; restore its flags at the end, also after exceptions.

    Parameters
    ----------
    module : nn.Module
        Any network; modules that are not :class:`Detachable` are only put into evaluation mode.

    Yields
    ------
    nn.Module
        The same module.

    Notes
    -----
    The flags belong to the module, so one module must not be explained in one thread and trained in another. Several
    threads may explain it at once: the flags are restored when the last one leaves.
    """
    modules = list(module.modules())
    entered: list[nn.Module] = []
    try:
        with _lock:
            for m in modules:
                _held.setdefault(m, _Held(m.training, getattr(m, "detached", None))).count += 1
                entered.append(m)
            module.eval()
            for m in modules:
                if isinstance(m, Detachable):
                    m.detached = True
        yield module
    finally:
        with _lock:
            for m in entered:
                held = _held[m]
                held.count -= 1
                if held.count == 0:
                    del _held[m]
                    m.training = held.training
                    if held.detached is not None:
                        m.detached = held.detached  # type: ignore[assignment]  # a plain attribute
