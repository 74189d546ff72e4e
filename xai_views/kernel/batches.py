"""Explain the samples of one step: look into the caches, observe what is missing together, interpret each.

No threads and no queue here; what becomes of a result is the caller's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from xai_views.errors import KernelError
from xai_views.kernel import device
from xai_views.kernel.cache import ByteCache
from xai_views.kernel.failures import attempt, is_out_of_memory
from xai_views.kernel.requests import Item

OVERHEAD = 6000  # bytes of a Dataset beside its arrays, measured; small explanations are mostly this
CHECKED = ("logit", "contribution")  # variables in which a NaN means that the explanation is worthless


def explain_items(
    method: Any,
    model: Any,
    items: Iterable[Item],
    results: ByteCache,
    observations: ByteCache,
    wanted: Callable[[Item], bool],
) -> Iterator[tuple[Item, Any, BaseException | None]]:
    """Yield ``(item, result, error)`` for each item as soon as it is known; what nobody wants is left out."""
    missing: dict[Any, tuple[Item, Any]] = {}
    for item in items:
        if not wanted(item):
            continue
        result = results.peek(item.key)  # another request may have had it computed in the meantime
        if result is not None:
            yield item, result, None
            continue
        known = observations.get(item.observation_key)
        covered, error = (False, None) if known is None else attempt(method.covers, model, known, item.ask)
        if error is not None:
            yield item, None, error
        elif covered:
            yield _interpret(method, model, item, known, results)
        else:
            # A second ask about one image waits for the next step, to add to the first's observation.
            missing.setdefault(item.observation_key, (item, known))
    for item, observation, error in _observe(method, model, list(missing.values()), wanted):
        if error is not None:
            yield item, None, error
            continue
        observations.put(item.observation_key, observation)
        if wanted(item):
            yield _interpret(method, model, item, observation, results)


def _observe(
    method: Any, model: Any, waiting: list[tuple[Item, Any]], wanted: Callable[[Item], bool]
) -> Iterator[tuple[Item, Any, BaseException | None]]:
    """Yield ``(item, observation, error)``; halve on out of memory, go one by one on any other error."""
    size = len(waiting)
    while waiting:
        waiting = [(item, known) for item, known in waiting if wanted(item)]
        batch = waiting[:size]
        if not batch:
            return
        observed, error = attempt(_observe_batch, method, model, batch)
        memory = error is not None and is_out_of_memory(error)
        if memory:
            device.free()
        if error is not None and len(batch) > 1:
            size = len(batch) // 2 if memory else 1
            continue
        waiting = waiting[size:]
        if error is not None:
            yield batch[0][0], None, error
            continue
        for (item, _), observation in zip(batch, observed, strict=True):
            yield item, observation, None


def _observe_batch(method: Any, model: Any, batch: list[tuple[Item, Any]]) -> list[Any]:
    images = np.stack([item.image for item, _ in batch])
    asks, known = [item.ask for item, _ in batch], [known for _, known in batch]
    observed = list(method.observe(model, images, asks, known))
    if len(observed) != len(batch):
        raise KernelError(
            f"The method {method.key!r} returned {len(observed)} observations for {len(batch)} samples: "
            "its observe() must return one for each."
        )
    return observed


def _interpret(
    method: Any, model: Any, item: Item, observation: Any, results: ByteCache
) -> tuple[Item, Any, BaseException | None]:
    """Interpret one sample, with a second try if memory ran out, and keep the result."""
    result, error = attempt(_checked, method, model, item, observation)
    if error is not None and is_out_of_memory(error):
        device.free()
        result, error = attempt(_checked, method, model, item, observation)
    if error is None:
        results.put(item.key, result, result.nbytes + OVERHEAD)
    return item, result, error


def _checked(method: Any, model: Any, item: Item, observation: Any) -> Any:
    """Return the explanation with read-only arrays, because all who ask for it share them."""
    result = method.interpret(model, observation, item.ask).copy(deep=False)
    for name in result.data_vars:
        variable = result.variables[name]
        if not isinstance(variable.data, np.ndarray):
            continue
        if name in CHECKED and variable.dtype.kind == "f" and np.isnan(variable.data).any():
            raise KernelError(
                f"The {name} of this sample is not a number (NaN): "
                "check the values of the image and the weights of the model."
            )
        view = variable.data.view()
        view.flags.writeable = False
        variable.data = view
    return result
