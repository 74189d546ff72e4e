"""The provenance of an explanation reproduces it bit for bit; a changed codebook is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from xai_views import explain, open_model, open_samples
from xai_views.contract.explanation import ROLES, load, save
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.edits import blend
from xai_views.methods.ecg_clusters.fit import finished, fit, shipped
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.methods.explaining import observed_whole
from xai_views.models.taps import default_taps
from xai_views.samples import inputs
from xai_views.samples.prepare import prepare

from .ecg_nets import local, noisy, records, silence

MUTE = {"kind": "mute", "lead": 3}
EDITS = [MUTE, silence(-1, 2.0, 2.6, "mean"), silence(5, 4.0, 11.0)]


@pytest.fixture(scope="module", params=["ecg-resnet", "ecg-sic"])
def opened(request):
    model = open_model(request.param)
    samples = open_samples("ecg/test").isel(sample=slice(2, 5))
    return model, samples, prepare(samples, model.leads, model.rate, model.size[0])


def again(model, samples, result: xr.Dataset) -> None:
    """Repeat from the provenance; equal to the last bit, attributes included, also after saving and loading."""
    parameters = json.loads(result.attrs["parameters"])
    back = explain(model, samples, result.attrs["method"], **parameters)
    assert back.identical(result)
    assert all(v.attrs["role"] in ROLES for v in back.data_vars.values())


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"k": 3, "seed": 4, "weights": [1, 0.5, 2], "soft": "gmm", "targets": [1, -1], "length": 3000},
        {"weights": "equal", "soft": "fuzzy", "temperature": 1.5, "k": 2},
        {"mode": "codebook", "ensemble": True, "targets": [0, 2, 4]},
        {"mode": "codebook", "ablated": [0, 2], "keep": True, "fill": "data"},
        {"mode": "codebook", "ablated": [1], "fill": "zero", "edits": EDITS},
        {"edits": [MUTE]},
        {"edits": [silence(0, 1, 2)]},
        {"edits": [silence(-1, 1, 2, "zero"), silence(-1, 1, 2, "mean")]},
        {"attribution": "gradient x input", "edits": EDITS},
        {"attribution": "integrated gradients", "attribution_steps": 5, "targets": [2]},
        {"attribution": "occlusion", "window": 4.0, "mode": "codebook"},
    ],
    ids=lambda p: "-".join(p) or "nothing",
)
def test_the_same_again(opened, parameters):
    model, samples, _ = opened
    again(model, samples, explain(model, samples, "ecg_clusters", **parameters))


def test_a_blended_beat_a_fitted_codebook_and_an_ensemble(opened, tmp_path):
    model, samples, ready = opened
    beat = blend(inputs(ready, [1])[0], -1, 1.0, 1.5, 2.25, model.rate, "ecg-test-00003")
    fitted = finished(fit(model, ready, k=4, members=2))
    named = replace(fitted, book=fitted.book.named(["P", "", "T"]))
    asked = {"mode": "codebook", "codebook": named, "ensemble": True, "edits": [MUTE, beat], "ablated": [1]}
    result = explain(model, samples, "ecg_clusters", **asked)
    assert list(result["cluster_name"].values) == ["P", "", "T", ""]
    again(model, samples, result)
    again(model, samples, load(save(result, tmp_path / "e.zarr")))
    parameters = json.loads(result.attrs["parameters"])
    assert parameters["edits"][1]["record"] == "ecg-test-00003"
    others = samples.isel(sample=[0])  # the record that the beat is from is not needed
    alone = explain(model, others, "ecg_clusters", **parameters)
    np.testing.assert_array_equal(alone["logit"].values[0], result["logit"].values[0])


def test_what_only_one_kind_of_head_has(opened):
    model, samples, _ = opened
    own = {"shapley": True, "k": 6} if model.supports is None else {"attribution": "contribution map"}
    again(
        model,
        samples,
        explain(model, samples, "ecg_clusters", ablated=[0], taps=default_taps(model)[1:], **own),
    )


@pytest.mark.parametrize("head", ["gap", "square"])
def test_of_many_records_each_is_what_it_is_alone(head):
    model, x = local(head), noisy(5)
    asked = {"attribution": "occlusion", "ablated": [1], "k": 4}
    together = explain(model, records(x), "ecg_clusters", **asked)
    for i in range(5):
        alone = explain(model, records(x).isel(sample=[i]), "ecg_clusters", batch=1, **asked)
        for name in together.data_vars:
            if "sample" in together[name].dims:
                np.testing.assert_array_equal(alone[name].values[0], together[name].values[i], err_msg=name)


def test_an_observation_that_grew_says_what_a_new_one_says(opened):
    model, _, ready = opened
    method, x, seen = EcgClustersMethod(), inputs(ready, [0]), None
    asks = [
        method.ask(targets=[0]),
        method.ask(edits=[MUTE], targets=[1]),
        method.ask(targets=[2, 0, 4], ablated=[1], taps=default_taps(model)[:1], k=3),
        method.ask(edits=[MUTE], attribution="gradient x input", targets=[3]),
        method.ask(mode="codebook", ensemble=True, targets=[4, 1]),
    ]
    for ask in asks:
        (seen,) = observed_whole(method.observe(model, x, [ask], [seen]))
    for ask in asks:
        (new,) = observed_whole(method.observe(model, x, [ask], [None]))
        assert method.interpret(model, seen, ask).identical(method.interpret(model, new, ask))


# --- the codebook that is shipped with the model --------------------------------------------------------------------


def test_the_models_own_codebook_is_named_by_its_checksum_and_no_other_is_taken(opened, tmp_path):
    model, samples, _ = opened
    result = explain(model, samples, "ecg_clusters", mode="codebook", ensemble=True)
    parameters, own = json.loads(result.attrs["parameters"]), shipped(model)
    assert (parameters["codebook"], parameters["codebook_key"]) == (None, own.key)
    given = explain(model, samples, "ecg_clusters", mode="codebook", ensemble=True, codebook=own)
    assert json.loads(given.attrs["parameters"])["codebook_key"] == ""
    for name in result.data_vars:
        np.testing.assert_array_equal(given[name], result[name], err_msg=name)
    moved = replace(model, path=tmp_path)
    with pytest.raises(MethodError, match="no codebook is shipped with"):
        explain(moved, samples, "ecg_clusters", **parameters)
    own.save(tmp_path / "clusters")
    again(moved, samples, result)
    changed = [m.clone() for m in own.book.centroids]
    changed[0][0, 0] += 1e-3
    replace(own, book=replace(own.book, centroids=changed)).save(tmp_path / "clusters")
    with pytest.raises(MethodError, match=r"is not the requested one .* or leave codebook_key out") as e:
        explain(moved, samples, "ecg_clusters", **parameters)
    assert str(e.value).count(".") == 1
    explain(moved, samples, "ecg_clusters", **parameters | {"codebook_key": ""})


def test_equal_wishes_are_equal_once_they_are_ready(opened):
    model, _, _ = opened
    method = EcgClustersMethod()
    key = shipped(model).key
    one = method.ready(model, method.ask(mode="codebook"))
    two = method.ready(model, method.ask(mode="codebook", codebook_key=key, taps=list(one.taps)))
    assert one == two
    assert one.key == two.key
    assert method.ready(model, one) == one
    assert method.ready(model, method.ask()) == method.ready(model, method.ask(codebook_key=key))
    assert method.observation_key(one) == method.observation_key(method.ask(k=3)) == ()


def test_the_parameters_are_declared_and_nothing_else_is_read():
    """All values come from the request, so one method object serves all requests, whatever its own parameters."""
    model, x = local(), noisy(1)
    method, other = (
        EcgClustersMethod(),
        EcgClustersMethod(k=2, seed=7, targets=[3], edits=[MUTE], temperature=9.0),
    )
    ask = method.ask(k=4)
    one, two = (m.interpret(model, m.observe(model, x, [ask], [None])[0], ask) for m in (method, other))
    assert one.identical(two)
