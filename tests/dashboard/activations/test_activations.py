"""The activation explorer without a browser: the address, passes, uploads of every kind, and what is refused."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from xai_views import apps
from xai_views.errors import XaiViewsError
from xai_views.methods import explain
from xai_views.models import passes
from xai_views.samples import decode_upload, fit
from xai_views.views.wire import decode
from xai_views_dashboard.activations.app import ActivationsApp
from xai_views_dashboard.activations.frame import density, known_parts
from xai_views_dashboard.activations.state import ActivationsState
from xai_views_dashboard.activations.touch import edited


@pytest.fixture(scope="module")
def opened():
    return apps.opened("birds-cnn-watermark")


@pytest.fixture
def app(opened):
    return ActivationsApp(*opened)


def frame_of(app, sample: int = 0):
    """The frame that the canvas would get, read back."""
    import asyncio

    key = f"{app.session.names[sample]}|{app.canvas.context}"
    return decode(asyncio.run(app._frame(key)))


def encoded(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG" if array.size < 1e6 else "JPEG")
    return out.getvalue()


def test_the_frame_holds_the_clusters_and_a_bill_that_adds_up(app):
    frame = frame_of(app)
    table = frame.header["table"]
    assert len(table["rows"]) == app.state.k
    result = app.result()
    parts = result["cluster_contribution"].values[0, 0]
    target = int(result["target_class"].values[0, 0])
    assert [r["value"] for r in table["rows"]] == pytest.approx(parts.tolist())
    rest = float(result["bias"].values[target] + result["residual"].values[0, 0])
    assert parts.sum() + rest == pytest.approx(float(result["logit"].values[0, target]), abs=1e-4)
    assert np.array_equal(frame.maps["sample", "cluster"], result["segment"].values[0])
    assert frame.header["text"].startswith("Sample ")


def test_moving_a_slider_costs_no_pass(app):
    frame_of(app)
    before = passes.snapshot()
    contexts = set()
    for change in (
        {"k": 7}, {"k": 3}, {"k": 0}, {"mode": "exact"}, {"preset": "equal"}, {"grid": "input"}, {"interp": "nearest"},
        {"taps": list(app.session.layers.default[-1:])}, {"soft": "fuzzy"}, {"target": 7}, {"ablated": [0]}, {"seed": 5},
        {"assigner": "pca"}, {"shown": "entropy"},
    ):  # fmt: skip
        app.state.param.update(**change)
        frame_of(app)
        contexts.add(app.canvas.context)
    assert len(contexts) == 14
    assert passes.snapshot() == before


def test_an_ablation_in_the_image_costs_one_pass(app):
    app.state.param.update(ablated=[1], where="input", fill="blur")
    before = passes.snapshot()
    frame_of(app, 3)
    after = passes.snapshot()
    assert after["forward"] - before["forward"] == 2  # the sample itself, and the sample without the cluster
    assert after["backward"] == before["backward"]


def test_the_watermark_is_in_a_cluster_of_its_own_that_carries_the_answer(opened):
    app = ActivationsApp(*opened, taps=["layers.10", "layers.14"], k=5, target=4)
    names = app.session.names
    marked = [n for n in names if n.endswith("-marked")]
    found = 0
    for name in marked[:6]:
        app.state.sample = names.index(name)
        result = app.result()
        segment = result["segment"].values[0]
        ids, parts = app.session.truth(app.state.sample)
        mark = ids == parts.index("watermark")
        own = np.bincount(segment[mark]).argmax()
        assert (segment[mark] == own).mean() > 0.9
        found += int(result["cluster_contribution"].values[0, 0].argmax() == own)
        app.state.ablated = [int(own)]
        without = app.result()
        assert without["ablated_logit"].values[0, 4] < without["logit"].values[0, 4] - 2
        app.state.ablated = []
    assert found >= 5


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.full((40, 90), 200, np.uint8),
        np.random.default_rng(0).integers(0, 255, (70, 50, 4), np.uint8),
        np.tile(np.linspace(0, 255, 3264).astype(np.uint8)[None, :, None], (2448, 1, 3)),
    ],
    ids=["one pixel", "grey", "rgba", "eight megapixels"],
)
def test_any_upload_is_explained(app, array):
    image = fit(decode_upload(encoded(array)), app.model.size or app.session.size, app.model.channels)
    app.state.sample = app.session.add(image)
    result = app.result()
    assert np.isfinite(result["logit"].values).all()
    assert result["segment"].values.min() >= 0
    assert result["proportion"].values.sum() == pytest.approx(1)


def test_more_clusters_than_different_positions_is_fewer_clusters(app):
    app.state.sample = app.session.add(np.zeros((64, 64, 3), np.uint8))
    app.state.k = 16
    assert 1 <= app.result().sizes["cluster"] <= 16


def test_without_a_layer_the_last_one_stays(app):
    app.layers.chips.value = []
    assert app.problem
    assert list(app.layers.chips.value) == list(app.session.layers.default)


def test_a_set_without_samples_is_a_sentence(opened):
    model, samples = opened
    with pytest.raises(XaiViewsError, match="no sample"):
        ActivationsApp(model, samples.isel(sample=slice(0)))


def test_every_parameter_goes_round_the_address():
    state = ActivationsState(
        k=9, taps=["a.b"], weights=[1, 0.5], names={"2": "wing"}, ablated=[1, 3], at=[3.5, 4.0], compared=["x"], keep=True,
        touched=[{"kind": "blur", "region": [[0, 0], [4, 0], [4, 4]], "at": []}], look={"opacity": 0.4},
    )  # fmt: skip
    again = ActivationsState()
    assert again.restore(state.query(["s"]), ["s"]) == []
    assert {k: v for k, v in again.param.values().items() if k != "name"} == {
        k: v for k, v in state.param.values().items() if k != "name"
    }


@pytest.mark.parametrize(
    "query",
    [
        {"touched": '[{"kind": "rm", "region": []}]'},
        {"names": '{"a": "b"}'},
        {"ablated": '["x"]'},
        {"k": "33"},
    ],
)
def test_what_an_address_must_not_hold_is_left_out(query):
    state = ActivationsState()
    before = state.param.values()
    assert len(state.restore(query, ["s"])) == 1
    assert state.param.values() == before


def test_undo_takes_back_one_ablation_at_a_time():
    state = ActivationsState()
    state.edit(ablated=[1])
    state.edit(ablated=[1, 2], keep=True)
    assert state.undo()
    assert (state.ablated, state.keep) == ([1], False)
    assert state.undo()
    assert not state.undo()


def test_edits_change_the_region_alone():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (20, 30, 3), np.uint8)
    region = [[5, 5], [15, 5], [15, 12], [5, 12]]
    inside = np.zeros((20, 30), bool)
    inside[5:12, 5:15] = True
    for kind, at in (("blur", []), ("erase", []), ("paste", [25.0, 15.0])):
        out = edited(image, [{"kind": kind, "region": region, "at": at}])
        assert np.array_equal(out[~inside], image[~inside]), kind
        assert not np.array_equal(out[inside], image[inside]), kind
    erased = edited(image, [{"kind": "erase", "region": region, "at": []}])[inside]
    assert np.abs(erased - image[~inside].mean(0)).max() <= 0.5


def test_the_contribution_map_sums_to_the_contributions():
    result = xr.Dataset(
        {
            "segment": (("sample", "y", "x"), np.array([[[0, 0, 1], [2, 2, 2]]])),
            "cluster_contribution": (("sample", "target", "cluster"), np.array([[[4.0, -1.0, 6.0]]])),
        }
    )
    assert density(result).tolist() == [[2, 2, -1], [2, 2, 2]]


def test_purity_names_the_largest_part_and_small_ones_that_lie_inside():
    segment = np.array([[0, 0, 0, 1], [0, 0, 0, 1]])
    truth = np.array([[-1, -1, 2, 1], [-1, -1, -1, 1]]), ["", "body", "eye"]
    assert known_parts(segment, truth, 2) == ["background 83%, 100% of eye", "body 100%"]


def test_a_codebook_that_is_asked_for_from_the_start_is_fitted(opened):
    model, samples = opened
    app = ActivationsApp(model, samples.isel(sample=slice(0, 6)), mode="codebook", k=4)
    assert app.session.book.k == 4
    assert app.result().sizes["cluster"] == 4
    assert app.state.mode == "codebook"


def test_what_is_in_view_says_how_it_is_made_again(opened):
    model, samples = opened
    few = samples.isel(sample=slice(0, 6))
    app = ActivationsApp(model, few, mode="codebook", k=4, ablated=[1], fill="data", soft="gmm")
    shown = app.result()
    assert shown.attrs["parameters"] == app.session.ask(app.state).text()
    again = explain(
        app.model,
        few.isel(sample=[app.state.sample]),
        "nave",
        batch=1,
        **json.loads(shown.attrs["parameters"]),
    )
    assert again.identical(shown)
