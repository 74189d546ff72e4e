"""How far the probabilities of a model can be relied on: accuracy with an interval, and calibration by bins of confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BINS = 5
Z95 = 1.959964  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Bin:
    """Samples whose confidence lies in one interval.

    Attributes
    ----------
    low, high : float
        Bounds of the interval.
    count : int
        Number of samples.
    confidence, accuracy : float
        Their mean confidence and the share of correct predictions; NaN without a sample.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """Accuracy and calibration over the labelled samples of a set.

    Attributes
    ----------
    count : int
        Number of labelled samples.
    accuracy, low, high : float
        Share of correct predictions, with its 95 % interval (Wilson); NaN without a labelled sample.
    ece : float
        Expected calibration error over :data:`BINS` bins of equal width.
    bins : tuple of Bin
        From low to high confidence.
    """

    count: int
    accuracy: float
    low: float
    high: float
    ece: float
    bins: tuple[Bin, ...]


def reliability(confidence: np.ndarray, correct: np.ndarray) -> Reliability:
    """Compute accuracy and calibration.

    Parameters
    ----------
    confidence : ndarray
        ``[N]`` probability of the predicted class, in [0, 1].
    correct : ndarray
        ``[N]`` 1 = correct, 0 = wrong, -1 = no label (left out).

    Notes
    -----
    Guo et al., "On Calibration of Modern Neural Networks" (arXiv:1706.04599), section 3; the interval is Wilson's score interval.
    """
    known = correct >= 0
    p, right = np.asarray(confidence, np.float64)[known], np.asarray(correct)[known].astype(np.float64)
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, BINS - 1)
    bins = []
    for i in range(BINS):
        inside = place == i
        n = int(inside.sum())
        mean, share = (float(a[inside].mean()) if n else math.nan for a in (p, right))
        bins.append(Bin(float(edges[i]), float(edges[i + 1]), n, mean, share))
    if not len(p):
        return Reliability(0, math.nan, math.nan, math.nan, math.nan, tuple(bins))
    accuracy = float(right.mean())
    ece = sum(b.count * abs(b.confidence - b.accuracy) for b in bins if b.count) / len(p)
    return Reliability(len(p), accuracy, *wilson(accuracy, len(p)), float(ece), tuple(bins))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share among ``n``."""
    middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)
