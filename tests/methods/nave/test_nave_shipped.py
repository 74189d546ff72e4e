"""Method ``nave`` on shipped networks and samples: complete schema, exact sums, no pass for sliders, reproducible results."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xai_views import open_model
from xai_views.contract.explanation import VARIABLES, load, save, validate
from xai_views.methods import available, explain, get
from xai_views.methods.nave.method import NaveMethod
from xai_views.models.heads import find_head
from xai_views.models.taps import capture, capture_with_grad, default_taps, replace_activation
from xai_views.samples import open_samples

from ..nave_nets import counted

#: Name, taps, grid of the shallowest one, and kind of the head.
NETWORKS = {
    "birds-cnn": (("layers.6", "layers.10", "layers.14"), (32, 32), "gap"),
    "birds-vit-registers": (("blocks.1", "blocks.3", "blocks.5"), (8, 8), "none"),
    "birds-sic": (("encoder.layers.3", "encoder.layers.6", "encoder.layers.11"), (32, 32), "none"),
    "efficientnet-lite0": (("net._blocks.4", "net._blocks.10", "net._blocks.15"), (28, 28), "gap"),
}
ALWAYS = {
    "logit": "float32",
    "probability": "float32",
    "bias": "float32",
    "cluster_contribution": "float32",
    "residual": "float32",
    "segment": "int16",
    "assignment": "int16",
    "entropy": "float32",
    "margin": "float32",
    "second": "int16",
    "layer_share": "float32",
    "proportion": "float32",
    "inertia": "float64",
    "inertia_exact": "float64",
    "temperature": "float64",
}
LINEAR = {"cluster_class": "int64", "cluster_class_probability": "float32"}
ON_DEMAND = {
    "similarity": {"at": (20, 31)},
    "token_norm": {"norms": True},
    "depth_segment": {"sweep": True},
    "effective_number": {"sweep": True},
    "explained": {"sweep": True},
    "peer_segment": {"peer": True},
    "peer_figures": {"peer": True},
    "ablated_logit": {"ablated": (0,)},
    "ablated_probability": {"ablated": (0,)},
}
SAMPLES = 2


@pytest.fixture(scope="module", params=list(NETWORKS))
def case(request):
    """Model, two of its samples, and their explanation."""
    model = open_model(request.param)
    samples = open_samples(model.card["samples"]).isel(sample=slice(SAMPLES))
    find_head(model)
    default_taps(model)
    return model, samples, explain(model, samples, "nave")


def images(samples):
    return samples["image"].values


def test_the_schema_is_complete(case):
    model, samples, result = case
    taps, grid, kind = NETWORKS[model.name]
    assert find_head(model).kind == kind
    assert {n: str(v.dtype) for n, v in result.data_vars.items()} == ALWAYS | (
        LINEAR if kind != "none" else {}
    )
    assert all(v.dims in VARIABLES[n].dims for n, v in result.data_vars.items())
    size = samples["image"].shape[1:3]
    want = {"sample": SAMPLES, "class": len(model.classes), "target": 1, "cluster": 5, "layer": 3}
    want |= {"y": size[0], "x": size[1], "row": grid[0], "column": grid[1]}
    assert dict(result.sizes) == want | ({"rank": 2} if kind != "none" else {})
    assert list(result["layer"].values) == list(taps)
    assert list(result["class"].values) == model.classes
    assert list(result["sample"].values) == list(samples["name"].values)
    np.testing.assert_array_equal(result["target_class"].values[:, 0], result["logit"].argmax("class"))
    assert result.attrs["method"] == "nave"
    assert result.attrs["model_sha256"] == model.sha256
    validate(result)


@pytest.mark.parametrize("name", list(ON_DEMAND))
def test_what_is_asked_for_is_there_and_nothing_else_is(case, name):
    model, samples, plain = case
    one = samples.isel(sample=[0])
    more = ON_DEMAND[name]
    result = explain(model, one, "nave", **more)
    extra = {n for n, wish in ON_DEMAND.items() if wish == more}
    assert set(result.data_vars) == set(plain.data_vars) | extra
    np.testing.assert_array_equal(result["segment"].values[0], plain["segment"].values[0])


def test_an_explanation_is_saved_and_opened(case, tmp_path):
    result = case[2]
    assert load(save(result, tmp_path / "e.zarr")).identical(result)


def test_logits_are_the_networks_and_probabilities_follow(case):
    model, samples, result = case
    with torch.no_grad():
        logit = model.module(model.tensor(images(samples))).numpy()
    np.testing.assert_allclose(result["logit"], logit, atol=1e-5)
    np.testing.assert_allclose(result["probability"], model.probability(logit), atol=1e-6)
    if model.supports is None:
        np.testing.assert_allclose(result["probability"].sum("class"), 1, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 5, 12, 0])
def test_contributions_and_bias_are_the_logit_in_single_precision(case, k):
    model, samples, _ = case
    classes = (0, len(model.classes) // 2, -1)
    result = explain(model, samples, "nave", k=k, targets=classes)
    at = result["target_class"].values
    logit = np.take_along_axis(result["logit"].values, at, 1)
    total = result["cluster_contribution"].sum("cluster").values + result["bias"].values[at]
    np.testing.assert_allclose(total + result["residual"].values, logit, rtol=0, atol=1e-4)
    if find_head(model).exact:
        np.testing.assert_allclose(total, logit, rtol=0, atol=2e-5)
        np.testing.assert_allclose(result["residual"], 0, atol=2e-5)
    elif model.supports is not None:
        scale = np.abs(result["cluster_contribution"]).sum("cluster").values
        assert (np.abs(result["residual"].values) < 1e-5 * np.maximum(scale, 1)).all(), (
            "B-cos networks add up too"
        )
    else:
        assert np.abs(result["residual"].values).max() > 1, (
            "a transformer's residual is large, and it is reported"
        )


def test_contributions_are_gradient_times_activation_summed_over_each_cluster(case):
    """Exact for a linear head; other heads have no further guarantee. Areas are counted at pixel resolution."""
    model, samples, result = case
    tap = find_head(model).tap
    for i, c in enumerate(result["target_class"].values[:, 0]):
        x = model.tensor(images(samples)[i : i + 1])
        _, activation, gradient = capture_with_grad(model, x, tap, [int(c)])
        parts = (activation * gradient[:, 0]).sum(1)[0].double().numpy()
        labels = result["assignment"].values[i]
        for k in range(result.sizes["cluster"]):
            want = (parts * covered(labels == k, parts.shape)).sum()
            assert float(result["cluster_contribution"][i, 0, k]) == pytest.approx(want, abs=1e-4)


def covered(mask, grid) -> np.ndarray:
    """Share of each cell of a grid covered by a mask on another grid, by repeating both to a common grid."""
    fine = [int(np.lcm(a, b)) for a, b in zip(mask.shape, grid, strict=True)]
    whole = np.kron(mask, np.ones([f // m for f, m in zip(fine, mask.shape, strict=True)]))
    h, w = grid
    return whole.reshape(h, fine[0] // h, w, fine[1] // w).mean((1, 3))


def test_shares_entropies_and_margins_are_in_their_ranges(case):
    result = case[2]
    np.testing.assert_allclose(result["proportion"].sum("cluster"), 1, rtol=1e-5)
    np.testing.assert_allclose(result["layer_share"].sum("layer"), 1, rtol=1e-4)
    for name in ("entropy", "margin", "layer_share", "proportion", "probability"):
        assert float(result[name].min()) >= -1e-6
        assert float(result[name].max()) <= 1 + 1e-6
    assert (result["second"].values != result["assignment"].values).all(), (
        "also where a cut is not the nearest"
    )
    counts = np.stack([np.bincount(a.ravel(), minlength=5) for a in result["assignment"].values])
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), result["proportion"], rtol=1e-5)
    assert (result["inertia_exact"] <= result["inertia"] + 1e-6).all()
    assert (result["temperature"] > 0).all()


def test_pixels_show_the_cell_that_they_lie_in(case):
    result = case[2]
    segment, cells = result["segment"].values, result["assignment"].values
    y, x = ((np.arange(s) + 0.5) * c / s for s, c in zip(segment.shape[1:], cells.shape[1:], strict=True))
    np.testing.assert_array_equal(segment, cells[:, y.astype(int)][:, :, x.astype(int)])


def test_an_ablation_is_what_the_network_says_with_the_edited_map(case):
    """Exact heads are evaluated without the network; here the network itself is run on the same map."""
    model, samples, plain = case
    one = samples.isel(sample=[0])
    result = explain(model, one, "nave", ablated=(1,), fill="zero")
    head, x = find_head(model), model.tensor(images(one))
    _, kept = capture(model, x, [head.tap])
    labels, last = plain["assignment"].values[0], kept[head.tap]
    keeps = covered(labels != 1, last.shape[2:])
    said = replace_activation(model, x, head.tap, last * torch.from_numpy(keeps).to(last))
    np.testing.assert_allclose(result["ablated_logit"].values, said, atol=1e-4)


def test_sliders_run_no_pass(case):
    model, samples, _ = case
    method = get("nave")
    ask = method.ready(model, NaveMethod().ask())
    x = images(samples)[:1]
    with counted(model) as spent:
        (observed,) = method.observe(model, x, [ask], [None])
    backward = 0 if find_head(model).exact else 1
    assert spent["backward"] == backward
    assert spent["forward"] == 1 + backward
    moves = [ask.replace(k=k) for k in (1, 2, 9, 32, 0)]
    moves += [ask.replace(weights=w) for w in ("equal", "deep-first", (0.0, 1.0, 0.5))]
    moves += [
        ask.replace(taps=ask.taps[-1:]),
        ask.replace(taps=ask.taps[:2], interp="bilinear", grid="double"),
    ]
    moves += [
        ask.replace(mode="exact", seed=2),
        ask.replace(soft="fuzzy"),
        ask.replace(norms=True, at=(1, 1)),
    ]
    if find_head(model).exact:
        moves += [
            ask.replace(targets=(0, 7)),
            ask.replace(ablated=(0,)),
            ask.replace(shapley=True),
        ]
    with counted(model) as spent:
        for wanted in moves:
            assert method.covers(model, observed, wanted)
            method.interpret(model, observed, wanted)
    assert not any(spent.values())


def test_the_same_is_said_again(case):
    model, samples, result = case
    again = explain(open_model(model.name), samples, "nave")
    assert again.identical(result), "equal seeds, one thread, a CPU"
    alone = explain(model, samples.isel(sample=[1]), "nave")
    np.testing.assert_array_equal(alone["segment"].values[0], result["segment"].values[1])


def test_the_catalogue_says_that_it_fits(case):
    assert available(case[0])["nave"]["fits"] == ""
