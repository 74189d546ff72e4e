"""Support records in the ECG app without a browser: sums, choices, names, and models without support records."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from xai_views import apps, open_samples
from xai_views.models import passes
from xai_views_dashboard.core.panel import Closed
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.ecg.supports import SupportsPanel, rows_of


@pytest.fixture(scope="module")
def opened():
    return apps.opened("ecg-sic")


@pytest.fixture
def app(opened):
    return EcgApp(*opened)


@pytest.fixture
def panel(app) -> SupportsPanel:
    return next(p for p in app.panels if isinstance(p, SupportsPanel))


def asked(panel):
    return asyncio.run(panel.compute())


def test_the_bill_of_every_class_adds_up(app, panel):
    app.state.sample = 3
    result = asked(panel).result
    rows = rows_of(result, panel._names)
    assert [r["evidence"] for r in rows] == sorted((r["evidence"] for r in rows), reverse=True)
    for c, name in enumerate(app.model.classes):
        own = [r for r in rows if r["class"] == name]
        assert len(own) == app.model.card["recipe"]["supports_per_class"]
        total = app.model.module.bias + sum(r["evidence"] for r in own)
        assert total == pytest.approx(float(result["logit"].values[0, c]), abs=1e-3)
        assert sum(r["share"] for r in own) == pytest.approx(1)


def test_strips_sum_to_what_the_words_say(app, panel):
    app.state.sample = 8
    found = asked(panel)
    result, chosen = found.result, found.chosen
    record, support = panel.record(found), panel.support(found)
    evidence = float(result["evidence"].values[0, chosen])
    assert record.contribution.sum() == pytest.approx(evidence, abs=1e-3)
    assert sum(record.totals) == pytest.approx(evidence, abs=1e-3)
    np.testing.assert_allclose(record.contribution.sum(1), record.totals, atol=1e-3)
    vector = np.linalg.norm(app.model.supports.vectors[chosen])
    assert sum(support.totals) == pytest.approx(vector, rel=5e-3)  # half precision in the checkpoint
    assert support.unit == "norm"
    assert support.synthetic
    assert record.synthetic
    assert support.length == 4000  # ten seconds; zeros follow
    words = panel.sentence(found)
    assert f"{evidence:+.2f}".replace("-", "−")[:4] in words
    assert panel._names[chosen] in words


def test_the_record_of_a_support_is_the_one_that_was_trained_on(app, panel):
    asked(panel)
    known = open_samples("ecg/train")["name"].values
    assert panel._names == [known[i] for i in app.model.supports.index]
    assert panel._synthetic


def test_a_row_of_another_class_makes_that_class_the_explained_one(app, panel):
    panel.write(asked(panel))
    other = next(r for r in panel.listing.rows if r["class"] != app.model.classes[panel._class])
    panel._choose(other["id"])
    assert app.state.support == int(other["id"])
    assert app.model.classes[app.state.target] == other["class"]
    found = asked(panel)
    assert found.chosen == int(other["id"])
    assert found.target == app.state.target


def test_a_support_of_another_class_or_none_gives_way_to_the_strongest(app, panel):
    app.state.target = 2
    for wish in (-1, 9999, int(app.model.supports.of_class(0)[0])):
        app.state.support = wish
        found = asked(panel)
        own = app.model.supports.of_class(2)
        assert found.chosen == own[found.result["evidence"].values[0, own].argmax()]


def test_another_support_of_the_class_costs_no_pass(app, panel):
    asked(panel)
    before = passes.snapshot()
    own = app.model.supports.of_class(panel.app.session.label(app.state.sample))
    for row in own:
        app.state.support = int(row)
        asked(panel)
    assert passes.snapshot()["forward_calls"] - before["forward_calls"] <= 1


def test_edits_change_the_evidence(app, panel):
    before = asked(panel).result
    app.state.edit(edits_made=[{"kind": "mute", "lead": i} for i in range(6, 12)])
    after = asked(panel)
    assert after.title.endswith("(edited)")
    assert not after.signal[6:].any()
    assert not np.allclose(before["evidence"].values, after.result["evidence"].values, atol=1e-3)


def test_supports_of_a_set_that_is_gone_have_positions(app, panel):
    app.model = replace(app.model, latents=replace(app.model.latents, samples="gone/train"))
    names, synthetic = panel.origin()
    assert names[0] == f"training record {app.model.supports.index[0]}"
    assert not synthetic


def test_other_networks_say_that_they_have_none_and_have_no_such_map():
    app = EcgApp(*apps.opened("ecg-resnet"), shown="attribution", attribution="contribution map")
    closed = next(p for p in app.panels if p.title == "Support records")
    assert isinstance(closed, Closed)
    assert "no support records" in closed.reason
    assert app.panels[0].title == "Ledger", "what there is comes first"
    assert app.ask().attribution == "gradient x input"
    other = EcgApp(*apps.opened("ecg-sic"), shown="attribution", attribution="contribution map")
    assert other.ask().attribution == "contribution map"
    assert other.panels[0].title == "Support records"


def test_the_map_on_the_paper_is_the_logit(app):
    app.state.param.update(sample=12, shown="attribution", attribution="contribution map")
    one = asyncio.run(app.answer(f"{app.session.names[12]}|{app.canvas.context}"))
    result = app.result()
    target = int(result["target_class"].values[0, 0])
    length = app.session.length(12)
    outside = result["attribution"].values[0, :, length:].sum()
    assert outside == 0  # what lies in the padding is in the gap
    total = one.contribution.sum() + float(result["attribution_gap"].values[0]) + app.model.module.bias
    assert total == pytest.approx(float(result["logit"].values[0, target]), abs=1e-3)
