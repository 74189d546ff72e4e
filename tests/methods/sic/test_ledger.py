"""Sums of an explanation, computed by hand for one with round numbers."""

import numpy as np
import pytest
import xarray as xr

from xai_views.methods import explain
from xai_views.methods.sic import effect, figures, latent_vectors
from xai_views.methods.sic.ledger import class_sums, entries, own_sum, region_entries
from xai_views.methods.sic.population import accuracy, nearest_training, similarities
from xai_views.methods.sic.what_if import Change


@pytest.fixture
def explanation():
    """Two classes with two and one supports; temperature 2."""
    maps = np.zeros((1, 4, 2, 2))
    maps[0, 0] = [[2, 4], [-1, 1]]  # 6 of support 0
    maps[0, 1] = [[1, 0], [0, 1]]  # 2 of support 1
    maps[0, 2] = [[0, 0], [0, 8]]  # 8 of support 2
    return xr.Dataset(
        {
            "logit": (("sample", "class"), [[1.5, 2.0]]),
            "probability": (("sample", "class"), [[0.8, 0.9]]),
            "bias": ("class", [-2.0, -2.0]),
            "evidence": (("sample", "support"), [[3.0, 1.0, 4.0]]),
            "support_contribution": (("sample", "match", "y", "x"), maps),
        },
        coords={
            "support_class": ("support", [0, 0, 1]),
            "match_support": (("sample", "match"), [[0, 1, 2, -1]]),
        },
    )


def test_class_sums(explanation):
    first, second = class_sums(explanation)
    assert (first.target, first.bias, first.evidence, first.total) == (0, -2, 4, 2)
    assert (first.logit, first.difference, first.probability) == (1.5, -0.5, 0.8)
    assert (second.total, second.difference) == (2, 0)


def test_entries_are_in_the_order_of_the_set(explanation):
    assert [(e.row, e.match, e.evidence, e.share) for e in entries(explanation, 0)] == [
        (0, 0, 3, 0.75),
        (1, 1, 1, 0.25),
    ]
    swapped = explanation.assign_coords(match_support=(("sample", "match"), [[2, 1, 0, -1]]))
    assert [e.match for e in entries(swapped, 0)] == [2, 1]
    assert entries(explanation.drop_vars("match_support"), 1)[0].match == -1
    assert entries(explanation * 0, 1)[0].share == 0


def test_regions(explanation):
    found = region_entries(explanation, np.array([[True, False], [True, False]]), 2.0)
    assert [(e.row, e.inside, e.outside, e.whole) for e in found] == [
        (0, 0.5, 2.5, 3),
        (1, 0.5, 0.5, 1),
        (2, 0, 4, 4),
    ]
    assert [e.share for e in found] == [0.5 / 3, 0.5, 0]


def test_own_sums():
    found = own_sum(np.array([3.0, 4.0]), np.array([[6.0, -2.0], [1.5, -0.5]]))
    assert (found.norm, found.total, found.negative) == (5, 5, -2.5)


# -- many samples -----------------------------------------------------------------------------------------------------


def test_figures_are_what_explanations_say(make, samples):
    model, shown = make(), samples(6)
    label = np.array([0, 1, 2, -1, 1, 2])
    found = figures(model, model.supports, latent_vectors(model, shown["image"].values), label)
    one_by_one = explain(model, shown, "sic")
    np.testing.assert_allclose(found["logit"], one_by_one["logit"], rtol=1e-4)
    top = one_by_one["logit"].values.argmax(1)
    assert found["predicted"].tolist() == top.tolist()
    assert found["right"].tolist() == [-1 if c < 0 else int(p == c) for p, c in zip(top, label, strict=True)]
    ordered = np.sort(one_by_one["logit"].values, 1)
    np.testing.assert_allclose(found["margin"], ordered[:, -1] - ordered[:, -2], rtol=1e-3)
    np.testing.assert_allclose(found["confidence"], 1 / (1 + np.exp(-ordered[:, -1])), rtol=1e-4)
    for i, c in enumerate(top):
        own = one_by_one["evidence"].values[i, model.supports.label == c]
        assert found["concentration"][i] == pytest.approx(own.max() / own.sum(), rel=1e-4)
    assert accuracy(np.array([1, 0, -1, 1])) == pytest.approx(2 / 3)
    assert np.isnan(accuracy(np.array([-1])))


def test_similarities_are_the_evidence_of_an_explanation(make, samples):
    model, shown = make(), samples(1)
    z = latent_vectors(model, shown["image"].values)
    evidence, cosine = similarities(model, model.supports, z)
    np.testing.assert_allclose(evidence, explain(model, shown, "sic")["evidence"].values[0], rtol=1e-4)
    own, top = similarities(model, model.supports, model.supports.vectors[[4]])
    assert top.argmax() == 4
    assert top[4] == pytest.approx(1, abs=1e-5)
    assert own[4] == pytest.approx(
        np.linalg.norm(model.supports.vectors[4]) / model.module.temperature, rel=1e-4
    )
    assert (cosine <= 1 + 1e-6).all()


def test_candidates_are_the_nearest_that_do_not_support_the_class_yet(make):
    model = make()
    rows, cosine = nearest_training(model, model.supports, model.supports.vectors[0], 0, most=4)
    own = set(model.supports.index[model.supports.of_class(0)].tolist())
    assert not own & set(model.latents.index[rows].tolist())
    assert (model.latents.label[rows] == 0).all()
    assert (np.diff(cosine) <= 0).all()
    every, _ = nearest_training(model, model.supports, model.supports.vectors[0], 0, True, 100)
    assert len(every) == len(model.latents.z) - len(own)


def test_what_if(make, samples):
    model, shown = make(), samples(6)
    z, label = latent_vectors(model, shown["image"].values), shown["label"].values
    of_class = model.supports.of_class(0)
    fewer = model.supports.take(np.setdiff1d(np.arange(len(model.supports)), of_class))
    was, now = (figures(model, s, z, label) for s in (model.supports, fewer))
    found = effect(model, fewer, z[:1], 0, Change(was, now))
    assert (found.supports.before, found.supports.after) == (9, 6)
    assert found.logit.before == pytest.approx(float(was["logit"][0, 0]), abs=1e-5)
    assert found.logit.after == pytest.approx(model.module.bias)
    assert found.accuracy.before == pytest.approx((was["right"] == 1).mean())
    assert found.accuracy.after == pytest.approx((now["right"] == 1).mean())
    assert found.moved == (was["predicted"] != now["predicted"]).sum()
    assert effect(model, fewer).logit is None
    assert effect(model, fewer, z[:1]).target == was["predicted"][0]
    found = effect(model, fewer, z[:1])
    assert found.accuracy is None
    assert found.population == 0
