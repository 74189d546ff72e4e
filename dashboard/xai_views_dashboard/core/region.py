"""The result of a brushed region, which the canvas shows at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xai_views.engine.attribution.region import Inside, inside
from xai_views_dashboard.core.panel import ASK, Panel


class RegionResult(Panel):
    """How much of an explanation lies in the brushed region; it is shown on the picture and has no tab.

    Parameters
    ----------
    app : App
        Gives session, state and canvas.
    values : callable
        Returns the map ``[y, x]`` of an explanation.
    said : callable
        Returns the sentence for an :class:`xai_views.engine.attribution.region.Inside`.
    """

    title = "Region"
    watched = ("sample", "region", "hidden", ASK)

    def __init__(
        self, app: Any, values: Callable[[xr.Dataset], np.ndarray], said: Callable[[Inside], str]
    ) -> None:
        self.values, self.said = values, said
        self.tile = "sample"
        super().__init__(app)
        # Before the app's own callback, which changes the state: the tile must be known by then.
        app.canvas.on_region(self.brushed)

    def brushed(self, message: Mapping[str, Any]) -> None:
        """Remember on which tile a region was brushed."""
        self.tile = str(message.get("tile") or "sample")

    async def compute(self) -> str:
        """Return the sentence for the brushed region; "" where there is none."""
        app, state = self.app, self.app.state
        region = state.frozen(state.region)
        if len(region) < 3 or state.hidden:
            return ""
        wish = app.wish()
        result = await app.explained(wish.sample, wish, priority=1)
        image = await asyncio.to_thread(app.session.image, wish.sample)
        return await asyncio.to_thread(
            lambda: self.said(inside(self.values(result), region, image.shape[:2]))
        )

    def write(self, answer: str) -> None:
        """Show it at the region."""
        if answer or self.app.canvas.chip.get("text"):
            self.app.canvas.tell(self.tile, answer)
