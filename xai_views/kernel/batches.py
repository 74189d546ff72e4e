"""Explain the samples of one step: check the caches, observe missing samples together, interpret each.

No threads and no queue here; the caller handles the results. The work is a generator, so that
the caller can leave it at a `Pause` and resume it later.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from xai_views.errors import KernelError
from xai_views.kernel import device
from xai_views.kernel.cache import ByteCache
from xai_views.kernel.chunks import advance, close
from xai_views.kernel.failures import attempt, is_out_of_memory
from xai_views.kernel.listeners import Throttle
from xai_views.kernel.requests import Item

OVERHEAD = 6000  # measured bytes of a Dataset beside its arrays; most of the size of small explanations
CHECKED = ("logit", "contribution")  # variables in which a NaN makes the explanation worthless


class Outcome(NamedTuple):
    """Result of a sample: its explanation or an error."""

    item: Item
    result: Any
    error: BaseException | None


class Partial(NamedTuple):
    """Progress of the observation of a sample, and its explanation so far if available."""

    item: Item
    result: Any
    done: int
    total: int


class Pause(NamedTuple):
    """A method has yielded: the worker may run other work before it resumes."""

    done: int
    total: int


Event = Outcome | Partial | Pause
Waiting = list[tuple[Item, Any]]  # samples to observe, each with its earlier observation


def _never(item: Item) -> bool:  # noqa: ARG001
    return False


def explain_items(
    method: Any,
    model: Any,
    items: Iterable[Item],
    results: ByteCache,
    observations: ByteCache,
    wanted: Callable[[Item], bool],
    listened: Callable[[Item], bool] = _never,
    elsewhere: Callable[[Item], bool] = _never,
) -> Iterator[Event]:
    """Yield the outcome of each item as soon as it is known; unwanted items are skipped.

    Parameters
    ----------
    method, model
        Method, and model to explain.
    items
        Samples that can share a pass.
    results, observations
        Caches. Partial results are never stored in them.
    wanted
        Whether any request still waits for an item; called again at every turn.
    listened
        Whether any request listens to the progress of an item.
    elsewhere
        Whether the sample of an item is part of an observation that has begun: it is answered from what is
        known, or left for later.
    """
    return _Work(method, model, results, observations, wanted, listened, elsewhere).events(items)


class _Work:
    """Work on the items of one step."""

    def __init__(
        self,
        method: Any,
        model: Any,
        results: ByteCache,
        observations: ByteCache,
        wanted: Callable[[Item], bool],
        listened: Callable[[Item], bool],
        elsewhere: Callable[[Item], bool],
    ):
        self.method = method
        self.model = model
        self.results = results
        self.observations = observations
        self.wanted = wanted
        self.listened = listened
        self.elsewhere = elsewhere
        self.throttle = Throttle()

    def events(self, items: Iterable[Item]) -> Iterator[Event]:
        missing: dict[Any, tuple[Item, Any]] = {}
        for item in items:
            if not self.wanted(item):
                continue
            result = self.results.peek(item.key)  # another request may have computed it in the meantime
            if result is not None:
                yield Outcome(item, result, None)
                continue
            known = self.observations.get(item.observation_key)
            covered, error = (
                (False, None) if known is None else attempt(self.method.covers, self.model, known, item.ask)
            )
            if error is not None:
                yield Outcome(item, None, error)
            elif covered:
                yield self._interpret(item, known)
            elif not self.elsewhere(item):
                # A second request for the same sample waits for the next step, to extend the first observation.
                missing.setdefault(item.observation_key, (item, known))
        yield from self._observe(list(missing.values()))

    def _observe(self, waiting: Waiting) -> Iterator[Event]:
        """Observe batch by batch; halve the batch on out of memory, and go one by one on any other error."""
        size = len(waiting)
        while waiting:
            waiting = [(item, known) for item, known in waiting if self.wanted(item)]
            batch = waiting[:size]
            if not batch:
                return
            observed, error = yield from self._observe_batch(batch)
            memory = error is not None and is_out_of_memory(error)
            if memory:
                device.free()
            if error is not None and len(batch) > 1:
                size = len(batch) // 2 if memory else 1
                continue
            waiting = waiting[size:]
            if error is not None:
                yield Outcome(batch[0][0], None, error)
            elif observed is not None:
                yield from self._observed(batch, observed)

    def _observed(self, batch: Waiting, observed: list[Any]) -> Iterator[Outcome]:
        """Store the observations and interpret them."""
        for (item, _), observation in zip(batch, observed, strict=True):
            self.observations.put(item.observation_key, observation)
            if self.wanted(item):
                yield self._interpret(item, observation)

    def _observe_batch(
        self, batch: Waiting
    ) -> Generator[Event, None, tuple[list | None, BaseException | None]]:
        """Return the observations, or the error, or neither when no request waits for them any more."""
        observed, error = attempt(self._call, batch)
        if inspect.isgenerator(observed):
            running: Any = observed
            observed, error = yield from self._run(batch, running)
        if error is None and observed is not None:
            observed, error = attempt(self._counted, observed, batch)
        return observed, error

    def _call(self, batch: Waiting) -> Any:
        """Call the method: this runs the network, or returns a generator that will."""
        images = np.stack([item.image for item, _ in batch])
        asks, known = [item.ask for item, _ in batch], [known for _, known in batch]
        return self.method.observe(self.model, images, asks, known)

    def _run(
        self, batch: Waiting, generator: Generator
    ) -> Generator[Event, None, tuple[list | None, BaseException | None]]:
        """Run a method's generator, with a pause at each yield; return as `_observe_batch` does."""
        news: list[Any] | None = None  # not yet shown to listeners
        try:
            while True:
                ended, value, error = advance(generator, getattr(self.method, "title", "") or self.method.key)
                if ended:
                    # None marks unwanted samples: a method that forgot to return gets an error.
                    return [] if value is None else value, error
                error = self._misshapen(value, batch)
                if error is not None:
                    return None, error
                news = news if value.partial is None else value.partial
                if (yield from self._tell(batch, value, news)):
                    news = None
                yield Pause(int(value.done), int(value.total))
                del value  # frees its partial results before the next piece runs
                if not any(self.wanted(item) for item, _ in batch):
                    return None, None
        finally:
            news = None  # a log record that keeps this frame must not keep it
            close(generator)

    def _misshapen(self, progress: Any, batch: Waiting) -> KernelError | None:
        """Return the error when a method yielded something unusable."""
        if not all(hasattr(progress, name) for name in ("done", "total", "partial")):
            return KernelError(
                f"The method {self.method.key!r} yielded {type(progress).__name__}; "
                "its observe() must yield Progress(done, total)."
            )
        if progress.partial is not None and len(progress.partial) != len(batch):
            return _wrong_number(self.method, len(progress.partial), len(batch))
        return None

    def _tell(self, batch: Waiting, progress: Any, news: list[Any] | None) -> Generator[Event, None, bool]:
        """Report the progress of each sample to its listeners when due; return whether it was due."""
        listened = [self.listened(item) for item, _ in batch]
        if not any(listened) or not self.throttle.due():
            return False
        for place, (item, _) in enumerate(batch):
            if listened[place]:
                observation = None if news is None else news[place]
                result = None if observation is None else self._glimpse(item, observation)
                yield Partial(item, result, int(progress.done), int(progress.total))
        return True

    def _glimpse(self, item: Item, observation: Any) -> Any:
        """Interpret the observation so far, or return nothing on failure: the complete one may still succeed."""
        result, error = attempt(_checked, self.method, self.model, item, observation)
        if error is not None and is_out_of_memory(error):
            device.free()
        return result

    def _counted(self, observed: Iterable[Any], batch: Waiting) -> list[Any]:
        observed = list(observed)
        if len(observed) != len(batch):
            raise _wrong_number(self.method, len(observed), len(batch))
        return observed

    def _interpret(self, item: Item, observation: Any) -> Outcome:
        """Interpret one sample, with a second try when memory ran out, and store the result."""
        result, error = attempt(_checked, self.method, self.model, item, observation)
        if error is not None and is_out_of_memory(error):
            device.free()
            result, error = attempt(_checked, self.method, self.model, item, observation)
        if error is None:
            self.results.put(item.key, result, result.nbytes + OVERHEAD)
        return Outcome(item, result, error)


def _wrong_number(method: Any, got: int, samples: int) -> KernelError:
    return KernelError(
        f"The method {method.key!r} returned {got} observations for {samples} samples; "
        "its observe() must return one per sample."
    )


def _checked(method: Any, model: Any, item: Item, observation: Any) -> Any:
    """Return the explanation with read-only arrays, because all requests for it share them."""
    result = method.interpret(model, observation, item.ask).copy(deep=False)
    for name in result.data_vars:
        variable = result.variables[name]
        if not isinstance(variable.data, np.ndarray):
            continue
        if name in CHECKED and variable.dtype.kind == "f" and np.isnan(variable.data).any():
            raise KernelError(
                f"The {name} of this sample is not a number (NaN); "
                "check the values of the image and the weights of the model."
            )
        view = variable.data.view()
        view.flags.writeable = False
        variable.data = view
    return result
