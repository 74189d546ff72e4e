"""The controls of the population's order and filters."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui

from xai_views_dashboard.core.state import NONE
from xai_views_dashboard.sic.state import SHOWN, SORTS

ORDERS = {
    "order": "as they come",
    "class": "by predicted class",
    "confidence": "by confidence",
    "margin": "by margin",
    "concentration": "by evidence concentration",
    "distance": "by distance to supports",
}


def controls(state: Any, classes: list[str]) -> list:
    """Order, direction, right or wrong, and label, each tied to the state.

    Parameters
    ----------
    state : SicState
        What is selected.
    classes : list of str
        Class names.

    Returns
    -------
    list of viewables
    """
    sort = pmui.Select(
        label="Order", options={ORDERS[s]: s for s in SORTS}, value=state.sort, width=150, size="small"
    )
    down = pmui.Checkbox(label="largest first", value=state.descending)
    choices = {"all" if s == "all" else f"{s} predictions": s for s in SHOWN}
    shown = pmui.Select(label="Show", options=choices, value=state.shown, width=150, size="small")
    labels = {"any class": NONE} | {c: i for i, c in enumerate(classes)}
    label = pmui.Select(label="Labelled", options=labels, value=state.label, width=150, size="small")
    for widget, name in ((sort, "sort"), (down, "descending"), (shown, "shown"), (label, "label")):
        tie(widget, state, name)
    return [sort, down, shown, label]


def tie(widget: Any, state: Any, name: str) -> None:
    """Keep a control and a parameter in step, as the parameter is by then: another watcher may have corrected it."""

    def write(event: Any) -> None:
        if event.new is not None and event.new != getattr(state, name):
            setattr(state, name, event.new)

    def read(*_: Any) -> None:
        if widget.value != getattr(state, name):
            widget.value = getattr(state, name)

    widget.param.watch(write, "value")
    state.param.watch(read, name)
