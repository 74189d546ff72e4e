"""Method ``nave`` on a known network: regions, contributions, names and ablations in closed form; number of passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from xai_views.contract.ask import Ask
from xai_views.contract.explanation import PROVENANCE, validate
from xai_views.engine.clusters.codebook import Codebook
from xai_views.engine.clusters.measures import ari
from xai_views.engine.kept import Kept
from xai_views.errors import MethodError
from xai_views.methods import explain, get
from xai_views.methods.nave.method import NaveMethod
from xai_views.models.heads import find_head
from xai_views.models.taps import capture

from ..nave_nets import CLASSES, COLOURS, counted, picture, pictures, planted

DTYPES = [torch.float32, torch.float64]
ALL = tuple(range(CLASSES))
ASK = NaveMethod().ask(k=4, interp="nearest", targets=ALL)


def exact(dtype) -> float:
    return 2e-6 if dtype == torch.float32 else 1e-12


def parts_of(result, truth) -> np.ndarray:
    """The true part of every cluster; checks that they agree one to one."""
    ids = result["segment"].values[0]
    assert ari(ids, truth) == 1
    return np.array([truth[ids == c][0] for c in range(ids.max() + 1)])


def last_of(model, part: int) -> torch.Tensor:
    """The last activation ``[9]`` of a colour, layer by layer."""
    net, x = model.module, torch.from_numpy(COLOURS[part] / 255).to(next(model.module.parameters()))
    for layer in (net.one, net.two, net.three):
        x = torch.relu(layer.weight[:, :, 0, 0] @ x + layer.bias)
    return x


# --- clusters and contributions -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["nested", "exact"])
@pytest.mark.parametrize("grid", ["shallowest", "input", "double"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_are_found_at_every_pixel(dtype, grid, mode):
    image, truth = picture()
    result = explain(planted(dtype=dtype), pictures(image), ASK.replace(grid=grid, mode=mode))
    parts = parts_of(result, truth)
    share = np.bincount(truth.ravel()) / truth.size
    np.testing.assert_allclose(result["proportion"].values[0], share[parts], rtol=1e-6)
    if mode == "exact":
        assert (np.diff(result["proportion"].values[0]) <= 0).all(), "largest first; a cut keeps its ids"
    assert float(result["inertia"][0]) < 1e-4
    np.testing.assert_array_equal(
        result["assignment"].values[0].shape, (48, 48) if grid == "double" else (24, 24)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_contributions_are_share_times_weight_times_activation(dtype):
    image, truth = picture()
    model = planted(dtype=dtype)
    result = explain(model, pictures(image), ASK)
    for c, part in enumerate(parts_of(result, truth)):
        want = (truth == part).mean() * (model.module.fc.weight @ last_of(model, part)).detach().numpy()
        np.testing.assert_allclose(result["cluster_contribution"].values[0, :, c], want, atol=exact(dtype))
    np.testing.assert_array_equal(result["bias"], model.module.fc.bias.detach().numpy())
    assert result["cluster_contribution"].dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head", ["gap", "flatten"])
@pytest.mark.parametrize("k", [1, 3, 8, 0])
def test_contributions_and_bias_are_the_logit_of_any_image_at_any_k(head, k, dtype):
    image = np.random.default_rng(1).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    model = planted(head, dtype)
    with torch.no_grad():
        logit = model.module(model.tensor(image[None]))[0].numpy()
    for grid in ("shallowest", "input"):
        result = explain(model, pictures(image), "nave", k=k, grid=grid, targets=ALL)
        np.testing.assert_allclose(result["logit"].values[0], logit, atol=exact(dtype))
        total = result["cluster_contribution"].values[0].sum(1) + result["bias"].values
        np.testing.assert_allclose(total, logit, atol=exact(dtype))
        assert np.abs(result["residual"]).max() < exact(dtype)
        assert find_head(model).kind == head
        if k:
            assert result.sizes["cluster"] == k


def test_a_head_that_is_not_linear_says_its_gap():
    image = np.random.default_rng(1).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    model = planted("square", torch.float64)
    assert find_head(model).kind == "none"
    result = explain(model, pictures(image), "nave", k=3, targets=ALL)
    x = model.tensor(image[None])
    _, kept = capture(model, x, [find_head(model).tap])
    mean = kept[find_head(model).tap].mean((2, 3))[0]
    slope = 2 * model.module.fc.weight * mean  # of W m^2; the gradient at every position is that / cells
    np.testing.assert_allclose(
        result["cluster_contribution"].values[0].sum(1), (slope @ mean).detach(), atol=1e-9
    )
    gap = result["logit"].values[0] - result["cluster_contribution"].values[0].sum(1)
    np.testing.assert_allclose(result["residual"].values[0], gap, atol=1e-9)
    assert np.abs(gap).max() > 0.01, "the case has to have a gap"
    assert "cluster_class" not in result, "no linear head reads a single cluster"


def test_names_are_what_the_head_reads_from_a_cluster_alone():
    image, truth = picture()
    model = planted()
    result = explain(model, pictures(image), ASK)
    for c, part in enumerate(parts_of(result, truth)):
        probability = torch.softmax(model.module.fc(last_of(model, part)).detach(), 0)
        best, at = probability.topk(2)
        np.testing.assert_array_equal(result["cluster_class"].values[0, c], at)
        np.testing.assert_allclose(result["cluster_class_probability"].values[0, c], best, atol=1e-5)


# --- ablation and Shapley values ----------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("fill", "mode"),
    [
        ("zero", "nested"),
        ("mean", "nested"),
        ("zero", "codebook"),
        ("mean", "codebook"),
        ("data", "codebook"),
    ],
)
def test_ablations_of_a_linear_head_in_closed_form(fill, keep, mode):
    image, truth = picture()
    model = planted(dtype=torch.float64)
    last = {p: last_of(model, p) for p in range(4)}
    ask = ASK.replace(mode=mode, codebook=book(model, image) if mode == "codebook" else None)
    parts = parts_of(explain(model, pictures(image), ask), truth)
    result = explain(model, pictures(image), ask.replace(ablated=(1, 2), keep=keep, fill=fill))
    gone = [parts[c] for c in ((0, 3) if keep else (1, 2))]
    share = {p: (truth == p).mean() for p in range(4)}
    rest = {p: share[p] for p in range(4) if p not in gone}
    mean = {
        "zero": torch.zeros(9, dtype=torch.float64),
        "mean": sum(s * last[p] for p, s in rest.items()) / sum(rest.values()),
        "data": torch.full((9,), 0.25, dtype=torch.float64),
    }[fill]
    filled = sum(share[p] * (mean if p in gone else last[p]) for p in range(4))
    want = model.module.fc(filled).detach().numpy()
    np.testing.assert_allclose(result["ablated_logit"].values[0], want, atol=1e-9)
    np.testing.assert_allclose(result["ablated_probability"].values[0], model.probability(want), atol=1e-9)


def book(model, *images) -> Codebook:
    taps = get("nave").ready(model, NaveMethod().ask()).taps
    x = model.tensor(np.stack(images))
    _, kept = capture(model, x, taps)
    mean = torch.full((9,), 0.25)
    return Codebook.fit([[kept[p] for p in taps]], 4, taps=taps, interp="nearest", last_mean=mean)


def test_the_mean_of_a_data_set_needs_a_codebook():
    image, _ = picture()
    with pytest.raises(MethodError, match="stored in a codebook; fit a codebook, or choose 'mean'"):
        explain(planted(), pictures(image), ASK.replace(ablated=(0,), fill="data"))
    with pytest.raises(MethodError, match="mode 'codebook' needs a codebook"):
        explain(planted(), pictures(image), ASK.replace(mode="codebook"))


def test_an_ablation_in_the_image_is_what_the_network_says_of_the_edited_image():
    image, truth = picture()
    model = planted()
    parts = parts_of(explain(model, pictures(image), ASK), truth)
    ask = ASK.replace(ablated=(1,), fill="zero", where="input")
    result = explain(model, pictures(image), ask)
    edited = image.copy()
    edited[truth == parts[1]] = 0
    with torch.no_grad():
        want = model.module(model.tensor(edited[None]))[0]
    np.testing.assert_allclose(result["ablated_logit"].values[0], want, atol=1e-5)


def test_shapley_values_add_up_to_the_logit_without_what_is_said_of_nothing():
    image, _ = picture()
    model = planted(dtype=torch.float64)
    result = explain(model, pictures(image), ASK.replace(shapley=True))
    everything = ASK.replace(ablated=(0, 1, 2, 3))
    nothing = explain(model, pictures(image), everything)["ablated_logit"].values[0]
    np.testing.assert_allclose(
        result["cluster_shapley"].values[0].sum(1), result["logit"].values[0] - nothing, atol=1e-9
    )


# --- uncertainty --------------------------------------------------------------------------------------------


def clustered(ask: Ask, seed: int = 0):
    """The explanation of a noise image, and its clusters."""
    model, method = planted(), get("nave")
    image = np.random.default_rng(seed).integers(0, 255, (1, 24, 24, 3), dtype=np.uint8)
    ask = method.ready(model, ask)
    (observed,) = method.observe(model, image, [ask], [None])
    return method.interpret(model, observed, ask), method.clustering(observed, ask)


def test_the_margin_is_that_of_the_own_cluster_also_where_another_is_nearer():
    result, found = clustered(NaveMethod().ask(k=5))
    d, labels = found.distances[0].sqrt().numpy(), found.labels[0].numpy()
    own = np.take_along_axis(d, labels[None], 0)[0]
    others = np.where(np.arange(5)[:, None, None] == labels, np.inf, d)
    assert (own > others.min(0)).any(), "some positions are nearer to another cluster of the cut"
    np.testing.assert_allclose(result["margin"].values[0], np.clip(1 - own / others.min(0), 0, 1), atol=1e-6)
    np.testing.assert_array_equal(result["second"].values[0], others.argmin(0))


@pytest.mark.parametrize("mode", ["nested", "exact", "codebook"])
def test_a_mixture_is_of_principal_components(mode):
    """Against the explicit features; in all dimensions nearly every assignment would be certain."""
    more = {"codebook": book(planted(), picture()[0])} if mode == "codebook" else {}
    result, found = clustered(NaveMethod().ask(k=4, mode=mode, soft="gmm", **more))
    rows = found.features.explicit().double()
    axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:16]
    centres = torch.cat(found.features.drop(found.centroids), 1).double()
    d2 = torch.cdist(rows @ axes.T, centres @ axes.T).square()
    variance = float(d2.amin(1).mean()) / 16
    prior = torch.bincount(found.labels.flatten(), minlength=found.k) / len(rows)
    share = torch.softmax(prior.clamp_min(1e-30).log() - d2 / (2 * variance), 1)
    entropy = -(torch.special.xlogy(share, share)).sum(1) / np.log(found.k)
    assert float(result["temperature"][0]) == pytest.approx(variance, rel=1e-4)
    np.testing.assert_allclose(result["entropy"].values.ravel(), entropy, atol=2e-4)


# --- cost ---------------------------------------------------------------------------------------------------


def free_asks():
    """Requests that sliders make."""
    yield from (ASK.replace(k=k) for k in (1, 2, 3, 5, 16, 32, 0))
    yield from (ASK.replace(weights=w) for w in ("equal", "deep-first", (0.0, 1.0, 3.0), (1.0, 0.0, 0.0)))
    yield from (ASK.replace(grid=g) for g in ("input", "double"))
    yield from (ASK.replace(interp=i) for i in ("bicubic", "bilinear"))
    yield from (ASK.replace(soft=s, temperature=t) for s in ("gmm", "fuzzy", "tempered") for t in (0.0, 0.3))
    yield from (ASK.replace(assigner=a) for a in ("pca", "agglomerative", "clustering module"))
    yield from (ASK.replace(targets=t) for t in ((0,), (5, 1), (-1,)))
    yield from (ASK.replace(**more) for more in ({"seed": 3}, {"mode": "exact"}, {"at": (3, 9)}))
    yield from (ASK.replace(**{flag: True}) for flag in ("shapley", "norms", "sweep", "peer"))
    yield ASK.replace(ablated=(0,))


def test_whatever_a_slider_changes_runs_no_pass():
    model, method = planted(), get("nave")
    image, _ = picture()
    ready = method.ready(model, ASK)
    find_head(model)
    with counted(model) as spent:
        (observed,) = method.observe(model, image[None], [ready], [None])
    assert spent == {"forward": 1, "forward_calls": 1, "backward": 0, "backward_calls": 0}
    subsets = [ASK.replace(taps=t) for t in (ready.taps[:1], ready.taps[1:], ready.taps[::2])]
    first = method.interpret(model, observed, ready)
    with counted(model) as spent:
        for ask in [*free_asks(), *subsets]:
            wanted = method.ready(model, ask)
            assert method.covers(model, observed, wanted), ask
            validate_part(method.interpret(model, observed, wanted))
    assert not any(spent.values())
    assert method.interpret(model, observed, ready).identical(first), "returning gives the earlier result"


def validate_part(ds):
    """Of one image, without the provenance that comes with the whole."""
    validate(ds.assign_attrs(dict.fromkeys(PROVENANCE, "")))


@pytest.mark.slow
def test_what_is_kept_for_a_slider_is_what_it_would_be_afresh():
    """Every request before and after all others, compared with a fresh observation."""
    model, method = planted(), get("nave")
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    base = method.ready(model, ASK.replace(k=5))
    (observed,) = method.observe(model, image[None], [base], [None])
    wishes = [method.ready(model, a.replace(k=5 if a.k == 4 else a.k)) for a in free_asks() if not a.peer]
    wishes += [base.replace(taps=base.taps[:2]), base.replace(taps=base.taps[1:])]

    def told(o, wish):
        # the inertia of k-means at the same K is the best known one, which may come from another request
        return method.interpret(model, o, wish).drop_vars("inertia_exact")

    fresh = [told(replace(observed, kept=Kept(12)), wish) for wish in wishes]
    for wish, want in [*zip(wishes, fresh, strict=True), *zip(wishes[::-1], fresh[::-1], strict=True)]:
        assert told(observed, wish).identical(want), wish
    assert len({f["segment"].values.tobytes() for f in fresh}) > 12, (
        "the requests have to give different results"
    )


@pytest.mark.parametrize(
    ("more", "cost"),
    [
        ({"taps": ("one", "relu3")}, (1, 0)),
        ({"ablated": (1,), "where": "input"}, (1, 0)),
        ({"ablated": (1,)}, (0, 0)),
    ],
)
def test_what_needs_a_pass_costs_one_and_once(more, cost):
    model, method = planted(), get("nave")
    image, _ = picture()
    known = method.observe(model, image[None], [method.ready(model, ASK)], [None])
    ask = method.ready(model, ASK).replace(**more)
    for expected in (cost, (0, 0)):
        with counted(model) as spent:
            if not method.covers(model, known[0], ask):
                known = method.observe(model, image[None], [ask], known)
            method.interpret(model, known[0], ask)
        assert (spent["forward"], spent["backward"]) == expected


def test_a_new_class_of_a_head_that_is_not_linear_costs_one_backward_pass():
    model, method = planted("square"), get("nave")
    image, _ = picture()
    known = None
    for targets, backward in (((2,), 1), ((2, 3), 1), ((3, 2), 0), ((0, 1, 4, 5), 4)):
        ask = method.ready(model, ASK.replace(targets=targets))
        with counted(model) as spent:
            if known is None or not method.covers(model, known[0], ask):
                known = method.observe(model, image[None], [ask], known or [None])
            method.interpret(model, known[0], ask)
        assert spent["backward"] == backward


def test_images_in_a_batch_are_explained_as_alone():
    images = [picture(seed)[0] for seed in range(3)]
    model = planted()
    together = explain(model, pictures(*images), ASK)
    for i, image in enumerate(images):
        alone = explain(model, pictures(image), ASK)
        np.testing.assert_array_equal(together["segment"].values[i], alone["segment"].values[0])
        np.testing.assert_allclose(
            together["cluster_contribution"].values[i], alone["cluster_contribution"].values[0], atol=1e-6
        )
