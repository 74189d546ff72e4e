"""An app is a page of declarations: an app of another package, in a few lines, has address, frames, panels and provenance."""

import asyncio
import json

import panel as pn
import param
import pytest
import xarray as xr

import xai_views as xv
from xai_views.errors import XaiViewsError
from xai_views.kernel import Kernel, set_kernel
from xai_views.views import decode, roles
from xai_views_dashboard.core.app import App
from xai_views_dashboard.core.job import Job
from xai_views_dashboard.core.panel import ASK, Closed, Panel
from xai_views_dashboard.core.session import Session
from xai_views_dashboard.core.state import AppState


class Never(Panel):
    """Has nothing to offer."""

    title = "Never"
    question = "what-if"

    @classmethod
    def fits(cls, app):
        return "this model has nothing to try."


class Counting(Panel):
    """Counts its requests and what it writes."""

    title = "Counting"
    watched = ("sample", "quantile")

    def __init__(self, app):
        self.asked, self.written = 0, []
        self.gates = []
        super().__init__(app)

    async def compute(self):
        self.asked += 1
        number = self.asked
        if self.gates:
            await self.gates[min(number, len(self.gates)) - 1].wait()
        return number

    def write(self, answer):
        self.written.append(answer)

    def __panel__(self):
        return pn.Spacer()


class StrangersApp(App):
    """RELAX as a main picture."""

    key = "stranger"
    title = "Stranger"
    method = "relax"
    panels_own = (Never, Counting)

    def layout(self):
        return {"tiles": {"photo": {"group": "main", "size": 200}}, "groups": {"main": {"title": ""}}}

    def frame(self, key, sample, result, wish):
        from xai_views.contract.explanation import with_roles

        ds = with_roles(result, self.main_method().gives)
        return roles.frame(key, ds, self.session.image(sample), self.session.names[sample])


@pytest.fixture(scope="module")
def model():
    return xv.open_model("birds-cnn")


@pytest.fixture(scope="module")
def samples():
    return xv.open_samples("birds/test").isel(sample=slice(0, 4))


@pytest.fixture
def app(model, samples):
    kernel = Kernel(device="cpu")
    previous = set_kernel(kernel)
    yield StrangersApp(model, samples, masks=60, seed=3)
    set_kernel(previous)
    kernel.close()


def test_the_state_holds_the_methods_parameters_as_it_declares_them(app):
    method = app.main_method()
    for name in method.declared():
        assert type(app.state.param[name]) is type(method.param[name]), name
        assert app.state.param[name].doc == method.param[name].doc
    assert app.state.masks == 60
    assert app.ask().masks == 60
    assert app.ask().seed == 3


def test_what_differs_from_the_beginning_is_in_the_address_and_comes_back(app):
    assert app.state.query(app.session.names) == {"v": "2", "masks": "60", "seed": "3"}, "what Python said"
    changed = {
        "masks": 120,
        "quantile": 0.25,
        "generator": "relax",
        "sample": 2,
        "tab": "Explain",
        "look": {"opacity": 0.3},
        "region": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    }
    app.state.sample = 2  # which lets go of what belonged to another
    app.state.param.update(**changed)
    query = app.state.query(app.session.names)
    assert set(query) == {"v", "seed", *changed}
    other = StrangersApp.state_kind()()
    assert other.restore(query, app.session.names) == []
    for name in app.state.param:
        if name != "name":
            assert getattr(other, name) == getattr(app.state, name), name


def test_result_says_how_it_was_made_and_is_made_again(app, model, samples):
    app.state.sample = 1
    result = app.result()
    assert json.loads(result.attrs["parameters"])["masks"] == 60
    again = xv.explain(
        model, samples.isel(sample=[1]), result.attrs["method"], **json.loads(result.attrs["parameters"])
    )
    xr.testing.assert_identical(result, again)


async def test_frames_are_kept_by_content(app):
    name = app.session.names[0]
    first = await app.answer(f"{name}|{app.canvas.context}")
    app.state.quantile = 0.9
    second = await app.answer(f"{name}|{app.canvas.context}")
    assert first != second
    assert decode(first).header["tiles"].keys() == decode(second).header["tiles"].keys()
    before = app.session.kernel.status().forward
    app.state.quantile = 0.5
    assert await app.answer(f"{name}|{app.canvas.context}") == first
    assert app.session.kernel.status().forward == before
    with pytest.raises(XaiViewsError, match="not here any more"):
        await app.answer(f"{name}|nothing")


def test_panels_stand_by_question_and_say_why_they_are_closed(app):
    titles = [p.title for p in app.panels]
    assert titles == ["Counting", "Explain", "Pinned", "Never", "Reliability", "Provenance", "About", "Case"]
    closed = app.panels[3]
    assert isinstance(closed, Closed)
    assert closed.reason == "this model has nothing to try."


async def test_the_newest_wish_wins(app):
    panel = app.panels[0]
    panel.gates = [asyncio.Event(), asyncio.Event()]
    panel.active = True
    await asyncio.sleep(0)
    app.state.sample = 1
    await asyncio.sleep(0)
    panel.gates[1].set()
    await asyncio.sleep(0.01)
    panel.gates[0].set()
    await asyncio.sleep(0.01)
    assert panel.asked == 2
    assert panel.written == [2]


async def test_a_closed_panel_computes_nothing(app):
    panel = app.panels[0]
    for sample in (1, 2, 3):
        app.state.sample = sample
    await asyncio.sleep(0.01)
    assert panel.asked == 0
    app.tabs.begin()
    await asyncio.sleep(0.01)
    assert panel.asked == 1
    app.tabs.bring("Explain")
    app.state.sample = 0
    await asyncio.sleep(0.01)
    assert panel.asked == 1


def test_a_pages_callback_cannot_wait(monkeypatch):
    class Document:
        session_context = object()

    class Never:
        def result(self):
            raise AssertionError("waited")

    monkeypatch.setattr(type(pn.state), "curdoc", property(lambda self: Document()))
    with pytest.raises(RuntimeError, match="must not wait"):
        Session.wait(Never())


class Edits(AppState):
    """With one step of undo."""

    k = param.Integer(0)
    EDITS = ("k",)


def test_a_new_edit_forgets_what_was_taken_back():
    state = Edits()
    state.edit(k=1)
    state.undo()
    assert state.can_redo
    state.edit(k=2)
    assert not state.can_redo
    assert not state.redo()
    assert state.k == 2


class Late(Job):
    """Needs a choice before its work starts."""

    def __init__(self, app):
        self.gate, self.taken = asyncio.Event(), []
        super().__init__(app)

    async def submit(self, wish, told):
        await self.gate.wait()
        return await super().submit(wish, told)

    def work(self, wish, progress):
        yield
        return "done"

    def take(self, answer):
        self.taken.append(answer)


@pytest.mark.parametrize("stopped", [True, False])
async def test_work_can_be_stopped_while_it_is_made_ready(app, stopped):
    job = Late(app)
    run = asyncio.create_task(job.run())
    await asyncio.sleep(0)
    if stopped:
        job.cancel()
    job.gate.set()
    await run
    assert job.taken == ([] if stopped else ["done"])
    assert not job.go.disabled
    assert (job.stopped in job.words.object) == stopped


class Whole(Counting):
    """Depends on the whole request of the main method."""

    watched = (ASK,)


async def test_a_panel_may_watch_all_that_is_asked(app):
    panel = Whole(app)
    panel.active = True
    await asyncio.sleep(0)
    assert panel.asked == 1
    for change in ({"masks": 80}, {"generator": "relax"}, {"sample": 1}, {"tab": "Explain"}):
        app.state.param.update(**change)
        await asyncio.sleep(0)
    assert panel.asked == 3, "neither the sample nor the tab is asked of the method"


class Marked(AppState):
    """Has marks on the current sample, and a number."""

    marks = param.List([])
    k = param.Integer(0)
    EDITS, OF_SAMPLE = ("marks", "k"), ("region", "marks")


def test_another_sample_begins_without_what_belonged_to_the_last_one():
    state = Marked()
    state.edit(marks=[1])
    state.edit(k=3)
    state.edit(marks=[1, 2])
    state.leave()
    assert (state.marks, state.k) == ([], 3)
    assert state.undo()
    assert (state.marks, state.k) == ([], 0)
    assert not state.can_undo, "marks of another sample never come back"


def test_an_address_says_the_sample_before_what_belongs_to_it():
    state = Marked()
    state.param.watch(lambda _: state.leave(), "sample")
    assert state.restore({"marks": "[1]", "region": "[[1,2],[3,4]]", "sample": "b"}, ["a", "b"]) == []
    assert (state.sample, state.marks, state.region) == (1, [1], [[1.0, 2.0], [3.0, 4.0]])


class MarkedStranger(StrangersApp):
    """Has a note on every page, initial values of its own, and marks of the current sample."""

    selection = Marked
    drawn = ("marks",)
    always = "Not for flying."

    def begins(self):
        return {"masks": 90, "seed": 4}


@pytest.fixture
def marked(app, model, samples):
    return MarkedStranger(model, samples.assign_attrs(note="Not for flying. Drawn."), seed=5)


def test_what_belongs_to_a_sample_is_in_the_context_of_that_sample_alone(marked):
    plain = marked.wish().context
    marked.state.sample = 1
    assert marked.wish().context == plain, "neighbours share frames"
    marked.state.marks = [1]
    here = marked.wish()
    marked.state.param.update(sample=2)
    assert marked.state.marks == []
    marked.state.marks = [1]
    assert marked.wish().context not in (plain, here.context)


def test_what_the_page_begins_with_is_asked_for_and_what_is_given_wins(marked):
    assert (marked.ask().masks, marked.ask().seed) == (90, 5)


def test_what_is_always_said_is_said_once(marked):
    (said, _) = marked.notes()
    assert said.object.count("Not for flying.") == 1
    assert "<summary>Not for flying. Drawn.</summary>Trained" in said.object
