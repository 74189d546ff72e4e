"""Status of the kernel, for the status bar and other listeners."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from xai_views.kernel.listeners import PERIOD, Listeners


@dataclass(frozen=True)
class Status:
    """Snapshot of the kernel.

    Attributes
    ----------
    device
        ``cuda``, ``mps`` or ``cpu``; the requested name (``auto``) until the worker has started.
    queued
        Number of waiting requests that are not being worked on.
    running
        Description of the current work for people, or "".
    progress
        Done and total of the current work, or ``None``: in samples, or in the method's own units.
    hits, misses
        Number of samples whose explanation was, or was not, in the cache when requested.
    forward, backward
        Number of images passed through the network, counted by ``xai_views.models.passes``.
    error
        Message of the last failed request, or "".
    memory
        Bytes in the caches of explanations, observations and frames.
    device_memory
        Bytes allocated by tensors on an accelerator after the last step; 0 on the CPU.
    """

    device: str
    queued: int = 0
    running: str = ""
    progress: tuple[int, int] | None = None
    hits: int = 0
    misses: int = 0
    forward: int = 0
    backward: int = 0
    error: str = ""
    memory: int = 0
    device_memory: int = 0


def count_passes() -> tuple[int, int]:
    """Return the number of forward and backward passes so far; 0 while no method has been imported."""
    passes = sys.modules.get("xai_views.models.passes")
    return int(getattr(passes, "forward", 0)), int(getattr(passes, "backward", 0))


class Board:
    """Current state of the worker, and the listeners, which are called at most every 0.1 s."""

    def __init__(self, device: str):
        self.device = device
        self.running = ""
        self.progress: tuple[int, int] | None = None
        self.error = ""
        self.device_memory = 0
        self._listeners = Listeners()
        self._changed = False
        self._told_at = -PERIOD
        self._told: Status | None = None

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Add a listener; return the function that removes it."""
        return self._listeners.add(listener)

    def touch(self) -> None:
        """Mark that there is news."""
        self._changed = True

    def pause(self) -> float | None:
        """Return the seconds until listeners may be called again; ``None`` without news."""
        if not self._changed or not self._listeners:
            return None
        return max(0.0, self._told_at + PERIOD - time.monotonic())

    def tell(self, status: Callable[[], Status]) -> None:
        """Call the listeners if there is news and the last call is long enough ago."""
        if self.pause() != 0.0:
            return
        self._changed = False
        news = status()
        if news != self._told:
            self._told = news
            self._listeners.tell(news)
        self._told_at = time.monotonic()  # after the calls: a slow listener is not called more often
