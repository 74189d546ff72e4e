"""Metrics against ground truth: agreement of a map with the evidence known by construction or annotation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from xai_views.contract.metric import Metric

NOTHING = float("nan"), float("nan")


class PositiveShare(Metric):
    """Share of the positive values that lies inside the ground-truth mask; chance is the mask's share of the area."""

    key: ClassVar[str] = "positive_share"
    title: ClassVar[str] = "Share of positive values inside the ground truth"
    question: ClassVar[str] = "correct"
    needs: ClassVar[tuple[str, ...]] = ("mask",)

    def score(self, map_: np.ndarray, *, mask: np.ndarray | None, **_: Any) -> tuple[float, float]:
        """Return the share and its chance level; NaN for a map without positive values, or a sample without ground truth."""
        if mask is None or not mask.any():
            return NOTHING
        positive = np.asarray(map_, np.float64).clip(0)
        total = positive.sum()
        return (float(positive[mask].sum() / total) if total > 0 else float("nan")), float(mask.mean())


class Pointing(Metric):
    """Whether the largest value lies inside the ground truth (a share, for ties); chance is the mask's share of the area."""

    key: ClassVar[str] = "pointing"
    title: ClassVar[str] = "Largest value inside the ground truth"
    question: ClassVar[str] = "correct"
    needs: ClassVar[tuple[str, ...]] = ("mask",)

    def score(self, map_: np.ndarray, *, mask: np.ndarray | None, **_: Any) -> tuple[float, float]:
        """Return 1, 0, or a share for ties, and the chance level; NaN for a sample without ground truth."""
        if mask is None or not mask.any():
            return NOTHING
        return float(mask[map_ == map_.max()].mean()), float(mask.mean())
