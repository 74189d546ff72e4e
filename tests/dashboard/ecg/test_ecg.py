"""The ECG explorer without a browser: sums, edits, the address, what is hidden, and what is refused."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from xai_views import apps, explain, open_model, open_samples
from xai_views.errors import XaiViewsError
from xai_views.methods.ecg_clusters.ledger import ledger
from xai_views.models import passes
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.ecg.frame import binned
from xai_views_dashboard.ecg.ledger import rows_of, swatch
from xai_views_dashboard.ecg.session import EcgSession
from xai_views_dashboard.ecg.state import EcgState, checked_edit
from xai_views_dashboard.ecg.touch import sentence


@pytest.fixture(scope="module")
def opened():
    return apps.opened("ecg-resnet")


@pytest.fixture
def app(opened):
    return EcgApp(*opened)


def record(app, i: int = 0):
    return asyncio.run(app._record(f"{app.session.names[i]}|{app.canvas.context}"))


def test_the_ledger_is_a_bill_that_adds_up(app):
    for i in (0, 7):
        app.state.sample = i
        result = app.result()
        truth = app.session.truth(i)[0].any(0)
        bill = ledger(result, truth)
        rows = rows_of(bill, app.names_of(result))
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
    assert app.state.undo()
    assert app.state.edits_made == plain
    assert record(app, 2).signal[7].any()
    assert passes.snapshot()["forward"] - before == 1


EDITS = [
    {"kind": "mute", "lead": 7},
    {"kind": "silence", "lead": -1, "start": 2.0, "stop": 2.5},
    {"kind": "blend", "lead": -1, "start": 4.0, "stop": 4.6, "record": "ecg-test-00009", "from": 3.0},
]


@pytest.mark.parametrize(
    "state",
    [
        {"shown": "contribution", "fade": "ensemble", "ablated": [1, 4]},
        {"edits_made": EDITS},
        {"mode": "own", "k": 5, "edits_made": EDITS[1:], "target": 3},
        {"shown": "attribution", "attribution": "integrated gradients", "edits_made": EDITS[2:]},
    ],
    ids=["codebook", "edits", "own", "attribution"],
)
@pytest.mark.parametrize("name", ["ecg-resnet", "ecg-sic"])
def test_what_the_page_shows_can_be_asked_for_again(name, state):
    model, samples = apps.opened(name)
    app = EcgApp(model, samples, sample=2, **state)
    shown = record(app, 2)
    result = app.result()
    back = explain(
        name, samples.isel(sample=[2]), result.attrs["method"], **json.loads(result.attrs["parameters"])
    )
    assert set(back.data_vars) == set(result.data_vars)
    for v in back.data_vars:
        np.testing.assert_array_equal(back[v], result[v], err_msg=v)
    for a in ("model_sha256", "samples_sha256", "parameters", "seed", "exact"):
        assert back.attrs[a] == result.attrs[a], a
    np.testing.assert_array_equal(shown.cluster[0], back["cluster"].values[0])


def test_what_is_drawn_is_what_the_network_saw(app):
    app.state.sample = 2
    app.state.edit(edits_made=EDITS)  # of the record in view
    drawn, length = record(app, 2).signal, app.session.length(2)
    assert not drawn[:, length:].any()
    assert np.abs(drawn - app.session.image(2)).max() > 0.1
    seen = app.session.method.observe(app.model, drawn[None], [app.session.ask(app.state, 2)], [None])[
        0
    ].variants[()]
    np.testing.assert_array_equal(app.result()["logit"].values[0], seen.logit)


def test_edits_are_in_seconds_also_for_a_model_that_counts_in_steps(opened):
    model = replace(opened[0], rate=None, path=None, name="no rate")
    app = EcgApp(model, opened[1].isel(sample=slice(2, 10)))
    edits = [*EDITS[:2], EDITS[2] | {"record": app.session.names[3]}]
    with_rate = EcgApp(*opened).session
    there = with_rate.touched(2, [*EDITS[:2], EDITS[2] | {"record": "ecg-test-00005"}])
    np.testing.assert_array_equal(app.session.touched(0, edits), there)


def test_muting_the_leads_that_carry_the_evidence_counts_more_than_others(app):
    """Records of ST elevation: their logit falls more without V1 to V4 than without four leads that show nothing."""
    fall = {"anterior": [], "limb": []}
    for i in range(2, 60, 5):
        for name, leads in (("anterior", (6, 7, 8, 9)), ("limb", (0, 1, 3, 4))):
            edits = [{"kind": "mute", "lead": n} for n in leads]
            ask = app.session.ask(app.state, i, targets=[2])
            one = asyncio.run(app.session.explain(i, ask))["logit"].values[0, 2]
            two = asyncio.run(app.session.explain_edited(i, edits, ask))["logit"].values[0, 2]
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
    other = EcgState()
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
    found = app.session.surveyed().result(120)
    assert app.session.surveyed().result() is found
    assert found.proportion.shape == (150, app.session.book.k)
    np.testing.assert_allclose(found.proportion.sum(1), 1)
    app.state.sample = 11
    result = app.result()
    np.testing.assert_array_equal(found.proportion[11], result["proportion"].values[0])
    np.testing.assert_array_equal(found.logit[11], result["logit"].values[0])
    assert (found.predicted == found.label).mean() > 0.9


def test_the_list_filters_and_the_arrow_keys_follow(app):
    panel = app.records
    panel.take(app.session.surveyed().result(120))
    panel.filter.value = "errors"
    wrong = [r["id"] for r in panel.listing.rows]
    assert 0 < len(wrong) < 30
    assert all(r["label"] != r["predicted"] for r in panel.listing.rows)
    assert set(wrong) <= set(app.canvas.order)
    panel.filter.value = "labelled wide QRS"
    assert len(panel.listing.rows) == 30
    panel.filter.value = "most uncertain tenth"
    shown = [r["entropy"] for r in panel.listing.rows]
    assert shown == sorted(shown, reverse=True)
    panel.filter.value = "all records"
    assert app.canvas.order == app.session.names


def test_images_and_networks_of_images_are_refused(opened):
    model, samples = opened
    with pytest.raises(XaiViewsError, match="images and the ECG explorer shows records"):
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
    panel = next(p for t, p in app.panels if t == "Your record")
    t = np.arange(5000) / 500
    trace = np.sin(2 * np.pi * t)
    table = "time,I,II\n" + "\n".join(
        f"{a:.4f},{b:.4f},{c:.4f}" for a, b, c in zip(t, trace, 0.5 * trace, strict=True)
    )
    asyncio.run(panel.take(table.encode(), "mine.csv"))
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
    with pytest.raises(XaiViewsError, match="million numbers at the model's rate"):
        app.session.take(slow)  # an hour in 3600 steps
    monkeypatch.setattr(ecg_data, "MOST_BYTES", app.session._held + 1000)
    with pytest.raises(XaiViewsError, match=r"this page would hold .* MB of uploaded records"):
        app.session.take(slow.isel(sample=[0]))
    assert len(app.session) == before


def test_the_codebook_is_saved_and_opened_again(app):
    from xai_views.methods.ecg_clusters.fit import Fitted

    app.state.names = {"0": "baseline"}
    panel = next(p for t, p in app.panels if t == "Codebook")
    with zipfile.ZipFile(io.BytesIO(panel.archive().getvalue())) as file:
        names = file.namelist()
        assert all(n.startswith("clusters/") for n in names)
        assert not any(n.endswith((".pkl", ".pt")) for n in names)
    assert Fitted.load  # what opens it
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
    assert app.session.book is None
    result = app.result()
    assert result.sizes["cluster"] == 4
    assert abs(float(result["residual"].values[0, 0])) < 1e-4
    asyncio.run(app.records.load())
    assert "Fit a codebook" in app.records.words.object
