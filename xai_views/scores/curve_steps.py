"""A single relevance curve: its parameters, the order in which pixels are removed, and its values."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from xai_views.engine.superpixels.aggregate import figures
from xai_views.errors import MethodError, nearest

ORDERS = ("lerf", "morf")
FILLS = ("zero", "mean", "blur")
TIES = ("regions", "random", "original")


@dataclass(frozen=True, eq=False)
class Job:
    """Parameters of one relevance curve of an image.

    Attributes
    ----------
    relevance : ndarray
        ``[H, W]``: the map, before aggregation.
    regions : ndarray or None
        ``[H, W]`` ids over which the map is aggregated; None: the original map.
    order : {"lerf", "morf"}
        Least or most relevant first. Ties are removed in the order of region id or pixel index in both cases.
    fill : str or ndarray
        Replacement of removed pixels: "zero" (black), "mean" (the image's mean colour), "blur" (the image, strongly
        blurred), a colour ``[C]`` (such as a data set's mean) or an image ``[H, W, C]``, in [0, 1].
    ties : {"regions", "random", "original"}
        See :mod:`xai_views.scores.curves`. Without ``regions``, "regions" are the sets of equal values and "original" is
        pixel order.
    steps : int
        Number of points after the first; for the rule "regions" the maximum.
    seeds : tuple of int
        Random seeds of the rule "random": one curve each.
    how : str
        Value of a region, as in :func:`xai_views.engine.superpixels.aggregate.figures`.
    """

    relevance: np.ndarray
    regions: np.ndarray | None = None
    order: str = "lerf"
    fill: str | np.ndarray = "zero"
    ties: str = "regions"
    steps: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)
    how: str = "mean"


@dataclass(frozen=True, eq=False)
class Curve:
    """A relevance curve, possibly incomplete.

    Attributes
    ----------
    fraction : ndarray
        ``[P]`` share of removed pixels, from 0 to 1.
    value : ndarray
        ``[R, P]``: output of the network; R is the number of seeds, otherwise 1. NaN where not yet computed.
    """

    fraction: np.ndarray
    value: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether every point is computed."""
        return bool(np.isfinite(self.value).all())

    @property
    def mean(self) -> np.ndarray:
        """``[P]`` mean over seeds; NaN where a value is missing."""
        return self.value.mean(0)

    @property
    def areas(self) -> np.ndarray:
        """``[R]`` area under each seed's curve, over the computed points."""
        return np.array([auc(self.fraction, v) for v in self.value])

    @property
    def area(self) -> float:
        """Area under the curve, averaged over seeds."""
        return float(self.areas.mean())


def auc(fraction: np.ndarray, value: np.ndarray) -> float:
    """Area under a curve over the removed share, by trapezoids between the computed points.

    For equal steps it is ``(f_0 / 2 + f_1 + ... + f_{S-1} + f_S / 2) / S``. NaN unless both ends are computed.
    """
    value = np.asarray(value, np.float64)
    known = np.isfinite(value)
    if not (known[0] and known[-1]):
        return float("nan")
    return float(np.trapezoid(value[known], np.asarray(fraction)[known]))


# -- order of removal --------------------------------------------------------------------------------------------


def positions(job: Job) -> tuple[list[np.ndarray], np.ndarray]:
    """Removal rank of each pixel, ``[H * W]`` per seed, and cuts ``[P]``: at a cut all pixels of lower rank are removed."""
    raw = np.asarray(job.relevance, np.float64)
    sign = -1.0 if job.order == "morf" else 1.0
    if job.regions is None:
        map_ = raw
    else:
        value = figures(raw, job.regions, job.how)
        map_ = value[job.regions]
    key = sign * map_.ravel()
    pixels = key.size
    if job.ties == "regions":
        if job.regions is None:
            _, position = np.unique(key, return_inverse=True)
        else:
            order = np.argsort(sign * value, kind="stable")  # ids without pixels are NaN, which sort last
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            position = rank[np.ravel(job.regions)]
        removed = np.concatenate([[0], np.cumsum(np.bincount(position))])
        cuts = np.unique(removed, return_index=True)[1]  # drops ids without pixels
        if len(cuts) > job.steps + 1:  # the cuts nearest to equal steps
            want = np.linspace(0, pixels, job.steps + 1)
            after = np.searchsorted(removed[cuts], want).clip(1, len(cuts) - 1)
            before = after - 1
            nearer = want - removed[cuts][before] <= removed[cuts][after] - want
            cuts = cuts[np.unique(np.where(nearer, before, after))]
        return [position], cuts
    cuts = np.unique(np.rint(np.linspace(0, pixels, job.steps + 1)).astype(np.int64))
    if job.ties == "random":
        breaks = [np.random.default_rng(seed).random(pixels) for seed in job.seeds]
    else:
        breaks = [np.arange(pixels, dtype=float) if job.regions is None else sign * raw.ravel()]
    positions = []
    for b in breaks:
        position = np.empty(pixels, np.int64)
        position[np.lexsort((b, key))] = np.arange(pixels)
        positions.append(position)
    return positions, cuts


def check(name: Hashable, job: Job, shape: tuple[int, ...]) -> None:
    """Raise a one-sentence :class:`MethodError` unless a job fits an image of shape ``(H, W)``."""
    for what, value, values in (("order", job.order, ORDERS), ("rule for ties", job.ties, TIES)):
        if value not in values:
            raise MethodError(
                f"{what} {value!r} of the curve {name!r} is not known; choose {nearest(value, values)}."
            )
    if isinstance(job.fill, str) and job.fill not in FILLS:
        raise MethodError(
            f"fill {job.fill!r} of the curve {name!r} is not known; choose {nearest(job.fill, FILLS)}."
        )
    for what, map_ in (("relevance", job.relevance), ("regions", job.regions)):
        if map_ is not None and np.shape(map_) != shape:
            raise MethodError(
                f"the {what} of the curve {name!r} have shape {list(np.shape(map_))} and the image has {list(shape)} pixels; "
                "bring them to one size."
            )
    if not np.isfinite(job.relevance).all():
        raise MethodError(
            f"the relevance of the curve {name!r} contains values that are not finite; give finite values."
        )
    if job.steps < 1 or not job.seeds:
        raise MethodError(
            f"the curve {name!r} has {job.steps} steps and {len(job.seeds)} seeds; give at least one of each."
        )
