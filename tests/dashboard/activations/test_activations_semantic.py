"""Saliency methods by named part, without a browser."""

from __future__ import annotations

import asyncio

from xai_views import apps
from xai_views_dashboard.activations.app import ActivationsApp


def test_without_known_parts_names_are_asked_for():
    app = ActivationsApp(*apps.opened("efficientnet-lite0-random", "photos"))
    panel = next(p for p in app.panels if p.title == "Methods by part")
    asyncio.run(panel.run())
    assert "Fit a codebook" in panel.words.object
