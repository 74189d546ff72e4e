"""Clusters of windows of the raw signal: a control that ignores the network, and the mean signal of a cluster.

Findings about activation clusters are specific to the network only if clusters of the raw signal do not show them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xai_views.errors import MethodError

WINDOW_S = 0.64
FLOOR_MV = 0.02  # added to the root mean square of a window, so that quiet windows stay small
POINTS = 16  # samples of a window, per lead
PER_RECORD = 50
RESTARTS = 4


@dataclass(frozen=True, eq=False)
class RawBook:
    """Clusters of windows of the signal.

    Attributes
    ----------
    centroids : ndarray
        ``[K, lead, points]`` float64, dimensionless: scaled windows, from their first to their last part.
    cells : int
        Number of windows per record; their centres are the centres of as many equal parts of the record.
    rate, window : float
        Sampling rate in Hz, and length of a window in s.
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
        """Cluster of every cell ``[cells]`` int64 of a record ``[lead, time]`` in mV; -1 in padding."""
        x = _scaled(windows(signal, self.cells, self.rate, self.window, self.centroids.shape[2]))
        x, centres = x.reshape(len(x), -1), self.centroids.reshape(self.k, -1)
        if x.shape[1] != centres.shape[1]:
            raise MethodError(
                f"a record of {np.shape(signal)[0]} leads was given and the clusters have {self.centroids.shape[1]}; give "
                "the same leads."
            )
        labels = ((centres**2).sum(1) - 2 * x @ centres.T).argmin(1)
        steps = np.shape(signal)[1]
        return np.where(_inside(self.cells, steps, length), labels, -1)

    def proportion(self, signal: np.ndarray, length: int | None = None) -> np.ndarray:
        """Share ``[K]`` float64 of each cluster in the signal cells of a record; sums to 1."""
        ids = self.sequence(signal, length)
        counts = np.bincount(ids[ids >= 0], minlength=self.k)
        return counts / counts.sum()


def windows(
    signal: np.ndarray, cells: int, rate: float, window: float = WINDOW_S, points: int = POINTS
) -> np.ndarray:
    """Cut a record into windows around the centres of its cells.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV.
    cells : int
        Number of equal parts of the record.
    rate : float
        Hz.
    window : float
        Length in s; windows may overlap, and the first and last value are repeated beyond the ends.
    points : int
        Points per lead: means of equal parts of the window (at most its number of steps).

    Returns
    -------
    ndarray
        ``[cells, lead, points]`` float64 in mV, with the mean of each lead of each window subtracted to remove baseline
        wander.

    Raises
    ------
    MethodError
        When the shape is not that of a record, there are more cells than steps, or a window has fewer than two steps.
    """
    x = np.asarray(signal, np.float64)
    if x.ndim != 2 or not 0 < cells <= x.shape[1]:
        raise MethodError(
            f"a record of shape {list(x.shape)} was given for {cells} cells; give [lead, time] with at least as many steps."
        )
    width = round(window * rate)
    if width < 2:
        raise MethodError(
            f"a window of {window} s has {width} steps at {rate:g} Hz; give a longer one, such as {WINDOW_S} s."
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
    """Cluster windows of the raw signals by k-means (scikit-learn, four restarts), for the same K and cells as the network.

    Like the network's features, windows are divided by their size (root mean square plus :data:`FLOOR_MV`): otherwise
    amplitude differences between people dominate, and the control is too easy to beat.

    Parameters
    ----------
    signals : iterable of ndarray
        Records ``[lead, time]`` in mV; read one at a time.
    k, cells : int
        Number of clusters, and of cells per record.
    rate : float
        Hz.
    lengths : sequence of int, optional
        Number of steps of each record that are signal.
    window : float
        Length in s.
    per_record, seed : int
        Cells drawn at random per record, and random seed of the draw and of k-means.

    Raises
    ------
    MethodError
        When there are fewer windows than clusters, or leads differ.
    """
    from sklearn.cluster import KMeans

    rng, drawn = np.random.default_rng(seed), []
    for i, signal in enumerate(signals):
        inside = np.flatnonzero(_inside(cells, np.shape(signal)[1], None if lengths is None else lengths[i]))
        some = rng.choice(inside, min(per_record, len(inside)), replace=False)
        drawn.append(_scaled(windows(signal, cells, rate, window)[some]))
    if len({d.shape[1:] for d in drawn}) > 1:
        raise MethodError(
            "the records have different leads; convert them to the same leads with xai_views.samples.prepare."
        )
    count = sum(map(len, drawn))
    if not 0 < k <= count:
        raise MethodError(
            f"{k} clusters were requested and {count} windows were drawn; give more records or request fewer clusters."
        )
    x = np.concatenate(drawn)
    found = KMeans(k, n_init=RESTARTS, random_state=seed).fit(x.reshape(count, -1))
    return RawBook(found.cluster_centers_.reshape(k, *x.shape[1:]), cells, float(rate), window)


def cluster_windows(
    signal: np.ndarray, clusters: np.ndarray, k: int, rate: float, window: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the windows around the cells of each cluster: its typical signal, whether or not beats were found.

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
        ``[K]`` int64 number of windows. Add both over records; ``sums / n[:, None, None]`` is the mean window.
    """
    ids = np.asarray(clusters)
    if ids.ndim != 1 or ids.min(initial=0) < -1 or ids.max(initial=-1) >= k:
        raise MethodError(
            f"clusters have to be [cells] with ids from -1 (padding) to {k - 1}; give such ids."
        )
    x = windows(signal, len(ids), rate, window, points=round(window * rate))
    sums = np.zeros((k, *x.shape[1:]))
    np.add.at(sums, ids[ids >= 0], x[ids >= 0])
    return sums, np.bincount(ids[ids >= 0], minlength=k)


def _scaled(x: np.ndarray) -> np.ndarray:
    """Windows ``[cells, lead, points]`` divided by their size; all-zero windows stay 0."""
    return x / (np.sqrt((x**2).mean((1, 2), keepdims=True)) + FLOOR_MV)


def _inside(cells: int, steps: int, length: int | None) -> np.ndarray:
    """``[cells]`` bool: True where the centre of a cell is signal, and for the first cell, as for the network's clusters."""
    inside = (np.arange(cells) + 0.5) * steps / cells < (steps if length is None else length)
    inside[0] = True
    return inside
