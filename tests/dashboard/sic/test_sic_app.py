"""The SIC app as a whole: address, provenance, no waiting, and no work for closed tabs."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
import xarray as xr
from sic_hands import Hand, begun, opened, panel_of, quiet, supports_of

from xai_views.methods import explain
from xai_views.views import Filmstrip, Listing
from xai_views_dashboard.panels.upload import UploadPanel
from xai_views_dashboard.sic.answer import AnswerPanel, RegionPanel
from xai_views_dashboard.sic.app import SicApp

State = SicApp.state_kind()
CHANGED = {
    "sample": 3, "target": 1, "against": 2, "rendering": False, "matches": False, "everything": True, "smoothing": 5,
    "percentile": 90.0, "per_class": 4, "rule": "diverse", "excluded": [101, 103], "added": [[105, 2]], "support": 104,
    "sort": "margin", "descending": True, "outcome": "errors", "true_class": 2, "predicted_class": 1, "search": "s1",
    "tab": "Region", "hidden": True, "pinned": "s2", "pinned_model": "other", "pinned_method": "saliency",
    "look": {"opacity": 0.3},
    "region": [[1.0, 2.0], [3.0, 4.0], [5.0, 1.0]],
}  # fmt: skip
NAMES = [f"s{i}" for i in range(5)]


def plain(state) -> dict:
    return {k: v for k, v in state.param.values().items() if k != "name"}


@pytest.fixture
def blocked():
    """A worker that is blocked until it is released."""
    from xai_views.kernel import get_kernel

    begun, go = threading.Event(), threading.Event()
    run = get_kernel().run(lambda progress: begun.set() or go.wait(60))
    assert begun.wait(30)
    yield go
    go.set()
    run.result(30)


# -- the address --------------------------------------------------------------------------------------------------


def test_the_state_is_the_methods_and_the_pages():
    assert set(CHANGED) == {n for n in State.param if n != "name"}
    method = SicApp.main_method()
    for name in method.declared():
        if name != "targets":
            assert type(State.param[name]) is type(method.param[name])
    assert SicApp.state_kind()().rendering


@pytest.mark.parametrize("name", CHANGED)
def test_each_parameter_is_in_the_address_and_comes_back(name):
    state, again = State(**{name: CHANGED[name]}), State()
    assert plain(state) != plain(again)
    assert again.restore(state.query(NAMES), NAMES) == []
    assert plain(again) == plain(state)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"added": "[[1,2],[3"}, {}),
        ({"added": '[["a",1]]'}, {}),
        ({"excluded": '["x"]'}, {}),
        ({"per_class": "1000000"}, {"per_class": 20}),
        ({"per_class": "-1"}, {}),
        ({"rule": "best"}, {}),
        ({"excluded": json.dumps(list(range(3000)))}, {"excluded": list(range(1000))}),
    ],
)
def test_an_address_is_bounded(query, kept):
    state = State()
    before = plain(state)
    assert len(state.restore(query, NAMES)) == (not kept)
    assert plain(state) == before | kept


# -- provenance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"target": 1, "against": 2},
        {"per_class": 2, "rule": "diverse", "excluded": [101]},
        {"added": [[105, 2], [120, 0]], "matches": False},
        {"everything": True, "smoothing": 3, "percentile": 95.0},
    ],
    ids=str,
)
def test_a_result_is_made_again_from_what_it_says(open_app, asked):
    app = open_app(sample=4)
    app.state.edit(**asked)
    result = app.result()
    assert result.attrs["method"] == "sic"
    asked_again = json.loads(result.attrs["parameters"])
    again = explain(app.model, app.samples.isel(sample=[4]), "sic", **asked_again)
    xr.testing.assert_identical(result, again)
    assert result["support_sample"].values.tolist() == supports_of(app).index.tolist()


def test_the_result_of_an_upload_is_made_again(open_app):
    app = open_app(target=2)
    app.state.sample = app.session.add(np.full((10, 10, 3), 77, np.uint8))
    app.state.edit(per_class=1)
    result = app.result()
    again = explain(
        app.model, app.session.dataset(app.state.sample), "sic", **json.loads(result.attrs["parameters"])
    )
    xr.testing.assert_identical(result, again)


# -- nothing waits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [
    lambda app: app.pressed("2"), lambda app: app.pressed("u"), lambda app: app.state.edit(excluded=[100, 101]),
    lambda app: app.state.param.update(sample=3), lambda app: app.state.param.update(per_class=5),
    lambda app: app.opened("Region"), lambda app: app.selected({"row": "105"}),
])  # fmt: skip
async def test_no_callback_waits_for_the_kernel(open_app, blocked, act):
    app = open_app()
    before = time.monotonic()
    act(app)
    assert time.monotonic() - before < 1
    blocked.set()
    await quiet()


async def test_a_number_explains_the_class_of_that_place(open_app, blocked):
    app = open_app(sample=4)
    app.pressed("2")
    assert app.state.target == -1
    blocked.set()
    await quiet()
    order = np.argsort(-app.result()["logit"].values[0], kind="stable")
    assert app.state.target == order[1]
    app.pressed("9")  # there are three
    app.pressed("0")
    await quiet()
    assert app.state.target == order[1]


async def test_a_number_counts_for_the_sample_that_was_in_view(open_app, blocked):
    app = open_app(sample=4)
    app.pressed("2")
    app.state.sample = 5
    blocked.set()
    await quiet()
    assert app.state.target == -1


def counting(panel, computed: list):
    compute = panel.compute

    async def counted():
        computed.append(panel.title)
        return await compute()

    return counted


async def test_closed_tabs_compute_and_write_nothing(open_app, monkeypatch):
    app = open_app()
    app.__panel__()
    await quiet()
    written, computed = [], []
    for panel in app.panels:
        view = panel.__panel__()
        parts = (
            view.select(lambda v: isinstance(v, Listing | Filmstrip) or hasattr(v, "object"))
            if hasattr(view, "select")
            else []
        )
        for part in parts:
            part.param.watch(lambda e, p=panel: written.append((p.title, e.name)), list(part.param))
        if hasattr(panel, "compute"):
            monkeypatch.setattr(panel, "compute", counting(panel, computed))
    await begun(app)
    app.tabs.bring("About")
    await quiet()
    written.clear()
    computed.clear()
    app.state.sample = 3
    app.state.target = 2
    app.state.support = int(app.model.supports.index[0])
    app.state.sort = "margin"
    app.state.edit(excluded=[int(app.model.supports.index[1])])
    app.state.region = [[0, 0], [5, 0], [5, 5]]
    await quiet()
    assert computed == []
    assert {p for p, _ in written} <= {"Your image"}, "its list marks the sample in view"
    app.tabs.bring("All classes")
    await quiet()
    assert computed == ["All classes"]
    assert "All classes" in {p for p, _ in written}


# -- what follows the explanation ---------------------------------------------------------------------------------


async def test_all_classes_are_the_sums_of_the_explanation(open_app):
    app = open_app(sample=4)
    panel = await opened(app, AnswerPanel)
    result = app.result()
    logit = result["logit"].values[0]
    assert [r["id"] for r in panel.listing.rows] == [str(c) for c in np.argsort(-logit, kind="stable")]
    for row in panel.listing.rows:
        assert row["logit"] == pytest.approx(float(logit[int(row["id"])]))
        assert row["total"] == pytest.approx(row["logit"], abs=1e-4)
    assert "norm" in panel.words.object
    other = panel.listing.rows[-1]["id"]
    panel.listing._handle_msg({"type": "select", "id": other})
    assert app.state.target == int(other)


async def test_a_region_splits_the_evidence_of_the_edited_set(open_app):
    app = open_app(sample=2, target=1, matches=False)
    panel = await opened(app, RegionPanel)
    assert "Brush a region" in panel.words.object
    app.state.edit(per_class=2)
    app.state.region = [[0, 0], [10, 0], [10, 5], [0, 5]]
    await quiet()
    result = app.result()
    supports = supports_of(app)
    assert [r["id"] for r in panel.listing.rows] == [str(i) for i in supports.index[supports.of_class(1)]]
    for row in panel.listing.rows:
        whole = float(result["evidence"].values[0, supports.index.tolist().index(int(row["id"]))])
        assert row["inside"] + row["outside"] == pytest.approx(row["whole"])
        assert row["whole"] == pytest.approx(whole, rel=1e-5)
    assert "covers 50.0 % of the pixels and " in panel.words.object
    app.state.sample = 3
    await quiet()
    assert panel.listing.rows == []


async def test_every_tab_opens(open_app):
    app = open_app()
    for panel in list(app.panels):
        await opened(app, type(panel))
    assert app.problem == ""
    titles = [p.title for p in app.panels]
    assert titles[:3] == ["All classes", "Region", "Latent map"]
    assert set(titles[3:5]) == {
        "Explain",
        "Pinned",
    }  # from entry points, whose order is that of the installation
    assert titles[5:7] == ["Supports", "Your image"]
    assert titles[7:9] == ["Reliability", "Provenance"]
    assert set(titles[9:]) == {"Case", "About"}
    assert "All classes" in panel_of(app, UploadPanel).hint
    hand = await Hand.at(app)
    assert hand.said.startswith("These are the original support samples")


async def test_digits_explain_nothing_while_the_output_is_hidden(open_app):
    app = open_app()
    app.state.hidden = True
    app.pressed("1")
    await quiet()
    assert app.state.target == -1
    app.state.hidden = False
    app.pressed("1")
    await quiet()
    assert app.state.target >= 0


async def test_a_region_says_its_share_on_the_picture(open_app):
    app = open_app()
    await begun(app)
    app.canvas._handle_msg(
        {"type": "region", "tile": "sample", "polygon": [[0, 0], [10, 0], [10, 5], [0, 5]]}
    )
    await quiet()
    assert app.canvas.chip["tile"] == "sample"
    assert app.canvas.chip["text"].startswith("The region covers 50.0 % of the pixels and ")
    app.state.hidden = True
    await quiet()
    assert not app.canvas.chip["text"]
