"""Effect of a different support set on one sample and on a population; matrix products only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_views.contract.method import PREDICTED
from xai_views.methods.sic.population import accuracy, figures
from xai_views.models.supports import Supports


@dataclass(frozen=True)
class Change:
    """A value with the original supports, and with the new ones."""

    before: Any
    after: Any


@dataclass(frozen=True)
class Effect:
    """Effect of a different support set.

    Attributes
    ----------
    supports : Change
        Number of supports.
    target : int
        Class whose logit is compared; -1 without a sample.
    logit, predicted : Change or None
        Logit and predicted class of the sample.
    accuracy : Change or None
        Accuracy on the labelled samples of the population, if all of it was observed.
    moved, labelled, population : int
        Number of samples whose prediction changes, of labelled samples, and of all samples.
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
    """Return the effect of using ``supports`` instead of the original ones.

    Parameters
    ----------
    model : Model
        A SIC network.
    supports : Supports
        The new support set.
    z : ndarray or None
        ``[1, p]`` evidence vector of a sample, if any.
    target : int
        Class whose logit is compared; -1 = the class predicted with the original supports.
    population : Change or None
        :func:`xai_views.methods.sic.population.figures` of many samples with the original and with the new supports;
        None while not all samples were observed.
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
