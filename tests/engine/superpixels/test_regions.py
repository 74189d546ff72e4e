"""Regions: partitions, connectedness, merging against a slow version, nested levels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label as nd_label

from xai_views.engine.clusters.labels import resize_labels
from xai_views.engine.superpixels.regions import (
    borders,
    boundaries,
    clusters_to_regions,
    merged_to,
    nested,
    owners,
    pieces,
)
from xai_views.errors import MethodError

LABELS = [np.random.default_rng(s).integers(0, 4, (13, 17)) for s in range(4)]


def connected(mask: np.ndarray) -> bool:
    return nd_label(mask)[1] == 1


def slow_merge(labels: np.ndarray, smallest: int) -> np.ndarray:
    """Reference version of the docstring, pixel by pixel: ids of pieces."""
    ids = pieces(labels)
    while True:
        names, sizes = np.unique(ids, return_counts=True)
        if sizes.min() >= smallest or len(names) == 1:
            return ids
        victim = min(names, key=lambda i: (sizes[names == i][0], i))
        shared = dict.fromkeys(names, 0)
        h, w = ids.shape
        for y, x in zip(*np.nonzero(ids == victim), strict=True):
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < h and 0 <= u < w and ids[v, u] != victim:
                    shared[ids[v, u]] += 1
        host = max(names, key=lambda i: (shared[i], sizes[names == i][0], -i))
        ids[ids == victim] = host


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return (
        len(np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T) == len(np.unique(a)) == len(np.unique(b))
    )


@pytest.mark.parametrize("min_area", [0, 4, 12, 0.1])
@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize("labels", LABELS, ids=range(len(LABELS)))
def test_regions_are_a_partition_without_gaps(labels, is_connected, min_area):
    regions = clusters_to_regions(labels, is_connected, min_area)
    sizes = np.bincount(regions.ravel())
    assert sizes.sum() == labels.size
    assert sizes.min() > 0
    if is_connected:
        assert all(connected(regions == i) for i in range(len(sizes)))
        assert sizes.min() >= (min_area if min_area >= 1 else min_area * labels.size)


@pytest.mark.parametrize("labels", LABELS, ids=range(len(LABELS)))
def test_superpixels_are_the_pieces_that_a_slow_search_finds(labels):
    regions = clusters_to_regions(labels, connected=True)
    count = 0
    for value in np.unique(labels):
        marked, n = nd_label(labels == value)
        count += n
        assert all(len(np.unique(regions[marked == i])) == 1 for i in range(1, n + 1))
    assert regions.max() + 1 == count
    firsts = [np.flatnonzero(regions.ravel() == i)[0] for i in range(count)]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("smallest", [3, 9, 60])
@pytest.mark.parametrize("labels", LABELS, ids=range(len(LABELS)))
def test_small_pieces_join_the_longest_border_as_in_a_slow_version(labels, smallest):
    want = slow_merge(labels, smallest)
    assert same_partition(clusters_to_regions(labels, True, smallest), want)
    # the same pieces by cluster: each has the label of the piece that absorbed the others
    first = [
        labels.ravel()[np.flatnonzero(pieces(labels).ravel() == i)[0]]
        for i in range(pieces(labels).max() + 1)
    ]
    by_cluster = np.array(first)[want]
    assert same_partition(clusters_to_regions(labels, False, smallest), by_cluster)


def test_the_longest_border_wins_over_the_largest_neighbour():
    labels = np.zeros((5, 6), int)
    labels[1:4, 4:] = 1  # touches the spot on two sides
    labels[2, 4] = 2
    assert clusters_to_regions(labels, True, 2)[2, 4] == clusters_to_regions(labels, True, 2)[2, 5]


def test_clusters_keep_their_ids():
    labels = LABELS[0]
    np.testing.assert_array_equal(clusters_to_regions(labels), labels)
    np.testing.assert_array_equal(np.unique(clusters_to_regions(labels * 3)), [0, 1, 2, 3])


@pytest.mark.parametrize("count", [1, 2, 7, 30, 10_000])
def test_merged_to_a_number(count):
    labels = LABELS[1]
    regions = merged_to(pieces(labels), count)
    assert regions.max() + 1 == min(count, pieces(labels).max() + 1)
    assert all(connected(regions == i) for i in range(regions.max() + 1))


@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize("min_area", [0, 10])
def test_nested_levels_refine_one_another(is_connected, min_area):
    rng = np.random.default_rng(1)
    maps = [rng.integers(0, 3, s) for s in ((4, 5), (8, 10), (16, 20))]
    levels, parents = nested(maps, is_connected, min_area)
    assert [level.shape for level in levels] == [(16, 20)] * 3
    for coarse, fine, parent in zip(levels, levels[1:], parents, strict=False):
        np.testing.assert_array_equal(parent[fine], coarse)
    if is_connected:
        assert all(connected(level == i) for level in levels for i in range(level.max() + 1))
    if not min_area:
        split = [np.stack([resize_labels(m, (16, 20)).ravel() for m in maps[: i + 1]]) for i in range(3)]
        for level, keys in zip(levels, split, strict=True):
            if not is_connected:
                assert level.max() + 1 == len(np.unique(keys, axis=1).T)


def test_owners_are_majorities():
    regions = np.array([[0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(owners(regions, np.array([[2, 2, 0], [1, 0, 1]])), [2, 1])


@pytest.mark.parametrize("shape", [(8, 10), (12, 15), (5, 7), (4, 5), (2, 2)])
def test_resized_labels_are_those_of_the_nearest_centre(shape):
    small = np.arange(20).reshape(4, 5)
    got = resize_labels(small, shape)
    for y in range(shape[0]):
        for x in range(shape[1]):
            centre = ((y + 0.5) * 4 / shape[0], (x + 0.5) * 5 / shape[1])
            assert got[y, x] == small[int(centre[0]), int(centre[1])]


def test_boundaries_and_borders_of_two_halves():
    regions = np.repeat([[0, 0, 0, 1, 1]], 4, 0)
    np.testing.assert_array_equal(boundaries(regions), np.repeat([[False, False, True, True, False]], 4, 0))
    pairs, lengths = borders(regions)
    assert pairs.tolist() == [[0, 1]]
    assert lengths.tolist() == [4]


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 3, 4), int), np.zeros((3, 3)), np.full((2, 2), -1), np.zeros((0, 3), int)]
)
def test_what_is_no_label_map_is_refused_in_a_sentence(labels):
    with pytest.raises(MethodError, match=r"label map .*[.;]"):
        clusters_to_regions(labels)


def test_own_regions_of_the_shipped_network_are_connected_partitions(own_regions):
    for regions in own_regions:
        assert np.bincount(regions.ravel()).sum() == 28 * 28
        assert all(connected(regions == i) for i in range(regions.max() + 1))
        assert regions.max() > 2
