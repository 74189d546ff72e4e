"""What is asked of the kernel and what it answers: frozen requests and answers, and the jobs between them.

A request captures everything at the moment it is made, so the worker never looks at a session's state.
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

PREFETCH = 10  # requests of this priority number or more are for idle time only

WORKING = "Computing"  # for work that has no title

_ids = itertools.count(1)


class Cancelled(KernelError):  # noqa: N818 - named like the state of its future
    """The request was cancelled or a newer one on its channel took its place."""

    def __init__(self) -> None:
        super().__init__("This computation was stopped: it was cancelled or a newer one took its place.")


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
    """A wish for the explanations of some samples."""

    channel: str
    priority: int
    model: Any
    method: Any
    images: np.ndarray
    digests: tuple[str, ...]
    asks: tuple[Hashable, ...]
    keys: tuple[Hashable, ...]  # for each ask: what an observation for it depends on beside model and sample
    partial: Callable | None = None
    id: int = field(default_factory=lambda: next(_ids))

    @property
    def subject(self) -> str:
        """What an error says has failed."""
        return getattr(self.method, "title", "").partition(":")[0] or self.method.key

    @property
    def title(self) -> str:
        """What the status line says while it runs."""
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
    """A wish to run a function on the worker."""

    channel: str
    priority: int
    function: Callable
    title: str = ""  # what the status line says while it runs; the name of a function says nothing to people
    id: int = field(default_factory=lambda: next(_ids))

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or WORKING)

    @property
    def subject(self) -> str:
        """What an error says has failed."""
        return "The computation" if self.title == WORKING else f"‘{self.title}’"


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of the request with the same id: a value or an error."""

    id: int
    value: Any = None
    error: BaseException | None = None


class Promise:
    """A future that is resolved once, whoever comes first; until then it can be cancelled."""

    def __init__(self, future: Future):
        # The future stays pending until it is settled, so that it can be cancelled at any moment.
        self.future = future
        self.settled = False
        self._gate = threading.Lock()

    def settle(self, answer: Answer | None) -> None:
        """Resolve the future, once; ``None`` when it has been cancelled."""
        with self._gate:
            if self.settled:
                return
            self.settled = True
        # Also wakes those who wait for a cancelled future; False means cancelled, so nothing may be set.
        if not self.future.set_running_or_notify_cancel():
            return
        assert answer is not None
        if answer.error is not None:
            self.future.set_exception(answer.error)
        else:
            self.future.set_result(answer.value)


class Job(Promise):
    """A request on its way to an answer."""

    def __init__(self, request: ExplainRequest | RunRequest):
        super().__init__(Future())
        self.request: Any = request
        self.future.request_id = request.id  # type: ignore[attr-defined]  # for those who cancel it
        self.turn = 0

    @property
    def order(self) -> tuple:
        """Return what the queue sorts by: settled jobs are tidied up first, then by priority and turn."""
        return (not self.settled, self.request.priority, self.turn)


class ExplainJob(Job):
    """An explain request and the results that it has so far."""

    def __init__(self, request: ExplainRequest):
        super().__init__(request)
        self.results: list[Any] = [None] * len(request.digests)
        self.pending: dict[Hashable, Item] = {}
        self._places: dict[Hashable, list[int]] = {}
        for place, item in enumerate(request.items()):
            self.pending.setdefault(item.key, item)
            self._places.setdefault(item.key, []).append(place)

    def fill(self, key: Hashable, result: Any) -> bool:
        """Put a result in its places; return whether all results are there."""
        self.pending.pop(key, None)
        for place in self._places[key]:
            self.results[place] = result
        return not self.pending

    def places(self, key: Hashable) -> list[int]:
        """Return the positions of a sample in the request."""
        return self._places[key]

    @property
    def progress(self) -> tuple[int, int]:
        """Different samples done and wanted."""
        return len(self._places) - len(self.pending), len(self._places)

    def answer(self) -> Answer:
        """Return the finished results; each asker gets a Dataset object of its own over shared arrays."""
        return Answer(self.request.id, [result.copy(deep=False) for result in self.results])


class RunJob(Job):
    """A function to run, and its generator once it turned out to be one."""

    def __init__(self, request: RunRequest):
        super().__init__(request)
        self.generator: Any = None
        self.progress: tuple[int, int] | None = None
