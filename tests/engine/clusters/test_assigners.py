"""The other clustering algorithms against reference implementations, and identities of the Clustering Module."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from xai_views.engine.clusters import assigners
from xai_views.engine.clusters.assigners import ASSIGNERS, cluster
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.measures import ari
from xai_views.engine.clusters.module import Module, bayes, fit, fit_features, terms
from xai_views.engine.clusters.pca import components
from xai_views.errors import MethodError

# Enough channels and positions that components are found iteratively, not by a dense decomposition.
WIDE = ((60, (16, 16)), (70, (8, 8)), (80, (4, 4)))


# -- all of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("assigner", ASSIGNERS)
def test_every_assigner_answers_with_a_partition_by_its_means(make_layers, shapes, dtype, assigner):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    found = cluster(features, 4, assigner)
    flat, rows = found.labels.flatten(), features.explicit()
    assert 1 < found.k <= 4
    assert torch.equal(found.counts, torch.bincount(flat, minlength=found.k))
    assert torch.equal(found.counts, found.counts.sort(descending=True).values)
    for c in range(found.k):
        mean = torch.cat(found.centroids, 1)[c]
        torch.testing.assert_close(mean, rows[flat == c].mean(0), atol=2e-3, rtol=1e-3)
    expected = sum(float((rows[flat == c] - rows[flat == c].mean(0)).square().sum()) for c in range(found.k))
    assert found.inertia == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("assigner", [a for a in ASSIGNERS if a != "pca"])
def test_planted_parts_are_recovered(make_planted, shapes, dtype, assigner):
    layers, truth = make_planted(shapes, dtype, n=2)
    assert ari(cluster(Features.of(layers, interp="nearest"), 4, assigner).labels, truth) == 1


@pytest.mark.parametrize("assigner", ASSIGNERS)
def test_one_cluster_and_dead_activations_are_possible(make_layers, shapes, dtype, assigner):
    assert cluster(Features.of(make_layers(shapes, dtype=dtype)), 1, assigner).k == 1
    dead = cluster(Features.of([torch.zeros(1, c, *g, dtype=dtype) for c, g in shapes]), 3, assigner)
    assert math.isfinite(dead.inertia)
    assert torch.isfinite(dead.distances).all()


@pytest.mark.parametrize("assigner", ASSIGNERS)
def test_the_same_seed_gives_the_same(make_layers, shapes, assigner):
    features = Features.of(make_layers(shapes, n=2))
    one, two = (cluster(features, 5, assigner, seed=2) for _ in range(2))
    assert torch.equal(one.labels, two.labels)


def test_what_cannot_be_is_said_in_one_sentence(make_layers, shapes):
    features = Features.of(make_layers(shapes))
    with pytest.raises(MethodError, match="'kmeans' is not known; choose 'k-means'"):
        cluster(features, 3, "kmeans")
    for assigner in ASSIGNERS:
        with pytest.raises(MethodError, match=r"0 clusters of .* were requested"):
            cluster(features, 0, assigner)


# -- against their originals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes_of", [None, WIDE], ids=["small", "wide"])
def test_pca_labels_are_those_of_scikit_learn(make_layers, shapes, dtype, shapes_of):
    features = Features.of(make_layers(shapes_of or shapes, n=2, dtype=dtype))
    scores = PCA(4, svd_solver="full").fit_transform(features.explicit().double().numpy())
    ours, theirs = components(features, 4), torch.from_numpy(scores)
    flat = ours.scores().movedim(1, -1).flatten(0, -2).double()
    torch.testing.assert_close(
        flat.abs(), theirs.abs(), atol=1e-4 if dtype == torch.float32 else 1e-8, rtol=0
    )
    torch.testing.assert_close(ours.variance.double(), theirs.square().sum(0), rtol=1e-4, atol=0)
    assert ari(cluster(features, 4, "pca").labels, theirs.abs().argmax(1)) > 0.98


def test_components_of_everything_explain_everything(make_layers, shapes, dtype):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    rows = features.explicit().double()
    found = components(features, 10**6)
    assert found.total == pytest.approx(float((rows - rows.mean(0)).square().sum()), rel=1e-4)
    assert float(found.variance.sum()) == pytest.approx(found.total, rel=1e-4)
    axes = found.axes[: found.axes.shape[0]].double()
    torch.testing.assert_close(axes @ axes.T, torch.eye(len(axes), dtype=torch.float64), atol=1e-5, rtol=0)


def test_agglomerative_labels_are_those_of_scikit_learn(make_layers, shapes, dtype):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    for k in (2, 5):
        theirs = AgglomerativeClustering(k).fit_predict(features.explicit().double().numpy())
        assert ari(cluster(features, k, "agglomerative").labels, theirs) == 1


def test_agglomerative_on_a_large_grid_links_a_coarser_one(make_layers, monkeypatch):
    layers = make_layers(((6, (12, 16)), (10, (6, 8))), n=2)
    features = Features.of(layers, grid=(24, 32))
    whole = cluster(features, 4, "agglomerative")
    monkeypatch.setattr(assigners, "TRIAL", 400)
    part = cluster(features, 4, "agglomerative")
    assert part.labels.shape == whole.labels.shape
    assert part.inertia <= 1.15 * whole.inertia


# -- the Clustering Module --------------------------------------------------------------------------------------


@pytest.fixture
def drawn(dtype):
    """Rows, any code and any centroids."""
    generator = torch.Generator().manual_seed(0)
    rows, centroids = (torch.randn(n, 7, generator=generator, dtype=torch.float64) for n in (50, 4))
    gamma = torch.softmax(2 * torch.randn(50, 4, generator=generator, dtype=torch.float64), 1)
    return rows.to(dtype), gamma.to(dtype), centroids.to(dtype)


def soft_distortion(rows, gamma, centroids):
    total = 0.0
    for x, g in zip(rows, gamma, strict=True):
        for weight, mu in zip(g, centroids, strict=True):
            total += float(weight) * float((x - mu).square().sum())
    return total


def test_e1_e2_e3_are_soft_k_means(drawn, dtype):
    rows, gamma, centroids = drawn
    e1, e2, e3, _ = terms(rows, gamma, centroids)
    expected = soft_distortion(*drawn)
    assert float(e1 + e2 + e3) == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 1e-12)
    assert float(e1) == pytest.approx(float((rows - gamma @ centroids).square().sum()), rel=1e-5)


def test_e2_and_e3_are_the_variance_of_the_centroids_under_the_code(drawn):
    rows, gamma, centroids = drawn
    _, e2, e3, _ = terms(rows, gamma, centroids)
    expected = (gamma @ centroids.square().sum(1)).sum() - (gamma @ centroids).square().sum()
    torch.testing.assert_close(e2 + e3, expected, rtol=1e-4, atol=0)
    assert expected > 0
    hard = torch.nn.functional.one_hot(gamma.argmax(1), 4).to(gamma)
    e1, e2, e3, _ = terms(rows, hard, centroids)
    assert float(e2 + e3) == pytest.approx(0, abs=1e-3)
    torch.testing.assert_close(e1, (rows - centroids[gamma.argmax(1)]).square().sum())


def test_orthonormal_centroids_leave_only_the_sparsity_of_the_code(drawn):
    rows, gamma, _ = drawn
    _, e2, e3, _ = terms(rows, gamma, torch.eye(4, 7, dtype=rows.dtype))
    assert float(e3) == 0
    torch.testing.assert_close(e2, (gamma * (1 - gamma)).sum())


def test_the_prior_is_least_where_all_clusters_are_used_alike(drawn):
    rows, gamma, centroids = drawn
    even = torch.full_like(gamma, 0.25)
    assert float(terms(rows, even, centroids, 50.0)[3]) == pytest.approx(49 * 4 * math.log(4), rel=1e-5)
    assert float(terms(rows, gamma, centroids, 50.0)[3]) > 49 * 4 * math.log(4)
    assert float(terms(rows, gamma, centroids, 1.0)[3]) == 0
    alpha = torch.tensor([1.5, 9.0, 3.0, 4.0])
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        terms(rows, gamma, centroids, alpha)[3], terms(rows, gamma[:, order], centroids[order], alpha)[3]
    )


def test_with_a_fixed_code_the_means_are_the_best_centroids(drawn):
    rows, gamma, _ = drawn
    centroids = (gamma.T @ rows / gamma.sum(0)[:, None]).requires_grad_()
    sum(terms(rows, gamma, centroids)[:3]).backward()
    assert centroids.grad.abs().max() < 1e-4


def test_the_start_is_the_posterior_of_a_mixture(drawn):
    """Covariance I / 2 and equal weights: also the soft assignment "clustering module"."""
    rows, _, centroids = drawn
    code = bayes(centroids).code(rows)
    torch.testing.assert_close(code, torch.softmax(-torch.cdist(rows, centroids).square(), 1))


def test_balanced_blobs_of_equal_variance_are_those_of_a_spherical_mixture():
    X, _ = make_blobs(600, centers=[[4, 4], [4, -4], [-4, 4], [-4, -4]], cluster_std=1.5, random_state=0)
    oracle = GaussianMixture(4, covariance_type="spherical", n_init=5, random_state=0).fit_predict(X)
    rows = torch.from_numpy(X)
    start = kmeans(Features.raw(rows), 4).centroids[0]
    module = fit(rows, start, batch=50, epochs=40)
    assert ari(module.code(rows).argmax(1), oracle) >= 0.98
    off = torch.cdist(module.centroids, start).amin(1)
    assert off.max() < 0.5


def test_the_prior_prevents_collapse():
    """From a bad start at one point, with and without the prior; documents the effect of alpha."""
    X, truth = make_blobs(400, centers=5, cluster_std=0.5, random_state=3)
    rows = torch.from_numpy(X / X.std())
    generator = torch.Generator().manual_seed(0)
    start = rows[:5] * 0.02 + 0.01 * torch.randn(5, 2, generator=generator, dtype=torch.float64)
    used = {}
    for prior in (0.0, 1.0):
        labels = fit(rows, start, prior=prior, batch=50, epochs=30).code(rows).argmax(1)
        used[prior] = len(labels.unique()), ari(labels, truth)
    assert used[0.0][0] < used[1.0][0]
    assert used[0.0][1] < used[1.0][1]


def test_the_code_of_features_is_a_soft_assignment(make_layers, shapes):
    features = Features.of(make_layers(shapes, n=2))
    code, module = fit_features(features, 5)
    assert isinstance(module, Module)
    assert code.shape == (2, 5, *features.grid)
    torch.testing.assert_close(code.sum(1), torch.ones_like(code[:, 0]))
    found = cluster(features, 5, "clustering module")
    assert ari(found.labels, code.argmax(1)) == 1
    # it starts from k-means and stays close to it
    assert found.inertia <= 1.1 * kmeans(features, 5).inertia
    assert 0.3 < float(code.amax(1).mean()) <= 1


def test_rows_that_do_not_fit_are_said_in_one_sentence():
    with pytest.raises(MethodError, match="do not fit rows"):
        fit(torch.zeros(5, 3), torch.zeros(2, 4))


def test_the_module_leaves_gradients_switched_off_where_they_were():
    with torch.no_grad():
        module = fit(torch.from_numpy(np.eye(6)), torch.from_numpy(np.eye(6)[:2]), epochs=1)
        assert not torch.is_grad_enabled()
    assert not module.weight.requires_grad
