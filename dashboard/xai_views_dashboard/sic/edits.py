"""Edits of the support set as changes of the state, and their effects in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

import numpy as np
import panel as pn

from xai_views.methods.sic.what_if import Effect
from xai_views.models.supports import Supports
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.tasks import start

NO_RETRAINING = "The network itself stays as it is; nothing is trained again."


def class_of(latents: Any, row: int, classes: list[str]) -> str:
    """Words for the class (or the classes) that a training image has."""
    if latents.label.ndim == 2:
        return ", ".join(classes[c] for c in np.flatnonzero(latents.label[row] > 0)) or "none"
    return classes[int(latents.label[row])]


def excluding(state: Any, position: int, target: int) -> dict[str, list]:
    """Changes of the state that take a support away; one that was added by hand is simply taken back."""
    added = [list(a) for a in state.added]
    if [position, target] in added:
        return {"added": [a for a in added if a != [position, target]]}
    return {"excluded": [*state.excluded, position]}


def adding(state: Any, own: Supports, position: int, target: int) -> dict[str, list]:
    """Changes of the state that add a training image; one of the shipped supports is simply let in again."""
    shipped = bool(np.any((own.index == position) & (own.label == target)))
    if shipped and position in state.excluded and state.rule == "model" and not state.per_class:
        return {"excluded": [i for i in state.excluded if i != position]}
    return {"added": [*state.added, [position, target]]}


def effect_words(effect: Effect, classes: list[str]) -> str:
    """The effect of an edited support set in words."""
    parts = [f"Support samples {effect.supports.before} → {effect.supports.after}."]
    if effect.logit is not None:
        parts.append(
            f"This sample: logit of {classes[effect.target]} {number(effect.logit.before)} → "
            f"{number(effect.logit.after)}, predicted {classes[effect.predicted.before]} → "
            f"{classes[effect.predicted.after]}."
        )
    if effect.accuracy is not None:
        parts.append(
            f"Test accuracy {effect.accuracy.before:.3f} → {effect.accuracy.after:.3f} "
            f"({effect.labelled} samples); {effect.moved} of {effect.population} are predicted otherwise."
        )
    elif not effect.population:
        parts.append("The test accuracy follows when every sample was observed.")
    else:
        parts.append(
            f"{effect.moved} of {effect.population} samples are predicted otherwise; none has a label."
        )
    return " ".join([*parts, NO_RETRAINING])


def later(make: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Start a coroutine if there is an event loop; a script, which has none, does without."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    start(make())
    return True


def when_done(future: Future, call: Callable[[], Any]) -> None:
    """Call a function on this page's event loop when a future has a result; at once is not its business."""
    doc = pn.state.curdoc
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None

    def arrived(future: Future) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        if doc is not None and doc.session_context is not None:
            doc.add_next_tick_callback(call)
        elif loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call)

    if not future.done():
        future.add_done_callback(arrived)
