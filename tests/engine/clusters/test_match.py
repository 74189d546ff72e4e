"""Matching of clusters recovers permutations across K, seeds, layers, models and grids."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from xai_views.engine.clusters.features import Features
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.engine.clusters.match import hungarian, match, match_labels, relabel
from xai_views.engine.clusters.measures import ari
from xai_views.engine.clusters.tree import build
from xai_views.errors import MethodError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def found(make_layers, shapes, dtype):
    """Six clusters of two images, and the features."""
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    return kmeans(features, 6, seed=1), features


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (3, 5), (5, 3), (1, 4), (4, 1)])
def test_the_assignment_is_the_best_of_all(rng, rows, columns):
    for _ in range(20):
        gain = rng.normal(size=(rows, columns))
        chosen = hungarian(gain)
        inside = chosen < columns
        assert len(set(chosen)) == rows
        assert inside.sum() == min(rows, columns)
        assert sorted(chosen[~inside]) == list(range(columns, columns + rows - inside.sum()))
        least, most = min(rows, columns), max(rows, columns)
        wide = gain if rows <= columns else gain.T
        best = max(wide[np.arange(least), list(p)].sum() for p in permutations(range(most), least))
        assert gain[np.flatnonzero(inside), chosen[inside]].sum() == pytest.approx(best)


def test_the_greedy_choice_is_not_taken():
    # 0.9 first leaves 0.1 for the other: 1.0 in all; the other pairing has 1.6
    assert list(hungarian(np.array([[0.9, 0.8], [0.8, 0.1]]))) == [1, 0]


def test_a_permutation_of_centroids_is_found(found, rng):
    one, _ = found
    order = rng.permutation(one.k)
    shuffled = [m[order] for m in one.centroids]
    np.testing.assert_array_equal(match(one.centroids, shuffled), order)


def test_cosine_decides_not_length(found, rng):
    one, _ = found
    order = rng.permutation(one.k)
    length = torch.from_numpy(rng.uniform(0.05, 20, (one.k, 1))).to(one.centroids[0])
    scaled = [m[order] * length for m in one.centroids]
    np.testing.assert_array_equal(match(one.centroids, scaled), order)


def test_a_long_centroid_does_not_get_its_way_over_the_others():
    long = 100 * torch.tensor([[0.8, 0.6]])
    # by cosine 0.6 + 1 for the crossed pairs, 0.8 + 0 for the others
    np.testing.assert_array_equal(match([torch.eye(2)], [torch.cat([long, torch.eye(2)[:1]])]), [1, 0])


def test_all_layers_count_in_the_match_of_centroids():
    shared = torch.eye(2)
    reference = [torch.ones(2, 3), shared]
    np.testing.assert_array_equal(match(reference, [torch.ones(2, 3), shared.flip(0)]), [1, 0])


def test_clusters_without_a_partner_get_new_ids(found, rng):
    one, _ = found
    order = rng.permutation(one.k)
    some = [m[order][:4] for m in one.centroids]
    np.testing.assert_array_equal(match(one.centroids, some), order[:4])
    ids = match(some, one.centroids)
    np.testing.assert_array_equal(ids[order[:4]], np.arange(4))
    assert sorted(ids[order[4:]]) == [4, 5]


def test_dead_centroids_are_matched_last_without_nan():
    reference = [torch.tensor([[0.0, 0], [1, 0], [0, 1]])]
    np.testing.assert_array_equal(match(reference, [torch.tensor([[0.0, 2], [0, 0], [3, 0]])]), [2, 0, 1])


def test_centroids_of_other_channels_are_one_sentence(found):
    one, _ = found
    with pytest.raises(MethodError, match=r"cannot be compared; match the label maps") as caught:
        match(one.centroids, [m[:, :-1] for m in one.centroids])
    assert "\n" not in str(caught.value)
    with pytest.raises(MethodError, match="cannot be compared"):
        match(one.centroids, one.centroids[:1])


def test_a_permutation_of_labels_is_found(found, rng):
    one, _ = found
    order = rng.permutation(one.k)
    labels = one.labels.numpy()
    shuffled = order[labels]
    back = match_labels(labels, shuffled)
    np.testing.assert_array_equal(back[shuffled], labels)
    np.testing.assert_array_equal(match_labels(torch.from_numpy(labels), torch.from_numpy(shuffled)), back)


def test_across_seeds_planted_parts_keep_their_ids(make_planted, shapes, dtype):
    layers, truth = make_planted(shapes, dtype, n=2)
    features = Features.of(layers, interp="nearest")
    one, two = (kmeans(features, 4, seed=s) for s in (0, 5))
    assert torch.equal(relabel(two, match_labels(one.labels, two.labels)).labels, one.labels)
    assert torch.equal(relabel(two, match(one.centroids, two.centroids)).labels, one.labels)
    ids = match_labels(truth, one.labels)
    np.testing.assert_array_equal(ids[one.labels.numpy()], truth.numpy())


def test_across_k_a_coarser_cut_keeps_the_ids_that_it_can(found):
    one, features = found
    fine = build(one, features)
    for k in (2, 4):
        coarse = fine.cut(k).labels.numpy()
        ids = match_labels(coarse, fine.cut(6).labels.numpy())
        assert sorted(ids) == list(range(6)), "k old ids, and new ones for the rest"
        shown = ids[fine.cut(6).labels.numpy()]
        # The matched clusters of a nested cut lie within their partners, so they never disagree with them.
        np.testing.assert_array_equal(shown[shown < k], coarse[shown < k])


def test_across_layers_and_grids_of_one_image(make_planted, shapes, dtype):
    layers, truth = make_planted(shapes, dtype, n=2)
    shallow = kmeans(Features.of(layers[:1], interp="nearest"), 4, seed=2).labels
    deep = kmeans(Features.of(layers[-1:], interp="nearest"), 4, seed=3).labels
    assert shallow.shape != deep.shape
    ids = match_labels(shallow, deep)
    factor = [a // b for a, b in zip(shallow.shape, deep.shape, strict=True)]
    grown = np.kron(ids[deep.numpy()], np.ones(factor, int))
    np.testing.assert_array_equal(grown, shallow.numpy())
    back = match_labels(deep, shallow)
    np.testing.assert_array_equal(np.argsort(ids), back)
    assert ari(grown, truth) == 1


def test_across_models_of_other_channels(make_planted, shapes):
    one, truth = make_planted(shapes, torch.float64)
    # a second network: rotated and widened channels, coarser grids, the same picture
    generator = torch.Generator().manual_seed(3)
    two = []
    for a in one[1:]:
        mixing = torch.randn(a.shape[1] + 7, a.shape[1], generator=generator, dtype=a.dtype)
        two.append(torch.einsum("dc,nc...->nd...", mixing, a))
    labels = [kmeans(Features.of(layers, interp="nearest"), 4).labels for layers in (one, two)]
    ids = match_labels(*labels)
    assert sorted(ids) == [0, 1, 2, 3]
    factor = [a // b for a, b in zip(labels[0].shape, labels[1].shape, strict=True)]
    np.testing.assert_array_equal(np.kron(ids[labels[1].numpy()], np.ones(factor, int)), labels[0].numpy())
    assert ari(labels[0], truth) == 1


def test_grids_that_are_no_multiples_meet_at_the_centres_of_cells():
    reference = np.array([[0, 0, 0, 1, 1]])
    # centres of five cells in a map of two: .2, .6, 1.0, 1.4, 1.8
    np.testing.assert_array_equal(match_labels(reference, np.array([[0, 1]])), [0, 1])
    np.testing.assert_array_equal(match_labels(np.array([[0, 1]]), np.array([[1, 1, 0, 0, 0]])), [1, 0])
    # of three cells over two, the one in the middle starts in the first but has its centre in the second
    np.testing.assert_array_equal(match_labels(np.array([[0, 1]]), np.array([[0, 1, 0]])), [0, 1])


def test_maximal_overlap_in_all_is_wanted_not_each_ids_largest():
    # Each new id overlaps old id 0 most; only one can have it.
    table = np.array([[8, 7], [6, 0]])  # rows: new id, columns: old id
    old = np.concatenate([np.repeat([0, 1], row) for row in table])
    new = np.repeat([0, 1], table.sum(1))
    np.testing.assert_array_equal(match_labels(old, new), [1, 0])


def test_an_id_that_nothing_has_still_gets_one():
    ids = match_labels(np.array([0, 0, 2, 2]), np.array([3, 3, 1, 1]))
    assert ids[3] == 0
    assert ids[1] == 2
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("reference", "labels"),
    [(np.zeros((2, 2), int), np.zeros(4, int)), (np.zeros((0, 3), int), np.zeros((0, 3), int))],
    ids=["dimensions", "empty"],
)
def test_maps_that_cannot_be_matched_are_one_sentence(reference, labels):
    with pytest.raises(MethodError, match="give maps of the same images") as caught:
        match_labels(reference, labels)
    assert "\n" not in str(caught.value)


def test_maps_of_different_numbers_of_images_are_one_sentence():
    with pytest.raises(MethodError, match="give maps of the same images"):
        match_labels(np.zeros((1, 4, 4), int), np.zeros((3, 4, 4), int))


def test_relabelled_clusters_are_the_same_clusters(found, rng):
    one, features = found
    order = rng.permutation(one.k)
    other = relabel(one, order)
    np.testing.assert_array_equal(other.labels, order[one.labels.numpy()])
    assert torch.equal(other.counts[order], one.counts)
    for m, old in zip(other.centroids, one.centroids, strict=True):
        assert torch.equal(m[order], old)
    assert other.inertia == one.inertia
    torch.testing.assert_close(other.distances, features.distances(other.centroids))


def test_relabelling_with_new_ids_keeps_their_order(found):
    one, _ = found
    wide = relabel(one, [7, 0, 9, 1, 2, 12])
    np.testing.assert_array_equal(wide.labels, np.array([3, 0, 4, 1, 2, 5])[one.labels.numpy()])


@pytest.mark.parametrize("permutation", [[0, 1], [0, 0, 1, 2, 3, 4]], ids=["too few", "twice"])
def test_a_permutation_that_is_none_is_one_sentence(found, permutation):
    one, _ = found
    with pytest.raises(MethodError, match="give one distinct id per cluster"):
        relabel(one, permutation)
