"""The session of the SIC app: support sets, and predictions of all samples with them, shared by all visitors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from xai_views.contract import registry
from xai_views.contract.ask import Ask
from xai_views.engine.predictions import Predictions
from xai_views.errors import XaiViewsError
from xai_views.kernel import Shared, get_kernel
from xai_views.methods.sic.population import figures, with_supports
from xai_views.methods.sic.support_sets import UNCHANGED, support_set
from xai_views.models.supports import Supports
from xai_views.samples import images
from xai_views_dashboard.core.session import Session

#: Support sets, and predictions of all samples with them, for all visitors; by content.
_chosen, _figures, _predicted = Shared(16), Shared(16), Shared(16)


class SicSession(Session):
    """One visitor of the SIC app."""

    kind = "sic"
    predicted_by = tuple(UNCHANGED)

    def __init__(self, model: Any, samples: xr.Dataset) -> None:
        model = get_kernel().register(model)
        reason = registry.plain("sic").fits(model)
        if reason:
            raise XaiViewsError(reason)
        if samples.sizes["sample"]:
            model.check(images(samples, [0]))
        super().__init__(model, samples)

    def supports(self, ask: Ask) -> Supports:
        """Return the support set of a request. Selecting one may take seconds: call it on a thread."""
        key = (self.model.sha256, *(ask.values[name] for name in UNCHANGED))
        return _chosen.get(key, lambda: support_set(self.model, ask))

    async def explain(self, i: int, ask: Ask, priority: int = 0) -> xr.Dataset:
        """Return the explanation of sample ``i``; the supports are selected first, on a thread."""
        await asyncio.to_thread(self.supports, ask)
        return await super().explain(i, ask, priority)

    # -- all samples --------------------------------------------------------------------------------------------

    async def predicted(
        self, ask: Ask | None = None, counted: Callable[[int, int], None] | None = None
    ) -> Predictions:
        """Return the predictions with the supports of a request, by default the original ones. Edits need no pass."""
        own = await super().predicted(None, counted)
        return await asyncio.to_thread(self._with, registry.plain("sic").ask() if ask is None else ask, own)

    def _with(self, ask: Ask, own: Predictions) -> Predictions:
        supports, model = self.supports(ask), self.model
        key = (model.sha256, self.population.key, supports.key)
        return _predicted.get(key, lambda: with_supports(model, supports, own))

    def figures(self, ask: Ask, z: np.ndarray) -> dict[str, np.ndarray]:
        """Return logits and scores of the population with the supports of a request; matrix products, on a thread."""
        supports, population = self.supports(ask), self.population
        key = (self.model.sha256, population.key, supports.key)
        return _figures.get(key, lambda: figures(self.model, supports, z, population.label))
