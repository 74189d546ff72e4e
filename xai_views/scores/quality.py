"""How well regions follow the ground truth, compared with classic superpixels of the same number of regions.

Classic superpixels use colours only and ignore the network. The number of regions is matched, because every score here
improves with more regions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from xai_views.engine.clusters.measures import crossing
from xai_views.engine.superpixels.aggregate import kept, superpixelify
from xai_views.engine.superpixels.regions import boundaries, checked, clusters_to_regions, compact, merged_to
from xai_views.errors import MethodError, nearest

CLASSIC = ("slic", "felzenszwalb")


def _overlaps(regions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Number of pixels ``[m, T]`` that each region shares with each segment of the truth."""
    regions, truth = compact(checked(regions)), compact(checked(truth))
    if regions.shape != truth.shape:
        raise MethodError(
            f"regions of shape {list(regions.shape)} and a truth of shape {list(truth.shape)} were given; bring them to one size "
            "with resize_labels."
        )
    return crossing(regions, truth)


def asa(regions: np.ndarray, truth: np.ndarray) -> float:
    """Achievable segmentation accuracy: share of correct pixels when each region gets its most frequent segment.

    Raises
    ------
    MethodError
        When the maps differ in size.
    """
    table = _overlaps(regions, truth)
    return float(table.max(1).sum() / table.sum())


def undersegmentation(regions: np.ndarray, truth: np.ndarray) -> float:
    """Under-segmentation error (Neubert and Protzel, 2012): leakage of regions across segments, as a share of the image.

    For every pair of a segment and a region that touch, the smaller part of the region (inside or outside) counts.

    Raises
    ------
    MethodError
        When the maps differ in size.
    """
    table = _overlaps(regions, truth)
    return float(np.minimum(table, table.sum(1, keepdims=True) - table).sum() / table.sum())


def boundary_recall(regions: np.ndarray, truth: np.ndarray, tolerance: int = 2) -> float:
    """Share of the truth's boundary that has a region boundary within ``tolerance`` pixels (in each direction).

    NaN if the truth has no boundary.
    """
    from scipy.ndimage import maximum_filter

    wanted = boundaries(np.asarray(truth))
    if not wanted.any():
        return float("nan")
    near = maximum_filter(boundaries(np.asarray(regions)), 2 * tolerance + 1, mode="constant")
    return float(near[wanted].mean())


def bound(regions: np.ndarray, mask: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the best IoU that any union of regions can have with a mask (oracle), and that union.

    Regions are added in order of their share inside the mask; one of the resulting m unions has the largest IoU.

    Returns
    -------
    float
        IoU.
    ndarray
        ``[H, W]`` bool union.

    Raises
    ------
    MethodError
        When the maps differ in size, or the mask is empty.
    """
    regions, mask = checked(regions), np.asarray(mask, bool)
    if regions.shape != mask.shape or not mask.any():
        raise MethodError(
            f"regions of shape {list(regions.shape)} and a mask of shape {list(mask.shape)} with {int(mask.sum())} pixels "
            "were given; bring them to one size and leave out images without an object."
        )
    size = np.bincount(regions.ravel())
    inside = np.bincount(regions.ravel(), weights=mask.ravel())
    order = np.argsort(-inside / np.maximum(size, 1), kind="stable")
    shared, taken = np.cumsum(inside[order]), np.cumsum(size[order])
    overlap = shared / np.maximum(taken + inside.sum() - shared, 1)
    best = int(overlap.argmax())
    return float(overlap[best]), np.isin(regions, order[: best + 1])


def matched(image: np.ndarray, count: int, kind: str = "slic") -> np.ndarray:
    """Compute classic superpixels with ``count`` regions, ``[H, W]``.

    Searches the setting with the smallest number of regions that is large enough; small regions then join their
    neighbours until the number is met. Some images do not yield that many regions (a single colour does not).

    Parameters
    ----------
    image : ndarray
        ``[H, W, C]`` uint8, or float in [0, 1].
    count : int
        Number of regions.
    kind : {"slic", "felzenszwalb"}
        Algorithm of scikit-image.

    Raises
    ------
    MethodError
        For an unknown kind, or a count below 1.
    """
    if kind not in CLASSIC:
        raise MethodError(f"superpixels {kind!r} are not known; choose {nearest(kind, CLASSIC)}.")
    if count < 1:
        raise MethodError(f"{count} regions were requested; request at least 1.")
    image = np.asarray(image)
    image = image / np.float64(255) if image.dtype == np.uint8 else image.astype(np.float64)
    segment = _slic(image) if kind == "slic" else _felzenszwalb(image)
    low, high = (1.0, 16.0 * count) if kind == "slic" else (-12.0, 12.0)
    best = None
    for _ in range(10):
        middle = (low + high) / 2
        found = clusters_to_regions(segment(middle), connected=True)
        m = int(found.max()) + 1
        if m >= count and (best is None or m < int(best.max()) + 1):
            best = found
        if m == count:
            break
        low, high = (low, middle) if m > count else (middle, high)
    if best is None:
        best = clusters_to_regions(segment(high), connected=True)
    return merged_to(best, count)


def _slic(image: np.ndarray) -> Callable[[float], np.ndarray]:
    from skimage.segmentation import slic

    channels = None if image.shape[2] == 1 else -1
    image = image[..., 0] if channels is None else image
    return lambda n: slic(image, round(n), channel_axis=channels, start_label=0)


def _felzenszwalb(image: np.ndarray) -> Callable[[float], np.ndarray]:
    from skimage.segmentation import felzenszwalb

    channels = None if image.shape[2] == 1 else -1
    image = image[..., 0] if channels is None else image
    # a larger scale means fewer regions, opposite to the search direction
    return lambda fine: felzenszwalb(
        image, scale=100 * 2**-fine, sigma=0.8, min_size=5, channel_axis=channels
    )


def compare(
    regions: Mapping[str, np.ndarray],
    truth: np.ndarray,
    saliency: np.ndarray | None = None,
    tolerance: int = 2,
) -> pd.DataFrame:
    """Compare several segmentations of one image.

    Parameters
    ----------
    regions : mapping
        ``[H, W]`` ids by name, such as the network's own and the :func:`matched` ones.
    truth : ndarray
        ``[H, W]`` segments: a mask, or part ids.
    saliency : ndarray, optional
        ``[H, W]``.
    tolerance : int
        Tolerance of the boundary recall, in pixels.

    Returns
    -------
    DataFrame
        One row per segmentation: ``regions`` (number), ``boundary recall``, ``undersegmentation``, ``asa``, ``mask bound``
        (best IoU of any union of regions with everything but id 0) and, with a map, ``kept`` (R squared).
    """
    truth = np.asarray(truth).astype(np.int64)
    rows = {}
    for name, r in regions.items():
        rows[name] = {
            "regions": len(np.unique(r)),
            "boundary recall": boundary_recall(r, truth, tolerance),
            "undersegmentation": undersegmentation(r, truth),
            "asa": asa(r, truth),
            "mask bound": bound(r, truth > 0)[0] if (truth > 0).any() else float("nan"),
        }
        if saliency is not None:
            rows[name]["kept"] = kept(saliency, superpixelify(saliency, r))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")
