"""What all visitors of a process share: values that are made once, in bounded number."""

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
    """An object as a part of a key: equal to itself only, and held, so that no other object gets its id."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def failed(value: Any) -> bool:
    """Whether a value is a future that was cancelled or failed."""
    return isinstance(value, Future) and value.done() and (value.cancelled() or value.exception() is not None)


class _Entry:
    """A value, its own lock while it is being made, and whether it was given up."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: list[Any] = []
        self.gone = False


class Shared:
    """Values that everybody shares, each made by the first who asks; least recently used out first.

    Parameters
    ----------
    most
        Most values to keep.
    stale
        Whether a value is not good any more, so that it is made again; failed futures are not.
    """

    def __init__(self, most: int, stale: Callable[[Any], bool] = failed):
        self.most = most
        self._stale = stale
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of ``key``, from ``make()`` if there is none.

        While it is made, only those who ask for the same key wait. An error of ``make`` is raised to its own
        caller; the next one tries again.
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
        """Forget every value."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries


class SharedFuture(Future):
    """One asker's own future of a run that several may wait for."""

    def __init__(self, run: SharedRun):
        super().__init__()
        self._run = run

    @property
    def progress(self) -> tuple[int, int] | None:
        """Done and total of the run, or None before it has said."""
        return self._run.progress

    def subscribe(self, listener: Callable[[int, int], None]) -> Callable[[], None]:
        """Call ``listener(done, total)`` at most ten times a second; return what ends this.

        The call comes from the worker thread: a listener must be quick and leave the page to the event loop.
        """
        return self._run.listeners.add(listener)


class SharedRun:
    """A function that runs once on the worker, and all who wait for its value.

    Attributes
    ----------
    progress
        Done and total, or None before the function has said.
    listeners
        Are told ``(done, total)``.
    over
        Whether it failed or was given up: who comes now needs another.
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
        """Return a future for one more asker; None when it is over."""
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
        """Return a function that also notes how far it is."""

        @functools.wraps(function)
        def told(progress: Callable[[int, int], None]) -> Any:
            def tell(done: int, total: int) -> None:
                progress(done, total)  # raises when nobody is interested any more
                self.progress = (int(done), int(total))
                if self._throttle.due():
                    self.listeners.tell(*self.progress)

            return function(tell)

        return told

    def _leave(self, asker: Promise) -> None:
        """Let one asker go who has cancelled, and stop with the last one."""
        asker.settle(None)
        with self._lock:
            if asker in self._askers:
                self._askers.remove(asker)
            last = not self._askers and not self._future.done()
            self.over = self.over or last
        if last:
            self._future.cancel()

    def _ended(self, future: Future) -> None:
        """Give everybody the value or the error."""
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
    """The shared runs of a kernel.

    Parameters
    ----------
    most
        Most runs and values to keep.
    """

    def __init__(self, most: int):
        self._shared = Shared(most, stale=lambda run: run.over)

    def ask(self, key: Hashable, function: Callable, submit: Callable[[Callable], Future]) -> SharedFuture:
        """Return a future of ``function``'s value; ``submit`` has the worker run it if nobody asked before."""
        while True:
            run = self._shared.get(key, lambda: SharedRun(function, submit))
            future = run.join()
            if future is not None:
                return future
