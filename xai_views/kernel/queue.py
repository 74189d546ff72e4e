"""Order of requests: the latest wins per channel, lower priority numbers first, then in turn."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from xai_views.errors import KernelError
from xai_views.kernel.cache import ByteCache
from xai_views.kernel.requests import PREFETCH, ExplainJob, Item, Job, RunJob


class Step:
    """Next work of the worker: one piece of a run, or one batch for all jobs that can share it.

    A batch whose method yields keeps its work here, returns to the queue and is resumed in turn.

    Parameters
    ----------
    jobs
        Jobs that it serves, the most urgent first; for a resumed batch the jobs that wait for it now, if any.
    items
        The samples of the batch.
    looking
        Keys of the items that an older batch is observing: they are answered from what is already known, or
        not at all.

    Attributes
    ----------
    request
        Request of its first job.
    work
        Remaining work while the step is in the queue; else None.
    progress
        Done and total of the current observation, if known.
    """

    def __init__(
        self, jobs: tuple[Job, ...], items: tuple[Item, ...] = (), looking: frozenset[Hashable] = frozenset()
    ):
        self.jobs = jobs
        self.items = items
        self.looking = looking
        self.request = jobs[0].request
        self.turn = 0
        self.work: Iterator | None = None
        self.progress: tuple[int, int] | None = None
        own = [item for item in items if item.key not in looking]
        self.keys = [item.key for item in own]
        self.observing = {item.observation_key for item in own}
        # Samples in other batches are not looked up again during this observation: nothing new is known until its end.
        self.seen = set(self.keys)


class Queue:
    """Jobs that are not answered yet.

    Every public method holds the lock briefly; the caller resolves futures outside of it,
    because their callbacks are unknown code.

    Parameters
    ----------
    results
        Cache in which samples are looked up before they are queued.
    max_batch
        Largest number of samples in one step.
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
        self._paused: list[Step] = []
        self._closed = False

    def add(self, job: Job) -> tuple[Job | None, bool]:
        """Queue a job; return the older job of its channel, and whether the cache answered the new one."""
        with self._changed:
            if self._closed:
                raise KernelError("This kernel is closed; create a new one with xai_views.kernel.Kernel().")
            request = job.request
            older = self._channels.pop(request.channel, None)
            # A request that replaces one of its own channel keeps its place in the queue; else fast dragging would starve itself.
            job.turn = next(self._turns) if older is None else older.turn
            answered = isinstance(job, ExplainJob) and self._ask_cache(job)
            if not answered:
                self._jobs[request.id] = job
                if request.channel:
                    self._channels[request.channel] = job
            self._changed.notify_all()
            return older, answered

    def _ask_cache(self, job: ExplainJob) -> bool:
        """Fill in the cached results and leave the rest waiting."""
        for key in list(job.pending):
            result = self._results.get(key)
            if result is None:
                self._waiting.setdefault(key, {})[job.request.id] = job
            else:
                job.fill(key, result)
        return not job.pending

    def take(self, timeout: float | None) -> Step | None:
        """Return the next step; ``None`` after ``timeout`` seconds, or when woken without work."""
        with self._changed:
            if not self._jobs and not self._paused and not self._closed:
                self._changed.wait(timeout)
            self._tidy()
            if self._closed or not (self._jobs or self._paused):
                return None
            self._step = self._next()
            self._to_the_end_of_the_line(self._step)
            return self._step

    def _next(self) -> Step:
        """Choose among the jobs with work to begin and the paused batches."""
        observed = {key: step for step in self._paused for key in step.observing}
        askers = {step: self._askers(step) for step in self._paused}
        served = {job.request.id for jobs in askers.values() for job in jobs}
        waiting: dict[Step, list[Job]] = {step: list(jobs) for step, jobs in askers.items()}
        ready = []
        for job in self._jobs.values():
            if job.request.id in served:
                continue  # one batch of each job at a time: a second one would only use more memory
            steps = _in_the_way(job, observed)
            for step in steps:
                waiting[step].append(job)
            if not steps:
                ready.append(job)
        choices: list[tuple[tuple, Any]] = [(job.order, job) for job in ready]
        for step in self._paused:
            # A batch has the priority of its most urgent job; one without jobs is closed by the worker first.
            urgency = min((job.request.priority for job in waiting[step]), default=0)
            choices.append(((bool(askers[step]), urgency, step.turn), step))
        lead = min(choices, key=lambda choice: choice[0])[1]
        if isinstance(lead, Step):
            self._paused.remove(lead)
            if askers[lead]:
                lead.jobs = tuple(sorted(askers[lead], key=lambda job: job.order))
            return lead
        return Step((lead,)) if isinstance(lead, RunJob) else self._batch(lead, observed)

    def _askers(self, step: Step) -> list[ExplainJob]:
        """Return the jobs that wait for any sample of a batch."""
        jobs = {}
        for key in step.keys:
            jobs.update(self._waiting.get(key, {}))
        return list(jobs.values())

    def _to_the_end_of_the_line(self, step: Step) -> None:
        for job in step.jobs:
            job.turn = next(self._turns)
        step.turn = next(self._turns)

    def _tidy(self) -> None:
        """Remove recently cancelled jobs, except generators, which the worker has to close."""
        for job in [job for job in self._jobs.values() if job.settled]:
            if getattr(job, "generator", None) is None:
                self._remove(job)

    def _batch(self, lead: ExplainJob, observed: dict[Hashable, Step]) -> Step:
        """Collect samples of all jobs that can share a pass: in view first, one of each job in turn."""

        def free(item: Item) -> bool:
            step = observed.get(item.observation_key)
            return step is None or item.key not in step.seen

        group = next(item.group for item in lead.pending.values() if free(item))
        mates = sorted(
            (j for j in self._jobs.values() if isinstance(j, ExplainJob)), key=lambda job: job.order
        )
        taken: dict[Hashable, Item] = {}
        served: dict[int, Job] = {lead.request.id: lead}
        for priority, level in itertools.groupby(mates, key=lambda job: job.request.priority):
            room = self._max_batch
            if priority >= PREFETCH:
                room = min(room, len(taken) + self.prefetch_batch)
            for job, item in _in_turn(level, lambda item: item.group == group and free(item)):
                if item.key in taken:
                    continue
                if len(taken) >= room:
                    break
                taken[item.key] = item
                served[job.request.id] = job
        looking = frozenset(item.key for item in taken.values() if item.observation_key in observed)
        for key in looking:
            observed[taken[key].observation_key].seen.add(key)
        return Step(tuple(served.values()), tuple(taken.values()), looking)

    def done(self) -> None:
        """Mark the step as over, or as paused if work is left."""
        with self._changed:
            # Sort again, so that jobs that arrived during the step precede those that it served.
            assert self._step is not None
            self._to_the_end_of_the_line(self._step)
            if self._step.work is not None:
                self._paused.append(self._step)
            self._step = None
            self._changed.notify_all()

    def wants(self, key: Hashable) -> bool:
        """Return whether any job still waits for this result."""
        with self._changed:
            return key in self._waiting

    def listeners(self, key: Hashable) -> list[tuple[Callable, list[int]]]:
        """Return the progress listeners of a sample, each with its positions in the request."""
        with self._changed:
            jobs = self._waiting.get(key, {}).values()
            return [(job.request.partial, job.places(key)) for job in jobs if job.request.partial is not None]

    def deliver(self, key: Hashable, result: Any) -> list[ExplainJob]:
        """Pass a result to all jobs that wait for it; return the jobs that are now complete."""
        with self._changed:
            jobs = self._waiting.pop(key, {}).values()
            complete = [job for job in jobs if job.fill(key, result)]
            for job in complete:
                self._remove(job)
            return complete

    def fail(self, key: Hashable) -> list[ExplainJob]:
        """Remove and return the jobs that wait for a result that failed."""
        with self._changed:
            jobs = list(self._waiting.get(key, {}).values())
            for job in jobs:
                self._remove(job)
            return jobs

    def drop(self, job: Job) -> None:
        """Remove a cancelled job; a generator that has begun stays until the worker has closed it."""
        with self._changed:
            if not (isinstance(job, RunJob) and job.generator is not None):
                self._remove(job)
            self._changed.notify_all()

    def remove(self, job: Job) -> None:
        """Remove a job."""
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
        """Return the number of waiting requests that are not being worked on."""
        with self._changed:
            running = self._step.jobs if self._step else ()
            return len(self._jobs) - sum(job.request.id in self._jobs for job in running)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or running."""
        with self._changed:
            return not (self._jobs or self._paused or self._step)

    def wait_idle(self, timeout: float | None) -> bool:
        """Wait until nothing is queued or running; return False on timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self.idle:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def close(self) -> list[Job]:
        """Accept no more jobs; return the remaining ones."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return list(self._jobs.values())

    def abandon(self) -> list[Step]:
        """Remove and return the paused batches, to be closed."""
        with self._changed:
            steps, self._paused = self._paused, []
            self._changed.notify_all()
            return steps

    @property
    def closed(self) -> bool:
        """Whether ``close`` has been called."""
        return self._closed


def _in_the_way(job: Job, observed: dict[Hashable, Step]) -> set[Step]:
    """Return the paused batches that block all samples of a job; none if a sample can be started."""
    steps = set()
    for item in getattr(job, "pending", {}).values():
        step = observed.get(item.observation_key)
        if step is None or item.key not in step.seen:
            return set()
        steps.add(step)
    return steps


def _in_turn(jobs: Iterable[ExplainJob], fits: Callable[[Item], bool]) -> Iterable[tuple[ExplainJob, Item]]:
    """Yield one suitable sample of each job in turn, until none are left."""
    cursors = deque((job, filter(fits, list(job.pending.values()))) for job in jobs)
    while cursors:
        job, cursor = cursors.popleft()
        item = next(cursor, None)
        if item is not None:
            yield job, item
            cursors.append((job, cursor))
