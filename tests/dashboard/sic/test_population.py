"""The population of the SIC app: edits of the support set re-run nothing, and the latent map follows and leads."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import numpy as np
import pytest
from sic_hands import begun, opened, panel_of, quiet, supports_of

from xai_views.methods.sic import latent_vectors
from xai_views.methods.sic.population import figures
from xai_views.models import passes
from xai_views_dashboard.sic.app import SicApp
from xai_views_dashboard.sic.controls import controls
from xai_views_dashboard.sic.latent_map import MapView


def tab(app) -> MapView:
    return panel_of(app, MapView)


@pytest.fixture(scope="module")
def mislabelled(samples):
    """Samples of which some have a wrong label, so that the toy network is both right and wrong."""
    made = samples().copy(deep=True)
    made["label"][[2, 7, 16]] = (made["label"][[2, 7, 16]] + 1) % 3
    return made.assign_attrs(title="toys-mislabelled")


@pytest.fixture
async def app(toy, mislabelled):
    """A page whose tab "Latent map" is open, and whose samples the network was run on."""
    app = SicApp(toy(), mislabelled)
    await opened(app, MapView)
    return app


@pytest.fixture
def z(toy, samples):
    return latent_vectors(toy(), samples()["image"].values)


@pytest.fixture
def expected(app, z):
    return figures(app.model, app.model.supports, z, app.session.population.label)


# -- predictions ----------------------------------------------------------------------------------------------------


async def test_predictions_are_those_of_the_support_set(app, expected, z):
    found = app.listed.predictions
    np.testing.assert_allclose(found.latent, z, atol=1e-5)
    np.testing.assert_allclose(found.logit, expected["logit"], atol=1e-5)
    np.testing.assert_allclose(found.confidence, expected["confidence"], atol=1e-6)
    np.testing.assert_allclose(found.concentration, expected["concentration"], atol=1e-6)
    assert found.correct.tolist() == expected["right"].tolist()
    assert len(found.typicality) == 24


@pytest.mark.parametrize("sort", ["concentration", "distance"])
async def test_orders_of_a_network_with_supports(app, sort):
    assert not next(s["reason"] for s in app.listed.form.sorts if s["key"] == sort)
    app.state.sort = sort
    values = getattr(app.listed.predictions, sort)[app.listed.index]
    assert (np.diff(values) >= 0).all()
    assert app.canvas.order == [app.session.names[i] for i in app.listed.index]


async def test_an_edit_of_the_supports_changes_predictions_without_a_pass(app, expected):
    of_class = app.model.supports.index[app.model.supports.label == 0].tolist()
    before, own = (passes.forward, passes.backward), app.listed.predictions
    errors = np.flatnonzero(expected["right"] == 0).tolist()
    app.state.edit(excluded=of_class)
    await quiet()
    now = figures(app.model, supports_of(app), own.latent, app.session.population.label)
    assert (passes.forward, passes.backward) == before
    assert app.listed.predictions.predicted.tolist() == now["predicted"].tolist()
    app.state.outcome = "errors"
    assert app.listed.index == np.flatnonzero(now["right"] == 0).tolist() != errors
    shares = [100 * (f["right"] == 1).mean() for f in (now, expected)]
    said = "accuracy {:.1f} % (original supports: {:.1f} %)".format(*shares)
    assert said in app.listed.form.words
    assert len(tab(app)._supports.data["x"]) == len(supports_of(app))
    app.state.undo()
    await quiet()
    assert app.listed.predictions is own
    assert app.listed.index == errors
    assert "original" not in app.listed.form.words


async def test_pages_share_what_was_computed(toy, samples):
    fresh = samples().copy(deep=True)
    one, other = SicApp(toy(), fresh), SicApp(toy(), fresh)
    forward = passes.forward
    await begun(one)
    await begun(other)
    assert one.listed.predictions is other.listed.predictions
    excluded = [int(one.model.supports.index[0])]
    for page in (one, other):
        page.state.edit(excluded=excluded)
        await quiet()
    assert one.listed.predictions is other.listed.predictions is not one.listed.own
    assert passes.forward - forward <= 24 + 4  # every sample once, and what is in view


async def test_the_map_waits_for_the_samples(toy, samples, monkeypatch):
    app, gate = SicApp(toy(), samples()), Future()
    predicted = app.session.predicted

    async def late(ask=None, counted=None):
        await asyncio.wrap_future(gate)
        return await predicted(ask, counted)

    monkeypatch.setattr(app.session, "predicted", late)
    app.begin()
    app.tabs.bring("Latent map")
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert tab(app).pane.object is None
    gate.set_result(None)
    await quiet()
    assert tab(app).pane.object is not None


async def test_controls_and_state_are_one(app):
    target, against, rendering = controls(app.state, app.model.classes)
    for widget, value in zip((target, against, rendering), (1, 0, False), strict=True):
        widget.value = value
    s = app.state
    assert (s.target, s.against, s.rendering) == (1, 0, False)
    s.param.update(target=-1, against=-1, rendering=True)
    assert (target.value, against.value, rendering.value) == (-1, -1, True)
    s.target = 99  # an address made with another model
    assert s.target == target.value == -1


# -- choosing -------------------------------------------------------------------------------------------------------


async def test_choosing_anywhere_moves_everything_once(app):
    seen, view = [], tab(app)
    app.state.param.watch(lambda e: seen.append(e.new), "sample")
    choices = [
        lambda: app.listed.film._handle_msg({"type": "select", "index": 3}),
        lambda: setattr(view._points.selected, "indices", [11]),
        lambda: app.canvas._handle_msg({"type": "position", "position": 2}),
    ]
    for choose, i in zip(choices, [3, 11, 2], strict=True):
        choose()
        await quiet()
        assert app.state.sample == i
        assert app.canvas.sample == app.session.names[i]
        ring, points = view._ring.data, view._points.data
        assert (ring["x"], ring["y"]) == ([points["x"][i]], [points["y"][i]])
    assert seen == [3, 11, 2]


async def test_a_tapped_support_is_chosen_and_can_be_tapped_again(app):
    at = tab(app)._supports
    at.selected.indices = [2]
    assert app.state.support == int(app.model.supports.index[2])
    assert app.canvas.row == str(app.state.support)
    assert list(at.selected.indices) == []
    app.state.support = -1
    at.selected.indices = [2]
    assert app.state.support == int(app.model.supports.index[2])


# -- the map ------------------------------------------------------------------------------------------------------


async def test_steps_and_edits_do_not_draw_the_map_again(app):
    view = tab(app)
    figure, thumbs = view.pane.object, view._points.data["thumb"]
    app.state.sample = 7
    app.state.sort = "margin"
    app.state.edit(excluded=[int(app.model.supports.index[0])])
    await quiet()
    assert view.pane.object is figure
    assert view._points.data["thumb"] is thumbs
    assert len(view._supports.data["thumb"]) == len(app.model.supports) - 1
    assert all(
        a.startswith(b) for a, b in zip(view._points.data["said"], app.listed.film.captions, strict=True)
    )
    assert all(uri.startswith("data:image/") for uri in [*thumbs, *view._supports.data["thumb"]])


async def test_neighbours_are_arranged_off_the_loop_and_only_shown_when_still_asked_for(app):
    view = tab(app)
    axes = view.pane.object
    view.how.value = "tsne"
    await asyncio.sleep(0)
    assert view.pane.object is axes
    assert "Computing t-SNE" in view.words.object
    view.how.value = "pca"
    await quiet()
    assert view.pane.object is axes
    assert "the two axes explain" in view.words.object
    view.how.value = "tsne"
    await quiet()
    assert view.pane.object is not axes
    assert "the two axes explain" not in view.words.object
    app.state.sample = 3
    assert view._ring.data["x"] == [view._points.data["x"][3]]


async def test_a_closed_map_follows_when_it_is_opened(app):
    view = tab(app)
    ring = dict(view._ring.data)
    app.tabs.bring("All classes")
    await quiet()
    app.state.sample = 5
    await quiet()
    assert dict(view._ring.data) == ring
    await opened(app, MapView)
    assert dict(view._ring.data) != ring


async def test_what_bokeh_draws_is_changed_while_the_page_is_locked(app, monkeypatch):
    """Panel may process events of the browser without the page's lock; Bokeh then refuses, and what follows is lost."""
    from xai_views_dashboard.sic import latent_map as sic_map

    later = []
    monkeypatch.setattr(sic_map, "on_page", later.append)
    ring = dict(tab(app)._ring.data)
    app.state.sample = 5
    assert dict(tab(app)._ring.data) == ring
    for call in later:
        call()
    assert dict(tab(app)._ring.data) != ring
