"""The population without a browser: list, keys and picture are one set whatever is chosen, in whatever order, and hidden."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from xai_views.engine.predictions import OUTCOMES, Predictions, predict
from xai_views.errors import XaiViewsError
from xai_views.models import open_model, passes
from xai_views.samples import dataset
from xai_views_dashboard.activations.app import ActivationsApp
from xai_views_dashboard.core.population import ERROR, YOURS
from xai_views_dashboard.ecg.app import EcgApp

sys.path.append(str(Path(__file__).parents[1] / "sic"))
from sic_hands import begun, quiet

CLASSES = ["red", "green", "blue"]


class Colours(nn.Module):
    """Predicts the colour that is strongest on average."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 3, 1)
        nn.init.eye_(self.last.weight[..., 0, 0].data)
        nn.init.zeros_(self.last.bias.data)

    def forward(self, x):
        return 8 * self.last(x).mean((2, 3))


def coloured(n: int, label=None):
    """Noise with a tint; every fifth label is wrong."""
    rng = np.random.default_rng(n)
    image = rng.integers(0, 120, (n, 8, 8, 3))
    true = np.arange(n) % 3
    image[np.arange(n), :, :, true] += rng.integers(10, 90, (n, 1, 1))
    given = np.where(np.arange(n) % 5 == 2, (true + 1) % 3, true) if label is None else label
    names = [f"sample-{i:03d}" for i in range(n)]
    return dataset(image.astype(np.uint8), given, name=names, classes=CLASSES)


@pytest.fixture(scope="module")
def model():
    return open_model(Colours(), channels=3, size=(8, 8), classes=CLASSES, name="colours")


@pytest.fixture(scope="module")
def samples():
    return coloured(30)


@pytest.fixture(scope="module")
def expected(model, samples) -> Predictions:
    run = predict(model, samples)
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


@pytest.fixture
def waiting(model, samples):
    """A page that the browser has not loaded yet."""
    return ActivationsApp(model, samples)


@pytest.fixture
async def app(waiting):
    return await begun(waiting)


def one_set(app) -> list[int]:
    """What list, keys and picture have in common."""
    names = app.session.names
    assert app.listed.film.items == app.listed.index
    assert app.canvas.order == [names[i] for i in app.listed.index]
    assert app.canvas.sample == names[app.state.sample]
    assert app.state.sample in app.listed.index
    return app.listed.index


# -- one set --------------------------------------------------------------------------------------------------------


async def test_everything_follows_every_filter(app, expected):
    errors = np.flatnonzero(expected.correct == 0).tolist()
    assert 0 < len(errors) < 30
    assert app.state.sample == 0 not in errors
    app.state.outcome = "errors"
    assert one_set(app) == errors
    assert app.state.sample == errors[0], "the first of the set comes into view"
    app.state.sort = "loss"
    by_loss = sorted(errors, key=lambda i: expected.loss[i])
    assert one_set(app) == by_loss
    assert app.state.sample == errors[0], "what is in the set stays in view"
    app.state.descending = True
    assert one_set(app) == by_loss[::-1]
    app.state.true_class = 1
    assert one_set(app) == [i for i in by_loss[::-1] if app.session.population.label[i] == 1]
    app.listed.reset()
    assert sorted(one_set(app)) == list(range(30))
    assert (app.state.sort, app.state.descending) == ("loss", True), "the order is no filter"


async def test_where_nothing_matches_everything_stays_and_says_so(app):
    app.state.search = "sample-01"
    before = one_set(app)
    assert before == list(range(10, 20))
    app.state.search = "sample-01x"
    assert one_set(app) == before
    assert app.listed.form.words.startswith("No sample matches; the list still shows 10 of 30")
    app.listed.form._handle_msg({"type": "reset"})
    assert one_set(app) == list(range(30))
    assert app.listed.form.words.startswith("30 shown of 30")


async def test_what_is_chosen_from_elsewhere_drops_the_filters_that_leave_it_out(app):
    app.state.param.update(outcome="errors", sort="margin")
    outside = next(i for i in range(30) if i not in app.listed.index)
    inside = app.listed.index[1]
    app.state.sample = inside
    assert app.state.outcome == "errors"
    app.state.sample = outside
    assert (app.state.outcome, app.state.sort) == ("all", "margin")
    assert len(one_set(app)) == 30
    assert app.state.sample == outside


async def test_a_filter_chosen_with_a_sample_outside_of_it_wins(app, expected):
    errors = np.flatnonzero(expected.correct == 0).tolist()
    app.state.param.update(sample=next(i for i in range(30) if i not in errors), outcome="errors")
    assert one_set(app) == errors
    assert app.state.outcome == "errors"


async def test_keys_walk_through_the_list(app):
    app.state.param.update(outcome="errors", sort="confidence")
    for position, i in enumerate(app.listed.index):
        app.canvas._handle_msg({"type": "position", "position": position})
        assert app.state.sample == i
        one_set(app)


async def test_search_lists_and_enter_jumps(app):
    form = app.listed.form
    form._handle_msg({"type": "set", "values": {"search": "PLE-02"}})
    assert one_set(app) == list(range(20, 30))
    app.state.sample = 25
    form._handle_msg({"type": "jump"})
    assert app.state.sample == 20
    assert form.values["search"] == "PLE-02"


async def test_what_the_form_may_not_ask_for_changes_nothing(app):
    form, before = app.listed.form, dict(app.listed.form.values)
    for values in ({"sort": "magic"}, {"outcome": 3}, {"true_class": "x"}, {"sample": 4}, {"true_class": -7}):
        form._handle_msg({"type": "set", "values": values})
        assert form.values == before
    form._handle_msg({"type": "set", "values": {"true_class": 99}})
    assert app.state.true_class == -1
    assert len(one_set(app)) == 30


# -- address --------------------------------------------------------------------------------------------------------


async def test_the_address_restores_it_in_any_order(app, model, samples):
    app.state.param.update(
        outcome="errors", true_class=1, predicted_class=0, sort="loss", descending=True, search="s"
    )
    wanted, sample = list(one_set(app)), app.state.sample
    query = app.state.query(app.session.names)
    mine = {k: query[k] for k in ("sample", *app.state.FILTERS, *app.state.ORDER)}
    assert all(k in query for k in mine)
    for entries in itertools.islice(itertools.permutations(mine.items()), 0, 5040, 700):
        other = ActivationsApp(model, samples)
        other.state.restore(dict(entries), other.session.names)
        await begun(other)
        assert one_set(other) == wanted
        assert other.state.sample == sample


# -- predictions ----------------------------------------------------------------------------------------------------


async def test_before_the_model_was_run_what_needs_it_waits(waiting, expected):
    app = waiting
    app.state.param.update(outcome="errors", sort="margin", true_class=2)
    labelled = np.flatnonzero(app.session.population.label == 2).tolist()
    assert one_set(app) == labelled
    app.listed._begun = True
    app.listed.count(16)
    assert app.listed.form.words.endswith("Running the model on all samples: 16 of 30")
    assert app.listed.form.busy == pytest.approx(16 / 30)
    app.listed._begun = False
    await begun(app)
    errors = [i for i in labelled if expected.correct[i] == 0]
    assert one_set(app) == sorted(errors, key=lambda i: expected.margin[i])
    assert app.listed.form.busy == -1
    assert app.listed.form.words == (
        f"{len(errors)} shown of 30 · accuracy {100 * expected.accuracy:.1f} %, {expected.errors} errors"
    )


async def test_the_model_is_run_once_for_all_visitors_and_progress_is_told(model):
    fresh = coloured(40)
    pages = [ActivationsApp(model, fresh) for _ in range(3)]
    told, forward = [], passes.forward
    count = pages[0].listed.count
    pages[0].listed.count = lambda done: told.append(done) or count(done)
    for page in pages:
        page.listed.begin()
    await quiet()
    assert passes.forward - forward == 40
    assert told
    assert len({id(p.listed.predictions) for p in pages}) == 1
    later = ActivationsApp(model, fresh)
    later.listed.begin()
    await quiet()
    assert passes.forward - forward == 40
    assert later.listed.predictions is pages[0].listed.predictions


async def test_a_set_that_cannot_be_run_says_why(waiting, monkeypatch):
    async def fails(ask=None, counted=None):
        raise XaiViewsError("The device is full.")

    monkeypatch.setattr(waiting.session, "predicted", fails)
    app = await begun(waiting)
    assert app.listed.form.words == (
        "30 shown of 30. The model could not be run on all samples: The device is full."
    )
    assert app.listed.form.busy == -1
    app.state.param.update(outcome="errors", search="sample-00")
    assert one_set(app) == list(range(10))


async def test_orders_that_are_not_known_are_disabled_and_say_why(app, model):
    reasons = {s["key"]: s["reason"] for s in app.listed.form.sorts}
    assert reasons["distance"] == "not known for this model"
    assert reasons["loss"] == ""
    assert "concentration" not in reasons
    app.state.sort = "distance"  # an address asks for it
    assert app.state.sort == app.listed.form.values["sort"] == "order"
    unlabelled = await begun(ActivationsApp(model, coloured(6, np.full(6, -1))))
    assert {s["key"] for s in unlabelled.listed.form.sorts if s["reason"]} == {"loss", "distance"}
    assert unlabelled.listed.form.unlabelled
    assert unlabelled.listed.form.words == "6 shown of 6 · no labels"
    unlabelled.state.sort = "confidence"
    assert len(one_set(unlabelled)) == 6


# -- words ----------------------------------------------------------------------------------------------------------


async def test_captions_marks_and_matrix_say_what_the_model_predicts(app, expected):
    film, form = app.listed.film, app.listed.form
    for i in range(30):
        predicted, label = CLASSES[expected.predicted[i]], CLASSES[app.session.population.label[i]]
        said = (
            f"sample-{i:03d}: predicted {predicted}, label {label}, confidence {expected.confidence[i]:.2f}"
        )
        assert film.captions[i] == said
        assert film.marks[i] == (ERROR if predicted != label else "")
    assert {(t, p): n for t, p, n in form.confusion} == {
        (t, p): int(expected.confusion[t, p]) for t, p in np.argwhere(expected.confusion).tolist()
    }
    for t, p, n in form.confusion:
        form._handle_msg({"type": "set", "values": {"true_class": t, "predicted_class": p}})
        assert len(one_set(app)) == n


async def test_hiding_leaves_names_alone_and_keeps_the_sample(app):
    film, form = app.listed.film, app.listed.form
    app.state.param.update(outcome="errors", sort="loss", descending=True)
    sample = app.state.sample
    app.state.hidden = True
    assert one_set(app) == list(range(30)), "neither filter nor order can be read"
    assert app.state.sample == sample
    assert film.captions == app.session.names
    assert set(film.marks) == {""}
    assert (form.confusion, form.words, form.hidden) == ([], "30 shown of 30.", True)
    app.state.search = "sample-01"
    assert one_set(app) == list(range(10, 20))
    right = next(i for i in app.listed.index if app.listed.predictions.correct[i] == 1)
    app.state.sample = right
    app.state.hidden = False
    assert app.state.sample == right, "showing the answer shows that of the sample in view"
    assert right in one_set(app)
    assert form.confusion
    assert ERROR in film.marks


async def test_uploads_come_last_and_are_marked(app):
    app.state.param.update(outcome="errors", sort="margin")
    app.state.sample = app.session.add(app.session.image(3))
    index = one_set(app)
    assert index[-1] == 30 == app.state.sample
    assert app.state.outcome == "all", "a filter by outcome leaves out what has no label"
    assert app.listed.film.captions[-1] == "upload-1 (yours)"
    assert app.listed.film.marks[-1] == YOURS
    pictures = app.listed.thumbnails(np.array([2, 30]))
    assert pictures[1].tolist() == app.listed.thumbnails(np.array([3]))[0].tolist()
    app.state.search = "upload"
    assert one_set(app) == [30]
    app.state.param.update(search="", true_class=1)
    assert 30 not in one_set(app)


# -- kinds and sizes ------------------------------------------------------------------------------------------------


async def test_records_are_listed_with_traces():
    from xai_views import apps

    app = await begun(EcgApp(*apps.opened("ecg-resnet")))
    assert app.listed.film.named
    assert app.listed.predictions.errors
    assert app.listed.form.words.startswith("150 shown of 150 · accuracy 97.3 %, 4 errors")
    app.state.outcome = "errors"
    assert len(one_set(app)) == app.listed.predictions.errors
    (picture,) = app.listed.thumbnails(np.array([0]))
    assert picture.std() > 10


async def test_many_samples_stay_usable(model):
    app = await begun(ActivationsApp(model, coloured(10_000)))
    found = app.listed.predictions
    for outcome, sort in itertools.product(OUTCOMES, ("order", "loss")):
        start = time.perf_counter()
        app.state.param.update(outcome=outcome, sort=sort)
        assert time.perf_counter() - start < 1.5
    app.state.outcome = "all"
    said = []
    app.listed.film.param.watch(lambda e: said.append(e.name), list(app.listed.film.param))
    app.listed.form.param.watch(lambda e: said.append(e.name), list(app.listed.form.param))
    app.canvas._handle_msg({"type": "position", "position": 77})
    assert app.state.sample == int(found.ranked(np.arange(10_000), "loss")[77])
    assert said == [], "a step sends nothing of the list"
    await asyncio.sleep(0)
