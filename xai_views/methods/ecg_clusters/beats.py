"""Superimposed heartbeats: when in the beat each cluster occurs, the average beat, and the average signal of a cluster.

Source: Boubekki et al., arXiv 2509.15198 (clusters compared with landmarks); phases, averages and ribbons are ours.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np
import xarray as xr

from xai_views.errors import MethodError
from xai_views.methods.ecg_clusters.alignment import spread
from xai_views.samples import inputs
from xai_views.samples.signals import LANDMARKS

BINS = 50
BEFORE_S, AFTER_S = 0.3, 0.5  # window of a beat around the R peak


@dataclass(frozen=True, eq=False)
class Phases:
    """Frequency of each cluster in each phase of the beat.

    Attributes
    ----------
    counts : ndarray
        ``[K, bins]`` int64 steps; bin 0 begins at an R peak and the last bin ends at the next.
    beats : int
        Number of intervals between R peaks.
    """

    counts: np.ndarray
    beats: int

    @property
    def frequency(self) -> np.ndarray:
        """P(cluster | phase) ``[K, bins]`` float64; NaN in a bin without steps."""
        total = self.counts.sum(0)
        return self.counts / np.where(total == 0, np.nan, total)

    def __add__(self, other: Phases) -> Phases:
        return Phases(self.counts + other.counts, self.beats + other.beats)


@dataclass(frozen=True, eq=False)
class Beats:
    """Average beat over records, and average signal of each cluster within the beat; may be added.

    Attributes
    ----------
    time : ndarray
        ``[W]`` s relative to R.
    sums, squares : ndarray
        ``[1 + K, lead, W]`` float64 in mV and mV²: of all beats, then of the steps in cluster 0, 1, ...
    n : ndarray
        ``[1 + K, W]`` int64 number of steps summed.
    """

    time: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    n: np.ndarray

    def __add__(self, other: Beats) -> Beats:
        if self.sums.shape != other.sums.shape or not np.allclose(self.time, other.time):
            raise MethodError(
                f"beats of shape {list(self.sums.shape)} cannot be added to beats of shape {list(other.sums.shape)}; give "
                "records of one rate with the same leads and clusters."
            )
        return Beats(self.time, self.sums + other.sums, self.squares + other.squares, self.n + other.n)

    @property
    def beats(self) -> int:
        """Number of beats averaged."""
        return int(self.n[0].max(initial=0))

    @property
    def mean(self) -> np.ndarray:
        """Average beat ``[lead, W]`` in mV; NaN where there is none."""
        return self._mean()[0]

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation over the beats ``[lead, W]`` in mV; NaN with fewer than two."""
        n = self.n[0].astype(float)
        n[n < 2] = np.nan
        variance = (self.squares[0] - self.sums[0] ** 2 / n) / (n - 1)
        return np.sqrt(np.maximum(variance, 0))

    @property
    def clusters(self) -> np.ndarray:
        """Average signal ``[K, lead, W]`` in mV of the steps of each cluster; NaN where it does not occur, see ``n[1:]``."""
        return self._mean()[1:]

    @property
    def occurs(self) -> np.ndarray:
        """Share of the beats ``[K, W]`` in which each cluster occurs; NaN without beats."""
        return self.n[1:] / np.where(self.n[0] == 0, np.nan, self.n[0])

    def _mean(self) -> np.ndarray:
        return self.sums / np.where(self.n == 0, np.nan, self.n)[:, None]


def phases(
    clusters: np.ndarray, r_peaks: Sequence[int] | np.ndarray, steps: int, k: int, bins: int = BINS
) -> Phases:
    """Count clusters by phase: the position of a step between the previous R peak (0) and the next one (1).

    Parameters
    ----------
    clusters : ndarray
        ``[cells]`` of one record, -1 in padding (not counted).
    r_peaks : sequence of int
        Steps of the R peaks; steps before the first and after the last peak are not counted.
    steps : int
        Number of steps of the record, in all cells.
    k, bins : int
        Number of clusters, and of phase bins. Longer beats weigh more, by their number of steps.

    Raises
    ------
    MethodError
        When R peaks are not ascending steps of the record, or clusters are out of range.

    Notes
    -----
    Phases stretch with the heart rate, while QRS hardly does: at another rate the same wave has another phase.
    """
    peaks = _peaks(r_peaks, steps)
    if bins < 1:
        raise MethodError(f"{bins} bins were given; give at least 1 (default {BINS}).")
    _within(clusters, k, steps)
    if len(peaks) < 2:
        return Phases(np.zeros((k, bins), np.int64), 0)
    at = np.arange(peaks[0], peaks[-1])
    beat = np.searchsorted(peaks, at, side="right") - 1
    part = (at - peaks[beat]) * bins // np.diff(peaks)[beat]
    ids = spread(clusters, steps)[at]
    inside = ids >= 0
    counts = np.bincount(ids[inside] * bins + part[inside], minlength=k * bins).reshape(k, bins)
    return Phases(counts, len(peaks) - 1)


def beats(
    signal: np.ndarray,
    r_peaks: Sequence[int] | np.ndarray,
    rate: float,
    clusters: np.ndarray | None = None,
    k: int = 0,
    length: int | None = None,
    before: float = BEFORE_S,
    after: float = AFTER_S,
) -> Beats:
    """Superimpose the beats of one record at their R peaks.

    Parameters
    ----------
    signal : ndarray
        ``[lead, time]`` in mV.
    r_peaks : sequence of int
        Steps of the R peaks; beats that are cut off by the ends of the signal are skipped.
    rate : float
        Hz; records to be added must have the same rate.
    clusters : ndarray, optional
        ``[cells]`` of the record, -1 in padding.
    k : int
        Number of clusters.
    length : int, optional
        Number of steps that are signal.
    before, after : float
        Seconds before and after R.

    Raises
    ------
    MethodError
        In one sentence, when shapes, peaks or ranges do not fit.
    """
    x = np.asarray(signal, np.float64)
    if x.ndim != 2:
        raise MethodError(f"a record of shape {list(x.shape)} was given; give [lead, time].")
    if not (rate > 0 and before >= 0 and after >= 0):
        raise MethodError(
            f"rate {rate} Hz and a window from {before} s before to {after} s after R were given; give positive numbers."
        )
    steps = x.shape[1]
    length = steps if length is None else length
    first, last = -round(before * rate), round(after * rate)
    peaks = _peaks(r_peaks, steps)
    peaks = peaks[(peaks + first >= 0) & (peaks + last < length)]
    window = np.arange(first, last + 1)
    rows = peaks[:, None] + window  # [beats, W]
    lead_beats = x[:, rows]  # [lead, beats, W]
    masks = np.ones((1 + k, *rows.shape), bool)
    if clusters is None:
        masks[1:] = False
    else:
        _within(clusters, k, steps)
        masks[1:] = spread(clusters, steps)[rows] == np.arange(k)[:, None, None]
    m = masks.astype(np.float64)
    return Beats(
        window / rate,
        np.einsum("kbw,lbw->klw", m, lead_beats),
        np.einsum("kbw,lbw->klw", m, lead_beats**2),
        masks.sum(1),
    )


Found = TypeVar("Found")


def total(parts: Sequence[Found]) -> Found:
    """Add the results of several records; raise :class:`MethodError` when there are none."""
    if not len(parts):
        raise MethodError("no record was given to add; give at least one.")
    return reduce(operator.add, parts)


def known_peaks(landmark: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Find the R peaks of a record with known QRS: the largest deflection over all leads in each QRS.

    Parameters
    ----------
    landmark : ndarray
        ``[time]`` indices into ``LANDMARKS``.
    signal : ndarray
        ``[lead, time]`` in mV.
    """
    inside = np.concatenate([[0], (landmark == LANDMARKS.index("QRS")).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(inside))
    size = np.sqrt((signal.astype(np.float64) ** 2).mean(0))
    return np.array(
        [a + int(size[a:b].argmax()) for a, b in zip(edges[::2], edges[1::2], strict=True)], np.int64
    )


@dataclass(frozen=True, eq=False)
class Averages:
    """Phases and average beat over several records.

    Attributes
    ----------
    phases : Phases
        When in the beat each cluster occurs.
    beats : Beats
        Average beat and average signal of each cluster.
    records : int
        Number of records with at least two R peaks.
    """

    phases: Phases
    beats: Beats
    records: int


def averages(
    samples: xr.Dataset,
    sequences: Sequence[np.ndarray],
    k: int,
    r_peaks: Sequence[np.ndarray],
    lengths: Sequence[int],
    bins: int = BINS,
) -> Averages | None:
    """Superimpose the beats of several records.

    Parameters
    ----------
    samples : Dataset
        Records of one rate.
    sequences : sequence of ndarray
        Clusters ``[cells]`` of each, -1 in padding.
    k, bins : int
        Number of clusters, and of phase bins.
    r_peaks : sequence of ndarray
        Steps of the R peaks of each.
    lengths : sequence of int
        Number of steps of each record that are signal.

    Returns
    -------
    Averages or None
        None when no record has two R peaks.
    """
    used = [i for i, peaks in enumerate(r_peaks) if len(peaks) > 1]
    if not used:
        return None
    steps, rate = samples.sizes["time"], float(samples.attrs["rate"])
    parts = [beats(inputs(samples, [i])[0], r_peaks[i], rate, sequences[i], k, int(lengths[i])) for i in used]
    found = [phases(sequences[i], r_peaks[i], steps, k, bins) for i in used]
    return Averages(total(found), total(parts), len(used))


def _peaks(r_peaks: Sequence[int] | np.ndarray, steps: int) -> np.ndarray:
    peaks = np.asarray(r_peaks, np.int64)
    if (
        peaks.ndim != 1
        or (np.diff(peaks) <= 0).any()
        or (len(peaks) and (peaks[0] < 0 or peaks[-1] >= steps))
    ):
        raise MethodError(
            f"R peaks have to be ascending steps from 0 to {steps - 1} and these are not; sort them and remove duplicates."
        )
    return peaks


def _within(clusters: np.ndarray, k: int, steps: int) -> None:
    ids = np.asarray(clusters)
    if ids.ndim != 1 or not 0 < len(ids) <= steps or ids.min() < -1 or ids.max() >= k:
        raise MethodError(
            f"clusters have to be [cells] of one record of {steps} steps with ids from -1 (padding) to {k - 1}; give such ids."
        )
