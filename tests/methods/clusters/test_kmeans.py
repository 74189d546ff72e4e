"""k-means on factored features against scikit-learn on the data matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from xai_views.methods.clusters.features import Features, preset_weights
from xai_views.methods.clusters.kmeans import kmeans

SIZE = {2: (24, 32), 1: (96,)}


@pytest.mark.parametrize("compress", [True, False])
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
