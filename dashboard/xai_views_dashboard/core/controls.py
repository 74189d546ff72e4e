"""Widgets of declared parameters, linked to a state in both directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import panel_material_ui as pmui
import param

from xai_views.contract.content import Content

SLIDER = 64  # most values of an integer with a slider
FEW = 12  # most options of a choice without search
#: Shows the label above an empty field, and in the field what that stands for.
_SHRUNK = {
    "& .MuiInputLabel-root": {"transform": "translate(14px, -9px) scale(.75)"},
    "& .MuiOutlinedInput-notchedOutline legend": {"maxWidth": "100%"},
    "& .MuiInputBase-root.MuiInputBase-formControl input.MuiInputBase-input::placeholder": {
        "opacity": "1 !important"
    },
}
#: After a choice the keys belong to the page again.
_LEAVE = """
let held = document.activeElement
while (held?.shadowRoot?.activeElement) held = held.shadowRoot.activeElement
if (held?.matches("[role=combobox]")) held.blur()
"""


def linked(widget: Any, state: param.Parameterized, name: str) -> Any:
    """Link a widget to a parameter in both directions; return the widget.

    Each reads the current value of the other, which another watcher may have corrected.
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


def class_choice(
    state: param.Parameterized,
    classes: Sequence[str],
    name: str = "target",
    label: str = "Explained class",
    other: str = "predicted class",
    **look: Any,
) -> Any:
    """Make the choice of a class, linked to ``state``; one with more than :data:`FEW` classes is found by typing.

    Parameters
    ----------
    state : Parameterized
        Holds the position of the class, or -1.
    classes : sequence of str
        Of the model.
    name, label : str
        Parameter, and label on the page.
    other : str
        Label of -1.
    **look
        Passed to the widget.
    """
    about = {"label": label, "width": 180, "size": "small", **look}
    if len(classes) <= FEW:
        options = {other: -1} | {c: i for i, c in enumerate(classes)}
        return linked(pmui.Select(**{"options": options, **about}), state, name)
    return _found(state, name, classes, other, about)


def _found(state: param.Parameterized, name: str, classes: Sequence[str], other: str, about: Any) -> Any:
    """Make a choice that is found by typing any part of its name; an empty field stands for -1."""
    count = Counter(classes)
    names = [c if count[c] == 1 else f"{c} ({i})" for i, c in enumerate(classes)]
    widget = pmui.AutocompleteInput(
        options=names, placeholder=other, value=None, min_characters=0, search_strategy="includes", case_sensitive=False,
        sx=_SHRUNK, **about,
    )  # fmt: skip
    place = {c: i for i, c in enumerate(names)}

    def write(event: Any) -> None:
        if place.get(event.new, -1) != getattr(state, name):
            setattr(state, name, place.get(event.new, -1))

    def read(*_: Any) -> None:
        chosen = getattr(state, name)
        widget.value = names[chosen] if 0 <= chosen < len(names) else None

    read()
    widget.param.watch(write, "value")
    state.param.watch(read, name)
    widget.jscallback(value=_LEAVE)
    return widget


def label_of(name: str) -> str:
    """Return the label of a parameter."""
    return name.replace("_", " ").capitalize()


def control(state: param.Parameterized, name: str, label: str = "", **look: Any) -> Any | None:
    """Make the widget of a parameter, linked to ``state``.

    Return None for parameters without a widget: content, lists, and those with a negative ``precedence``.

    Parameters
    ----------
    state : Parameterized
        A state, or a method.
    name : str
        Name of the parameter; its documentation becomes the description.
    label : str
        Replaces the name.
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
    """Return the widgets of several parameters, without those that have none."""
    made = (control(state, name) for name in names)
    return [widget for widget in made if widget is not None]
