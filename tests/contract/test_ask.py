"""Requests: frozen, hashable by content, and converted to JSON and back."""

import json
import sys
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import param
import pytest

from xai_views.contract.ask import Ask
from xai_views.contract.content import Content, checksum, packed, unpacked
from xai_views.contract.method import Method
from xai_views.errors import MethodError


class Book:
    """Content for the tests."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, np.float32)

    @property
    def key(self) -> str:
        return checksum(self.values)

    def to_json(self) -> dict[str, Any]:
        return {"values": packed(self.values)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Book":
        return cls(unpacked(value["values"]))


class Toy(Method):
    """A method with a parameter of every kind."""

    key = "toy"
    title = "Toy"

    k = param.Integer(5, bounds=(1, 9))
    rate = param.Number(0.5, bounds=(0, None))
    taps = param.List([])
    names = param.Dict({})
    edits = param.List([], item_type=dict)
    weights = param.ClassSelector(class_=(str, list), default="equal")
    book = Content(None, kind=f"{__name__}:Book")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Make this file importable by its own name, since content is found by module name."""
    module = sys.modules.setdefault(__name__, types.ModuleType(__name__))
    monkeypatch.setattr(module, "Book", Book, raising=False)


def test_an_ask_holds_every_parameter_and_cannot_be_changed():
    method = Toy(k=3, taps=["a", "b"])
    ask = method.ask(rate=2)
    assert (ask.k, ask.taps, ask.rate, ask.weights) == (3, ("a", "b"), 2, "equal")
    assert set(ask) == set(Toy.declared())
    method.k = 4
    assert ask.k == 3
    with pytest.raises(AttributeError, match="cannot be changed"):
        ask.k = 4
    with pytest.raises(AttributeError, match="no parameter 'kk'"):
        _ = ask.kk


def test_equal_values_are_one_key_and_any_other_value_is_another():
    base = Toy().ask()
    assert base == Toy().ask()
    assert hash(base) == hash(Toy().ask())
    assert base.key == Toy().ask().key
    others = [
        Toy().ask(k=6), Toy().ask(rate=0.6), Toy().ask(taps=["a"]), Toy().ask(names={"0": "wing"}),
        Toy().ask(edits=[{"kind": "mute"}]), Toy().ask(weights=[1.0, 2.0]),
        Toy().ask(book=Book([1, 2])), Toy().ask(book=Book([1, 3])),
    ]  # fmt: skip
    assert len({base, *others}) == len({base.key, *(o.key for o in others)}) == 9


def test_content_counts_by_what_it_holds():
    assert Toy().ask(book=Book([1, 2])) == Toy().ask(book=Book([1, 2]))


def test_the_json_of_an_ask_asks_the_same():
    ask = Toy(
        k=2, rate=0.25, taps=["x"], names={"1": "beak"}, edits=[{"kind": "mute", "lead": 3, "span": [0.5, 1.25]}],
        weights=[0.5, 1.5], book=Book([[0.1, 0.2]]),
    ).ask()  # fmt: skip
    again = Toy(**json.loads(ask.text())).ask()
    assert again == ask
    np.testing.assert_array_equal(again.book.values, ask.book.values)


def test_what_an_ask_was_made_of_may_change_later():
    names, edits = {"0": "a"}, [{"kind": "mute"}]
    ask = Toy().ask(names=names, edits=edits)
    key = ask.key
    names["0"], edits[0]["kind"] = "b", "blend"
    assert ask.key == key
    assert ask.names["0"] == "a"
    assert ask.edits[0]["kind"] == "mute"


def test_replace_gives_another_ask_and_knows_the_names():
    ask = Toy().ask()
    assert ask.replace(k=7).k == 7
    assert ask.k == 5
    with pytest.raises(AttributeError, match="no parameter 'clusters'"):
        ask.replace(clusters=3)


def test_unknown_parameters_and_values_are_one_sentence():
    with pytest.raises(MethodError, match=r"^method 'toy' has no parameter 'kay'; it has 'k'"):
        Toy(kay=3)
    with pytest.raises(MethodError, match=r"^method 'toy' cannot take these parameters: .*9"):
        Toy(k=30)
    with pytest.raises(MethodError, match="expects a Book"):
        Toy(book=3)
    with pytest.raises(MethodError, match="is not a Book"):
        Toy(book={"pages": 3})


def test_asks_do_not_depend_on_the_order_of_their_values():
    assert Ask("m", {"a": 1, "b": 2}).key == Ask("m", {"b": 2, "a": 1}).key
