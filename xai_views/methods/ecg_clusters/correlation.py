"""Correlation of cluster shares with network outputs over many records, with permutation tests.

Source: Boubekki et al., arXiv 2509.15198 (abstract): cluster shares correlate with the predicted labels. The test, its
correction and the log-ratios are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xai_views.errors import MethodError

KINDS = ("pearson", "spearman")
TRANSFORMS = ("none", "clr")
PERMUTATIONS = 999
#: Half a step of a record of 256 steps: half the smallest share that can be observed.
PSEUDO = 0.5 / 256
_FLOATS = 4_000_000  # values of permuted outputs held in memory at a time
_TIE = 1e-12  # relative tolerance, so that rounding does not turn a tie into a smaller value


@dataclass(frozen=True, eq=False)
class Correlation:
    """Correlations of K shares with Q outputs over n records.

    Attributes
    ----------
    r : ndarray
        ``[K, Q]`` float64 in [-1, 1]; NaN where the share or the output is constant over the records.
    p : ndarray
        ``[K, Q]`` two-sided permutation p-values ``(b + 1) / (permutations + 1)``, NaN where ``r`` is.
    holm, bh : ndarray
        ``[K, Q]`` p-values adjusted over all finite cells: the family-wise error (Holm), the false discovery rate
        (Benjamini and Hochberg).
    n, permutations, seed : int
        Number of records, number of permutations, and random seed.
    kind, transform : str
        One of :data:`KINDS`, one of :data:`TRANSFORMS`.
    pseudo : float
        Pseudo-count added to every share before the logarithm; 0 without log-ratios.
    """

    r: np.ndarray
    p: np.ndarray
    holm: np.ndarray
    bh: np.ndarray
    n: int
    permutations: int
    seed: int
    kind: str
    transform: str
    pseudo: float

    @property
    def least_p(self) -> float:
        """The smallest p-value possible with this number of permutations."""
        return 1 / (self.permutations + 1)


def centred_log_ratio(proportion: np.ndarray, pseudo: float = PSEUDO) -> np.ndarray:
    """Logarithm of each share relative to the geometric mean of all shares of the record.

    Shares sum to 1: when one grows, others must shrink, and would correlate with the output for that reason alone. A
    log-ratio compares a cluster with the average cluster instead.

    Parameters
    ----------
    proportion : ndarray
        ``[n, K]`` non-negative shares; each row has a positive sum, by which it is divided.
    pseudo : float
        Pseudo-count added to every share, because a share may be 0; results depend on it where clusters are rare.

    Returns
    -------
    ndarray
        ``[n, K]`` float64; each row sums to 0.

    Raises
    ------
    MethodError
        When shares are negative, not finite or all zero, or ``pseudo`` is not positive.

    Notes
    -----
    Aitchison, The Statistical Analysis of Compositional Data (1986), section 4.6.
    """
    x = _matrix(proportion, "shares")
    total = x.sum(1, keepdims=True)
    if (x < 0).any() or (total <= 0).any():
        raise MethodError(
            "shares for log-ratios are negative, or all 0 in a record; give non-negative shares and leave such records out."
        )
    if not (np.isfinite(pseudo) and pseudo > 0):
        raise MethodError(
            f"a pseudo-count of {pseudo} was given; give a positive share, such as {PSEUDO:.4f}."
        )
    logs = np.log(x / total + pseudo)
    return logs - logs.mean(1, keepdims=True)


def one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    """Convert labels ``[n]`` (class index) to outputs ``[n, classes]`` of 0 and 1; 0/1 labels ``[n, classes]`` are kept.

    Raises
    ------
    MethodError
        When a label is unknown (-1) or out of range; leave those records out first.
    """
    label = np.asarray(label)
    if label.ndim == 2:
        return label.astype(np.float64)
    if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
        raise MethodError(
            f"labels of type {label.dtype} and shape {list(label.shape)} were given; give integers [records]."
        )
    if len(label) and not (label.min() >= 0 and label.max() < classes):
        raise MethodError(
            f"labels from {label.min()} to {label.max()} were given; give labels from 0 to {classes - 1} and leave out "
            "records of unknown class (-1)."
        )
    return np.eye(classes)[label]


def correlation(x: np.ndarray, y: np.ndarray, kind: str = "pearson") -> np.ndarray:
    """Pearson or Spearman correlation of every column of ``x [n, K]`` with every column of ``y [n, Q]``: ``[K, Q]`` float64.

    NaN where a column is constant. Raises the errors of :func:`correlate`.
    """
    x, y = _pair(x, y, kind)
    return np.clip(_scores(x, kind).T @ _scores(y, kind), -1, 1)


def correlate(
    proportion: np.ndarray,
    output: np.ndarray,
    kind: str = "spearman",
    transform: str = "none",
    pseudo: float = PSEUDO,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Correlation:
    """Correlate cluster shares with network outputs, and test each correlation by permuting the records.

    Parameters
    ----------
    proportion : ndarray
        ``[n, K]`` share of each cluster in each record.
    output : ndarray
        ``[n, Q]`` (or ``[n]``) logits, probabilities, or labels of 0 and 1 (:func:`one_hot`).
    kind : str
        "spearman" (ranks; ties get their mean rank) or "pearson".
    transform : str
        "clr" applies :func:`centred_log_ratio` to the shares first.
    pseudo : float
        Pseudo-count of the log-ratio, as a share.
    permutations : int
        Number of random orders of the records, shared by all cells so that dependence between columns is kept.
    seed : int
        Random seed of the orders.
    progress : callable, optional
        ``progress(done, total)`` in permutations; may raise to stop.

    Returns
    -------
    Correlation

    Raises
    ------
    MethodError
        In one sentence: shapes that do not fit, values that are not finite, fewer than three records, an unknown kind.

    Notes
    -----
    Under the null hypothesis records must be exchangeable: several records of one person are not, and make p too small.
    ``(b + 1) / (m + 1)`` is never 0 and keeps the significance level exactly (Phipson and Smyth 2010).
    """
    if transform not in TRANSFORMS:
        raise MethodError(f"transform {transform!r} is not known; choose one of {', '.join(TRANSFORMS)}.")
    if permutations < 1:
        raise MethodError(
            f"{permutations} permutations were given; give at least 1 (default {PERMUTATIONS})."
        )
    x, y = _pair(proportion, output, kind)
    if transform == "clr":
        x = centred_log_ratio(x, pseudo)
    a, b = _scores(x, kind), _scores(y, kind)
    r = np.clip(a.T @ b, -1, 1)
    larger = _as_large(a, b, permutations, seed, progress)
    p = np.where(np.isfinite(r), (larger + 1) / (permutations + 1), np.nan)
    used = pseudo if transform == "clr" else 0.0
    return Correlation(
        r, p, holm(p), benjamini_hochberg(p), len(x), permutations, seed, kind, transform, used
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values of any shape for the family-wise error; NaN stays and is not counted.

    Notes
    -----
    Holm, A simple sequentially rejective multiple test procedure (1979).
    """

    def adjusted(values: np.ndarray) -> np.ndarray:
        order = np.argsort(values)
        steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
        out = np.empty_like(values)
        out[order] = np.minimum(steps, 1)
        return out

    return _finite_only(p, adjusted)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjust p-values of any shape for the false discovery rate (``scipy.stats.false_discovery_control``); NaN stays."""
    from scipy.stats import false_discovery_control

    return _finite_only(p, false_discovery_control)


def _finite_only(p: np.ndarray, adjust: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    out = np.array(p, np.float64)
    known = np.isfinite(out)
    if known.any():
        out[known] = adjust(out[known])
    return out


def _as_large(
    a: np.ndarray, b: np.ndarray, permutations: int, seed: int, progress: Callable[[int, int], None] | None
) -> np.ndarray:
    """Number ``[K, Q]`` of permutations in which ``|r|`` is at least the observed one; one matrix product per batch."""
    (n, k), q = a.shape, b.shape[1]
    bound = np.abs(a.T @ b) * (1 - _TIE)
    rng, size = np.random.default_rng(seed), max(1, _FLOATS // (n * q))
    larger, rows = np.zeros((k, q), np.int64), np.arange(n)
    for start in range(0, permutations, size):
        count = min(size, permutations - start)
        orders = rng.permuted(np.broadcast_to(rows, (count, n)), axis=1)
        mixed = b[orders].transpose(1, 0, 2).reshape(n, count * q)
        larger += (np.abs(a.T @ mixed).reshape(k, count, q) >= bound[:, None]).sum(1)
        if progress is not None:
            progress(start + count, permutations)
    return larger


def _scores(x: np.ndarray, kind: str) -> np.ndarray:
    """Centre columns and scale them to length 1 (ranks for Spearman), so that products are correlations."""
    constant = (x == x[:1]).all(0)
    if kind == "spearman":
        from scipy.stats import rankdata

        x = rankdata(x, axis=0)
    x = x - x.mean(0)
    norm = np.sqrt((x**2).sum(0))
    return x / np.where(constant | (norm == 0), np.nan, norm)


def _pair(x: np.ndarray, y: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    if kind not in KINDS:
        raise MethodError(f"correlation {kind!r} is not known; choose one of {', '.join(KINDS)}.")
    x, y = _matrix(x, "shares"), _matrix(y, "outputs")
    if len(x) != len(y):
        raise MethodError(
            f"shares of {len(x)} records and outputs of {len(y)} were given; give both for the same records."
        )
    if len(x) < 3:
        raise MethodError(f"a correlation needs at least 3 records and {len(x)} were given; give more.")
    return x, y


def _matrix(values: np.ndarray, what: str) -> np.ndarray:
    """Return values as ``[n, columns]`` float64; raise unless all are finite."""
    x = np.asarray(values, np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or not x.shape[1]:
        raise MethodError(f"{what} of shape {list(x.shape)} were given; give [records, columns].")
    if not np.isfinite(x).all():
        raise MethodError(f"{what} contain values that are not finite; leave those records out.")
    return x
