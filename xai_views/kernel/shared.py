"""Values shared by all sessions of a process: each is computed once, and their number is limited."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

from xai_views.kernel.listeners import Listeners, Throttle
from xai_views.kernel.requests import Answer, Promise


class Same:
    """Wrap an object as part of a key: compared by identity, and kept alive so that its id is not reused."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def failed(value: Any) -> bool:
    """Return whether a value is a future that was cancelled or failed."""
    return isinstance(value, Future) and value.done() and (value.cancelled() or value.exception() is not None)


class _Entry:
    """A value, its lock while it is being computed, and whether it was given up."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: list[Any] = []
        self.gone = False


class Shared:
    """Shared values, each computed by the first caller; the least recently used are dropped first.

    Parameters
    ----------
    most
        Largest number of values to keep.
    stale
        Function that tells whether a value must be computed again; by default, failed futures.
    """

    def __init__(self, most: int, stale: Callable[[Any], bool] = failed):
        self.most = most
        self._stale = stale
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of ``key``, computed by ``make()`` if there is none.

        Meanwhile only callers with the same key wait. An error of ``make`` is raised to its own
        caller; the next caller tries again.
        """
        while True:
            entry = self._entry(key)
            with entry.lock:
                if entry.gone:
                    continue
                if not entry.made or self._stale(entry.made[0]):
                    try:
                        entry.made = [make()]
                    except BaseException:
                        self._give_up(key, entry)
                        raise
                return entry.made[0]

    def _entry(self, key: Hashable) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > max(1, self.most):
                self._entries.popitem(last=False)
            return entry

    def _give_up(self, key: Hashable, entry: _Entry) -> None:
        entry.gone = True
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries


class SharedFuture(Future):
    """One caller's own future of a run that several callers wait for."""

    def __init__(self, run: SharedRun):
        super().__init__()
        self._run = run

    @property
    def progress(self) -> tuple[int, int] | None:
        """Done and total of the run, or None before its first report."""
        return self._run.progress

    def subscribe(self, listener: Callable[[int, int], None]) -> Callable[[], None]:
        """Call ``listener(done, total)`` at most ten times a second; return a function that unsubscribes.

        The worker thread calls the listener: it must be quick and leave page updates to the event loop.
        """
        return self._run.listeners.add(listener)


class SharedRun:
    """A function that runs once on the worker, and all callers that wait for its value.

    Attributes
    ----------
    progress
        Done and total, or None before the first report.
    listeners
        Called with ``(done, total)``.
    over
        Whether the run failed or was given up: later callers need a new one.
    """

    def __init__(self, function: Callable, submit: Callable[[Callable], Future]):
        self.progress: tuple[int, int] | None = None
        self.listeners = Listeners()
        self.over = False
        self._throttle = Throttle()
        self._lock = threading.Lock()
        self._askers: list[Promise] = []
        self._future = submit(self._telling(function))
        self._future.add_done_callback(self._ended)

    def join(self) -> SharedFuture | None:
        """Return a future for one more caller; None when the run is over."""
        future = SharedFuture(self)
        asker = Promise(future)
        with self._lock:
            if self.over:
                return None
            self._askers.append(asker)
        future.add_done_callback(lambda one: self._leave(asker) if one.cancelled() else None)
        if self._future.done():
            self._ended(self._future)
        return future

    def _telling(self, function: Callable) -> Callable:
        """Return a function that also records its progress."""

        @functools.wraps(function)
        def told(progress: Callable[[int, int], None]) -> Any:
            def tell(done: int, total: int) -> None:
                progress(done, total)  # raises when no caller is left
                self.progress = (int(done), int(total))
                if self._throttle.due():
                    self.listeners.tell(*self.progress)

            return function(tell)

        return told

    def _leave(self, asker: Promise) -> None:
        """Remove a caller that has cancelled, and stop the run with the last one."""
        asker.settle(None)
        with self._lock:
            if asker in self._askers:
                self._askers.remove(asker)
            last = not self._askers and not self._future.done()
            self.over = self.over or last
        if last:
            self._future.cancel()

    def _ended(self, future: Future) -> None:
        """Pass the value or the error to all callers."""
        with self._lock:
            self.over = self.over or failed(future)
            askers, self._askers = self._askers, []
        for asker in askers:
            if future.cancelled():
                asker.future.cancel()
            elif future.exception() is not None:
                asker.settle(Answer(0, error=future.exception()))
            else:
                asker.settle(Answer(0, future.result()))


class Runs:
    """Shared runs of a kernel.

    Parameters
    ----------
    most
        Largest number of runs and values to keep.
    """

    def __init__(self, most: int):
        self._shared = Shared(most, stale=lambda run: run.over)

    def ask(self, key: Hashable, function: Callable, submit: Callable[[Callable], Future]) -> SharedFuture:
        """Return a future of ``function``'s value; the first caller has ``submit`` run it on the worker."""
        while True:
            run = self._shared.get(key, lambda: SharedRun(function, submit))
            future = run.join()
            if future is not None:
                return future
