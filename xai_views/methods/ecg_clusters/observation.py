"""Observation of the method ``ecg_clusters`` for one record, and which of its steps are signal."""

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

#: Number of edited versions and attributions kept per record; the oldest is dropped first.
KEPT = 8


def clusters_key(ask: Ask) -> tuple:
    """Everything that the clusters of a record depend on, except its activations."""
    if ask.mode == "codebook":
        return ("codebook", ask.codebook_key if ask.codebook is None else ask.codebook.key, ask.length)
    return ("own", ask.taps, ask.weights, ask.k, ask.seed, ask.length)


@dataclass(eq=False)
class EcgObserved:
    """Outputs of the network for one record, original and edited.

    Attributes
    ----------
    length : int
        Number of steps up to the last non-zero one.
    total : int
        Number of steps of the record, padding included.
    variants : OrderedDict
        Observations by :meth:`variant_key`; ``()`` = the original record.
    attributions : OrderedDict
        Attribution ``[lead, time]`` and its gap, by :meth:`attribution_key`.
    """

    length: int
    total: int
    variants: OrderedDict[Hashable, Observed] = field(default_factory=OrderedDict)
    attributions: OrderedDict[Hashable, tuple[np.ndarray, float]] = field(default_factory=OrderedDict)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        maps = sum(m.nbytes for m, _ in self.attributions.values())
        return maps + sum(v.nbytes for v in self.variants.values())

    def copy(self) -> EcgObserved:
        """Return a copy with the same observations; additions to it do not change this one."""
        return EcgObserved(
            self.length, self.total, OrderedDict(self.variants), OrderedDict(self.attributions)
        )

    def variant_key(self, ask: Ask) -> Hashable:
        """Return the key of the record with the edits of a request; edits end where the signal does."""
        return (self.steps(ask), edits.key(ask.edits)) if ask.edits else ()

    def variant(self, ask: Ask) -> Observed | None:
        """Return the observation of the record with the edits of a request; None if it was not observed."""
        return self.variants.get(self.variant_key(ask))

    def attribution_key(self, ask: Ask) -> tuple:
        """Return the key of the attribution of a request; the logits of the record have to be known."""
        target = asked_classes(self.variants[self.variant_key(ask)].logit, ask.targets)[0]
        # parameters that a method does not use must not change its key
        steps = ask.attribution_steps if ask.attribution == "integrated gradients" else 0
        window = ask.window if ask.attribution == "occlusion" else 0.0
        return ask.attribution, target, steps, window, ask.length, self.variant_key(ask)

    def steps(self, ask: Ask) -> int:
        """Return the number of steps that are signal."""
        if not 0 <= ask.length <= self.total:
            raise MethodError(
                f"a length of {ask.length} steps was given and the record has {self.total}; give 1 to {self.total}, or 0 "
                "(automatic)."
            )
        return ask.length or self.length


def put(kept: OrderedDict, key: Hashable, value: Any) -> None:
    """Store a value as the newest, and drop the oldest when there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)


def signal_length(signal: np.ndarray) -> int:
    """Number of steps of ``[lead, time]`` up to the last non-zero one, at least 1; the rest is padding."""
    alive = np.flatnonzero(np.any(np.asarray(signal) != 0, axis=0))
    return int(alive[-1]) + 1 if len(alive) else 1


def signal_cells(length: int, steps: int, cells: int) -> torch.Tensor:
    """Return which cells of a tap are signal.

    Parameters
    ----------
    length : int
        Number of steps that are signal.
    steps, cells : int
        Steps of the input and cells of the tap.

    Returns
    -------
    Tensor
        ``[cells]`` bool: True where the centre of the cell lies before the end of the signal, and for the first cell. A
        cell may see beyond its own steps, see :func:`xai_views.methods.ecg_clusters.receptive.receptive_field`.
    """
    inside = (torch.arange(cells, dtype=torch.float64) + 0.5) * steps / cells < length
    inside[0] = True
    return inside


def centres(cells: int, steps: int, rate: float | None) -> np.ndarray:
    """Time ``[cells]`` of the centre of every cell in s (in steps of the input if the rate is unknown)."""
    return (np.arange(cells) + 0.5) * steps / cells / (rate or 1.0)
