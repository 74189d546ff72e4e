"""The one thread that owns torch: it takes steps from the queue and settles the jobs."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any

from xai_views.errors import KernelError
from xai_views.kernel import device as devices
from xai_views.kernel.batches import explain_items
from xai_views.kernel.cache import ByteCache
from xai_views.kernel.failures import as_kernel_error, attempt
from xai_views.kernel.queue import Queue, Step
from xai_views.kernel.requests import Answer, Cancelled, ExplainJob, Job, RunJob
from xai_views.kernel.status import Board, Status

# On the CPU a batch takes as long as its samples together, so few of them may stand before the next wish.
CPU_PREFETCH_BATCH = 4


class Worker:
    """Serve a queue on one device.

    Parameters
    ----------
    queue, results, observations, board
        Shared with the kernel, each with its own lock.
    status
        Makes the status that listeners are told.
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
        self._broken: KernelError | None = None
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
                self._board.running, self._board.progress = "", None
                self._measure()
                self._queue.done()
                del step  # its images are not held while waiting
            self._board.tell(self._status)
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
        """Settle a job; foreign callbacks run here, so the queue's lock is not held."""
        self._queue.remove(job)
        if error is not None and not job.settled:
            title = job.request.title.partition(":")[0]
            error = as_kernel_error(error, title, self._board.device)
            if not isinstance(error, Cancelled):
                self._board.error = str(error)
        job.settle(Answer(job.request.id, value, error))

    # Explanations

    def _explain(self, step: Step) -> None:
        lead: ExplainJob = step.jobs[0]
        request = lead.request
        self._say(request.title, lead.progress)
        if request.model.sha256 not in self._moved:
            devices.move(request.model, self._board.device)
            self._moved.add(request.model.sha256)
        outcomes = explain_items(
            request.method,
            request.model,
            step.items,
            self._results,
            self._observations,
            wanted=lambda item: self._queue.wants(item.key),
        )
        for item, result, error in outcomes:
            if error is not None:
                for job in self._queue.fail(item.key):
                    self._finish(job, error=error)
                continue
            for job in self._queue.deliver(item.key, result):
                job.settle(job.answer())
            self._say(request.title, lead.progress)

    # Functions

    def _run(self, job: RunJob) -> None:
        """Run a function to its end, or a generator to its next yield."""
        if job.settled:
            self._close_generator(job)
            self._queue.remove(job)
            return
        self._say(job.request.title, None)
        if job.generator is None:
            value, error = attempt(job.request.function, self._progress(job))
            if error is not None or not inspect.isgenerator(value):
                self._finish(job, value, error)
                return
            job.generator = value
        step, error = attempt(_advance, job.generator)
        ended, value = step or (True, None)
        if error is None and not ended and devices.gradients_are_off():
            # Left so, everybody's gradients would be off until this generator goes on.
            ended = True
            error = KernelError(f"{job.request.title} yielded inside torch.no_grad(): yield outside of it.")
        if ended or job.settled:
            self._close_generator(job)
            self._finish(job, value, error)

    def _progress(self, job: RunJob) -> Callable[[int, int], None]:
        """Return the function that a run reports its progress with; it raises once the job is cancelled."""

        def progress(done: int, total: int) -> None:
            if job.settled:
                raise Cancelled
            if threading.current_thread() is self.thread:
                self._say(job.request.title, (int(done), int(total)))

        return progress

    def _close_generator(self, job: Job) -> None:
        """Let a generator's ``finally`` blocks run, on the thread that its other parts ran on."""
        generator = getattr(job, "generator", None)
        if generator is not None:
            attempt(generator.close)
            job.generator = None


def _advance(generator: Generator) -> tuple[bool, Any]:
    """Run a generator to its next yield; return whether it ended, and its value."""
    try:
        next(generator)
    except StopIteration as stop:
        return True, stop.value
    return False, None
