"""Recipes: parameters become values of the card, sample presets apply, and wrong values raise one-sentence errors."""

from __future__ import annotations

import json
from typing import ClassVar

import param
import pytest

from xai_views.contract import registry
from xai_views.contract.recipe import Recipe
from xai_views.errors import XaiViewsError


class Own(Recipe):
    key, family = "own", "linear"
    presets: ClassVar = {"birds": {"epochs": 50, "plan": [[3, 1]]}}
    plan = param.List([], doc="layers")


def test_values_are_all_parameters_as_json_knows_them():
    assert Own(plan=[(3, 1)]).values() == {
        "epochs": 12,
        "rate": 3e-3,
        "weight_decay": 0.0,
        "seed": 0,
        "plan": [[3, 1]],
    }
    assert json.loads(json.dumps(Own().values())) == Own().values()
    assert type(Own(rate=1).values()["rate"]) is float, "1 and 1.0 give the same run"


def test_samples_have_presets_and_what_is_given_wins():
    assert Own.preset("birds").epochs == 50
    assert Own.preset("birds", epochs=2).values() == Own(epochs=2, plan=[[3, 1]]).values()
    assert Own.preset("digits").values() == Own().values()
    assert Own(seed=3).changed(epochs=1).values() == Own(seed=3, epochs=1).values()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, "has no parameter 'epoch'; it has 'epochs'"),
        ({"epochs": 0}, "epochs' must be at least 1"),
        ({"rate": 0}, "rate' must be greater than 0"),
        ({"epochs": "many"}, "must be an integer"),
    ],
)
def test_wrong_values_are_one_sentence(values, words):
    with pytest.raises(XaiViewsError, match=words) as error:
        Own(**values)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("recipe 'own' ")


@pytest.mark.parametrize("name", sorted(registry.entries("recipes")))
def test_recipes_that_ship_say_what_they_are(name):
    kind = registry.load("recipes", name)
    assert kind.key == name
    assert kind.family in registry.entries("families")
    assert all(kind.param[n].doc for n in kind.declared()), "options need a description"
    for samples in kind.presets:
        assert set(kind.preset(samples).values()) == set(kind().values())
