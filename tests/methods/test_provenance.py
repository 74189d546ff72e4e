"""The provenance of an explanation reproduces it bit for bit, for all requests of nave, nas and saliency."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xai_views as xv
from xai_views.contract import registry
from xai_views.contract.explanation import adds_up
from xai_views.engine.attribution.maps import METHODS, fits
from xai_views.engine.attribution.steps import whole
from xai_views.engine.clusters.codebook import Codebook
from xai_views.methods.nave.fitting import fit

NAMES = ("birds-cnn", "birds-vit", "birds-sic")

NAVE = {
    "defaults": {},
    "many": {"k": 9, "grid": "input", "temperature": 0.3, "soft": "gmm"},
    "elbow": {"k": 0, "weights": "deep-first", "interp": "bilinear"},
    "own weights": {"weights": [0.5, 0.25, 1.0], "targets": [3, -1], "seed": 5},
    "exact": {"mode": "exact", "k": 4, "seed": 2, "soft": "fuzzy"},
    "agglomerative": {"assigner": "agglomerative"},
    "without one": {"ablated": [0, 2], "fill": "zero"},
    "only one": {"ablated": [1], "keep": True},
    "blurred": {"ablated": [0], "where": "input", "fill": "blur"},
    "extras": {"at": [3, 9], "norms": True, "sweep": True},
}
NAS = {
    "pieces": {"map": "grad-cam", "connected": True, "k": 6, "how": "median", "min_area": 0.01},
    "absolute": {"map": "gradient", "reduce": "abs", "targets": [2], "grid": "double"},
    "without one": {"map": "edges", "ablated": [1]},
}


@pytest.fixture(scope="module")
def samples():
    return xv.open_samples("birds/test").isel(sample=slice(2))


@pytest.fixture(scope="module")
def model():
    return dict(zip(NAMES, map(xv.open_model, NAMES), strict=True)).get


@pytest.fixture(scope="module")
def book(model):
    """Codebooks by model, fitted on a few images."""
    some = xv.open_samples("birds/test").isel(sample=slice(2, 14))
    made = {}

    def of(name: str) -> Codebook:
        if name not in made:
            nave = registry.plain("nave")
            ask = nave.ready(model(name), nave.ask(k=6))
            made[name] = whole(fit(model(name), some, ask, lambda *_: None)).book
        return made[name]

    return of


def made_again(model, samples, result):
    return xv.explain(model, samples, result.attrs["method"], **json.loads(result.attrs["parameters"]))


def the_same(model, samples, key, **parameters):
    """Explain, and explain again from the provenance."""
    result = xv.explain(model, samples, key, **parameters)
    said = json.loads(result.attrs["parameters"])
    for name, value in parameters.items():
        want = value.to_json() if isinstance(value, Codebook) else value
        assert said[name] == want, "the provenance holds the requested value"
    again = made_again(model, samples, result)
    assert again.identical(result)
    return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wish", NAVE)
def test_clusters(model, samples, name, wish):
    the_same(model(name), samples, "nave", **NAVE[wish])


def test_the_number_of_clusters_is_the_one_that_was_asked_for(model, samples):
    result = the_same(model("birds-cnn"), samples, "nave", **NAVE["many"])
    assert result.sizes["cluster"] == 9
    assert set(np.unique(result["segment"])) == set(range(9))
    assert float(result["temperature"][0]) == pytest.approx(0.3)
    assert result.sizes["row"] == samples.sizes["y"]
    assert adds_up(result)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "more",
    [{}, {"ablated": [0], "fill": "data"}, {"ablated": [1], "where": "input", "fill": "mean"}],
    ids=["plain", "mean of the data", "input"],
)
def test_clusters_of_a_codebook_which_is_in_the_parameters(model, samples, book, name, more):
    result = the_same(model(name), samples, "nave", mode="codebook", codebook=book(name), **more)
    assert json.loads(result.attrs["parameters"])["codebook"]["tensors"]
    other = xv.explain(
        model(name), samples, "nave", mode="codebook", codebook=book(name).named(list("abcdef"))
    )
    assert other.attrs["parameters"] != result.attrs["parameters"], "names are kept"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wish", NAS)
def test_superpixels(model, samples, name, wish):
    the_same(model(name), samples, "nas", **NAS[wish])


def test_superpixels_of_a_codebook(model, samples, book):
    the_same(model("birds-cnn"), samples, "nas", mode="codebook", codebook=book("birds-cnn"), map="centre")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("map_", METHODS)
def test_every_map(model, samples, name, map_):
    one = samples.isel(sample=[0])
    if reason := fits(model(name), map_):
        with pytest.raises(xv.XaiViewsError, match=reason[:30]):
            xv.explain(model(name), one, "saliency", map=map_)
        return
    the_same(model(name), one, "saliency", map=map_, targets=[2])


def test_a_map_explains_the_first_of_the_targets_and_says_only_that_one(model, samples):
    both, one = (
        xv.explain(model("birds-cnn"), samples, "saliency", targets=targets) for targets in ([3, 1], [3])
    )
    assert both.identical(one)
    assert set(one["attribution_class"].values) == {3}


def test_a_map_that_cannot_be_had_is_refused_in_an_ask_too(model, samples):
    ask = registry.plain("saliency").ask(map="sic")
    with pytest.raises(xv.XaiViewsError, match="needs a SIC network"):
        xv.explain(model("birds-cnn"), samples, ask)
    assert registry.plain("saliency").fits(model("birds-cnn")) == ""
    assert "needs a SIC network" in registry.method("saliency", map="sic").fits(model("birds-cnn"))


@pytest.mark.parametrize(
    ("key", "wish"),
    [("nave", NAVE["own weights"]), ("nas", NAS["pieces"]), ("saliency", {"map": "gradient"})],
)
def test_methods_read_their_values_from_the_ask(model, samples, key, wish):
    """A method object with other parameters gives the same result for a request."""
    net, x = model("birds-cnn"), samples["image"].values[:1]
    plain, other = registry.plain(key), registry.method(key, **wish)
    asks = [other.ask(), plain.ask()]
    seen = []
    for method in (plain, other):
        for ask in (method.ready(net, a) for a in asks):
            found = method.observe(net, x, [ask], [None])
            (observed,) = found if isinstance(found, list) else whole(found)
            assert method.covers(net, observed, ask)
            seen.append(method.interpret(net, observed, ask))
    assert seen[0].identical(seen[2])
    assert seen[1].identical(seen[3])
    assert not seen[0].identical(seen[1]), "the requests have to give different results"
