"""Requests to the kernel and its answers, both frozen, and the jobs that connect them.

A request captures everything when it is created, so the worker never reads a session's state.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xai_views.errors import KernelError

PREFETCH = 10  # requests with this priority number or above run only in idle time

WORKING = "Computing"  # for work that has no title

_ids = itertools.count(1)


class Cancelled(KernelError):  # noqa: N818 - named like the state of its future
    """The request was cancelled, or replaced by a newer one on its channel."""

    def __init__(self) -> None:
        super().__init__("This computation was stopped because it was cancelled or a newer one replaced it.")


@dataclass(frozen=True, eq=False, slots=True)
class Item:
    """One sample of a request: the unit that is cached, shared and delivered."""

    key: Hashable
    observation_key: Hashable
    image: np.ndarray
    ask: Hashable
    group: Hashable = ()  # samples with the same group can share one pass of the network


@dataclass(frozen=True, eq=False)
class ExplainRequest:
    """Request for the explanations of some samples."""

    channel: str
    priority: int
    model: Any
    method: Any
    images: np.ndarray
    digests: tuple[str, ...]
    asks: tuple[Hashable, ...]
    keys: tuple[Hashable, ...]  # per sample: what its observation depends on beside model and sample
    partial: Callable | None = None
    id: int = field(default_factory=lambda: next(_ids))

    @property
    def subject(self) -> str:
        """Name of the work in error messages."""
        return getattr(self.method, "title", "").partition(":")[0] or self.method.key

    @property
    def title(self) -> str:
        """Text in the status line while it runs."""
        first, rest = self.subject[:1], self.subject[1:]
        return f"Computing {first if rest[:1].isupper() else first.lower()}{rest}"

    def items(self) -> list[Item]:
        """Return one item per sample, in order."""
        model, method = self.model.sha256, self.method.key
        shape, kind = self.images.shape[1:], self.images.dtype.str
        items = []
        for image, digest, ask, key in zip(self.images, self.digests, self.asks, self.keys, strict=True):
            seen = (model, digest, method, key)
            items.append(Item((*seen, ask), seen, image, ask, (model, method, key, shape, kind)))
        return items


@dataclass(frozen=True, eq=False)
class RunRequest:
    """Request to run a function on the worker."""

    channel: str
    priority: int
    function: Callable
    title: str = ""  # text in the status line while it runs; function names mean nothing to people
    id: int = field(default_factory=lambda: next(_ids))

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or WORKING)

    @property
    def subject(self) -> str:
        """Name of the work in error messages."""
        return "The computation" if self.title == WORKING else f"‘{self.title}’"


@dataclass(frozen=True, eq=False)
class Answer:
    """Result of the request with the same id: a value or an error."""

    id: int
    value: Any = None
    error: BaseException | None = None


class Promise:
    """A future that is resolved once, by the first to do so; until then it can be cancelled."""

    def __init__(self, future: Future):
        # The future stays pending until it is settled, so that it can be cancelled at any time.
        self.future = future
        self.settled = False
        self._gate = threading.Lock()

    def settle(self, answer: Answer | None) -> None:
        """Resolve the future once; ``None`` when it has been cancelled."""
        with self._gate:
            if self.settled:
                return
            self.settled = True
        # Also wakes waiters of a cancelled future; False means cancelled, so nothing may be set.
        if not self.future.set_running_or_notify_cancel():
            return
        assert answer is not None
        if answer.error is not None:
            self.future.set_exception(answer.error)
        else:
            self.future.set_result(answer.value)


class Job(Promise):
    """A request with its future."""

    def __init__(self, request: ExplainRequest | RunRequest):
        super().__init__(Future())
        self.request: Any = request
        self.future.request_id = request.id  # type: ignore[attr-defined]  # lets callers cancel it
        self.turn = 0

    @property
    def order(self) -> tuple:
        """Return the sort key of the queue: settled jobs come first for removal, then by priority and turn."""
        return (not self.settled, self.request.priority, self.turn)


class ExplainJob(Job):
    """An explain request and its results so far."""

    def __init__(self, request: ExplainRequest):
        super().__init__(request)
        self.results: list[Any] = [None] * len(request.digests)
        self.pending: dict[Hashable, Item] = {}
        self._places: dict[Hashable, list[int]] = {}
        for place, item in enumerate(request.items()):
            self.pending.setdefault(item.key, item)
            self._places.setdefault(item.key, []).append(place)

    def fill(self, key: Hashable, result: Any) -> bool:
        """Store a result at its positions; return whether all results are there."""
        self.pending.pop(key, None)
        for place in self._places[key]:
            self.results[place] = result
        return not self.pending

    def places(self, key: Hashable) -> list[int]:
        """Return the positions of a sample in the request."""
        return self._places[key]

    @property
    def progress(self) -> tuple[int, int]:
        """Number of distinct samples done and wanted."""
        return len(self._places) - len(self.pending), len(self._places)

    def answer(self) -> Answer:
        """Return the finished results; each caller gets its own Dataset object over shared arrays."""
        return Answer(self.request.id, [result.copy(deep=False) for result in self.results])


class RunJob(Job):
    """A function to run, and its generator if it is a generator function."""

    def __init__(self, request: RunRequest):
        super().__init__(request)
        self.generator: Any = None
        self.progress: tuple[int, int] | None = None
