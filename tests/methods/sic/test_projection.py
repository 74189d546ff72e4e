"""Positions of samples and supports in two dimensions."""

import numpy as np

from xai_views.methods.sic.projection import neighbours_map, principal_axes


def test_projections():
    rng = np.random.default_rng(0)
    z, supports = rng.normal(size=(20, 6)), rng.normal(size=(4, 6))
    xy, support_xy, share = principal_axes(z, supports)
    assert xy.shape == (20, 2)
    assert support_xy.shape == (4, 2)
    assert 0 < share <= 1
    np.testing.assert_allclose(principal_axes(3 * z, supports)[0], xy, atol=1e-9)  # directions only
    np.testing.assert_allclose(principal_axes(z, z[:2])[1], xy[:2], atol=1e-9)
    for few in (1, 2):
        assert np.isfinite(principal_axes(z[:few], supports)[0]).all()
        assert principal_axes(z[:few], supports)[0].shape == (few, 2)
    first, again = neighbours_map(z, supports), neighbours_map(z, supports)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1].shape == (4, 2)
