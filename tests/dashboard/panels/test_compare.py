"""Pinned: two sides on one scale in every app; a side that fails blanks no other, and a closed tab computes nothing."""

import asyncio

import numpy as np
import pytest

import xai_views as xv
from xai_views.contract import registry
from xai_views.errors import XaiViewsError
from xai_views.views import decode
from xai_views_dashboard.panels.compare import PinnedPanel, unfit

PAGES = {
    "sic": ("birds-sic", "birds/test"),
    "activations": ("birds-cnn", "birds/test"),
    "ecg": ("ecg-resnet", "ecg/test"),
}


@pytest.fixture(scope="module")
def opened():
    return {
        key: (xv.open_model(m), xv.open_samples(s).isel(sample=slice(0, 6))) for key, (m, s) in PAGES.items()
    }


@pytest.fixture
def open_page(opened):
    def get(key="sic", **state):
        app = registry.load("apps", key)(*opened[key], **state)
        return app, next(p for p in app.panels if isinstance(p, PinnedPanel))

    return get


def compared(panel):
    both = asyncio.run(panel.compute())
    panel.write(both)
    return both


@pytest.mark.parametrize("key", ["sic", "activations"])
def test_two_samples_on_one_range_with_their_difference(open_page, key):
    app, panel = open_page(key, sample=1)
    app.state.pinned = app.session.names[0]
    both = compared(panel)
    maps = decode(panel._frame).maps
    left, right = both.left.map.values, both.right.map.values
    np.testing.assert_allclose(
        maps["difference", "difference"], right - left, atol=np.abs(right - left).max() / 120
    )
    scales = {m["tile"]: m["scale"] for m in decode(panel._frame).header["maps"] if m["layer"] == "map"}
    assert scales["left-map"] == scales["right-map"], "one colour range"
    app.state.sample = 0
    logits = app.result()["logit"].values[0]
    row = next(r for r in panel.listing.rows if r["class"] == app.model.classes[int(logits.argmax())])
    assert row["logit_left"] == pytest.approx(float(logits.max()), abs=1e-5)
    assert row["logit_difference"] == pytest.approx(row["logit_right"] - row["logit_left"])


def test_two_models_of_one_input(open_page):
    _app, panel = open_page("activations", pinned_model="birds-cnn-watermark")
    both = compared(panel)
    assert (both.left.name, both.left.reason) == (both.right.name, "")
    assert both.left.classes == both.right.classes
    assert not np.allclose(both.left.result["logit"], both.right.result["logit"])
    assert ("difference", "difference") in decode(panel._frame).maps


def test_another_method_of_the_same_sample(open_page):
    _app, panel = open_page("activations", pinned_method="saliency")
    both = compared(panel)
    assert both.left.map.name != both.right.map.name
    assert "different quantities" in panel.words.object
    assert ("difference", "difference") not in decode(panel._frame).maps
    assert "difference" not in panel._canvas.layout["tiles"], "no empty tile"


def test_a_method_that_does_not_fit_is_replaced_and_said(open_page):
    _app, panel = open_page("sic", pinned_model="birds-cnn")
    both = compared(panel)
    assert both.left.result is not None
    assert "needs a SIC network" in panel.words.object
    assert "is shown instead" in panel.words.object


@pytest.mark.parametrize("bad", [{"pinned_model": "ecg-resnet"}, {"pinned_model": "../../etc"}])
def test_a_bad_choice_blanks_the_good_side_in_no_way(open_page, bad):
    _app, panel = open_page("sic", **bad)
    both = compared(panel)
    assert both.right.result is not None
    assert both.left.result is None
    assert "cannot open these samples" in panel.words.object
    assert ("right-map", "right map") in decode(panel._frame).maps
    assert decode(panel._frame).header["tiles"]["left-map"]["reason"] == both.left.reason


def test_records_side_by_side_with_strips_on_one_limit(open_page):
    app, panel = open_page("ecg", sample=1, shown="contribution")
    app.state.pinned = app.session.names[0]
    compared(panel)
    one, other = (paper.record() for paper in panel.pictures.objects)
    assert one is None or one.limit == other.limit
    assert "do not share their beats" in panel.words.object
    app.state.pinned = app.session.names[1]
    compared(panel)
    assert len(panel.pictures.objects) == 3, "one record: the difference of the strips too"
    app.state.param.update(pinned="", pinned_model="ecg-sic", pinned_method="ecg_clusters")
    both = compared(panel)
    assert both.left.reason == ""
    assert both.left.result["logit"].shape == both.right.result["logit"].shape
    assert "different grids" in panel.words.object, "their layers have other steps"


def test_edits_stay_with_their_sample(open_page):
    app, panel = open_page("ecg", sample=1)
    app.state.pinned = app.session.names[0]
    before = compared(panel).left.result["logit"].values
    app.state.edit(edits_made=[{"kind": "mute", "lead": 1}])
    both = compared(panel)
    np.testing.assert_array_equal(both.left.result["logit"].values, before)
    plain = app.result().attrs
    app.state.pinned = app.session.names[1]
    again = compared(panel)
    assert again.left.words == "pinned, original"
    assert not np.allclose(again.left.result["logit"], again.right.result["logit"])
    app.state.undo()
    assert app.result().attrs["parameters"] != plain["parameters"]
    np.testing.assert_allclose(again.left.result["logit"], app.result()["logit"], atol=1e-5)


def test_nothing_pinned_says_how_and_a_closed_tab_computes_nothing(open_page, monkeypatch):
    app, panel = open_page("sic")
    assert compared(panel) is None
    assert "the key p" in panel.words.object
    monkeypatch.setattr(panel, "compute", lambda: pytest.fail("the tab is closed"))
    app.state.pinned = app.session.names[2]
    app.state.sample = 1


def test_only_models_of_the_same_input_are_offered(open_page):
    for key in PAGES:
        app, panel = open_page(key)
        names = set(panel.models.values())
        assert app.model.name not in names
        assert names.isdisjoint({"birds-cnn", "digits-sic"} if key == "ecg" else {"ecg-sic", "digits-sic"})
        assert ("ecg-sic" if key == "ecg" else "birds-vit") in names
        assert any("digits-sic" in reason for reason in panel.others)
    assert "takes signals" in unfit(
        app.model.__class__ and open_page("sic")[0].model, "x", {"kind": "signal"}
    )


def test_the_second_of_two_samples_opens_the_tab_once(open_page):
    app, _ = open_page("sic")
    app.tabs.build()
    app.pin()
    assert app.tabs.open.title != "Pinned"
    app.state.sample = 2
    assert app.tabs.open.title == "Pinned"
    app.tabs.bring("Explain")
    app.state.sample = 3
    assert app.tabs.open.title == "Explain", "not again"


def test_a_model_that_is_not_offered_is_not_opened(open_page):
    _, panel = open_page("sic")
    with pytest.raises(XaiViewsError, match="choose one from the list"):
        asyncio.run(panel._session("/tmp/model"))
