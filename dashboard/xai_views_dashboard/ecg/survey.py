"""All records at once: answers, shares of the clusters and uncertainty, computed once per process and shared by all visitors."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_views_dashboard.core.tasks import failed

CHUNK = 16
#: By model, samples and codebook.
_surveys: dict[tuple, Future] = {}


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of every record of a set.

    Attributes
    ----------
    logit, probability : ndarray
        ``[n, classes]``.
    proportion : ndarray
        ``[n, K]`` share of each cluster of the codebook; sums to 1.
    entropy : ndarray
        ``[n]`` mean uncertainty of the steps that are signal.
    known : list of frozenset of int
        Classes that each record is labelled with: none, one or several.
    sequence : list of ndarray
        Cluster of every coarse step, -1 in padding.
    """

    logit: np.ndarray
    probability: np.ndarray
    proportion: np.ndarray
    entropy: np.ndarray
    known: list[frozenset[int]]
    sequence: list[np.ndarray]

    @property
    def predicted(self) -> np.ndarray:
        """``[n]`` class with the largest logit."""
        return self.logit.argmax(1)

    @property
    def labelled(self) -> np.ndarray:
        """``[n]`` bool: records with a label."""
        return np.array([bool(k) for k in self.known], bool)

    @property
    def several(self) -> bool:
        """Whether a record is labelled with more than one class."""
        return any(len(k) > 1 for k in self.known)

    @property
    def label(self) -> np.ndarray:
        """``[n]`` known class, -1 = unknown; the first of several."""
        return np.array([min(k, default=-1) for k in self.known], int)

    def against(self, said: np.ndarray) -> np.ndarray:
        """``[n]`` bool: labelled records of which ``said [n]`` is none of the labels."""
        return np.array([bool(k) and int(c) not in k for k, c in zip(self.known, said, strict=True)], bool)


def survey(
    model: Any,
    method: Any,
    population: Any,
    book: Any,
    temperature: float,
    progress: Callable[[int, int], None],
) -> Generator[None, None, Survey]:
    """Ask the network about every record once; a generator, so that a worker can serve others between the chunks.

    Parameters
    ----------
    model, method
        As in a session.
    population : Records
        All records.
    book : Codebook
        The clusters that they share.
    temperature : float
        Of the soft assignment behind the uncertainty.
    progress : callable
        ``progress(done, total)``; may raise to stop.
    """
    from xai_views.methods.ecg_clusters.observation import EcgAsk
    from xai_views.samples import inputs

    logit, probability, proportion, entropy, sequence = [], [], [], [], []
    for start in range(0, population.n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, population.n))
        asks = [
            EcgAsk(codebook=book, temperature=temperature, length=int(population.length[i])) for i in rows
        ]
        signals = inputs(population.samples, rows)
        seen = method.observe(model, signals, asks, [None] * len(rows))
        for observation, ask in zip(seen, asks, strict=True):
            one = method.interpret(model, observation, ask)
            cluster = one["cluster"].values[0]
            logit.append(one["logit"].values[0])
            probability.append(one["probability"].values[0])
            proportion.append(one["proportion"].values[0])
            entropy.append(float(one["entropy"].values[0][cluster >= 0].mean()))
            sequence.append(cluster)
        progress(int(rows[-1]) + 1, population.n)
        yield
    return Survey(
        np.stack(logit),
        np.stack(probability),
        np.stack(proportion),
        np.asarray(entropy),
        list(population.known),
        sequence,
    )


def surveyed(session: Any) -> Future:
    """The survey of a session's records under its codebook; asking again returns the same future."""
    key = (session.model.sha256, session.population.key, session.book.key)
    future = _surveys.get(key)
    if future is None or failed(future):
        book, model, method, population = session.book, session.model, session.method, session.population
        temperature = session.temperature

        def records(progress: Any) -> Any:
            return (yield from survey(model, method, population, book, temperature, progress))

        future = _surveys[key] = session.kernel.run(records, priority=2)
    return future
