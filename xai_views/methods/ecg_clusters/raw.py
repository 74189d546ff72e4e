"""Clusters of the signal itself: a control that knows no network, and what the windows of a cluster look like.

What clusters of activations tell is the network's only as far as clusters of the plain signal do not tell it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xai_views.errors import MethodError

WINDOW_S = 0.64
FLOOR_MV = 0.02  # root mean square added to that of a window, so that rest stays small
POINTS = 16  # of a window, per lead
PER_RECORD = 50
RESTARTS = 4


@dataclass(frozen=True, eq=False)
class RawBook:
    """Clusters of windows of the signal.

    Attributes
    ----------
    centroids : ndarray
        ``[K, lead, points]`` float64 without unit: windows of one size, from their first to their last part.
    cells : int
        Windows in a record; their middles are the middles of as many equal parts of it.
    rate, window : float
        Hz, and length of a window in s.
    """

    centroids: np.ndarray
    cells: int
    rate: float
    window: float

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centroids)

    def sequence(self, signal: np.ndarray, length: int | None = None) -> np.ndarray:
        """Cluster of every cell ``[cells]`` int64 of a record ``[lead, time]`` mV, -1 in padding."""
        x = _scaled(windows(signal, self.cells, self.rate, self.window, self.centroids.shape[2]))
        x, centres = x.reshape(len(x), -1), self.centroids.reshape(self.k, -1)
        if x.shape[1] != centres.shape[1]:
            raise MethodError(
                f"a record has {np.shape(signal)[0]} leads and the clusters have {self.centroids.shape[1]}; give the same."
            )
        labels = ((centres**2).sum(1) - 2 * x @ centres.T).argmin(1)
        steps = np.shape(signal)[1]
        return np.where(_inside(self.cells, steps, length), labels, -1)

    def proportion(self, signal: np.ndarray, length: int | None = None) -> np.ndarray:
        """Share ``[K]`` float64 of each cluster in the cells of a record that are signal; sums to 1."""
        ids = self.sequence(signal, length)
        counts = np.bincount(ids[ids >= 0], minlength=self.k)
        return counts / counts.sum()


def windows(
    signal: np.ndarray, cells: int, rate: float, window: float = WINDOW_S, points: int = POINTS
) -> np.ndarray:
    """Cut a record into windows around the middles of its cells.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV.
    cells : int
        Equal parts of the record.
    rate : float
        Hz.
    window : float
        Length in s; windows may overlap, and beyond the ends the first and last value stay.
    points : int
        Per lead: means of as many equal parts of the window (as many as it has steps, if those are fewer).

    Returns
    -------
    ndarray
        ``[cells, lead, points]`` float64 in mV, each lead of each window without its mean, so that a wandering baseline counts
        for nothing.

    Raises
    ------
    MethodError
        When the shape is none of a record, there are more cells than steps, or a window has fewer than two steps.
    """
    x = np.asarray(signal, np.float64)
    if x.ndim != 2 or not 0 < cells <= x.shape[1]:
        raise MethodError(
            f"a record came with shape {list(x.shape)} for {cells} cells; give [lead, time] with at least as many steps."
        )
    width = round(window * rate)
    if width < 2:
        raise MethodError(
            f"a window of {window} s has {width} steps at {rate:g} Hz; give a longer one, as {WINDOW_S} s."
        )
    middle = ((np.arange(cells) + 0.5) * x.shape[1] / cells).astype(int)
    rows = np.clip(middle[:, None] - width // 2 + np.arange(width), 0, x.shape[1] - 1)
    cut = x[:, rows].transpose(1, 0, 2)  # [cells, lead, width]
    edges = np.linspace(0, width, min(points, width) + 1).round().astype(int)
    means = np.add.reduceat(cut, edges[:-1], axis=2) / np.diff(edges)
    return means - means.mean(2, keepdims=True)


def raw_clusters(
    signals: Iterable[np.ndarray],
    k: int,
    cells: int,
    rate: float,
    lengths: Sequence[int] | None = None,
    window: float = WINDOW_S,
    per_record: int = PER_RECORD,
    seed: int = 0,
) -> RawBook:
    """Cluster windows of the signals by k-means (scikit-learn, four starts), for the same K and cells as the network's clusters.

    As the network's features are, windows are divided by their size (root mean square and :data:`FLOOR_MV`): otherwise the
    heights of different people decide, and the control is too easy to beat.

    Parameters
    ----------
    signals : iterable of ndarray
        Records ``[lead, time]`` in mV, one after another; none is kept.
    k, cells : int
        Clusters, and cells of a record.
    rate : float
        Hz.
    lengths : sequence of int, optional
        Steps of each record that are signal.
    window : float
        Length in s.
    per_record, seed : int
        Cells drawn at random from each record, and where the draw and k-means start.

    Raises
    ------
    MethodError
        When fewer windows were drawn than clusters are wanted, or leads differ.
    """
    from sklearn.cluster import KMeans

    rng, drawn = np.random.default_rng(seed), []
    for i, signal in enumerate(signals):
        inside = np.flatnonzero(_inside(cells, np.shape(signal)[1], None if lengths is None else lengths[i]))
        some = rng.choice(inside, min(per_record, len(inside)), replace=False)
        drawn.append(_scaled(windows(signal, cells, rate, window)[some]))
    if len({d.shape[1:] for d in drawn}) > 1:
        raise MethodError(
            "the records have different leads; bring them to one set with xai_views.samples.prepare."
        )
    count = sum(map(len, drawn))
    if not 0 < k <= count:
        raise MethodError(
            f"{k} clusters were asked for and {count} windows were drawn; give more records or fewer clusters."
        )
    x = np.concatenate(drawn)
    found = KMeans(k, n_init=RESTARTS, random_state=seed).fit(x.reshape(count, -1))
    return RawBook(found.cluster_centers_.reshape(k, *x.shape[1:]), cells, float(rate), window)


def cluster_windows(
    signal: np.ndarray, clusters: np.ndarray, k: int, rate: float, window: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the windows around the cells of each cluster: what stands where a cluster is, whether or not beats were found.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV.
    clusters : ndarray
        ``[cells]``, -1 in padding.
    k : int
        Number of clusters.
    rate, window : float
        Hz, and length in s.

    Returns
    -------
    sums : ndarray
        ``[K, lead, steps of a window]`` float64 in mV, each window without its mean per lead.
    n : ndarray
        ``[K]`` int64 windows. Add both over records; ``sums / n[:, None, None]`` is the mean window.
    """
    ids = np.asarray(clusters)
    if ids.ndim != 1 or ids.min(initial=0) < -1 or ids.max(initial=-1) >= k:
        raise MethodError(f"clusters should be [cells] with ids between -1 (padding) and {k - 1}.")
    x = windows(signal, len(ids), rate, window, points=round(window * rate))
    sums = np.zeros((k, *x.shape[1:]))
    np.add.at(sums, ids[ids >= 0], x[ids >= 0])
    return sums, np.bincount(ids[ids >= 0], minlength=k)


def _scaled(x: np.ndarray) -> np.ndarray:
    """Windows ``[cells, lead, points]`` divided by their size; one of 0 stays 0."""
    return x / (np.sqrt((x**2).mean((1, 2), keepdims=True)) + FLOOR_MV)


def _inside(cells: int, steps: int, length: int | None) -> np.ndarray:
    """Cells ``[cells]`` whose middle is signal, and the first in any case (as those of the network's clusters)."""
    inside = (np.arange(cells) + 0.5) * steps / cells < (steps if length is None else length)
    inside[0] = True
    return inside
