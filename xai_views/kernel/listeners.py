"""Listeners to the worker, and a limit on how often they are called."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from xai_views.kernel.failures import log

PERIOD = 0.1  # seconds between two calls of a listener


def tell(listener: Callable, *news: Any) -> None:
    """Call a listener; its errors are logged, because a broken listener must not stop the worker."""
    try:
        listener(*news)
    except BaseException:  # noqa: BLE001 - the worker survives any error of a listener
        log.exception("A listener of the kernel failed.")


class Listeners:
    """Functions called with news, in order of registration."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[list[Callable]] = []

    def add(self, listener: Callable) -> Callable[[], None]:
        """Add a listener; return the function that removes it."""
        entry = [listener]  # a distinct object, so that the same function can be added twice
        with self._lock:
            self._entries.append(entry)

        def remove() -> None:
            with self._lock:
                self._entries = [other for other in self._entries if other is not entry]

        return remove

    def tell(self, *news: Any) -> None:
        """Call all listeners."""
        with self._lock:
            entries = list(self._entries)
        for (listener,) in entries:
            tell(listener, *news)

    def __bool__(self) -> bool:
        return bool(self._entries)


class Throttle:
    """Limit an action to once every `PERIOD` seconds."""

    def __init__(self) -> None:
        self._last: float | None = None

    def due(self) -> bool:
        """Return whether the period has passed, and start a new one if so."""
        now = time.monotonic()
        if self._last is not None and now < self._last + PERIOD:
            return False
        self._last = now
        return True
