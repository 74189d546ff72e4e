"""What other supports would change: for one sample, and for a population; products of matrices only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_views.contract.method import PREDICTED
from xai_views.methods.sic.population import accuracy, figures
from xai_views.models.supports import Supports


@dataclass(frozen=True)
class Change:
    """One quantity with the model's own supports, and with others."""

    before: Any
    after: Any


@dataclass(frozen=True)
class Effect:
    """What another support set changes.

    Attributes
    ----------
    supports : Change
        Numbers of supports.
    target : int
        Class whose logit is compared, -1 without a sample.
    logit, predicted : Change or None
        Of the sample.
    accuracy : Change or None
        Of the labelled samples of the population, when all of it was observed.
    moved, labelled, population : int
        Samples that are predicted otherwise, samples with a label, all samples.
    """

    supports: Change
    target: int = -1
    logit: Change | None = None
    predicted: Change | None = None
    accuracy: Change | None = None
    moved: int = 0
    labelled: int = 0
    population: int = 0


class WhatIf:
    """Effects of support sets; the figures of the population are kept for the model's own set and the last other one.

    Parameters
    ----------
    model : Model
        A SIC network.
    z : ndarray
        ``[N, p]`` evidence vectors of the population; rows that are not observed yet are not a number.
    label : ndarray
        ``[N]`` class of each, -1 = unknown.
    """

    def __init__(self, model: Any, z: np.ndarray, label: np.ndarray) -> None:
        self._model, self._z, self._label = model, z, label
        self._kept: dict[str, dict[str, np.ndarray]] = {}

    def effect(self, supports: Supports, z: np.ndarray | None = None, target: int = PREDICTED) -> Effect:
        """Return what ``supports`` change.

        Parameters
        ----------
        supports : Supports
            In place of the model's own.
        z : ndarray or None
            ``[1, p]`` evidence vector of the sample; None where it was not observed yet.
        target : int
            Class whose logit is compared; -1 = the one that the model's own supports predict.
        """
        own = self._model.supports
        found: dict[str, Any] = {"supports": Change(len(own), len(supports))}
        if z is not None:
            found |= self._of_sample(supports, z, target)
        if len(self._z) and not np.isnan(self._z).any():
            was, now = self._figures(own), self._figures(supports)
            known = int((self._label >= 0).sum())
            found |= {
                "moved": int((was["predicted"] != now["predicted"]).sum()),
                "labelled": known,
                "population": len(self._z),
            }
            if known:
                found["accuracy"] = Change(accuracy(was["right"]), accuracy(now["right"]))
        return Effect(**found)

    def _of_sample(self, supports: Supports, z: np.ndarray, target: int) -> dict[str, Any]:
        unknown = np.full(1, -1)
        was, now = (figures(self._model, s, z, unknown) for s in (self._model.supports, supports))
        predicted = Change(int(was["predicted"][0]), int(now["predicted"][0]))
        c = predicted.before if target == PREDICTED else target
        logit = Change(float(was["logit"][0, c]), float(now["logit"][0, c]))
        return {"target": c, "logit": logit, "predicted": predicted}

    def _figures(self, supports: Supports) -> dict[str, np.ndarray]:
        if supports.key not in self._kept:
            if len(self._kept) > 1:  # the model's own is the first
                self._kept.pop(list(self._kept)[-1])
            self._kept[supports.key] = figures(self._model, supports, self._z, self._label)
        return self._kept[supports.key]
