"""How much of a map lies in a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_views.engine.perturbation.edits import polygon_mask


@dataclass(frozen=True)
class Inside:
    """What lies in a region.

    Attributes
    ----------
    area : float
        Share of the pixels.
    part, whole : float
        Sum of the map inside, and over all pixels.
    share : float
        Share of the absolute values; NaN where all are zero.
    """

    area: float
    part: float
    whole: float
    share: float


def inside(values: Any, polygon: Sequence[Sequence[float]], size: tuple[int, int]) -> Inside:
    """Return how much of a map lies in a polygon.

    Parameters
    ----------
    values : array
        ``[y, x]``, of any resolution.
    polygon : sequence
        ``[[x, y], ...]`` in pixels of the image.
    size : tuple of int
        Height and width of the image.
    """
    values = np.asarray(values, np.float64)
    scale = values.shape[1] / size[1], values.shape[0] / size[0]
    mask = polygon_mask(np.asarray(polygon, float) * scale, values.shape)
    absolute = np.abs(values)
    total = float(absolute.sum())
    return Inside(
        area=float(mask.mean()),
        part=float(values[mask].sum()),
        whole=float(values.sum()),
        share=float(absolute[mask].sum()) / total if total > 0 else float("nan"),
    )
