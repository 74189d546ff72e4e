"""Start asynchronous work from callbacks, with errors logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import panel as pn

logger = logging.getLogger("xai_views.dashboard")
_running: set[asyncio.Task] = set()


def start(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` on the event loop of the page; in a script, which has none, run it to its end.

    Exceptions are logged: no caller is left to receive them.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    task = loop.create_task(work)
    _running.add(task)  # the loop itself keeps no reference
    task.add_done_callback(_ended)


def caller() -> Callable[[Callable[[], Any]], Any]:
    """Return a function with which another thread calls functions in the context of this page.

    That is the page's document, else the current event loop; in a script, which has neither, functions are called at once.
    """
    doc = pn.state.curdoc
    if doc is not None and doc.session_context is not None:
        return doc.add_next_tick_callback
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return lambda call: call()
    return lambda call: None if loop.is_closed() else loop.call_soon_threadsafe(call)


def on_page(call: Callable[[], Any]) -> None:
    """Call a function under the lock of the page, which changes of plots require and which ``await`` releases."""
    doc = pn.state.curdoc
    if doc is None or doc.session_context is None:
        call()
    else:
        doc.add_next_tick_callback(call)


def _ended(task: asyncio.Task) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        logger.error("Work that a callback started failed.", exc_info=task.exception())


def failed(future: Future) -> bool:
    """Return whether a future ended without a result."""
    return future.cancelled() or (future.done() and future.exception() is not None)
