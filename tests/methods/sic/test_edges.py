"""SIC at the edges: no evidence, few supports, equal supports, several labels, edited support sets."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xai_views.contract.explanation import validate
from xai_views.errors import MethodError, XaiViewsError
from xai_views.methods import available, explain, get
from xai_views.methods.sic import latent_vectors, region_evidence, typical_of
from xai_views.models import Latents, evidence, open_model, select


def test_an_image_without_evidence_has_the_bias_for_a_logit_and_empty_maps(make, samples):
    model = make()
    model.module.projection.weight.data.abs_().neg_()  # the ReLU lets nothing through
    model.module.encoder.layers[-3].weight.data.abs_()
    with torch.no_grad():
        inner = model.module.encoder
        model.module.encoder = torch.nn.Sequential(inner, torch.nn.ReLU())
        model.module.encoder.width = inner.width
    for asked in (
        {},
        {"rendering": True},
        {"everything": True},
        {"matches": False},
        {"targets": [0, 1]},
    ):
        result = explain(model, samples(1), "sic", **asked)
        assert not result["latent"].any()
        np.testing.assert_allclose(result["logit"], model.module.bias, rtol=1e-6)
        assert result["contribution"].shape[2:] == (10, 10)
        assert not result["contribution"].any()
        assert not result["evidence"].any()
        assert float(result["best_cosine"][0]) == 0
        if "rendering" in asked:
            assert not result["rendering"].values[..., 3].any()


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_image_adds_up_too(make, samples, value):
    shown = samples(images=np.full((1, 10, 10, 3), value, np.uint8))
    result = explain(make(), shown, "sic", rendering=True)
    assert abs(float(result["residual"][0, 0])) < 1e-4 * float(np.abs(result["contribution"]).sum())


def test_one_support_per_class(make, samples):
    model = make(per_class=1)
    result = explain(model, samples(3))
    assert result.sizes["match"] == 1
    np.testing.assert_allclose(
        result["contribution"].values[:, 0],
        result["support_contribution"].values[:, 0] / model.module.temperature,
        rtol=1e-6,
    )


def ragged(make):
    """A model, and positions to exclude that leave three supports of class 0, one of class 1, none of class 2."""
    model = make()
    return model, model.supports.index[[3, 5, 6, 7, 8]].tolist()


def test_classes_with_fewer_supports_are_padded_and_without_any_have_the_bias(make, samples):
    model, gone = ragged(make)
    for asked in ({"targets": [0, 1, 2], "rendering": True}, {"targets": [2]}):
        result = explain(model, samples(2), "sic", excluded=gone, **asked)
        at = {int(c): i for i, c in enumerate(result["target_class"].values[0])}
        np.testing.assert_allclose(result["logit"].values[:, 2], model.module.bias, rtol=1e-6)
        assert not result["contribution"].values[:, at[2]].any()
        assert not result["residual"].values[:, at[2]].any()
        rows = result["match_support"].values[0].reshape(len(at), 3)
        assert list(rows[at[2]]) == [-1, -1, -1]
        blank = result["match_support"].values == -1
        assert not result["support_contribution"].values[blank].any()
        assert not result["latent_evidence"].values[blank].any()
    result = explain(model, samples(1), "sic", targets=[0, 1, 2], excluded=gone)
    assert result["match_support"].values.reshape(3, 3).tolist() == [[0, 1, 2], [3, -1, -1], [-1, -1, -1]]


def test_without_any_support_there_is_only_the_bias(make, samples):
    model = make()
    result = explain(model, samples(1), "sic", excluded=model.supports.index.tolist())
    np.testing.assert_allclose(result["logit"], model.module.bias, rtol=1e-6)
    assert result.sizes["support"] == 0


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_supports_with_equal_vectors_count_each(make, samples, holding, order):
    model = make()
    twice = model.supports.take(np.array([0, 0, 1, 3, 6]))
    assert len(set(twice.keys)) == 4
    model = holding(model, twice)
    method = get("sic")
    x = samples(1)["image"].values
    known = [None]
    for matches in (*order, True):  # what was observed for the class must not be taken for a single support
        ask = method.ask(targets=[0], matches=matches)
        known = method.observe(model, x, [ask], known)
    result = method.interpret(model, known[0], ask)
    maps = result["support_contribution"].values[0]
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_allclose(
        result["contribution"].values[0, 0] * model.module.temperature, maps.sum(0), atol=1e-6
    )
    assert abs(float(result["residual"][0, 0])) < 1e-5 * np.abs(maps).sum()
    np.testing.assert_allclose(maps[0].sum(), result["evidence"][0, 0] * model.module.temperature, rtol=1e-3)


def test_several_labels_per_image(make, samples, holding):
    model = make()
    both = np.stack([model.latents.label == c for c in range(3)], 1).astype(int)
    both[:6, 0] = 1
    stored = Latents(model.latents.z, both, model.latents.index)
    rows, label = select(stored, 3, 3)
    assert all(both[r, c] for r, c in zip(rows, label, strict=True))
    shared = replace(
        model.supports,
        vectors=stored.z[[0, 1, 1, 2]],
        label=np.array([0, 0, 1, 2]),
        index=stored.index[[0, 1, 1, 2]],
        image=model.supports.image[:4],
        self_contribution=model.supports.self_contribution[:4],
    )
    result = explain(holding(model, shared), samples(2), "sic", targets=[0, 1, 2])
    maps = result["support_contribution"].values  # class 0: rows 0 and 1, class 1: row 2, class 2: row 3
    np.testing.assert_array_equal(maps[:, 1], maps[:, 2])
    np.testing.assert_allclose(result["residual"], 0, atol=1e-5 * np.abs(maps).sum())


def test_inside_and_outside_of_a_region_add_up_to_the_evidence(make, samples):
    model, gone = ragged(make)
    result = explain(model, samples(2), "sic", targets=[0, 1], excluded=gone)
    region = np.zeros((10, 10), bool)
    region[2:6, 1:9] = True
    t = model.module.temperature
    inside, outside = region_evidence(result, region, t), region_evidence(result, ~region, t)
    rows = result["match_support"].values
    want = np.where(rows >= 0, np.take_along_axis(result["evidence"].values, rows, 1), 0)
    np.testing.assert_allclose(inside + outside, want, atol=1e-5)
    slow = result["support_contribution"].values[1, 0, 2:6, 1:9].sum() / t
    assert float(inside[1, 0]) == pytest.approx(slow, rel=1e-5)


def test_how_far_an_image_is_from_training(make, samples):
    model = make()
    result = explain(model, samples(3))
    z, stored = result["latent"].values, model.latents.z
    cosine = (z @ stored.T / np.linalg.norm(z, axis=1)[:, None] / np.linalg.norm(stored, axis=1)).max(1)
    np.testing.assert_allclose(result["best_cosine"], cosine, rtol=1e-5)
    np.testing.assert_allclose(result["norm"], np.linalg.norm(z, axis=1), rtol=1e-5)
    typical = typical_of(model)
    assert typical_of(model) is typical
    assert typical.rank(0, -2) == (0, 0)
    assert typical.rank(1e9, 2) == (1, 1)
    model.latents = replace(model.latents, z=stored[:5])
    assert len(typical_of(model).norm) == 5, "other training images, another distribution"


def test_best_cosine_of_training_images_leaves_the_image_out():
    z = np.array([[1.0, 0], [0, 1], [1, 1]])
    np.testing.assert_allclose(evidence.typical(z).cosine, np.sqrt([0.5, 0.5, 0.5]))


def test_an_explanation_says_how_it_was_made(make, samples):
    model, shown = make(), samples(3)
    result = validate(explain(model, shown, "sic", smoothing=5))
    assert list(result["sample"].values) == list(shown["name"].values)
    assert list(result["class"].values) == model.classes
    assert list(result["label"].values) == [0, 1, 2]
    assert (result["support_sample"].values >= 100).all()
    assert result.attrs["model_sha256"] == model.sha256
    assert '"smoothing": 5' in result.attrs["parameters"]
    assert result.attrs["device"] == "cpu"
    assert result.attrs["samples_sha256"] != explain(model, shown.isel(sample=[0]))["logit"].attrs.get(
        "samples_sha256"
    )
    assert result["logit"].dtype == np.float32
    predicted = result["logit"].values.argmax(1)
    np.testing.assert_array_equal(result["target_class"].values[:, 0], predicted)
    np.testing.assert_allclose(result["probability"], 1 / (1 + np.exp(-result["logit"].values)), rtol=1e-6)
    np.testing.assert_allclose(latent_vectors(model, shown["image"].values), result["latent"], rtol=1e-5)


def test_float64_stays_float64(make, samples):
    result = explain(make(dtype=torch.float64), samples(1))
    assert {result[n].dtype for n in ("logit", "evidence", "contribution", "support_contribution")} == {
        np.dtype("f8")
    }


class Black(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def mistakes(make, samples):
    model, shown = make(), samples(1)
    bare, blind = make(), make()
    bare.supports = blind.latents = None
    return {
        "not a SIC": (lambda: explain(open_model(Black()), shown, "sic"), "Black"),
        "no supports": (lambda: explain(bare, shown, "sic"), "attach_supports"),
        "unknown method": (lambda: explain(model, shown, "sik"), "'sic'"),
        "unknown parameter": (lambda: explain(model, shown, smooting=3), "'smoothing'"),
        "out of bounds": (lambda: explain(model, shown, smoothing=99), "63"),
        "wrong type": (lambda: explain(model, shown, smoothing="much"), "smoothing"),
        "no such class": (lambda: explain(model, shown, targets=[3]), "0 to 2"),
        "a negative class": (lambda: explain(model, shown, targets=[-2]), "0 to 2"),
        "no class": (lambda: explain(model, shown, targets=[]), "no class"),
        "half a pair": (
            lambda: explain(model, shown, added=[[100]]),
            "pairs [training position, class]",
        ),
        "a position that is not there": (lambda: explain(model, shown, added=[[99, 0]]), "position 99"),
        "a class for it that is not there": (lambda: explain(model, shown, added=[[100, 3]]), "0 to 2"),
        "no vectors to choose from": (lambda: explain(blind, shown, rule="compact"), "only exclude supports"),
        "no vectors to add one from": (
            lambda: explain(blind, shown, added=[[100, 0]]),
            "only exclude supports",
        ),
        "no sample": (lambda: explain(model, shown.isel(sample=[])), "at least one"),
        "larger images": (
            lambda: explain(model, samples(images=np.zeros((1, 20, 20, 3), np.uint8))),
            "10x10",
        ),
        "grey images": (lambda: explain(model, samples(1, channels=1)), "3 channel"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "not a SIC",
        "no supports",
        "unknown method",
        "unknown parameter",
        "out of bounds",
        "wrong type",
        "no such class",
        "a negative class",
        "no class",
        "half a pair",
        "a position that is not there",
        "a class for it that is not there",
        "no vectors to choose from",
        "no vectors to add one from",
        "no sample",
        "larger images",
        "grey images",
    ],
)
def test_mistakes_are_answered_in_one_sentence(make, samples, name):
    call, says = mistakes(make, samples)[name]
    with pytest.raises(XaiViewsError) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 300
    assert message.endswith(".")


def test_available_says_what_fits(make):
    assert available(make())["sic"]["fits"] == ""
    assert "SIC network" in available(open_model(Black()))["sic"]["fits"]
    with pytest.raises(MethodError):
        get("nothing")


def test_the_residual_is_what_the_pixels_leave_open(make, samples):
    """Maps with half of their sum leave the other half as a residual, with its sign."""
    model, method = make(), get("sic")
    ask = method.ask(targets=[0, 1])
    (seen,) = method.observe(model, samples(1)["image"].values, [ask], [None])
    halved = replace(seen, maps={g: m / 2 for g, m in seen.maps.items()})
    result = method.interpret(model, halved, ask)
    evidence = result["logit"].values[:, :2] - model.module.bias
    assert (np.abs(evidence) > 1e-3).all()
    np.testing.assert_allclose(result["residual"], evidence / 2, rtol=1e-3)
    np.testing.assert_allclose(
        result["contribution"].sum(("y", "x")) + result["residual"].values, evidence, rtol=1e-3
    )
