"""Which request is served next: latest wins per channel, lower priority first, then in turn."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from xai_views.errors import KernelError
from xai_views.kernel.cache import ByteCache
from xai_views.kernel.requests import PREFETCH, ExplainJob, Item, Job, RunJob


@dataclass(frozen=True, eq=False)
class Step:
    """What the worker does next: one chunk of a run, or one batch for all jobs that can share it."""

    jobs: tuple[Job, ...]
    items: tuple[Item, ...] = ()


class Queue:
    """The jobs that are not answered yet.

    Every public method takes the lock for a short moment; futures are resolved by the caller, outside of it,
    because their callbacks are foreign code.

    Parameters
    ----------
    results
        Cache that answers samples before they are queued.
    max_batch
        Most samples of one step.
    """

    def __init__(self, results: ByteCache, max_batch: int):
        self._results = results
        self._max_batch = max_batch
        self.prefetch_batch = max_batch
        self._changed = threading.Condition()
        self._jobs: dict[int, Job] = {}
        self._channels: dict[str, Job] = {}
        self._waiting: dict[Hashable, dict[int, ExplainJob]] = {}
        self._turns = itertools.count()
        self._step: Step | None = None
        self._closed = False

    def add(self, job: Job) -> tuple[Job | None, bool]:
        """Queue a job; return the older job of its channel and whether the cache answered the new one."""
        with self._changed:
            if self._closed:
                raise KernelError("This kernel is closed: make a new one with xai_views.kernel.Kernel().")
            request = job.request
            older = self._channels.pop(request.channel, None)
            # Who replaces an own wish keeps its place in line; else fast dragging would starve itself.
            job.turn = next(self._turns) if older is None else older.turn
            answered = isinstance(job, ExplainJob) and self._ask_cache(job)
            if not answered:
                self._jobs[request.id] = job
                if request.channel:
                    self._channels[request.channel] = job
            self._changed.notify_all()
            return older, answered

    def _ask_cache(self, job: ExplainJob) -> bool:
        """Fill what the cache has and wait for the rest."""
        for key in list(job.pending):
            result = self._results.get(key)
            if result is None:
                self._waiting.setdefault(key, {})[job.request.id] = job
            else:
                job.fill(key, result)
        return not job.pending

    def take(self, timeout: float | None) -> Step | None:
        """Return the next step; ``None`` after ``timeout`` seconds or when woken for nothing."""
        with self._changed:
            if not self._jobs and not self._closed:
                self._changed.wait(timeout)
            self._tidy()
            if not self._jobs or self._closed:
                return None
            lead = min(self._jobs.values(), key=lambda job: job.order)
            self._step = Step((lead,)) if isinstance(lead, RunJob) else self._batch(lead)
            self._to_the_end_of_the_line(self._step.jobs)
            return self._step

    def _to_the_end_of_the_line(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job.turn = next(self._turns)

    def _tidy(self) -> None:
        """Forget jobs that were cancelled a moment ago, but for generators, which the worker has to close."""
        for job in [job for job in self._jobs.values() if job.settled]:
            if getattr(job, "generator", None) is None:
                self._remove(job)

    def _batch(self, lead: ExplainJob) -> Step:
        """Gather samples of all jobs that can share a pass: in view first, one of each job in turn."""
        mates = [job for job in self._jobs.values() if getattr(job, "group", None) == lead.group]
        mates.sort(key=lambda job: job.order)
        taken: dict[Hashable, Item] = {}
        served: dict[int, Job] = {lead.request.id: lead}
        for priority, level in itertools.groupby(mates, key=lambda job: job.request.priority):
            room = self._max_batch
            if priority >= PREFETCH:
                room = min(room, len(taken) + self.prefetch_batch)
            for job, item in _in_turn(level):
                if item.key in taken:
                    continue
                if len(taken) >= room:
                    break
                taken[item.key] = item
                served[job.request.id] = job
        return Step(tuple(served.values()), tuple(taken.values()))

    def done(self) -> None:
        """Say that the step is over."""
        with self._changed:
            # Once more, so that whoever came during the step is in front of those whom it served.
            self._to_the_end_of_the_line(self._step.jobs)
            self._step = None
            self._changed.notify_all()

    def wants(self, key: Hashable) -> bool:
        """Return whether anybody still waits for this result."""
        with self._changed:
            return key in self._waiting

    def deliver(self, key: Hashable, result: Any) -> list[ExplainJob]:
        """Hand a result to all who wait for it; return the jobs that are complete now."""
        with self._changed:
            jobs = self._waiting.pop(key, {}).values()
            complete = [job for job in jobs if job.fill(key, result)]
            for job in complete:
                self._remove(job)
            return complete

    def fail(self, key: Hashable) -> list[ExplainJob]:
        """Remove and return the jobs that wait for a result that cannot be had."""
        with self._changed:
            jobs = list(self._waiting.get(key, {}).values())
            for job in jobs:
                self._remove(job)
            return jobs

    def drop(self, job: Job) -> None:
        """Forget a cancelled job; a generator that has begun stays until the worker has closed it."""
        with self._changed:
            if not (isinstance(job, RunJob) and job.generator is not None):
                self._remove(job)
            self._changed.notify_all()

    def remove(self, job: Job) -> None:
        """Forget a job."""
        with self._changed:
            self._remove(job)

    def _remove(self, job: Job) -> None:
        request = job.request
        self._jobs.pop(request.id, None)
        if self._channels.get(request.channel) is job:
            del self._channels[request.channel]
        for key in getattr(job, "pending", ()):
            others = self._waiting.get(key, {})
            others.pop(request.id, None)
            if not others:
                self._waiting.pop(key, None)

    def on_channel(self, channel: str) -> Job | None:
        """Return the job of a channel."""
        with self._changed:
            return self._channels.get(channel)

    def queued(self) -> int:
        """Return how many requests wait and are not being worked on."""
        with self._changed:
            running = self._step.jobs if self._step else ()
            return len(self._jobs) - sum(job.request.id in self._jobs for job in running)

    def wait_idle(self, timeout: float | None) -> bool:
        """Wait until nothing is queued or running; return whether that came true."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._jobs or self._step:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def close(self) -> list[Job]:
        """Take nothing more; return the jobs that are left."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return list(self._jobs.values())

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed


def _in_turn(jobs: Iterable[ExplainJob]) -> Iterable[tuple[ExplainJob, Item]]:
    """Yield one sample of each job after the other, until all are empty."""
    cursors = deque((job, iter(list(job.pending.values()))) for job in jobs)
    while cursors:
        job, cursor = cursors.popleft()
        item = next(cursor, None)
        if item is not None:
            yield job, item
            cursors.append((job, cursor))
