"""The identities that make a SIC explanation exact (see docs/methods/sic.md)."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from xai_views import catalogue, open_model, open_samples
from xai_views.engine.attribution.bcos import contribution, pull_back
from xai_views.methods import explain, get
from xai_views.methods.sic import latent_vectors
from xai_views.models import evidence
from xai_views.models.bcos import add_inverse, explanation_mode
from xai_views.samples import images as pixels

SHIPPED = {"birds-sic": "birds/test", "digits-sic": "digits/test", "nuclei-sic": "nuclei/test"}
CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
TOYS = [f"toy {d}{t}" for d in ("float32", "float64") for t in ("", " trained")]


@pytest.fixture(scope="module", params=[*TOYS, *SHIPPED])
def case(request, make, samples):
    """Model, samples and relative tolerance."""
    if request.param.startswith("toy"):
        kind = request.param.split()
        model = make(dtype=getattr(torch, kind[1]), trained="trained" in kind)
        return model, samples(4), 1e-10 if kind[1] == "float64" else 1e-4
    if request.param not in catalogue.models():
        message = f"{request.param} is not shipped in this checkout"
        pytest.fail(message) if CI else pytest.skip(message)
    return open_model(request.param), open_samples(SHIPPED[request.param]).isel(sample=slice(0, 40, 20)), 1e-4


@pytest.fixture(scope="module")
def result(case):
    """All classes' maps of two classes, with the matches."""
    model, samples, _ = case
    return explain(model, samples, "sic", targets=[0, 1, len(model.classes) - 1])


def agree(got, want, tolerance, scale=None):
    """Equal up to ``tolerance`` times ``scale``: maps cancel, so a sum is compared with the sum of magnitudes."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    scale = np.abs(want).max() if scale is None else np.asarray(scale, np.float64).max()
    assert scale > 0, "the case must not be empty"
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def setting(case):
    model, samples, tolerance = case
    images = pixels(samples, np.arange(samples.sizes["sample"]))
    z = latent_vectors(model, images).astype(np.float64)
    return model, images, z, model.supports.vectors.astype(np.float64), model.module.temperature, tolerance


def test_1_the_logit_is_the_bias_and_the_evidence(case, result):
    model, *_, tolerance = setting(case)
    for c in range(len(model.classes)):
        parts = result["evidence"].values[:, model.supports.label == c].sum(1)
        agree(result["logit"].values[:, c], parts + model.module.bias, tolerance)
    agree(result["bias"], np.full(len(model.classes), -np.log(max(len(model.classes) - 1, 2))), 1e-6)


def test_2_a_score_is_the_norm_times_the_squared_cosine(case, result):
    _, _, z, V, t, tolerance = setting(case)
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    cosine = z @ V.T / norm / np.linalg.norm(V, axis=1)
    scores = result["evidence"].values * t
    agree(scores, norm * cosine**2, tolerance)
    assert (scores >= 0).all()
    assert (scores <= norm * (1 + tolerance)).all()


def test_3_the_class_map_sums_to_the_logit_without_the_bias(case, result):
    model, *_, tolerance = setting(case)
    for i, c in enumerate(result["target_class"].values[0]):
        maps = result["contribution"].values[:, i].astype(np.float64)
        scale = np.abs(maps).sum((1, 2))
        agree(maps.sum((1, 2)), result["logit"].values[:, c] - model.module.bias, tolerance, scale)
        agree(result["residual"].values[:, i], 0, tolerance, scale)


def test_4_a_support_map_sums_to_its_score(case, result):
    *_, t, tolerance = setting(case)
    rows = result["match_support"].values
    maps = result["support_contribution"].values.astype(np.float64)
    scores = np.take_along_axis(result["evidence"].values, rows, 1) * t
    agree(maps.sum((2, 3)), scores, tolerance, np.abs(maps).sum((2, 3)))
    assert (maps < 0).any(), "evidence is never negative, single pixels are"


def test_5_the_class_map_is_the_sum_of_its_support_maps_and_of_the_logits_own(case, result):
    model, images, *_, t, tolerance = setting(case)
    label = model.supports.label[result["match_support"].values[0]]
    x = add_inverse(model.tensor(images))
    for i, c in enumerate(result["target_class"].values[0]):
        parts = result["support_contribution"].values[:, label == c].sum(1) / t
        agree(result["contribution"].values[:, i], parts, tolerance)
        # reference: the logit itself pulled back through the similarity layer
        row = torch.eye(len(model.classes), dtype=x.dtype)[None, c : c + 1].expand(len(x), -1, -1)
        _, (w,) = pull_back(
            model.module,
            lambda v: model.module.logits(model.module.scores(model.module.latent(v))),
            x,
            lambda _, row=row: row,
        )
        agree(result["contribution"].values[:, i], contribution(w, x), tolerance)


def test_6_a_support_sums_to_its_norm_and_matches_itself_fully(case):
    model, *_, V, _, tolerance = setting(case)
    norm = np.linalg.norm(V, axis=1)
    maps = model.supports.self_contribution.astype(np.float64)
    agree(maps.sum((1, 2)), norm, 1e-4, np.abs(maps).sum((1, 2)))  # kept in float32
    agree(evidence.scores(V, V).diagonal(), norm, tolerance)
    own = latent_vectors(model, model.supports.image)
    agree(own, V, 1e-4 if own.dtype == np.float32 else tolerance)


def test_7_without_a_support_only_its_class_loses_and_exactly_its_evidence(case, result):
    model, samples, tolerance = case
    assert (result["latent"].values >= 0).all()
    for gone in (0, len(model.supports) - 1):
        after = explain(model, samples, "sic", targets=[0], excluded=[int(model.supports.index[gone])])
        lost = result["logit"].values - after["logit"].values
        want = np.zeros_like(lost)
        want[:, model.supports.label[gone]] = result["evidence"].values[:, gone]
        agree(lost, want, tolerance, np.abs(result["logit"].values))


def basis(model, images):
    method = get("sic")
    return method.observe(model, images, [method.ask(everything=True)] * len(images), [None] * len(images))


def test_8_latent_maps_sum_to_the_latent_and_the_others_are_zero(case):
    model, images, z, *_, tolerance = setting(case)
    for observed, vector in zip(basis(model, images), z, strict=True):
        agree(
            observed.basis.astype(np.float64).sum((1, 2)),
            vector[vector > 0],
            tolerance,
            np.abs(observed.basis).sum((1, 2)),
        )
    silent = np.flatnonzero((z <= 0).all(0))[:1]
    if len(silent):
        x = add_inverse(model.tensor(images))
        row = torch.eye(z.shape[1], dtype=x.dtype)[silent][None].expand(len(x), -1, -1)
        _, (w,) = pull_back(model.module, model.module.latent, x, lambda _: row)
        assert not w.any()


def test_9_every_map_is_in_the_span_of_the_latent_maps(case, result):
    model, images, z, V, _, tolerance = setting(case)
    for i, observed in enumerate(basis(model, images)):
        for m, s in enumerate(result["match_support"].values[i]):
            unit = V[s] / np.linalg.norm(V[s])
            pull = abs(z[i] @ unit) / np.linalg.norm(z[i]) * unit
            agree(
                result["support_contribution"].values[i, m],
                np.tensordot(pull[z[i] > 0], observed.basis.astype(np.float64), 1),
                tolerance,
            )


def test_10_the_length_of_a_support_does_not_matter_and_that_of_the_image_scales_all(case, result, holding):
    model, samples, tolerance = case
    longer = replace(model.supports, vectors=model.supports.vectors * model.supports.vectors.dtype.type(3.7))
    after = explain(holding(model, longer), samples, "sic", targets=[0])
    agree(after["logit"], result["logit"], tolerance)
    agree(after["contribution"].values[:, 0], result["contribution"].values[:, 0], tolerance)
    z, V = result["latent"].values, model.supports.vectors
    agree(evidence.scores(z * 5, V), 5 * evidence.scores(z, V), tolerance)
    with torch.no_grad(), explanation_mode(model.module):
        agree(model.module.scores(torch.from_numpy(5 * z)), 5 * evidence.scores(z, V), tolerance)


def test_11_the_order_of_supports_changes_the_order_of_bars_only(case, result, holding):
    model, samples, tolerance = case
    order = np.random.default_rng(0).permutation(len(model.supports))
    after = explain(holding(model, model.supports.take(order)), samples, "sic", targets=[0])
    agree(after["logit"], result["logit"], tolerance)
    agree(after["evidence"], result["evidence"].values[:, order], tolerance)
    agree(after["contribution"].values[:, 0], result["contribution"].values[:, 0], tolerance)


def test_12_a_batch_is_a_loop(case, result):
    model, samples, tolerance = case
    ask = get("sic").ask(targets=[0, 1, len(model.classes) - 1])
    for name in ("logit", "evidence", "contribution", "support_contribution"):
        alone = [
            explain(model, samples.isel(sample=[i]), ask)[name].values for i in range(samples.sizes["sample"])
        ]
        agree(result[name], np.concatenate(alone), tolerance)


def test_latent_evidence_sums_to_evidence(case, result):
    *_, tolerance = case
    rows = result["match_support"].values
    agree(
        result["latent_evidence"].values.sum(2),
        np.take_along_axis(result["evidence"].values, rows, 1),
        tolerance,
    )
    assert (result["latent_evidence"].values >= 0).all()


def test_the_module_gives_the_same_logits(case, result):
    model, images, *_, tolerance = setting(case)
    with torch.no_grad():
        agree(model.module(model.tensor(images)), result["logit"], tolerance)
