"""Metrics of faithfulness: the change of the model's output when pixels are removed in the order of a map."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import param

from xai_views.contract.metric import Metric
from xai_views.scores.curves import FILLS, Job, last, predictor, relevance_curves


class RelevanceGap(Metric):
    """Area of the relevance curve, least relevant first, minus that of most relevant first; 0 for an uninformative map."""

    key: ClassVar[str] = "relevance_gap"
    title: ClassVar[str] = "Relevance gap (least minus most relevant first)"
    question: ClassVar[str] = "faithful"

    steps = param.Integer(16, bounds=(2, 256), doc="Number of points of each curve.")
    fill = param.Selector(default="mean", objects=list(FILLS), doc="Replacement of removed pixels.")

    def score(
        self, map_: np.ndarray, *, model: Any, image: np.ndarray, target: int, **_: Any
    ) -> tuple[float, float]:
        """Return the gap in probability and its chance level; NaN for models of other kinds than images."""
        if model.kind != "image":
            return float("nan"), float("nan")
        jobs = {
            order: Job(map_, None, order, ties="original", steps=self.steps, fill=self.fill)
            for order in ("lerf", "morf")
        }
        curves = last(relevance_curves(predictor(model), image, jobs, target))
        return float(curves["lerf"].area - curves["morf"].area), 0.0
