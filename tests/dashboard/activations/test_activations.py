"""The Activations app without a browser: the address, passes, uploads of every kind, and refused input."""

from __future__ import annotations

import asyncio
import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

from xai_views import apps
from xai_views.engine.perturbation.edits import edited
from xai_views.errors import XaiViewsError
from xai_views.kernel import Kernel, get_kernel, set_kernel
from xai_views.methods import explain
from xai_views.models import passes
from xai_views.samples import decode_upload, fit
from xai_views.views.wire import decode
from xai_views_dashboard.activations.app import ActivationsApp
from xai_views_dashboard.activations.compare import ComparePanel
from xai_views_dashboard.activations.depth import SimilarityPanel
from xai_views_dashboard.activations.factorization import FactorizationPanel
from xai_views_dashboard.activations.frame import contribution_of, parts_of
from xai_views_dashboard.activations.layers import LayerPanel
from xai_views_dashboard.activations.norms import NormsPanel
from xai_views_dashboard.activations.saliency import SaliencyPanel
from xai_views_dashboard.activations.touch import TouchPanel
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.picture_panel import PicturePanel

State = ActivationsApp.state_kind()


@pytest.fixture(scope="module")
def opened():
    return apps.opened("birds-cnn-watermark")


@pytest.fixture
def app(opened):
    return ActivationsApp(*opened, sample=0, cluster=-1)


def frame_of(app, sample: int = 0):
    """Return the frame for the canvas, decoded."""
    key = f"{app.session.names[sample]}|{app.canvas.context}"
    return decode(asyncio.run(app.answer(key)))


def panel_of(app, kind):
    """Return a tab of the app."""
    return next(p for p in app.panels if isinstance(p, kind))


async def asked(panel) -> None:
    """Open a panel, and wait until it has requested the current state."""
    told = asyncio.Event()
    watcher = panel.canvas.param.watch(lambda *_: told.set(), "context")
    panel.active = True
    await told.wait()
    panel.canvas.param.unwatch(watcher)
    panel.active = False


def again(app, samples, shown):
    """Explain again with the stored parameters of a result."""
    return explain(app.model, samples, shown.attrs["method"], **json.loads(shown.attrs["parameters"]))


def plain(state) -> dict:
    """Return the values of a state."""
    return {k: v for k, v in state.param.values().items() if k != "name"}


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
    layers = asyncio.run(app.session.layers())
    before = passes.snapshot()
    contexts = set()
    for change in (
        {"k": 7}, {"k": 3}, {"k": 0}, {"mode": "exact"}, {"weights": "equal"}, {"grid": "input"}, {"interp": "nearest"},
        {"taps": list(layers.default[-1:])}, {"soft": "fuzzy"}, {"target": 7}, {"ablated": [0]}, {"seed": 5},
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
    layers = asyncio.run(app.session.layers())
    panel = panel_of(app, LayerPanel)
    panel.write(layers)
    panel.chips.value = []
    assert app.problem
    assert list(panel.chips.value) == list(layers.default)


def test_weights_are_a_preset_or_set_by_hand(app):
    panel = panel_of(app, LayerPanel)
    panel.write(asyncio.run(app.session.layers()))
    sliders = list(panel.sliders)
    assert app.state.weights == "authors"
    assert [s.value for s in sliders] == pytest.approx(panel.weights(), abs=1e-6)
    sliders[0].value = 1.5
    assert app.state.weights[0] == 1.5
    panel.write(panel.layers)
    assert list(panel.sliders) == sliders, "what is under the hand stays"
    assert panel.preset.value == "set by hand"
    panel.preset.value = "equal"
    assert app.state.weights == "equal"
    panel.write(panel.layers)
    assert {s.value for s in sliders} == {1.0}
    panel.chips.value = panel.chips.value[1:]
    assert len(app.state.taps) == len(sliders) - 1


def test_a_set_without_samples_is_a_sentence(opened):
    model, samples = opened
    with pytest.raises(XaiViewsError, match="no sample"):
        ActivationsApp(model, samples.isel(sample=slice(0)))


def test_what_differs_goes_round_the_address():
    values = {
        "k": 9, "taps": ["a.b"], "weights": [1.0, 0.5], "names": {"2": "wing"}, "ablated": [1, 3], "place": [3.5, 4.0],
        "compared": ["x"], "keep": True, "temperature": 0.25, "soft": "gmm", "shapley": True, "map": "random", "connected": True,
        "touched": [{"kind": "blur", "region": [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]], "at": []}], "look": {"opacity": 0.4},
    }  # fmt: skip
    state, again = State(**values), State()
    query = state.query(["s"])
    assert set(query) == {"v", *values}
    assert again.restore(query, ["s"]) == []
    assert plain(again) == plain(state)
    assert again.restore({"weights": State().weights}, ["s"]) == []
    assert again.weights == State().weights, "the name of a preset too"
    assert again.restore(State().query(["s"]), ["s"], whole=True) == []
    assert plain(again) == plain(State())


@pytest.mark.parametrize(
    "query",
    [
        {"touched": '[{"kind": "rm", "region": []}]'},
        {"names": '{"a": "b"}'},
        {"ablated": '["x"]'},
        {"k": "33"},
        {"weights": "magic"},
        {"weights": '["a"]'},
        {"taps": "layers.6"},
        {"codebooks": "{}", "mode": "magic"},
    ],
)
def test_what_an_address_must_not_hold_is_left_out(query):
    state = State()
    before = plain(state)
    assert len(state.restore(query, ["s"])) == 1
    assert plain(state) == before


def test_a_model_opens_on_the_sample_where_removing_the_logo_changes_most(opened):
    app = ActivationsApp(*opened)
    assert app.session.names[app.state.sample] == opened[0].card["opens_on"]["sample"]
    assert set(app.state.query(app.session.names)) == {"v"}, "the page begins with it"
    app.edited("remove")
    result = app.result()
    label = app.session.label(app.state.sample)
    assert int(result["logit"].values[0].argmax()) == 4 != label
    assert int(result["ablated_logit"].values[0].argmax()) == label
    shown = dict(frame_of(app, app.state.sample).header["table"]["footer"])
    before, after = (float(result[n].values[0, 4]) for n in ("logit", "ablated_logit"))
    assert shown["logit, before → after removal"] == f"{number(before)} → {number(after)}"


def test_edits_belong_to_their_sample(app):
    app.state.cluster = 1
    app.edited("remove")
    app.state.touched = [{"kind": "blur", "region": [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]], "at": []}]
    assert app.canvas.edits["words"] == f"Edits apply to {app.session.names[0]} only."
    assert app.canvas.edits["reason"] == "Cluster 1 is already removed"
    app.state.sample = 1
    assert (app.state.ablated, app.state.touched) == ([], [])
    assert not app.canvas.edits["words"]
    assert not app.canvas.edits["undo"]


def test_buttons_of_the_ledger_remove_undo_and_reset(app):
    assert app.canvas.edits["reason"] == "Select a cluster first"
    app.edited("remove")
    assert app.state.ablated == []
    for c in (2, 0):
        app.state.cluster = c
        app.canvas._handle_msg({"type": "edit", "action": "remove"})
    assert app.state.ablated == [0, 2]
    app.canvas._handle_msg({"type": "edit", "action": "undo"})
    assert app.state.ablated == [2]
    app.canvas._handle_msg({"type": "edit", "action": "reset"})
    assert app.state.ablated == []
    assert not app.canvas.edits["reset"]


async def test_a_brushed_region_says_its_share_on_the_picture(app):
    app.regions.active = True
    app.canvas._handle_msg(
        {"type": "region", "tile": "contribution", "polygon": [[0, 0], [32, 0], [32, 64], [0, 64]]}
    )
    while not app.canvas.chip.get("text"):
        await asyncio.sleep(0.02)
    values = contribution_of(await app.explained(0, app.wish()))
    left = values[:, : values.shape[1] // 2]
    share = 100 * np.abs(left).sum() / np.abs(values).sum()
    assert app.canvas.chip["tile"] == "contribution"
    assert app.canvas.chip["text"].startswith(
        f"The region covers 50.0 % of the pixels and {share:.1f} % of the absolute contribution ("
    )
    app.canvas._handle_msg({"type": "region", "tile": "contribution", "polygon": []})
    assert not app.canvas.chip.get("text")


def test_only_models_that_open_the_samples_are_compared(app):
    panel = panel_of(app, ComparePanel)
    assert "birds-vit" in panel.offered
    assert not {"ecg-resnet", "digits-sic"} & set(panel.offered)
    app.state.compared = ["birds-vit", "ecg-resnet", "nobody"]
    assert panel.names() == ["birds-cnn-watermark", "birds-vit"]
    assert "ecg-resnet" in panel.said.object
    assert "no shipped model" in panel.said.object


def test_one_model_that_fails_does_not_blank_the_others(app, monkeypatch):
    panel = panel_of(app, ComparePanel)
    app.state.compared = ["birds-vit", "birds-cnn"]
    other = panel.other

    async def broken(name):
        if name == "birds-vit":
            raise XaiViewsError("birds-vit is damaged")
        return await other(name)

    monkeypatch.setattr(panel, "other", broken)
    asyncio.run(asked(panel))
    frame = decode(asyncio.run(panel.answer(f"{app.session.names[0]}|{panel.canvas.context}")))
    assert ("clusters-2", "cluster") in frame.maps
    assert ("clusters-1", "cluster") not in frame.maps
    assert [r["id"] for r in panel.listing.rows] == ["birds-cnn-watermark", "birds-cnn"]
    assert "birds-vit is damaged" in panel.said.object


def test_undo_takes_back_one_ablation_at_a_time():
    state = State()
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


def test_purity_names_the_largest_part_and_small_ones_that_lie_inside():
    segment = np.array([[0, 0, 0, 1], [0, 0, 0, 1]])
    truth = np.array([[-1, -1, 2, 1], [-1, -1, -1, 1]]), ["", "body", "eye"]
    assert parts_of(segment, truth, 2) == ["83% background; covers 100% of eye", "100% body"]


def test_a_codebook_that_is_asked_for_from_the_start_is_fitted(opened):
    model, samples = opened
    app = ActivationsApp(model, samples.isel(sample=slice(0, 6)), mode="codebook", k=4)
    assert app.state.codebook.k == 4
    assert app.result().sizes["cluster"] == 4
    assert app.state.mode == "codebook"
    assert "codebook" not in app.state.query(app.session.names), "it has no place in an address"
    frame = frame_of(app)
    assert np.array_equal(frame.maps["sample", "cluster"], app.result()["segment"].values[0])


async def test_until_there_is_a_codebook_the_answer_says_that_it_is_of_one_tree(app):
    app.state.param.update(mode="codebook", codebook=None)
    assert json.loads(app.result().attrs["parameters"])["mode"] == "nested"


def test_what_is_asked_at_first_is_what_is_answered(opened):
    app = ActivationsApp(*opened, sample=0, k=9, grid="input", temperature=0.3, soft="gmm")
    result = app.result()
    asked = json.loads(result.attrs["parameters"])
    assert {n: asked[n] for n in ("k", "grid", "temperature", "soft")} == {
        "k": 9, "grid": "input", "temperature": 0.3, "soft": "gmm",
    }  # fmt: skip
    assert result.sizes["cluster"] == len(frame_of(app).header["table"]["rows"]) == 9


@pytest.mark.parametrize(
    "state",
    [
        {"k": 9, "grid": "input", "temperature": 0.3, "soft": "gmm"},
        {"ablated": [0, 2], "keep": True, "fill": "zero"},
        {"ablated": [1], "where": "input", "fill": "blur"},
        {"target": 7, "mode": "exact"},
        {"taps": ["layers.10", "layers.14"], "weights": [1.0, 0.25]},
        {"mode": "codebook", "k": 4, "ablated": [1], "fill": "data"},
    ],
    ids=["soft", "ablated", "ablated in the image", "class", "own weights", "codebook"],
)
def test_what_is_in_view_says_how_it_is_made_again(opened, state):
    model, samples = opened
    few = samples.isel(sample=slice(0, 6))
    app = ActivationsApp(model, few, **state)
    shown = app.result()
    asked = json.loads(shown.attrs["parameters"])
    assert {n: asked[n] for n in state if n != "target"} == {n: v for n, v in state.items() if n != "target"}
    assert asked["targets"] == [state.get("target", -1)]
    assert again(app, few.isel(sample=[0]), shown).identical(shown)


def test_an_upload_is_explained_again_from_its_pixels(app):
    app.state.sample = app.session.add(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    shown = app.result()
    assert again(app, app.session.dataset(app.state.sample), shown).identical(shown)


def test_two_states_have_two_frames_whoever_asks_first(app):
    """A frame cached without its request, or built from the current state, would be wrong."""
    name, seen = app.session.names[0], {}
    for state in (
        {"k": 3, "soft": "fuzzy", "names": {"0": "one"}},
        {"k": 8, "soft": "tempered", "names": {}},
    ):
        app.state.param.update(**state)
        seen[f"{name}|{app.canvas.context}"] = (app.result(), state["names"])
    assert len(seen) == 2
    for key, (result, names) in [*seen.items(), *seen.items()]:  # the state says the second throughout
        frame = decode(asyncio.run(app.answer(key)))
        rows = frame.header["table"]["rows"]
        assert np.array_equal(frame.maps["sample", "cluster"], result["segment"].values[0])
        assert [r["value"] for r in rows] == pytest.approx(
            result["cluster_contribution"].values[0, 0].tolist()
        )
        assert (rows[0]["cells"][1] == "one") == bool(names)
        entropy = result["entropy"].values[0]
        assert frame.maps["entropy", "entropy"] == pytest.approx(entropy, abs=0.01)


@pytest.mark.parametrize("kind", [SaliencyPanel, SimilarityPanel, TouchPanel, NormsPanel, FactorizationPanel])
def test_pictures_of_panels_are_of_their_wish(app, kind):
    panel, keys = panel_of(app, kind), []
    for k, place in ((3, [5.0, 5.0]), (6, [50.0, 40.0])):
        app.state.param.update(k=k, place=place, seed=k, grid="input" if k == 6 else "shallowest")
        asyncio.run(asked(panel))
        keys.append(f"{app.session.names[0]}|{panel.canvas.context}")
    frames = [decode(asyncio.run(panel.answer(key))) for key in (*keys, *keys)]
    assert len(set(keys)) == 2
    for first, second in ((0, 2), (1, 3)):
        same = frames[first].maps
        assert all(np.array_equal(m, frames[second].maps[n]) for n, m in same.items())
    assert any(not np.array_equal(m, frames[1].maps[n]) for n, m in frames[0].maps.items())


def test_what_says_nothing_new_is_not_asked_again(app):
    panel = panel_of(app, SaliencyPanel)
    asyncio.run(asked(panel))
    panel.active, context = True, panel.canvas.context
    app.state.ablated = [1]  # saliency does not look at it
    assert panel.canvas.context == context
    app.state.how = "sum"
    assert panel.canvas.context != context


def test_a_page_is_built_while_the_worker_is_busy(opened):
    go, made = threading.Event(), []
    kernel = Kernel(device="cpu")
    previous = set_kernel(kernel)
    try:
        get_kernel().run(lambda progress: go.wait(60))
        thread = threading.Thread(target=lambda: made.append(ActivationsApp(*opened).__panel__()))
        thread.start()
        thread.join(30)
        assert made, "it waited for the kernel"
    finally:
        go.set()
        set_kernel(previous)
        kernel.close()


def test_a_closed_tab_asks_nothing(app):
    frame_of(app)
    before = [p.canvas.context for p in app.panels if isinstance(p, PicturePanel)]
    app.state.param.update(k=7, sample=2)
    assert [p.canvas.context for p in app.panels if isinstance(p, PicturePanel)] == before
