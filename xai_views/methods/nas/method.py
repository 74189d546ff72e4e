"""Method ``nas``: attribution maps on the network's own superpixels.

Source: Boubekki, Fadel and Mair, Leveraging Activations for Superpixel Explanations (arXiv 2406.04933). The segmentation
is that of the method ``nave``; which layers, K and weights the authors used is not known to us, so that ours
are the defaults of ``nave``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from xai_views.contract.former import Ask
from xai_views.engine.attribution.maps import METHODS, fits
from xai_views.engine.clusters.observed import PREDICTED, Observed
from xai_views.engine.superpixels.aggregate import aggregate, kept
from xai_views.engine.superpixels.regions import clusters_to_regions
from xai_views.methods.nave.ask import NaveAsk
from xai_views.methods.nave.method import NaveMethod
from xai_views.methods.saliency.method import SaliencyAsk, SaliencyMethod, SaliencyObservation

HOW = ("mean", "sum", "median", "positive")


@dataclass(frozen=True)
class NasAsk(Ask):
    """Superpixels of an image and the map that is read on them."""

    clusters: NaveAsk = field(default_factory=NaveAsk)
    saliency: SaliencyAsk = field(default_factory=SaliencyAsk)
    connected: bool = False
    min_area: float = 0.002
    how: str = "mean"


class NasMethod(NaveMethod):
    """A saliency map read on the network's own superpixels."""

    key: ClassVar[str] = "nas"
    title: ClassVar[str] = "Neuro-activated superpixels"
    preference: ClassVar[int] = 5
    cost: ClassVar[str] = "1 forward pass for the superpixels, and what the saliency map needs"

    map = param.Selector(
        default="gradient x input", objects=list(METHODS), doc="Attribution method or control."
    )
    reduce = param.Selector(
        default="sum", objects=["sum", "abs"], doc="Channels with their signs, or absolute."
    )
    connected = param.Boolean(False, doc="Connected pieces of clusters instead of whole clusters.")
    min_area = param.Number(
        0.002,
        bounds=(0, 1),
        doc="Share of the image below which a piece joins its neighbour with the longest border.",
    )
    how = param.Selector(default="mean", objects=list(HOW), doc="Figure of a superpixel.")

    def fits(self, model: Any) -> str:
        """Return "" when both the clusters and the map can be had, else the reason."""
        return super().fits(model) or fits(model, self.map)

    def default_ask(self) -> NasAsk:
        """What the parameters describe."""
        wanted = SaliencyAsk(self.map, PREDICTED, self.reduce)
        return NasAsk(super().default_ask(), wanted, self.connected, self.min_area, self.how)

    def ready(self, model: Any, ask: Any) -> Any:
        """Fill in the default taps."""
        if isinstance(ask, NaveAsk):
            return super().ready(model, ask)
        return replace(ask, clusters=super().ready(model, ask.clusters))

    def covers(self, model: Any, observation: Any, ask: NasAsk) -> bool:
        """Whether neither part needs a pass."""
        clusters, attribution = observation.parts
        return super().covers(model, clusters, ask.clusters) and SaliencyMethod().covers(
            model, attribution, ask.saliency
        )

    def observe(
        self, model: Any, images: np.ndarray, asks: Sequence[NasAsk], known: Sequence[Any]
    ) -> list[Any]:
        """Both parts, each in its own batches."""
        old = [o.parts if o is not None else (None, None) for o in known]
        clusters = super().observe(model, images, [a.clusters for a in asks], [c for c, _ in old])
        maps = SaliencyMethod().observe(model, images, [a.saliency for a in asks], [m for _, m in old])
        return [_Both((c, m)) for c, m in zip(clusters, maps, strict=True)]

    def interpret(self, model: Any, observation: Any, ask: NasAsk) -> xr.Dataset:
        """The clusters, the map, and the map on the superpixels."""
        clusters, attribution = observation.parts
        ds = super().interpret(model, clusters, ask.clusters)
        raw = SaliencyMethod().interpret(model, attribution, ask.saliency)["attribution"]
        regions = clusters_to_regions(ds["segment"].values[0].astype(np.int64), ask.connected, ask.min_area)
        read, _ = aggregate(raw.values[0], regions, ask.how)
        return ds.assign(
            attribution=raw,
            region=(("sample", "y", "x"), regions[None].astype(np.int32)),
            region_attribution=(("sample", "y", "x"), read[None]),
            kept=("sample", [kept(raw.values[0], read)]),
        )


@dataclass(eq=False)
class _Both:
    parts: tuple[Observed, SaliencyObservation]

    @property
    def nbytes(self) -> int:
        return sum(p.nbytes for p in self.parts)
