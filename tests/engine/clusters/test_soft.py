"""Soft assignments, and the measures computed from them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from xai_views.engine.clusters import soft as module
from xai_views.engine.clusters import tree
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import described, kmeans
from xai_views.engine.clusters.pca import components
from xai_views.engine.clusters.soft import KINDS, entropy, margin, projected, second, shares, soft
from xai_views.errors import MethodError


@pytest.fixture
def distances(make_layers, shapes, dtype):
    found = kmeans(Features.of(make_layers(shapes, n=2, dtype=dtype)), 5)
    return found.distances


@pytest.mark.parametrize("kind", KINDS)
def test_shares_sum_to_one_and_favour_the_nearest(distances, kind):
    shares, used = soft(distances, kind, dimensions=8)
    torch.testing.assert_close(shares.sum(1), torch.ones_like(shares[:, 0]))
    assert shares.min() >= 0
    if kind != "gmm":  # whose proportions may outweigh the distance
        assert torch.equal(shares.argmax(1), distances.argmin(1))
    assert (used == 0) == (kind == "fuzzy")


def test_each_kind_is_its_formula(distances):
    d = distances.double()
    t = float(d.amin(1).mean())
    torch.testing.assert_close(soft(d)[0], torch.softmax(-d / t, 1))
    assert soft(d)[1] == pytest.approx(t)
    torch.testing.assert_close(soft(d, "tempered", 0.3)[0], torch.softmax(-d / 0.3, 1))
    torch.testing.assert_close(soft(d, "clustering module")[0], torch.softmax(-d, 1))
    assert soft(d, "clustering module")[1] == 1
    torch.testing.assert_close(soft(d, "fuzzy")[0], (1 / d) / (1 / d).sum(1, keepdim=True))
    k = d.shape[1]
    pi = torch.bincount(d.argmin(1).flatten(), minlength=k).double() / d[:, 0].numel()
    shaped = pi.log().reshape(1, k, *[1] * (d.ndim - 2))
    torch.testing.assert_close(soft(d, "gmm", dimensions=7)[0], torch.softmax(shaped - d / (2 * t / 7), 1))
    assert soft(d, "gmm", dimensions=7)[1] == pytest.approx(t / 7)
    even = soft(d, "gmm", 0.4, proportions=torch.full((k,), 1 / k))[0]
    torch.testing.assert_close(even, torch.softmax(-d / 0.8, 1))


def test_gmm_is_the_posterior_of_scikit_learns_mixture():
    generator = torch.Generator().manual_seed(0)
    rows = torch.cat([torch.randn(80, 3, generator=generator) + 3 * c for c in range(3)]).double()
    found = kmeans(Features.raw(rows), 3, tolerance=0)
    weights = found.counts.double() / len(rows)
    oracle = GaussianMixture(3, covariance_type="spherical")
    shares, variance = soft(found.distances, "gmm", dimensions=3)
    oracle.weights_, oracle.means_ = weights.numpy(), found.centroids[0].numpy()
    oracle.covariances_ = torch.full((3,), variance).numpy()
    oracle.precisions_cholesky_ = 1 / oracle.covariances_**0.5
    expected = torch.from_numpy(oracle.predict_proba(rows.numpy()))
    torch.testing.assert_close(shares[0].T.double(), expected, atol=1e-6, rtol=1e-5)


def test_entropy_is_0_when_decided_and_1_when_all_are_equal(dtype):
    one_hot = torch.eye(4, dtype=dtype)[None]
    assert entropy(one_hot).abs().max() == 0
    torch.testing.assert_close(
        entropy(torch.full((1, 4, 6), 0.25, dtype=dtype)), torch.ones(1, 6, dtype=dtype)
    )
    assert entropy(torch.ones(2, 1, 3, dtype=dtype)).abs().max() == 0
    half = torch.tensor([0.5, 0.5, 0, 0], dtype=dtype).reshape(1, 4, 1)
    torch.testing.assert_close(entropy(half)[0, 0], torch.tensor(math.log(2) / math.log(4), dtype=dtype))


def test_entropy_does_not_depend_on_the_numbering(distances):
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(entropy(soft(distances)[0]), entropy(soft(distances[:, order])[0]))


def test_entropy_rises_with_the_temperature_at_every_position(distances):
    steps = [entropy(soft(distances.double(), "tempered", t)[0]) for t in (0.01, 0.05, 0.2, 1, 20)]
    assert all(bool((b >= a - 1e-12).all()) for a, b in pairwise(steps))
    assert steps[-1].min() > 0.99


@pytest.mark.parametrize("kind", ["tempered", "gmm", "clustering module"])
def test_the_hard_assignment_is_the_limit_of_a_low_temperature(distances, kind):
    shares, used = soft(distances, kind, 1e-9)
    assert used == 1e-9
    assert torch.equal(shares.argmax(1), distances.argmin(1))
    assert float(entropy(shares).mean()) < 0.01


def test_entropy_of_a_mixture_collapses_with_dimensions_and_tempered_does_not():
    """Why dimensions are reduced first: six overlapping blobs."""
    found = {}
    for d in (2, 128):
        generator = torch.Generator().manual_seed(0)
        centres = 0.5 * torch.randn(6, d, generator=generator)
        rows = centres[torch.arange(600) % 6] + torch.randn(600, d, generator=generator)
        d2 = torch.cdist(rows, centres).square().T[None]
        found[d] = [
            float(entropy(soft(d2, kind, dimensions=n)[0]).mean())
            for kind, n in (("gmm", d), ("tempered", 1))
        ]
    assert found[2][0] > 0.6
    assert found[128][0] < 0.05
    assert min(found[2][1], found[128][1]) > 0.7


def test_projected_distances_are_those_between_principal_components(make_layers, shapes, dtype):
    found = kmeans(Features.of(make_layers(shapes, n=2, dtype=dtype)), 5)
    d2, kept = projected(found, 3)
    assert kept == 3
    rows = found.features.explicit().double()
    mean = rows.mean(0)
    axes = torch.linalg.svd(rows - mean, full_matrices=False)[2][:3]
    scores = (rows - mean) @ axes.T
    centres = (torch.cat(found.features.drop(found.centroids), 1).double() - mean) @ axes.T
    expected = torch.cdist(scores, centres).square().reshape(2, *found.features.grid, 5).movedim(-1, 1)
    torch.testing.assert_close(
        d2.double(), expected, atol=1e-5 if dtype == torch.float32 else 1e-9, rtol=1e-5
    )
    assert bool((d2 <= found.distances + 1e-5).all())


def test_projecting_on_all_dimensions_changes_nothing(make_layers, dtype):
    shapes = ((4, (5, 6)), (5, (5, 6)))
    found = kmeans(Features.of(make_layers(shapes, n=2, dtype=dtype)), 4)
    d2, kept = projected(found, 50)
    assert kept <= 9
    torch.testing.assert_close(d2, found.distances, atol=1e-5 if dtype == torch.float32 else 1e-10, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_a_clustering(kind):
    """For "gmm" the posteriors of scikit-learn's mixture on principal components; for the others all dimensions count."""
    generator = torch.Generator().manual_seed(2)
    centres = torch.randn(4, 60, generator=generator)
    rows = centres[torch.arange(300) % 4] + torch.randn(300, 60, generator=generator)
    found = kmeans(Features.raw(rows.double()), 4, tolerance=0)
    got, used = shares(found, kind)
    if kind != "gmm":
        expected, temperature = soft(found.distances, kind)
        torch.testing.assert_close(got, expected)
        assert used == temperature
        return
    pca = PCA(16, svd_solver="full").fit(rows.double().numpy())
    scores, means = (pca.transform(x.double().numpy()) for x in (rows, found.centroids[0]))
    d2 = ((scores[:, None] - means) ** 2).sum(2)
    oracle = GaussianMixture(4, covariance_type="spherical")
    oracle.weights_, oracle.means_ = found.counts.double().numpy() / 300, means
    oracle.covariances_ = np.full(4, d2.min(1).mean() / 16)
    oracle.precisions_cholesky_ = 1 / oracle.covariances_**0.5
    np.testing.assert_allclose(got[0].T, oracle.predict_proba(scores), atol=1e-8)
    assert used == pytest.approx(d2.min(1).mean() / 16)
    again = shares(found, kind, 2 * used, components(found.features, 16))
    oracle.precisions_cholesky_ /= 2**0.5
    np.testing.assert_allclose(again[0][0].T, oracle.predict_proba(scores), atol=1e-8)


def test_the_proportions_of_a_mixture_are_those_of_the_clusters():
    """Also in a cut of a tree, where positions do not all belong to the nearest centroid."""
    found = line().cut(2)
    got, variance = shares(found, "gmm")
    prior = found.counts.double() / 7
    expected = prior[:, None].log() - found.distances[0].double() / (2 * variance)
    torch.testing.assert_close(got[0].double(), expected.softmax(0), atol=1e-5, rtol=1e-4)
    assert sorted(found.counts.tolist()) == [2, 5]


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("channels", [3, 200])
def test_shares_where_nothing_differs(channels, value, dtype):
    """As in a dead layer: all distances are zero."""
    found = kmeans(Features.of([torch.full((1, channels, 12, 12), value, dtype=dtype)]), 4)
    for kind in KINDS:
        assert torch.equal(shares(found, kind)[0], torch.ones(1, 1, 12, 12, dtype=dtype))
    assert not components(found.features, 2).variance.any()


def test_margin_needs_no_temperature(dtype):
    d2 = torch.tensor([[1.0, 4.0, 9.0], [4.0, 4.0, 5.0], [0.0, 9.0, 9.0], [0.0, 0.0, 2.0]], dtype=dtype).T[
        None
    ]
    torch.testing.assert_close(margin(d2), torch.tensor([[0.5, 0.0, 1.0, 0.0]], dtype=dtype))
    torch.testing.assert_close(margin(100 * d2), margin(d2))
    assert second(d2)[0, 0] == 1
    assert margin(d2[:, :1]).min() == 1


def test_second_best(distances):
    order = distances.argsort(1)
    labels = second(distances)
    torch.testing.assert_close(distances.gather(1, labels[:, None]), distances.gather(1, order[:, 1:2]))
    assert not bool((labels == order[:, 0]).any())
    assert second(distances[:, :1]).abs().max() == 0


def test_second_best_beside_a_cluster_that_is_not_the_nearest(distances):
    for own in range(distances.shape[1]):
        labels = second(distances, torch.full_like(distances[:, 0], own, dtype=torch.long))
        others = distances.clone()
        others[:, own] = torch.inf
        assert torch.equal(labels, others.argmin(1))
    assert torch.equal(second(distances, distances.argmin(1)), second(distances))


def line() -> tree.Tree:
    """Four clusters on a line."""
    rows = torch.tensor([1.0, 1, 14, 24, 24, 39, 39])[:, None]
    leaves = described(Features.raw(rows), torch.tensor([[0, 0, 1, 2, 2, 3, 3]]))
    return tree.build(leaves, leaves.features)


def test_a_merged_cluster_is_not_second_best_to_itself():
    """Planted on a line; in the cut with two clusters, {1} and {14, 24, 39}, position 14 is nearer to the other one."""
    found = line().cut(2)
    assert {round(float(c)) for c in found.centroids[0]} == {1, 28}
    expected = torch.tensor([[1, 1, 0, 1 - 4 / 23, 1 - 4 / 23, 1 - 11 / 38, 1 - 11 / 38]])
    torch.testing.assert_close(margin(found.distances, found.labels), expected)
    torch.testing.assert_close(margin(found.distances)[0, 2], torch.tensor(1 - 13 / 14))  # of the nearest two
    assert torch.equal(second(found.distances, found.labels), 1 - found.labels)


def test_margin_beside_a_cluster_that_is_not_the_nearest(distances):
    for own in range(distances.shape[1]):
        labels = torch.full_like(distances[:, 0], own, dtype=torch.long)
        d = distances.sqrt()
        others = torch.cat([d[:, :own], d[:, own + 1 :]], 1).amin(1)
        torch.testing.assert_close(margin(distances, labels), (1 - d[:, own] / others).clamp_min(0))
    torch.testing.assert_close(margin(distances, distances.argmin(1)), margin(distances))


def test_positions_on_their_centroids_give_no_nan(dtype):
    """One position on one centroid, one on two centroids, and all distances zero."""
    d2 = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]], dtype=dtype).T[None]
    for kind in KINDS:
        shares, _ = soft(d2, kind)
        assert torch.isfinite(shares).all()
        assert torch.isfinite(entropy(shares)).all()
    fuzzy = soft(d2, "fuzzy")[0][0].T
    expected = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], dtype=dtype)
    torch.testing.assert_close(fuzzy, expected)
    tempered = soft(d2)[0][0].T
    torch.testing.assert_close(tempered, expected)
    assert torch.isfinite(margin(d2)).all()


def test_what_cannot_be_is_said_in_one_sentence(distances):
    with pytest.raises(MethodError, match="'temperd' is not known; choose 'tempered'"):
        soft(distances, "temperd")
    for t in (0, -1.0, math.nan, math.inf):
        with pytest.raises(MethodError, match="temperature of"):
            soft(distances, temperature=t)
    assert set(module.KINDS) == set(KINDS)
