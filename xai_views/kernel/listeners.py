"""Those who want to hear what the worker does, and how often they are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from xai_views.kernel.failures import log

PERIOD = 0.1  # seconds between two calls of a listener


def tell(listener: Callable, *news: Any) -> None:
    """Call a listener; what it raises goes to the log, because a broken listener must not stop the worker."""
    try:
        listener(*news)
    except BaseException:  # noqa: BLE001 - the worker outlives whatever a listener raises
        log.exception("A listener of the kernel failed.")


class Listeners:
    """Functions that are called with news, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[list[Callable]] = []

    def add(self, listener: Callable) -> Callable[[], None]:
        """Add a listener; return the function that removes it."""
        entry = [listener]  # an own object, so that the same function can be added twice
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
    """Say yes at most every `PERIOD` seconds."""

    def __init__(self) -> None:
        self._last: float | None = None

    def due(self) -> bool:
        """Return whether it is time again; a yes counts as used."""
        now = time.monotonic()
        if self._last is not None and now < self._last + PERIOD:
            return False
        self._last = now
        return True
