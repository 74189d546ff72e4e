"""The panels of every app that say how far to rely on a model, and how an explanation was made."""

import asyncio
import json
from html import unescape

import pytest

import xai_views as xv
from xai_views_dashboard.panels.provenance import ProvenancePanel
from xai_views_dashboard.panels.reliability import ReliabilityPanel
from xai_views_dashboard.sic.app import SicApp


@pytest.fixture(scope="module")
def app():
    return SicApp(xv.open_model("digits-sic"), xv.open_samples("digits/test").isel(sample=slice(0, 40)))


def panel_of(app, kind):
    return next(p for p in app.panels if isinstance(p, kind))


def test_accuracy_is_that_of_the_population(app):
    panel = panel_of(app, ReliabilityPanel)
    answer = asyncio.run(panel.compute())
    panel.write(answer)
    predictions, typical = answer
    right = int((predictions.correct == 1).sum())
    assert f"{right / 40:.1%} of 40 labelled samples" in unescape(panel.words.object)
    assert sum(r["count"] for r in panel.listing.rows) == 40
    assert typical is not None
    assert "training data" in panel.words.object


def test_the_parameters_shown_make_the_explanation_again(app):
    panel = panel_of(app, ProvenancePanel)
    said = unescape(asyncio.run(panel.compute()))
    parameters = said.partition("Parameters</th><td>")[2].partition("</td>")[0]
    assert json.loads(parameters) == json.loads(app.result().attrs["parameters"])
    assert app.model.sha256 in said
