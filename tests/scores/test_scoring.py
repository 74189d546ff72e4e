"""Metrics by name: scores of maps with known values, with their chance levels."""

import numpy as np
import pytest
import xarray as xr

import xai_views as xv
from xai_views.contract import registry
from xai_views.errors import MethodError, XaiViewsError
from xai_views.scores.scoring import map_of, score


@pytest.fixture(scope="module")
def model():
    return xv.open_model("birds-cnn")


@pytest.fixture(scope="module")
def samples():
    return xv.open_samples("birds/test").isel(sample=slice(0, 4))


def explanation(map_, name="made"):
    ds = xr.Dataset(
        {
            "attribution": (("sample", "y", "x"), map_),
            "logit": (("sample", "class"), np.zeros((len(map_), 50))),
        }
    )
    ds["attribution"].attrs["role"] = "signed map"
    return ds.assign_attrs(method=name)


def test_the_truth_itself_and_its_opposite(model, samples):
    mask = samples["part"].values > 0
    found = score(
        [explanation(mask * 1.0, "truth"), explanation(1.0 - mask, "opposite")],
        model,
        samples,
        ["positive_share", "pointing"],
    )
    np.testing.assert_array_equal(found["mean"], [[1, 1], [0, 0]])
    np.testing.assert_allclose(found["chance"][0, 0], mask.mean((1, 2)))
    assert (found["low"] <= found["mean"]).all()
    assert found["known"].values.tolist() == [[4, 4], [4, 4]]


def test_a_map_that_knows_nothing_scores_chance(model, samples):
    found = score([explanation(np.ones((4, 64, 64)))], model, samples, ["positive_share", "pointing"])
    np.testing.assert_allclose(found["score"], found["chance"])


def test_what_cannot_be_had_is_no_figure(model, samples):
    found = score([explanation(-np.ones((4, 64, 64)))], model, samples, ["positive_share"])
    assert np.isnan(found["score"]).all()
    assert found["known"].item() == 0
    found = score(
        [explanation(np.ones((4, 64, 64)))], model, samples.drop_vars("part"), ["positive_share", "pointing"]
    )
    assert np.isnan(found["score"]).all()


def test_a_faithful_map_has_a_gap_and_its_opposite_the_opposite_one(model, samples):
    result = xv.explain(model, samples, "saliency", map="occlusion")
    opposite = result.assign(attribution=-result["attribution"].assign_attrs(role="signed map"))
    opposite["attribution"].attrs["role"] = "signed map"
    found = score([result, opposite], model, samples, ["relevance_gap"])["score"].values[:, 0]
    assert found[0].mean() > 0.2
    np.testing.assert_allclose(found[1], -found[0], atol=0.05)


def test_metrics_say_what_they_ask_and_refuse_in_a_sentence(model, samples):
    for key in registry.entries("metrics"):
        kind = registry.load("metrics", key)
        assert kind.key == key
        assert kind.question in {"correct", "faithful", "sane"}
        assert kind.better in {"higher", "lower"}
    with pytest.raises(
        XaiViewsError, match=r"^there is no metric 'pointer'; the nearest of those installed: 'pointing'"
    ):
        score([explanation(np.ones((4, 64, 64)))], model, samples, ["pointer"])
    with pytest.raises(XaiViewsError, match="has no parameter 'step'; it has 'steps'"):
        registry.load("metrics", "relevance_gap")(step=3)
    with pytest.raises(MethodError, match="no signed map"):
        map_of(explanation(np.ones((4, 64, 64))).drop_vars("attribution"))
