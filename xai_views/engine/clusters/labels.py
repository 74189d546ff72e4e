"""Label maps: resizing, and splitting into connected pieces."""

from __future__ import annotations

from typing import Any

import numpy as np


def resize_labels(labels: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Resize a label map ``[..., h, w]`` by the nearest cell centre; ids are never mixed."""
    labels = np.asarray(labels)
    h, w = labels.shape[-2:]
    rows = ((np.arange(shape[0]) + 0.5) * h / shape[0]).astype(np.int64)
    columns = ((np.arange(shape[1]) + 0.5) * w / shape[1]).astype(np.int64)
    return labels[..., rows[:, None], columns[None]]


def connected(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Split equal labels into pieces that are connected along the axes.

    Returns
    -------
    pieces : ndarray
        Same shape as the labels, numbered from 0 in the order of their first cells.
    owner : ndarray
        The label of each piece.
    """
    from skimage.measure import label

    labels = np.asarray(labels).astype(np.int64)
    # numbered from 1, because 0 would be background
    found = label(labels - labels.min() + 1, background=0, connectivity=1).ravel()
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[inverse].reshape(labels.shape), labels.ravel()[first[order]]
