"""Method ``saliency``: attribution maps, and controls that know nothing of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from xai_views.contract.former import Ask, Method
from xai_views.engine.attribution.maps import METHODS, fits, saliency
from xai_views.engine.clusters.observed import PREDICTED
from xai_views.models.taps import capture


@dataclass(frozen=True)
class SaliencyAsk(Ask):
    """What is wanted of one image.

    Attributes
    ----------
    name : str
        One of :data:`xai_views.engine.attribution.maps.METHODS`.
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
        if model.kind == "signal":
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
