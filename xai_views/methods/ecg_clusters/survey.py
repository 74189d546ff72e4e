"""Survey of all records: logits, cluster shares and uncertainty, with statistics over the records."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_views.contract.ask import Ask
from xai_views.engine.predictions import known_classes
from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.alignment import Alignment, align
from xai_views.methods.ecg_clusters.beats import Averages, averages, known_peaks
from xai_views.methods.ecg_clusters.correlation import Correlation, correlate
from xai_views.methods.ecg_clusters.fit import lengths
from xai_views.methods.ecg_clusters.landmarks import delineate
from xai_views.methods.ecg_clusters.method import EcgClustersMethod
from xai_views.samples import inputs

CHUNK = 16
FEW = 8  # minimum number of records for correlations
SHIFTS = 39  # random time shifts for the chance level of the agreement with the waves
PHASES = 40  # phase bins of the beat


@dataclass(frozen=True, eq=False)
class Survey:
    """Logits, cluster shares and uncertainty of every record of a set.

    Attributes
    ----------
    logit, probability : ndarray
        ``[n, classes]``.
    proportion : ndarray
        ``[n, K]`` share of each cluster of the codebook; rows sum to 1.
    entropy : ndarray
        ``[n]`` mean entropy of the steps that are signal.
    known : list of frozenset of int
        True classes of each record: none, one or several.
    sequence : list of ndarray
        Cluster of every cell, -1 in padding.
    """

    logit: np.ndarray
    probability: np.ndarray
    proportion: np.ndarray
    entropy: np.ndarray
    known: list[frozenset[int]]
    sequence: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.known)

    @property
    def k(self) -> int:
        """Number of clusters."""
        return self.proportion.shape[1]

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
        """Whether any record has more than one true class."""
        return any(len(k) > 1 for k in self.known)

    @property
    def label(self) -> np.ndarray:
        """``[n]`` true class, -1 = unknown; the first of several."""
        return np.array([min(k, default=-1) for k in self.known], int)

    def against(self, said: np.ndarray) -> np.ndarray:
        """``[n]`` bool: labelled records whose labels do not include ``said [n]``."""
        return np.array([bool(k) and int(c) not in k for k, c in zip(self.known, said, strict=True)], bool)

    def disagreements(self, forest: np.ndarray | None = None) -> np.ndarray:
        """``[n]`` number of pairs among label, network and (if given) ``forest [n]`` that disagree."""
        count = self.against(self.predicted).astype(int)
        if forest is not None:
            count += forest != self.predicted
            count += self.against(forest)
        return count

    # -- positions of records ---------------------------------------------------------------------------------------

    def wrong(self) -> np.ndarray:
        """Positions of misclassified records: the prediction is none of their labels."""
        return np.flatnonzero(self.against(self.predicted))

    def uncertain(self, part: int = 10) -> np.ndarray:
        """Positions of the most uncertain ``1/part`` of the records, most uncertain first."""
        return np.argsort(-self.entropy, kind="stable")[: max(1, len(self) // part)]

    def queue(self, forest: np.ndarray | None = None) -> np.ndarray:
        """Positions of records with disagreements, most disagreements first, then most uncertain first."""
        count = self.disagreements(forest)
        order = np.lexsort((-self.entropy, -count))
        return order[count[order] > 0]


def survey(
    model: Any,
    samples: xr.Dataset,
    ask: Ask,
    progress: Callable[[int, int], None] | None = None,
) -> Generator[None, None, Survey]:
    """Run the network on every record once; a generator, so that a worker can serve other requests between the chunks.

    Parameters
    ----------
    model : Model
        A signal network.
    samples : Dataset
        Records in the format of the model, see ``xai_views.samples.prepare``.
    ask : Ask
        Request of this method, with a codebook; applied to each record with its own length.
    progress : callable, optional
        ``progress(done, total)``; may raise to stop.
    """
    method = EcgClustersMethod()
    ask = method.ready(model, ask)
    n, found = samples.sizes["sample"], []
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        signals = inputs(samples, rows)
        asks = [ask.replace(length=length) for length in lengths(samples, rows, signals)]
        seen: Any = method.observe(model, signals, asks, [None] * len(rows))
        found += [_figures(method.interpret(model, o, a)) for o, a in zip(seen, asks, strict=True)]
        if progress is not None:
            progress(len(found), n)
        yield
    logit, probability, proportion, entropy, sequence = zip(*found, strict=True)
    return Survey(
        np.stack(logit),
        np.stack(probability),
        np.stack(proportion),
        np.asarray(entropy),
        known_classes(samples),
        list(sequence),
    )


def _figures(one: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray]:
    names = ("logit", "probability", "proportion")
    return *(one[name].values[0] for name in names), mean_entropy(one), one["cluster"].values[0]


def mean_entropy(one: xr.Dataset) -> float:
    """Mean entropy of the signal steps in the explanation of one record."""
    return float(one["entropy"].values[0][one["cluster"].values[0] >= 0].mean())


def waves(
    samples: xr.Dataset,
    found: Survey,
    known: bool,
    progress: Callable[[int, int], None] | None = None,
    shifts: int = SHIFTS,
) -> Generator[None, None, tuple[Alignment, Averages | None]]:
    """Compare the clusters of a survey with the waves of its records, and average over their beats.

    Parameters
    ----------
    samples : Dataset
        The records of the survey, in the format of the model.
    found : Survey
        Survey of the records.
    known : bool
        Whether to take the waves from ``samples["landmark"]``; otherwise they are delineated with NeuroKit2.
    progress : callable, optional
        ``progress(done, total)``; may raise to stop.
    shifts : int
        Number of random time shifts for the chance level.

    Returns
    -------
    alignment, averages
        The value of ``StopIteration``; between the records the worker can serve other requests.
    """
    leads, rate, n = [str(x) for x in samples["lead"].values], float(samples.attrs["rate"]), len(found)
    ids, peaks, steps = [], [], []
    for i in range(n):
        signal = inputs(samples, [i])[0]
        steps += lengths(samples, [i], [signal])
        if known:
            ids.append(samples["landmark"].isel(sample=i).values)
            peaks.append(known_peaks(ids[-1], signal))
        else:
            seen = delineate(signal, leads, rate, steps[-1])
            ids.append(seen.ids)
            peaks.append(seen.r_peaks)
        if progress is not None:
            progress(i + 1, n + 1)
        yield
    aligned = align(found.sequence, ids, found.k, shifts=shifts)
    yield
    return aligned, averages(samples, found.sequence, found.k, peaks, steps, PHASES)


def correlations(
    found: Survey, kind: str = "spearman", transform: str = "none", output: str = "logit"
) -> Correlation:
    """Correlate cluster shares with the logits, or with the labels, of the records of a survey.

    Parameters
    ----------
    found : Survey
        Survey of at least :data:`FEW` records.
    kind, transform : str
        See :func:`xai_views.methods.ecg_clusters.correlation.correlate`.
    output : {"logit", "label"}
        With "label", records without a label are left out.

    Raises
    ------
    MethodError
        When there are too few records.
    """
    rows = np.arange(len(found)) if output == "logit" else np.flatnonzero(found.labelled)
    if len(rows) < FEW:
        what = (
            "records are too few for correlations"
            if output == "logit"
            else "records are labelled, too few for correlations"
        )
        raise MethodError(f"{len(rows)} {what}; give at least {FEW}.")
    classes = range(found.logit.shape[1])
    labels = np.array([[float(c in found.known[i]) for c in classes] for i in rows])
    y = found.logit[rows] if output == "logit" else labels
    return correlate(found.proportion[rows], y, kind, transform)
