"""Explanation mode: a network whose weights depend on its input, frozen at that input.

A B-cos network computes ``W(x) x``. In explanation mode everything that makes ``W`` depend on ``x`` is cut from
the autograd graph, so that one vector-Jacobian product from a scalar gives exactly the row of ``W(x)`` that
produced it (Boehle et al., B-cos networks, 2022 and 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Detachable(nn.Module):
    """A module whose input-dependent factors can be cut from the graph; ``detached`` says whether they are."""

    detached: bool = False

    def frozen(self, factor: torch.Tensor) -> torch.Tensor:
        """Return ``factor``, cut from the graph when explanation mode is on."""
        return factor.detach() if self.detached else factor


@contextmanager
def explanation_mode(module: nn.Module) -> Iterator[nn.Module]:
    """Put ``module`` into evaluation and explanation mode; put everything back at the end, exceptions included.

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
    The flags belong to the module, so one module must not be explained in one thread and trained in another.
    """
    modules = list(module.modules())
    before = [(m, m.training, getattr(m, "detached", None)) for m in modules]
    try:
        module.eval()
        for m in modules:
            if isinstance(m, Detachable):
                m.detached = True
        yield module
    finally:
        for m, training, detached in before:
            m.training = training
            if detached is not None:
                m.detached = detached
