"""Saliency methods by named part, without a browser."""

from __future__ import annotations

import asyncio
import warnings

import numpy as np
import pytest

from xai_views import apps
from xai_views.scores.semantic import disagreement
from xai_views_dashboard.activations.app import ActivationsApp
from xai_views_dashboard.activations.semantic import ranked


def test_without_known_parts_names_are_asked_for():
    app = ActivationsApp(*apps.opened("efficientnet-lite0-random", "photos"))
    panel = next(p for p in app.panels if p.title == "Methods by part")
    asyncio.run(panel.run())
    assert "Fit a codebook" in panel.words.object


@pytest.mark.parametrize(
    ("raw", "other", "said"),
    [
        ([[np.nan], [np.nan]], [[np.nan], [np.nan]], "With no known object"),
        ([[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], "All methods have the same share on body"),
        ([[0.1, 0.2], [0.8, 0.7]], [[0.9, 0.8], [0.2, 0.1]], "change the order of 100% of the pairs"),
    ],
)
def test_what_cannot_be_ranked_says_why(raw, other, said):
    raw, other = ({n: np.array(v) for n, v in zip("ab", scores, strict=True)} for scores in (raw, other))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = ranked(disagreement(raw, other), "body")
    assert said in text
    assert "nan" not in text
