"""What the method ``ecg_clusters`` keeps of one record, and which steps of it are signal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from xai_views.contract.ask import Ask
from xai_views.engine.clusters.observed import Observed
from xai_views.engine.clusters.observing import asked_classes
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters import edits

#: Edited versions and attributions of one record that are kept; beyond, the oldest goes first.
KEPT = 8


def clusters_key(ask: Ask) -> tuple:
    """Everything that the clusters of a record depend on beside its activations."""
    if ask.mode == "codebook":
        return ("codebook", ask.codebook_key if ask.codebook is None else ask.codebook.key, ask.length)
    return ("own", ask.taps, ask.weights, ask.k, ask.seed, ask.length)


@dataclass(eq=False)
class EcgObserved:
    """What the network said about one record, as it is and with edits.

    Attributes
    ----------
    length : int
        Steps until the last one in which a lead is not zero.
    total : int
        Steps of the record, padding included.
    variants : OrderedDict
        What was observed, by :meth:`variant_key`; ``()`` = the record as it is.
    attributions : OrderedDict
        ``[lead, time]`` and the gap that each leaves open, by :meth:`attribution_key`.
    """

    length: int
    total: int
    variants: OrderedDict[Hashable, Observed] = field(default_factory=OrderedDict)
    attributions: OrderedDict[Hashable, tuple[np.ndarray, float]] = field(default_factory=OrderedDict)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        maps = sum(m.nbytes for m, _ in self.attributions.values())
        return maps + sum(v.nbytes for v in self.variants.values())

    def copy(self) -> EcgObserved:
        """Another one that knows the same; what it learns does not change this one."""
        return EcgObserved(
            self.length, self.total, OrderedDict(self.variants), OrderedDict(self.attributions)
        )

    def variant_key(self, ask: Ask) -> Hashable:
        """Where the record with the edits of an ask is kept: they end where the signal does."""
        return (self.steps(ask), edits.key(ask.edits)) if ask.edits else ()

    def variant(self, ask: Ask) -> Observed | None:
        """The record with the edits of an ask; None when the network was not asked about it."""
        return self.variants.get(self.variant_key(ask))

    def attribution_key(self, ask: Ask) -> tuple:
        """Where the attribution of an ask is kept; the record's answer must be known."""
        target = asked_classes(self.variants[self.variant_key(ask)].logit, ask.targets)[0]
        # what a method does not use does not make it another one
        steps = ask.attribution_steps if ask.attribution == "integrated gradients" else 0
        window = ask.window if ask.attribution == "occlusion" else 0.0
        return ask.attribution, target, steps, window, ask.length, self.variant_key(ask)

    def steps(self, ask: Ask) -> int:
        """Steps that are signal."""
        if not 0 <= ask.length <= self.total:
            raise MethodError(
                f"a length of {ask.length} steps was given and the record has {self.total}; give 1 to {self.total}, or 0."
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
