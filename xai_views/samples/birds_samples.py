"""The catalogue's birds: a training set that is drawn when it is asked for, and a shipped test set."""

from __future__ import annotations

import numpy as np
import xarray as xr

from . import birds
from .schema import dataset

SIZE = 64
#: Number of birds and seed of each set.
SETS = {"train": (5000, 1), "test": (200, 2)}
NOTE = "Synthetic: drawn by a program, so that every part of every bird is known."


def draw(split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and part map of bird ``index`` of a set; background objects count as nothing."""
    image, ids = birds.render(birds.scene(SETS[split][1], index), size=SIZE)
    return image, np.where(ids >= birds.OBJECT_ID, 0, ids).astype(np.int16)


def bird_samples(split: str) -> xr.Dataset:
    """The set ``split`` ("train" or "test"), lazily: only the birds that are looked at are drawn."""
    import dask.array as da

    n, _ = SETS[split]

    def block(which: int, block_info: dict | None = None) -> np.ndarray:
        first, last = block_info[None]["array-location"][0]
        return np.stack([draw(split, i)[which] for i in range(first, last)])

    chunks = ((1,) * n, (SIZE,), (SIZE,))
    image = da.map_blocks(lambda block_info=None: block(0, block_info), chunks=(*chunks, (3,)), dtype=np.uint8,
                          meta=np.empty((0, 0, 0, 0), np.uint8))
    part = da.map_blocks(lambda block_info=None: block(1, block_info), chunks=chunks, dtype=np.int16,
                         meta=np.empty((0, 0, 0), np.int16))
    return dataset(
        image, np.arange(n) % birds.N_CLASSES, [f"bird-{split}-{i:05d}" for i in range(n)], birds.class_names(), part,
        birds.PART_NAMES, title=f"birds/{split}", synthetic=1, note=NOTE, licence="BSD-3-Clause",
        origin="xai_views.samples.birds",
    )


def scene_of(ds: xr.Dataset, i: int) -> birds.Scene:
    """The scene that sample ``i`` of a catalogue set was drawn from."""
    split, index = str(ds["name"].values[i]).split("-")[1:]
    return birds.scene(SETS[split][1], int(index))
