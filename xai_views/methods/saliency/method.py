"""Method ``saliency``: attribution maps, and controls that ignore the network."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.contract.method import PREDICTED, Method, Progress
from xai_views.engine.attribution.gradients import comfortable
from xai_views.engine.attribution.maps import METHODS, REDUCTIONS, fits, images_asked, saliency_steps
from xai_views.engine.attribution.steps import relayed
from xai_views.engine.clusters.observing import asked_classes
from xai_views.errors import MethodError
from xai_views.models.taps import capture


@dataclass(frozen=True, eq=False)
class SaliencyObservation:
    """Logits ``[classes]`` and the maps ``[H, W]`` computed so far, by method, class and reduction."""

    logit: np.ndarray
    maps: dict[tuple[str, int, str], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.logit.nbytes + sum(m.nbytes for m in self.maps.values())

    def key(self, ask: Ask) -> tuple[str, int, str]:
        """Return the key under which the map of a request is stored."""
        return ask.map, asked_classes(self.logit, ask.targets[:1])[0], ask.reduce

    def knowing(self, ask: Ask, found: np.ndarray) -> SaliencyObservation:
        """Return a copy that also holds the map of a request."""
        return replace(self, maps={**self.maps, self.key(ask): found})


class SaliencyMethod(Method):
    """Attribution maps from gradients, occlusion or contributions, and controls that ignore the network."""

    key: ClassVar[str] = "saliency"
    title: ClassVar[str] = "Saliency map"
    question: ClassVar[str] = "why"
    cost: ClassVar[str] = "1 forward pass, plus the cost of the chosen method"

    map = param.Selector(default="gradient x input", objects=list(METHODS), doc="Saliency method or control.")
    reduce = param.Selector(
        default="sum",
        objects=list(REDUCTIONS),
        doc="How channels are combined: signed sum, or sum of absolute values.",
    )
    targets = param.List(
        [PREDICTED],
        item_type=int,
        doc="Explained class (the first of the list); -1 = the predicted class.",
    )

    def reason(self, model: Any) -> str:
        """Return "" when the chosen map can be computed for ``model``, else the reason."""
        return fits(model, self.map)

    def ready(self, model: Any, ask: Ask) -> Ask:
        """Keep only the explained class, so that equal requests are equal; raise when the map cannot be computed."""
        if reason := fits(model, ask.map):
            raise MethodError(reason)
        return ask.replace(targets=ask.targets[:1])

    def covers(self, model: Any, observation: SaliencyObservation, ask: Ask) -> bool:  # noqa: ARG002
        """Return whether the map is already known."""
        return observation.key(ask) in observation.maps

    def observe(
        self,
        model: Any,
        inputs: np.ndarray,
        asks: Sequence[Ask],
        known: Sequence[SaliencyObservation | None],
    ) -> Generator[Progress, None, list[SaliencyObservation]]:
        """Run one forward pass for the logits, then compute the maps, batched by method and reduction."""
        found: list[Any] = list(known)
        new, at_once = (
            [i for i, o in enumerate(found) if o is None],
            comfortable(model.device, inputs.shape[1:3]),
        )
        for start in range(0, len(new), at_once):
            if start:
                yield Progress(start, len(inputs))
            rows = new[start : start + at_once]
            logit, _ = capture(model, model.tensor(inputs[rows]), [])
            for row, i in enumerate(rows):
                found[i] = SaliencyObservation(logit[row].cpu().numpy().copy(), {})
        groups: dict[tuple[str, str], list[int]] = {}
        for i, ask in enumerate(asks):
            if not self.covers(model, found[i], ask):
                groups.setdefault((ask.map, ask.reduce), []).append(i)
        done, shape = 0, inputs.shape[1:3]
        total = sum(images_asked(name, len(rows), shape) for (name, _), rows in groups.items())
        out = list(found)
        for i in (i for rows in groups.values() for i in rows):
            out[i] = None  # not shown until its map is known
        for (name, reduce), rows in groups.items():

            def told(step: Progress, rows: list[int] = rows, done: int = done) -> Progress:
                shown = list(out)
                for i, own in zip(rows, step.partial or (), strict=True):
                    shown[i] = None if own is None else found[i].knowing(asks[i], own)
                return Progress(done + step.done, total, shown)

            targets = [found[i].key(asks[i])[1] for i in rows]
            maps = yield from relayed(saliency_steps(model, inputs[rows], targets, name, reduce=reduce), told)
            for i, own in zip(rows, maps, strict=True):
                out[i] = found[i].knowing(asks[i], own.copy())
            done += images_asked(name, len(rows), shape)
        return out

    def interpret(self, model: Any, observation: SaliencyObservation, ask: Ask) -> xr.Dataset:
        """Return the map of one image with its logits and probabilities."""
        key = observation.key(ask)
        return xr.Dataset(
            {
                "logit": (("sample", "class"), observation.logit[None]),
                "probability": (("sample", "class"), model.probability(observation.logit)[None]),
                "attribution": (("sample", "y", "x"), observation.maps[key][None]),
            },
            coords={"class": np.asarray(model.classes, str), "attribution_class": ("sample", [key[1]])},
        )
