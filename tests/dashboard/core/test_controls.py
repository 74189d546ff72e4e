"""Widgets follow from declared parameters."""

import panel_material_ui as pmui
import param
import pytest

from xai_views.contract.content import Content
from xai_views_dashboard.core.controls import control, controls


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
