"""Starting work from a callback without losing what goes wrong in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("xai_views.dashboard")
_running: set[asyncio.Task] = set()


def start(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` on the event loop of the page; in a script, which has none, run it to its end.

    What it raises goes to the server's log: there is no caller left to tell.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    task = loop.create_task(work)
    _running.add(task)  # the loop itself keeps no reference
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        logger.error("Work that a callback started failed.", exc_info=task.exception())
