"""The population without a browser: order, filters, words, rows, and the map follow the state and lead it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import numpy as np
import pytest
from sic_hands import opened, panel_of, quiet, supports_of
from sic_hands import words as text

from xai_views.errors import XaiViewsError
from xai_views.methods.sic import latent_vectors
from xai_views.methods.sic.population import accuracy, figures
from xai_views.models import passes
from xai_views.samples import dataset
from xai_views_dashboard.sic.app import SicApp
from xai_views_dashboard.sic.controls import controls
from xai_views_dashboard.sic.population import PopulationPanel
from xai_views_dashboard.sic.state import SORTS


def words(app) -> str:
    return text(app.strip.words)


def tab(app) -> PopulationPanel:
    return panel_of(app, PopulationPanel)


def ids(app) -> list[str]:
    return [row["id"] for row in tab(app).listing.rows]


def names(app, index) -> list[str]:
    return [app.session.population.names[i] for i in index]


@pytest.fixture(scope="module")
def mislabelled(samples):
    """Samples of which some have a wrong label, so that the toy network is both right and wrong."""
    made = samples().copy(deep=True)
    made["label"][[2, 7, 16]] = (made["label"][[2, 7, 16]] + 1) % 3
    return made.assign_attrs(title="toys-mislabelled")


@pytest.fixture
async def app(toy, mislabelled):
    """A page whose tab "Population" is open, and whose samples were observed."""
    app = SicApp(toy(), mislabelled)
    await opened(app, PopulationPanel)
    return app


@pytest.fixture
def z(toy, samples):
    return latent_vectors(toy(), samples()["image"].values)


@pytest.fixture
def expected(app, z):
    return figures(app.model, app.model.supports, z, app.session.population.label)


@pytest.fixture
async def waiting(open_app, monkeypatch):
    """A page whose samples were not observed yet, and the future of their vectors."""
    app, vectors = open_app(), Future()
    monkeypatch.setattr(app.session, "vectors", lambda _counted=None: vectors)
    app.opened(app.panels.index(tab(app)))
    await rest()
    return app, vectors


async def rest() -> None:
    """Let what is ready be written, while something else is still waited for."""
    for _ in range(20):
        await asyncio.sleep(0.005)


# -- order and filters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [False, True])
async def test_every_order_holds_in_every_view(app, expected, sort, descending):
    app.state.param.update(sort=sort, descending=descending)
    await quiet()
    index = app.strip.index
    assert sorted(index) == list(range(24))
    if sort == "order":
        assert index == (list(range(24))[::-1] if descending else list(range(24)))
    else:
        steps = np.diff(expected["predicted" if sort == "class" else sort][index])
        assert ((steps <= 0) if descending else (steps >= 0)).all()
    assert app.strip.film.items == tab(app).grid.items == index
    assert app.canvas.order == ids(app) == names(app, index)


@pytest.mark.parametrize(("shown", "value"), [("right", 1), ("wrong", 0)])
async def test_right_and_wrong(app, expected, shown, value):
    index = np.flatnonzero(expected["right"] == value).tolist()
    assert index, "the toy network is both right and wrong"
    app.state.shown = shown
    await quiet()
    assert app.strip.film.items == index
    assert {row["right"] for row in tab(app).listing.rows} == {shown}
    assert words(app).startswith(f"{len(index)} of 24 shown, accuracy over all 24: ")


async def test_filters_join_and_the_sample_in_view_stays(app):
    app.state.sample = 1
    app.state.label = 0
    index = np.flatnonzero(app.session.population.label == 0).tolist()
    assert app.strip.film.items == index
    assert app.canvas.order == names(app, [1, *index])  # in view, though it is filtered out
    assert app.canvas.sample == names(app, [1])[0]
    assert app.strip.film.current == 1
    app.state.sample = index[2]
    app.state.sort = "margin"
    assert app.canvas.sample == names(app, index[2:3])[0]
    assert set(app.canvas.order) == set(names(app, index))


async def test_a_choice_that_leaves_nothing_keeps_the_order_and_says_so(app):
    app.state.label = 0
    before, n = list(app.canvas.order), len(app.canvas.order)
    right = app.strip.known.figures["right"].copy()
    app.strip.known.figures["right"][:] = 1
    try:
        app.state.shown = "wrong"
        await quiet()
        assert app.strip.wanted() == []
        assert app.canvas.order == before
        assert ids(app) == before
        assert words(app).startswith(f"No sample is left by this choice; {n} of 24 are still shown, accuracy")
        app.state.shown = "all"
        assert words(app).startswith(f"{n} of 24 shown")
    finally:
        app.strip.known.figures["right"][:] = right  # all pages share it


async def test_uploads_stay_at_the_end(app):
    app.session.add(app.session.image(0))
    app.state.param.update(sort="margin", label=1)
    assert app.canvas.order[-1] == "upload-1"
    app.state.sample = 24
    await quiet()
    assert app.canvas.sample == "upload-1"
    assert app.strip.film.current == tab(app).grid.current == -1
    assert tab(app).listing.selected == ""
    app.state.descending = True
    assert app.canvas.sample == app.canvas.order[-1] == "upload-1"
    assert app.canvas.order.count("upload-1") == 1


def widgets(app) -> list:
    return list(controls(app.state, app.model.classes))


async def test_a_label_that_is_not_there_becomes_any(open_app):
    app = open_app(label=99)
    assert app.state.label == -1
    label = widgets(app)[3]
    app.state.label = 7
    assert app.state.label == label.value == -1
    assert len(app.strip.film.items) == 24


async def test_controls_and_state_are_one(app):
    sort, down, shown, label, target, against, rendering = widgets(app)
    for widget, value in zip(widgets(app), ("margin", True, "right", 2, 1, 0, False), strict=True):
        widget.value = value
    s = app.state
    assert (s.sort, s.descending, s.shown, s.label) == ("margin", True, "right", 2)
    assert (s.target, s.against, s.rendering) == (1, 0, False)
    s.param.update(
        sort="class", descending=False, shown="all", label=-1, target=-1, against=-1, rendering=True
    )
    assert (sort.value, down.value, shown.value, label.value) == ("class", False, "all", -1)
    assert (target.value, against.value, rendering.value) == (-1, -1, True)
    s.target = 99  # an address made with another model
    assert s.target == target.value == -1


# -- what is said -------------------------------------------------------------------------------------------------


async def test_captions_marks_and_rows_say_what_figures_says(app, expected):
    classes, label = app.model.classes, app.session.population.label
    for i, row in enumerate(tab(app).listing.rows):
        said = classes[expected["predicted"][i]]
        assert row["predicted"] == said
        assert row["label"] == classes[label[i]]
        assert row["right"] == ("right" if expected["predicted"][i] == label[i] else "wrong")
        for key in ("confidence", "margin", "concentration", "distance"):
            assert row[key] == pytest.approx(float(expected[key][i]), abs=1e-5)
        start = f"{row['id']}: predicted {said}, labelled {row['label']}, confidence {row['confidence']:.2f}"
        assert app.strip.film.captions[i] == tab(app).grid.captions[i] == start
        assert app.strip.film.marks[i] == ("wrong" if row["right"] == "wrong" else "")
    assert words(app) == f"24 of 24 shown, accuracy {accuracy(expected['right']):.3f}."


async def test_an_edit_of_the_supports_changes_the_words_without_a_pass(app, expected):
    of_class = app.model.supports.index[app.model.supports.label == 0].tolist()
    before = (passes.forward, passes.backward)
    app.state.edit(excluded=of_class)
    await quiet()
    now = figures(app.model, supports_of(app), app.strip.known.z, app.session.population.label)
    assert (passes.forward, passes.backward) == before
    assert not (now["predicted"] == expected["predicted"]).all()
    own, edited = (f"{accuracy(f['right']):.3f}" for f in (expected, now))
    assert words(app) == f"24 of 24 shown, accuracy {edited} (model's own supports {own})."
    assert [row["margin"] for row in tab(app).listing.rows] == pytest.approx(now["margin"].tolist())
    assert len(tab(app).map._supports.data["x"]) == len(supports_of(app))
    app.state.undo()
    await quiet()
    assert words(app) == f"24 of 24 shown, accuracy {own}."


async def test_samples_without_labels(toy):
    rng = np.random.default_rng(0)
    unlabelled = dataset(rng.integers(0, 255, (5, 10, 10, 3)).astype(np.uint8), title="unlabelled-five")
    app = SicApp(toy(), unlabelled)
    await opened(app, PopulationPanel)
    assert words(app) == "5 of 5 shown."
    assert {row["right"] for row in tab(app).listing.rows} == {"unknown"}
    assert app.strip.film.marks == [""] * 5
    app.state.shown = "wrong"
    assert words(app).startswith("No sample is left")


# -- before every sample was observed -----------------------------------------------------------------------------


async def test_before_the_samples_were_observed(waiting, z):
    app, vectors = waiting
    assert app.strip.known is None
    assert words(app) == "24 of 24 shown; observing 0 of 24 …, order and accuracy follow."
    app.strip.count(8)
    app.state.param.update(sort="margin", shown="wrong", descending=True)  # nothing to order by yet
    assert app.strip.film.items == list(range(24))
    assert "observing 8 of 24" in words(app)
    app.state.label = 1
    await rest()
    assert len(ids(app)) == 8
    assert tab(app).listing.rows[0]["label"] == app.model.classes[1]
    assert "predicted" not in tab(app).listing.rows[0]
    app.state.sample = 4
    assert app.strip.film.current == 4
    assert tab(app).map.pane.object is None
    app.state.param.update(shown="all", label=-1)
    vectors.set_result(z)
    await quiet()
    f = app.strip.known.figures
    assert app.strip.film.items == np.argsort(-f["margin"], kind="stable").tolist()
    assert tab(app).map.pane.object is not None


async def test_samples_that_cannot_be_observed_are_a_sentence(waiting):
    app, vectors = waiting
    vectors.set_exception(XaiViewsError("the device is full."))
    await quiet()
    assert words(app).endswith("not all samples could be observed: the device is full.")
    app.state.param.update(sort="margin", shown="wrong", label=1)
    assert len(app.strip.film.items) == 8


async def test_progress_is_told_and_everybody_shares_the_vectors(toy, samples):
    fresh = samples().copy(deep=True)
    one, other = SicApp(toy(), fresh), SicApp(toy(), fresh)
    told, forward = [], passes.forward
    count = one.strip.count
    one.strip.count = lambda done: told.append(done) or count(done)
    await quiet()
    assert passes.forward - forward == 24
    assert told
    assert one.strip.known.z is other.strip.known.z
    assert one.strip.known.figures is other.strip.known.figures


# -- choosing -----------------------------------------------------------------------------------------------------


async def test_choosing_anywhere_moves_everything_once(app):
    seen, panel = [], tab(app)
    app.state.param.watch(lambda e: seen.append(e.new), "sample")
    choices = [
        lambda: app.strip.film._handle_msg({"type": "select", "index": 3}),
        lambda: panel.grid._handle_msg({"type": "select", "index": 9}),
        lambda: panel.listing._handle_msg({"type": "select", "id": names(app, [5])[0]}),
        lambda: setattr(panel.map._points.selected, "indices", [11]),
        lambda: app.canvas._handle_msg({"type": "position", "position": 2}),
    ]
    for choose, i in zip(choices, [3, 9, 5, 11, 2], strict=True):
        choose()
        await quiet()
        assert app.state.sample == app.strip.film.current == panel.grid.current == i
        assert panel.listing.selected == app.canvas.sample == names(app, [i])[0]
        ring, points = panel.map._ring.data, panel.map._points.data
        assert (ring["x"], ring["y"]) == ([points["x"][i]], [points["y"][i]])
    assert seen == [3, 9, 5, 11, 2]


async def test_a_tapped_support_is_chosen_and_can_be_tapped_again(app):
    at = tab(app).map._supports
    at.selected.indices = [2]
    assert app.state.support == int(app.model.supports.index[2])
    assert app.canvas.row == str(app.state.support)
    assert list(at.selected.indices) == []
    app.state.support = -1
    at.selected.indices = [2]
    assert app.state.support == int(app.model.supports.index[2])


# -- the map ------------------------------------------------------------------------------------------------------


async def test_steps_and_edits_do_not_draw_the_map_again(app):
    view = tab(app).map
    figure, thumbs = view.pane.object, view._points.data["thumb"]
    app.state.sample = 7
    app.state.sort = "margin"
    app.state.edit(excluded=[int(app.model.supports.index[0])])
    await quiet()
    assert view.pane.object is figure
    assert view._points.data["thumb"] is thumbs
    assert len(view._supports.data["thumb"]) == len(app.model.supports) - 1
    assert all(
        a.startswith(b) for a, b in zip(view._points.data["said"], app.strip.film.captions, strict=True)
    )
    assert all(uri.startswith("data:image/") for uri in [*thumbs, *view._supports.data["thumb"]])


async def test_neighbours_are_arranged_off_the_loop_and_only_shown_when_still_asked_for(app):
    view = tab(app).map
    axes = view.pane.object
    view.how.value = "tsne"
    await asyncio.sleep(0)
    assert view.pane.object is axes
    assert "being arranged" in view.words.object
    view.how.value = "pca"
    await quiet()
    assert view.pane.object is axes
    assert "The two axes hold" in view.words.object
    view.how.value = "tsne"
    await quiet()
    assert view.pane.object is not axes
    assert "The two axes hold" not in view.words.object
    app.state.sample = 3
    assert view._ring.data["x"] == [view._points.data["x"][3]]


async def test_a_closed_map_follows_when_it_is_opened(app):
    view = tab(app).map
    ring = dict(view._ring.data)
    app.opened(0)
    app.state.sample = 5
    await quiet()
    assert dict(view._ring.data) == ring
    await opened(app, PopulationPanel)
    assert dict(view._ring.data) != ring


async def test_what_bokeh_draws_is_changed_while_the_page_is_locked(app, monkeypatch):
    """Panel may process events of the browser without the page's lock; Bokeh then refuses, and what follows is lost."""
    from xai_views_dashboard.sic import latent_map as sic_map

    later = []
    monkeypatch.setattr(sic_map, "on_page", later.append)
    ring = dict(tab(app).map._ring.data)
    app.state.sample = 5
    assert dict(tab(app).map._ring.data) == ring
    for call in later:
        call()
    assert dict(tab(app).map._ring.data) != ring
