"""Method ``ecg_clusters``: a record as a sequence of clusters of the network's activations, and what they contribute.

Source: Boubekki, Patlatzoglou, Barker, Ng and Ribeiro (arXiv 2509.15198). Codebook, temperature, ensemble and contributions
are our readings; ``docs/methods/ecg_clusters.md`` names each choice.
"""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import param
import torch
import xarray as xr

from xai_views.contract.former import Method
from xai_views.engine.clusters import soft
from xai_views.engine.clusters.observing import asked_classes, observe_gradients, observe_taps
from xai_views.errors import MethodError, ModelError
from xai_views.methods.ecg_clusters import effects
from xai_views.methods.ecg_clusters.attribution import attribute
from xai_views.methods.ecg_clusters.muting import checked, muted
from xai_views.methods.ecg_clusters.observation import EcgAsk, EcgObserved, centres, put, signal_length
from xai_views.methods.ecg_clusters.sequence import sequence, votes
from xai_views.models.heads import find_head
from xai_views.models.taps import default_taps, replace_activation

SOFT = ("tempered", "gmm", "fuzzy")


class EcgClustersMethod(Method):
    """Time-localised clusters of a network of signals."""

    key: ClassVar[str] = "ecg_clusters"
    title: ClassVar[str] = "Time-localised clusters"
    preference: ClassVar[int] = 20
    cost: ClassVar[str] = (
        "1 forward pass, and 1 for each set of muted intervals; 1 backward pass per class where the head is not linear; "
        "what a chosen attribution needs; codebook, K and temperature without a pass"
    )

    k = param.Integer(8, bounds=(1, 32), doc="Number of clusters of a record without a codebook.")
    weights = param.Selector(
        default="authors", objects=["authors", "equal", "deep-first"], doc="Weights of the layers."
    )
    soft = param.Selector(default="tempered", objects=list(SOFT), doc="Soft assignment behind the entropy.")
    temperature = param.Number(
        0.0, bounds=(0, None), doc="Of the soft assignment; 0 = the spread of the codebook or the record."
    )
    seed = param.Integer(0, bounds=(0, None), doc="Of the starts of k-means.")
    taps = param.List([], item_type=str, doc="Module paths, shallow to deep; [] = those of the architecture.")

    def fits(self, model: Any) -> str:
        """Return "" for a network of signals with steps to cluster, else the reason."""
        if getattr(model, "kind", "") != "signal":
            return f"method 'ecg_clusters' is for networks of signals and {model.name!r} is given images; use 'nave' for those."
        try:
            return "" if default_taps(model) else f"method 'ecg_clusters' finds no steps in {model.name!r}."
        except ModelError as e:
            return str(e)

    def default_ask(self) -> EcgAsk:
        """The clusters of each record alone, and their contribution to the predicted class."""
        names = ("k", "weights", "soft", "temperature", "seed")
        return EcgAsk(taps=tuple(self.taps), **{n: getattr(self, n) for n in names})

    def ready(self, model: Any, ask: EcgAsk) -> EcgAsk:
        """Fill in the taps (a codebook has its own), so that equal wishes have equal keys.

        Raises
        ------
        MethodError
            When the model is none of signals, or the codebook is of another one.
        """
        if reason := self.fits(model):
            raise MethodError(reason)
        mutes = tuple(checked(m, model.channels) for m in ask.mute)
        book = ask.codebook
        if book is None:
            return replace(ask, taps=ask.taps or default_taps(model), mute=mutes)
        if book.model_sha256 not in ("", model.sha256):
            raise MethodError(
                f"the codebook was fitted on another model ({book.model_sha256[:8]}) than {model.name!r} "
                f"({model.sha256[:8]}); fit one on this model."
            )
        return replace(ask, taps=book.taps, mute=mutes)

    # -- what is needed -----------------------------------------------------------------------------------------

    def covers(self, model: Any, observation: EcgObserved, ask: EcgAsk) -> bool:
        """Whether nothing of the ask needs another pass."""
        ask, head = self.ready(model, ask), find_head(model)
        known = observation.variants.get(ask.mute)
        if known is None or any(p not in known.activations for p in ask.taps):
            return False
        if not head.exact and any(c not in known.gradients for c in asked_classes(known.logit, ask.targets)):
            return False
        if effects.needs_pass(head, ask.ablation) and effects.answer_key(ask) not in known.answers:
            return False
        return not ask.attribution or observation.attribution_key(ask) in observation.attributions

    # -- the network --------------------------------------------------------------------------------------------

    def observe(
        self, model: Any, images: np.ndarray, asks: Listed[EcgAsk], known: Listed[EcgObserved | None]
    ) -> list[EcgObserved]:
        """One forward pass for all taps of each record as it is asked for; ``images`` are signals ``[N, lead, time]``.

        Gradients and ablated answers are computed only where the head is not linear, attributions where they are asked for.
        """
        asks = [self.ready(model, ask) for ask in asks]
        model.check(images)
        found = [
            o.copy() if o is not None else EcgObserved(signal_length(x))
            for o, x in zip(known, images, strict=True)
        ]
        signals = self._muted(model, np.asarray(images), asks, found)
        x, head = model.tensor(signals), find_head(model)
        paths = list(dict.fromkeys([*default_taps(model), *(p for ask in asks for p in ask.taps)]))
        old = [o.variants.get(ask.mute) for o, ask in zip(found, asks, strict=True)]
        seen = observe_taps(model, x, head, paths, old)
        if not head.exact:
            targets = [asked_classes(v.logit, ask.targets) for v, ask in zip(seen, asks, strict=True)]
            observe_gradients(model, x, head, targets, seen)
        for observation, ask, variant in zip(found, asks, seen, strict=True):
            put(observation.variants, ask.mute, variant)
        for i, ask in enumerate(asks):
            if effects.needs_pass(head, ask.ablation):
                self._without(model, head.tap, x[i : i + 1], found[i], ask)
        self._attribute(model, signals, asks, found)
        return found

    @staticmethod
    def _muted(
        model: Any, signals: np.ndarray, asks: Listed[EcgAsk], found: Listed[EcgObserved]
    ) -> np.ndarray:
        if not any(ask.mute for ask in asks):
            return signals
        pairs = zip(signals, asks, found, strict=True)
        rate = model.rate or 1.0
        return np.stack([muted(x, a.mute, rate, a.length or o.length) for x, a, o in pairs])

    @staticmethod
    def _without(model: Any, tap: str, x: torch.Tensor, observation: EcgObserved, ask: EcgAsk) -> None:
        """Logits without some clusters, by a pass of the network."""
        variant = observation.variants[ask.mute]
        key = effects.answer_key(ask)
        if key in variant.answers:
            return
        changed = effects.ablated(variant, ask, sequence(variant, ask, observation.steps(ask)))
        logit = replace_activation(model, x, tap, changed.to(x))
        variant.answers[key] = logit[0].cpu().numpy().copy()

    @staticmethod
    def _attribute(model: Any, signals: np.ndarray, asks: Listed[EcgAsk], found: Listed[EcgObserved]) -> None:
        """Attributions that are asked for and not known, together where they are of one kind."""
        groups: dict[tuple, list[int]] = {}
        for i, (ask, observation) in enumerate(zip(asks, found, strict=True)):
            if ask.attribution and observation.attribution_key(ask) not in observation.attributions:
                kind = (ask.attribution, ask.attribution_steps, ask.window)
                groups.setdefault(kind, []).append(i)
        for (name, steps, window), rows in groups.items():
            targets = [found[i].attribution_key(asks[i])[1] for i in rows]
            maps, gaps = attribute(model, signals[rows], targets, name, steps=steps, window=window)
            for i, map_, gap in zip(rows, maps, gaps, strict=True):
                # a window of occlusion may reach from the signal into its padding
                outside = map_[:, found[i].steps(asks[i]) :]
                gap += float(outside.sum(dtype=np.float64))
                outside[:] = 0
                put(found[i].attributions, found[i].attribution_key(asks[i]), (map_.copy(), float(gap)))

    # -- the explanation ----------------------------------------------------------------------------------------

    def interpret(self, model: Any, observation: EcgObserved, ask: EcgAsk) -> xr.Dataset:
        """Sequence, certainty, shares and contributions of one record; no pass of the network."""
        ask, head = self.ready(model, ask), find_head(model)
        variant, length = observation.variants[ask.mute], observation.steps(ask)
        found = sequence(variant, ask, length)
        targets = asked_classes(variant.logit, ask.targets)
        ds = effects.effects(model, variant, ask, targets, head, found)
        certain, temperature = found.certainty(ask.soft, ask.temperature)
        time = ("sample", "time")
        ds = ds.assign(
            cluster=(time, found.labels.numpy().astype(np.int16)[None]),
            entropy=(time, _f32(certain["entropy"])),
            margin=(time, _f32(certain["margin"])),
            second=(time, certain["second"].numpy().astype(np.int16)[None]),
            proportion=(("sample", "cluster"), found.proportion.numpy()[None]),
            temperature=("sample", [float(temperature)]),
        )
        if ask.ensemble:
            shares = votes(variant, ask, length)
            split = soft.entropy(shares[None])[0].abs()  # full agreement is 0, not -0
            ds["ensemble_entropy"] = (time, _f32(split))
        steps = variant.size[0]
        units = {"units": "s" if model.rate else "steps"}
        ds = ds.assign_coords(
            time=("time", centres(len(found.labels), steps, model.rate), units),
            length=("sample", [length]),
        )
        if ask.attribution:
            ds = self._attributed(model, ds, observation, ask)
        if ask.codebook is not None:
            ds = ds.assign_coords(cluster_name=("cluster", np.asarray(ask.codebook.names, str)))
        return ds.assign_attrs(ask=ask.text())

    @staticmethod
    def _attributed(model: Any, ds: xr.Dataset, observation: EcgObserved, ask: EcgAsk) -> xr.Dataset:
        key = observation.attribution_key(ask)
        map_, gap = observation.attributions[key]
        names = list(model.leads) if len(model.leads) == len(map_) else [str(i) for i in range(len(map_))]
        units = {"units": "s" if model.rate else "steps"}
        return ds.assign(
            attribution=(("sample", "lead", "signal_time"), map_[None]),
            attribution_gap=("sample", [gap]),
        ).assign_coords(
            lead=names,
            signal_time=("signal_time", np.arange(map_.shape[1]) / (model.rate or 1.0), units),
            attribution_class=("sample", [key[1]]),
        )


def _f32(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.float32)[None]
