"""Method ``nas``: attribution maps on the network's own superpixels.

Source: Boubekki, Fadel and Mair, Leveraging Activations for Superpixel Explanations (arXiv 2406.04933). The segmentation
is that of the method ``nave``. The paper does not state the authors' layers, K and weights; we use the defaults of
``nave``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.method import Progress
from xai_views.engine.attribution.maps import METHODS, REDUCTIONS, fits
from xai_views.engine.attribution.steps import relayed
from xai_views.engine.clusters.observed import Observed
from xai_views.engine.superpixels.aggregate import HOWS, aggregate, kept
from xai_views.engine.superpixels.regions import clusters_to_regions
from xai_views.errors import MethodError
from xai_views.methods.nave.method import NaveMethod
from xai_views.methods.saliency.method import SaliencyMethod, SaliencyObservation

_SALIENCY = SaliencyMethod()


@dataclass(frozen=True, eq=False)
class NasObservation:
    """Observation of the clusters and of the saliency map."""

    clusters: Observed
    attribution: SaliencyObservation

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.clusters.nbytes + self.attribution.nbytes


class NasMethod(NaveMethod):
    """A saliency map averaged over the network's own superpixels."""

    key: ClassVar[str] = "nas"
    title: ClassVar[str] = "Neuro-activated superpixels"
    preference: ClassVar[int] = 0
    cost: ClassVar[str] = "1 forward pass for the superpixels, plus the cost of the saliency map"

    map = param.Selector(
        default="gradient x input",
        objects=list(METHODS),
        doc="Saliency method or control; it explains the first explained class.",
    )
    reduce = param.Selector(
        default="sum",
        objects=list(REDUCTIONS),
        doc="How channels are combined: signed sum, or sum of absolute values.",
    )
    connected = param.Boolean(
        False, doc="Use connected pieces of clusters as regions instead of whole clusters."
    )
    min_area = param.Number(
        0.002,
        bounds=(0, 1),
        doc="Minimum area as a share of the image; a smaller piece joins the neighbour with the longest shared border.",
    )
    how = param.Selector(default="mean", objects=list(HOWS), doc="Value per superpixel.")

    def reason(self, model: Any) -> str:
        """Return "" when both the clusters and the map can be computed, else the reason."""
        return super().reason(model) or fits(model, self.map)

    def ready(self, model: Any, ask: Ask) -> Ask:
        """Fill in the default taps; raise when the map cannot be computed."""
        if reason := fits(model, ask.map):
            raise MethodError(reason)
        return super().ready(model, ask)

    def covers(self, model: Any, observation: Any, ask: Ask) -> bool:
        """Return whether both parts are known, so that no pass is needed."""
        return super().covers(model, observation.clusters, ask) and _SALIENCY.covers(
            model, observation.attribution, ask
        )

    def observe(
        self,
        model: Any,
        inputs: np.ndarray,
        asks: Sequence[Ask],
        known: Sequence[Any],
    ) -> Any:
        """Observe both parts, each in its own batches."""
        clusters = super().observe(model, inputs, asks, [o and o.clusters for o in known])

        def told(step: Progress) -> Progress:
            return Progress(step.done, step.total, step.partial and _both(clusters, step.partial))

        running = _SALIENCY.observe(model, inputs, asks, [o and o.attribution for o in known])
        return _both(clusters, (yield from relayed(running, told)))

    def interpret(self, model: Any, observation: Any, ask: Ask) -> xr.Dataset:
        """Return the clusters, the map, and the map averaged over superpixels."""
        ds = super().interpret(model, observation.clusters, ask)
        raw = _SALIENCY.interpret(model, observation.attribution, ask)["attribution"]
        regions = clusters_to_regions(ds["segment"].values[0].astype(np.int64), ask.connected, ask.min_area)
        read, _ = aggregate(raw.values[0], regions, ask.how)
        return ds.assign(
            attribution=raw,
            region=(("sample", "y", "x"), regions[None].astype(np.int32)),
            region_attribution=(("sample", "y", "x"), read[None]),
            kept=("sample", [kept(raw.values[0], read)]),
        )


def _both(clusters: Sequence[Observed], maps: Sequence[SaliencyObservation | None]) -> list[Any]:
    return [None if m is None else NasObservation(c, m) for c, m in zip(clusters, maps, strict=True)]
