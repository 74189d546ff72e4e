"""What the method ``ecg_clusters`` is asked, what it keeps of one record, and which steps are signal."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from xai_views.contract.method import Ask
from xai_views.engine.clusters.observed import PREDICTED, Ablation, Observed
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.muting import Mute

#: Muted versions and attributions of one record that are kept; beyond, the oldest goes first.
KEPT = 8


@dataclass(frozen=True)
class EcgAsk(Ask):
    """What is wanted of one record.

    Attributes
    ----------
    codebook : Codebook or None
        Clusters of a data set, with their taps and weights; None = this record is clustered alone, and its ids and
        colours mean nothing in another record.
    ensemble : tuple of Codebook
        Bootstrap codebooks in the order of ``codebook``, for ``ensemble_entropy``; () = not wanted.
    taps : tuple of str
        Module paths, shallow to deep, for a record alone; () = the defaults of the architecture.
    weights : str or tuple of float
        A preset ("authors", "equal", "deep-first") or one weight per tap, for a record alone.
    k : int
        Number of clusters, for a record alone.
    seed : int
        Of the starts, for a record alone.
    soft, temperature : str, float
        Soft assignment; 0 = the spread that the codebook knows of its data set, else the record's own.
    targets : tuple of int
        Classes whose logit is taken apart; ``PREDICTED`` = the largest.
    length : int
        Steps that are signal; 0 = all but the steps at the end in which every lead is zero.
    ablation : Ablation or None
        What the network says without some clusters (in latent space).
    shapley : bool
        Exact Shapley values over the clusters (at most 10).
    mute : tuple of (int, float, float, str)
        Intervals that are replaced before the network is asked, see :func:`xai_views.methods.ecg_clusters.muting.muted`.
    attribution : str
        "" or one of :data:`xai_views.methods.ecg_clusters.attribution.METHODS`, for every lead and step.
    attribution_class : int
        The class that it explains.
    attribution_steps : int
        Of integrated gradients.
    window : float
        Of occlusion in s; 0 = a twenty-fifth of the record.
    """

    codebook: Any = None
    ensemble: tuple[Any, ...] = ()
    taps: tuple[str, ...] = ()
    weights: str | tuple[float, ...] = "authors"
    k: int = 8
    seed: int = 0
    soft: str = "tempered"
    temperature: float = 0.0
    targets: tuple[int, ...] = (PREDICTED,)
    length: int = 0
    ablation: Ablation | None = None
    shapley: bool = False
    mute: tuple[Mute, ...] = ()
    attribution: str = ""
    attribution_class: int = PREDICTED
    attribution_steps: int = 32
    window: float = 0.0

    def clusters(self) -> Hashable:
        """Everything that the clusters of a record depend on beside its activations."""
        if self.codebook is not None:
            return ("codebook", self.codebook.key, self.length)
        return ("own", self.taps, self.weights, self.k, self.seed, self.length)

    def text(self) -> str:
        """The ask as JSON, for the provenance; codebooks by their content keys."""
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(known, default=lambda v: getattr(v, "key", None) or vars(v))


@dataclass(eq=False)
class EcgObserved:
    """What the network said about one record, as it is and with intervals muted.

    Attributes
    ----------
    length : int
        Steps until the last one in which a lead is not zero.
    variants : OrderedDict
        What was observed, by the muted intervals; ``()`` = the record as it is.
    attributions : OrderedDict
        ``[lead, time]`` and the gap that each leaves open, by :meth:`attribution_key`.
    """

    length: int
    variants: OrderedDict[tuple[Mute, ...], Observed] = field(default_factory=OrderedDict)
    attributions: OrderedDict[Hashable, tuple[np.ndarray, float]] = field(default_factory=OrderedDict)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        maps = sum(m.nbytes for m, _ in self.attributions.values())
        return maps + sum(v.nbytes for v in self.variants.values())

    def copy(self) -> EcgObserved:
        """Another one that knows the same; what it learns does not change this one."""
        return EcgObserved(self.length, OrderedDict(self.variants), OrderedDict(self.attributions))

    def attribution_key(self, ask: EcgAsk) -> Hashable:
        """Where the attribution of an ask is kept; the record's answer must be known."""
        top = int(self.variants[ask.mute].logit.argmax())
        target = top if ask.attribution_class == PREDICTED else ask.attribution_class
        # what a method does not use does not make it another one
        steps = ask.attribution_steps if ask.attribution == "integrated gradients" else 0
        window = ask.window if ask.attribution == "occlusion" else 0.0
        return ask.attribution, target, steps, window, ask.length, ask.mute

    def steps(self, ask: EcgAsk) -> int:
        """Steps that are signal."""
        total = next(iter(self.variants.values())).size[0]
        if not 0 <= ask.length <= total:
            raise MethodError(
                f"a length of {ask.length} steps was given and the record has {total}; give 1 to {total}, or 0."
            )
        return ask.length or self.length


def put(kept: OrderedDict, key: Hashable, value: Any) -> None:
    """Keep a value as the youngest, and let the oldest go when there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)


def signal_length(signal: np.ndarray) -> int:
    """Steps until the last one in which a lead is not zero, at least 1: what follows in ``[lead, time]`` is padding."""
    alive = np.flatnonzero(np.any(np.asarray(signal) != 0, axis=0))
    return int(alive[-1]) + 1 if len(alive) else 1


def signal_cells(length: int, steps: int, cells: int) -> torch.Tensor:
    """Which cells of a tap are signal.

    Parameters
    ----------
    length : int
        Steps that are signal.
    steps, cells : int
        Steps of the input and cells of the tap.

    Returns
    -------
    Tensor
        ``[cells]`` bool: those whose centre lies before the end of the signal, and the first one in any case. What a
        cell sees may reach beyond its own steps, see :func:`xai_views.methods.ecg_clusters.receptive.receptive_field`.
    """
    inside = (torch.arange(cells, dtype=torch.float64) + 0.5) * steps / cells < length
    inside[0] = True
    return inside


def centres(cells: int, steps: int, rate: float | None) -> np.ndarray:
    """Time ``[cells]`` of the middle of every cell in s (in steps of the input where the rate is not known)."""
    return (np.arange(cells) + 0.5) * steps / cells / (rate or 1.0)
