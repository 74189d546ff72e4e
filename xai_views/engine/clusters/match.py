"""One-to-one matching of the clusters of two partitions, to keep colours across K, seeds, layers and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xai_views.engine.clusters.kmeans import Clustering, renumbered
from xai_views.errors import MethodError


def hungarian(gain: np.ndarray) -> np.ndarray:
    """Find the one-to-one assignment with the largest total gain; ``gain`` is ``[b, a]``.

    Returns
    -------
    ndarray
        ``[b]``: column of every row, or a new number from ``a`` on for unmatched rows.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-np.asarray(gain, np.float64))
    out = np.full(gain.shape[0], -1)
    out[rows] = columns
    left = out < 0
    out[left] = gain.shape[1] + np.arange(left.sum())
    return out


def match(reference: Sequence[torch.Tensor], centroids: Sequence[torch.Tensor]) -> np.ndarray:
    """Match every cluster to the reference cluster with the most similar centroid, one to one.

    Parameters
    ----------
    reference, centroids : sequence of Tensor
        Blocks ``[A, C_l]`` and ``[B, C_l]`` in the same channels: those of one :class:`Features`, or lifted ones.

    Returns
    -------
    ndarray
        ``[B]``: reference id ``result[j]`` corresponds to id j, by the cosine of the whole centroids; unmatched clusters get
        new ids from A on.

    Raises
    ------
    MethodError
        When the channels differ; then match labels instead.
    """
    ours, theirs = ([int(m.shape[1]) for m in blocks] for blocks in (reference, centroids))
    if ours != theirs:
        raise MethodError(
            f"centroids with {ours} and {theirs} channels cannot be compared; match the label maps of one image instead."
        )
    a, b = (torch.cat([m.double().cpu() for m in blocks], 1) for blocks in (reference, centroids))
    a = a / a.norm(dim=1, keepdim=True).clamp_min(1e-30)
    b = b / b.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return hungarian((b @ a.T).numpy())


def match_labels(reference: Any, labels: Any) -> np.ndarray:
    """Match every id of ``labels`` to an id of ``reference``, one to one, with the largest total overlap.

    Parameters
    ----------
    reference, labels : ndarray or Tensor
        Non-negative ids of the same images, ``[..., *grid]``; the grids may differ, the coarser one is up-sampled.

    Returns
    -------
    ndarray
        ``[B]``; ``result[labels]`` has the ids (and colours) of the reference; unmatched ids are new.

    Raises
    ------
    MethodError
        For different numbers of dimensions or of images (in ``[n, rows, columns]``), or empty maps.
    """
    reference, labels = np.asarray(reference), np.asarray(labels)
    # Maps of two axes may be [rows, columns] or [n, time]: only with three axes the first is known to be images.
    other = reference.ndim != labels.ndim or (labels.ndim > 2 and len(reference) != len(labels))
    if other or not reference.size or not labels.size:
        raise MethodError(
            f"label maps of shapes {reference.shape} and {labels.shape} cannot be matched; give maps of the same images."
        )
    shape = tuple(max(pair) for pair in zip(reference.shape, labels.shape, strict=True))
    one, two = _repeated(reference, shape).ravel(), _repeated(labels, shape).ravel()
    a, b = int(one.max()) + 1, int(two.max()) + 1
    return hungarian(np.bincount(two * a + one, minlength=a * b).reshape(b, a))


def _repeated(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Up-sample labels by nearest neighbours, at the centres of the cells."""
    for axis, (old, new) in enumerate(zip(labels.shape, shape, strict=True)):
        if old != new:
            labels = labels.take(((np.arange(new) + 0.5) * old / new).astype(int), axis)
    return labels.astype(np.int64)


def relabel(found: Clustering, permutation: Sequence[int]) -> Clustering:
    """Renumber the clusters by the ids that they were matched to.

    Parameters
    ----------
    found : Clustering
        K clusters.
    permutation : sequence of int
        ``[K]`` from :func:`match` or :func:`match_labels`. If it contains 0 to K - 1, id j becomes ``permutation[j]``;
        otherwise the ids 0 to K - 1 follow its order, and the colour of id i is the i-th smallest value.

    Raises
    ------
    MethodError
        When it does not contain K distinct ids.
    """
    order = torch.as_tensor(np.asarray(permutation))
    if order.shape != (found.k,) or len(order.unique()) != found.k:
        raise MethodError(
            f"ids {order.tolist()} were given for {found.k} clusters; give one distinct id per cluster."
        )
    return renumbered(found, torch.argsort(order))
