"""Saliency maps aggregated over regions: one value per region, and the share of the map's variance that this keeps.

Averaging over regions is the orthogonal projection on maps that are constant on regions: the sum is preserved, repeating it
changes nothing, and the variance splits into a kept part and a part inside the regions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from xai_views.engine.superpixels.regions import checked
from xai_views.errors import MethodError, nearest

#: Value of a region. "sum" grows with the region; the others are per pixel.
HOWS = ("mean", "sum", "median", "positive")


def _fitting(saliency: np.ndarray, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    saliency, regions = np.asarray(saliency), checked(regions)
    if saliency.shape != regions.shape:
        raise MethodError(
            f"a saliency map of shape {list(saliency.shape)} and regions of shape {list(regions.shape)} were given; bring "
            "them to one size, for instance with resize_labels."
        )
    if saliency.dtype.kind != "f":
        saliency = saliency.astype(np.float64)
    return saliency, regions


def _median(values: np.ndarray, regions: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Median per region ``[m]``: one sort by region and value."""
    ordered = values[np.lexsort((values, regions))].astype(np.float64)
    start = np.cumsum(size) - size
    last = len(ordered) - 1
    low = ordered[np.minimum(start + (size - 1).clip(0) // 2, last)]
    high = ordered[np.minimum(start + size // 2, last)]
    return np.where(size > 0, (low + high) / 2, np.nan)


def figures(saliency: np.ndarray, regions: np.ndarray, how: str = "mean") -> np.ndarray:
    """Compute one value per region, ``[m]`` float64; NaN for an id without pixels.

    Parameters
    ----------
    saliency : ndarray
        ``[H, W]``.
    regions : ndarray
        ``[H, W]`` ids from 0.
    how : {"mean", "sum", "median", "positive"}
        "positive" is the mean of the positive part.

    Raises
    ------
    MethodError
        When map and regions differ in size, or for an unknown ``how``.
    """
    if how not in HOWS:
        raise MethodError(f"region value {how!r} is not known; choose {nearest(how, HOWS)}.")
    saliency, regions = _fitting(saliency, regions)
    s, r = saliency.ravel(), regions.ravel()
    size = np.bincount(r)
    if how == "median":
        return _median(s, r, size)
    total = np.bincount(r, weights=s.clip(0) if how == "positive" else s)
    if how == "sum":
        return np.where(size > 0, total, np.nan)
    return np.where(size > 0, total / np.maximum(size, 1), np.nan)


def aggregate(
    saliency: np.ndarray, regions: np.ndarray, how: str = "mean"
) -> tuple[np.ndarray, pd.DataFrame]:
    """Replace a saliency map by one value per region ("superpixelification").

    Parameters
    ----------
    saliency, regions, how
        As in :func:`figures`.

    Returns
    -------
    map : ndarray
        ``[H, W]`` in the dtype of ``saliency``.
    table : DataFrame
        One row per region (index ``region``): ``size`` in pixels, ``area`` (share of the image), ``value`` (as in the map),
        ``mean``, ``sum``, ``mass`` (share of the total positive relevance; NaN if there is none), ``density`` (mass / area,
        1 = proportional to its area) and ``within`` (variance inside the region).

    Raises
    ------
    MethodError
        When map and regions differ in size, or for an unknown ``how``.
    """
    saliency, regions = _fitting(saliency, regions)
    value = figures(saliency, regions, how)
    r = regions.ravel()
    size = np.bincount(r)
    held = np.maximum(size, 1)
    total = np.bincount(r, weights=saliency.ravel())
    mean = total / held
    positive = np.bincount(r, weights=saliency.ravel().clip(0))
    everything = positive.sum()
    mass = positive / everything if everything > 0 else np.full(len(size), np.nan)
    area = size / r.size
    table = pd.DataFrame(
        {
            "size": size,
            "area": area,
            "value": value,
            "mean": mean,
            "sum": total,
            "mass": mass,
            "density": mass / np.where(size > 0, area, np.nan),
            "within": np.bincount(r, weights=(saliency.ravel() - mean[r]) ** 2) / held,
        },
        index=pd.RangeIndex(len(size), name="region"),
    )
    return value[regions].astype(saliency.dtype), table[size > 0]


def superpixelify(maps: np.ndarray, regions: np.ndarray, how: str = "mean") -> np.ndarray:
    """Apply :func:`aggregate` to many maps ``[..., H, W]`` on the same regions; returns the maps only.

    Raises
    ------
    MethodError
        When maps and regions differ in size, or for an unknown ``how``.
    """
    maps = np.asarray(maps)
    flat = maps.reshape(-1, *maps.shape[-2:])
    out = [figures(m, regions, how)[regions] for m in flat]
    kind = maps.dtype if maps.dtype.kind == "f" else np.float64
    return np.asarray(out, kind).reshape(maps.shape)


def kept(saliency: np.ndarray, aggregated: np.ndarray) -> float:
    """Share of a map's variance that its aggregated version explains (R squared).

    For the mean over regions it is ``Var(aggregated) / Var(saliency)``, in [0, 1]; for other values it is
    ``1 - mean squared difference / variance``, which may be negative and is not meaningful for sums. For a constant map it
    is 1.
    """
    s = np.asarray(saliency, np.float64)
    variance = s.var()
    lost = np.mean((s - aggregated) ** 2)
    if (
        variance
        <= np.finfo(np.asarray(saliency).dtype if np.asarray(saliency).dtype.kind == "f" else float).tiny
    ):
        return 1.0 if lost <= variance else 0.0
    return float(1 - lost / variance)
