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


def effect(
    model: Any,
    supports: Supports,
    z: np.ndarray | None = None,
    target: int = PREDICTED,
    population: Change | None = None,
) -> Effect:
    """Return what ``supports`` change.

    Parameters
    ----------
    model : Model
        A SIC network.
    supports : Supports
        In place of the model's own.
    z : ndarray or None
        ``[1, p]`` evidence vector of a sample; None without one.
    target : int
        Class whose logit is compared; -1 = the one that the model's own supports predict.
    population : Change or None
        :func:`xai_views.methods.sic.population.figures` of many samples, with the model's own supports and with these; None
        where not all were observed yet.
    """
    found: dict[str, Any] = {"supports": Change(len(model.supports), len(supports))}
    if z is not None:
        found |= _of_sample(model, supports, z, target)
    if population is not None:
        was, now = population.before, population.after
        known = int((was["right"] >= 0).sum())
        found |= {
            "moved": int((was["predicted"] != now["predicted"]).sum()),
            "labelled": known,
            "population": len(was["predicted"]),
        }
        if known:
            found["accuracy"] = Change(accuracy(was["right"]), accuracy(now["right"]))
    return Effect(**found)


def _of_sample(model: Any, supports: Supports, z: np.ndarray, target: int) -> dict[str, Any]:
    was, now = (figures(model, s, z, np.full(1, -1)) for s in (model.supports, supports))
    predicted = Change(int(was["predicted"][0]), int(now["predicted"][0]))
    c = predicted.before if target == PREDICTED else target
    logit = Change(float(was["logit"][0, c]), float(now["logit"][0, c]))
    return {"target": c, "logit": logit, "predicted": predicted}
