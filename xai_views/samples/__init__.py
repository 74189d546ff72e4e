"""Samples: readers, sets, and what is asked of samples of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xai_views import kinds
from xai_views.kinds.arrays import digest, positions
from xai_views.kinds.image import dataset
from xai_views.kinds.pixels import decode_upload, fit
from xai_views.kinds.signal_schema import signal_dataset
from xai_views.samples.opening import open_samples
from xai_views.samples.relabel import labelled_for

__all__ = [
    "dataset",
    "decode_upload",
    "digest",
    "fit",
    "images",
    "inputs",
    "labelled_for",
    "open_samples",
    "positions",
    "signal_dataset",
    "validate",
]


def inputs(ds: xr.Dataset, indices: Any) -> np.ndarray:
    """Compute what a network is given of the wanted samples and no others; see :class:`xai_views.kinds.arrays.ArrayKind`."""
    return kinds.of(ds).inputs(ds, indices)


def images(ds: xr.Dataset, indices: Any) -> np.ndarray:
    """Compute the wanted images ``[n, H, W, C]`` and no others."""
    return kinds.get("image").inputs(ds, indices)


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema of its kind, with names and attributes it may lack.

    Raises
    ------
    SamplesError
        In one sentence: what came, what was expected, what to do.
    """
    return kinds.of(ds).validate(ds)
