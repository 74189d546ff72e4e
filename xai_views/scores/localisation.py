"""Weakly supervised localisation: boxes of maps (MaxBoxAcc), and the best region there is (an oracle).

Source: Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right" (CVPR 2020), for MaxBoxAcc and its V2;
the NAVE authors' evaluation code for the best region. Unlike the published code of MaxBoxAcc, maps are not rounded to 256
levels, pixels at the threshold count, holes are no boxes, and the largest piece is the one with most pixels.
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
#: Up to so many different values, all of them are tried; otherwise 1000 equal steps.
EXACT = 1000


def true_boxes(truth: np.ndarray) -> np.ndarray:
    """Boxes ``[B, 4]`` (``x0, y0, x1, y1``, ends included) of one image's truth: boxes, one box, or a mask ``[H, W]`` bool.

    Raises
    ------
    MethodError
        When it is neither, or an empty mask.
    """
    truth = np.asarray(truth)
    if truth.dtype == bool and truth.ndim == 2:
        return mask_box(truth)[None]
    boxes = np.atleast_2d(truth)
    if boxes.dtype.kind not in "iuf" or boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise MethodError(
            f"the truth of an image is boxes [B, 4] or a bool mask [H, W] and this is {truth.dtype} of shape "
            f"{list(truth.shape)}; compare it with 0 to get a mask."
        )
    return boxes


@dataclass(frozen=True, eq=False)
class MaxBoxAcc:
    """How many images are localised at the threshold that is best for all of them together.

    Attributes
    ----------
    deltas : tuple of float
        Overlaps from which an image counts as localised.
    accuracy : ndarray
        ``[D]`` share of images, at the best threshold for each delta.
    threshold : ndarray
        ``[D]`` that threshold (of equal ones the lowest), of maps brought to [0, 1].
    thresholds, curve : ndarray
        ``[T]`` all that were tried, and ``[D, T]`` shares.
    overlap : ndarray
        ``[N, T]`` of each image.
    v2 : bool
        Whether the best of all pieces counted, not the largest.
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
        """Mean over the deltas: what V2 reports."""
        return float(self.accuracy.mean())


def maxboxacc(
    maps: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    deltas: Sequence[float] = (0.3, 0.5, 0.7),
    v2: bool = True,
    thresholds: str | np.ndarray = "auto",
    connectivity: int = 8,
) -> MaxBoxAcc:
    """MaxBoxAcc of maps.

    Parameters
    ----------
    maps : sequence of ndarray
        ``[H, W]`` per image; each is brought to [0, 1] by its own extremes.
    truth : sequence of ndarray
        Per image what :func:`true_boxes` takes.
    deltas : sequence of float
        Overlaps asked for.
    v2 : bool
        The best box of all connected pieces, otherwise that of the largest.
    thresholds : {"auto", "exact", "steps"} or ndarray
        "exact" tries all different values of all maps, so that no threshold is better; "steps" is 0, .001, ... .999 as in
        the published code; "auto" is exact for maps of at most 1000 values each (such as region-constant ones).
    connectivity : {4, 8}
        What is connected.

    Raises
    ------
    MethodError
        When there are no maps, not as many truths, or a map or truth that cannot be read.
    """
    if not len(maps) or len(maps) != len(truth):
        raise MethodError(
            f"{len(maps)} map(s) came with {len(truth)} truth(s); give one for each image, and at least one."
        )
    if isinstance(thresholds, str):
        if thresholds not in ("auto", "exact", "steps"):
            raise MethodError(f"thresholds {thresholds!r} are not known; there is 'auto', 'exact', 'steps'.")
        few = thresholds == "auto" and all(len(np.unique(m)) <= EXACT for m in maps)
        taus = None if few or thresholds == "exact" else np.arange(1000) / 1000
    else:
        taus = np.unique(np.asarray(thresholds, np.float64))
    if connectivity not in (4, 8):
        raise MethodError(f"connectivity {connectivity} is not known; there is 4, 8.")
    found = [
        overlap_by_threshold(m, true_boxes(t), taus, v2, connectivity)
        for m, t in zip(maps, truth, strict=True)
    ]
    if taus is None:
        # between two values of a map nothing changes: a threshold acts like the next value that the map has
        taus = np.unique(np.concatenate([own for own, _ in found]))
        overlap = np.stack([np.append(o, 0)[np.searchsorted(own, taus)] for own, o in found])
    else:
        overlap = np.stack([o for _, o in found])
    curve = np.stack([(overlap >= d).mean(0) for d in deltas])
    return MaxBoxAcc(tuple(deltas), curve.max(1), taus[curve.argmax(1)], taus, curve, overlap, v2)


# -- the best region: an oracle --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BestRegion:
    """The region that fits the truth best, chosen knowing the truth: an upper bound, not a localisation.

    Attributes
    ----------
    overlap : float
        Its overlap over union with the truth; 0 when no region is left.
    region : int
        Its id; -1 when none is left.
    box : ndarray
        ``[4]`` its box (all -1 when none is left).
    """

    overlap: float
    region: int
    box: np.ndarray


def _centred(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The box around the median pixel whose half sides are the shorter distances to the ends."""
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
    """The 4-connected piece of a region with the largest overlap with the truth (oracle).

    Parameters
    ----------
    regions : ndarray
        ``[H, W]`` ids.
    truth : ndarray
        What :func:`true_boxes` takes; for "mask" a mask, or boxes that are filled.
    kind : {"box", "centred", "mask"}
        Tight box, box symmetric about the median pixel, or the piece itself.
    min_area : float
        Pieces of at most so many pixels are left out (the authors: 784).
    frame : int
        Pixels at the border of the image that are cut off every piece (the authors: 14).

    Raises
    ------
    MethodError
        For another kind, or a truth that cannot be read.
    """
    if kind not in KINDS:
        raise MethodError(f"kind {kind!r} of region is not known; there is {nearest(kind, KINDS)}.")
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
    """Share of images whose best region overlaps the truth by more than ``threshold`` ("best-region CorLoc").

    An oracle picks the region, so that this is not comparable with methods that have to name one box.

    Parameters
    ----------
    regions, truth : sequence of ndarray
        Per image.
    threshold : float
        Has to be exceeded.
    options
        Of :func:`best_region`.

    Raises
    ------
    MethodError
        When there are no images or not as many truths.
    """
    if not len(regions) or len(regions) != len(truth):
        raise MethodError(
            f"{len(regions)} region map(s) came with {len(truth)} truth(s); give one for each image."
        )
    found = [best_region(r, t, **options) for r, t in zip(regions, truth, strict=True)]
    return float(np.mean([b.overlap > threshold for b in found])), found
