"""Metrics against known truth: how much of a map lies on what the answer rests on by construction."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from xai_views.contract.metric import Metric

NOTHING = float("nan"), float("nan")


class PositiveShare(Metric):
    """Share of what speaks for the class that lies inside the mask; chance is the mask's share of the area."""

    key: ClassVar[str] = "positive_share"
    title: ClassVar[str] = "Share of the positive values inside the truth"
    question: ClassVar[str] = "correct"
    needs: ClassVar[tuple[str, ...]] = ("mask",)

    def score(self, map_: np.ndarray, *, mask: np.ndarray | None, **_: Any) -> tuple[float, float]:
        """The share; NaN for a map without positive values, or a sample without truth."""
        if mask is None or not mask.any():
            return NOTHING
        positive = np.asarray(map_, np.float64).clip(0)
        total = positive.sum()
        return (float(positive[mask].sum() / total) if total > 0 else float("nan")), float(mask.mean())


class Pointing(Metric):
    """Whether the largest value lies inside the mask (a share, where several are largest); chance is the mask's share."""

    key: ClassVar[str] = "pointing"
    title: ClassVar[str] = "Largest value inside the truth"
    question: ClassVar[str] = "correct"
    needs: ClassVar[tuple[str, ...]] = ("mask",)

    def score(self, map_: np.ndarray, *, mask: np.ndarray | None, **_: Any) -> tuple[float, float]:
        """1, 0, or a share among equals; NaN for a sample without truth."""
        if mask is None or not mask.any():
            return NOTHING
        return float(mask[map_ == map_.max()].mean()), float(mask.mean())
