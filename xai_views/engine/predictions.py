"""What a model predicts for one sample or for a whole set, and how typical the samples are of its training data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import xarray as xr

from xai_views.errors import MethodError
from xai_views.models import evidence
from xai_views.models.supports import Latents
from xai_views.samples import inputs

CHUNK = 32  # samples in one pass
#: A sample is unusual when fewer than this share of the training samples lie further out.
UNUSUAL = 0.01
TINY = 1e-12
#: Any class, where a class is chosen.
ANY = -1
OUTCOMES = ("all", "correct", "errors")
#: What samples can be ordered by: the names of the values of :class:`Predictions`, and "order" for that of the set.
SORTS = ("order", "confidence", "margin", "loss", "uncertainty", "distance", "concentration")


def labelled_with(known: list[frozenset[int]], wanted: int) -> np.ndarray:
    """Return which samples ``[N]`` are labelled with a class."""
    return np.fromiter((wanted in k for k in known), bool, len(known))


def known_classes(samples: xr.Dataset) -> list[frozenset[int]]:
    """Return the classes that each sample is labelled with: none, one or several."""
    label = samples["label"].values if "label" in samples else np.full(samples.sizes["sample"], -1)
    own = [[c] if c >= 0 else [] for c in label] if label.ndim == 1 else map(np.flatnonzero, label)
    return [frozenset(map(int, classes)) for classes in own]


def calibration_of(model: Any) -> str:
    """Return how the probabilities of a model are made, in a few words."""
    said = str(model.card.get("calibration") or "")
    if said:
        return said
    if model.supports is not None:
        return "scaled on training data"
    return "not calibrated"


@dataclass(frozen=True)
class Answer:
    """The prediction for one sample beside what is known of it.

    Attributes
    ----------
    predicted, runner_up : int
        Classes with the largest and the second largest logit; ``runner_up`` is -1 with one class.
    probability, runner_up_probability : float
        Their probabilities; the second is NaN with one class.
    known : frozenset of int
        Classes that the sample is labelled with.
    """

    predicted: int
    probability: float
    runner_up: int
    runner_up_probability: float
    known: frozenset[int]

    @property
    def correct(self) -> bool | None:
        """Whether the predicted class is one of the labels; None without a label."""
        return self.predicted in self.known if self.known else None


def answer(logit: np.ndarray, probability: np.ndarray, known: Collection[int] = ()) -> Answer:
    """Return the answer that logits and probabilities ``[classes]`` of one sample stand for."""
    order = np.argsort(-np.asarray(logit), kind="stable")
    second = int(order[1]) if len(order) > 1 else -1
    return Answer(
        int(order[0]),
        float(probability[order[0]]),
        second,
        float(probability[second]) if second >= 0 else float("nan"),
        frozenset(int(c) for c in known),
    )


@dataclass(frozen=True)
class Typicality:
    """How typical one sample is of the training data, two-sided in the norm of its latent vector.

    Attributes
    ----------
    norm, cosine : float
        Norm of its latent vector, and its best cosine with a training sample.
    norm_rank, cosine_rank : float
        Share of the training samples with a smaller norm, and with a smaller best cosine.
    """

    norm: float
    cosine: float
    norm_rank: float
    cosine_rank: float

    @property
    def typical(self) -> bool:
        """Whether neither the norm (small or large) nor the cosine (small) lies among the outermost training samples."""
        return UNUSUAL <= self.norm_rank <= 1 - UNUSUAL and self.cosine_rank >= UNUSUAL


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model predicts for every sample of a set.

    Attributes
    ----------
    logit, probability : ndarray
        ``[N, classes]``.
    known : list of frozenset of int
        Classes that each sample is labelled with.
    typicality : list of Typicality
        Of each sample; empty where the model holds no latent vectors of its training data.
    latent : ndarray or None
        ``[N, p]`` latent vectors, of a model with support samples.
    concentration : ndarray or None
        ``[N]`` largest share of one support sample in the evidence for the predicted class, of a model with support samples.
    """

    logit: np.ndarray
    probability: np.ndarray
    known: list[frozenset[int]]
    typicality: list[Typicality]
    latent: np.ndarray | None = None
    concentration: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.known)

    def rows(self, outcome: str = "all", true_class: int = ANY, predicted_class: int = ANY) -> np.ndarray:
        """Return which samples ``[N]`` have an outcome, a label and a predicted class.

        Parameters
        ----------
        outcome : str
            One of :data:`OUTCOMES`; a sample without a label is neither correct nor an error.
        true_class, predicted_class : int
            Classes; :data:`ANY` = any.
        """
        keep = np.ones(len(self), bool)
        if outcome != "all":
            keep &= self.correct == (1 if outcome == "correct" else 0)
        if true_class != ANY:
            keep &= labelled_with(self.known, true_class)
        return keep if predicted_class == ANY else keep & (self.predicted == predicted_class)

    def ranked(self, rows: np.ndarray, by: str, descending: bool = False) -> np.ndarray:
        """Return positions ``rows`` ordered by one of :data:`SORTS`; samples without a value come last.

        What is not known of these samples at all leaves the order as it is.
        """
        values = None if by == "order" else getattr(self, by)
        if values is None:
            return rows[::-1] if descending and by == "order" else rows
        chosen = np.asarray(values, np.float64)[rows]
        return rows[np.argsort(-chosen if descending else chosen, kind="stable")]  # NaN is sorted to the end

    @cached_property
    def predicted(self) -> np.ndarray:
        """``[N]`` class with the largest logit."""
        return self.logit.argmax(1)

    @cached_property
    def label(self) -> np.ndarray:
        """``[N]`` the known class: the predicted one where it is among several, else the first; -1 = unknown."""
        pairs = zip(self.known, self.predicted.tolist(), strict=True)
        return np.array([p if p in k else min(k, default=-1) for k, p in pairs], int)

    @cached_property
    def correct(self) -> np.ndarray:
        """``[N]`` 1 = the predicted class is a label, 0 = it is not, -1 = there is no label."""
        return np.where(self.label < 0, -1, (self.label == self.predicted).astype(int))

    @cached_property
    def confidence(self) -> np.ndarray:
        """``[N]`` probability of the predicted class."""
        return self.probability[np.arange(len(self)), self.predicted]

    @cached_property
    def margin(self) -> np.ndarray:
        """``[N]`` largest logit minus the second largest; the logit itself with one class."""
        top = np.sort(self.logit, 1)
        return top[:, -1] - top[:, -2] if top.shape[1] > 1 else top[:, -1]

    @cached_property
    def loss(self) -> np.ndarray:
        """``[N]`` -log of the probability of the label; NaN without one."""
        p = self.probability[np.arange(len(self)), np.maximum(self.label, 0)].astype(np.float64)
        return np.where(self.label < 0, np.nan, -np.log(np.maximum(p, TINY)))

    @cached_property
    def uncertainty(self) -> np.ndarray:
        """``[N]`` entropy of the probabilities, scaled to sum to 1, in [0, 1]."""
        p = self.probability.astype(np.float64)
        p = p / np.maximum(p.sum(1, keepdims=True), TINY)
        h = -(p * np.log(np.maximum(p, TINY))).sum(1)
        return h / np.log(p.shape[1]) if p.shape[1] > 1 else h

    @cached_property
    def distance(self) -> np.ndarray | None:
        """``[N]`` 1 - best cosine with a training sample; None where the model holds no latent vectors."""
        return np.array([1 - t.cosine for t in self.typicality]) if self.typicality else None

    @cached_property
    def confusion(self) -> np.ndarray:
        """``[classes, classes]`` number of samples by label (row) and predicted class (column).

        A sample with several labels counts in each of their rows.
        """
        classes = self.logit.shape[1]
        out = np.zeros((classes, classes), int)
        pairs = [(c, p) for known, p in zip(self.known, self.predicted.tolist(), strict=True) for c in known]
        if pairs:
            np.add.at(out, tuple(np.array(pairs).T), 1)
        return out

    @cached_property
    def several(self) -> bool:
        """Whether some sample has several labels."""
        return any(len(k) > 1 for k in self.known)

    @property
    def errors(self) -> int:
        """Number of labelled samples whose predicted class is none of their labels."""
        return int((self.correct == 0).sum())

    @property
    def accuracy(self) -> float:
        """Share of correct predictions among the labelled samples; NaN without any."""
        judged = self.correct[self.correct >= 0]
        return float(judged.mean()) if len(judged) else float("nan")


def predict(
    model: Any, samples: xr.Dataset, progress: Callable[[int, int], Any] | None = None
) -> Generator[None, None, Predictions]:
    """Run a model over a set once, in pieces: between them the worker serves others.

    Parameters
    ----------
    model : Model
        With logits.
    samples : Dataset
        Samples that fit it.
    progress : callable, optional
        ``progress(done, total)``; may raise to stop.

    Raises
    ------
    MethodError
        When the model returns NaN for a sample.
    """
    n, logit, latent, typical = samples.sizes["sample"], [], [], []
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        out, z = _pass(model, inputs(samples, rows))
        logit.append(out)
        if z is not None:
            latent.append(z)
            typical += typicalities(model, z)
        if progress is not None:
            progress(int(rows[-1]) + 1, n)
        yield
    vectors = np.concatenate(latent) if latent else None
    return predictions(model, np.concatenate(logit), known_classes(samples), typical, vectors)


def predictions(
    model: Any,
    logit: np.ndarray,
    known: list[frozenset[int]],
    typical: list[Typicality] | None = None,
    latent: np.ndarray | None = None,
) -> Predictions:
    """Return the predictions that logits ``[N, classes]`` stand for."""
    if np.isnan(logit).any():
        raise MethodError(f"Model {model.name!r} returns NaN for some of these samples; check its weights.")
    return Predictions(logit, model.probability(logit), known, typical or [], latent)


def typicalities(model: Any, latent: np.ndarray) -> list[Typicality]:
    """Return how typical latent vectors ``[N, p]`` are of the training data; [] where the model holds no latent vectors."""
    if model.latents is None:
        return []
    norm = np.linalg.norm(latent, axis=1).tolist()
    cosine = evidence.cosines(latent, model.latents.z).max(1).tolist()
    ranks = _typical(model.latents).rank
    return [Typicality(n, c, *ranks(n, c)) for n, c in zip(norm, cosine, strict=True)]


def typicality_of(model: Any, given: np.ndarray) -> Typicality | None:
    """Return how typical one input is; one forward pass, none where the model holds no latent vectors."""
    return None if model.latents is None else typicalities(model, _pass(model, given[None])[1])[0]


@lru_cache(maxsize=16)
def _typical(latents: Latents) -> evidence.Typical:
    return evidence.typical(latents.z)


def _pass(model: Any, given: np.ndarray) -> tuple[np.ndarray, Any]:
    """Logits ``[n, classes]`` and, of a model with support samples, latent vectors ``[n, p]``."""
    import torch

    from xai_views.models import passes

    with torch.no_grad():
        x = model.tensor(given)
        passes.count_forward(len(x))
        if model.supports is None and model.latents is None:
            return model.module(x).detach().cpu().numpy(), None
        z = model.module.latent(model.module.encode(x))
        return model.module.logits(model.module.scores(z)).cpu().numpy(), z.cpu().numpy()
