"""Deep Feature Factorization against scikit-learn on the same matrix, its update rules, and the comparison with k-means."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.decomposition import NMF, PCA

from xai_views.engine.clusters.dff import compare, dff
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.measures import ari


def signed(activation: torch.Tensor) -> torch.Tensor:
    """Activations of either sign, as the tokens of a transformer."""
    c = activation.shape[1]
    return activation - activation.mean((0, *range(2, activation.ndim)), keepdim=True) * torch.arange(
        c
    ).reshape(1, c, *[1] * (activation.ndim - 2)).to(activation)


@pytest.fixture(params=[False, True], ids=["after a ReLU", "signed"])
def activation(make_layers, shapes, dtype, request):
    made = make_layers(shapes[1:2], n=3, dtype=dtype)[0]
    return signed(made) if request.param else made


def matrix(activation: torch.Tensor) -> np.ndarray:
    """Channels times positions, image after image."""
    return np.concatenate([a.reshape(len(a), -1).numpy() for a in activation], 1)


def peer(v: np.ndarray, k: int, seed: int = 0, iterations: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Reference computation: NMF of every channel minus its minimum."""
    model = NMF(n_components=k, init="random", random_state=seed, max_iter=iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        w = model.fit_transform(v - v.min(1, keepdims=True))
    return w, model.components_


@pytest.mark.parametrize("seed", [0, 3])
def test_factors_are_those_of_scikit_learn(activation, seed):
    found = dff(activation, 4, seed)
    v = matrix(activation)
    w, h = peer(v, 4, seed)
    flat = np.concatenate([m.reshape(4, -1) for m in found.maps], 1)
    np.testing.assert_allclose(flat, h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.concepts, (w + v.min(1, keepdims=True)).T, rtol=1e-5, atol=1e-5)


def test_maps_and_concepts_above_the_offset_are_nonnegative(activation):
    found = dff(activation, 4)
    assert found.maps.shape == (3, 4, *activation.shape[2:])
    assert found.concepts.shape == (4, activation.shape[1])
    assert (found.maps >= 0).all()
    assert (found.concepts >= matrix(activation).min(1) - 1e-6).all()


def test_it_ends_where_the_defining_updates_change_nothing(make_layers, shapes):
    """At a minimum the multiplicative updates of Lee and Seung leave both factors unchanged."""
    activation = make_layers(shapes[1:2], n=2, dtype=torch.float64)[0]
    found = dff(activation, 3, iterations=20_000)
    v = matrix(activation)
    offset = v.min(1, keepdims=True)
    v, w = v - offset, found.concepts.T - offset
    h = np.concatenate([m.reshape(3, -1) for m in found.maps], 1)
    error = np.linalg.norm(v - w @ h)
    moved_h = h * (w.T @ v) / np.maximum(w.T @ w @ h, 1e-12)
    moved_w = w * (v @ moved_h.T) / np.maximum(w @ moved_h @ moved_h.T, 1e-12)
    assert np.linalg.norm(v - moved_w @ moved_h) <= error * (1 + 1e-12), "updates never raise the error"
    assert np.linalg.norm(v - moved_w @ moved_h) == pytest.approx(error, rel=1e-3)
    early = dff(activation, 3, iterations=2)
    assert early.explained < found.explained


def test_explained_variance_is_what_it_says(activation):
    found = dff(activation, 4)
    v = matrix(activation).astype(np.float64)
    offset = v.min(1, keepdims=True)
    h = np.concatenate([m.reshape(4, -1) for m in found.maps], 1)
    rebuilt = (found.concepts.T - offset) @ h + offset
    slow = 1 - ((v - rebuilt) ** 2).sum() / ((v - v.mean(1, keepdims=True)) ** 2).sum()
    assert found.explained == pytest.approx(slow, abs=1e-5)
    assert 0.2 < found.explained < 1


def test_planted_parts_are_its_factors(make_planted, shapes, dtype):
    layers, truth = make_planted(shapes, dtype, n=2)
    found = dff(layers[0], 4, iterations=2000)
    assert ari(found.labels, truth) == 1
    # the rest is due to the offset of each channel
    assert found.explained > 0.99


def test_scaled_maps_go_from_0_to_1_in_every_image(activation):
    found = dff(activation, 4)
    for maps, scaled in zip(found.maps, found.scaled, strict=True):
        for m, s in zip(maps, scaled, strict=True):
            np.testing.assert_allclose(s, (m - m.min()) / max(m.max() - m.min(), 1e-7), rtol=1e-5)
    np.testing.assert_array_equal(found.labels, found.scaled.argmax(1))


def test_the_same_seed_gives_the_same_and_images_are_factored_jointly(activation):
    one, two = dff(activation, 3, seed=1), dff(activation, 3, seed=1)
    np.testing.assert_array_equal(one.maps, two.maps)
    copies = dff(torch.cat([activation[:1], activation[:1]]), 3)
    np.testing.assert_allclose(copies.explained, dff(activation[:1], 3).explained, atol=0.02)
    assert not np.array_equal(one.maps, dff(activation, 3, seed=2).maps)


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_activations_give_no_nan(value):
    found = dff(torch.full((1, 5, 4, 4), value), 3)
    for array in (found.maps, found.concepts, found.scaled):
        assert np.isfinite(array).all()
    assert found.explained == 0
    np.testing.assert_allclose(found.concepts, value)


def test_values_that_are_no_numbers_count_as_zero():
    activation = torch.rand(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    activation[0, 1, 2, 2] = torch.nan
    filled = activation.nan_to_num()
    np.testing.assert_array_equal(dff(activation, 2).maps, dff(filled, 2).maps)


# --- beside k-means and PCA --------------------------------------------------------------------------------


def test_pca_explains_most_of_all(activation):
    figures = compare(activation, 4, seeds=2)
    explained = {name: row["explained"] for name, row in figures.items()}
    v = matrix(activation).T.astype(np.float64)
    assert explained["pca"] == pytest.approx(PCA(4).fit(v).explained_variance_ratio_.sum(), rel=1e-4)
    assert explained["pca"] >= explained["k-means"] > 0


def test_dff_explains_less_than_pca_and_the_mean_together(activation):
    # K factors and an offset span an affine subspace of at most K dimensions, so K components are a bound
    figures = compare(activation, 4, seeds=1)
    assert figures["dff"]["explained"] <= figures["pca"]["explained"] + 1e-6


def test_figures_are_what_they_say(activation):
    mask = np.zeros((3, *activation.shape[2:]), bool)
    mask[:, :2] = True
    figures = compare(activation, 3, seed=1, seeds=3, mask=mask)
    labels = [kmeans(Features.of([activation]), 3, seed=s).labels.numpy() for s in (1, 2, 3)]
    others = [dff(activation, 3, seed=s).labels for s in (1, 2, 3)]
    for name, maps in (("k-means", labels), ("dff", others)):
        row = figures[name]
        pairs = [ari(maps[0], maps[1]), ari(maps[0], maps[2]), ari(maps[1], maps[2])]
        assert row["stability"] == pytest.approx(np.mean(pairs))
        assert row["agreement"] == pytest.approx(ari(labels[0], others[0]))
        iou = [(mask & (maps[0] == c)).sum() / (mask | (maps[0] == c)).sum() for c in range(3)]
        assert row["iou"] == pytest.approx(max(iou))
        assert row["seconds"] > 0
    v = matrix(activation).astype(np.float64)
    flat = labels[0].ravel()
    within = sum(((v[:, flat == c] - v[:, flat == c].mean(1, keepdims=True)) ** 2).sum() for c in range(3))
    total = ((v - v.mean(1, keepdims=True)) ** 2).sum()
    assert figures["k-means"]["explained"] == pytest.approx(1 - within / total, abs=1e-5)
    assert "iou" not in figures["pca"]


def test_a_comparison_of_dead_activations_gives_no_nan():
    figures = compare(torch.zeros(1, 6, 4, 4), 3, seeds=2)
    for row in figures.values():
        assert all(np.isfinite(v) for v in row.values())
        assert row["explained"] == 0
    assert "iou" not in figures["dff"]
