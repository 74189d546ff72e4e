"""Matching clusters of two partitions one to one, so that colours can be kept across K, seeds, layers and models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...errors import MethodError


def hungarian(gain: np.ndarray) -> np.ndarray:
    """The one-to-one assignment with the largest total gain ``[b, a]``.

    Returns
    -------
    ndarray
        ``[b]``: for every row its column, or a new number from ``a`` on for rows that are left over.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-np.asarray(gain, np.float64))
    out = np.full(gain.shape[0], -1)
    out[rows] = columns
    free = iter(range(gain.shape[1], gain.shape[1] + gain.shape[0]))
    return np.array([c if c >= 0 else next(free) for c in out])


def match_centroids(reference: Sequence[torch.Tensor], centroids: Sequence[torch.Tensor]) -> np.ndarray:
    """For every cluster the reference cluster of the most similar centroid (sum of inner products over the cosine's lengths).

    Parameters
    ----------
    reference, centroids : sequence of Tensor
        Blocks ``[A, C_l]`` and ``[B, C_l]`` in the same channels.

    Returns
    -------
    ndarray
        ``[B]`` ids of the reference; what is left over gets new ids from A on.

    Raises
    ------
    MethodError
        When the channels differ; match labels instead.
    """
    if [m.shape[1] for m in reference] != [m.shape[1] for m in centroids]:
        raise MethodError(
            "centroids of different layers cannot be compared; match the label maps of one image instead."
        )
    a, b = (torch.cat(list(blocks), 1).double() for blocks in (reference, centroids))
    a = a / a.norm(dim=1, keepdim=True).clamp_min(1e-12)
    b = b / b.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return hungarian((b @ a.T).cpu().numpy())


def match_labels(reference: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For every id of ``labels`` the id of ``reference`` that it overlaps most, one to one.

    Parameters
    ----------
    reference, labels : ndarray
        Ids of one shape, at least 0.

    Returns
    -------
    ndarray
        ``[B]``; ``result[labels]`` has the ids (and colours) of the reference, what is left over has new ones.

    Raises
    ------
    MethodError
        For different shapes.
    """
    reference, labels = np.asarray(reference), np.asarray(labels)
    if reference.shape != labels.shape:
        raise MethodError(
            f"label maps of shapes {reference.shape} and {labels.shape} cannot be matched; bring them to one grid first."
        )
    a, b = int(reference.max(initial=0)) + 1, int(labels.max(initial=0)) + 1
    table = np.bincount(labels.ravel().astype(np.int64) * a + reference.ravel(), minlength=a * b).reshape(
        b, a
    )
    return hungarian(table)
