"""Factored features against the data matrix as the authors build it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from xai_views.engine.clusters import blocks
from xai_views.engine.clusters.features import Features, preset_weights
from xai_views.engine.clusters.kmeans import kmeans
from xai_views.errors import MethodError

SIZE = {2: (24, 32), 1: (96,)}
GRIDS = ["shallowest", "input", "double", "uneven"]
UNEVEN = {2: (5, 23), 1: (31,)}
TOLERANCE = {torch.float32: {"atol": 5e-5, "rtol": 1e-5}, torch.float64: {"atol": 1e-11, "rtol": 1e-9}}


@pytest.fixture(params=[True, False], ids=["compressed", "full"])
def compress(request):
    return request.param


@pytest.fixture
def made(make_layers, make_naive, shapes, dtype, compress):
    """Features of two images, and their data matrix."""

    def make(grid="shallowest", interp="bicubic", weights="authors", n=2, seed=0):
        activations = make_layers(shapes, n=n, dtype=dtype, seed=seed)
        rank = len(shapes[0][1])
        grid = UNEVEN[rank] if grid == "uneven" else grid
        features = Features.of(
            activations, grid=grid, interp=interp, weights=weights, size=SIZE[rank], compress=compress
        )
        return features, make_naive(activations, features.grid, interp, features.weights.tolist())

    return make


@pytest.fixture
def centroids(shapes, dtype):
    """Any centroids, in the channels of the layers."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(4, c, generator=generator, dtype=torch.float64).to(dtype) / c**0.5 for c, _ in shapes]


def assert_near(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal up to rounding; a nearly dead column loses some digits when normalised."""
    torch.testing.assert_close(a, b, **TOLERANCE[a.dtype])


def as_maps(rows: torch.Tensor, features: Features) -> torch.Tensor:
    """``[positions, K]`` as ``[n, K, *grid]``."""
    return rows.reshape(features.n, *features.grid, -1).movedim(-1, 1)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("interp", ["bicubic", "bilinear", "nearest"])
def test_the_data_matrix_is_the_authors(made, grid, interp):
    features, X = made(grid, interp)
    assert_near(features.explicit(full=True), X)
    inside = features.explicit()
    assert inside.shape[1] <= X.shape[1]
    assert_near(inside @ inside.T, X @ X.T)


@pytest.mark.parametrize("grid", GRIDS)
def test_rows_are_those_of_the_data_matrix(made, grid):
    features, _ = made(grid)
    index = torch.tensor([0, features.positions - 1, features.positions // 2, 3, 3])
    torch.testing.assert_close(features.rows(index), features.explicit()[index])
    assert torch.equal(torch.cat(features.split(features.rows(index)), 1), features.rows(index))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("interp", ["bicubic", "nearest"])
def test_scores_and_distances_equal_the_explicit_ones(made, centroids, grid, interp):
    features, X = made(grid, interp)
    M = torch.cat(centroids, 1)
    assert_near(features.scores(centroids), as_maps(X @ M.T, features))
    assert_near(features.distances(centroids), as_maps(torch.cdist(X, M).square(), features))


def test_centroids_may_be_given_in_either_basis(made):
    features, X = made()
    inside = features.split(features.rows(torch.tensor([1, 7, 20])))
    full = features.lift(inside)
    torch.testing.assert_close(torch.cat(full, 1), X[[1, 7, 20]])
    torch.testing.assert_close(features.distances(full), features.distances(inside), atol=1e-5, rtol=1e-5)
    for a, b in zip(features.drop(full), inside, strict=True):
        torch.testing.assert_close(a, b)


def test_compression_keeps_the_length_of_centroids_of_other_images(make_layers, shapes, dtype):
    """A centroid from other images has a part outside the span of these positions; distances include it."""
    here, there = (Features.of(make_layers(shapes, dtype=dtype, seed=s), weights="equal") for s in (0, 1))
    centroids = there.lift(there.split(there.rows(torch.tensor([0, 11]))))
    X, M = here.explicit(full=True), torch.cat(centroids, 1)
    expected = as_maps(torch.cdist(X, M).square(), here)
    torch.testing.assert_close(here.distances(centroids), expected)
    assert here.blocks[-1].basis is not None
    dropped = here.distances(here.drop(centroids))
    assert (expected - dropped).max() > 0.1  # the test can tell


@pytest.mark.parametrize("grid", GRIDS)
def test_nearest_is_the_smallest_distance_and_the_first_of_equals(made, centroids, grid):
    features, _ = made(grid)
    twice = [torch.cat([m, m]) for m in centroids]
    best, labels = features.nearest(twice)
    distances = features.distances(centroids)
    assert torch.equal(labels[:, 0], distances.argmin(1))
    torch.testing.assert_close(best[:, 0], distances.amin(1))
    best, labels = features.nearest(twice, groups=2)
    assert torch.equal(labels[:, 0], labels[:, 1])
    assert labels.max() < 4


@pytest.mark.parametrize("grid", GRIDS)
def test_means_are_those_of_the_rows(made, grid):
    features, X = made(grid)
    labels = torch.randint(4, (features.n, *features.grid), generator=torch.Generator().manual_seed(1))
    labels[labels == 2] = 3  # id 2 stays empty
    means, counts = features.means(labels, 5)
    full = torch.cat(features.lift(means), 1)
    for k in range(5):
        own = (labels == k).flatten()
        assert counts[k] == own.sum()
        expected = X[own].mean(0) if own.any() else torch.zeros_like(X[0])
        torch.testing.assert_close(full[k], expected)


def test_work_in_small_pieces_gives_the_same(made, centroids, monkeypatch):
    features, _ = made("input")
    labels = features.distances(centroids).argmin(1)
    whole = features.scores(centroids), *features.means(labels, 4)[0], features.shares(centroids, labels)
    monkeypatch.setattr(blocks, "PIECE", 50)
    again, _ = made("input")
    pieces = again.scores(centroids), *again.means(labels, 4)[0], again.shares(centroids, labels)
    assert len(again.blocks[0].pieces(4)) == again.n > 1
    for a, b in zip(whole, pieces, strict=True):
        torch.testing.assert_close(a, b)


# -- sanity checks ----------------------------------------------------------------------------------------


def test_every_row_has_the_same_length(made):
    features, X = made("input")
    expected = float(features.weights.square().sum())
    alive = X.square().sum(1) > 0.99 * expected
    torch.testing.assert_close(X[alive].square().sum(1), torch.full_like(X[alive, 0], expected))
    torch.testing.assert_close(features.square.flatten(), X.square().sum(1))


def test_the_authors_weights():
    assert preset_weights([512, 1024, 2048]) == [1.0, 513 / 1025, 513 / 2049]
    assert sum(w**2 for w in preset_weights([512, 1024, 2048])) == pytest.approx(1.31317, abs=2e-5)
    assert preset_weights([384, 384]) == [1.0, 1.0]
    assert preset_weights([8, 16, 32], "equal") == [1.0, 1.0, 1.0]
    deep = [w**2 for w in preset_weights([8, 16, 32], "deep-first")]
    assert deep == pytest.approx([0.25, 0.5, 1.0])


def test_the_distance_is_a_weighted_sum_of_cosine_dissimilarities(made, shapes):
    features, X = made()
    starts = torch.tensor([0, *torch.tensor([c for c, _ in shapes]).cumsum(0)]).tolist()
    for p, q in ((0, 5), (3, 40)):
        expected = 0.0
        for w, a, b in zip(features.weights, starts[:-1], starts[1:], strict=True):
            expected += 2 * w**2 * (1 - torch.cosine_similarity(X[p, a:b], X[q, a:b], dim=0))
        torch.testing.assert_close((X[p] - X[q]).square().sum(), expected)


def test_scaling_permuting_or_rotating_a_layer_changes_nothing(make_layers, shapes, dtype):
    plain = make_layers(shapes, n=2, dtype=dtype)
    generator = torch.Generator().manual_seed(3)
    changed = [17.0 * plain[0], plain[1][:, torch.randperm(plain[1].shape[1], generator=generator)]]
    c = plain[2].shape[1]
    rotation = torch.linalg.qr(torch.randn(c, c, generator=generator, dtype=torch.float64))[0].to(dtype)
    changed.append(torch.einsum("cd,nd...->nc...", rotation, plain[2]))
    a, b = (Features.of(layers) for layers in (plain, changed))
    start = torch.arange(5) * 17 + 2
    one, two = kmeans(a, 5, init=start), kmeans(b, 5, init=start)
    assert torch.equal(one.labels, two.labels)
    assert one.inertia == pytest.approx(two.inertia, rel=1e-5)


def test_a_layer_of_weight_zero_changes_nothing(make_layers, shapes, dtype):
    layers = make_layers(shapes, n=2, dtype=dtype)
    with_zero = Features.of(layers, weights=[1.0, 0.4, 0.0])
    without = Features.of(layers[:2], weights=[1.0, 0.4])
    one, two = kmeans(with_zero, 4, seed=3), kmeans(without, 4, seed=3)
    assert torch.equal(one.labels, two.labels)
    assert one.inertia == pytest.approx(two.inertia, rel=1e-6)
    assert torch.equal(with_zero.shares(one.centroids, one.labels)[2], torch.zeros_like(one.distances[:, 0]))


def test_the_first_layer_may_weigh_nothing(make_layers, make_naive, shapes):
    layers = make_layers(shapes)
    features = Features.of(layers, weights=[0.0, 1.0, 2.0])
    X = make_naive(layers, features.grid, "bicubic", [0.0, 1.0, 2.0])
    torch.testing.assert_close(features.explicit(full=True), X)
    index = torch.tensor([0, 9])
    expected = as_maps(torch.cdist(X, X[index]).square(), features)
    torch.testing.assert_close(
        features.distances(features.split(features.rows(index))), expected, atol=1e-5, rtol=0
    )


def test_shares_of_the_layers_sum_to_one_and_are_the_explicit_ones(made, shapes):
    features, X = made("double")
    found = kmeans(features, 4)
    shares = features.shares(found.centroids, found.labels)
    assert shares.shape == (3, *found.labels.shape)
    torch.testing.assert_close(shares.sum(0), torch.ones_like(shares[0]))
    starts = torch.tensor([0, *torch.tensor([c for c, _ in shapes]).cumsum(0)]).tolist()
    gap = (X - torch.cat(features.lift(found.centroids), 1)[found.labels.flatten()]).square()
    parts = torch.stack([gap[:, a:b].sum(1) for a, b in pairwise(starts)])
    expected = (parts / parts.sum(0)).reshape(shares.shape)
    torch.testing.assert_close(shares, expected, atol=2e-5, rtol=1e-4)


def test_shares_on_a_centroid_are_those_of_the_weights(make_layers, shapes, dtype):
    constant = [torch.ones(1, c, *g, dtype=dtype) for c, g in shapes]
    features = Features.of(constant)
    found = kmeans(features, 1)
    expected = features.weights.square() / features.weights.square().sum()
    shares = features.shares(found.centroids, found.labels).flatten(1)
    torch.testing.assert_close(shares, expected[:, None].expand_as(shares))


@pytest.mark.parametrize("grid", ["shallowest", "input"])
def test_similarity_is_the_cosine_of_each_layer(made, shapes, grid):
    features, X = made(grid)
    position = (2, 3)[: features.rank]
    flat = int(torch.arange(features.positions).reshape(features.n, *features.grid)[(1, *position)])
    starts = torch.tensor([0, *torch.tensor([c for c, _ in shapes]).cumsum(0)]).tolist()
    found = features.similarity(1, position)
    for i, (a, b) in enumerate(pairwise(starts)):
        expected = torch.cosine_similarity(X[:, a:b], X[flat, a:b][None], dim=1, eps=1e-20)
        torch.testing.assert_close(found[i].flatten(), expected, atol=1e-5, rtol=1e-5)


def test_norms_are_those_before_the_normalisation(make_layers, shapes, dtype, compress):
    layers = make_layers(shapes, n=2, dtype=dtype)
    features = Features.of(layers, grid="shallowest", compress=compress)
    torch.testing.assert_close(features.norms[0], layers[0].norm(dim=1))
    assert features.norms.shape == (3, 2, *features.grid)


def test_dead_activations_give_no_nan(shapes, dtype, make_layers):
    """All zero; one layer zero; one image zero; a dead region: no NaN, and dead columns stay zero."""
    zero = [torch.zeros(2, c, *g, dtype=dtype) for c, g in shapes]
    layer, image = make_layers(shapes, n=2, dtype=dtype), make_layers(shapes, n=2, dtype=dtype)
    layer[1] *= 0
    for a in image:
        a[1] = 0
    for case in (zero, layer, image):
        features = Features.of(case)
        found = kmeans(features, 3)
        everything = [
            found.distances,
            features.shares(found.centroids, found.labels),
            features.similarity(1, (0,) * features.rank),
            features.explicit(),
        ]
        assert all(torch.isfinite(t).all() for t in everything)
        assert found.inertia >= 0
    assert kmeans(Features.of(zero), 3).k == 1
    assert Features.of(zero).explicit().abs().max() == 0
    torch.testing.assert_close(Features.of(image).square[1], torch.zeros_like(Features.of(image).square[1]))


def test_a_column_just_above_the_guard_is_normalised_and_one_below_is_dead():
    column = torch.zeros(1, 2, 1, 2, dtype=torch.float64)
    column[0, 0, 0, 0], column[0, 0, 0, 1] = 2e-8, 0.5e-8
    assert Features.of([column]).explicit().tolist() == [[1, 0], [0, 0]]


def test_weights_change_without_touching_the_activations(make_layers, shapes):
    features = Features.of(make_layers(shapes))
    other = features.reweighted([1, 2, 3])
    assert all(a is b for a, b in zip(features.blocks, other.blocks, strict=True))
    torch.testing.assert_close(
        other.explicit(), Features.of(make_layers(shapes), weights=[1, 2, 3]).explicit()
    )


def test_another_grid_is_that_of_features_made_there(make_layers, shapes, dtype):
    layers = make_layers(shapes, n=2, dtype=dtype)
    small = tuple(g // 2 + 1 for g in shapes[0][1])
    moved, made = Features.of(layers).on(small), Features.of(layers, grid=small)
    torch.testing.assert_close(moved.explicit(), made.explicit())


def test_half_precision_is_taken_as_single():
    a = torch.rand(1, 4, 3, 3)
    features = Features.of([a.half()])
    assert features.weights.dtype == torch.float32
    torch.testing.assert_close(features.explicit(), Features.of([a]).explicit(), atol=2e-3, rtol=0)


def test_what_cannot_be_clustered_is_said_in_one_sentence(make_layers, shapes):
    layers = make_layers(shapes)
    features = Features.of(layers)
    wrong = {
        "at least one": lambda: Features.of([]),
        "cannot be clustered together": lambda: Features.of([torch.ones(1, 2, 3), torch.ones(1, 2, 3, 3)]),
        r"\[n, C, h, w\]": lambda: Features.of([torch.ones(1, 2, 3), torch.ones(2, 2, 3)]),
        "layer 1 of 1 contains values that are not finite": lambda: Features.of(
            [torch.full((1, 2, 3), torch.nan)]
        ),
        "give one per layer": lambda: features.reweighted([1.0]),
        "at least 0": lambda: features.reweighted([1.0, -1.0, 1.0]),
        "one of them above 0": lambda: features.reweighted([0.0, 0.0, 0.0]),
        "'deep' are not known": lambda: features.reweighted("deep"),
        "is not on the grid": lambda: features.similarity(0, (99,) * features.rank),
        "use the same taps": lambda: features.scores([torch.ones(2, 3)] * 3),
        "of 1 layers were given": lambda: features.scores([torch.ones(2, 3)]),
        "interpolation 'cubic' is not known": lambda: Features.of(layers, interp="cubic"),
    }
    for words, make in wrong.items():
        with pytest.raises(MethodError, match=words):
            make()
