"""Widgets follow from declared parameters."""

import panel_material_ui as pmui
import param
import pytest

from xai_views.contract.content import Content
from xai_views_dashboard.core.controls import class_choice, control, controls
from xai_views_dashboard.core.state import AppState


class Declared(param.Parameterized):
    """One parameter of every kind."""

    mode = param.Selector(default="a", objects=["a", "b"], doc="How.")
    few = param.Integer(3, bounds=(0, 9))
    many = param.Integer(3, bounds=(0, None))
    share = param.Number(0.5, bounds=(0, 1))
    exact = param.Boolean(False)
    tap = param.String("")
    taps = param.List([])
    book = Content(None)
    inner = param.Integer(1, precedence=-1)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mode", pmui.Select), ("few", pmui.IntSlider), ("many", pmui.IntInput), ("share", pmui.FloatInput),
        ("exact", pmui.Checkbox), ("tap", pmui.TextInput),
    ],
)  # fmt: skip
def test_each_kind_has_its_widget_tied_both_ways(name, kind):
    state = Declared()
    widget = control(state, name)
    assert type(widget) is kind
    assert widget.value == getattr(state, name)
    other = {"mode": "b", "few": 5, "many": 70, "share": 0.25, "exact": True, "tap": "layer1"}[name]
    widget.value = other
    assert getattr(state, name) == other
    setattr(state, name, Declared.param[name].default)
    assert widget.value == Declared.param[name].default


def test_what_no_hand_can_set_has_none():
    state = Declared()
    assert [control(state, n) for n in ("taps", "book", "inner")] == [None] * 3
    assert len(controls(state, [n for n in state.param if n != "name"])) == 6


@pytest.mark.parametrize("count", [3, 40])
def test_a_class_is_chosen_by_name_and_tied_both_ways(count):
    state = AppState()
    classes = [*(f"class {i}" for i in range(count - 2)), "crane", "crane"]
    widget = class_choice(state, classes)
    assert isinstance(widget, pmui.Select if count < 10 else pmui.AutocompleteInput)
    assert widget.label == "Explained class"

    def name(c):
        return c if count < 10 else f"crane ({c})" if c >= count - 2 else classes[c]

    if count < 10:
        assert "predicted class" in widget.options
    else:
        assert (widget.value, widget.placeholder) == (None, "predicted class")
    widget.value = name(0)
    assert state.target == 0
    state.target = count - 1
    assert widget.value == name(count - 1)
    state.target = -1
    assert widget.value in (-1, None)
