"""All records at once: statistics of predictions, labels and shares; waves; the ledger of a record."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

from xai_views import explain
from xai_views.engine.predictions import known_classes
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters import controls
from xai_views.methods.ecg_clusters.controls import CLUSTERS, RANDOM, RAW, judged
from xai_views.methods.ecg_clusters.fit import finished
from xai_views.methods.ecg_clusters.forest import surrogates
from xai_views.methods.ecg_clusters.ledger import ledger
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.ecg_clusters.survey import (
    Survey,
    correlations,
    mean_entropy,
    survey,
    waves,
)

from .ecg_nets import STEPS, by, fitted, local, noisy, planted, records

ASK = EcgClustersMethod().ask(k=4)


def surveyed(model, ds, **more) -> Survey:
    return finished(survey(model, ds, ASK.replace(**by(fitted(model, ds, ASK)), **more)))


def test_a_record_without_a_label_is_no_error():
    logit = np.eye(3)[[0, 1, 2, 0]]
    known = [frozenset({0, 1}), frozenset({0}), frozenset(), frozenset({2, 1})]
    found = Survey(logit, logit, logit, np.zeros(4), known, [])
    assert found.against(found.predicted).tolist() == [False, True, False, True]
    assert found.label.tolist() == [0, 0, -1, 1]
    assert found.labelled.tolist() == [True, True, False, True]
    assert found.several


def test_the_queue_has_the_most_disagreements_first_and_then_the_most_uncertain():
    logit = np.eye(3)[[0, 1, 2, 0, 1]]
    known = [frozenset({1}), frozenset({0}), frozenset(), frozenset({0}), frozenset({1})]
    found = Survey(logit, logit, logit, np.array([0.1, 0.3, 0.9, 0.2, 0.5]), known, [])
    assert found.wrong().tolist() == [0, 1]
    assert found.queue().tolist() == [1, 0]
    forest = np.array([0, 2, 0, 0, 1])
    # label and network, network and forest, label and forest
    assert found.disagreements(forest).tolist() == [2, 3, 1, 0, 0]
    assert found.queue(forest).tolist() == [1, 0, 2]
    assert found.uncertain().tolist() == [2]
    assert found.uncertain(2).tolist() == [2, 4]
    assert len(found) == 5


def test_labels_of_one_class_of_several_and_of_none():
    ds = records(noisy(3)).assign(label=("sample", [2, -1, 0]))
    assert known_classes(ds) == [{2}, set(), {0}]
    ds = ds.assign(label=(("sample", "class"), np.array([[1, 0, 1, 0], [0] * 4, [0, 1, 0, 0]])))
    assert known_classes(ds) == [{0, 2}, set(), {1}]
    assert known_classes(ds.drop_vars("label")) == [set()] * 3


def test_each_record_says_what_it_says_alone():
    signal, seen = noisy(20), []
    signal[1::2, :, 400:] = 0
    model, ds = local(), records(signal, length=[STEPS, 400] * 10)
    ask = ASK.replace(**by(fitted(model, ds, ASK)), temperature=0.3)
    found = finished(survey(model, ds, ask, lambda done, total: seen.append((done, total))))
    assert seen == [(16, 20), (20, 20)]
    for i in (0, 17):
        one = explain(model, ds.isel(sample=[i]), ask.replace(length=[STEPS, 400][i % 2]))
        for name in ("logit", "probability", "proportion"):
            np.testing.assert_array_equal(getattr(found, name)[i], one[name].values[0])
        np.testing.assert_array_equal(found.sequence[i], one["cluster"].values[0])
        assert found.entropy[i] == mean_entropy(one)
    assert (found.sequence[17] < 0).sum() == 15
    assert found.k == 4


def test_correlations_are_of_all_records_or_of_those_with_labels():
    rng = np.random.default_rng(0)
    logit, share = rng.normal(size=(20, 3)), rng.dirichlet(np.ones(4), 20)
    known = [frozenset({i % 3}) if i < 9 else frozenset() for i in range(20)]
    found = Survey(logit, logit, share, np.zeros(20), known, [])
    assert (correlations(found).n, correlations(found, output="label").n) == (20, 9)
    few = replace(found, known=[frozenset({1})] * 7 + [frozenset()] * 13)
    with pytest.raises(MethodError, match="7 records are labelled, too few for correlations"):
        correlations(few, output="label")


def test_waves_and_averages_of_records_whose_waves_are_known():
    model, (signal, truth) = local(), planted(6)
    # ids of the planted waves equal P, QRS and T, except for the rest between beats
    landmark = np.repeat(np.where(truth == 0, 4, truth), 16, axis=1).astype(np.int8)
    ds = records(signal, length=[STEPS] * 6).assign(landmark=(("sample", "time"), landmark))
    book = fitted(model, ds, ASK.replace(taps=["relu1"]))
    found = finished(survey(model, ds, ASK.replace(**by(book))))
    told = []
    aligned, averaged = finished(waves(ds, found, True, lambda *done: told.append(done)))
    assert told == [(i + 1, 7) for i in range(6)]
    assert aligned.nmi > 0.99
    assert len(aligned.chance) == 39
    assert averaged.records == 6
    assert averaged.phases.counts.shape == (4, 40)
    assert averaged.beats.beats > 6
    flat = ds.assign(landmark=(("sample", "time"), np.where(landmark == 2, 0, landmark)))
    assert finished(waves(flat, found, known=True))[1] is None, "without R peaks"


@pytest.mark.slow
def test_forests_stand_beside_both_controls(monkeypatch):
    monkeypatch.setattr(controls, "surrogates", partial(surrogates, trees=4, repeats=1))
    model, ds = local(), records(noisy(40)).assign(label=("sample", [0, 1, 2, 3] * 10))
    found = surveyed(model, ds)
    said = np.arange(40) % 2
    found = replace(found, logit=np.eye(4)[said])
    out = finished(judged(model, ds, found))
    assert [s.name for s in out] == [CLUSTERS, RANDOM, RAW]
    np.testing.assert_array_equal(out[0].test[0], out[2].test[0], "on the same folds")
    assert np.isfinite(out[0].accuracy).all()
    persons = ds.assign(person=("sample", [f"p{i // 4}" for i in range(40)]))
    for test in finished(judged(model, persons, found))[0].test:
        assert len(test) == 4, "whose records stay together"


def test_the_bill_of_a_record_closes():
    truth = np.zeros(12, bool)
    truth[:8] = True
    ds = xr.Dataset(
        {
            "cluster": (("sample", "time"), [[0, 0, 1, 1, 1, -1]]),
            "entropy": (("sample", "time"), [[0.2, 0.4, 0.3, 0.3, 0.6, 0.0]]),
            "proportion": (("sample", "cluster"), [[0.4, 0.6, 0.0]]),
            "cluster_contribution": (("sample", "target", "cluster"), [[[-1.0, 2.0, 0.0]]]),
            "padding_contribution": (("sample", "target"), [[0.25]]),
            "residual": (("sample", "target"), [[0.125]]),
            "bias": ("class", [9.0, 0.5]),
            "logit": (("sample", "class"), [[7.0, 1.875]]),
        },
        {"target_class": (("sample", "target"), [[1]])},
    )
    bill = ledger(ds, truth)
    assert [line.cluster for line in bill.lines] == [1, 2, 0]
    assert [line.total for line in bill.lines] == [2.5, 2.5, 1.5]
    assert [line.truth for line in bill.lines] == [0.5, 0.0, 0.5]
    assert [line.entropy for line in bill.lines] == pytest.approx([0.4, 0, 0.3])
    assert (bill.target, bill.bias, bill.clusters, bill.padding, bill.residual) == (1, 0.5, 1.0, 0.25, 0.125)
    assert bill.bias + bill.clusters + bill.padding + bill.residual == bill.logit
    assert ledger(ds).lines[0].truth is None
    assert ledger(ds, np.zeros(12, bool)).lines[0].truth is None
