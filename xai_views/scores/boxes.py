"""Bounding boxes of everything that a map holds above every threshold, from one component tree.

Boxes are ``[x0, y0, x1, y1]`` in pixels, both ends inclusive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.measure import label as _label
from skimage.morphology import max_tree

from xai_views.errors import MethodError

#: Connectivity: 4 neighbours share an edge, 8 also a corner (as contours in the usual evaluation code).
CONNECTIVITY = {4: 1, 8: 2}


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU ``[A, B]`` of boxes ``[A, 4]`` and ``[B, 4]``; both ends inclusive."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low + 1).clip(0).prod(2)
    areas = [(x[:, 2:] - x[:, :2] + 1).prod(1) for x in (a, b)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def mask_box(mask: np.ndarray) -> np.ndarray:
    """Return the tight box ``[4]`` of a mask ``[H, W]``.

    Raises
    ------
    MethodError
        When the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise MethodError("an empty mask was given and has no box; leave out images without an object.")
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


def piece_boxes(mask: np.ndarray, connectivity: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes ``[P, 4]`` and areas ``[P]`` of the connected pieces of a mask, in the order of their first pixels."""
    parts = _label(mask, connectivity=CONNECTIVITY[connectivity])
    return id_boxes(parts.ravel() - 1, parts.shape, int(parts.max()))


def id_boxes(ids: np.ndarray, shape: tuple[int, ...], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes ``[n, 4]`` and areas ``[n]`` of flat ids 0 to n - 1; negative ids are left out."""
    at = np.flatnonzero(ids >= 0)
    ids = ids[at]
    y, x = np.divmod(at, shape[1])
    boxes = np.empty((n, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = max(shape), -1
    for column, values, fold in (
        (0, x, np.minimum),
        (1, y, np.minimum),
        (2, x, np.maximum),
        (3, y, np.maximum),
    ):
        fold.at(boxes[:, column], ids, values)
    return boxes, np.bincount(ids, minlength=n)


def normalised(map_: np.ndarray) -> np.ndarray:
    """Scale a map to [0, 1], float64; a constant map becomes 0.

    Raises
    ------
    MethodError
        When it is not two-dimensional or not finite.
    """
    s = np.asarray(map_, np.float64)
    if s.ndim != 2 or not s.size or not np.isfinite(s).all():
        raise MethodError(
            f"a map of shape {list(s.shape)} was given for localisation; give finite values [H, W]."
        )
    low, high = s.min(), s.max()
    return (s - low) / (high - low) if high > low else np.zeros_like(s)


@dataclass(frozen=True, eq=False)
class _Nodes:
    """All pieces of all level sets: a piece exists for the levels ``above < level <= own``."""

    own: np.ndarray
    above: np.ndarray
    area: np.ndarray
    box: np.ndarray
    first: np.ndarray  # its first pixel


def _tree(level: np.ndarray, connectivity: int) -> _Nodes:
    """Build the component tree of a map ``[H, W]`` of levels from 0."""
    parent, order = max_tree(level, CONNECTIVITY[connectivity])
    parent, flat = parent.ravel(), level.ravel()
    root = order[0]
    head = flat[parent] != flat  # a piece is identified by one of its pixels at its level
    head[root] = True
    node_of = np.where(head, np.arange(flat.size), parent)
    heads = np.flatnonzero(head)
    heads = heads[np.argsort(-flat[heads], kind="stable")]  # high levels first: children before parents
    number = np.empty(flat.size, np.int64)
    number[heads] = np.arange(len(heads))
    ids = number[node_of]
    box, area = id_boxes(ids, level.shape, len(heads))
    first = np.full(len(heads), flat.size)
    np.minimum.at(first, ids, np.arange(flat.size))
    holder = number[parent[heads]]
    own = flat[heads]
    ends = np.flatnonzero(np.diff(own)) + 1
    for rows in np.split(np.arange(len(heads)), ends):
        rows = rows[heads[rows] != root]
        to = holder[rows]
        np.add.at(area, to, area[rows])
        np.minimum.at(first, to, first[rows])
        for column, fold in ((0, np.minimum), (1, np.minimum), (2, np.maximum), (3, np.maximum)):
            fold.at(box[:, column], to, box[rows, column])
    above = own[holder]
    above[heads == root] = -1
    return _Nodes(own, above, area, box, first)


def _highest(values: np.ndarray, above: np.ndarray, own: np.ndarray, levels: int) -> np.ndarray:
    """``[levels]``: at each level the maximum value of the intervals ``(above, own]`` that contain it.

    Each interval is covered by two blocks with a power of two as length; blocks pass their maximum down to their halves.
    """
    low, length = above + 1, own - above
    power = np.frexp(length)[1] - 1
    top = int(power.max()) + 1
    lowest = np.iinfo(values.dtype).min if values.dtype.kind == "i" else -1.0
    table = np.full((top, levels), lowest, values.dtype)
    np.maximum.at(table, (power, low), values)
    np.maximum.at(table, (power, own + 1 - (1 << power)), values)
    for p in range(top - 1, 0, -1):
        half = 1 << (p - 1)
        table[p - 1] = np.maximum(table[p - 1], table[p])
        table[p - 1, half:] = np.maximum(table[p - 1, half:], table[p, :-half])
    return table[0]


def overlap_by_threshold(
    map_: np.ndarray,
    truth: np.ndarray,
    thresholds: np.ndarray | None = None,
    best: bool = True,
    connectivity: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the IoU with the true boxes of the map's parts at or above each threshold.

    Parameters
    ----------
    map_ : ndarray
        ``[H, W]``; scaled to [0, 1] first.
    truth : ndarray
        ``[B, 4]`` true boxes; the best match counts.
    thresholds : ndarray, optional
        ``[T]`` ascending, in [0, 1]; by default all distinct values of the map, which cover every case because nothing
        changes between two of them.
    best : bool
        Use the best box of all connected pieces (V2); otherwise the box of the largest piece (V1; of equally large ones
        the one with the first pixel).
    connectivity : {4, 8}
        Connectivity of pieces.

    Returns
    -------
    thresholds, overlap : ndarray
        ``[T]`` each; overlap 0 where nothing is above the threshold.

    Raises
    ------
    MethodError
        When the map is not ``[H, W]`` and finite.
    """
    s = normalised(map_)
    if thresholds is None:
        thresholds, level = np.unique(s, return_inverse=True)
        level = level.reshape(s.shape)
    else:
        thresholds = np.asarray(thresholds, np.float64)
        level = np.searchsorted(thresholds, s, side="right") - 1
    # pixels below the first threshold are level 0 of the tree and are ignored
    shift = int(level.min() < 0)
    nodes = _tree(level + shift, connectivity)
    levels = len(thresholds) + shift
    match = iou(nodes.box, np.atleast_2d(truth)).max(1)
    if best:
        found = _highest(match, nodes.above, nodes.own, levels)
    else:
        pixels = s.size
        key = nodes.area * (pixels + 1) + (pixels - nodes.first)  # larger first, then the first pixel
        order = np.argsort(key)
        largest = _highest(key, nodes.above, nodes.own, levels)
        found = match[order[np.searchsorted(key[order], largest).clip(max=len(order) - 1)]]
        found[largest < 0] = 0
    return thresholds, found[shift:].clip(0)
