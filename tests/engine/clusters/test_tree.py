"""The merge tree: inertia, nesting, and stable ids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import linkage

from xai_views.engine.clusters import tree
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans, lloyd
from xai_views.errors import MethodError

K0 = 12


@pytest.fixture
def grown(make_layers, shapes, dtype):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    return tree.build(kmeans(features, K0), features)


def inertia_of(labels: torch.Tensor, features: Features) -> float:
    """Sum of squared distances to the mean of the own label, from the explicit rows."""
    rows, flat = features.explicit().double(), labels.flatten()
    return sum(
        float((rows[flat == k] - rows[flat == k].mean(0)).square().sum()) for k in flat.unique().tolist()
    )


def test_inertia_of_a_cut_is_that_of_the_leaves_plus_the_costs(grown):
    for k in range(1, K0 + 1):
        found = grown.cut(k)
        assert found.inertia == pytest.approx(grown.leaves.inertia + sum(grown.costs[: K0 - k]), rel=1e-12)
        assert found.inertia == pytest.approx(inertia_of(found.labels, grown.features), rel=1e-5)


def test_a_cut_is_what_it_says(grown):
    rows = grown.features.explicit()
    for k in (1, 4, K0):
        found = grown.cut(k)
        flat = found.labels.flatten()
        assert found.k == k == len(flat.unique())
        assert torch.equal(found.counts, torch.bincount(flat, minlength=k))
        for c in range(k):
            torch.testing.assert_close(
                torch.cat(found.centroids, 1)[c], rows[flat == c].mean(0), atol=1e-5, rtol=1e-4
            )
        torch.testing.assert_close(found.distances, grown.features.distances(found.centroids))


def test_cutting_once_more_splits_one_cluster_and_the_larger_part_keeps_its_id(grown):
    for k in range(1, K0):
        before, after = grown.cut(k).labels, grown.cut(k + 1).labels
        moved = before != after
        assert set(after[moved].tolist()) == {k}
        origin = set(before[moved].tolist())
        assert len(origin) == 1
        assert int((after == k).sum()) <= int((after == origin.pop()).sum())
        assert torch.equal(before[~moved], after[~moved])


def test_costs_never_fall(grown):
    assert len(grown.costs) == grown.k0 - 1
    assert all(b >= a * (1 - 1e-9) for a, b in zip(grown.costs, grown.costs[1:], strict=False))
    assert min(grown.costs) >= 0


def test_merges_are_those_of_ward_on_all_positions(make_layers, shapes):
    """With every position a leaf, the tree equals scipy's."""
    small = tuple((c, tuple(max(1, g // 4) for g in grid)) for c, grid in shapes)
    features = Features.of(make_layers(small, dtype=torch.float64))
    start = features.split(features.explicit())
    leaves = lloyd(features, start, iterations=0)
    assert leaves.k == features.positions
    ours = tree.build(leaves, features).costs
    # scipy's height is the root of twice the rise of the inertia
    theirs = linkage(features.explicit().numpy(), "ward")[:, 2] ** 2 / 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)


def test_leaves_are_taken_as_the_means_of_their_positions(make_layers, shapes):
    """Also when the clustering stopped before its centroids were means."""
    features = Features.of(make_layers(shapes, dtype=torch.float64))
    early = lloyd(features, features.split(features.rows(torch.arange(6) * 7)), iterations=1)
    found = tree.build(early, features).cut(3)
    assert found.inertia == pytest.approx(inertia_of(found.labels, features), rel=1e-9)


def test_a_tree_of_one_leaf(make_layers, shapes):
    features = Features.of(make_layers(shapes))
    one = tree.build(kmeans(features, 1), features)
    assert (one.k0, one.costs, one.cut(1).k) == (1, [], 1)


def test_cuts_that_are_not_there_are_said_in_one_sentence(grown):
    for k in (0, K0 + 1):
        with pytest.raises(MethodError, match=f"{k} clusters was requested; request 1 to {K0}"):
            grown.cut(k)
