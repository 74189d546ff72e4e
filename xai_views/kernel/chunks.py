"""Generators whose pieces run on the worker, with other work between them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from xai_views.errors import KernelError
from xai_views.kernel import device
from xai_views.kernel.failures import attempt


def advance(generator: Any, title: str) -> tuple[bool, Any, BaseException | None]:
    """Run a generator to its next yield.

    Returns
    -------
    ended : bool
        Whether there is nothing more to run; so after an error.
    value : object
        What it returned, or what it yielded.
    error : BaseException or None
        What it raised, or that it left gradients off: they would be off for everybody until it goes on.
    """
    step, error = attempt(_next, generator)
    if error is not None:
        return True, None, error
    ended, value = step
    if not ended and device.gradients_are_off():
        return True, None, KernelError(f"{title} yielded inside torch.no_grad(): yield outside of it.")
    return ended, value, None


def close(generator: Any) -> None:
    """Let a generator's ``finally`` blocks run, on the thread that its other parts ran on."""
    attempt(generator.close)
    device.gradients_on()


def _next(generator: Generator) -> tuple[bool, Any]:
    try:
        return False, next(generator)
    except StopIteration as stop:
        return True, stop.value
