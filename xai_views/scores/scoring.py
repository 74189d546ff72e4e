"""Score methods: every metric on every method's map, with its chance level and a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_views.contract import registry
from xai_views.contract.metric import Metric
from xai_views.errors import MethodError
from xai_views.samples import inputs
from xai_views.scores.semantic import intervals


def metric(key: str | Metric) -> Metric:
    """Return the metric of a key with its default parameters; a metric is returned unchanged.

    Raises
    ------
    XaiViewsError
        When there is no such metric.
    """
    return key if isinstance(key, Metric) else registry.load("metrics", key)()


def map_of(explanation: xr.Dataset) -> xr.DataArray:
    """Return the map to score: the first signed map over the input, for the first explained class.

    Raises
    ------
    MethodError
        When the explanation has no such map.
    """
    for name in explanation.data_vars:
        found = explanation[name]
        if found.attrs.get("role") == "signed map" and found.dims[0] == "sample":
            plain = found.isel(dict.fromkeys(found.dims[1:-2], 0))
            if plain.dims[-2:] in {("y", "x"), ("lead", "time"), ("lead", "signal_time")}:
                return plain
    raise MethodError(
        f"the explanation of {explanation.attrs.get('method')!r} has no signed map of the input to score; choose another method."
    )


def truths(samples: xr.Dataset) -> list[np.ndarray | None]:
    """Return the ground-truth region of each sample: its mask, else all its labelled parts; None without either."""
    if "mask" in samples:
        return list(samples["mask"].values.astype(bool))
    if "part" in samples:
        return list(samples["part"].values > 0)
    return [None] * samples.sizes["sample"]


def score(
    explanations: Sequence[xr.Dataset],
    model: Any,
    samples: xr.Dataset,
    metrics: Sequence[str | Metric],
    seed: int = 0,
) -> xr.Dataset:
    """Score explanations of the same samples.

    Parameters
    ----------
    explanations : sequence of Dataset
        One per method, each with all samples.
    model : Model
        The explained network.
    samples : Dataset
        The explained samples, in the format of the model, with ground truth where available.
    metrics : sequence of str or Metric
        Keys of the entry-point group ``xai_views.metrics``, or metrics.
    seed : int
        Random seed of the bootstrap.

    Returns
    -------
    Dataset
        ``score`` and ``chance`` ``(method, metric, sample)``, NaN where undefined; ``mean``, ``low`` and ``high``
        ``(method, metric)``, a 95 % bootstrap interval over the samples; ``known (method, metric)``, the number of scores;
        coords ``question`` and ``better``, and ``title`` of each metric.

    Raises
    ------
    XaiViewsError
        In one sentence, for an unknown metric or an explanation without a map.
    """
    judges = [metric(m) for m in metrics]
    images = inputs(samples, np.arange(samples.sizes["sample"]))
    masks = truths(samples)
    shape = (len(explanations), len(judges), len(images))
    found, chance = np.full(shape, np.nan), np.full(shape, np.nan)
    for e, explanation in enumerate(explanations):
        maps, targets = map_of(explanation).values, _targets(explanation)
        for j, judge in enumerate(judges):
            for i, (map_, mask, image) in enumerate(zip(maps, masks, images, strict=True)):
                about = {"mask": mask, "model": model, "image": image, "target": int(targets[i])}
                found[e, j, i], chance[e, j, i] = judge.score(map_, **about)
    low, high = intervals(found, seed=seed)
    known = np.isfinite(found).sum(-1)
    mean = np.where(known > 0, np.nansum(found, -1) / np.maximum(known, 1), np.nan)
    dims = ("method", "metric")
    return xr.Dataset(
        {
            "score": ((*dims, "sample"), found),
            "chance": ((*dims, "sample"), chance),
            "mean": (dims, mean),
            "low": (dims, low),
            "high": (dims, high),
            "known": (dims, known),
        },
        coords={
            "method": [str(e.attrs["method"]) for e in explanations],
            "metric": [j.key for j in judges],
            "question": ("metric", [j.question for j in judges]),
            "better": ("metric", [j.better for j in judges]),
            "title": ("metric", [j.title for j in judges]),
            "sample": samples["name"].values if "name" in samples else np.arange(len(images)),
        },
    )


def _targets(explanation: xr.Dataset) -> np.ndarray:
    """Return the class that each sample's map explains."""
    if "target_class" in explanation.coords:
        return explanation["target_class"].values[:, 0]
    if "attribution_class" in explanation.coords:
        return explanation["attribution_class"].values
    return explanation["logit"].values.argmax(1)


__all__ = ["map_of", "metric", "score"]
