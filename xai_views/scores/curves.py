"""Relevance curves: the network's output while pixels are removed, least relevant first or most relevant first.

A faithful map keeps the output high when the least relevant pixels are removed first (LeRF: large area) and lowers it
quickly when the most relevant are removed first (MoRF: small area). Maps that are constant on regions have ties, and the
area depends on their order; three rules are provided, to be read together:

* ``regions``: whole regions are removed at once, and the area is integrated over the removed share,
* ``random``: pixels of equal relevance are removed in random order, averaged over seeds,
* ``original``: pixels of equal relevance are removed in the order of the map before aggregation.

All functions are generators that yield after each call of the network, so that curves can be stopped and drawn as they grow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from xai_views.errors import MethodError
from xai_views.scores.curve_steps import FILLS, ORDERS, TIES, Curve, Job, auc, check, positions

__all__ = [
    "FILLS", "ORDERS", "TIES", "Curve", "Job", "Predict", "areas", "auc", "comparison", "filled", "last", "predictor",
    "relevance_curve", "relevance_curves",
]  # fmt: skip

#: ``predict(images [N, H, W, C] float32 in [0, 1]) -> [N, classes]`` (or ``[N]``: the explained output itself).
Predict = Callable[[np.ndarray], np.ndarray]


def _spread_out(n: int) -> list[int]:
    """Order 0 to n - 1 so that every prefix covers the whole range: a growing curve is refined from coarse to fine."""
    bits = max(n - 1, 1).bit_length()
    return [j for i in range(1 << bits) if (j := int(f"{i:0{bits}b}"[::-1], 2)) < n]


def filled(image: np.ndarray, fill: str | np.ndarray) -> np.ndarray:
    """Return an image ``[H, W, C]`` in [0, 1] with every pixel removed."""
    if isinstance(fill, str):
        from xai_views.engine.clusters.ablation import (
            input_ablation,  # imports torch, which pages that only draw do not need
        )

        return input_ablation(image[None], np.ones((1, *image.shape[:2]), bool), fill)[0]
    return np.broadcast_to(np.asarray(fill, image.dtype), image.shape)


@dataclass(eq=False)
class _Growing:
    """The removal order of a curve's pixels, and its values so far."""

    positions: list[np.ndarray]
    cuts: np.ndarray
    background: np.ndarray
    values: np.ndarray

    @property
    def fraction(self) -> np.ndarray:
        share = np.concatenate([[0], np.cumsum(np.bincount(self.positions[0]))])
        return share[self.cuts] / share[-1]


def _readable(image: np.ndarray) -> np.ndarray:
    """Return an image as floats in [0, 1]."""
    image = np.asarray(image)
    if image.ndim != 3:
        raise MethodError(f"an image of shape {list(image.shape)} was given; give one image [H, W, C].")
    if image.dtype.kind in "iub":
        return image.astype(np.float32) / 255
    return image if image.dtype == np.float64 else image.astype(np.float32)


Where = tuple[Any, Any, int]  # curve, row(s), point


def _started(
    image: np.ndarray, jobs: Mapping[Any, Job]
) -> tuple[dict[Any, _Growing], list[tuple[np.ndarray, list[Where]]]]:
    """Set up curves without values, and the images that they share: the original and each filled image."""
    grown: dict[Any, _Growing] = {}
    backgrounds: dict[Any, np.ndarray] = {}
    ends: dict[Any, list[Where]] = {}
    for name, job in jobs.items():
        fill = job.fill if isinstance(job.fill, str) else np.asarray(job.fill, np.float64).tobytes()
        if fill not in backgrounds:
            backgrounds[fill] = filled(image, job.fill)
        ends.setdefault(fill, []).append((name, slice(None), -1))
        order, cuts = positions(job)
        grown[name] = _Growing(order, cuts, backgrounds[fill], np.full((len(order), len(cuts)), np.nan))
    whole = [(image, [(name, slice(None), 0) for name in jobs])]
    return grown, whole + [(backgrounds[f], where) for f, where in ends.items()]


def relevance_curves(
    predict: Predict,
    image: np.ndarray,
    jobs: Mapping[Any, Job],
    target: int | None = None,
    batch: int | None = None,
) -> Iterator[dict[Any, Curve]]:
    """Compute many curves of one image together.

    The original and each filled image are run once, whatever the number of curves; all other points of all curves share
    batches, coarse points first.

    Parameters
    ----------
    predict : callable
        ``predict(images [N, H, W, C] float32 in [0, 1]) -> [N, classes]`` probabilities or logits, or ``[N]``.
    image : ndarray
        ``[H, W, C]`` uint8, or float in [0, 1].
    jobs : mapping
        Curves to compute, by any name.
    target : int, optional
        Class whose output is followed; by default the one predicted for the original image.
    batch : int, optional
        Images per call; by default ``predict.comfortable(shape)`` if it exists (see :func:`predictor`),
        else 32.

    Yields
    ------
    dict
        Curves by name after each call; complete after the last.

    Raises
    ------
    MethodError
        For a job that does not fit the image, or when ``predict`` does not return ``[N, classes]`` or ``[N]``.
    """
    image = _readable(image)
    for name, job in jobs.items():
        check(name, job, image.shape[:2])
    if batch is None:
        batch = getattr(predict, "comfortable", lambda _: 32)(image.shape[:2])
    if batch < 1:
        raise MethodError(f"a batch size of {batch} was given; give at least 1.")
    grown, asked = _started(image, jobs)
    points = [
        (i / max(len(g.cuts) - 2, 1), name, row, 1 + j)
        for name, g in grown.items()
        for i, j in enumerate(_spread_out(len(g.cuts) - 2))
        for row in range(len(g.positions))
    ]
    points.sort(key=lambda p: p[0])  # stable: curves take turns
    todo = len(asked) + len(points)
    for start in range(0, todo, batch):
        now = asked[start : start + batch]
        images = [a for a, _ in now]
        goes = [where for _, where in now]
        offset = max(start - len(asked), 0)
        for _, name, row, j in points[offset : offset + batch - len(now)]:
            g = grown[name]
            gone = (g.positions[row] < g.cuts[j]).reshape(image.shape[:2])
            images.append(np.where(gone[..., None], g.background, image))
            goes.append([(name, row, j)])
        said = _said(predict, np.stack(images), target)
        if said.ndim == 2:
            target = int(said[0].argmax()) if target is None else target
            said = said[:, target]
        for value, where in zip(said, goes, strict=True):
            for name, row, j in where:
                grown[name].values[row, j] = value
        yield {name: Curve(g.fraction, g.values.copy()) for name, g in grown.items()}


def _said(predict: Predict, images: np.ndarray, target: int | None) -> np.ndarray:
    said = np.asarray(predict(images), np.float64)
    if said.shape[:1] != (len(images),) or said.ndim > 2:
        raise MethodError(
            f"predict returned shape {list(said.shape)} for {len(images)} images; it has to return [N, classes] or [N]."
        )
    if target is not None and said.ndim == 2 and not 0 <= target < said.shape[1]:
        raise MethodError(
            f"class {target} was requested and predict has the classes 0 to {said.shape[1] - 1}; choose one of those."
        )
    return said


def relevance_curve(
    predict: Predict,
    image: np.ndarray,
    relevance: np.ndarray,
    regions: np.ndarray | None = None,
    order: str = "lerf",
    fill: str | np.ndarray = "zero",
    ties: str = "regions",
    steps: int = 32,
    seeds: Sequence[int] = (0, 1, 2),
    target: int | None = None,
    batch: int | None = None,
    how: str = "mean",
) -> Iterator[Curve]:
    """Compute one curve step by step; parameters as in :class:`Job` and :func:`relevance_curves`.

    Yields
    ------
    Curve
        After each call of the network; complete after the last.

    Raises
    ------
    MethodError
        As :func:`relevance_curves`.
    """
    job = Job(relevance, regions, order, fill, ties, steps, tuple(seeds), how)
    for curves in relevance_curves(predict, image, {"": job}, target, batch):
        yield curves[""]


def last(curves: Iterator[Any]) -> Any:
    """Run a generator of this module to its end and return its last, complete value."""
    return deque(curves, maxlen=1).pop()


def comparison(
    maps: Mapping[str, np.ndarray],
    regions: np.ndarray,
    orders: Sequence[str] = ORDERS,
    ties: Sequence[str] = TIES,
    **options: Any,
) -> dict[tuple[str, str, str, str], Job]:
    """Return jobs that compare original maps ("raw") and maps on superpixels, with every rule for ties.

    Parameters
    ----------
    maps : mapping
        ``[H, W]`` by method; include the controls (random, edges, centre).
    regions : ndarray
        ``[H, W]``.
    orders, ties : sequence of str
        As in :class:`Job`. Raw maps use only the rule "original": pixels in order of relevance.
    options
        Further attributes of :class:`Job`.

    Returns
    -------
    dict
        By ``(method, "raw" or "superpixels", order, rule)``, for :func:`relevance_curves` and :func:`areas`.
    """
    jobs = {}
    for name, map_ in maps.items():
        for order in orders:
            jobs[name, "raw", order, "original"] = Job(map_, None, order, ties="original", **options)
            for rule in ties:
                jobs[name, "superpixels", order, rule] = Job(map_, regions, order, ties=rule, **options)
    return jobs


def areas(curves: Mapping[tuple[str, str, str, str], Curve]) -> Any:
    """Return the areas of a :func:`comparison` as a Dataset.

    Returns
    -------
    xarray.Dataset
        ``area (method, kind, order, ties)`` (NaN where there is no such curve), ``gap (method, kind, ties)``: LeRF minus
        MoRF (if both exist), which is 0 for a random map and hardly depends on the fill, and ``spread (method, kind,
        order)``: maximum minus minimum area over the rules.
        Select with ``.loc[{"method": name}]``, because ``.sel(method=...)`` has another meaning in xarray.
    """
    import xarray as xr

    axes = {
        dim: list(dict.fromkeys(key[i] for key in curves))
        for i, dim in enumerate(("method", "kind", "order", "ties"))
    }
    area = xr.DataArray(np.full([len(v) for v in axes.values()], np.nan), axes, list(axes))
    for key, curve in curves.items():
        area.loc[dict(zip(axes, key, strict=True))] = curve.area
    found = {"area": area, "spread": area.max("ties") - area.min("ties")}
    if set(ORDERS) <= set(axes["order"]):
        found["gap"] = area.sel(order="lerf", drop=True) - area.sel(order="morf", drop=True)
    return xr.Dataset(found)


def predictor(model: Any, figure: str = "probability") -> Predict:
    """Return a prediction function of a model for the curves; each call is one counted forward pass without gradients.

    Parameters
    ----------
    model : Model
        The network.
    figure : {"probability", "logit"}
        Output to return, ``[N, classes]``.

    Raises
    ------
    MethodError
        For an unknown figure.
    """
    if figure not in ("probability", "logit"):
        raise MethodError(f"figure {figure!r} is not known; choose 'probability' or 'logit'.")
    import torch

    from xai_views.engine.attribution.gradients import comfortable
    from xai_views.models.tracing import forward

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logit = forward(model.module, model.tensor(images)).cpu().numpy()
        return model.probability(logit) if figure == "probability" else logit

    predict.comfortable = partial(comfortable, model.device)  # type: ignore[attr-defined]
    return predict
