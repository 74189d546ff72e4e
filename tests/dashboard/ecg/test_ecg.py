"""The ECG app without a browser: sums, edits, the address, hidden output, and refused input."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import threading
import zipfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

from xai_views import apps, explain, open_model, open_samples
from xai_views.errors import XaiViewsError
from xai_views.kernel import get_kernel
from xai_views.methods.ecg_clusters import controls
from xai_views.methods.ecg_clusters.forest import surrogates
from xai_views.methods.ecg_clusters.ledger import ledger
from xai_views.models import passes
from xai_views.samples import signal_dataset
from xai_views.views.roles import binned
from xai_views_dashboard.core.wishes import Wish
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.ecg.beats import BeatsPanel
from xai_views_dashboard.ecg.codebook import CodebookPanel
from xai_views_dashboard.ecg.frame import names_of
from xai_views_dashboard.ecg.ledger import LedgerPanel, rows_of, swatch
from xai_views_dashboard.ecg.records import RecordsPanel
from xai_views_dashboard.ecg.session import EcgSession
from xai_views_dashboard.ecg.state import checked_edit
from xai_views_dashboard.ecg.tables import TablesPanel
from xai_views_dashboard.ecg.touch import sentence
from xai_views_dashboard.ecg.upload import RecordUploadPanel
from xai_views_dashboard.panels.explain import ExplainPanel


@pytest.fixture(scope="module")
def opened():
    return apps.opened("ecg-resnet")


@pytest.fixture
def app(opened):
    return EcgApp(*opened)


def panel_of(app, kind):
    """Return a tab of the app."""
    return next(p for p in app.panels if isinstance(p, kind))


def record(app, i: int = 0):
    return asyncio.run(app.answer(f"{app.session.names[i]}|{app.canvas.context}"))


def test_the_ledger_is_a_bill_that_adds_up(app):
    for i in (0, 7):
        app.state.sample = i
        result = app.result()
        truth = app.session.evidence(i, -1).any(0)
        bill = ledger(result, truth)
        rows = rows_of(bill, names_of(result, {}))
        assert bill.bias + bill.clusters + bill.padding + bill.residual == pytest.approx(bill.logit, abs=1e-4)
        assert abs(bill.residual) < 1e-4
        assert bill.clusters == pytest.approx(sum(r["part"] for r in rows))
        assert rows[-1]["sum"] == pytest.approx(bill.bias + bill.clusters)
        assert sum(r["share"] for r in rows) == pytest.approx(1)
        if truth.any():
            assert sum(r["truth"] for r in rows) == pytest.approx(1, abs=0.01)


def test_the_paper_gets_trace_bands_and_words(app):
    app.state.shown = "contribution"
    one = record(app, 2)
    result = app.result() if app.state.sample == 2 else None
    app.state.sample = 2
    result = app.result()
    np.testing.assert_array_equal(one.cluster[0], result["cluster"].values[0])
    np.testing.assert_allclose(one.contribution[0], result["time_contribution"].values[0, 0])
    assert one.steps == 4000
    assert one.synthetic
    assert "anterior ST elevation" in one.text
    assert not one.truth
    app.state.truth = True
    assert {t.lead for t in record(app, 2).truth} == {6, 7, 8, 9}


def test_attribution_has_a_total_for_each_lead(app):
    app.state.param.update(shown="attribution", sample=2)
    one, result = record(app, 2), app.result()
    map_ = result["attribution"].values[0]
    assert one.contribution.shape == (12, 250)
    np.testing.assert_allclose(one.contribution.sum(1), one.totals, atol=1e-4)
    np.testing.assert_allclose(map_.sum(1), one.totals, atol=1e-5)


def test_binned_keeps_the_sum():
    values = np.random.default_rng(0).normal(0, 1, (3, 4096))
    np.testing.assert_allclose(binned(values, 250).sum(1), values.sum(1))


def test_a_change_of_view_costs_no_pass(app):
    record(app, 4)
    before = passes.snapshot()
    for change in ({"temperature": 0.3}, {"cluster": 2}, {"fade": "ensemble"}, {"shown": "contribution"}, {"target": 1},
                   {"ablated": [1]}, {"names": {"1": "P"}}, {"mode": "own"}):  # fmt: skip
        app.state.param.update(**change)
        record(app, 4)
    assert passes.snapshot() == before


def test_muting_costs_one_pass_and_undo_none(app):
    record(app, 2)
    app.state.sample = 2
    plain = app.state.edits_made
    before = passes.snapshot()["forward"]
    app.state.edit(edits_made=[{"kind": "mute", "lead": 7}])
    muted = record(app, 2)
    assert passes.snapshot()["forward"] - before == 1
    assert not muted.signal[7].any()
    assert "edited" in muted.name
    assert "edited" in muted.text
    app.state.sample = 2
    result = app.result()
    assert float(result["logit"].values[0, 2]) < 5.3, "the result is of the edited record"
    assert list(result["sample"].values) == [app.session.names[2]], "which it names itself"
    assert json.loads(result.attrs["parameters"])["edits"] == [{"kind": "mute", "lead": 7}]
    before = passes.snapshot()["forward"] - 1
    assert app.state.undo()
    assert app.state.edits_made == plain
    assert record(app, 2).signal[7].any()
    assert passes.snapshot()["forward"] - before == 1


EDITS = [
    {"kind": "mute", "lead": 7},
    {"kind": "silence", "lead": -1, "start": 2.0, "stop": 2.5},
    {"kind": "blend", "lead": -1, "start": 4.0, "stop": 4.6, "record": "ecg-test-00009", "from": 3.0},
]


def again(app, sample, result):
    """Explain again with the stored parameters of a result."""
    return explain(app.model, sample, result.attrs["method"], **json.loads(result.attrs["parameters"]))


@pytest.mark.parametrize(
    "state",
    [
        {"shown": "contribution", "fade": "ensemble", "ablated": [1, 4], "fill": "data"},
        {"edits_made": EDITS},
        {"mode": "own", "k": 5, "edits_made": EDITS[1:], "target": 3, "soft": "gmm", "temperature": 0.0},
        {"shown": "attribution", "attribution": "integrated gradients", "edits_made": EDITS[2:]},
        {"shapley": True, "ablated": [0], "keep": True},
    ],
    ids=["codebook", "edits", "own", "attribution", "shapley"],
)
@pytest.mark.parametrize("name", ["ecg-resnet", "ecg-sic"])
def test_what_the_page_shows_can_be_asked_for_again(name, state):
    if name == "ecg-sic":
        state = {k: v for k, v in state.items() if k != "shapley"}  # its head is not linear
    model, samples = apps.opened(name)
    app = EcgApp(model, samples, sample=2, **state)
    shown = record(app, 2)
    result = app.result()
    xr.testing.assert_identical(result, again(app, samples.isel(sample=[2]), result))
    np.testing.assert_array_equal(shown.cluster[0], result["cluster"].values[0])
    if "shown" in state:
        np.testing.assert_allclose(
            np.sum(shown.contribution), np.sum(result[{"contribution": "time_contribution"}.get(*2 * [state["shown"]])]),
            rtol=1e-4, atol=1e-4,
        )  # fmt: skip


def test_the_result_says_what_the_page_begins_with(app):
    parameters = json.loads(app.result().attrs["parameters"])
    fitted = app.session.shipped
    assert parameters["mode"] == "codebook"
    assert parameters["temperature"] == fitted.cool == app.state.temperature
    assert parameters["codebook_key"] == fitted.key
    assert parameters["length"] == app.session.length(0)


def test_an_upload_is_explained_again(app):
    panel = panel_of(app, RecordUploadPanel)
    asyncio.run(panel.take(csv(), "mine.csv"))
    app.state.edit(edits_made=EDITS[:2])
    result = app.result()
    assert list(result["sample"].values) == ["upload-1"]
    xr.testing.assert_identical(result, again(app, app.session.dataset(150), result))
    drawn, _ = app.session.seen(150, app.wish())
    assert not drawn[7].any()


def csv() -> bytes:
    t = np.arange(5000) / 500
    trace = np.sin(2 * np.pi * t)
    rows = (f"{a:.4f},{b:.4f},{c:.4f}" for a, b, c in zip(t, trace, 0.5 * trace, strict=True))
    return ("time,I,II\n" + "\n".join(rows)).encode()


def test_a_frame_of_an_older_context_keeps_its_own_parameters(app):
    app.state.sample = 2
    app.state.param.update(shown="contribution", edits_made=EDITS[:1], truth=True, names={"0": "rest"})
    older, name = app.canvas.context, app.session.names[2]
    app.state.param.update(edits_made=[], shown="clusters", mode="own", k=3, truth=False, names={}, target=1)
    one = asyncio.run(app.answer(f"{name}|{older}"))
    assert not one.signal[7].any()
    assert one.name == f"{name} (edited)"
    assert one.contribution is not None
    assert one.target == "anterior ST elevation"
    assert one.names[0] == "rest"
    assert one.cluster.max() >= 3
    assert one.truth
    app.state.sample = 3
    assert not asyncio.run(app.answer(f"{name}|{older}")).signal[7].any(), "whatever is in view by now"


def test_edits_belong_to_the_record_that_they_were_made_on(app):
    app.state.sample = 2
    app.state.edit(edits_made=EDITS[:1])
    here = app.canvas.context
    other = asyncio.run(app.answer(f"{app.session.names[3]}|{here}"))
    assert other.signal[7].any()
    assert "edited" not in other.name
    app.state.sample = 3
    assert app.state.edits_made == []
    assert not app.state.can_undo, "they never come back on another record"
    app.state.edit(edits_made=EDITS[:1])
    assert app.canvas.context != here, "the browser may hold the record without edits under that name"
    assert not record(app, 3).signal[7].any()


def test_undo_takes_back_edits_and_ablations_one_by_one_and_redo_is_forgotten(app):
    app.state.sample = 2
    app.state.edit(edits_made=EDITS[:1])
    app.state.edit(ablated=[3])
    assert app.state.undo()
    assert (app.state.edits_made, app.state.ablated) == (EDITS[:1], [])
    assert app.state.can_redo
    app.state.edit(ablated=[1])
    assert not app.state.can_redo
    app.pressed("u")
    app.pressed("u")
    assert (app.state.edits_made, app.state.ablated) == ([], [])


def test_keys_mute_hide_choose_and_stop_at_the_most_edits(app):
    app.pressed("m")
    assert app.state.edits_made == [], "no interval is brushed"
    app.selected({"lead": 7, "start": 1.0, "stop": 2.0})
    for _ in range(25):
        app.pressed("m")
    assert app.state.edits_made == 20 * EDITS[:1]
    assert "already has 20 edits" in app.problem
    app.key_pressed("h")
    app.pressed("4")
    assert (app.state.hidden, app.state.cluster) == (True, 4)
    assert (app.canvas.settings["hidden"], app.canvas.settings["explain"]) == (True, True)
    assert app.canvas.settings["highlight"] == {
        "cluster": 4, "interval": {"lead": 7, "start": 1.0, "stop": 2.0}
    }  # fmt: skip
    app.looked({**app.canvas.settings, "truth": True, "gain": 20.0})
    assert (app.state.hidden, app.state.truth, app.state.look) == (True, True, {"gain": 20.0})


def test_a_link_restores_the_edits_whatever_the_order_of_its_entries(opened):
    state = {
        "sample": "ecg-test-00004",
        "edits_made": EDITS[:1],
        "ablated": [3],
        "interval": [7, 1.0, 2.0],
        "cluster": 3,
    }
    query = EcgApp(*opened, **state).state.query(list(opened[1]["name"].values.astype(str)))
    wanted = {n: query[n] for n in state}
    for order in itertools.permutations(wanted):
        app = EcgApp(*opened) if order[0] == "sample" or order[-1] == "sample" else None
        if app is None:
            continue
        assert app.state.restore({n: wanted[n] for n in order}, app.session.names) == []
        assert {n: app.state.query(app.session.names)[n] for n in state} == wanted, order


def test_edits_and_removed_clusters_belong_to_their_record(app):
    app.state.sample = 4
    app.state.edit(edits_made=EDITS[:1])
    app.state.cluster = 3
    app.ledger("remove")
    assert "Edits apply to ecg-test-00004 only" in app.canvas.edits["words"]
    mine, other = (app.session.asked_of(i, app.wish()) for i in (4, 5))
    assert (len(mine.edits), mine.ablated, len(other.edits), other.ablated) == (1, (3,), 0, ())
    made = record(app, 4)
    assert [row["id"] for row in made.ledger["rows"] if row["removed"]] == [3]
    assert "→" in made.ledger["after"]
    parts = dict(made.ledger["sums"])
    assert sum(parts.values()) == pytest.approx(made.ledger["logit"][1], abs=1e-3)
    assert sum(row["part"] for row in made.ledger["rows"]) == pytest.approx(parts["clusters"], abs=1e-6)
    app.ledger("reset")
    assert (app.state.edits_made, app.state.ablated) == ([], [])
    app.ledger("undo")
    assert app.state.ablated == [3]
    app.state.sample = 5
    assert (app.state.edits_made, app.state.ablated, app.canvas.edits["words"]) == ([], [], "")
    assert record(app, 5).ledger["after"] == ""


async def test_an_interval_says_what_it_holds(app):
    app.state.sample = 2
    app.intervals.active = True
    app.state.interval = [7, 0.0, 10.24]
    await until(
        app.canvas,
        "chip",
        lambda chip: "100.0 % of the absolute contribution (all leads)" in chip.get("text", ""),
    )
    app.state.interval = [7, 1.0, 2.0]
    await until(app.canvas, "chip", lambda chip: "10.0 % of the time" in chip.get("text", ""))


def test_the_paper_as_svg_hides_the_output_too(app):
    assert app.svg() == ""
    made = app.canvas._records[f"{app.canvas.sample}|{app.canvas.context}"] = record(app)
    assert "cluster-" in app.svg()
    app.state.hidden = True
    assert "cluster-" not in app.svg()
    assert made.text not in app.svg()


def test_what_is_drawn_is_what_the_network_saw(app):
    app.state.sample = 2
    app.state.edit(edits_made=EDITS)  # of the record in view
    drawn, length = record(app, 2).signal, app.session.length(2)
    assert not drawn[:, length:].any()
    assert np.abs(drawn - app.session.image(2)).max() > 0.1
    ask = app.session.asked_of(2, app.wish()).replace(edits=())
    plain = explain(app.model, signal_dataset(drawn[None], 400, app.session.leads), ask)
    np.testing.assert_array_equal(app.result()["logit"].values[0], plain["logit"].values[0])


def test_edits_are_in_seconds_also_for_a_model_that_counts_in_steps(opened):
    model = replace(opened[0], rate=None, path=None, name="no rate")
    app = EcgApp(model, opened[1].isel(sample=slice(2, 10)))
    edits = [*EDITS[:2], EDITS[2] | {"record": app.session.names[3]}]
    with_rate = EcgApp(*opened, sample=2, edits_made=[*EDITS[:2], EDITS[2] | {"record": "ecg-test-00005"}])
    app.state.edit(edits_made=edits)
    there, _ = with_rate.session.seen(2, with_rate.wish())
    np.testing.assert_array_equal(app.session.seen(0, app.wish())[0], there)


def test_muting_the_leads_that_carry_the_evidence_counts_more_than_others(app):
    """Records of ST elevation: their logit falls more without V1 to V4 than without four leads that show nothing."""
    fall = {"anterior": [], "limb": []}
    for i in range(2, 60, 5):
        for name, leads in (("anterior", (6, 7, 8, 9)), ("limb", (0, 1, 3, 4))):
            edits = [{"kind": "mute", "lead": n} for n in leads]
            ask = app.ask(edits=[])
            one, two = (
                asyncio.run(app.explained(i, Wish(a, sample=i)))["logit"].values[0, 2]
                for a in (ask, ask.replace(edits=edits))
            )
            fall[name].append(float(one - two))
    assert np.mean(np.array(fall["anterior"]) > np.array(fall["limb"])) > 0.9


def test_edits_in_words_and_in_addresses():
    assert "II muted" in sentence({"kind": "mute", "lead": 1}, ["I", "II"])
    for wrong in (
        {"kind": "cut"},
        "x",
        {"kind": "silence", "lead": 0},
        {"kind": "blend", "lead": 0, "start": 0, "stop": 1},
    ):
        with pytest.raises((ValueError, KeyError)):
            checked_edit(wrong)


def test_the_address_holds_the_state_and_refuses_nonsense(app):
    state, names = app.state, app.session.names
    state.param.update(sample=4, shown="attribution", interval=[2, 1.0, 2.0], names={"3": "T wave"})
    state.edit(edits_made=[{"kind": "silence", "lead": 1, "start": 1.0, "stop": 1.5}])
    query = state.query(names)
    other = EcgApp.state_kind()()
    assert other.restore(query, names) == []
    assert other.query(names) == query
    problems = other.restore(
        {
            "shown": "x",
            "edits_made": '[{"kind": "rm"}]',
            "k": "99",
            "interval": '["a", 1]',
            "sample": "ecg-test-99999",
        },
        names,
    )
    assert len(problems) == 5
    assert other.query(names) == query


def test_the_survey_is_one_pass_a_record_and_agrees_with_single_records(app):
    found = app.session.surveyed(app.fitted).result(120)
    assert asyncio.run(app.surveyed()) is found
    assert found.proportion.shape == (150, app.fitted.book.k)
    np.testing.assert_allclose(found.proportion.sum(1), 1)
    app.state.sample = 11
    result = app.result()
    np.testing.assert_array_equal(found.proportion[11], result["proportion"].values[0])
    np.testing.assert_array_equal(found.logit[11], result["logit"].values[0])
    assert (found.predicted == found.label).mean() > 0.9


def test_the_table_orders_records_and_leaves_the_arrow_keys_alone(app):
    app.state.sample = 4
    app.state.edit(edits_made=EDITS[:1])
    panel, order = panel_of(app, RecordsPanel), list(app.canvas.order)
    panel.write(asyncio.run(panel.compute()))
    assert [r["id"] for r in panel.listing.rows] == app.session.population.names
    panel.filter.value = "most uncertain tenth"
    shown = [r["entropy"] for r in panel.listing.rows]
    assert shown == sorted(shown, reverse=True)
    panel.filter.value = "label-quality queue"
    disagreements = [r["queue"] for r in panel.listing.rows]
    assert disagreements == sorted(disagreements, reverse=True)
    assert app.canvas.order == order
    assert app.state.edits_made == EDITS[:1], "the record in view stays as it is"


def test_what_a_forest_says_goes_into_the_queue_of_its_own_records_alone(app):
    panel = panel_of(app, RecordsPanel)
    found = asyncio.run(app.surveyed())
    panel.judge(found, (found.predicted + 1) % 5)
    panel.write(found)
    assert {r["queue"] for r in panel.listing.rows} <= {2, 3}
    panel.write(replace(found))
    assert {r["forest"] for r in panel.listing.rows} == {""}


async def until(part, parameter: str, check) -> None:
    """Wait until a parameter of a part of the page passes a check."""
    told = asyncio.Event()
    watcher = part.param.watch(lambda event: check(event.new) and told.set(), parameter)
    await asyncio.wait_for(told.wait(), 120)
    part.param.unwatch(watcher)


async def test_opening_a_tab_about_all_records_asks_for_them_and_closed_ones_do_not(app):
    asked = []
    plain = app.session.surveyed
    app.session.surveyed = lambda fitted: asked.append(fitted) or plain(fitted)
    app.state.param.update(sample=3, names={"1": "P"})
    await asyncio.sleep(0)
    assert asked == []
    panel = panel_of(app, TablesPanel)
    panel.active = True
    await until(panel.words, "object", lambda words: "Holm" in words)
    assert asked == [app.session.shipped]
    assert len(panel.listing.rows) == app.fitted.book.k


async def test_waves_that_are_known_are_compared_when_the_tab_is_opened(app):
    panel = panel_of(app, BeatsPanel)
    panel.active = True
    await until(panel.more, "objects", len)
    assert panel.listing.rows
    assert "Normalised mutual information" in panel.words.object
    assert "beats found in lead II" in panel.read.object
    assert len(panel.more.objects) == 5


async def test_another_codebook_is_used_by_every_tab(app):
    app.state.param.update(k=4, ablated=[7], names={"1": "P"}, cluster=5)
    before = app.canvas.context
    panel, ledger_panel = panel_of(app, CodebookPanel), panel_of(app, LedgerPanel)
    ledger_panel.active = True
    anew = asyncio.create_task(until(ledger_panel.listing, "rows", lambda rows: len(rows) == 4))
    await panel.run()
    assert app.canvas.context != before
    assert app.fitted is not app.session.shipped
    assert (app.state.temperature, app.state.ablated, app.state.names, app.state.cluster) == (
        app.fitted.cool, [], {}, -1
    )  # fmt: skip
    result = await app.explained(0, app.wish())
    assert result.sizes["cluster"] == 4
    await anew


def test_images_and_networks_of_images_are_refused(opened):
    model, samples = opened
    with pytest.raises(XaiViewsError, match="images, and the ECG explorer needs ECG records"):
        EcgApp(model, open_samples("digits/test"))
    with pytest.raises(XaiViewsError, match="takes images"):
        EcgSession(open_model("birds-cnn"), samples)


def test_the_real_record_is_resampled_and_says_so(opened):
    app = EcgApp(opened[0], open_samples("ecg/dicom"))
    result = app.result()
    assert '"resample"' in result.attrs["prepared"] or "resampl" in result.attrs["prepared"]
    one = record(app)
    assert one.rate == 400
    assert not one.synthetic
    assert one.steps == 4000


def test_an_own_record_is_taken_and_bad_ones_are_a_sentence(app):
    panel = panel_of(app, RecordUploadPanel)
    asyncio.run(panel.take(csv(), "mine.csv"))
    assert not panel.problem.objects
    assert app.session.names[-1] == "upload-1"
    assert app.state.sample == 150
    one = record(app, 150)
    np.testing.assert_allclose(one.signal[2], one.signal[1] - one.signal[0], atol=2e-3)  # III follows
    assert one.missing(6)
    assert "V1" in one.flag
    for data, name in (
        (b"", "x.csv"),
        (b"nonsense", "x.dcm"),
        (b"a,b\n1,2", "x.csv"),
        (b"\x00" * 100, "x.npz"),
        (b"x", "x.exe"),
    ):
        before = len(app.session)
        asyncio.run(panel.take(data, name))
        assert len(app.session) == before
        assert panel.problem.objects
        assert "\n" not in str(panel.problem.objects[0].object)


def test_what_a_page_holds_of_uploads_is_bounded(app, monkeypatch):
    from xai_views.errors import XaiViewsError
    from xai_views.samples import signal_dataset
    from xai_views_dashboard.ecg import session as ecg_data

    rng = np.random.default_rng(0)
    slow = signal_dataset(rng.normal(size=(20, 2, 3600)).astype(np.float32), 1.0, ["I", "II"])
    before = len(app.session)
    with pytest.raises(XaiViewsError, match="million values at the model's sampling rate"):
        app.session.take(slow)  # an hour in 3600 steps
    monkeypatch.setattr(ecg_data, "MOST_BYTES", app.session._held + 1000)
    with pytest.raises(XaiViewsError, match=r"the uploaded records would take .* MB"):
        app.session.take(slow.isel(sample=[0]))
    assert len(app.session) == before


def test_the_codebook_is_saved_and_opened_again(app, tmp_path):
    from xai_views.methods.ecg_clusters.fit import Fitted

    app.state.names = {"0": "baseline"}
    panel = panel_of(app, CodebookPanel)
    with zipfile.ZipFile(io.BytesIO(panel.archive().getvalue())) as file:
        names = file.namelist()
        assert all(n.startswith("clusters/") for n in names)
        assert not any(n.endswith((".pkl", ".pt")) for n in names)
        file.extractall(tmp_path)
    assert Fitted.load(tmp_path / "clusters").book.names[0] == "baseline"
    assert swatch(3) != swatch(4)


def test_a_network_of_ones_own_is_clustered_record_by_record():
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(12, 8, 9, 4, 4), nn.ReLU(), nn.Conv1d(8, 12, 9, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(12, 3),
    )  # fmt: skip
    model = open_model(net, channels=12, size=(2000,), rate=200, classes=["a", "b", "c"])
    assert apps.app_for(model) == "ecg"
    app = EcgApp(model, open_samples("ecg/test").isel(sample=slice(3)).drop_vars("label"), k=4)
    assert app.fitted is None
    result = app.result()
    assert result.sizes["cluster"] == 4
    assert abs(float(result["residual"].values[0, 0])) < 1e-4
    panel = panel_of(app, RecordsPanel)
    asyncio.run(panel._follow(panel._turn))
    assert "Fit one in the tab Codebook" in panel.words.object
    app.state.mode = "codebook"
    assert app.ask().mode == "own", "an address made with another model"


async def test_any_method_is_drawn_on_papers_that_take_better_answers(app):
    panel = panel_of(app, ExplainPanel)
    panel.choose("relax")
    panel.method.masks = 100
    seen = []
    app.state.sample = 2
    plain = panel.refine
    panel.refine = lambda *part: plain(*part) or seen.append(list(panel.pictures.objects))
    await panel.run()
    papers = list(panel.pictures.objects)
    assert papers
    assert all(these == papers for these in seen), "a paper that is made anew is never drawn"
    assert seen
    drawn = [await paper.provider(f"{paper.order[0]}|{paper.context}") for paper in papers]
    assert any(record.contribution is not None for record in drawn)
    assert len({paper.context for paper in papers}) == 1
    assert "xv.explain(model, one, &quot;relax&quot;" in panel.code.object


def test_a_page_is_built_while_the_worker_is_busy(opened):
    gate = threading.Event()
    busy = get_kernel().run(lambda progress: gate.wait(60))
    try:
        EcgApp(*opened).__panel__()
        assert not busy.done()
    finally:
        gate.set()
    assert busy.result() is True, "nobody waited for it"


def test_a_network_without_steps_is_a_sentence_on_the_paper():
    from torch import nn

    net = nn.Sequential(nn.Flatten(), nn.Linear(12 * 2000, 3))
    model = open_model(net, channels=12, size=(2000,), rate=200, classes=["a", "b", "c"])
    app = EcgApp(model, open_samples("ecg/test").isel(sample=slice(2)).drop_vars("label"))
    with pytest.raises(XaiViewsError) as error:
        record(app)
    assert "\n" not in str(error.value)
    assert EcgApp.fits(model) == str(error.value)


async def test_forests_grow_once_for_all_and_feed_the_queue(opened, monkeypatch):
    model, samples = opened
    few = EcgApp(model, samples.isel(sample=slice(20)))
    forest = panel_of(few, TablesPanel).forest
    await forest.run()
    assert "There are 20 records, and ten folds need at least 30" in forest.words.object
    monkeypatch.setattr(controls, "surrogates", partial(surrogates, trees=4, repeats=1))
    app = EcgApp(model, samples.isel(sample=slice(40)))
    forest, records_panel = panel_of(app, TablesPanel).forest, panel_of(app, RecordsPanel)
    await forest.run()
    assert [c["key"] for c in forest.listing.columns[:3]] == ["what", "agreement", "agreement se"]
    assert len(forest.listing.rows) == 4, "three forests and the network"
    assert forest.listing.rows[-1]["agreement"] == 1
    assert len(forest.importance.rows) == app.fitted.book.k
    assert "Always giving the most common answer" in forest.words.object
    records_panel.write(await records_panel.compute())
    assert all(r["forest"] in model.classes for r in records_panel.listing.rows)
