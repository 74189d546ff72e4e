"""The one thread that uses torch: it takes steps from the queue and settles the jobs."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from xai_views.errors import XaiViewsError
from xai_views.kernel import device as devices
from xai_views.kernel.batches import Outcome, Partial, Pause, explain_items
from xai_views.kernel.cache import ByteCache
from xai_views.kernel.chunks import advance, close
from xai_views.kernel.failures import as_kernel_error, attempt
from xai_views.kernel.listeners import tell
from xai_views.kernel.queue import Queue, Step
from xai_views.kernel.requests import Answer, Cancelled, Job, RunJob
from xai_views.kernel.status import Board, Status

# On the CPU a batch takes as long as its samples together, so few of them may delay the next request.
CPU_PREFETCH_BATCH = 4


class Worker:
    """Serve a queue on one device.

    Parameters
    ----------
    queue, results, observations, board
        Shared with the kernel, each with its own lock.
    status
        Returns the status passed to listeners.
    """

    def __init__(
        self,
        queue: Queue,
        results: ByteCache,
        observations: ByteCache,
        board: Board,
        status: Callable[[], Status],
    ):
        self._queue = queue
        self._results = results
        self._observations = observations
        self._board = board
        self._status = status
        self._broken: XaiViewsError | None = None
        self._moved: set[str] = set()
        self.thread = threading.Thread(target=self._work, name="xai-views-kernel", daemon=True)

    def _work(self) -> None:
        self._start()
        while not self._queue.closed:
            step = self._queue.take(self._board.pause())
            if step is not None:
                _, error = attempt(self._serve, step)
                for job in step.jobs if error is not None else ():
                    self._finish(job, error=error)
                self._measure()
                self._queue.done()
                del step  # its images are not kept while waiting
            if (
                self._queue.idle
            ):  # else the next step reports: between two steps, running work would appear as waiting
                self._board.tell(self._status)
        for step in self._queue.abandon():
            if step.work is not None:
                close(step.work)
        for job in self._queue.close():
            self._close_generator(job)
            self._queue.remove(job)

    def _start(self) -> None:
        device, error = attempt(devices.start, self._board.device)
        if error is not None:
            self._broken = as_kernel_error(error, "The kernel's start", self._board.device)
            self._board.error = str(self._broken)
        else:
            self._board.device = device
            if device == "cpu":
                self._queue.prefetch_batch = min(self._queue.prefetch_batch, CPU_PREFETCH_BATCH)
        self._board.touch()

    def _measure(self) -> None:
        memory = None
        if self._broken is None:
            memory, _ = attempt(devices.allocated, self._board.device)
        self._board.device_memory = memory or 0
        self._board.touch()

    def _serve(self, step: Step) -> None:
        devices.gradients_on()
        if self._broken is not None:
            for job in step.jobs:
                self._finish(job, error=self._broken)
        elif step.items:
            self._explain(step)
        else:
            self._run(step.jobs[0])

    def _say(self, text: str, progress: tuple[int, int] | None) -> None:
        self._board.running, self._board.progress = text, progress
        self._board.touch()
        self._board.tell(self._status)

    def _finish(self, job: Job, value: Any = None, error: BaseException | None = None) -> None:
        """Settle a job; unknown callbacks run here, so the queue's lock is not held."""
        self._queue.remove(job)
        if error is not None and not job.settled:
            error = as_kernel_error(error, job.request.subject, self._board.device)
            if not isinstance(error, Cancelled):
                self._board.error = str(error)
        job.settle(Answer(job.request.id, value, error))

    # Explanations

    def _explain(self, step: Step) -> None:
        """Work on a batch until its end or its next pause."""
        self._say_step(step)
        # Work stays in the step only at a pause: any error ends it.
        work, step.work = step.work or self._begin(step), None
        for event in work:
            if isinstance(event, Pause):
                step.work, step.progress = work, (event.done, event.total)
                return
            if isinstance(event, Partial):
                self._show(event)
            else:
                step.progress = None
                self._hand_out(event)
                self._say_step(step)

    def _begin(self, step: Step) -> Iterator:
        request = step.request
        if request.model.sha256 not in self._moved:
            devices.move(request.model, self._board.device)
            self._moved.add(request.model.sha256)
        return explain_items(
            request.method,
            request.model,
            step.items,
            self._results,
            self._observations,
            wanted=lambda item: self._queue.wants(item.key),
            listened=lambda item: bool(self._queue.listeners(item.key)),
            elsewhere=lambda item: item.key in step.looking,
        )

    def _say_step(self, step: Step) -> None:
        lead: Any = step.jobs[0]
        self._say(lead.request.title, step.progress or lead.progress)

    def _hand_out(self, outcome: Outcome) -> None:
        """Pass a sample's explanation, or the error, to all jobs that wait for it."""
        if outcome.error is not None:
            for job in self._queue.fail(outcome.item.key):
                self._finish(job, error=outcome.error)
            return
        for job in self._queue.deliver(outcome.item.key, outcome.result):
            job.settle(job.answer())

    def _show(self, partial: Partial) -> None:
        """Report the progress of a sample to its listeners; each gets its own Dataset object."""
        for listener, places in self._queue.listeners(partial.item.key):
            for place in places:
                result = None if partial.result is None else partial.result.copy(deep=False)
                tell(listener, place, result, partial.done, partial.total)

    # Functions

    def _run(self, job: Any) -> None:
        """Run a function to its end, or a generator to its next yield."""
        if job.settled:
            self._close_generator(job)
            self._queue.remove(job)
            return
        self._say(job.request.title, job.progress)
        if job.generator is None:
            value, error = attempt(job.request.function, self._progress(job))
            if error is not None or not inspect.isgenerator(value):
                self._finish(job, value, error)
                return
            job.generator = value
        ended, value, error = advance(job.generator, job.request.subject)
        if ended or job.settled:
            self._close_generator(job)
            self._finish(job, value, error)

    def _progress(self, job: RunJob) -> Callable[[int, int], None]:
        """Return the progress function of a run; it raises once the job is cancelled."""

        def progress(done: int, total: int) -> None:
            if job.settled:
                raise Cancelled
            if threading.current_thread() is self.thread:
                job.progress = (int(done), int(total))
                self._say(job.request.title, job.progress)

        return progress

    def _close_generator(self, job: Any) -> None:
        """Run a generator's ``finally`` blocks, on the thread that ran its other parts."""
        generator = getattr(job, "generator", None)
        if generator is not None:
            close(generator)
            job.generator = None
