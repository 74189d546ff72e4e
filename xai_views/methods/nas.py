"""Methods ``saliency`` and ``nas``: attribution maps, and the same on the network's own superpixels.

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

from ..models.taps import capture
from .base import Ask, Method
from .nave import NaveMethod
from .nave_parts import PREDICTED, NaveAsk, Observed
from .saliency import METHODS, fits, saliency
from .superpixels.aggregate import aggregate, kept
from .superpixels.regions import clusters_to_regions

HOW = ("mean", "sum", "median", "positive")


@dataclass(frozen=True)
class SaliencyAsk(Ask):
    """What is wanted of one image.

    Attributes
    ----------
    name : str
        One of :data:`xai_views.methods.saliency.METHODS`.
    target : int
        Class; ``PREDICTED`` = the largest logit.
    reduce : str
        "sum" (signed) or "abs".
    """

    name: str = "gradient x input"
    target: int = PREDICTED
    reduce: str = "sum"


@dataclass(eq=False)
class SaliencyObservation:
    """Logits ``[classes]`` and the maps ``[H, W]`` that were asked so far, by name, class and reduction."""

    logit: np.ndarray
    maps: dict[tuple[str, int, str], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.logit.nbytes + sum(m.nbytes for m in self.maps.values())

    def key(self, ask: SaliencyAsk) -> tuple[str, int, str]:
        """Where the map of an ask is kept."""
        return ask.name, int(self.logit.argmax()) if ask.target == PREDICTED else ask.target, ask.reduce


class SaliencyMethod(Method):
    """Attribution maps by gradients, occlusion or contributions, and controls that know nothing of the network."""

    key: ClassVar[str] = "saliency"
    title: ClassVar[str] = "Saliency map"
    cost: ClassVar[str] = "1 forward pass, and what the chosen method needs"

    map = param.Selector(
        default="gradient x input", objects=list(METHODS), doc="Attribution method or control."
    )
    reduce = param.Selector(
        default="sum", objects=["sum", "abs"], doc="Channels with their signs, or absolute."
    )

    def fits(self, model: Any) -> str:
        """Return "" when the chosen map can be had of ``model``, else the reason."""
        if model.of_signals:
            return f"method 'saliency' is for images and {model.name!r} takes signals; use 'ecg_clusters' instead."
        return fits(model, self.map)

    def default_ask(self) -> SaliencyAsk:
        """The chosen map for the predicted class."""
        return SaliencyAsk(self.map, PREDICTED, self.reduce)

    def covers(self, model: Any, observation: SaliencyObservation, ask: SaliencyAsk) -> bool:  # noqa: ARG002
        """Whether the map is there."""
        return observation.key(ask) in observation.maps

    def observe(
        self,
        model: Any,
        images: np.ndarray,
        asks: Sequence[SaliencyAsk],
        known: Sequence[SaliencyObservation | None],
    ) -> list[SaliencyObservation]:
        """One forward pass for the classes, then the maps, together where name and reduction agree."""
        found = [SaliencyObservation(o.logit, dict(o.maps)) if o is not None else None for o in known]
        new = [i for i, o in enumerate(found) if o is None]
        if new:
            logit, _ = capture(model, model.tensor(images[new]), [])
            for row, i in enumerate(new):
                found[i] = SaliencyObservation(logit[row].cpu().numpy().copy(), {})
        groups: dict[tuple[str, str], list[int]] = {}
        for i, ask in enumerate(asks):
            if not self.covers(model, found[i], ask):
                groups.setdefault((ask.name, ask.reduce), []).append(i)
        for (name, reduce), rows in groups.items():
            targets = [found[i].key(asks[i])[1] for i in rows]
            maps = saliency(model, images[rows], targets, name, reduce=reduce)
            for i, m in zip(rows, maps, strict=True):
                found[i].maps[found[i].key(asks[i])] = m.copy()
        return found

    def interpret(self, model: Any, observation: SaliencyObservation, ask: SaliencyAsk) -> xr.Dataset:
        """The map of one image."""
        key = observation.key(ask)
        return xr.Dataset(
            {
                "logit": (("sample", "class"), observation.logit[None]),
                "probability": (("sample", "class"), model.probability(observation.logit)[None]),
                "attribution": (("sample", "y", "x"), observation.maps[key][None]),
            },
            coords={"class": np.asarray(model.classes, str), "attribution_class": ("sample", [key[1]])},
        )


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
