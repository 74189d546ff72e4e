"""One relevance curve: what is wanted, in which order pixels go, and what came out."""

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
    """One curve that is wanted of an image.

    Attributes
    ----------
    relevance : ndarray
        ``[H, W]``: the map, before it is aggregated.
    regions : ndarray or None
        ``[H, W]`` ids; the map is aggregated over them. None: the map as it is.
    order : {"lerf", "morf"}
        Least or most relevant first. Equal values go in the order of their region's id or pixel's index in both.
    fill : str or ndarray
        What takes the place of removed pixels: "zero" (black), "mean" (the image's mean colour), "blur" (the image,
        strongly blurred), a colour ``[C]`` (such as a data set's mean) or an image ``[H, W, C]``, in [0, 1].
    ties : {"regions", "random", "original"}
        See above. Without ``regions``, "regions" are the sets of equal values and "original" is the order of pixels.
    steps : int
        Points apart from the first; with the rule "regions" the most that there are.
    seeds : tuple of int
        Of the rule "random": one curve each.
    how : str
        Figure of a region, as in :func:`xai_views.engine.superpixels.aggregate.figures`.
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
    """A relevance curve, possibly still growing.

    Attributes
    ----------
    fraction : ndarray
        ``[P]`` share of the pixels that is removed, from 0 to 1.
    value : ndarray
        ``[R, P]``: what the network says; R is the number of seeds, otherwise 1. NaN where it was not asked yet.
    """

    fraction: np.ndarray
    value: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether every point is known."""
        return bool(np.isfinite(self.value).all())

    @property
    def mean(self) -> np.ndarray:
        """``[P]`` mean over seeds; NaN where one is missing."""
        return self.value.mean(0)

    @property
    def areas(self) -> np.ndarray:
        """``[R]`` area under each seed's curve, over the points that are known."""
        return np.array([auc(self.fraction, v) for v in self.value])

    @property
    def area(self) -> float:
        """Area under the curve, mean over seeds."""
        return float(self.areas.mean())


def auc(fraction: np.ndarray, value: np.ndarray) -> float:
    """Area under a curve over the removed share, by trapezoids between the points that are known.

    For equal steps it is ``(f_0 / 2 + f_1 + ... + f_{S-1} + f_S / 2) / S``. NaN unless both ends are known.
    """
    value = np.asarray(value, np.float64)
    known = np.isfinite(value)
    if not (known[0] and known[-1]):
        return float("nan")
    return float(np.trapezoid(value[known], np.asarray(fraction)[known]))


# -- which pixels go when --------------------------------------------------------------------------------------------


def positions(job: Job) -> tuple[list[np.ndarray], np.ndarray]:
    """When each pixel goes, ``[H * W]`` for each seed, and the cuts ``[P]``: at a cut all with a smaller position are gone."""
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
            order = np.argsort(sign * value, kind="stable")  # ids that no pixel has are NaN, which come last
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order))
            position = rank[np.ravel(job.regions)]
        removed = np.concatenate([[0], np.cumsum(np.bincount(position))])
        cuts = np.unique(removed, return_index=True)[1]  # without ids that no pixel has
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
    """Raise a one-sentence :class:`MethodError` unless a job fits an image of ``shape`` (H, W)."""
    for what, value, values in (("order", job.order, ORDERS), ("rule for ties", job.ties, TIES)):
        if value not in values:
            raise MethodError(
                f"{what} {value!r} of the curve {name!r} is not known; there is {nearest(value, values)}."
            )
    if isinstance(job.fill, str) and job.fill not in FILLS:
        raise MethodError(
            f"fill {job.fill!r} of the curve {name!r} is not known; there is {nearest(job.fill, FILLS)}."
        )
    for what, map_ in (("relevance", job.relevance), ("regions", job.regions)):
        if map_ is not None and np.shape(map_) != shape:
            raise MethodError(
                f"the {what} of the curve {name!r} have shape {list(np.shape(map_))} and the image has {list(shape)} pixels; "
                "bring them to one size."
            )
    if not np.isfinite(job.relevance).all():
        raise MethodError(
            f"the relevance of the curve {name!r} is not finite everywhere; it cannot be ordered."
        )
    if job.steps < 1 or not job.seeds:
        raise MethodError(f"the curve {name!r} needs at least one step and one seed.")
