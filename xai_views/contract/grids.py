"""Overlap of the cells of two grids, and the share of a sequence that each id covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=256)
def overlap(n_from: int, n_to: int) -> np.ndarray:
    """Return the share ``[n_to, n_from]`` of each new cell that each old cell of an axis covers; rows sum to 1.

    The array is shared and read-only.
    """
    edges, old = np.arange(n_to + 1) * (n_from / n_to), np.arange(n_from)
    shared = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    out = shared.clip(0) * (n_to / n_from)
    out.flags.writeable = False
    return out


def shares(ids: np.ndarray) -> list[tuple[int, float, int]]:
    """Return the share of sequences that each id covers.

    Parameters
    ----------
    ids : ndarray
        ``[steps]`` or ``[rows, steps]`` of integers; negative = none.

    Returns
    -------
    list of (int, float, int)
        Id, share of all steps and number of stretches, sorted by id.
    """
    rows = np.atleast_2d(ids)
    begins = np.concatenate([np.ones((len(rows), 1), bool), rows[:, 1:] != rows[:, :-1]], axis=1)
    known = [int(i) for i in np.unique(rows) if i >= 0]
    return [(i, float((rows == i).mean()), int((begins & (rows == i)).sum())) for i in known]
