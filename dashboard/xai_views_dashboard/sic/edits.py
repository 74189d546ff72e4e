"""What an edited support set changes, and pictures of single supports: without widgets and without passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn

from xai_views.models import evidence
from xai_views.models.supports import Supports
from xai_views_dashboard.core.numbers import number
from xai_views_dashboard.core.tasks import start
from xai_views_dashboard.sic.session import figures

NO_RETRAINING = "The network itself stays as it is; nothing is trained again."


def nearest_training(
    model: Any,
    supports: Supports,
    reference: np.ndarray,
    target: int,
    everything: bool = False,
    most: int = 12,
) -> tuple[np.ndarray, np.ndarray]:
    """Training images that are most similar to a vector and do not support a class yet.

    Parameters
    ----------
    model : Model
        With cached vectors of its training images.
    supports : Supports
        The set as it is now.
    reference : ndarray
        ``[p]`` evidence vector.
    target : int
        Class that they would support.
    everything : bool
        Whether images of other classes count too.
    most : int
        How many at most.

    Returns
    -------
    rows, cosine : ndarray
        Rows of ``model.latents``, most similar first, and their cosines with ``reference``.
    """
    latents = model.latents
    pool = np.arange(len(latents.z)) if everything else latents.of_class(target)
    pool = pool[~np.isin(latents.index[pool], supports.index[supports.of_class(target)])]
    cosine = evidence.cosines(reference[None], latents.z[pool])[0]
    best = np.argsort(-cosine, kind="stable")[:most]
    return pool[best], cosine[best]


def class_of(latents: Any, row: int, classes: list[str]) -> str:
    """Words for the class (or the classes) that a training image has."""
    if latents.label.ndim == 2:
        return ", ".join(classes[c] for c in np.flatnonzero(latents.label[row] > 0)) or "none"
    return classes[int(latents.label[row])]


def excluding(state: Any, position: int, target: int) -> dict[str, list]:
    """Changes of the state that take a support away; one that was added by hand is simply taken back."""
    added = [list(a) for a in state.added]
    if [position, target] in added:
        return {"added": [a for a in added if a != [position, target]]}
    return {"excluded": [*state.excluded, position]}


def adding(state: Any, own: Supports, position: int, target: int) -> dict[str, list]:
    """Changes of the state that add a training image; one of the shipped supports is simply let in again."""
    shipped = bool(np.any((own.index == position) & (own.label == target)))
    if shipped and position in state.excluded and state.rule == "model" and not state.per_class:
        return {"excluded": [i for i in state.excluded if i != position]}
    return {"added": [*state.added, [position, target]]}


@dataclass(frozen=True)
class Change:
    """One quantity with the model's own supports and with those as they are now."""

    before: Any
    after: Any


@dataclass(frozen=True)
class Effect:
    """What an edited support set changes.

    Attributes
    ----------
    supports : Change
        Numbers of supports.
    target : int
        Class whose logit is compared, -1 without a sample.
    logit, predicted : Change or None
        Of the sample in view.
    accuracy : Change or None
        Of the labelled samples, when all of them were observed.
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

    def sentence(self, classes: list[str]) -> str:
        """Return the effect in words."""
        parts = [f"Support samples {self.supports.before} → {self.supports.after}."]
        if self.logit is not None:
            parts.append(
                f"This sample: logit of {classes[self.target]} {number(self.logit.before)} → "
                f"{number(self.logit.after)}, predicted {classes[self.predicted.before]} → "
                f"{classes[self.predicted.after]}."
            )
        if self.accuracy is not None:
            parts.append(
                f"Test accuracy {self.accuracy.before:.3f} → {self.accuracy.after:.3f} "
                f"({self.labelled} samples); {self.moved} of {self.population} are predicted otherwise."
            )
        elif not self.population:
            parts.append("The test accuracy follows when every sample was observed.")
        else:
            parts.append(
                f"{self.moved} of {self.population} samples are predicted otherwise; none has a label."
            )
        return " ".join([*parts, NO_RETRAINING])


class Effects:
    """Compute effects; the figures of the last support sets are kept, since samples change more often.

    Parameters
    ----------
    session : Session
        Gives model, population and the edited set.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._kept: dict[str, dict] = {}

    def _figures(self, supports: Supports) -> dict:
        if supports.key not in self._kept:
            population = self._session.population
            if len(self._kept) > 1:  # the model's own is the first
                self._kept.pop(list(self._kept)[-1])
            self._kept[supports.key] = figures(self._session.model, supports, population.z, population.label)
        return self._kept[supports.key]

    def of(self, z: np.ndarray | None, target: int = -1) -> Effect:
        """Return the effect on the sample with evidence vector ``z [1, p]`` and on the population.

        Parameters
        ----------
        z : ndarray or None
            None where the sample was not observed yet.
        target : int
            Class whose logit is compared; -1 = the one that the model's own supports predict.
        """
        session, population = self._session, self._session.population
        own, now = session.model.supports, session.supports
        found: dict[str, Any] = {"supports": Change(len(own), len(now))}
        if z is not None:
            unknown = np.full(1, -1)
            was, is_now = (figures(session.model, s, z, unknown) for s in (own, now))
            predicted = Change(int(was["predicted"][0]), int(is_now["predicted"][0]))
            c = target if target >= 0 else predicted.before
            found |= {
                "target": c,
                "logit": Change(float(was["logit"][0, c]), float(is_now["logit"][0, c])),
                "predicted": predicted,
            }
        if population.n and population.ready.done() and not np.isnan(population.z).any():
            was, is_now = self._figures(own), self._figures(now)
            known = population.label >= 0
            found |= {
                "moved": int((was["predicted"] != is_now["predicted"]).sum()),
                "labelled": int(known.sum()),
                "population": population.n,
            }
            if known.any():
                shares = (float((f["right"][known] == 1).mean()) for f in (was, is_now))
                found["accuracy"] = Change(*shares)
        return Effect(**found)


def later(make: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Start a coroutine if there is an event loop; a script, which has none, does without."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    start(make())
    return True


def when_done(future: Future, call: Callable[[], Any]) -> None:
    """Call a function on this page's event loop when a future has a result; at once is not its business."""
    doc = pn.state.curdoc
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None

    def arrived(future: Future) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        if doc is not None and doc.session_context is not None:
            doc.add_next_tick_callback(call)
        elif loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call)

    if not future.done():
        future.add_done_callback(arrived)
