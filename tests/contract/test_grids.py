"""Shares of time and of cells."""

import numpy as np

from xai_views.contract.grids import overlap, shares


def test_overlaps_share_out_every_cell():
    for n_from, n_to in ((5, 5), (7, 3), (3, 7), (64, 10)):
        table = overlap(n_from, n_to)
        np.testing.assert_allclose(table.sum(1), 1)
        np.testing.assert_allclose(table.sum(0), n_to / n_from)


def test_shares_count_steps_and_stretches():
    assert shares(np.array([0, 0, 2, 2, 0, -1, -1, 2])) == [(0, 3 / 8, 2), (2, 3 / 8, 2)]
    assert shares(np.array([[1, 1], [1, 0]])) == [(0, 0.25, 1), (1, 0.75, 2)]
    assert shares(np.array([-1, -1])) == []
