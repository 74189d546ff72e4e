"""Random forests on cluster shares, to measure how much of the network's prediction the shares contain.

Source: Boubekki et al., arXiv 2509.15198 (abstract): a forest on cluster proportions, compared with the network in ten
folds. Controls, folds and scores are our choice, see ``docs/methods/ecg_clusters.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.folds import Folds, split

if TYPE_CHECKING:
    import pandas as pd

FOLDS, TREES, REPEATS = 10, 200, 5
NETWORK = "the network"
FIGURES = ("agreement", "chance", "accuracy", "auroc", "label_chance", "network_accuracy", "network_auroc")


@dataclass(frozen=True, eq=False)
class Task:
    """The target of the forests, and what is known of the network.

    Attributes
    ----------
    predicted : ndarray
        ``[n]`` int class, or ``[n, C]`` 0/1 of a multi-label network: the network's predictions.
    label : ndarray or None
        True labels in the same form; -1 = unknown, and such records are not scored against the labels.
    score : ndarray or None
        ``[n, C]`` logits or probabilities of the network, for its AUROC.
    classes : int
        Number of classes C.
    """

    predicted: np.ndarray
    label: np.ndarray | None
    score: np.ndarray | None
    classes: int

    @property
    def multi(self) -> bool:
        """Whether a record may have several classes (multi-label)."""
        return self.predicted.ndim == 2

    @property
    def known(self) -> np.ndarray:
        """``[n]`` bool: records with known labels."""
        if self.label is None:
            return np.zeros(len(self.predicted), bool)
        return np.all(self.label >= 0, axis=1) if self.multi else self.label >= 0


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Out-of-fold scores of forests on one set of features.

    Every score is ``[folds]`` float64; NaN where it is undefined in a fold (no known label, one class only).

    Attributes
    ----------
    name : str
        Name of the features.
    agreement : ndarray
        Share of records (multi-label: of records and labels) for which the forest predicts the same as the network.
    chance : ndarray
        Agreement of always predicting the network's most frequent class.
    accuracy, auroc : ndarray
        Scores of forests trained on the true labels; AUROC is the one-vs-rest mean over classes, 0.5 by chance.
    label_chance : ndarray
        Accuracy of always predicting the most frequent true class.
    network_accuracy, network_auroc : ndarray
        Scores of the network on the same records of the same folds.
    importance : ndarray
        ``[folds, K]`` drop of the agreement when the shares of one cluster are shuffled among the records.
    said, truth_said : ndarray
        ``[n, C]`` out-of-fold probabilities of the forests trained on the network's predictions, and on the labels (NaN:
        unknown).
    test : tuple of ndarray
        Test records of each fold.
    """

    name: str
    agreement: np.ndarray
    chance: np.ndarray
    accuracy: np.ndarray
    auroc: np.ndarray
    label_chance: np.ndarray
    network_accuracy: np.ndarray
    network_auroc: np.ndarray
    importance: np.ndarray
    said: np.ndarray
    truth_said: np.ndarray
    test: tuple[np.ndarray, ...]

    def mean(self, figure: str) -> tuple[float, float]:
        """Mean over the folds and its standard error (too small, if anything, because folds share training records)."""
        return _mean(getattr(self, figure))

    def importances(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``[K]`` over the folds and its standard error ``[K]``."""
        pairs = [_mean(column) for column in self.importance.T]
        return np.array([m for m, _ in pairs]), np.array([e for _, e in pairs])


def surrogates(
    features: Mapping[str, np.ndarray],
    predicted: np.ndarray,
    label: np.ndarray | None = None,
    score: np.ndarray | None = None,
    *,
    classes: int | None = None,
    groups: np.ndarray | None = None,
    folds: int = FOLDS,
    trees: int = TREES,
    repeats: int = REPEATS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Generator[None, None, list[Surrogate]]:
    """Train and score forests, fold by fold; a generator, so that a worker can serve other requests between the folds.

    Parameters
    ----------
    features : mapping of str to ndarray
        ``[n, K]`` each: cluster shares, and controls such as those of a network with random weights or of raw windows. All
        are scored on the same folds.
    predicted : ndarray
        ``[n]`` predicted class, or ``[n, C]`` 0/1 (multi-label: one forest per class).
    label : ndarray, optional
        True labels in the same form; -1 = unknown.
    score : ndarray, optional
        ``[n, C]`` logits or probabilities of the network.
    classes : int, optional
        Number of classes C; by default from ``score`` or the largest class.
    groups : ndarray, optional
        ``[n]`` person or source of each record: all records of one group are in one fold. Without it, several records of
        one person make every score too optimistic.
    folds : int
        Stratified by the labels where all are known, else by the predictions; fewer if there are few records.
    trees, repeats, seed : int
        Trees per forest; shuffles per cluster; random seed of folds, forests and shuffles.
    progress : callable, optional
        ``progress(done, total)`` after every fold of every set of features; may raise to stop.

    Returns
    -------
    list of Surrogate
        In the order of ``features``, as the value of ``StopIteration``; :func:`finished` runs the generator to its end.

    Raises
    ------
    MethodError
        In one sentence: no features, shapes that do not fit, too few records or groups, or only one predicted class.
    """
    task = _task(features, predicted, label, score, classes)
    truth = task.label if task.label is not None and task.known.all() else task.predicted
    found = split(truth, folds, groups, seed)
    done, total, out = 0, len(features) * len(found), []
    for name, values in features.items():
        part = _Part(name, np.asarray(values, np.float64), task, found, trees, repeats, seed)
        for number in range(len(found)):
            part.fold(number)
            done += 1
            if progress is not None:
                progress(done, total)
            yield
        out.append(part.surrogate)
    return out


def finished(steps: Generator[None, None, list[Surrogate]]) -> list[Surrogate]:
    """Run :func:`surrogates` to its end and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def table(found: list[Surrogate]) -> pd.DataFrame:
    """Return mean and standard error of every score: one row per set of features, and the network as the last row.

    Columns ``agreement``, ``accuracy``, ``auroc``, each with `` se``, then ``chance`` (of the agreement) and
    ``label_chance`` (of the accuracy); NaN where undefined. The agreement of the network with itself is 1.
    """
    import pandas as pd

    rows = {}
    chance = {key: found[0].mean(key)[0] for key in ("chance", "label_chance")} if found else {}
    for one in found:
        row = {}
        for figure in ("agreement", "accuracy", "auroc"):
            row[figure], row[f"{figure} se"] = one.mean(figure)
        rows[one.name] = row | chance
    if found:
        row = {"agreement": 1.0, "agreement se": 0.0}
        for figure in ("accuracy", "auroc"):
            row[figure], row[f"{figure} se"] = found[0].mean(f"network_{figure}")
        rows[NETWORK] = row | chance
    return pd.DataFrame.from_dict(rows, orient="index")


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, averaged over classes (one vs. rest).

    Parameters
    ----------
    truth : ndarray
        ``[n, C]`` 0/1.
    score : ndarray
        ``[n, C]``; any monotonic scale per class.

    Returns
    -------
    float
        Over the classes with positive and negative records; NaN where there is none.
    """
    from sklearn.metrics import roc_auc_score

    both = [c for c in range(truth.shape[1]) if 0 < truth[:, c].sum() < len(truth)]
    return float(np.mean([roc_auc_score(truth[:, c], score[:, c]) for c in both])) if both else float("nan")


class _Part:
    """Forests on one set of features, fold by fold."""

    def __init__(
        self, name: str, x: np.ndarray, task: Task, folds: Folds, trees: int, repeats: int, seed: int
    ) -> None:
        self.x, self.task, self.folds, self.trees, self.repeats, self.seed = (
            x,
            task,
            folds,
            trees,
            repeats,
            seed,
        )
        n, f = len(x), len(folds)
        lines = {key: np.full(f, np.nan) for key in FIGURES}
        shape = (n, task.classes)
        self.surrogate = Surrogate(
            name,
            **lines,
            importance=np.full((f, x.shape[1]), np.nan),
            said=np.full(shape, np.nan),
            truth_said=np.full(shape, np.nan),
            test=tuple(test for _, test in folds),
        )

    def fold(self, number: int) -> None:
        """Fit on the other folds, and predict and score the records of this fold."""
        (train, test), task, out = self.folds[number], self.task, self.surrogate
        forests = self._fit(train, task.predicted, number)
        out.said[test] = self._say(forests, self.x[test])
        said, network = self._decide(out.said[test]), task.predicted[test]
        out.agreement[number] = (said == network).mean()
        out.chance[number] = (_commonest(task.predicted) == network).mean()
        out.importance[number] = self._importance(forests, test, out.agreement[number], number)
        train, test = train[task.known[train]], test[task.known[test]]
        if not (len(train) and len(test)):
            return
        assert task.label is not None
        truth = task.label[test]
        forests = self._fit(train, task.label, number)
        out.truth_said[test] = self._say(forests, self.x[test])
        out.accuracy[number] = (self._decide(out.truth_said[test]) == truth).mean()
        out.label_chance[number] = (_commonest(task.label[task.known]) == truth).mean()
        out.network_accuracy[number] = (task.predicted[test] == truth).mean()
        ones = truth if task.multi else np.eye(task.classes)[truth]
        out.auroc[number] = auroc(ones, out.truth_said[test])
        if task.score is not None:
            out.network_auroc[number] = auroc(ones, task.score[test])

    def _fit(self, rows: np.ndarray, target: np.ndarray, number: int) -> list[Any]:
        """Fit one forest, or one per class of a multi-label task."""
        from sklearn.ensemble import RandomForestClassifier

        columns = target[rows].T if self.task.multi else [target[rows]]
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return [RandomForestClassifier(self.trees, random_state=seed).fit(self.x[rows], c) for c in columns]

    def _say(self, forests: list[Any], x: np.ndarray) -> np.ndarray:
        """Return probabilities ``[m, C]``; 0 for a class without training records."""
        out = np.zeros((len(x), self.task.classes))
        if not self.task.multi:
            out[:, forests[0].classes_] = forests[0].predict_proba(x)
            return out
        for c, forest in enumerate(forests):
            if 1 in forest.classes_:
                out[:, c] = forest.predict_proba(x)[:, list(forest.classes_).index(1)]
        return out

    def _decide(self, said: np.ndarray) -> np.ndarray:
        return (said > 0.5).astype(int) if self.task.multi else said.argmax(1)

    def _importance(self, forests: list[Any], test: np.ndarray, base: float, number: int) -> np.ndarray:
        """Drop of the agreement ``[K]`` when one column is shuffled; one call of the forests for all shuffles."""
        x, k = self.x[test], self.x.shape[1]
        rng = np.random.default_rng([self.seed, number, 1])
        mixed = np.broadcast_to(x, (k, self.repeats, *x.shape)).copy()
        for column in range(k):
            mixed[column, :, :, column] = rng.permuted(mixed[column, :, :, column], axis=1)
        said = self._decide(self._say(forests, mixed.reshape(-1, k)))
        network = self.task.predicted[test]
        same = said.reshape(k, self.repeats, *network.shape) == network
        return base - same.reshape(k, -1).mean(1)


def _task(
    features: Mapping[str, np.ndarray],
    predicted: np.ndarray,
    label: np.ndarray | None,
    score: np.ndarray | None,
    classes: int | None,
) -> Task:
    """Check shapes and values, and return them as a :class:`Task`."""
    predicted = np.asarray(predicted)
    if predicted.ndim not in (1, 2) or predicted.dtype.kind not in "iub":
        raise MethodError(
            f"predictions of type {predicted.dtype} and shape {list(predicted.shape)} were given; give integers [records], or 0 "
            "and 1 [records, classes]."
        )
    n = len(predicted)
    if label is not None and np.shape(label) != predicted.shape:
        raise MethodError(
            f"labels of shape {list(np.shape(label))} and predictions of shape {list(predicted.shape)} were given; give one "
            "shape."
        )
    if not features:
        raise MethodError("no features were given; give at least the cluster shares [records, clusters].")
    for name, x in features.items():
        shape = np.shape(x)
        if len(shape) != 2 or shape[0] != n or not shape[1]:
            raise MethodError(
                f"features {name!r} of shape {list(shape)} were given; give [{n}, columns], one row per prediction."
            )
        if not np.isfinite(np.asarray(x, np.float64)).all():
            raise MethodError(
                f"features {name!r} contain values that are not finite; leave those records out."
            )
    task = Task(predicted.astype(int), None if label is None else np.asarray(label).astype(int), score, 0)
    if len(np.unique(task.predicted, axis=0)) < 2:
        raise MethodError(
            "the network predicts the same class for all records, so there is nothing to learn; give other records."
        )
    most = max([task.predicted.max(), *([] if task.label is None else [task.label.max()])]) + 1
    count = predicted.shape[1] if task.multi else classes or (most if score is None else np.shape(score)[1])
    if score is not None and np.shape(score) != (n, count):
        raise MethodError(f"scores of shape {list(np.shape(score))} were given; give [{n}, {count}].")
    if not task.multi and (most > count or task.predicted.min() < 0):
        raise MethodError(
            f"classes from {task.predicted.min()} to {most - 1} were given; give classes from 0 to {count - 1}."
        )
    return replace(task, score=None if score is None else np.asarray(score, np.float64), classes=int(count))


def _commonest(values: np.ndarray) -> np.ndarray:
    """Most frequent class, or majority value of each column."""
    return (
        (values.mean(0) > 0.5).astype(int) if values.ndim == 2 else np.asarray(np.bincount(values).argmax())
    )


def _mean(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard error of the finite values; NaN where there are too few."""
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if len(known) else float("nan")
    return mean, float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
