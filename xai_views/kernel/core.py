"""The kernel: the single object of a process that owns the models, the device and the queue."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Self

import numpy as np

from xai_views.errors import KernelError
from xai_views.kernel import device as devices
from xai_views.kernel.cache import ByteCache
from xai_views.kernel.queue import Queue
from xai_views.kernel.requests import ExplainJob, ExplainRequest, Job, RunJob, RunRequest
from xai_views.kernel.shared import Runs, SharedFuture
from xai_views.kernel.status import Board, Status, count_passes
from xai_views.kernel.worker import Worker

MB = 2**20


class Kernel:
    """Compute explanations on one device for many sessions, one batch at a time.

    Parameters
    ----------
    device
        ``auto`` (cuda, else mps, else cpu) or the name of a device; fixed once the kernel starts.
    cache_bytes
        Host memory for caches: half for observations, half for explanations.
    frame_bytes
        Host memory for encoded frames.
    max_batch
        Largest number of samples in one call of a method's ``observe``.
    most_shared
        Largest number of `shared` values to keep.

    Notes
    -----
    A function given to `run` and a method's ``observe`` occupy the worker until they return, unless they are
    generators: between two yields the worker serves requests with a lower priority number, and those with the
    same number in turn. A generator must therefore not yield inside ``torch.no_grad()``, nor while it has hooks or
    other changes on a model that other requests may use. A single call into torch cannot be interrupted:
    a cancelled request stops at its next batch, yield or ``progress``.
    """

    def __init__(
        self,
        device: str = "auto",
        cache_bytes: int = 512 * MB,
        frame_bytes: int = 256 * MB,
        max_batch: int = 64,
        most_shared: int = 64,
    ):
        if max_batch < 1:
            raise KernelError(f"A batch of {max_batch} samples is not possible; use max_batch=1 or more.")
        self.frames = ByteCache(frame_bytes)
        self.observations = ByteCache(cache_bytes // 2)
        self.results = ByteCache(cache_bytes - cache_bytes // 2)
        self._models: dict[str, Any] = {}
        self._runs = Runs(most_shared)
        self._lock = threading.Lock()
        self._board = Board(devices.check_name(device))
        self._queue = Queue(self.results, max_batch)
        self._worker = Worker(self._queue, self.results, self.observations, self._board, self.status)
        self._worker.thread.start()
        _alive.add(self)

    def register(self, model: Any) -> Any:
        """Register a model; return it, or the model with the same sha256 that was registered first.

        The worker moves its weights to the device at its first explanation; from then on only the worker may
        call the model.
        """
        with self._lock:
            return self._models.setdefault(model.sha256, model)

    def explain(
        self,
        model: Any,
        images: np.ndarray,
        digests: Sequence[str],
        method: Any,
        asks: Sequence[Hashable],
        channel: str = "",
        priority: int = 0,
        partial: Callable[[int, Any, int, int], None] | None = None,
    ) -> Future:
        """Request explanations of images or signals.

        Parameters
        ----------
        model
            A model; it is registered if necessary.
        images
            ``[N, H, W, C]``, or signals ``[N, lead, time]``; must not be changed after the call.
        digests
            N content keys, see `xai_views.samples.digest`.
        method
            A method. Its ``observe`` may be a generator that yields objects with ``done``, ``total`` and
            ``partial`` (a list of one observation or None for each sample, or None), and returns the list.
        asks
            N hashable requests, each with all parameters of the method.
        channel
            Newer requests on the same non-empty channel replace older ones, whatever their
            priority: prefetch needs its own channel.
        priority
            Lower is served first: 0 is in view, 10 and above is prefetch.
        partial
            ``partial(position, dataset, done, total)`` is called with the progress of the sample at ``position``
            and its explanation so far; the Dataset is None when there is nothing new. It is called on the worker
            thread, at most about ten times a second, and never after the future has its result. It must be quick
            and leave page updates to the event loop. Partial results are not cached.

        Returns
        -------
        concurrent.futures.Future
            Of a list of N Datasets with read-only arrays; ``future.request_id`` increases from call to call.
            In a callback: ``await asyncio.wrap_future(future)``; cancelling either cancels the request.
        """
        images = np.asarray(images)
        if images.ndim not in (3, 4) or not len(images) == len(digests) == len(asks):
            raise KernelError(
                f"Images of shape {images.shape} came with {len(digests)} digests and {len(asks)} requests; "
                "give images [N, height, width, channel] or signals [N, lead, time] with N of each."
            )
        model = self.register(model)
        digests, asks = tuple(digests), tuple(asks)
        try:
            hash(asks)
        except TypeError as error:
            raise KernelError(f"A request cannot be a cache key ({error}); use hashable values.") from error
        keys = _keys(method, asks)
        request = ExplainRequest(channel, priority, model, method, images, digests, asks, keys, partial)
        return self._submit(ExplainJob(request))

    def run(self, function: Callable, channel: str = "", priority: int = 0, title: str = "") -> Future:
        """Run ``function(progress)`` on the worker and return the future of its value.

        ``progress(done, total)`` updates the status and raises `Cancelled` once the request is cancelled or
        superseded. A plain function blocks the worker until it returns. A generator function does not:
        between its yields the worker serves requests with the same or a lower priority number; its return
        value is the result. It must not yield inside ``torch.no_grad()``. ``title`` is shown in the status line
        meanwhile, such as "Comparing models".
        """
        return self._submit(RunJob(RunRequest(channel, priority, function, title)))

    def shared(self, key: Hashable, function: Callable, priority: int = 0, title: str = "") -> SharedFuture:
        """Run ``function(progress)`` once for all callers with the same ``key``, and keep its value.

        A run that failed or was stopped is repeated at the next call.

        Parameters
        ----------
        key
            Everything the value depends on; the ``function`` of the first caller is run.
        function, priority, title
            As in `run`.

        Returns
        -------
        SharedFuture
            One future per caller: cancelling it withdraws this caller, and the run stops with the last one.
            ``future.progress`` is (done, total) or None; ``future.subscribe(listener)`` reports changes.
        """
        return self._runs.ask(
            key, function, lambda wrapped: self.run(wrapped, priority=priority, title=title)
        )

    def _submit(self, job: Job) -> Future:
        # The future outlives the job; a strong reference would keep the images alive.
        weak = weakref.ref(job)

        def forget(future: Future) -> None:
            job = weak()
            if job is not None and future.cancelled():
                job.settle(None)
                self._board.touch()
                self._queue.drop(job)

        future = job.future
        future.add_done_callback(forget)
        self._board.touch()
        older, answered = self._queue.add(job)
        if answered and isinstance(job, ExplainJob):
            job.settle(job.answer())
        if older is not None:
            older.future.cancel()
        return future

    def cancel(self, channel: str) -> None:
        """Cancel the queued or running request of a channel."""
        job = self._queue.on_channel(channel)
        if job is not None:
            job.future.cancel()

    def status(self) -> Status:
        """Return the current status of the kernel."""
        board, results = self._board, self.results.stats()
        forward, backward = count_passes()
        idle = self._queue.idle  # else the worker is between two pieces
        return Status(
            device=board.device,
            queued=self._queue.queued(),
            running="" if idle else board.running,
            progress=None if idle else board.progress,
            hits=results.hits,
            misses=results.misses,
            forward=forward,
            backward=backward,
            error=board.error,
            memory=results.nbytes + self.observations.nbytes + self.frames.nbytes,
            device_memory=board.device_memory,
        )

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call ``listener(status)`` on changes, at most ten times a second; return a function that unsubscribes.

        The worker thread calls the listener: it must be quick and leave page updates to the event loop.
        """
        return self._board.subscribe(listener)

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued or running; raise ``TimeoutError`` after ``timeout`` seconds."""
        if not self._queue.wait_idle(timeout):
            raise TimeoutError(f"The kernel is still busy after {timeout} s.")
        return True

    def close(self, timeout: float | None = 5.0) -> None:
        """Cancel everything and stop the worker, waiting ``timeout`` seconds for its current step."""
        for job in self._queue.close():
            job.future.cancel()
        if threading.current_thread() is not self._worker.thread:
            self._worker.thread.join(timeout)
        _alive.discard(self)

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._queue.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _keys(method: Any, asks: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Return for each request the part of its key that every observation depends on."""
    keys = tuple(method.observation_key(ask) for ask in asks)
    try:
        hash(keys)
    except TypeError as error:
        raise KernelError(
            f"An observation of {method.key!r} cannot be cached ({error}); let observation_key() return hashable values."
        ) from error
    return keys


_alive: weakref.WeakSet[Kernel] = weakref.WeakSet()
_kernel: Kernel | None = None
_kernel_lock = threading.Lock()


def get_kernel() -> Kernel:
    """Return the kernel of this process; the first call creates it, on ``XAI_VIEWS_DEVICE`` or ``auto``."""
    global _kernel  # noqa: PLW0603 - one kernel per process is the point
    with _kernel_lock:
        if _kernel is None or _kernel.closed:
            _kernel = Kernel(device=os.environ.get("XAI_VIEWS_DEVICE", "") or "auto")
        return _kernel


def set_kernel(kernel: Kernel | None) -> Kernel | None:
    """Replace the kernel, for tests; return the previous one, which is not closed."""
    global _kernel
    with _kernel_lock:
        previous, _kernel = _kernel, kernel
        return previous


@atexit.register
def _close_all() -> None:
    """Stop the workers before the interpreter unloads torch."""
    for kernel in list(_alive):
        kernel.close(timeout=2.0)
