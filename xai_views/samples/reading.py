"""What is read of samples: the values of some and no others, and their content keys."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import SamplesError
from xai_views.samples.checks import in_memory
from xai_views.samples.schema import check_range
from xai_views.samples.signals import is_signals


def digest(array: np.ndarray) -> str:
    """Return the content key of one image: it changes when a pixel, the shape or the type does.

    Parameters
    ----------
    array : ndarray
        Any shape and type.

    Returns
    -------
    str
        First 32 hexadecimal digits of the sha256 over dtype, shape and bytes.
    """
    array = np.ascontiguousarray(array)
    content = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    content.update(array.tobytes())
    return content.hexdigest()[:32]


def images(ds: xr.Dataset, indices: Any) -> np.ndarray:
    """Compute the wanted images and no others.

    Parameters
    ----------
    ds : xarray.Dataset
        Samples.
    indices : int, sequence of int, slice or bool array
        Which samples; negative ones count from the end.

    Returns
    -------
    ndarray
        ``[n, H, W, C]``, uint8 or float32 in [0, 1].

    Raises
    ------
    SamplesError
        When there is no such sample, or a lazy image turns out not to lie in [0, 1].
    """
    wanted = positions(ds.sizes["sample"], indices)
    if in_memory(ds["image"]):
        return np.asarray(ds["image"].variable._data)[wanted]
    computed = np.asarray(ds["image"].isel(sample=wanted).values)
    if computed.dtype.kind == "f" and computed.size:
        check_range(computed)
    return computed


def positions(n: int, indices: Any) -> np.ndarray:
    """Turn an index, several, a slice or one bool each into positions ``[m]`` int64 among ``n`` samples."""
    wanted = np.arange(n)[indices] if isinstance(indices, slice) else np.atleast_1d(np.asarray(indices))
    if wanted.dtype == bool:
        if len(wanted) != n:
            raise SamplesError(f"a choice of {len(wanted)} was made among {n} samples; give one bool each.")
        wanted = np.flatnonzero(wanted)
    if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
        raise SamplesError(
            f"samples were asked for by {wanted.dtype} {list(wanted.shape)}; give positions "
            f"from 0 to {n - 1}, a slice, or one bool each."
        )
    strange = wanted[(wanted < -n) | (wanted >= n)] if wanted.size else wanted
    if strange.size:
        raise SamplesError(f"sample {strange[0]} was asked for and there are {n}, counted from 0.")
    return wanted.astype(np.int64)


def inputs(ds: xr.Dataset, indices: Any) -> np.ndarray:
    """Compute what a network is given of the wanted samples and no others.

    Parameters
    ----------
    ds : xarray.Dataset
        Images or signals.
    indices : int, sequence of int, slice or bool array
        Which samples; negative ones count from the end.

    Returns
    -------
    ndarray
        Images ``[n, H, W, C]``, or signals ``[n, lead, time]`` float32 in mV.

    Raises
    ------
    SamplesError
        When there is no such sample, or lazy values turn out not to be usable.
    """
    if not is_signals(ds):
        return images(ds, indices)
    wanted = positions(ds.sizes["sample"], indices)
    if in_memory(ds["signal"]):
        return np.asarray(ds["signal"].variable._data)[wanted]
    computed = np.asarray(ds["signal"].isel(sample=wanted).values, np.float32)
    if not np.isfinite(computed).all():
        raise SamplesError("'signal' holds values that are not finite numbers; replace them before opening.")
    return computed
