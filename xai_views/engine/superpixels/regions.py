"""Regions of an image from cluster labels: whole clusters or their connected pieces, and hierarchies of them.

A *cluster* may cover several places; a *superpixel* is one 4-connected piece of it. Label maps are ``[H, W]`` integers;
regions are numbered 0 to m - 1 without gaps.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from xai_views.engine.clusters.labels import connected as pieces_of
from xai_views.engine.clusters.labels import resize_labels
from xai_views.engine.clusters.measures import crossing
from xai_views.errors import MethodError


def checked(labels: np.ndarray) -> np.ndarray:
    """Check a label map and return it as ``[H, W]`` int64.

    Raises
    ------
    MethodError
        For another number of dimensions, an empty map, non-integer or negative values.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "iub":
        raise MethodError(
            f"a label map of type {labels.dtype} and shape {list(labels.shape)} was given; give integers [H, W] of one "
            "image."
        )
    if labels.dtype.kind == "i" and labels.min() < 0:
        raise MethodError("a label map with negative ids was given; number the regions from 0.")
    return labels.astype(np.int64)


def compact(labels: np.ndarray, raster: bool = False) -> np.ndarray:
    """Renumber the ids of a map 0 to m - 1, in the order of the ids or of their first pixels (``raster``)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    inverse = inverse.reshape(labels.shape)
    if not raster:
        return inverse
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def pieces(labels: np.ndarray) -> np.ndarray:
    """Label the 4-connected pieces of equal labels, ``[H, W]``, in the order of their first pixels."""
    return pieces_of(checked(labels))[0]


def borders(regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find adjacent regions, and the length of their shared border in pixel edges.

    Returns
    -------
    pairs : ndarray
        ``[B, 2]`` ids, the smaller one first.
    lengths : ndarray
        ``[B]``.
    """
    m = int(regions.max()) + 1
    keys = []
    for a, b in ((regions[:, :-1], regions[:, 1:]), (regions[:-1], regions[1:])):
        apart = a != b
        a, b = a[apart], b[apart]
        keys.append(np.minimum(a, b) * m + np.maximum(a, b))
    key, lengths = np.unique(np.concatenate(keys), return_counts=True)
    return np.stack([key // m, key % m], 1), lengths


def _absorb(
    regions: np.ndarray, smallest: float, most: int | None = None, group: np.ndarray | None = None
) -> np.ndarray:
    """Merge regions and return the final region of each, ``[m]``; the smallest joins the neighbour with the longest border.

    Continues while a region has fewer than ``smallest`` pixels or there are more than ``most`` regions. For equal borders the
    larger neighbour is chosen, then the one with the smaller id. With ``group [m]`` only regions of one group are merged. The
    loop is over regions, not pixels.
    """
    size = np.bincount(regions.ravel()).tolist()
    near: list[dict[int, int]] = [{} for _ in size]
    for (a, b), length in zip(*(x.tolist() for x in borders(regions)), strict=True):
        if group is None or group[a] == group[b]:
            near[a][b] = near[b][a] = length
    into = list(range(len(size)))
    queue = [(s, i) for i, s in enumerate(size)]
    heapq.heapify(queue)
    left = len(size)
    while queue and left > 1:
        s, i = heapq.heappop(queue)
        if into[i] != i or size[i] != s:
            continue  # outdated entry: merged or grown since
        if s >= smallest and (most is None or left <= most):
            break
        if not near[i]:
            continue  # no neighbour in its group
        host = max(near[i], key=lambda j: (near[i][j], size[j], -j))
        into[i] = host
        size[host] += s
        left -= 1
        for j, length in near[i].items():
            del near[j][i]
            if j != host:
                near[host][j] = near[j][host] = near[host].get(j, 0) + length
        near[i] = {}
        heapq.heappush(queue, (size[host], host))
    for i in range(len(into)):
        root = i
        while into[root] != root:
            root = into[root]
        while into[i] != root:
            into[i], i = root, into[i]
    return np.asarray(into)


def _pixels(min_area: float, shape: tuple[int, ...]) -> float:
    if min_area < 0:
        raise MethodError(
            f"a minimum area of {min_area} was given; give at least 0, in pixels or as a share below 1."
        )
    return min_area * shape[0] * shape[1] if min_area < 1 else min_area


def clusters_to_regions(labels: np.ndarray, connected: bool = False, min_area: float = 0) -> np.ndarray:
    """Convert a label map to regions.

    Parameters
    ----------
    labels : ndarray
        ``[H, W]`` cluster ids.
    connected : bool
        Each 4-connected piece is a region (superpixels); otherwise each cluster is one region.
    min_area : float
        Pieces with fewer pixels join the neighbouring piece with the longest shared border, smallest first; with whole
        clusters as regions, such pieces change cluster. Values below 1 are a share of the image.

    Returns
    -------
    ndarray
        ``[H, W]`` int64. Clusters keep the order of their ids (and the ids if there are no gaps); superpixels are numbered
        row by row. :func:`owners` returns the cluster of each.

    Raises
    ------
    MethodError
        When ``labels`` is not a label map, or ``min_area`` is negative.
    """
    labels = checked(labels)
    smallest = _pixels(min_area, labels.shape)
    if not connected and not smallest:
        return compact(labels)
    own = pieces(labels)
    parts = _absorb(own, smallest)[own] if smallest else own
    return compact(parts, raster=True) if connected else compact(_label_of(own, labels)[parts])


def _label_of(parts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the label ``[m]`` of parts that each have a single label."""
    _, first = np.unique(parts, return_index=True)
    return labels.ravel()[first]


def merged_to(regions: np.ndarray, count: int) -> np.ndarray:
    """Merge to at most ``count`` regions: the smallest joins the neighbour with the longest shared border, repeatedly.

    Raises
    ------
    MethodError
        When ``regions`` is not a label map or ``count`` is below 1.
    """
    if count < 1:
        raise MethodError(f"{count} regions were requested; request at least 1.")
    regions = compact(checked(regions))
    return compact(_absorb(regions, 0, count)[regions], raster=True)


def owners(regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the most frequent label ``[m]`` of each region; the smallest if several are equally frequent."""
    return crossing(checked(regions), checked(labels)).argmax(1)


def nested(
    maps: Sequence[np.ndarray], connected: bool = False, min_area: float = 0
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Build a hierarchy of regions: each map splits the regions of the previous one.

    Parameters
    ----------
    maps : sequence of ndarray
        ``[h, w]`` label maps, coarse to fine (deep layers first); resized to the largest.
    connected, min_area : bool, float
        As in :func:`clusters_to_regions`. Small pieces stay inside their parent.

    Returns
    -------
    levels : list of ndarray
        ``[H, W]`` regions of each level.
    parents : list of ndarray
        For every level but the first: ``[m]`` id of each region's parent in the previous level.

    Raises
    ------
    MethodError
        When there is no map, or one is not a label map.
    """
    if not len(maps):
        raise MethodError("a hierarchy needs at least one label map and none was given; give label maps.")
    maps = [checked(m) for m in maps]
    shape = (max(m.shape[0] for m in maps), max(m.shape[1] for m in maps))
    maps = [resize_labels(m, shape) for m in maps]
    levels = [clusters_to_regions(maps[0], connected, min_area)]
    parents = []
    smallest = _pixels(min_area, shape)
    for finer in maps[1:]:
        above = levels[-1]
        split = compact(above * (int(finer.max()) + 1) + finer)
        own = pieces(split)
        parts = _absorb(own, smallest, group=_label_of(own, above))[own] if smallest else own
        levels.append(compact(parts, raster=True) if connected else compact(_label_of(own, split)[parts]))
        parents.append(owners(levels[-1], above))
    return levels, parents


def boundaries(labels: np.ndarray) -> np.ndarray:
    """Pixels ``[H, W]`` bool that touch another region; both sides of a border, so that it is two pixels wide."""
    out = np.zeros(labels.shape, bool)
    across, down = labels[:, :-1] != labels[:, 1:], labels[:-1] != labels[1:]
    out[:, :-1] |= across
    out[:, 1:] |= across
    out[:-1] |= down
    out[1:] |= down
    return out
