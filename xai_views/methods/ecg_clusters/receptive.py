"""Receptive field of a tap: how much of a record one of its steps depends on, found by propagating NaN."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch

from xai_views.errors import MethodError
from xai_views.models.taps import capture, taps
from xai_views.models.tracing import example

_KEPT = 128
_BATCH = 16  # records per call

_known: OrderedDict[tuple, ReceptiveField] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of the middle step of a tap.

    Attributes
    ----------
    first, last : int
        Steps of the input before the first and after the last step of its cell that it depends on; a cell is the part of
        the input that a step of the tap represents.
    steps : int
        Number of input steps that it depends on.
    seconds : float or None
        The same in s; None if the rate is unknown.
    cell : float
        Input steps per cell.
    clipped : bool
        Whether the field reaches an end of the record, so that it may be longer than the record.
    """

    first: int
    last: int
    steps: int
    seconds: float | None
    cell: float
    clipped: bool


def receptive_field(model: Any, tap: str) -> ReceptiveField:
    """Measure the receptive field of the middle step of a tap.

    The input is set to NaN up to (or from) some step; everything that depends on it becomes NaN, whatever the weights and
    activations are (a gradient would miss paths that a ReLU or a maximum blocks). The bounds are found by bisection with 16
    records per call: 7 calls for 4096 steps. Results are cached by the model's content key.

    Parameters
    ----------
    model : Model
        A network of signals.
    tap : str
        Module path of the tap.

    Raises
    ------
    MethodError
        When the model is not a signal network, or blocks NaN.
    ModelError
        When there is no such tap.
    """
    if model.kind != "signal":
        raise MethodError(
            f"{getattr(model, 'name', 'this model')!r} takes images and receptive fields are for signal networks; give such "
            "a model."
        )
    key = (model.sha256, model.size, tap)
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    field = _measured(model, tap)
    with _lock:
        _known[key] = field
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return field


def _measured(model: Any, tap: str) -> ReceptiveField:
    plain = example(model)
    total = plain.shape[2]
    cells = (
        next((t.cells for t in taps(model) if t.path == tap), 0)
        or capture(model, plain, [tap])[1][tap].shape[2]
    )
    middle = cells // 2

    def sees(bounds: list[int], before: bool) -> list[bool]:
        """For every bound b, whether the middle step depends on the steps before b (or from b on)."""
        x = plain.repeat(len(bounds), 1, 1)
        for row, b in zip(x, bounds, strict=True):
            row[:, slice(None, b) if before else slice(b, None)] = torch.nan
        return torch.isnan(capture(model, x, [tap])[1][tap][:, :, middle]).any(1).tolist()

    if not sees([total], before=True)[0]:
        raise MethodError(
            f"NaN does not reach the middle of tap {tap!r}, so its receptive field cannot be measured; choose another tap."
        )
    # the first visible step is where "depends on the steps before b" becomes true, at b = first + 1
    first = _turn(lambda b: sees(b, before=True), total) - 1
    last = total - _turn(lambda b: sees([total - x for x in b], before=False), total)
    cell = total / cells
    begin, end = int(middle * cell), int((middle + 1) * cell) - 1
    steps = last - first + 1
    return ReceptiveField(
        begin - first,
        last - end,
        steps,
        steps / model.rate if model.rate else None,
        cell,
        first == 0 or last == total - 1,
    )


def _turn(true_at: Any, top: int) -> int:
    """Smallest b from 1 to ``top`` for which ``true_at([b])`` holds; it holds at ``top`` and is monotonic."""
    low, high = 0, top  # false at low, true at high
    while high - low > 1:
        inner = sorted({low + (high - low) * i // (_BATCH + 1) for i in range(1, _BATCH + 1)} - {low, high})
        answers = true_at(inner)
        low, high = (
            max([low, *(b for b, a in zip(inner, answers, strict=True) if not a)]),
            min([high, *(b for b, a in zip(inner, answers, strict=True) if a)]),
        )
    return high
