"""How the cells of one grid lie on those of another: for maps that are drawn, and for shares of clusters in cells."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=256)
def overlap(n_from: int, n_to: int) -> np.ndarray:
    """Share ``[n_to, n_from]`` of each new cell of an axis that each old cell covers; rows sum to 1.

    The array is shared and read-only.
    """
    edges, old = np.arange(n_to + 1) * (n_from / n_to), np.arange(n_from)
    shared = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    out = shared.clip(0) * (n_to / n_from)
    out.flags.writeable = False
    return out
