"""Widgets that follow from declared parameters: one way to tie a control to a state, and one to make it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import panel_material_ui as pmui
import param

from xai_views.contract.content import Content

SLIDER = 64  # integers of at most so many values get a slider


def linked(widget: Any, state: param.Parameterized, name: str) -> Any:
    """Tie a widget to a parameter, both ways; return the widget.

    Each takes over what the other holds by then: another watcher may have corrected it.
    """

    def write(event: Any) -> None:
        if event.new != getattr(state, name) and (event.new is not None or state.param[name].allow_None):
            setattr(state, name, event.new)

    def read(*_: Any) -> None:
        if widget.value != getattr(state, name):
            widget.value = getattr(state, name)

    read()
    widget.param.watch(write, "value")
    state.param.watch(read, name)
    return widget


def label_of(name: str) -> str:
    """What a parameter is called on the page."""
    return name.replace("_", " ").capitalize()


def control(state: param.Parameterized, name: str, label: str = "", **look: Any) -> Any | None:
    """Make the widget of a parameter, tied to ``state``.

    None for what has none: content, lists, and what its method does not offer to hands (a negative ``precedence``).

    Parameters
    ----------
    state : Parameterized
        A state, or a method.
    name : str
        Of the parameter; its documentation becomes the description.
    label : str
        Instead of the name.
    **look
        Passed to the widget.
    """
    declared = state.param[name]
    about = {
        "label": label or label_of(name),
        "description": declared.doc or "",
        "size": "small",
        "width": 190,
        **look,
    }
    hidden = declared.readonly or declared.constant or (declared.precedence or 0) < 0
    if hidden or isinstance(declared, Content | param.List | param.Dict):
        return None
    if isinstance(declared, param.Selector):
        return linked(pmui.Select(**{"options": list(declared.objects), **about}), state, name)
    about.pop("size") if isinstance(declared, param.Boolean | param.Integer | param.Number) else None
    if isinstance(declared, param.Boolean):
        about.pop("description")
        return linked(pmui.Checkbox(**about), state, name)
    if isinstance(declared, param.Integer):
        return linked(_whole(declared, about), state, name)
    if isinstance(declared, param.Number):
        low, high = declared.bounds or (None, None)
        return linked(pmui.FloatInput(start=low, end=high, **about), state, name)
    if isinstance(declared, param.String):
        return linked(pmui.TextInput(**about), state, name)
    return None


def _whole(declared: param.Integer, about: dict[str, Any]) -> Any:
    low, high = declared.bounds or (None, None)
    if low is not None and high is not None and high - low <= SLIDER:
        return pmui.IntSlider(start=low, end=high, **about)
    return pmui.IntInput(start=low, end=high, **about)


def controls(state: param.Parameterized, names: Iterable[str]) -> list[Any]:
    """The widgets of several parameters; those that have none are left out."""
    made = (control(state, name) for name in names)
    return [widget for widget in made if widget is not None]
