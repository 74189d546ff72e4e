"""Selection of support samples from the evidence vectors of the training images.

Source: Wolf et al., SIC (ICCV 2025): per class, k-means on z, then the training image nearest to each centre.
Everything here works on cached vectors: a new selection needs no network pass.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from xai_views.errors import MethodError, nearest

RULES = ("k-means", "compact", "diverse", "random")


@dataclass(frozen=True, eq=False)
class Latents:
    """Evidence vectors of the training images.

    Attributes
    ----------
    z : ndarray
        ``[N, p]`` float32, non-negative.
    label : ndarray
        ``[N]`` int64 class indices, or ``[N, C]`` 0/1 for multi-label data.
    index : ndarray
        ``[N]`` int64 positions of the images in the training set.
    samples : str
        Catalogue name of the training set, "" when unknown.
    """

    z: np.ndarray
    label: np.ndarray
    index: np.ndarray
    samples: str = ""

    def of_class(self, c: int) -> np.ndarray:
        """Return the rows whose image is positive for class ``c``."""
        return np.flatnonzero(self.label[:, c] > 0 if self.label.ndim == 2 else self.label == c)


@dataclass(frozen=True, eq=False)
class Supports:
    """Support samples, ordered by class.

    Attributes
    ----------
    vectors : ndarray
        ``[S, p]`` float32 support vectors V.
    label : ndarray
        ``[S]`` int64 class that the sample supports.
    index : ndarray
        ``[S]`` int64 position in the training set.
    image : ndarray
        ``[S, H, W, C]`` uint8 thumbnails (images at the network's size); for signals ``[S, lead, time]`` float32 in mV.
    self_contribution : ndarray
        ``[S, H, W]`` float32 (``[S, lead, time]`` for signals): contribution map of the support to its own norm; sums to
        ``|V_s|``. NaN where it has not been computed yet (a newly added support).
    """

    vectors: np.ndarray
    label: np.ndarray
    index: np.ndarray
    image: np.ndarray
    self_contribution: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Content key of every support vector."""
        return tuple(hashlib.blake2b(v.tobytes(), digest_size=12).hexdigest() for v in self.vectors)

    @cached_property
    def key(self) -> str:
        """Content key of the whole set: vectors, classes and order."""
        return hashlib.blake2b("".join(self.keys).encode() + self.label.tobytes(), digest_size=12).hexdigest()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Supports) and self.key == other.key

    def of_class(self, c: int) -> np.ndarray:
        """Return the rows that support class ``c``."""
        return np.flatnonzero(self.label == c)

    @property
    def missing(self) -> np.ndarray:
        """Rows whose self-contribution map has not been computed."""
        return np.flatnonzero(np.isnan(self.self_contribution[:, 0, 0]))

    def take(self, rows: np.ndarray) -> Supports:
        """Return the supports in ``rows`` (indices or a boolean mask)."""
        names = ("vectors", "label", "index", "image", "self_contribution")
        return replace(self, **{n: getattr(self, n)[rows] for n in names})


def _distinct_nearest(points: np.ndarray, centres: np.ndarray) -> list[int]:
    """Return for each centre the nearest point that is not taken yet, so that no image is chosen twice."""
    distance = ((points[None] - centres[:, None]) ** 2).sum(-1)
    chosen: list[int] = []
    for row in distance:
        chosen.append(next(int(i) for i in np.argsort(row, kind="stable") if int(i) not in chosen))
    return chosen


def _k_means(z: np.ndarray, k: int) -> list[int]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    distinct = len(np.unique(z, axis=0))
    with threadpool_limits(1):  # waiting threads cost far more than these small sums
        fitted = KMeans(min(k, distinct), n_init=10, random_state=0).fit(z.astype(np.float64))
    centres = np.concatenate([fitted.cluster_centers_, np.repeat(z.mean(0)[None], k - min(k, distinct), 0)])
    return _distinct_nearest(z, centres)


def _unit(z: np.ndarray) -> np.ndarray:
    return z / (np.linalg.norm(z, axis=1, keepdims=True) + 1e-12)


def _compact(z: np.ndarray, k: int) -> list[int]:
    """Choose the sample closest in cosine to the class mean, then greedily those most similar to the chosen ones."""
    u = _unit(z)
    score = u @ _unit(z.mean(0, keepdims=True))[0]
    return _greedy(u, int(score.argmax()), k, similar=True)


def _diverse(z: np.ndarray, k: int) -> list[int]:
    """Choose the most typical sample, then greedily those least similar to any chosen one."""
    u = _unit(z)
    score = u @ _unit(z.mean(0, keepdims=True))[0]
    return _greedy(u, int(score.argmax()), k, similar=False)


def _greedy(u: np.ndarray, first: int, k: int, similar: bool) -> list[int]:
    chosen = [first]
    while len(chosen) < k:
        cosine = u @ u[chosen].T
        value = cosine.mean(1) if similar else -cosine.max(1)
        value[chosen] = -np.inf
        chosen.append(int(value.argmax()))
    return chosen


def select(
    latents: Latents,
    per_class: int,
    classes: int,
    rule: str = "k-means",
    seed: int = 0,
    exclude: frozenset[int] = frozenset(),
) -> tuple[np.ndarray, np.ndarray]:
    """Choose up to ``per_class`` distinct support samples for every class.

    Parameters
    ----------
    latents : Latents
        Evidence vectors of the training images.
    per_class : int
        N_s, at least 1; a class with fewer images contributes all of them.
    classes : int
        Number of classes.
    rule : {"k-means", "compact", "diverse", "random"}
        "k-means" is the paper's rule; "compact" and "diverse" follow the student project SIC+; "random" is a control.
    seed : int
        For "random".
    exclude : frozenset of int
        Training positions (``latents.index``) that must not be chosen.

    Returns
    -------
    rows, label : ndarray
        Rows of ``latents`` and the class that each one supports, ordered by class.

    Raises
    ------
    MethodError
        For an unknown rule or ``per_class`` below 1.
    """
    if rule not in RULES:
        raise MethodError(
            f"support rule {rule!r} is not known; use one of {nearest(rule, RULES, len(RULES))}."
        )
    if per_class < 1:
        raise MethodError(f"{per_class} supports per class are not possible; use at least 1.")
    rows: list[np.ndarray] = []
    labels: list[int] = []
    for c in range(classes):
        pool = latents.of_class(c)
        pool = pool[~np.isin(latents.index[pool], list(exclude))] if exclude else pool
        k = min(per_class, len(pool))
        if k == 0:
            continue
        z = latents.z[pool]
        if k == len(pool):
            picked = list(range(k))
        elif rule == "random":
            rng = np.random.default_rng([seed, c])  # a change in one class does not affect the others
            picked = list(rng.choice(len(pool), k, replace=False))
        else:
            picked = {"k-means": _k_means, "compact": _compact, "diverse": _diverse}[rule](z, k)
        rows.extend(pool[picked])
        labels.extend([c] * k)
    return np.asarray(rows, np.int64), np.asarray(labels, np.int64)
