"""The population without a browser: order, filters, words, rows, and the map follow the state and lead it."""

from __future__ import annotations

import asyncio
import html
import re
from collections import OrderedDict
from concurrent.futures import Future

import numpy as np
import pytest

from xai_views.errors import XaiViewsError
from xai_views.methods.sic.population import accuracy, figures
from xai_views.models import passes
from xai_views.samples import dataset
from xai_views_dashboard.core import session, tasks
from xai_views_dashboard.sic import session as sic_data
from xai_views_dashboard.sic.state import SORTS


def words(app) -> str:
    return html.unescape(re.sub("<[^>]+>", "", app.population.words.object))


def ids(app) -> list[str]:
    return [row["id"] for row in app.population.listing.rows]


def names(app, index) -> list[str]:
    return [app.session.population.names[i] for i in index]


@pytest.fixture(scope="module")
def mislabelled(samples):
    """Samples of which some have a wrong label, so that the toy network is both right and wrong."""
    made = samples().copy(deep=True)
    made["label"][[2, 7, 16]] = (made["label"][[2, 7, 16]] + 1) % 3
    return made.assign_attrs(title="toys-mislabelled")


@pytest.fixture
def app(toy, mislabelled):
    from xai_views_dashboard.sic.app import SicApp

    app = SicApp(toy(), mislabelled)
    app.session.population.ready.result(60)
    app.population.refresh()
    return app


@pytest.fixture
def expected(app):
    p = app.session.population
    return figures(app.model, app.model.supports, p.z, p.label)


@pytest.fixture
def waiting(toy, samples, monkeypatch):
    """A page whose samples were not observed yet, and the future that says when they are."""
    from xai_views_dashboard.sic.app import SicApp

    ready: Future = Future()
    monkeypatch.setattr(session, "_shared", OrderedDict())
    monkeypatch.setattr(sic_data.Population, "_observe", lambda self, progress: None)
    population = sic_data.Population.of(toy(), samples())
    population.ready.result(60)
    population.ready = ready
    return SicApp(toy(), samples()), population, ready


def observe(app, population, rows=slice(None)) -> None:
    from xai_views.methods.sic import latent_vectors
    from xai_views.samples import images

    index = np.arange(population.n)[rows]
    population.z[index] = latent_vectors(app.model, images(population.samples, index))


# -- order and filters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [False, True])
def test_every_order_holds_in_every_view(app, expected, sort, descending):
    app.state.param.update(sort=sort, descending=descending)
    index = app.population.order()
    assert sorted(index) == list(range(24))
    if sort == "order":
        assert index == (list(range(24))[::-1] if descending else list(range(24)))
    else:
        steps = np.diff(expected["predicted" if sort == "class" else sort][index])
        assert ((steps <= 0) if descending else (steps >= 0)).all()
    assert app.population.film.items == app.population.grid.items == index
    assert app.canvas.order == ids(app) == names(app, index)


@pytest.mark.parametrize(("shown", "value"), [("right", 1), ("wrong", 0)])
def test_right_and_wrong(app, expected, shown, value):
    index = np.flatnonzero(expected["right"] == value).tolist()
    assert index, "the toy network is both right and wrong"
    app.state.shown = shown
    assert app.population.film.items == index
    assert {row["right"] for row in app.population.listing.rows} == {shown}
    assert words(app).startswith(f"{len(index)} of 24 shown, accuracy over all 24: ")


def test_filters_join_and_the_sample_in_view_stays(app, expected):
    app.state.sample = 1
    app.state.label = 0
    index = np.flatnonzero(app.session.population.label == 0).tolist()
    assert app.population.film.items == index
    assert app.canvas.order == names(app, [1, *index])  # in view, though it is filtered out
    assert app.canvas.sample == names(app, [1])[0]
    assert app.population.film.current == 1
    app.state.sample = index[2]
    app.state.sort = "margin"
    assert app.canvas.sample == names(app, index[2:3])[0]
    assert set(app.canvas.order) == set(names(app, index))


def test_a_choice_that_leaves_nothing_keeps_the_order_and_says_so(app, expected):
    app.state.label = 0
    before = list(app.canvas.order)
    app.population.figures["right"][:] = 1
    app.state.shown = "wrong"
    assert app.population.order() == []
    assert app.canvas.order == before
    assert ids(app) == before
    n = len(before)
    assert words(app).startswith(f"No sample is left by this choice; {n} of 24 are still shown, accuracy")
    app.state.shown = "all"
    assert words(app).startswith(f"{n} of 24 shown")


def test_uploads_stay_at_the_end(app):
    app.session.add(app.session.image(0))
    app.state.param.update(sort="margin", label=1)
    assert app.canvas.order[-1] == "upload-1"
    app.state.sample = 24
    assert app.canvas.sample == "upload-1"
    assert app.population.film.current == -1
    assert app.population.listing.selected == ""
    app.state.descending = True
    assert app.canvas.sample == app.canvas.order[-1] == "upload-1"
    assert app.canvas.order.count("upload-1") == 1


def test_a_label_that_is_not_there_becomes_any(open_app):
    app = open_app(label=99)
    assert app.state.label == -1
    app.state.label = 7
    assert app.state.label == app.population.controls[3].value == -1
    assert len(app.population.film.items) == 24


def test_controls_and_state_are_one(app):
    sort, down, shown, label = app.population.controls
    sort.value, down.value, shown.value, label.value = "margin", True, "right", 2
    assert (app.state.sort, app.state.descending, app.state.shown, app.state.label) == (
        "margin",
        True,
        "right",
        2,
    )
    app.state.param.update(sort="class", descending=False, shown="all", label=-1)
    assert (sort.value, down.value, shown.value, label.value) == ("class", False, "all", -1)


# -- what is said -------------------------------------------------------------------------------------------------


def test_captions_marks_and_rows_say_what_figures_says(app, expected):
    classes, label = app.model.classes, app.session.population.label
    for i, row in enumerate(app.population.listing.rows):
        said = classes[expected["predicted"][i]]
        assert row["predicted"] == said
        assert row["label"] == classes[label[i]]
        assert row["right"] == ("right" if expected["predicted"][i] == label[i] else "wrong")
        for key in ("confidence", "margin", "concentration", "distance"):
            assert row[key] == pytest.approx(float(expected[key][i]))
        start = f"{row['id']}: predicted {said}, labelled {row['label']}, confidence {row['confidence']:.2f}"
        assert app.population.film.captions[i] == app.population.grid.captions[i] == start
        assert app.population.film.marks[i] == ("wrong" if row["right"] == "wrong" else "")
    assert words(app) == f"24 of 24 shown, accuracy {accuracy(expected['right']):.3f}."


def test_an_edit_of_the_supports_changes_the_words_without_a_pass(app, expected):
    of_class = app.model.supports.index[app.model.supports.label == 0].tolist()
    before = (passes.forward, passes.backward)
    app.state.edit(excluded=of_class)
    p = app.session.population
    now = figures(app.model, app.session.supports, p.z, p.label)
    assert (passes.forward, passes.backward) == before
    assert not (now["predicted"] == expected["predicted"]).all()
    own, edited = (f"{accuracy(f['right']):.3f}" for f in (expected, now))
    assert words(app) == f"24 of 24 shown, accuracy {edited} (model's own supports {own})."
    assert [row["margin"] for row in app.population.listing.rows] == pytest.approx(now["margin"].tolist())
    assert len(app.population.map._supports.data["x"]) == len(app.session.supports)
    app.state.undo()
    assert words(app) == f"24 of 24 shown, accuracy {own}."


def test_samples_without_labels(toy):
    from xai_views_dashboard.sic.app import SicApp

    rng = np.random.default_rng(0)
    unlabelled = dataset(rng.integers(0, 255, (5, 10, 10, 3)).astype(np.uint8), title="unlabelled-five")
    app = SicApp(toy(), unlabelled)
    app.session.population.ready.result(60)
    app.population.refresh()
    assert words(app) == "5 of 5 shown."
    assert {row["right"] for row in app.population.listing.rows} == {"unknown"}
    assert app.population.film.marks == [""] * 5
    app.state.shown = "wrong"
    assert words(app).startswith("No sample is left")


# -- before every sample was observed -----------------------------------------------------------------------------


def test_before_the_samples_were_observed(waiting):
    app, population, ready = waiting
    panel = app.population
    assert panel.figures is None
    assert words(app) == "24 of 24 shown; observing 0 of 24 …, order and accuracy follow."
    observe(app, population, slice(0, 8))
    app.state.param.update(sort="margin", shown="wrong", descending=True)  # nothing to order by yet
    assert panel.film.items == list(range(24))
    assert "observing 8 of 24" in words(app)
    app.state.label = 1
    assert len(ids(app)) == 8
    assert panel.listing.rows[0]["label"] == app.model.classes[1]
    assert "predicted" not in panel.listing.rows[0]
    app.state.sample = 4
    assert panel.film.current == 4
    assert panel.map.pane.object is None
    app.state.param.update(shown="all", label=-1)
    observe(app, population)
    ready.set_result(None)
    assert panel.figures is not None
    assert panel.film.items == np.argsort(-panel.figures["margin"], kind="stable").tolist()
    assert panel.map.pane.object is not None


@pytest.mark.parametrize(
    ("error", "said"),
    [(XaiViewsError("the device is full."), "the device is full."), (ValueError("x"), "the log says why.")],
)
def test_samples_that_cannot_be_observed_are_a_sentence(waiting, error, said):
    app, _, ready = waiting
    ready.set_exception(error)
    assert words(app).endswith(f"not all samples could be observed: {said}")
    app.state.param.update(sort="margin", shown="wrong", label=1)
    assert len(app.population.film.items) == 8


async def test_on_an_event_loop_the_figures_arrive_by_themselves(toy, samples, monkeypatch):
    from xai_views_dashboard.sic.app import SicApp

    monkeypatch.setattr(session, "_shared", OrderedDict())
    app = SicApp(toy(), samples())
    for _ in range(500):
        if app.population.figures is not None:
            break
        await asyncio.sleep(0.02)
    assert "accuracy" in words(app)


# -- choosing -----------------------------------------------------------------------------------------------------


def test_choosing_anywhere_moves_everything_once(app):
    seen = []
    app.state.param.watch(lambda e: seen.append(e.new), "sample")
    panel = app.population
    choices = [
        lambda: panel.film._handle_msg({"type": "select", "index": 3}),
        lambda: panel.grid._handle_msg({"type": "select", "index": 9}),
        lambda: panel.listing._handle_msg({"type": "select", "id": names(app, [5])[0]}),
        lambda: setattr(panel.map._points.selected, "indices", [11]),
        lambda: app.canvas._handle_msg({"type": "position", "position": 2}),
    ]
    for choose, i in zip(choices, [3, 9, 5, 11, 2], strict=True):
        choose()
        assert app.state.sample == panel.film.current == panel.grid.current == i
        assert panel.listing.selected == app.canvas.sample == names(app, [i])[0]
        ring, points = panel.map._ring.data, panel.map._points.data
        assert (ring["x"], ring["y"]) == ([points["x"][i]], [points["y"][i]])
    assert seen == [3, 9, 5, 11, 2]


def test_a_tapped_support_is_chosen_and_can_be_tapped_again(app):
    at = app.population.map._supports
    at.selected.indices = [2]
    assert app.state.support == int(app.model.supports.index[2])
    assert app.canvas.row == str(app.state.support)
    assert list(at.selected.indices) == []
    app.state.support = -1
    at.selected.indices = [2]
    assert app.state.support == int(app.model.supports.index[2])


# -- the map ------------------------------------------------------------------------------------------------------


def test_steps_and_edits_do_not_draw_the_map_again(app):
    view = app.population.map
    figure, thumbs = view.pane.object, view._points.data["thumb"]
    app.state.sample = 7
    app.state.sort = "margin"
    app.state.edit(excluded=[int(app.model.supports.index[0])])
    assert view.pane.object is figure
    assert view._points.data["thumb"] is thumbs
    assert len(view._supports.data["thumb"]) == len(app.model.supports) - 1
    assert list(view._points.data["said"]) == app.population._captions
    assert all(uri.startswith("data:image/") for uri in [*thumbs, *view._supports.data["thumb"]])


def test_neighbours_are_arranged_off_the_loop_and_only_shown_when_still_asked_for(app):
    view = app.population.map
    axes = view.pane.object

    async def there_and_back() -> None:
        view.how.value = "tsne"
        assert view.pane.object is axes
        assert "being arranged" in view.words.object
        view.how.value = "pca"
        await asyncio.gather(*tasks._running)

    asyncio.run(there_and_back())
    assert view.pane.object is axes
    assert "principal" not in view.words.object
    assert "The two axes hold" in view.words.object
    view.how.value = "tsne"  # there by now
    assert view.pane.object is not axes
    assert "The two axes hold" not in view.words.object
    app.state.sample = 3
    assert view._ring.data["x"] == [view._points.data["x"][3]]


def test_what_bokeh_draws_is_changed_while_the_page_is_locked(open_app, monkeypatch):
    """Panel may process events of the browser without the page's lock; Bokeh then refuses, and what follows is lost."""
    from xai_views_dashboard.sic import latent_map as sic_map

    app, later = open_app(), []
    app.population.map.fill(app.session.names)
    monkeypatch.setattr(sic_map, "on_page", later.append)
    ring = dict(app.population.map._ring.data)
    app.state.sample = 5
    assert dict(app.population.map._ring.data) == ring
    for call in later:
        call()
    assert dict(app.population.map._ring.data) != ring
