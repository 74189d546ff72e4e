"""k-means on factored features against scikit-learn on the data matrix, and on planted clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from xai_views.engine.clusters import kmeans as engine
from xai_views.engine.clusters.features import Features, preset_weights
from xai_views.engine.clusters.kmeans import (
    AUTHORS_OFFSET,
    Clustering,
    assign,
    described,
    elbow,
    kmeans,
    lloyd,
    trial,
)
from xai_views.engine.clusters.lloyd import refilled
from xai_views.engine.clusters.measures import ari
from xai_views.errors import MethodError

SIZE = {2: (24, 32), 1: (96,)}


def own_distances(found: Clustering) -> torch.Tensor:
    """Squared distances of every row to its own centroid, from the explicit rows."""
    rows = found.features.explicit().double()
    own = torch.cat(found.features.drop(found.centroids), 1).double()[found.labels.flatten()]
    return (rows - own).square().sum(1)


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "full"])
@pytest.mark.parametrize("grid", ["shallowest", "input", "double"])
@pytest.mark.parametrize("interp", ["bicubic", "bilinear", "nearest"])
def test_factored_equals_scikit_learn_from_the_same_start(
    make_layers, make_naive, shapes, dtype, interp, grid, compress
):
    activations = make_layers(shapes, n=2, dtype=dtype)
    size = SIZE[len(shapes[0][1])]
    features = Features.of(activations, grid=grid, interp=interp, size=size, compress=compress)
    weights = preset_weights([c for c, _ in shapes])
    X = make_naive(activations, features.grid, interp, weights).numpy()
    start = torch.arange(5) * (features.positions // 5) + 3
    found = kmeans(features, 5, init=features.split(features.rows(start)), iterations=300, tolerance=0)
    oracle = KMeans(5, init=X[start], n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(X)
    np.testing.assert_array_equal(found.labels.flatten(), oracle.labels_)
    assert found.inertia == pytest.approx(oracle.inertia_, rel=1e-5)
    centres = torch.cat(features.lift(found.centroids), 1)
    np.testing.assert_allclose(centres, oracle.cluster_centers_, atol=1e-5)


def test_a_start_may_be_given_by_positions(make_layers, shapes):
    features = Features.of(make_layers(shapes))
    start = torch.tensor([3, 20, 41])
    one, two = kmeans(features, 3, init=start), kmeans(features, 3, init=features.split(features.rows(start)))
    assert torch.equal(one.labels, two.labels)
    assert one.inertia == two.inertia


def test_labels_belong_to_the_returned_centroids(make_layers, shapes, dtype):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    for found in (
        kmeans(features, 4),
        lloyd(features, features.split(features.rows(torch.arange(4))), iterations=1),
    ):
        assert torch.equal(found.labels, features.distances(found.centroids).argmin(1))
        assert torch.equal(found.counts, torch.bincount(found.labels.flatten(), minlength=4))
        assert found.inertia == pytest.approx(float(own_distances(found).sum()), rel=1e-4)
        assert found.distances.shape == (2, 4, *features.grid)


def test_ids_are_ordered_by_size(make_layers, shapes):
    counts = kmeans(Features.of(make_layers(shapes, n=2)), 6).counts
    assert torch.equal(counts, counts.sort(descending=True).values)


def test_inertia_is_as_good_as_scikit_learns_best_of_ten(make_layers, shapes):
    """With as many restarts, on average over seeds, within one percent."""
    layers = make_layers(shapes, n=1, seed=4)
    features = Features.of(layers)
    X = features.explicit().double().numpy()
    ours = np.mean([kmeans(features, 4, restarts=10, seed=s).inertia for s in range(8)])
    theirs = np.mean([KMeans(4, n_init=10, random_state=s).fit(X).inertia_ for s in range(3)])
    single = np.mean([KMeans(4, n_init=1, init="random", random_state=s).fit(X).inertia_ for s in range(8)])
    assert ours <= 1.01 * theirs < single  # and a poor seeding would be seen


def test_more_restarts_do_not_raise_the_inertia(make_layers, shapes):
    features = Features.of(make_layers(shapes, n=1, seed=4))
    one, many = (
        np.mean([kmeans(features, 7, restarts=r, seed=s).inertia for s in range(10)]) for r in (1, 8)
    )
    assert many < one


# -- sanity checks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3])
def test_planted_parts_are_recovered(make_planted, shapes, dtype, n):
    layers, truth = make_planted(shapes, dtype, n)
    found = kmeans(Features.of(layers, interp="nearest"), 4)
    assert ari(found.labels, truth) == 1
    assert found.inertia == pytest.approx(0, abs=1e-3 if dtype == torch.float32 else 1e-10)


def test_planted_parts_are_recovered_on_one_grid_with_bicubic(make_planted, dtype):
    """Tokens: all layers have one grid, so that nothing is resampled."""
    layers, truth = make_planted(((8, (6, 7)), (8, (6, 7)), (8, (6, 7))), dtype)
    assert ari(kmeans(Features.of(layers), 4).labels, truth) == 1


def test_more_clusters_than_different_positions_give_fewer(make_planted, shapes, dtype):
    layers, truth = make_planted(shapes, dtype)
    found = kmeans(Features.of(layers, interp="nearest"), 11)
    assert found.k == 4 == len(found.counts) == len(found.centroids[0]) == found.distances.shape[1]
    assert ari(found.labels, truth) == 1
    assert int(found.counts.sum()) == found.labels.numel()
    assert bool((found.counts > 0).all())


def test_one_cluster_is_the_mean(make_layers, shapes, dtype):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    found = kmeans(features, 1)
    assert found.labels.max() == 0
    torch.testing.assert_close(torch.cat(found.centroids, 1)[0], features.explicit().mean(0))


def test_huygens(make_layers, shapes, dtype):
    """At a fixed point, the squared lengths of the rows equal the inertia plus those of the centroids."""
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    for k in (1, 5):
        found = kmeans(features, k, tolerance=0)
        carried = sum((found.counts * m.square().sum(1)).sum() for m in found.centroids)
        total = float(features.square.sum())
        assert total == pytest.approx(
            found.inertia + float(carried), rel=1e-5 if dtype == torch.float32 else 1e-12
        )


def test_flipping_all_layers_flips_the_labels(make_layers, shapes, dtype):
    layers = make_layers(shapes, n=2, dtype=dtype)
    axes = list(range(2, layers[0].ndim))
    features, flipped = Features.of(layers), Features.of([a.flip(axes) for a in layers])
    start = torch.tensor([5, 30, 77])
    place = (
        torch.arange(features.positions).reshape(2, *features.grid).flip(list(range(1, layers[0].ndim - 1)))
    )
    one, two = kmeans(features, 3, init=start), kmeans(flipped, 3, init=torch.argsort(place.flatten())[start])
    assert torch.equal(two.labels, one.labels.flip(list(range(1, one.labels.ndim))))
    assert not torch.equal(two.labels, one.labels)


def test_two_copies_in_a_batch_have_identical_maps(make_layers, shapes, dtype):
    layers = [torch.cat([a, a]) for a in make_layers(shapes, dtype=dtype)]
    found = kmeans(Features.of(layers), 5)
    assert torch.equal(found.labels[0], found.labels[1])


def test_labels_are_shared_by_the_images_of_a_batch(make_planted, shapes, dtype):
    """The same part has the same id in every image, because all positions are clustered jointly."""
    layers, truth = make_planted(shapes, dtype, n=3)
    found = kmeans(Features.of(layers, interp="nearest"), 4)
    for part in range(4):
        assert len(found.labels[truth == part].unique()) == 1


def test_the_same_seed_gives_the_same_and_another_seed_another_start(make_layers, shapes):
    features = Features.of(make_layers(shapes, n=2))
    one, two = kmeans(features, 6, seed=3), kmeans(features, 6, seed=3)
    assert torch.equal(one.labels, two.labels)
    assert one.inertia == two.inertia
    assert all(torch.equal(a, b) for a, b in zip(one.centroids, two.centroids, strict=True))
    starts = {kmeans(features, 6, seed=s, restarts=1, iterations=0).inertia for s in range(4)}
    assert len(starts) > 1


def test_the_global_generator_is_neither_used_nor_moved(make_layers, shapes):
    features = Features.of(make_layers(shapes))
    torch.manual_seed(0)
    one, state = kmeans(features, 4), torch.get_rng_state()
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(kmeans(features, 4).labels, one.labels)


# -- its parts --------------------------------------------------------------------------------------------------


def test_an_empty_cluster_is_put_on_the_farthest_position(make_planted, shapes, dtype):
    layers, truth = make_planted(shapes, dtype)
    features = Features.of(layers, interp="nearest")
    # four centroids at the same position: three of them get no positions
    found = kmeans(features, 4, init=torch.zeros(4, dtype=torch.long))
    assert bool((found.counts > 0).all())
    assert ari(found.labels, truth) == 1


@pytest.mark.parametrize("empty", [1, 2])
def test_empty_clusters_go_where_positions_are_farthest_from_their_own(empty):
    """On a line the farthest positions are known, and only they are accepted."""
    rows = torch.tensor([[0.0], [1.0], [2.0], [3.0], [40.0], [100.0]])
    features = Features.raw(rows)
    start = [torch.tensor([[1.5], *[[-1e4]] * empty])]
    best, _ = features.nearest(start, 1)
    counts = torch.tensor([[len(rows), *[0] * empty]])
    (moved,) = refilled(features, start, best.reshape(1, -1), counts)
    assert moved.flatten().tolist() == [1.5, 100.0, 40.0][: 1 + empty]
    found = lloyd(features, start, iterations=20)
    assert found.counts.tolist() == ([5, 1] if empty == 1 else [4, 1, 1])
    assert found.inertia == pytest.approx(((rows[:5] - rows[:5].mean()) ** 2).sum() if empty == 1 else 5.0)


def test_an_empty_cluster_keeps_its_id_when_a_start_was_given(make_planted, shapes):
    layers, _ = make_planted(shapes, torch.float64)
    found = kmeans(Features.of(layers, interp="nearest"), 6, init=torch.zeros(6, dtype=torch.long))
    assert found.k == 6
    assert int((found.counts == 0).sum()) == 2


def test_restarts_are_tried_on_a_coarser_grid(make_layers, monkeypatch):
    layers = make_layers(((6, (12, 16)), (10, (6, 8)), (90, (3, 4))))
    features = Features.of(layers, grid=(48, 64))
    assert trial(features, 4000) is features
    small = trial(features, 300)
    assert small.positions <= 300
    assert small.grid[0] / small.grid[1] == pytest.approx(0.75, abs=0.1)
    whole = kmeans(features, 4)
    monkeypatch.setattr(engine, "TRIAL", 300)
    assert kmeans(features, 4, on=small).inertia == pytest.approx(whole.inertia, rel=0.02)


def test_many_small_images_are_tried_as_explicit_rows(make_layers):
    shapes = ((20, (4, 4)), (30, (4, 4)))
    features = Features.of(make_layers(shapes, n=40), grid=(8, 8))
    small = trial(features, 200)
    assert len(small.blocks) == 1
    assert small.positions <= 200
    found = kmeans(features, 5, on=small)
    assert found.inertia <= 1.03 * kmeans(features, 5, on=features).inertia
    assert len(found.centroids) == 2


def test_raw_rows_are_clustered_as_they_are():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 7, generator=generator) * 5 + 100
    start = torch.arange(4) * 60
    found = kmeans(Features.raw(rows), 4, init=start, tolerance=0)
    oracle = KMeans(4, init=rows[start].numpy(), n_init=1, tol=0, algorithm="lloyd").fit(rows.numpy())
    np.testing.assert_array_equal(found.labels[0], oracle.labels_)
    part = trial(Features.raw(rows), 50)
    assert part.positions == 50
    assert all((rows == row).all(1).any() for row in part.explicit())


def test_a_partition_is_described_by_its_means(make_layers, shapes, dtype):
    features = Features.of(make_layers(shapes, n=2, dtype=dtype))
    labels = torch.randint(3, (2, *features.grid), generator=torch.Generator().manual_seed(2))
    labels[labels == 1] = 5
    found = described(features, labels)
    assert found.k == 3
    assert ari(found.labels, labels) == 1
    assert found.inertia == pytest.approx(float(own_distances(found).sum()), rel=1e-5)
    assert torch.equal(found.counts, found.counts.sort(descending=True).values)


def test_assigning_to_the_own_centroids_changes_nothing(make_layers, shapes):
    features = Features.of(make_layers(shapes, n=2))
    found = kmeans(features, 4, tolerance=0)
    again = assign(features, found.centroids)
    assert torch.equal(found.labels, again.labels)
    assert found.inertia == pytest.approx(again.inertia)


def test_progress_counts_up_and_may_stop(make_layers, shapes):
    features, seen = Features.of(make_layers(shapes)), []
    kmeans(features, 4, progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert all(d <= total for d, total in seen)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kmeans(features, 4, progress=stop)


def test_impossible_numbers_of_clusters_are_said_in_one_sentence(make_layers, shapes):
    features = Features.of(make_layers(shapes))
    for k in (0, -1, features.positions + 1):
        with pytest.raises(
            MethodError, match=f"{k} clusters of {features.positions} positions were requested"
        ):
            kmeans(features, k)
    with pytest.raises(MethodError, match="the start has 2"):
        kmeans(features, 3, init=torch.tensor([0, 1]))


# -- number of clusters ---------------------------------------------------------------------------------------------------


def test_the_elbow_is_the_flattest_step(make_layers, shapes):
    features = Features.of(make_layers(shapes, n=1))
    k, table = elbow(features, seed=1)
    sizes, inertia, rho = (list(column) for column in zip(*table, strict=True))
    assert sizes == list(range(3, 11))
    assert inertia == [kmeans(features, s, seed=1).inertia for s in sizes]
    expected = [(inertia[i + 1] - inertia[i]) / inertia[i] for i in range(7)]
    assert rho[:-1] == expected
    assert math.isnan(rho[-1])
    assert k == 3 + int(np.argmax(expected))


def test_the_offset_of_the_authors_is_minus_one(make_layers, shapes):
    features = Features.of(make_layers(shapes))
    assert elbow(features, offset=AUTHORS_OFFSET)[0] == elbow(features)[0] - 1
    assert elbow(features, offset=-99)[0] == 1


def test_the_elbow_of_planted_parts_is_their_number(make_planted, shapes, dtype):
    """With more clusters nothing is left to explain: the step is flat."""
    layers, _ = make_planted(shapes, dtype, parts=5)
    assert elbow(Features.of(layers, interp="nearest"))[0] == 5


def test_the_elbow_of_few_or_dead_positions_is_possible():
    few = Features.of([torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))])
    k, table = elbow(few)
    assert 1 <= k <= 4
    assert [row[0] for row in table] == [3, 4]
    assert elbow(Features.of([torch.zeros(1, 3, 4, 4)]))[0] >= 1
    assert elbow(Features.of([torch.rand(1, 3, 1, 1)]))[0] == 1
