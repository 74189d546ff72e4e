"""Generators that run on the worker piece by piece, with other work in between."""

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
        Whether the generator has ended; True after an error.
    value : object
        The value that it returned or yielded.
    error : BaseException or None
        The error that it raised, or one for gradients left off: they would stay off for other work.
    """
    step, error = attempt(_next, generator)
    if error is not None:
        return True, None, error
    ended, value = step
    if not ended and device.gradients_are_off():
        return True, None, KernelError(f"{title} yielded inside torch.no_grad(); yield outside of it.")
    return ended, value, None


def close(generator: Any) -> None:
    """Run a generator's ``finally`` blocks, on the thread that ran its other parts."""
    attempt(generator.close)
    device.gradients_on()


def _next(generator: Generator) -> tuple[bool, Any]:
    try:
        return False, next(generator)
    except StopIteration as stop:
        return True, stop.value
