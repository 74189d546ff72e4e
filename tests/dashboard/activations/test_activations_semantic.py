"""Saliency methods by named part, without a browser."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from xai_views import apps
from xai_views.methods.nave.method import NaveMethod
from xai_views.models import passes, taps
from xai_views.models.heads import find_head
from xai_views_dashboard.activations import semantic as module
from xai_views_dashboard.activations.app import ActivationsApp


def run(generator):
    try:
        while True:
            next(generator)
    except StopIteration as end:
        return end.value


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 4)
    monkeypatch.setattr(module, "METHODS", ("gradient", "random", "centre"))


def test_shares_add_up_and_a_random_map_is_chance(few):
    model, samples = apps.opened("birds-cnn")
    rows = module.chosen(samples.sizes["sample"])
    part = np.maximum(samples["part"].isel(sample=rows).values.astype(np.int64), 0)
    said = []
    find_head(model)  # what is found out about a network once
    taps.default_taps(model)
    before = passes.snapshot()
    table, ranks, named = run(
        module.evaluate(
            model, samples, (part, samples.attrs["parts"]), NaveMethod().ask(targets=(-1,)), lambda *a: said.append(a)
        )
    )
    spent = {k: v - before[k] for k, v in passes.snapshot().items()}
    assert (spent["forward"], spent["backward"]) == (8, 4)
    mass = table["mass"].values[:, :-1]  # the last row unites the others
    np.testing.assert_allclose(np.nansum(mass * (table["shown"].values[:-1] / 4), 1), 1, atol=0.05)
    assert table["density"].loc[{"method": "random", "part": "object"}] == pytest.approx(1, abs=0.05)
    assert named == "object"
    assert set(ranks["method"].values) == {"gradient", "random", "centre"}
    assert said[-1] == (16, 16)


def test_without_known_parts_names_are_asked_for():
    app = ActivationsApp(*apps.opened("efficientnet-lite0-random", "photos"))
    panel = next(p for t, p in app.panels if t == "Methods by part")
    asyncio.run(panel.run())
    assert "fit a codebook" in panel.words.object
