"""Measures of partitions against slow reference versions."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from xai_views.engine.clusters import measures
from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.labels import connected


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def patchy(rng, shape=(14, 17), k=4):
    """A label map with connected regions, holes and single cells."""
    noise = rng.normal(size=shape)
    for axis in range(len(shape)):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return np.digitize(noise, np.quantile(noise, np.linspace(0, 1, k + 1)[1:-1]))


def pieces_of(labels):
    """Connected pieces by a search from every cell: a list of (label, set of cells)."""
    left, out = set(np.ndindex(labels.shape)), []
    while left:
        todo = [left.pop()]
        piece = set(todo)
        while todo:
            cell = todo.pop()
            for axis in range(labels.ndim):
                for step in (-1, 1):
                    other = tuple(c + step * (a == axis) for a, c in enumerate(cell))
                    if other in left and labels[other] == labels[cell]:
                        left.remove(other)
                        piece.add(other)
                        todo.append(other)
        out.append((int(labels[cell]), piece))
    return out


# --- agreement ---------------------------------------------------------------------------------------------


def test_ari_counts_pairs(rng):
    a, b = patchy(rng), patchy(rng, k=3)
    together = Counter(
        (bool(x[0] == y[0]), bool(x[1] == y[1])) for x, y in combinations(zip(a.flat, b.flat, strict=True), 2)
    )
    both, one, two = together[True, True], together[True, False], together[False, True]
    pairs = math.comb(a.size, 2)
    expected = (both + one) * (both + two) / pairs
    slow = (both - expected) / (both + (one + two) / 2 - expected)
    assert measures.ari(a, b) == pytest.approx(slow)


def test_ari_is_1_whatever_the_numbers_are_and_0_by_chance(rng):
    a = patchy(rng)
    assert measures.ari(a, np.array([2, 9, 0, 4])[a]) == 1
    values = [measures.ari(a, rng.permutation(a.ravel())) for _ in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)


def test_ari_takes_tensors_and_maps_of_any_shape(rng):
    a = patchy(rng)
    assert measures.ari(torch.from_numpy(a), a.ravel()) == 1


# --- sizes and variance ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_effective_number_of_equal_clusters_is_their_number(k):
    assert measures.effective_number([30] * k) == pytest.approx(k)
    assert measures.effective_number([30] * k + [0, 0]) == pytest.approx(k), "empty ones do not count"


def test_the_effective_number_is_exp_of_the_entropy():
    counts = [50, 30, 15, 5]
    entropy = -sum(c / 100 * math.log(c / 100) for c in counts)
    assert measures.effective_number(counts) == pytest.approx(math.exp(entropy))
    assert measures.effective_number(torch.tensor(counts)) == pytest.approx(math.exp(entropy))
    assert measures.effective_number([1000, 1]) < 1.01


def test_explained_variance_is_that_of_the_explicit_rows(make_layers, shapes, dtype):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    rows = features.explicit().double()
    total = float((rows - rows.mean(0)).square().sum())
    for k in (2, 5):
        found = kmeans(features, k)
        flat = found.labels.flatten()
        within = sum(
            float((rows[flat == c] - rows[flat == c].mean(0)).square().sum()) for c in range(found.k)
        )
        assert measures.explained_variance(found) == pytest.approx(1 - within / total, abs=1e-5)


def test_one_cluster_explains_nothing_and_the_right_ones_everything(make_planted, shapes, dtype):
    features = Features.of(make_planted(shapes, dtype)[0], interp="nearest")
    assert measures.explained_variance(kmeans(features, 1)) == pytest.approx(0, abs=1e-5)
    assert measures.explained_variance(kmeans(features, 4)) == pytest.approx(1, abs=1e-5)


def test_of_equal_positions_there_is_nothing_to_explain():
    features = Features.of([torch.ones(1, 3, 4, 4)])
    assert measures.explained_variance(kmeans(features, 1)) == 0


# --- purity ------------------------------------------------------------------------------------------------


def test_purity_is_the_share_of_the_most_frequent_part(rng):
    labels, truth = patchy(rng, k=5), patchy(rng, k=3) - 1
    part, share = measures.purity(labels, truth)
    for c in range(5):
        seen = Counter(int(t) for t in truth[labels == c] if t >= 0)
        most = max(seen.values())
        assert seen[int(part[c])] == most
        assert share[c] == pytest.approx(most / sum(seen.values()))


def test_purity_of_a_refinement_is_1(rng):
    truth = patchy(rng)
    finer = truth * 2 + (np.arange(truth.shape[1]) > 8)
    part, share = measures.purity(finer, truth)
    known = np.bincount(finer.ravel(), minlength=len(share)) > 0
    assert (share[known] == 1).all()
    np.testing.assert_array_equal(part[known], (np.arange(len(part)) // 2)[known])


def test_purity_of_clusters_of_which_nothing_is_known():
    part, share = measures.purity([0, 0, 1, 1, 3], [2, 2, -1, -1, 0])
    np.testing.assert_array_equal(part, [2, -1, -1, 0])
    np.testing.assert_array_equal(share, [1, 0, 0, 1])
    part, share = measures.purity([0, 1], [-1, -1])
    np.testing.assert_array_equal(part, [-1, -1])
    assert not share.any()


# --- overlap with a mask -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [False, True], ids=["clusters", "pieces"])
def test_the_best_overlap_equals_a_slow_search(rng, pieces):
    for _ in range(5):
        labels, mask = patchy(rng), patchy(rng, k=3) == 1
        inside = set(zip(*np.nonzero(mask), strict=True))
        if pieces:
            regions = pieces_of(labels)
        else:
            regions = [
                (c, set(zip(*np.nonzero(labels == c), strict=True))) for c in np.unique(labels).tolist()
            ]
        iou = {i: len(cells & inside) / len(cells | inside) for i, (_, cells) in enumerate(regions)}
        cluster, best = measures.best_overlap(labels, mask, pieces)
        assert best == pytest.approx(max(iou.values()))
        assert cluster in {regions[i][0] for i, v in iou.items() if v == pytest.approx(best)}


def test_the_best_overlap_at_its_ends():
    labels = np.array([[0, 0, 2], [0, 2, 2]])
    assert measures.best_overlap(labels, labels == 2) == (2, 1.0)
    assert measures.best_overlap(labels, np.zeros((2, 3), bool))[1] == 0
    assert measures.best_overlap(np.array([[1, 0, 1]]), np.array([[True, False, False]]), True) == (1, 1.0)
    assert measures.best_overlap(np.array([[1, 0, 1]]), np.array([[True, False, False]])) == (1, 0.5)


# --- fragmentation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(14, 17), (40,), (1, 9), (9, 1)])
def test_coherence_is_the_share_of_equal_neighbours(rng, shape):
    labels = rng.integers(0, 3, shape)
    equal = [
        labels[cell] == labels[other]
        for cell in np.ndindex(shape)
        for axis in range(len(shape))
        if (other := tuple(c + (a == axis) for a, c in enumerate(cell)))[axis] < shape[axis]
    ]
    assert measures.coherence(labels) == pytest.approx(np.mean(equal))


def test_coherence_at_its_ends():
    board = np.indices((6, 6)).sum(0) % 2
    assert measures.coherence(board) == 0
    assert measures.coherence(board * 0) == 1
    assert measures.coherence(np.zeros((1, 1), int)) == 1


@pytest.mark.parametrize("shape", [(14, 17), (40,)])
def test_pieces_are_those_of_a_slow_search(rng, shape):
    labels = patchy(rng, shape) - 1
    pieces, owner = connected(labels)
    slow = pieces_of(labels)
    assert len(owner) == len(slow)
    assert set(pieces.ravel()) == set(range(len(slow)))
    for label, cells in slow:
        ids = {int(pieces[c]) for c in cells}
        assert len(ids) == 1
        assert owner[ids.pop()] == label


def test_diagonal_neighbours_are_not_connected():
    assert len(connected(np.eye(2, dtype=int))[1]) == 4


@pytest.mark.parametrize("shape", [(14, 17), (40,)])
def test_fragmentation_equals_a_slow_version(rng, shape):
    labels = patchy(rng, shape)
    labels[tuple(s // 2 for s in shape)] = 9  # a single cell
    slow = pieces_of(labels)
    sizes = {c: [len(cells) for label, cells in slow if label == c] for c in np.unique(labels).tolist()}
    figures = measures.fragmentation(labels)
    assert figures["pieces"] == len(slow)
    scattered = [np.median(s) <= 2 for s in sizes.values()]
    assert any(scattered)
    assert figures["scattered"] == pytest.approx(np.mean(scattered))
    assert figures["coherence"] == measures.coherence(labels)


def test_a_whole_and_a_shattered_partition():
    assert measures.fragmentation(np.zeros((8, 8), int)) == {"pieces": 1, "scattered": 0, "coherence": 1}
    board = np.indices((8, 8)).sum(0) % 2
    assert measures.fragmentation(board) == {"pieces": 64, "scattered": 1, "coherence": 0}


# --- norms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1.0])
def test_outliers_in_one_cluster_equal_a_slow_version(rng, share):
    labels, norm = patchy(rng), rng.exponential(size=(14, 17))
    count = max(1, round(share * norm.size))
    top = sorted(range(norm.size), key=lambda i: -norm.flat[i])[:count]
    most = Counter(int(labels.flat[i]) for i in top).most_common(1)[0][1]
    assert measures.outliers_in_one(norm, labels, share) == pytest.approx(most / count)


def test_outliers_that_have_a_cluster_of_their_own():
    labels = np.zeros((20, 20), int)
    labels[3, 4] = labels[9, 9] = labels[17, 2] = labels[5, 5] = 1
    assert measures.outliers_in_one(1 + 50 * labels, labels) == 1
    assert measures.outliers_in_one(np.ones((1, 1)), np.zeros((1, 1), int)) == 1, "at least one position"


# --- maps and tables by cluster -----------------------------------------------------------------------------


def test_ranks_are_percentiles_with_ties():
    assert measures.ranks([[3.0, 1.0], [1.0, 9.0]]).tolist() == [[2 / 3, 1 / 6], [1 / 6, 1]]
    assert measures.ranks([[4.0]]).tolist() == [[0]]


def test_density_spreads_what_a_cluster_has_over_its_positions():
    labels, amounts = np.array([[0, 0, 1], [2, 2, 2]]), [4.0, -1.0, 6.0]
    found = measures.density(labels, amounts)
    assert found.tolist() == [[2, 2, -1], [2, 2, 2]]
    assert found.sum() == sum(amounts)


def test_means_per_cluster_are_0_where_there_is_no_position():
    assert measures.mean_per_cluster([[1.0, 3.0], [5.0, 7.0]], [[0, 0], [2, 0]], 4).tolist() == [
        11 / 3,
        0,
        5,
        0,
    ]


def test_what_lies_in_what_is_counted_both_ways(rng):
    labels, truth = rng.integers(0, 4, (9, 9)), rng.integers(-1, 3, (9, 9))
    table = measures.crossing(labels, truth, 6)
    for c in range(6):
        for p in range(3):
            assert table[c, p] == ((labels == c) & (truth == p)).sum()
    of_parts = measures.held(labels, truth, 6)
    np.testing.assert_allclose(of_parts.sum(0), 1)
    part, share = measures.purity(labels, truth, 6)
    assert part.tolist()[4:] == [-1, -1]
    for c in range(4):
        assert share[c] == pytest.approx(table[c].max() / table[c].sum())
        assert of_parts[c, part[c]] == pytest.approx(table[c].max() / (truth == part[c]).sum())
    assert not measures.held(labels, np.where(truth == 1, 2, truth), 6)[:, 1].any(), (
        "a part that does not occur"
    )


def test_figures_of_norms_stand_beside_those_of_the_partition(rng):
    labels, norm = patchy(rng), rng.exponential(size=(14, 17))
    found = measures.norm_figures(norm, labels)
    assert found["mean"] == pytest.approx(norm.mean())
    assert found["ratio"] == pytest.approx(norm.max() / np.median(norm))
    assert found["largest"] == norm.max()
    assert found["outliers"] == measures.outliers_in_one(norm, labels)
    assert {k: found[k] for k in ("pieces", "scattered", "coherence")} == measures.fragmentation(labels)
    assert measures.norm_figures(np.zeros((2, 2)), np.zeros((2, 2), int))["ratio"] == 0


def test_a_partition_beside_another(rng):
    labels, reference = patchy(rng), patchy(rng)
    found = measures.compared(labels, reference, reference == 1)
    assert found["ari"] == measures.ari(reference, labels)
    assert found["truth"] == measures.best_overlap(labels, reference == 1)[1]
    assert found["effective"] == measures.effective_number(np.bincount(labels.ravel()))
    assert measures.compared(labels, labels)["ari"] == 1
    assert measures.compared(labels, labels)["truth"] is None
