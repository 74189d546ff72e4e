"""What the kernel is doing, for the status bar, and those who want to hear about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from xai_views.kernel.listeners import PERIOD, Listeners


@dataclass(frozen=True)
class Status:
    """The kernel at one moment.

    Attributes
    ----------
    device
        ``cuda``, ``mps`` or ``cpu``; what was asked for (``auto``) until the worker has started.
    queued
        Requests that wait and are not being worked on.
    running
        What the worker does now, in words for people, or "".
    progress
        Done and total of what is running, or ``None``: of the samples, or of what a method says about itself.
    hits, misses
        Samples whose explanation was, or was not, in the cache when it was asked for.
    forward, backward
        Images that went through the network, counted by ``xai_views.models.passes``.
    error
        The last sentence that a request failed with, or "".
    memory
        Bytes in the caches of explanations, observations and frames.
    device_memory
        Bytes that tensors hold on an accelerator after the last step; 0 on the CPU.
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
    """Return forward and backward passes so far; 0 while no method has been imported."""
    passes = sys.modules.get("xai_views.models.passes")
    return int(getattr(passes, "forward", 0)), int(getattr(passes, "backward", 0))


class Board:
    """What the worker says about itself, and the listeners that are told at most every 0.1 s."""

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
        """Note that there may be something to tell."""
        self._changed = True

    def pause(self) -> float | None:
        """Return the seconds until listeners may be told again; ``None`` when there is nothing to tell."""
        if not self._changed or not self._listeners:
            return None
        return max(0.0, self._told_at + PERIOD - time.monotonic())

    def tell(self, status: Callable[[], Status]) -> None:
        """Tell the listeners if there is news and the last time is long enough ago."""
        if self.pause() != 0.0:
            return
        self._changed = False
        news = status()
        if news != self._told:
            self._told = news
            self._listeners.tell(news)
        self._told_at = time.monotonic()  # after they heard it: a slow listener is not called the more often
