"""The ECG app on records of two labels: both are listed, predicting either is correct, each has its own ground truth."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from xai_views import open_model, open_samples
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters import controls
from xai_views.methods.ecg_clusters.forest import finished
from xai_views.methods.ecg_clusters.survey import correlations
from xai_views.samples.sets.ecg.composing import CLASSES
from xai_views.samples.sets.ecg.mixed import RECORDS
from xai_views_dashboard.ecg.app import EcgApp
from xai_views_dashboard.ecg.records import RecordsPanel


@pytest.fixture(scope="module")
def opened():
    pytest.importorskip("deepfakeecg")
    return open_model("ecg-resnet"), open_samples("ecg/mixed")


@pytest.fixture
def app(opened):
    return EcgApp(*opened)


@pytest.fixture(scope="module")
def found(opened):
    return asyncio.run(EcgApp(*opened).surveyed())


def listed(app, found) -> RecordsPanel:
    panel = next(p for p in app.panels if isinstance(p, RecordsPanel))
    panel.write(found)
    return panel


def draw(app, i: int):
    return asyncio.run(app.answer(f"{app.session.names[i]}|{app.canvas.context}"))


def test_both_labels_are_said(app, found):
    panel = listed(app, found)
    rows = {r["id"]: r for r in panel.listing.rows}
    assert len(rows) == 60
    for i, (classes, _) in enumerate(RECORDS):
        assert rows[app.session.names[i]]["label"] == " and ".join(c for c in CLASSES if c in classes)


def test_an_error_is_an_answer_that_is_none_of_the_labels(app, found):
    panel = listed(app, found)
    predictions = asyncio.run(app.session.predicted())
    app.listed.take(predictions, predictions)
    app.state.outcome = "errors"
    wrong = set(app.canvas.order)
    own = [CLASSES[c] in RECORDS[i][0] for i, c in enumerate(found.predicted)]
    assert found.wrong().tolist() == [i for i, right in enumerate(own) if not right]
    assert wrong >= {app.session.names[i] for i in found.wrong()}
    assert sum(own) > 0
    app.state.param.update(outcome="all", true_class=CLASSES.index("wide QRS"))
    assert app.canvas.order == [
        app.session.names[i] for i, (classes, _) in enumerate(RECORDS) if "wide QRS" in classes
    ]
    assert app.listed.form.remark
    assert f"{sum(own)} of 60 predicted as one of their labels" in panel.words.object


def test_the_known_evidence_is_that_of_the_explained_class(app):
    app.state.truth = True
    i = next(i for i, (c, _) in enumerate(RECORDS) if c == {CLASSES[2], CLASSES[3]})
    app.state.sample = i
    shown = {}
    for target in (2, 3, 4):
        app.state.target = target
        one = draw(app, i)
        shown[target] = {(t.lead, t.start) for t in one.truth}
        words = {t.word for t in one.truth} - {""}
        assert words == ({CLASSES[target]} if target != 4 else set())
        if (
            target == 2
        ):  # V1 and V4 are in the third and fourth column of a sheet, where the word has to be seen
            assert {(t.lead, t.start // 2.5) for t in one.truth if t.word} >= {(6, 2), (9, 3)}
            assert sum(bool(t.word) for t in one.truth) < len(one.truth)
        assert "labelled anterior ST elevation and wide QRS" in one.text
    assert {lead for lead, _ in shown[2]} == {6, 7, 8, 9}
    assert {lead for lead, _ in shown[3]} == {-1}
    both = app.session.evidence(i, 2) | app.session.evidence(i, 3)
    np.testing.assert_array_equal(
        app.session.evidence(i, 4), both
    )  # a class that it does not have: all that is known


def test_the_result_never_says_one_of_two_labels(app):
    for sample in (0, 6):  # the first record of two findings, and that of one
        app.state.sample = sample
        assert "label" not in app.result().coords


def test_correlations_with_labels_count_each_label(app, found):
    answer = correlations(found, "spearman", "none", "label")
    assert answer.n == 60
    share = found.proportion[:, 0]
    wide = np.array([CLASSES[3] in c for c, _ in RECORDS], float)
    from scipy.stats import spearmanr

    assert answer.r[0, 3] == pytest.approx(spearmanr(share, wide).statistic)


def test_forests_learn_what_the_network_says_and_are_not_scored_on_labels(app, found, monkeypatch):
    seen = {}

    def kept(features, predicted, label, score, **known):
        seen.update(label=label, predicted=predicted)
        yield
        return "done"

    def none(model):
        raise MethodError("not drawn anew here.")

    monkeypatch.setattr(controls, "surrogates", kept)
    monkeypatch.setattr(controls, "untrained", none)
    assert finished(controls.judged(app.model, app.session.population.samples, found)) == "done"
    assert seen["label"] is None
    np.testing.assert_array_equal(seen["predicted"], found.predicted)
