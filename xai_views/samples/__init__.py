"""Samples: readers, sample sets, and operations on samples of every kind."""

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
    """Return the model input of the selected samples only; see :class:`xai_views.kinds.arrays.ArrayKind`."""
    return kinds.of(ds).inputs(ds, indices)


def images(ds: xr.Dataset, indices: Any) -> np.ndarray:
    """Return the selected images ``[n, H, W, C]`` only."""
    return kinds.get("image").inputs(ds, indices)


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return ``ds`` when it follows the schema of its kind, with missing names and attributes added.

    Raises
    ------
    SamplesError
        In one sentence: what was given, what was expected, what to do.
    """
    return kinds.of(ds).validate(ds)
