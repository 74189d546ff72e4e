"""Weakly supervised localisation: boxes of maps (MaxBoxAcc), and the best region (an oracle).

Source: Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right" (CVPR 2020), for MaxBoxAcc and its V2;
the NAVE authors' evaluation code for the best region. Unlike the published code of MaxBoxAcc, maps are not rounded to 256
levels, pixels at the threshold count, holes are not boxes, and the largest piece is the one with the most pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_views.engine.superpixels.regions import checked, pieces
from xai_views.errors import MethodError, nearest
from xai_views.scores.boxes import id_boxes, iou, mask_box, overlap_by_threshold
from xai_views.scores.quality import asa, bound, boundary_recall, compare, matched, undersegmentation

__all__ = [
    "KINDS", "BestRegion", "MaxBoxAcc", "asa", "best_region", "bound", "boundary_recall", "compare", "iou", "matched",
    "maxboxacc", "oracle_corloc", "true_boxes", "undersegmentation",
]  # fmt: skip

KINDS = ("box", "centred", "mask")
#: Up to this many distinct values per map, all are used as thresholds; otherwise 1000 equal steps.
EXACT = 1000


def true_boxes(truth: np.ndarray) -> np.ndarray:
    """Return boxes ``[B, 4]`` (``x0, y0, x1, y1``, inclusive) of one image's ground truth: boxes, one box, or a mask ``[H, W]``.

    Raises
    ------
    MethodError
        When the truth is neither, or an empty mask.
    """
    truth = np.asarray(truth)
    if truth.dtype == bool and truth.ndim == 2:
        return mask_box(truth)[None]
    boxes = np.atleast_2d(truth)
    if boxes.dtype.kind not in "iuf" or boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise MethodError(
            f"ground truth of type {truth.dtype} and shape {list(truth.shape)} was given; give boxes [B, 4] or a bool mask "
            "[H, W], for instance by comparing with 0."
        )
    return boxes


@dataclass(frozen=True, eq=False)
class MaxBoxAcc:
    """Share of images localised correctly, at the threshold that is best for all of them together.

    Attributes
    ----------
    deltas : tuple of float
        IoU from which an image counts as localised.
    accuracy : ndarray
        ``[D]`` share of images, at the best threshold for each delta.
    threshold : ndarray
        ``[D]`` that threshold (the lowest of equal ones), for maps scaled to [0, 1].
    thresholds, curve : ndarray
        ``[T]`` all thresholds, and ``[D, T]`` shares.
    overlap : ndarray
        ``[N, T]`` IoU of each image.
    v2 : bool
        Whether the best of all pieces counts (V2) instead of the largest.
    """

    deltas: tuple[float, ...]
    accuracy: np.ndarray
    threshold: np.ndarray
    thresholds: np.ndarray
    curve: np.ndarray
    overlap: np.ndarray
    v2: bool

    @property
    def mean(self) -> float:
        """Mean over the deltas, as reported for V2."""
        return float(self.accuracy.mean())


def maxboxacc(
    maps: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    deltas: Sequence[float] = (0.3, 0.5, 0.7),
    v2: bool = True,
    thresholds: str | np.ndarray = "auto",
    connectivity: int = 8,
) -> MaxBoxAcc:
    """Compute MaxBoxAcc of maps.

    Parameters
    ----------
    maps : sequence of ndarray
        ``[H, W]`` per image; each is scaled to [0, 1] by its own extremes.
    truth : sequence of ndarray
        Ground truth per image, as for :func:`true_boxes`.
    deltas : sequence of float
        Required IoUs.
    v2 : bool
        Use the best box of all connected pieces, otherwise that of the largest piece.
    thresholds : {"auto", "exact", "steps"} or ndarray
        "exact" tries all distinct values of all maps, so that no threshold is better; "steps" is 0, .001, ... .999 as in
        the published code; "auto" is exact for maps of at most 1000 values each (such as region-constant ones).
    connectivity : {4, 8}
        Connectivity of pieces.

    Raises
    ------
    MethodError
        When there are no maps, another number of truths, or an invalid map or truth.
    """
    if not len(maps) or len(maps) != len(truth):
        raise MethodError(
            f"{len(maps)} map(s) were given with {len(truth)} ground truth(s); give one for each image, and at least one image."
        )
    if isinstance(thresholds, str):
        if thresholds not in ("auto", "exact", "steps"):
            raise MethodError(f"thresholds {thresholds!r} are not known; choose 'auto', 'exact' or 'steps'.")
        few = thresholds == "auto" and all(len(np.unique(m)) <= EXACT for m in maps)
        taus = None if few or thresholds == "exact" else np.arange(1000) / 1000
    else:
        taus = np.unique(np.asarray(thresholds, np.float64))
    if connectivity not in (4, 8):
        raise MethodError(f"connectivity {connectivity} is not known; choose 4 or 8.")
    found = [
        overlap_by_threshold(m, true_boxes(t), taus, v2, connectivity)
        for m, t in zip(maps, truth, strict=True)
    ]
    if taus is None:
        # nothing changes between two values of a map: a threshold acts like the next higher value of the map
        taus = np.unique(np.concatenate([own for own, _ in found]))
        overlap = np.stack([np.append(o, 0)[np.searchsorted(own, taus)] for own, o in found])
    else:
        overlap = np.stack([o for _, o in found])
    curve = np.stack([(overlap >= d).mean(0) for d in deltas])
    return MaxBoxAcc(tuple(deltas), curve.max(1), taus[curve.argmax(1)], taus, curve, overlap, v2)


# -- the best region: an oracle --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BestRegion:
    """The region with the best IoU, chosen with knowledge of the truth: an upper bound, not a localisation.

    Attributes
    ----------
    overlap : float
        IoU of the region with the truth; 0 if no region is left.
    region : int
        Id of the region; -1 if none is left.
    box : ndarray
        ``[4]`` box of the region (all -1 if none is left).
    """

    overlap: float
    region: int
    box: np.ndarray


def _centred(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Box around the median pixel; its half sides are the shorter distances to the ends."""
    x, y = np.median(columns), np.median(rows)
    half_x = min(x - columns.min(), columns.max() - x)
    half_y = min(y - rows.min(), rows.max() - y)
    return np.array([x - half_x, y - half_y, x + half_x, y + half_y])


def best_region(
    regions: np.ndarray,
    truth: np.ndarray,
    kind: str = "box",
    min_area: float = 0,
    frame: int = 0,
) -> BestRegion:
    """Find the 4-connected piece of a region with the largest IoU with the truth (oracle).

    Parameters
    ----------
    regions : ndarray
        ``[H, W]`` ids.
    truth : ndarray
        As for :func:`true_boxes`; for "mask" a mask, or boxes that are filled.
    kind : {"box", "centred", "mask"}
        Compare the tight box, a box symmetric about the median pixel, or the piece itself.
    min_area : float
        Pieces with at most this many pixels are left out (the authors: 784).
    frame : int
        Width in pixels of the image border that is removed from every piece (the authors: 14).

    Raises
    ------
    MethodError
        For an unknown kind, or an invalid truth.
    """
    if kind not in KINDS:
        raise MethodError(f"region kind {kind!r} is not known; choose {nearest(kind, KINDS)}.")
    regions = checked(regions)
    truth = np.asarray(truth)
    boxes = true_boxes(truth)
    parts = pieces(regions)
    held = np.bincount(parts.ravel())[parts] > min_area
    if frame:
        inside = np.zeros_like(held)
        inside[frame:-frame, frame:-frame] = True
        held &= inside
    if not held.any():
        return BestRegion(0.0, -1, np.full(4, -1))
    at = np.flatnonzero(held)
    names, first, ids = np.unique(parts.ravel()[at], return_index=True, return_inverse=True)
    left = np.full(parts.size, -1)
    left[at] = ids
    found, area = id_boxes(left, parts.shape, len(names))
    if kind == "centred":
        groups = np.split(at[np.argsort(ids, kind="stable")], np.cumsum(area)[:-1])
        found = np.stack([_centred(*np.divmod(pixels, parts.shape[1])) for pixels in groups])
    if kind == "mask":
        wanted = truth if truth.dtype == bool else _filled(parts.shape, boxes)
        shared = np.bincount(ids, weights=wanted.ravel()[at])
        overlap = shared / (area + wanted.sum() - shared)
    else:
        overlap = iou(found, boxes).max(1)
    best = int(overlap.argmax())
    return BestRegion(float(overlap[best]), int(regions.ravel()[at[first[best]]]), found[best])


def _filled(shape: tuple[int, ...], boxes: np.ndarray) -> np.ndarray:
    out = np.zeros(shape, bool)
    for x0, y0, x1, y1 in np.asarray(boxes).astype(int):
        out[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1] = True
    return out


def oracle_corloc(
    regions: Sequence[np.ndarray], truth: Sequence[np.ndarray], threshold: float = 0.5, **options: Any
) -> tuple[float, list[BestRegion]]:
    """Share of images whose best region has an IoU above ``threshold`` ("best-region CorLoc").

    An oracle selects the region, so this is not comparable with methods that have to predict one box.

    Parameters
    ----------
    regions, truth : sequence of ndarray
        One per image.
    threshold : float
        IoU to exceed.
    options
        Options of :func:`best_region`.

    Raises
    ------
    MethodError
        When there are no images or another number of truths.
    """
    if not len(regions) or len(regions) != len(truth):
        raise MethodError(
            f"{len(regions)} region map(s) were given with {len(truth)} ground truth(s); give one for each image."
        )
    found = [best_region(r, t, **options) for r, t in zip(regions, truth, strict=True)]
    return float(np.mean([b.overlap > threshold for b in found])), found
