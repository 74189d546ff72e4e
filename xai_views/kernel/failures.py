"""Convert any error to one sentence, and log the traceback."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

from xai_views.errors import KernelError, XaiViewsError

log = logging.getLogger("xai_views.kernel")

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def attempt(function: Callable, *args: Any) -> tuple[Any, BaseException | None]:
    """Call a function; return its value and ``None``, or ``None`` and the error.

    The error is returned without its frames: they would keep the tensors of the failed call alive, and the
    next try needs their memory.
    """
    try:
        return function(*args), None
    except BaseException as error:  # the worker survives any error of a method or function
        if not isinstance(error, XaiViewsError):
            log.exception("A call on the worker failed.")
        _drop_frames(error)
        return None, error


def _drop_frames(error: BaseException) -> None:
    """Clear the local variables of all frames of an error and its causes."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        traceback.clear_frames(link.__traceback__)
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, on the host or on the device."""
    if isinstance(error, MemoryError):
        return True
    kind = getattr(sys.modules.get("torch"), "OutOfMemoryError", None)
    if kind is not None and isinstance(error, kind):
        return True
    return isinstance(error, RuntimeError) and any(word in _text(error).lower() for word in _MEMORY_WORDS)


def as_kernel_error(error: BaseException, title: str, device: str) -> XaiViewsError:
    """Return the error shown to people; errors that already are a sentence are returned unchanged."""
    if isinstance(error, XaiViewsError):
        return error
    if is_out_of_memory(error):
        return KernelError(
            f"{title} ran out of memory on {device} even with the smallest batch; "
            "use smaller images or close other programs that use this device."
        )
    # Errors of other libraries can be many lines long; the first line says what happened, the log has the rest.
    text = next(iter(_text(error).strip().splitlines()), "").split(". ")[0].rstrip(".")
    if len(text) > 200:
        text = text[:199] + "…"
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return KernelError(f"{title} failed ({what}); check its input, or read the full report in the log.")


def _text(error: BaseException) -> str:
    """Return the message of the error, if it has one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error that cannot be printed must not stop the worker
        return ""
