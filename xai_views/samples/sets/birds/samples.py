"""Birds of the catalogue: a training set that is drawn on access, and a shipped test set."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from xai_views.kinds.image import dataset
from xai_views.samples.sets.birds import drawing as birds
from xai_views.samples.sets.birds.drawing import SETS, scene_of

__all__ = ["NOTE", "SETS", "SIZE", "bird_samples", "draw", "scene_of"]

SIZE = 64
NOTE = "Synthetic: drawn by a program, so that every part of every bird is known."


def draw(split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one bird of the catalogue.

    Parameters
    ----------
    split : {"train", "test"}
        Name of the set.
    index : int
        Index of the bird.

    Returns
    -------
    image, part : ndarray
        ``[64, 64, 3]`` uint8 and ``[64, 64]`` int16, with background objects as 0.
    """
    image, ids = birds.render(birds.scene(SETS[split][1], index), size=SIZE)
    return image, np.where(ids >= birds.OBJECT_ID, 0, ids).astype(np.int16)


def _block(split: str, which: int, index: int) -> np.ndarray:
    return draw(split, index)[which][None]


def bird_samples(split: str) -> xr.Dataset:
    """Open the birds of the catalogue lazily: each is drawn on access.

    Parameters
    ----------
    split : {"train", "test"}
        5000 or 200 birds with all their parts, classes in turn.

    Returns
    -------
    xarray.Dataset
        ``image`` and ``part`` are dask arrays with one bird per chunk.
    """
    from dask.array import Array

    n, seed = SETS[split]

    def lazy(which: int, dtype: type, tail: tuple[int, ...]) -> Array:
        # The graph is written by hand: map_blocks takes 1.5 s for this many chunks.
        name = f"birds-{split}-{seed}-{which}"
        place = (0,) * len(tail)
        graph = {(name, i, *place): (partial(_block, split, which), i) for i in range(n)}
        return Array(graph, name, ((1,) * n, *((k,) for k in tail)), dtype=dtype)

    return dataset(
        lazy(0, np.uint8, (SIZE, SIZE, 3)),
        np.arange(n) % birds.N_CLASSES,
        [f"bird-{split}-{i:05d}" for i in range(n)],
        birds.class_names(),
        lazy(1, np.int16, (SIZE, SIZE)),
        birds.PART_NAMES,
        title=f"birds/{split}",
        synthetic=1,
        note=NOTE,
        licence="BSD-3-Clause",
        origin="xai_views.samples.sets.birds.drawing, modelled after FunnyBirds (Hesse et al., ICCV 2023)",
    )
